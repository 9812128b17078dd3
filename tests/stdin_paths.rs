//! `stdin = "fifo:PATH"` and `"file:PATH"`: opened at each start, with the rights of the program's user.

mod harness;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};

use harness::{Daemon, Setting, is_root, skip, wait_until};

const USER: u32 = 12_345;

/// Copies its standard input to a file, and says so when that has ended.
fn copier(stdin: &str, more: &str) -> String {
    format!(
        "[program.web]\ncommand = [\"sh\", \"-c\", \"cat >> {{here}}/home/got; echo end >> {{here}}/home/got\"]\nstdin = \"{stdin}\"\n\
         startsecs = 0\nrestart = \"no\"\nautostart = false\nstartretries = 0\n{more}\n"
    )
}

/// A daemon with a directory that belongs to the user.
fn with_home(setting: Setting) -> Daemon {
    let daemon = setting.start();
    fs::set_permissions(daemon.path(""), fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::create_dir(daemon.path("home")).expect("it is ours");
    if is_root() {
        chown(daemon.path("home"), Some(USER), Some(USER)).expect("root may");
    }
    daemon
}

fn got(daemon: &Daemon) -> String {
    fs::read_to_string(daemon.path("home/got")).unwrap_or_default()
}

fn type_into(daemon: &Daemon, text: &str) {
    let mut fifo = OpenOptions::new().write(true).open(daemon.path("home/in")).expect("it has a reader");
    fifo.write_all(text.as_bytes()).expect("it is open");
}

#[test]
fn a_fifo_is_made_for_the_user_and_stays_open_between_writers() {
    let setting =
        Setting::supervising(copier("fifo:{here}/home/in", if is_root() { "user = \"12345:12345\"" } else { "" }));
    let mut daemon = with_home(setting);
    daemon.ctl_well(&["start", "web"]);
    let about = fs::symlink_metadata(daemon.path("home/in")).expect("it was made");
    assert!(about.file_type().is_fifo());
    assert_eq!(about.mode() & 0o777, 0o600);
    assert_eq!(about.uid(), if is_root() { USER } else { harness::own_uid() });
    for text in ["one\n", "two\n"] {
        type_into(&daemon, text);
        wait_until("it was read", || got(&daemon).ends_with(text));
    }
    assert_eq!(got(&daemon), "one\ntwo\n", "a writer that leaves is not the end");
    daemon.ctl_well(&["restart", "web"]);
    type_into(&daemon, "three\n");
    wait_until("it was read", || got(&daemon).ends_with("three\n"));
    // The API does not write to it, and says where it is.
    let answer = daemon.client.post("/v1/programs/web/stdin");
    assert!(answer.body.contains("/in"), "{}", answer.body);
    let config = daemon.client.get("/v1/config").json();
    let shown = config["programs"]["web"]["stdin"].as_str().expect("it is text").to_owned();
    assert_eq!(shown, format!("fifo:{}", daemon.path("home/in").display()));
    daemon.finish();
}

#[test]
fn a_file_is_read_from_its_beginning_at_each_start() {
    let mut daemon = with_home(Setting::supervising(copier("file:{here}/home/in", "")));
    let failed = daemon.ctl(&["start", "web"]);
    assert_ne!(failed.code, Some(0));
    assert!(daemon.ctl(&["why", "web"]).out.contains("no such file"), "{}", daemon.ctl(&["why", "web"]).out);
    for text in ["first\n", "second\n"] {
        fs::write(daemon.path("home/in"), text).expect("it is ours");
        daemon.ctl(&["start", "web"]);
        wait_until("it was read to its end", || got(&daemon).ends_with(&format!("{text}end\n")));
        daemon.wait_for_state("web", "EXITED");
    }
    assert_eq!(got(&daemon), "first\nend\nsecond\nend\n");
    daemon.finish();
}

/// The attacks: what the program's user puts at the path, and a path that the user could not read.
#[test]
fn nothing_is_opened_that_the_user_could_not_open() {
    if !is_root() {
        return skip("only root has several users");
    }
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(secret.path(), "hunter2").expect("it is ours");
    let of = |stdin: &str| with_home(Setting::supervising(copier(stdin, "user = \"12345:12345\"")));
    let (fifo, file) = (of("fifo:{here}/home/in"), of("file:{here}/home/in"));
    let of_root = of(&format!("file:{}", secret.path().display()));
    for daemon in [&fifo, &file] {
        symlink(secret.path(), daemon.path("home/in")).expect("it is free");
    }
    for mut daemon in [fifo, file, of_root] {
        assert_ne!(daemon.ctl(&["start", "web"]).code, Some(0));
        let why = daemon.ctl(&["why", "web"]).out;
        assert!(why.contains("stdin f"), "{why}");
        assert!(!got(&daemon).contains("hunter2"));
        daemon.finish();
    }
}
