//! Requests as clients of the control socket send them: heads, bodies, pipelines.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| musterd::fuzzing::http_request(bytes));
