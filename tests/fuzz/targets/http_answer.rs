//! HTTP answers from a probed server, or from any other process at the socket's path.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    musterd::fuzzing::probe_answer(bytes);
    musterctl::fuzzing::answer(bytes);
});
