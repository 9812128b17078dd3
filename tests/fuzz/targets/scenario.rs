//! Scenarios of `musterd simulate`: parsed, not played.

#![no_main]

mod scratch;

use muster_simulate::scenario::load_scenario;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = scratch::file("scenario.toml", bytes);
    let scenario = load_scenario(&path, &scratch::variable, "host", &muster_config::open_any);
    for diagnostic in scenario.loaded.diagnostics.iter().take(2) {
        assert!(!diagnostic.text().is_empty());
    }
});
