//! Configuration, environment, pid and socket files in places that a less privileged user controls.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{self, Daemon, Setting};

const ATTACKER: u32 = 4242;

const SLEEPER: &str = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";

/// A directory of the attacker's inside one of root's.
fn home() -> Option<(tempfile::TempDir, PathBuf)> {
    if !harness::is_root() {
        harness::skip("needs root, to make files of another user");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory can be created");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("the test owns it");
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("a directory can be created");
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

/// The errors of `musterd` for a configuration that it must refuse.
fn refused(path: &Path, text: &str) -> String {
    fs::write(path, text).expect("it can be written");
    // Not the daemon itself: one that started by mistake would keep running.
    let mut command = Command::new(crate::harness::musterd());
    let ended = command.args(["check", "-c"]).arg(path).output().expect("it can be started");
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn a_fifo_as_environment_file_is_an_error_and_reloading_still_works() {
    let directory = tempfile::tempdir().expect("a directory can be created");
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
fn an_environment_file_that_is_a_users_link_to_a_secret_discloses_nothing() {
    let Some((directory, home)) = home() else { return };
    let secret = directory.path().join("secret");
    fs::write(&secret, "KEY=swordfish\n").expect("it can be written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the test owns it");
    symlink(&secret, home.join("app.env")).expect("a link can be created");
    let text = format!("{SLEEPER}user = \"4242:4242\"\nenv_file = \"{}\"\n", home.join("app.env").display());
    let said = refused(&directory.path().join("main.toml"), &text);
    assert!(said.contains("symbolic link") && !said.contains("swordfish"), "{said}");
}

#[test]
fn a_strangers_environment_file_is_refused_and_the_programs_own_users_is_read() {
    let Some((directory, home)) = home() else { return };
    let (file, main) = (home.join("app.env"), directory.path().join("main.toml"));
    fs::write(&file, "LD_PRELOAD=/home/attacker/evil.so\n").expect("it can be written");
    give(&file);
    let text = |user: &str| format!("{SLEEPER}env_file = \"{}\"\n{user}", file.display());
    for user in ["", "user = \"0:0\"\n", "user = \"4343:4343\"\n"] {
        let said = refused(&main, &text(user));
        assert!(said.contains("belongs to another user, uid 4242") && said.contains("must belong to root"), "{said}");
    }
    // A file of root's that any user may write is treated like another user's file.
    let open = directory.path().join("open.env");
    fs::write(&open, "A=1\n").expect("it can be written");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).expect("the test owns it");
    let said = refused(&main, &format!("{SLEEPER}env_file = \"{}\"\n", open.display()));
    assert!(said.contains("every user can write to"), "{said}");
    // The key `user` comes after env_file; another program without permission to read the file gets no error from this
    // one.
    fs::write(&file, "COLOUR=blue\n").expect("it can be written");
    let print = format!(
        "[program.web]\ncommand = \"sh -c 'echo $COLOUR; exec sleep 1000'\"\nenv_file = \"{}\"\nuser = \"4242:4242\"\n",
        file.display()
    );
    let daemon = Setting::supervising(&*print).start();
    daemon.wait_for_running("web");
    harness::wait_until("it prints its variable", || daemon.ctl_well(&["logs", "web"]).contains("blue"));
    // The same with a reload: nothing changes.
    let both = format!("{print}[program.root]\ncommand = \"sleep 1000\"\nenv_file = \"{}\"\n", file.display());
    daemon.rewrite(&Setting::supervising(&*both));
    let (status, said) = reload(&daemon);
    assert_eq!(status, 422, "{said}");
    assert!(said.contains("belongs to another user, uid 4242"), "{said}");
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
    symlink(&victim, home.join("muster.pid")).expect("a link can be created");
    let setting =
        Setting::supervising(SLEEPER).musterd(&format!("pidfile = \"{}\"", home.join("muster.pid").display()));
    let daemon = setting.start();
    daemon.wait_for_running("web");
    daemon.log.wait_for("the refusal", |line| line.message == "cannot write the pid file");
    assert_eq!(fs::read_to_string(&victim).expect("it exists"), "precious");
}

#[test]
fn no_socket_is_made_where_a_user_could_exchange_it() {
    let Some((directory, home)) = home() else { return };
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("it can be written");
    for name in ["muster.sock.lock", "muster.sock.new"] {
        symlink(&victim, home.join(name)).expect("a link can be created");
    }
    let socket = format!("socket = \"{}\"\nowner = \"4242:4242\"", home.join("muster.sock").display());
    let daemon = Setting::supervising(SLEEPER).http(&socket).launch();
    let line = daemon.log.wait_for("the refusal", |line| line.message.starts_with("no control socket"));
    assert!(line.message.contains("belongs to another user, uid 4242"), "{}", line.message);
    let about = fs::metadata(&victim).expect("it exists");
    assert_eq!((about.uid(), about.len()), (0, 8));
    assert!(!home.join("muster.sock").exists());
}

/// The daemon's processor time so far, in ticks.
fn ticks(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("it runs");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// A daemon whose own log goes to this file.
fn logging_to(file: &Path, more: &str) -> Setting {
    let keys = format!("loglevel = \"debug\"\nlogfile = \"{}\"\n{more}", file.display());
    Setting::supervising(SLEEPER).musterd(&keys)
}

#[test]
fn the_daemons_log_file_is_rotated_and_reopened_after_usr2() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let file = directory.path().join("logs/musterd.log");
    let daemon = logging_to(&file, "logfile_max_size = \"4KB\"\nlogfile_max_files = 2").start();
    daemon.wait_for_running("web");
    harness::wait_until("it is rotated", || {
        daemon.ctl_well(&["restart", "web"]);
        file.with_file_name("musterd.log.2").exists()
    });
    assert!(!file.with_file_name("musterd.log.3").exists());
    let moved = file.with_file_name("moved");
    fs::rename(&file, &moved).expect("the test owns it");
    daemon.signal(12);
    harness::wait_until("there is a new one", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("reopened log files"))
    });
}

#[test]
fn a_log_file_of_the_daemon_at_its_size_limit_does_not_delay_stopping() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let file = directory.path().join("musterd.log");
    let mut daemon = logging_to(&file, "").within(&["prlimit", "--fsize=2048", "--"]).start();
    daemon.wait_for_running("web");
    harness::wait_until("it is full", || {
        daemon.ctl_well(&["restart", "web"]);
        fs::metadata(&file).is_ok_and(|about| about.len() >= 2000)
    });
    let before = ticks(&daemon);
    daemon.ctl_well(&["restart", "web"]);
    assert!(ticks(&daemon) - before < 50, "it is in a busy loop");
    assert!(daemon.finish() < Duration::from_secs(15));
}

