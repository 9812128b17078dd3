//! `secrets` and `credentials`: a process has what the files hold when it starts, and nothing else shows or keeps it.

mod harness;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Daemon, Setting, ended, is_acceptance, is_root, skip, wait_until};
use tempfile::TempDir;

/// A directory for originals that every user can enter.
fn originals() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
    directory
}

fn write(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("it is ours");
    path
}

/// The value of a variable in the environment of a process.
fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("it runs");
    let mut entries = environment.split(|&byte| byte == 0);
    let prefix = format!("{name}=");
    entries.find_map(|entry| entry.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec))
}

/// Whether the memory of a process has these bytes.
fn remembers(pid: i32, bytes: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read it");
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    let found = |line: &str| {
        let (range, _) = line.split_once(' ').expect("a line of proc(5)");
        let (start, end) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
        let (start, end) = (number(start), number(end));
        let mut content = vec![0; (end - start) as usize];
        let is_read = memory.read_exact_at(&mut content, start).is_ok();
        is_read && content.windows(bytes.len()).any(|window| window == bytes)
    };
    writable.into_iter().any(found)
}

fn names_in(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

#[test]
fn only_the_process_has_the_value() {
    if !is_root() {
        return skip("only root can read the daemon's memory");
    }
    let place = originals();
    let text = write(&place, "db_password", "correct-horse-battery\n");
    // As large as one may be, with bytes that are no text.
    let binary: Vec<u8> =
        (0..64 * 1024_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
    let large = write(&place, "large", &binary);
    let key = write(&place, "key", "a-private-key-of-its-own");
    let programs = format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n\
         environment = {{ PLAIN = \"shown\" }}\ncredentials = [\"tls={}\"]\n\
         secrets = {{ DB_PASSWORD = {text:?}, LARGE = {large:?}, NONE = \"?/no/such/file\" }}\n",
        key.display()
    );
    let mut daemon = Setting::supervising(programs).musterd("exit_when_done = false\nloglevel = \"trace\"").start();
    let pid = daemon.wait_for_running("web");
    wait_until("sleep is executed", || harness::find(pid).is_some_and(|it| it.command.contains("sleep")));
    assert_eq!(variable(pid, "DB_PASSWORD").as_deref(), Some(&b"correct-horse-battery"[..]));
    assert_eq!(variable(pid, "LARGE"), Some(binary.clone()));
    assert_eq!(variable(pid, "NONE"), None);
    assert_eq!(variable(pid, "PLAIN").as_deref(), Some(&b"shown"[..]));
    let mut shown = vec![daemon.log.text(), daemon.ctl_well(&["why", "web"])];
    for path in ["/v1/config", "/v1/programs", "/v1/programs/web", "/v1/programs/web/why", "/v1/processes", "/metrics"]
    {
        shown.push(daemon.client.get(path).body);
    }
    for text in &shown {
        assert!(!text.contains("correct-horse") && !text.contains("a-private-key"), "{text}");
    }
    assert!(shown.iter().any(|text| text.contains("db_password")), "the path is no secret");
    let own = daemon.pid();
    assert_eq!(variable(own, "DB_PASSWORD"), None);
    assert!(remembers(pid, b"correct-horse"), "otherwise this test shows nothing");
    for value in [&b"correct-horse"[..], b"a-private-key", &binary[1000..1064]] {
        assert!(!remembers(own, value), "{} is left in the daemon's memory", String::from_utf8_lossy(value));
    }
    daemon.finish();
}

/// A program with these keys that is tried once.
fn tried_once(name: &str, keys: &str) -> String {
    format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nstartretries = 0\n{keys}")
}

fn assert_failed(daemon: &Daemon, name: &str, reason: &str) {
    daemon.wait_for_state(name, "FATAL");
    let message = format!("cannot spawn: {reason}");
    // The log may be written after the answer.
    wait_until("the log says why", || daemon.log.lines().iter().any(|line| line.message == message));
    let why = daemon.ctl(&["why", name]).out;
    assert!(why.contains(reason), "{why}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_failed_start_that_names_it() {
    let place = originals();
    let (zero, large) = (write(&place, "zero", "a\0b"), write(&place, "large", vec![b'x'; 64 * 1024 + 1]));
    let missing = place.path().join("missing");
    let secret = |path: &Path| format!("secrets = {{ DB_PASSWORD = {path:?} }}\n");
    let programs = [
        tried_once("missing", &secret(&missing)),
        tried_once("directory", &secret(place.path())),
        tried_once("zero", &secret(&zero)),
        tried_once("large", &secret(&large)),
        tried_once("copy", &format!("credentials = [\"tls={}\"]\n", missing.display())),
        tried_once("well", ""),
    ];
    let mut daemon = Setting::supervising(programs.concat()).start();
    daemon.wait_for_running("well");
    let of = |path: &Path, why: &str| format!("secret DB_PASSWORD: {}: {why}", path.display());
    assert_failed(&daemon, "missing", &of(&missing, "no such file"));
    assert_failed(&daemon, "zero", &of(&zero, "has a NUL character, which no variable can have"));
    assert_failed(&daemon, "large", &of(&large, "larger than 64 KiB"));
    assert_failed(&daemon, "copy", &format!("credential tls: {}: no such file", missing.display()));
    daemon.wait_for_state("directory", "FATAL");
    let why = daemon.client.get("/v1/programs/missing/why").body;
    assert!(why.contains("\"secret\""), "the step: {why}");
    daemon.finish();
}

#[test]
fn a_fifo_without_a_writer_delays_its_own_program_alone() {
    let place = originals();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("it is ours");
    let keys = format!("secrets = {{ TOKEN = {fifo:?} }}\n");
    let programs = [tried_once("hung", &keys), tried_once("stopped", &keys), tried_once("well", "")];
    let mut daemon = Setting::supervising(programs.concat()).start();
    daemon.wait_for_running("well");
    let began = Instant::now();
    assert_eq!(daemon.state("hung"), "STARTING");
    daemon.ctl_well(&["stop", "stopped"]);
    assert!(began.elapsed() < Duration::from_secs(3), "a stop does not wait for the file: {:?}", began.elapsed());
    assert_eq!(daemon.state("stopped"), "STOPPED");
    assert_failed(&daemon, "hung", &format!("secret TOKEN: {}: nothing to read within 5s", fifo.display()));
    // With a writer it starts.
    daemon.client.post("/v1/programs/hung/start");
    fs::write(&fifo, "late but there\n").expect("the daemon reads it");
    let pid = daemon.wait_for_running("hung");
    wait_until("it is executed", || variable(pid, "TOKEN").as_deref() == Some(&b"late but there"[..]));
    daemon.finish();
}

#[test]
fn each_start_probe_and_command_reads_the_files_as_they_are_then() {
    let place = originals();
    let path = write(&place, "token0", "first\n");
    let seen = place.path().join("seen");
    let programs = format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nnumprocs = 1\n\
         secrets = {{ TOKEN = \"{}/token{{instance}}\" }}\n\
         environment = {{ TOKEN = \"overridden\" }}\n\
         [program.web.probes.check]\nexec = [\"sh\", \"-c\", \"echo $TOKEN > {}\"]\nkind = \"readiness\"\nperiod = 0.05\n",
        place.path().display(),
        seen.display()
    );
    let mut daemon = Setting::supervising(programs).start();
    let pid = daemon.wait_for_running("web");
    wait_until("it is executed", || variable(pid, "TOKEN").as_deref() == Some(&b"first"[..]));
    let has_seen = |value: &str| fs::read_to_string(&seen).is_ok_and(|text| text == format!("{value}\n"));
    wait_until("the probe has it", || has_seen("first"));
    fs::write(&path, "second\n").expect("it is ours");
    wait_until("the probe has the new one", || has_seen("second"));
    let command = ["exec", "web", "--", "sh", "-c", "echo $TOKEN"];
    assert_eq!(daemon.ctl_well(&command).trim(), "second");
    let chosen = ["exec", "--env", "TOKEN=mine", "web", "--", "sh", "-c", "echo $TOKEN"];
    assert_eq!(daemon.ctl_well(&chosen).trim(), "mine");
    assert_eq!(variable(pid, "TOKEN").as_deref(), Some(&b"first"[..]), "a running process keeps its value");
    // The content is no change of the configuration.
    assert!(!daemon.ctl_well(&["update"]).contains("restarted"));
    daemon.ctl_well(&["restart", "web"]);
    let pid = daemon.wait_for_running("web");
    wait_until("it is executed", || variable(pid, "TOKEN").as_deref() == Some(&b"second"[..]));
    // While the file is missing, a command says so, and the process runs on.
    fs::remove_file(&path).expect("it is ours");
    let refused = daemon.ctl(&command);
    assert!(refused.code != Some(0) && refused.err.contains("token0: no such file"), "{refused:?}");
    assert_eq!(daemon.pid_of("web"), pid);
    daemon.finish();
}

#[test]
fn copies_belong_to_the_user_and_go_with_the_run() {
    let place = originals();
    let key = write(&place, "tls.key", "key\n");
    let told = originals();
    fs::set_permissions(told.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let told = told.path().join("told");
    let user = if is_root() { "user = \"1000:1000\"\n" } else { "" };
    let programs = format!(
        "[program.web]\nautostart = false\nstartsecs = 0\n{user}\
         credentials = [\"tls={}\", \"?/no/such/file\", \"all={}\"]\n\
         command = [\"sh\", \"-c\", \"cat $1/tls $CREDENTIALS_DIRECTORY/tls > {2}; exec sleep 1000\", \"sh\", \"{{credentials}}\"]\n",
        key.display(),
        place.path().display(),
        told.display()
    );
    let mut daemon = Setting::supervising(programs).start();
    fs::set_permissions(daemon.path(""), Permissions::from_mode(0o755)).expect("it is ours");
    let home = daemon.path("sock.credentials");
    daemon.ctl_well(&["start", "web"]);
    let pid = daemon.wait_for_running("web");
    wait_until("it has read both", || fs::read_to_string(&told).is_ok_and(|text| text == "key\nkey\n"));
    let directory = variable(pid, "CREDENTIALS_DIRECTORY").expect("it is set");
    let directory = PathBuf::from(String::from_utf8(directory).expect("a path"));
    assert_eq!(directory.parent(), Some(&*fs::canonicalize(&home).expect("it is there")));
    let uid = if is_root() { 1000 } else { nix::unistd::getuid().as_raw() };
    let of = |path: &Path| fs::metadata(path).map(|about| (about.uid(), about.mode() & 0o7777)).expect("it is there");
    assert_eq!((of(&directory), of(&directory.join("tls"))), ((uid, 0o700), (uid, 0o400)));
    assert_eq!(fs::read(directory.join("all/tls.key")).expect("a directory is copied"), b"key\n");
    // A command has its own, for as long as it runs.
    let words = ["exec", "web", "--", "sh", "-c", "cat $CREDENTIALS_DIRECTORY/tls; echo $CREDENTIALS_DIRECTORY"];
    let printed = daemon.ctl_well(&words);
    let (content, other) = printed.trim().split_once('\n').expect("two lines");
    assert!(content == "key" && Path::new(other) != directory, "{printed}");
    wait_until("it is removed", || !Path::new(other).exists());
    assert_eq!(names_in(&home), 1);
    let restarts = if is_acceptance() { 1000 } else { 20 };
    for _ in 0..restarts {
        daemon.ctl_well(&["restart", "web"]);
    }
    wait_until("each run takes its copies with it", || names_in(&home) == 1);
    daemon.ctl_well(&["stop", "web"]);
    wait_until("the last, too", || names_in(&home) == 0);
    // After SIGKILL the next daemon removes them.
    daemon.ctl_well(&["start", "web"]);
    daemon.wait_for_running("web");
    assert_eq!(names_in(&home), 1);
    daemon.kill_and_start_again();
    assert!(!home.exists());
    daemon.finish();
}

#[test]
fn a_programs_user_cannot_have_another_file_read() {
    if !is_root() {
        return skip("only root can read what a user cannot");
    }
    let place = originals();
    let roots = write(&place, "roots", "only-for-root");
    fs::set_permissions(&roots, Permissions::from_mode(0o600)).expect("it is ours");
    let home = place.path().join("home");
    fs::create_dir(&home).expect("it is ours");
    std::os::unix::fs::symlink(&roots, home.join("token")).expect("it is ours");
    let given = ended(Command::new("chown").args(["-h", "1000:1000"]).arg(&home).arg(home.join("token")));
    assert_eq!(given.code, Some(0), "{given:?}");
    let keys = format!("user = \"1000:1000\"\nsecrets = {{ TOKEN = {:?} }}\n", home.join("token"));
    let mut daemon = Setting::supervising(tried_once("web", &keys)).start();
    daemon.wait_for_state("web", "FATAL");
    let why = daemon.ctl(&["why", "web"]).out;
    assert!(why.contains("is a symbolic link that its user could have made"), "{why}");
    daemon.finish();
}

#[test]
fn a_new_path_is_a_new_process() {
    let place = originals();
    let (one, two) = (write(&place, "one", "1"), write(&place, "two", "2"));
    let setting = |path: &Path| {
        Setting::supervising(format!(
            "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nsecrets = {{ TOKEN = {path:?} }}\n"
        ))
    };
    let mut daemon = setting(&one).start();
    let pid = daemon.wait_for_running("web");
    daemon.rewrite(&setting(&two));
    daemon.ctl_well(&["update"]);
    let next = daemon.wait_for_running("web");
    assert_ne!(next, pid);
    wait_until("it is executed", || variable(next, "TOKEN").as_deref() == Some(&b"2"[..]));
    daemon.finish();
}
