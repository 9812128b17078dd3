//! `watch` in every form.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use common::{only, seconds};
use muster_spec::{Signal, WatchAction, WatchPath, WatchRate, WatchSpec};

fn read(value: &str) -> WatchSpec {
    *only(&format!("watch = {value}")).watch.unwrap()
}

fn patterns(value: &str) -> Vec<String> {
    read(value).paths.iter().map(|path| path.text().to_owned()).collect()
}

#[test]
fn paths_are_made_absolute_and_words_stand_for_other_keys() {
    assert_eq!(only("").watch, None);
    assert_eq!(only("watch = []").watch, None);
    let expected = WatchSpec::of(vec![WatchPath::Pattern("/app/**/*.py".to_owned()), WatchPath::Command]);
    assert_eq!(read("[\"/app/./x/../**/**/*.py\", \"@command\"]"), expected);
    assert_eq!(patterns("\"/app/\""), ["/app"]);
    assert_eq!(patterns("[\"@secrets\", \"@env_file\"]"), ["@secrets", "@env_file"]);
    assert!(patterns("\"src/*.py\"")[0].ends_with("/src/*.py"));
}

#[test]
fn a_table_has_the_rest() {
    let table = "{ paths = \"/app\", exclude = [\"*.tmp\", \"target/\", \"/app/x/\"], debounce = \"2s\", action = \"usr1\", \
                 at_most = \"3/h\", poll = 1 }";
    let expected = WatchSpec {
        exclude: ["*.tmp", "target", "/app/x"].map(str::to_owned).to_vec(),
        debounce: seconds(2),
        action: WatchAction::Signal(Signal::USR1),
        at_most: WatchRate { times: 3, per: seconds(3600) },
        poll: Some(seconds(1)),
        ..WatchSpec::of(vec![WatchPath::Pattern("/app".to_owned())])
    };
    assert_eq!(read(table), expected);
    let action = |word: &str| read(&format!("{{ paths = \"/app\", action = {word} }}")).action;
    assert_eq!((action("\"restart\""), action("\"reload\"")), (WatchAction::Restart, WatchAction::Reload));
    assert_eq!(action("1"), WatchAction::Signal(Signal::HUP));
}

#[test]
fn files_of_variables_are_known_for_each_instance() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("web.env");
    std::fs::write(&path, "A=1\n").unwrap();
    let program = only(&format!("env_file = [\"{}\", \"?/missing.env\"]", path.display()));
    let expected = [path, "/missing.env".into()];
    assert_eq!(*program.instances[0].variable_files, expected);
}
