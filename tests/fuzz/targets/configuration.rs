//! Configuration files. Every error can be printed, and only a file without errors yields a specification.

#![no_main]

mod scratch;

use muster_config::{Severity, Source, load};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let paths = [scratch::file("muster.toml", bytes)];
    let loaded =
        load(&Source::unguarded(&paths, &scratch::variable, "host"));
    let has_error = loaded.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(loaded.spec.is_none(), has_error);
    for diagnostic in loaded.diagnostics.iter().take(2) {
        assert!(!diagnostic.text().is_empty());
    }
});
