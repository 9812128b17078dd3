//! Configuration, environment, pid and socket files where a less privileged user can shape them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{self, Daemon, Setting};

const ATTACKER: u32 = 4242;

const SLEEPER: &str = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";

/// A directory of the attacker's, in one of root's.
fn home() -> Option<(tempfile::TempDir, PathBuf)> {
    if !harness::is_root() {
        harness::skip("needs root, to make files of another user");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory can be made");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("a directory can be made");
    give(&home);
    Some((directory, home))
}

fn give(path: &Path) {
    chown(path, Some(ATTACKER), Some(ATTACKER)).expect("root may give files away");
}

fn reload(daemon: &Daemon) -> (u16, String) {
    let answer = daemon.client.post("/v1/config/reload");
    (answer.status, answer.body)
}

/// What `musterd` says of a configuration that it must not start with.
fn refused(path: &Path, text: &str) -> String {
    fs::write(path, text).expect("it can be written");
    let ended = Command::new(env!("CARGO_BIN_EXE_musterd")).arg("-c").arg(path).output().expect("it can be started");
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn a_fifo_as_environment_file_is_an_error_and_reloading_goes_on() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("app.env");
    fs::write(&file, "A=1\n").expect("it can be written");
    let with_file = format!("{SLEEPER}env_file = \"{}\"\n", file.display());
    let daemon = Setting::supervising(&*with_file).start();
    daemon.wait_for_running("web");
    fs::remove_file(&file).expect("it can be removed");
    mkfifo(&file, Mode::S_IRWXU).expect("a FIFO can be made");
    for _ in 0..3 {
        let (status, text) = reload(&daemon);
        assert_eq!(status, 422, "{text}");
        assert!(text.contains("not a regular file"), "{text}");
    }
    fs::remove_file(&file).expect("it can be removed");
    fs::write(&file, "A=2\n").expect("it can be written");
    assert_eq!(reload(&daemon).0, 200);
}

#[test]
fn an_environment_file_that_is_a_users_link_to_a_secret_gives_nothing_away() {
    let Some((directory, home)) = home() else { return };
    let secret = directory.path().join("secret");
    fs::write(&secret, "KEY=swordfish\n").expect("it can be written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
    symlink(&secret, home.join("app.env")).expect("a link can be made");
    let text = format!("{SLEEPER}env_file = \"{}\"\n", home.join("app.env").display());
    let said = refused(&directory.path().join("main.toml"), &text);
    assert!(said.contains("symbolic link") && !said.contains("swordfish"), "{said}");
}

#[test]
fn a_file_of_another_user_is_not_included_with_roots_authority() {
    let Some((directory, home)) = home() else { return };
    let part = home.join("part.toml");
    fs::write(&part, "[program.evil]\ncommand = \"sleep 1000\"\n").expect("it can be written");
    give(&part);
    let text = format!("include = [\"{}/*.toml\"]\n{SLEEPER}", home.display());
    let said = refused(&directory.path().join("main.toml"), &text);
    assert!(said.contains("belongs to another user (uid 4242)"), "{said}");
}

#[test]
fn the_pid_file_stays_out_of_a_users_directory() {
    let Some((directory, home)) = home() else { return };
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("it can be written");
    symlink(&victim, home.join("muster.pid")).expect("a link can be made");
    let setting =
        Setting::supervising(SLEEPER).musterd(&format!("pidfile = \"{}\"", home.join("muster.pid").display()));
    let daemon = setting.start();
    daemon.wait_for_running("web");
    daemon.log.wait_for("the refusal", |line| line.message == "cannot write the pid file");
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
}

#[test]
fn no_socket_is_made_where_a_user_could_exchange_it() {
    let Some((directory, home)) = home() else { return };
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("it can be written");
    for name in ["muster.sock.lock", "muster.sock.new"] {
        symlink(&victim, home.join(name)).expect("a link can be made");
    }
    let socket = format!("socket = \"{}\"\nowner = \"4242:4242\"", home.join("muster.sock").display());
    let daemon = Setting::supervising(SLEEPER).http(&socket).launch();
    let line = daemon.log.wait_for("the refusal", |line| line.message.starts_with("no control socket"));
    assert!(line.message.contains("belongs to another user, uid 4242"), "{}", line.message);
    let about = fs::metadata(&victim).expect("it is there");
    assert_eq!((about.uid(), about.len()), (0, 8));
    assert!(!home.join("muster.sock").exists());
}
