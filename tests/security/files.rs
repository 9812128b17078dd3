//! Files that a less privileged user controls and the daemon opens.
//!
//! The attacker is the user 65534, who owns the log's directory. The test itself creates what the attacker could create
//! on a kernel without link protection (`fs.protected_*` = 0).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::harness::{self, Daemon, Setting, is_root};
use tempfile::TempDir;

const ATTACKER: u32 = 65_534;

/// A directory of root's with `theirs`, which is the attacker's, and `secret`, which only root may read.
struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Option<Scene> {
        if !is_root() {
            harness::skip("files of another user need root");
            return None;
        }
        let scene = Scene { directory: tempfile::tempdir().expect("there is room") };
        fs::set_permissions(scene.directory.path(), fs::Permissions::from_mode(0o755)).expect("the test owns it");
        fs::create_dir(scene.at("theirs")).expect("it does not exist yet");
        chown(scene.at("theirs"), Some(ATTACKER), Some(ATTACKER)).expect("we are root");
        fs::write(scene.at("secret"), "root's words\n").expect("it does not exist yet");
        fs::set_permissions(scene.at("secret"), fs::Permissions::from_mode(0o600)).expect("the test owns it");
        Some(scene)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.at("secret")).expect("it exists")
    }

    /// A program of the attacker's that runs this, then sleeps, and writes to this log.
    fn program(&self, script: &str, log: &str, logs: &str) -> String {
        let log = self.at(log).display().to_string();
        format!(
            "[program.app]\nuser = \"65534:65534\"\ncommand = [\"sh\", \"-c\", '''{script}; exec sleep 1000''']\n\
             startsecs = 0\nlogs = {{ stdout = \"{log}\", {logs} }}\n"
        )
    }
}

const TEN_LINES: &str = "for i in 0 1 2 3 4 5 6 7 8 9; do echo line $i; done";

/// Enough to rotate a file of 10 KB at least five times.
const MANY_LINES: &str =
    "i=0; while [ $i -lt 1200 ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done";

fn put_file(path: &Path, owner: u32, mode: u32) {
    fs::write(path, "prepared\n").expect("the directory is there");
    chown(path, Some(owner), Some(owner)).expect("we are root");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("we are root");
}

fn wait_for_text(path: &Path, text: &str) {
    harness::wait_until(&format!("{text:?} is in {}", path.display()), || {
        fs::read_to_string(path).is_ok_and(|found| found.contains(text))
    });
}

fn wait_for_refusal(daemon: &Daemon) -> String {
    let line = daemon
        .log
        .wait_for("it is refused", |line| line.message == "a log file is refused, its lines go to the console");
    line.field("reason").unwrap_or_default()
}

#[test]
fn a_prepared_file_gives_neither_its_mode_nor_its_owner_to_the_next() {
    for mode in [0o4777, 0o2755, 0o6777, 0o1666] {
        let Some(scene) = Scene::new() else { return };
        put_file(&scene.at("theirs/app.log"), ATTACKER, mode);
        let logs = "max_size = \"10KB\", max_files = 20";
        let _daemon = Setting::supervising(scene.program(MANY_LINES, "theirs/app.log", logs)).start();
        wait_for_text(&scene.at("theirs/app.log"), "1199 ");
        for entry in fs::read_dir(scene.at("theirs")).expect("it exists").flatten() {
            let about = entry.metadata().expect("it exists");
            assert_eq!(about.uid(), ATTACKER, "{:?} with the mode {:o}", entry.path(), about.mode());
        }
        assert_eq!(fs::metadata(scene.at("theirs/app.log")).expect("it exists").mode() & 0o7777, 0o644);
        assert!(scene.at("theirs/app.log.2").exists());
    }
}

