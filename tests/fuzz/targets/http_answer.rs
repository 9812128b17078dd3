//! HTTP answers as a probed server, or whatever listens at the socket's path, sends them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    musterd::fuzzing::probe_answer(bytes);
    musterctl::fuzzing::answer(bytes);
});
