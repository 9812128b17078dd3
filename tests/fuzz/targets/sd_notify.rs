//! sd_notify datagrams as programs send them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| musterd::fuzzing::notification(bytes));
