//! Compressed log files as they are read back, whatever a program did to them.

#![no_main]

mod scratch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scratch::file("app.log.1.gz", bytes);
    musterd::fuzzing::old_log(&scratch::directory().join("app.log"));
});