#[test]
fn a_link_to_a_secret_is_neither_written_nor_read_nor_emptied() {
    type Kind = (&'static str, fn(&Scene));
    let kinds: [Kind; 4] = [
        ("symbolic link", |scene| {
            symlink(scene.at("secret"), scene.at("theirs/app.log")).expect("it does not exist yet")
        }),
        ("link that is theirs", |scene| {
            symlink(scene.at("secret"), scene.at("theirs/app.log")).expect("it does not exist yet");
            let link = scene.at("theirs/app.log");
            std::os::unix::fs::lchown(link, Some(ATTACKER), Some(ATTACKER)).expect("we are root");
        }),
        ("hard link", |scene| {
            fs::hard_link(scene.at("secret"), scene.at("theirs/app.log")).expect("it does not exist yet")
        }),
        ("symbolic link above", |scene| {
            fs::remove_dir(scene.at("theirs")).expect("it is empty");
            fs::create_dir(scene.at("theirs")).expect("it does not exist yet");
            chown(scene.at("theirs"), Some(ATTACKER), Some(ATTACKER)).expect("we are root");
            symlink("..", scene.at("theirs/logs")).expect("it does not exist yet");
        }),
    ];
    for (kind, put) in kinds {
        let Some(scene) = Scene::new() else { return };
        put(&scene);
        let log = if kind == "symbolic link above" { "theirs/logs/secret" } else { "theirs/app.log" };
        let daemon = Setting::supervising(scene.program(TEN_LINES, log, "memory = 0")).start();
        let reason = wait_for_refusal(&daemon);
        assert!(!reason.is_empty(), "{kind}");
        harness::wait_until("its lines are on the console", || {
            String::from_utf8_lossy(&daemon.output()).contains("app | line 9\n")
        });
        let shown = daemon.ctl(&["logs", "app"]);
        assert!(!format!("{shown:?}").contains("root's words"), "{kind}: {shown:?}");
        daemon.ctl(&["clear", "app"]);
        assert_eq!(scene.secret(), "root's words\n", "{kind}");
    }
}

#[test]
fn existing_files_under_the_names_of_rotated_files_are_left_alone_and_block_nothing() {
    let Some(scene) = Scene::new() else { return };
    let theirs = |name: &str| scene.at(&format!("theirs/{name}"));
    symlink(scene.at("secret"), theirs("app.log.1")).expect("it does not exist yet");
    nix::unistd::mkfifo(&theirs("app.log.2"), nix::sys::stat::Mode::S_IRWXU).expect("it does not exist yet");
    symlink("/dev/urandom", theirs("app.log.3")).expect("it does not exist yet");
    fs::File::create(theirs("app.log.4")).and_then(|file| file.set_len(1 << 42)).expect("it does not exist yet");
    fs::hard_link(scene.at("secret"), theirs("app.log.5")).expect("it does not exist yet");
    symlink(scene.at("secret"), theirs("app.log.gz.unfinished")).expect("it does not exist yet");
    let other = scene.at("other.log");
    let beside = format!(
        "[program.other]\ncommand = [\"sh\", \"-c\", '''{MANY_LINES}; exec sleep 1000''']\nstartsecs = 0\n\
         logs = {{ stdout = \"{}\", max_size = \"10KB\", compress = true }}\n",
        other.display()
    );
    let logs = "max_size = \"10KB\", max_files = 30, compress = true";
    let programs = scene.program(MANY_LINES, "theirs/app.log", logs) + &beside;
    let daemon = Setting::supervising(programs).start();
    wait_for_text(&theirs("app.log"), "1199 ");
    wait_for_text(&other, "1199 ");
    harness::wait_until("both are compressed", || {
        theirs("app.log.1.gz").exists() && scene.at("other.log.1.gz").exists() && !theirs("app.log.1").exists()
    });
    assert_eq!(scene.secret(), "root's words\n");
    let total: u64 = fs::read_dir(scene.at("theirs"))
        .expect("it exists")
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|about| about.blocks() * 512)
        .sum();
    assert!(total < 1 << 20, "{total} bytes");
    assert!(daemon.ctl_well(&["status", "other"]).contains("RUNNING"));
}

#[test]
fn in_a_sticky_directory_a_squatted_name_is_refused() {
    let Some(scene) = Scene::new() else { return };
    fs::create_dir(scene.at("tmp")).expect("it does not exist yet");
    fs::set_permissions(scene.at("tmp"), fs::Permissions::from_mode(0o1777)).expect("the test owns it");
    put_file(&scene.at("tmp/app.log"), ATTACKER, 0o666);
    let program = scene.program(TEN_LINES, "tmp/app.log", "").replace("user = \"65534:65534\"\n", "");
    let daemon = Setting::supervising(program).start();
    let reason = wait_for_refusal(&daemon);
    assert!(reason.contains("belongs to another user, uid 65534"), "{reason}");
    assert_eq!(fs::read_to_string(scene.at("tmp/app.log")).expect("it exists"), "prepared\n");
}

#[test]
fn an_administrators_link_is_followed_and_its_target_rotated() {
    let Some(scene) = Scene::new() else { return };
    fs::create_dir(scene.at("data")).expect("it does not exist yet");
    symlink("data/web.log", scene.at("web.log")).expect("it does not exist yet");
    let _daemon = Setting::supervising(scene.program(MANY_LINES, "web.log", "max_size = \"10KB\"")).start();
    wait_for_text(&scene.at("data/web.log"), "1199 ");
    assert!(scene.at("data/web.log.1").exists() && !scene.at("web.log.1").exists());
    assert!(fs::symlink_metadata(scene.at("web.log")).expect("it exists").is_symlink());
}

#[test]
fn the_daemons_own_output_as_a_file_is_the_console_and_never_rotated() {
    let Some(scene) = Scene::new() else { return };
    let own = scene.at("own.out");
    for path in ["/dev/fd/1".to_owned(), "/proc/self/fd/1".to_owned(), own.display().to_string()] {
        let program = format!(
            "[program.app]\ncommand = [\"sh\", \"-c\", '''{MANY_LINES}; exec sleep 1000''']\nstartsecs = 0\n\
             logs = {{ stdout = \"{path}\", max_size = \"10KB\" }}\n"
        );
        fs::write(&own, "").expect("the test directory is writable");
        let daemon = Setting::supervising(program).stdout(own.clone()).start();
        wait_for_text(&own, "app | 1199 ");
        assert!(!scene.at("own.out.1").exists(), "{path}");
        assert!(daemon.ctl_well(&["status", "app"]).contains("RUNNING"), "{path}");
        drop(daemon);
        fs::remove_file(&own).expect("it exists");
    }
}

