//! Compressed log files as they are read back, whatever the program made of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| musterd::fuzzing::compressed_log(bytes));