#[test]
fn the_daemons_log_file_is_not_one_that_a_user_could_exchange() {
    let Some((directory, home)) = home() else { return };
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("it can be written");
    symlink(&victim, home.join("musterd.log")).expect("a link can be created");
    for (path, reason) in [
        (home.join("musterd.log"), "belongs to another user, uid 4242"),
        (directory.path().join("musterd.log/x"), "not a directory"),
    ] {
        fs::write(directory.path().join("musterd.log"), "").expect("it can be written");
        let text = format!("[musterd]\nlogfile = \"{}\"\n{SLEEPER}", path.display());
        let main = directory.path().join("main.toml");
        fs::write(&main, text).expect("it can be written");
        let ended = Command::new(crate::harness::musterd()).arg("-c").arg(&main).output().expect("it can be started");
        let said = String::from_utf8_lossy(&ended.stderr).to_lowercase();
        assert!(!ended.status.success() && said.contains("[musterd] logfile") && said.contains(reason), "{said}");
    }
    assert_eq!(fs::read_to_string(&victim).expect("it exists"), "precious");
}

#[test]
fn a_users_file_under_an_included_name_is_neither_read_nor_shown() {
    type Kind = (&'static str, fn(&Path, &Path));
    let kinds: [Kind; 2] = [
        ("a link", |secret, part| symlink(secret, part).expect("it does not exist yet")),
        ("another name", |secret, part| fs::hard_link(secret, part).expect("it does not exist yet")),
    ];
    for (kind, put) in kinds {
        let Some((directory, home)) = home() else { return };
        let secret = directory.path().join("secret");
        fs::write(&secret, "root-only = \"words of root\"\n").expect("it can be written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the test owns it");
        put(&secret, &home.join("part.toml"));
        let text = format!("include = [\"{}/*.toml\"]\n{SLEEPER}", home.display());
        let shown = refused(&directory.path().join("muster.toml"), &text);
        assert!(shown.contains("part.toml") && !shown.contains("words of root"), "{kind}: {shown}");
    }
}

#[test]
fn a_world_writable_directory_is_trusted_only_on_a_read_only_mount() {
    if !harness::is_root() {
        return harness::skip("needs root, to mount");
    }
    let directory = tempfile::tempdir().expect("a directory can be created");
    let parts = directory.path().join("parts");
    fs::create_dir_all(parts.join("..data")).expect("a directory can be created");
    fs::write(parts.join("..data/web.toml"), SLEEPER).expect("it can be written");
    symlink("..data/web.toml", parts.join("web.toml")).expect("it does not exist yet");
    for path in [&parts, &parts.join("..data")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("the test owns it");
    }
    let main = directory.path().join("muster.toml");
    let shown = refused(&main, &format!("include = [\"{}/*.toml\"]\n", parts.display()));
    assert!(shown.contains("every user can replace files"), "{shown}");
    let check = format!("mount --bind -o ro $1 $1 && exec '{}' check -c $2", crate::harness::musterd());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &check, "sh"]).arg(&parts).arg(&main);
    let ended = command.output().expect("it can be started");
    if String::from_utf8_lossy(&ended.stderr).contains("permission denied") {
        return harness::skip("may not mount");
    }
    assert!(ended.status.success(), "{ended:?}");
}
