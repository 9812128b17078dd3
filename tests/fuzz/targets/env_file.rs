//! Environment files. Error messages never contain values.

#![no_main]

mod scratch;

use muster_config::{Source, load};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scratch::file("app.env", bytes);
    let text = "[program.app]\ncommand = \"app\"\nenv_file = \"app.env\"\n";
    let paths = [scratch::file("muster.toml", text.as_bytes())];
    let loaded =
        load(&Source::unguarded(&paths, &scratch::variable, "host"));
    for diagnostic in loaded.diagnostics.iter().take(2) {
        assert!(!diagnostic.text().is_empty());
    }
});
