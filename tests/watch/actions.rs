//! The effects of a change: by action, state and rate; words for the files of other keys; reloads.

use std::fs;
use std::process::Command;

use super::{Tree, assert_restarts, causes, looks, setting, wait_for_cause, watching, web};
use crate::harness::{musterd, wait_until};

/// Counts HUP and USR1, and goes on.
const COUNTING: &str = "command = [\"sh\", \"-c\", \"trap 'echo got HUP' HUP; trap 'echo got USR1' USR1; echo up; while :; do sleep 0.1; done\"]";

#[test]
fn a_change_can_send_a_signal() {
    for (action, expected) in [("reload", "got HUP"), ("HUP", "got HUP"), ("USR1", "got USR1")] {
        let tree = Tree::new();
        let watch = format!("watch = {{ paths = [\"@/*.py\"], action = \"{action}\" }}");
        let daemon = watching(web(&tree, &watch).replace("command = \"sleep 1000\"", COUNTING));
        let pid = daemon.wait_for_running("web");
        let said = |what: &str| daemon.ctl_well(&["logs", "web"]).contains(what);
        wait_until("it is up", || said("up"));
        tree.write("api.py", "2");
        wait_until("it got the signal", || said(expected));
        assert_eq!(daemon.wait_for_running("web"), pid, "{action}");
    }
}

#[test]
fn a_program_without_a_signal_for_reloads_is_restarted() {
    let tree = Tree::new();
    let more = "watch = { paths = [\"@/*.py\"], action = \"reload\" }\nreloadsignal = \"\"";
    let daemon = watching(web(&tree, more));
    tree.write("api.py", "2");
    assert_restarts(&daemon, &tree, &["api.py changed"]);
}

#[test]
fn the_musterctl_of_the_developer_says_which_file_it_was() {
    let tree = Tree::new();
    let daemon = watching(web(&tree, "watch = [\"@\"]"));
    tree.write("api.py", "2");
    wait_for_cause(&daemon, "web", "api.py changed");
    let told = daemon.ctl_well(&["why", "web"]);
    assert!(told.contains("api.py changed"), "{told}");
    let line = daemon.log.wait_for_program("web", "watched files have changed");
    assert_eq!(line.field("files").as_deref(), Some("api.py"));
}

#[test]
fn a_program_that_failed_starts_with_the_save_and_one_that_was_stopped_does_not() {
    let tree = Tree::new();
    let script = format!("command = [\"sh\", \"-c\", \". {}\"]", tree.at("api.py").display());
    tree.write("api.py", "exit 1");
    let more = "startretries = 0\nwatch = [\"@/*.py\"]";
    let daemon = setting(web(&tree, more).replace("command = \"sleep 1000\"", &script)).start();
    wait_until("the files are watched", || looks(&daemon) > 0);
    daemon.wait_for_state("web", "FATAL");
    tree.write("api.py", "exec sleep 1000");
    daemon.wait_for_running("web");

    daemon.ctl_well(&["stop", "web"]);
    let before = daemon.log.saying("watched files have changed").len();
    tree.write("api.py", "exec sleep 1001");
    wait_until("it was noticed", || daemon.log.saying("watched files have changed").len() > before);
    daemon.settled_log();
    assert_eq!(daemon.state("web"), "STOPPED");
}

#[test]
fn instances_are_restarted_one_after_another_where_they_roll() {
    let tree = Tree::new();
    let daemon = setting(web(&tree, "numprocs = 3\nrolling = 1\nwatch = [\"@/*.py\"]")).start();
    wait_until("the files are watched", || looks(&daemon) > 0);
    for number in 0..3 {
        daemon.wait_for_running(&format!("web:{number}"));
    }
    tree.write("api.py", "2");
    (0..3).for_each(|number| assert_eq!(wait_for_cause(&daemon, &format!("web:{number}"), "api.py changed").len(), 1));
    daemon.wait_for_running("web:2");
}

#[test]
fn changes_beyond_at_most_are_held_and_not_lost() {
    let tree = Tree::new();
    let watch = "watch = { paths = [\"@/*.py\"], debounce = \"50ms\", at_most = \"2/m\" }";
    let daemon = watching(web(&tree, watch));
    for count in 1..=2 {
        tree.write("api.py", &count.to_string());
        wait_until("it is restarted", || causes(&daemon, "web").len() == count);
        daemon.wait_for_running("web");
    }
    tree.write("api.py", "3");
    let line = daemon.log.wait_for_program("web", "watched files change too often: held back, as at_most says");
    assert!(line.field("left").is_some_and(|left| left.ends_with('s')), "{line:?}");
    assert_eq!(causes(&daemon, "web").len(), 2);
    // A rule that a reload changes lets it go.
    let text = fs::read_to_string(daemon.path("muster.toml")).expect("its configuration");
    fs::write(daemon.path("muster.toml"), text.replace("2/m", "3/m")).expect("it is ours");
    daemon.ctl_well(&["update"]);
    wait_until("it is restarted", || causes(&daemon, "web").len() == 3);
}

