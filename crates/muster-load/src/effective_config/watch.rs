//! `watch` of a program.

use muster_spec::{WatchAction, WatchPath, WatchRate, WatchSpec};
use serde_json::{Value, json};

use super::{rate_unit, seconds};

/// The table with all its keys.
pub(super) fn watch(spec: &WatchSpec) -> Value {
    let WatchSpec { paths, exclude, debounce, action, at_most: WatchRate { times, per }, poll } = spec;
    json!({
        "paths": paths.iter().map(WatchPath::text).collect::<Vec<_>>(),
        "exclude": exclude,
        "debounce": seconds(*debounce),
        "action": match action {
            WatchAction::Restart => "restart".to_owned(),
            WatchAction::Reload => "reload".to_owned(),
            WatchAction::Signal(signal) => signal.to_string(),
        },
        "at_most": format!("{times}/{}", rate_unit(*per)),
        "poll": poll.map(seconds),
    })
}
