//! Program output for the console, in every format and split at every position.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| musterd::fuzzing::log_lines(bytes));
