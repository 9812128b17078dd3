//! Request targets: a route that parses is written as one with the same meaning.

#![no_main]

use muster_api::Route;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let method = if first % 2 == 0 { "GET" } else { "POST" };
    let Ok(target) = std::str::from_utf8(rest) else { return };
    if let Ok(route) = Route::parse(method, target) {
        assert_eq!(Route::parse(method, &route.path()).as_ref(), Ok(&route), "{target}");
    }
});
