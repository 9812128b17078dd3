//! Program output on its way to the console, in every format and cut at every place.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| musterd::fuzzing::log_lines(bytes));
