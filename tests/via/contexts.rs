//! Several daemons at once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{self, ended};
use crate::{Far, PROGRAMS, Running, elsewhere};

fn contexts(directory: &Path, text: &str) -> Command {
    let path = directory.join("musterctl");
    fs::create_dir_all(&path).expect("the test owns the directory");
    fs::write(path.join("contexts.toml"), text).expect("the test owns the directory");
    fs::set_permissions(path.join("contexts.toml"), fs::Permissions::from_mode(0o600)).expect("the test owns it");
    let mut command = elsewhere();
    command.env("XDG_CONFIG_HOME", directory);
    command
}

#[test]
fn several_contexts_are_one_table_or_have_their_names_before_each_line() {
    let (one, two) = (Far::started(PROGRAMS), Far::started(PROGRAMS));
    let text = format!(
        "[context.shop-1]\nvia = \"{}\"\n[context.shop-2]\nvia = [\"{}\"]\n[context.local]\nurl = \"{}\"\n\
         [context.gone]\nvia = \"sh -c 'echo no such host >&2; exit 255'\"\n",
        one.via(),
        two.command.display(),
        one.daemon.socket().display(),
    );
    let directory = tempfile::tempdir().expect("there is a place for files");
    let ctl = |words: &[&str]| ended(contexts(directory.path(), &text).args(words));

    let single = ctl(&["-x", "shop-2", "version"]);
    assert_eq!((single.code, single.out), (Some(0), one.daemon.ctl(&["version"]).out));
    let status = ctl(&["-x", "shop-*", "status", "web", "idle"]);
    assert_eq!(status.code, Some(3), "{status:?}");
    let lines: Vec<&str> = status.out.lines().collect();
    assert!(
        lines.len() == 4 && lines[1].starts_with("shop-1 | web ") && lines[2].starts_with("shop-2 | idle "),
        "{status:?}"
    );
    let ps = ctl(&["-x", "shop-1,shop-2", "ps", "web"]);
    let lines: Vec<&str> = ps.out.lines().collect();
    assert!(lines[0].starts_with("CONTEXT  PROGRAM  PID"), "{ps:?}");
    assert!(lines[1].starts_with("shop-1   web"), "{ps:?}");
    assert!(lines.iter().any(|line| line.starts_with("shop-2   web")), "{ps:?}");
    assert_eq!(ctl(&["-x", "shop-*", "restart", "idle"]).out, "shop-1 | idle: started\nshop-2 | idle: started\n");
    let json = ctl(&["-x", "shop-*", "status", "web", "--json"]);
    let parsed: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(parsed[1]["context"], "shop-2");
    assert_eq!(parsed[1]["data"][0]["state"], "RUNNING");

    // The highest exit code, and the failure with its context.
    let partly = ctl(&["-x", "*", "health"]);
    assert_eq!(partly.code, Some(7), "{partly:?}");
    assert!(partly.err.contains("gone: error: no daemon answers via"), "{partly:?}");
    assert!(partly.out.contains("shop-1 | "), "{partly:?}");
    let stop = ctl(&["-x", "shop-*", "stop", "web"]);
    assert_eq!((stop.code, stop.out.as_str()), (Some(2), ""), "{stop:?}");
    assert_eq!(ctl(&["-x", "nowhere", "status"]).code, Some(2));

    let tried = ctl(&["contexts"]);
    assert_eq!(tried.code, Some(7), "{tried:?}");
    assert!(tried.out.lines().any(|line| line.starts_with("shop-1 ") && line.contains("musterd ")), "{tried:?}");
    assert!(tried.out.lines().any(|line| line.starts_with("gone ") && line.contains("no such host")), "{tried:?}");
    let listed = ctl(&["contexts", "--no-try", "--json"]);
    assert_eq!(listed.code, Some(0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed.out).expect("it is JSON")[0]["name"], "gone");
    one.assert_no_process_is_left();
    two.assert_no_process_is_left();
}

#[test]
fn logs_of_several_contexts_are_followed_until_the_reader_leaves() {
    let (one, two) = (Far::started(PROGRAMS), Far::started(PROGRAMS));
    let text = format!("[context.a]\nvia = \"{}\"\n[context.bb]\nvia = \"{}\"\n", one.via(), two.via());
    let directory = tempfile::tempdir().expect("there is a place for files");
    let mut command = contexts(directory.path(), &text);
    command.args(["-x", "a,bb", "logs", "-f", "web"]).stdout(Stdio::piped());
    let mut child = command.spawn().map(Running).expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for"));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("it is text") > 0);
        seen.push(line);
    }
    seen.sort();
    assert_eq!(seen, ["a  | web is up\n", "bb | web is up\n"]);
    drop(lines);
    one.daemon.ctl_well(&["restart", "web"]);
    let status = harness::wait_for("musterctl ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.code(), Some(0));
    one.assert_no_process_is_left();
    two.assert_no_process_is_left();
}