#[test]
fn the_file_is_there_at_the_start_with_its_directories_owner_and_mode() {
    let Some(scene) = Scene::new() else { return };
    let _daemon = Setting::supervising(scene.program("true", "a/b/app.log", "")).start();
    harness::wait_until("it is there", || scene.at("a/b/app.log").exists());
    for name in ["a", "a/b", "a/b/app.log"] {
        assert_eq!(fs::metadata(scene.at(name)).expect("it exists").uid(), ATTACKER, "{name}");
    }
    let logs = "max_size = \"10KB\", max_files = 9, mode = \"0640\", owner = \"65533:65532\"";
    let program = scene.program(MANY_LINES, "kept.log", logs);
    let _second = Setting::supervising(program).start();
    wait_for_text(&scene.at("kept.log"), "1199 ");
    for name in ["kept.log", "kept.log.1", "kept.log.2"] {
        let about = fs::metadata(scene.at(name)).expect("it exists");
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (65_533, 65_532, 0o640), "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_created_is_reported_before_anything_is_written() {
    let program = "[program.app]\ncommand = \"sleep 1000\"\nstartsecs = 0\nlogs = { stdout = \"/dev/null/app.log\" }\n";
    let daemon = Setting::supervising(program).start();
    daemon.log.wait_for("it is logged", |line| {
        line.message == "cannot write a log file, its lines are lost until it works again"
    });
}

/// The attacker's action on one of its files, by number.
fn shuffle(theirs: &Path, secret: &Path, number: u64) {
    let rotated = |number: u64| theirs.join(format!("app.log.{}", number % 6));
    let some = match (number >> 8) % 4 {
        0 => theirs.join("app.log"),
        1 => theirs.join("app.log.gz.unfinished"),
        2 => theirs.join(format!("app.log.{}.gz", (number >> 12) % 6)),
        _ => rotated(number >> 12),
    };
    let there = || fs::symlink_metadata(&some).map(|about| about.file_type());
    // An action fails if the daemon has changed the file meanwhile.
    let _ = match number % 8 {
        0 => symlink(secret, &some),
        1 => fs::hard_link(secret, &some),
        2 => nix::unistd::mkfifo(&some, nix::sys::stat::Mode::S_IRWXU).map_err(Into::into),
        3 => fs::create_dir(&some),
        4 => fs::rename(&some, rotated(number >> 20)),
        5 if there().is_ok_and(|kind| kind.is_file()) && fs::metadata(&some).is_ok_and(|about| about.nlink() == 1) => {
            fs::File::options().write(true).open(&some).and_then(|file| file.set_len((number >> 20) % 40_000))
        }
        _ if there().is_ok_and(|kind| kind.is_dir()) => fs::remove_dir(&some),
        _ => fs::remove_file(&some),
    };
    let _ = std::os::unix::fs::lchown(&some, Some(ATTACKER), Some(ATTACKER)).and_then(|()| {
        // The secret has two names now, and is still root's.
        if fs::symlink_metadata(&some)?.nlink() > 1 { chown(secret, Some(0), Some(0)) } else { Ok(()) }
    });
}

#[test]
fn an_attacker_that_shuffles_its_log_files_all_the_time_gains_nothing() {
    let Some(scene) = Scene::new() else { return };
    let script = "i=0; while :; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done";
    let program =
        scene.program(script, "theirs/app.log", "max_size = \"10KB\", max_files = 5, compress = true, memory = 0");
    let daemon = Setting::supervising(program).start();
    wait_for_text(&scene.at("theirs/app.log"), " 0123456789");
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..4000 {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        shuffle(&scene.at("theirs"), &scene.at("secret"), number);
        if round % 400 == 0 {
            daemon.ctl(&["clear", "app"]);
            let shown = daemon.ctl(&["logs", "app"]);
            assert!(!format!("{shown:?}").contains("root's words"), "{shown:?}");
            daemon.signal(12);
        }
    }
    assert_eq!(scene.secret(), "root's words\n");
    let about = fs::metadata(scene.at("secret")).expect("it exists");
    assert_eq!((about.uid(), about.mode() & 0o7777), (0, 0o600));
    // Once the attack has stopped and the directory is empty, it keeps working.
    fs::remove_dir_all(scene.at("theirs")).expect("we are root");
    fs::create_dir(scene.at("theirs")).expect("it does not exist yet");
    chown(scene.at("theirs"), Some(ATTACKER), Some(ATTACKER)).expect("we are root");
    wait_for_text(&scene.at("theirs/app.log"), " 0123456789");
    assert_eq!(daemon.client.get("/livez").status, 200);
}