#[test]
fn a_reload_adds_changes_and_removes_it_in_place() {
    let tree = Tree::new();
    let daemon = setting(web(&tree, "")).start();
    let pid = daemon.wait_for_running("web");
    let rewrite = |watch: &str| {
        let before = looks(&daemon);
        daemon.rewrite(&setting(web(&tree, watch)));
        daemon.ctl_well(&["update"]);
        wait_until("the files are watched", || watch.is_empty() || looks(&daemon) > before);
    };
    rewrite("watch = [\"@/api.py\"]");
    rewrite("watch = [\"@/other.py\"]");
    assert_eq!(daemon.wait_for_running("web"), pid);
    let shown = daemon.client.get("/v1/config").json()["programs"]["web"]["watch"].clone();
    assert_eq!((shown["action"].as_str(), shown["at_most"].as_str()), (Some("restart"), Some("10/m")), "{shown}");
    tree.write("api.py", "2");
    assert_restarts(&daemon, &tree, &[]);
    let pid = daemon.wait_for_running("web");
    rewrite("");
    tree.write("other.py", "3");
    daemon.ctl_well(&["update"]);
    let inotify = |daemon: &crate::harness::Daemon| {
        let open = crate::harness::find(daemon.pid()).map(|process| process.descriptors()).unwrap_or_default();
        open.values().filter(|target| target.contains("inotify")).count()
    };
    wait_until("the kernel's reports are given up", || inotify(&daemon) == 0);
    assert_eq!(daemon.wait_for_running("web"), pid);
}

#[test]
fn files_of_other_keys_are_watched_by_their_words() {
    let tree = Tree::new();
    tree.write("token", "one");
    tree.write("web.env", "COLOUR=blue\n");
    fs::copy("/bin/sleep", tree.at("worker")).expect("it can be copied");
    let more = "secrets = { TOKEN = \"@/token\" }\nenv_file = [\"@/web.env\"]\n\
                watch = [\"@secrets\", \"@env_file\", \"@command\", \"@/other.py\"]";
    let more = more.replace("\"@/", &format!("\"{}/", tree.path().display()));
    let script = format!("command = [\"{}\", \"1000\"]", tree.at("worker").display());
    let programs = format!("[program.web]\nstartsecs = 0\n{script}\n{more}\n");
    let daemon = watching(programs);
    let variable = |name: &str| {
        let pid = daemon.wait_for_running("web");
        let text = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
        text.split('\0').find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    tree.write("token", "two");
    wait_for_cause(&daemon, "web", "token changed");
    assert_eq!(variable("TOKEN=").as_deref(), Some("two"));
    tree.write("web.env", "COLOUR=green\n");
    wait_until("it has the new variable", || variable("COLOUR=").as_deref() == Some("green"));
    fs::copy("/bin/sleep", tree.at("worker.new")).expect("it can be copied");
    fs::rename(tree.at("worker.new"), tree.at("worker")).expect("it is ours");
    wait_for_cause(&daemon, "web", "worker changed");
    // A comment changes no variable, and an error of the file has no effect but on the log.
    let before = causes(&daemon, "web").len();
    tree.write("web.env", "# new\nCOLOUR=green\n");
    wait_until("it is restarted", || causes(&daemon, "web").len() == before + 1);
    daemon.wait_for_running("web");
    tree.write("web.env", "no line of a variable\n");
    daemon.log.wait_for("the reload fails", |line| line.message.contains("has changed, but the configuration has"));
    tree.write("other.py", "2");
    wait_for_cause(&daemon, "web", "other.py changed");
    assert_eq!(causes(&daemon, "web").len(), before + 2);
}

#[test]
fn a_change_of_variables_together_with_another_one_is_one_restart() {
    let tree = Tree::new();
    tree.write("web.env", "COLOUR=blue\n");
    let more = format!("env_file = [\"{}\"]\nwatch = [\"@env_file\", \"@/*.py\"]", tree.at("web.env").display());
    let more = more.replace("\"@/", &format!("\"{}/", tree.path().display()));
    let daemon = watching(format!("[program.web]\nstartsecs = 0\ncommand = \"sleep 1000\"\n{more}\n"));
    tree.write("web.env", "COLOUR=green\n");
    tree.write("api.py", "2");
    wait_until("it is restarted", || causes(&daemon, "web").len() == 1);
    assert_restarts(&daemon, &tree, &["the configuration changed"]);
    // The file of variables is wrong, and the other change still counts.
    tree.write("web.env", "no line of a variable\n");
    tree.write("api.py", "3");
    wait_until("it is restarted", || causes(&daemon, "web").len() == 3);
}

#[test]
fn a_poll_finds_what_is_not_reported() {
    let tree = Tree::new();
    let daemon = watching(web(&tree, "watch = { paths = [\"@/**/*.py\"], poll = \"100ms\" }"));
    tree.write("api.py", "22");
    wait_until("it is restarted", || causes(&daemon, "web").len() == 1);
    fs::create_dir(tree.at("a")).expect("it is ours");
    tree.write("a/b.py", "1");
    wait_until("it is restarted", || causes(&daemon, "web").len() == 2);
    assert_eq!(causes(&daemon, "web"), ["a watched file changed", "a watched file changed"]);
}

#[test]
fn mistakes_are_named() {
    for (watch, expected) in [
        ("[\"@secret\"]", "did you mean \"@secrets\"?"),
        ("[\"/\"]", "would be every file"),
        ("[\"/app/**.py\"]", "** beside other characters"),
        ("{ exclude = [] }", "lacks paths"),
        ("{ paths = [\"/a\"], action = \"stop\" }", "restart, reload or a signal"),
        ("{ paths = [\"/a\"], at_most = \"10\" }", "a number per s, m or h"),
        ("{ paths = [\"/a\"], poll = \"1ms\" }", "must be at least 100ms"),
        ("{ paths = [\"/a\"], path = 1 }", "is not a key of watch"),
    ] {
        let place = tempfile::tempdir().expect("a temporary directory");
        let main = place.path().join("main.toml");
        fs::write(&main, format!("[program.web]\ncommand = \"true\"\nwatch = {watch}\n")).expect("it is ours");
        let checked = crate::harness::ended(Command::new(musterd()).arg("check").arg("-c").arg(&main));
        let said = checked.out + &checked.err;
        assert!(checked.code == Some(2) && said.contains(expected), "{watch}: {:?} {said}", checked.code);
    }
}
