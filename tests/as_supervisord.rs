//! musterd called as supervisord with a supervisord.conf, from start to end, and beside the original.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{Client, is_root, send, skip, wait_for, wait_until};

const ORIGINAL: &str = "/usr/bin/supervisord";

/// A daemon in the foreground; dropping it ends it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(executable: &str, place: &Path, words: &[&str]) -> Daemon {
        let mut command = Command::new(executable);
        command.arg0("supervisord").args(words).current_dir(place).stdin(Stdio::null());
        command.stdout(fs::File::create(place.join("stdout")).expect("it is ours"));
        command.stderr(fs::File::create(place.join("stderr")).expect("it is ours"));
        Daemon(command.spawn().expect("it can be executed"))
    }

    fn ours(place: &Path, words: &[&str]) -> Daemon {
        Daemon::start(harness::musterd(), place, words)
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Asks it to end; returns its exit code.
    fn end(&mut self, signal: i32) -> Option<i32> {
        send(self.pid(), signal);
        self.0.wait().expect("it is a child of this process").code()
    }
}

fn read(place: &Path, name: &str) -> String {
    fs::read_to_string(place.join(name)).unwrap_or_default()
}

fn wait_for_line(place: &Path, text: &str) {
    wait_until(text, || read(place, "main.log").contains(text));
}

/// A main section, a server, and these programs.
fn write(place: &Path, programs: &str) {
    let main = "[supervisord]\nlogfile=main.log\npidfile=main.pid\nchildlogdir=.\nuser=root\n";
    let main = if is_root() { main.to_owned() } else { main.replace("user=root\n", "") };
    let server = "[unix_http_server]\nfile=%(here)s/socket\n";
    fs::write(place.join("s.conf"), format!("{main}{server}{programs}")).expect("it is ours");
}

const SLEEPER: &str = "[program:a]\ncommand=/bin/sleep 1000\nstdout_logfile=NONE\nstderr_logfile=NONE\n";

fn state(place: &Path, name: &str) -> String {
    let answer = Client::of(&place.join("socket")).get(&format!("/v1/programs/{name}"));
    answer.json()["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn in_the_foreground_it_supervises_until_term_and_leaves_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, SLEEPER);
    let mut daemon = Daemon::ours(place, &["-n", "-c", "s.conf"]);
    wait_for_line(place, "success: a entered RUNNING state");
    assert_eq!(read(place, "main.pid"), format!("{}\n", daemon.pid()));
    assert_eq!(state(place, "a"), "RUNNING");
    let child = Client::of(&place.join("socket")).get("/v1/programs/a").json()["pid"].as_i64();
    assert_eq!(daemon.end(15), Some(0));
    assert!(!place.join("main.pid").exists() && !place.join("socket").exists());
    let child = i32::try_from(child.expect("it was running")).expect("a pid is small");
    assert!(!harness::exists(child), "its program has ended");
    let log = read(place, "main.log");
    assert!(log.contains("WARN received SIGTERM indicating exit request"), "{log}");
    assert_eq!(read(place, "stdout"), log, "the same on standard output");
}

#[test]
fn the_main_log_may_be_a_stream_of_the_daemon() {
    for (logfile, stream) in
        [("/dev/stdout", "stdout"), ("/dev/fd/1", "stdout"), ("/proc/self/fd/1", "stdout"), ("/dev/stderr", "stderr")]
    {
        let place = tempfile::tempdir().expect("a temporary directory");
        let place = place.path();
        write(place, SLEEPER);
        let text = read(place, "s.conf").replace("main.log", &format!("{logfile}\nlogfile_maxbytes=0"));
        fs::write(place.join("s.conf"), text).expect("it is ours");
        let mut daemon = Daemon::ours(place, &["-n", "-c", "s.conf"]);
        wait_until("the program runs", || read(place, stream).contains("success: a entered RUNNING state"));
        assert_eq!(daemon.end(15), Some(0));
        let log = read(place, stream);
        assert_eq!(log.matches("success: a entered").count(), 1, "{logfile}: once, {log}");
    }
}

#[test]
fn options_of_the_command_line_win_at_the_start_and_at_a_reload() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, SLEEPER);
    let words = ["-n", "-c", "s.conf", "-l", "other.log", "-j", "other.pid", "-e", "debug", "-s"];
    let mut daemon = Daemon::ours(place, &words);
    wait_until("the program runs", || read(place, "other.log").contains("success: a entered RUNNING state"));
    assert!(place.join("other.pid").exists() && !place.join("main.log").exists());
    fs::write(place.join("s.conf"), read(place, "s.conf") + &SLEEPER.replace(":a]", ":b]")).expect("it is ours");
    send(daemon.pid(), 1);
    wait_until("the new program runs", || read(place, "other.log").contains("success: b entered RUNNING state"));
    let log = read(place, "other.log");
    assert!(!log.contains("needs a restart") && !log.contains("restart the daemon"), "{log}");
    assert_eq!(read(place, "stdout"), "", "-s is silent");
    assert_eq!(daemon.end(2), Some(0));
}

#[test]
fn a_broken_file_at_hup_changes_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, SLEEPER);
    let mut daemon = Daemon::ours(place, &["-n", "-c", "s.conf"]);
    wait_for_line(place, "success: a entered RUNNING state");
    let before = Client::of(&place.join("socket")).get("/v1/programs/a").json()["pid"].clone();
    write(place, &SLEEPER.replace("command=", "priority=high\ncommand="));
    send(daemon.pid(), 1);
    wait_for_line(place, "CRIT cannot restart: ");
    let log = read(place, "main.log");
    let line = log.lines().find(|line| line.contains(" CRIT cannot restart: ")).expect("just seen");
    assert!(line.contains("1 error; nothing was changed") && line.contains("s.conf:"), "{line}");
    assert_eq!(Client::of(&place.join("socket")).get("/v1/programs/a").json()["pid"], before);
    assert!(!log.contains("stopped: a"), "{log}");
    assert_eq!(daemon.end(3), Some(0));
}

#[test]
fn without_nodaemon_it_goes_into_the_background() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, SLEEPER);
    let mut parent = Daemon::ours(place, &["-c", "s.conf"]);
    assert_eq!(parent.0.wait().expect("it is a child of this process").code(), Some(0), "{}", read(place, "stderr"));
    let pid: i32 = read(place, "main.pid").trim().parse().expect("it is written before the parent ends");
    wait_for_line(place, "success: a entered RUNNING state");
    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).expect("it runs");
    assert_eq!(session.as_raw(), pid, "it leads a session");
    let streams: Vec<_> = (0..3).map(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("it is ours")).collect();
    assert_eq!(streams, ["/dev/null"; 3].map(std::path::PathBuf::from));
    send(pid, 15);
    wait_until("it has ended", || !place.join("main.pid").exists());
    wait_until("its process is gone", || !harness::exists(pid) || is_zombie(pid));
    assert_eq!(read(place, "stdout"), "");
}

/// A daemon in the background is reparented, perhaps to a process that does not reap it.
fn is_zombie(pid: i32) -> bool {
    harness::find(pid).is_some_and(|process| process.is_zombie())
}

#[test]
fn a_start_that_fails_in_the_background_is_reported_by_the_parent() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, SLEEPER);
    let mut first = Daemon::ours(place, &["-n", "-c", "s.conf"]);
    wait_for_line(place, "success: a entered RUNNING state");
    let second = place.join("second");
    fs::create_dir(&second).expect("it is ours");
    let config = place.join("s.conf").display().to_string();
    let mut other = Daemon::ours(&second, &["-c", &config]);
    assert_eq!(other.0.wait().expect("it is a child of this process").code(), Some(2));
    assert!(read(&second, "stderr").contains("Another program is already listening"), "{}", read(&second, "stderr"));
    assert_eq!(state(place, "a"), "RUNNING", "the first one is untouched");
    assert_eq!(first.end(15), Some(0));
}

#[test]
fn the_daemon_becomes_its_user_and_so_do_its_programs() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    std::os::unix::fs::chown(place, Some(65534), Some(65534)).expect("root may");
    write(place, SLEEPER);
    let text = read(place, "s.conf").replace("user=root", "user=nobody");
    fs::write(place.join("s.conf"), text).expect("it is ours");
    let mut daemon = Daemon::ours(place, &["-n", "-c", "s.conf"]);
    wait_until("it says so", || {
        let ended = daemon.0.try_wait().expect("it is a child of this process");
        assert_eq!(ended, None, "{}{}", read(place, "stdout"), read(place, "stderr"));
        read(place, "stdout").contains("success: a entered RUNNING state")
    });
    let own = harness::find(daemon.pid()).and_then(|process| process.status("Uid")).expect("it runs");
    assert_eq!(own.split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    let children = harness::below(daemon.pid());
    let uids = children.iter().filter_map(|child| child.status("Uid"));
    assert!(!children.is_empty() && uids.into_iter().all(|uid| uid.starts_with("65534")), "{children:?}");
    assert!(read(place, "stdout").contains("INFO Set uid to user 65534 succeeded"), "{}", read(place, "stdout"));
    assert_eq!(daemon.end(15), Some(0));
}

/// Both run a program that comes up, one that exits, and one that cannot be started; the original has no RPC lines then.
#[test]
fn the_main_log_is_the_originals_line_by_line() {
    if !Path::new(ORIGINAL).exists() {
        return skip("supervisor is not installed (Debian's package supervisor)");
    }
    let programs = format!(
        "{SLEEPER}[program:b]\ncommand=/bin/sh -c 'sleep 3; exit 4'\nautorestart=false\nstdout_logfile=NONE\n\
         stderr_logfile=NONE\npriority=1000\n"
    );
    let lines = |executable: &str| {
        let place = tempfile::tempdir().expect("a temporary directory");
        write(place.path(), &programs);
        let text = read(place.path(), "s.conf").replace("[unix_http_server]\nfile=%(here)s/socket\n", "");
        fs::write(place.path().join("s.conf"), text).expect("it is ours");
        let mut daemon = match executable {
            ORIGINAL => Daemon::start(ORIGINAL, place.path(), &["-n", "-c", "s.conf"]),
            ours => Daemon::start(ours, place.path(), &["-n", "-c", "s.conf", "-q", "."]),
        };
        wait_for_line(place.path(), "exited: b");
        wait_for_line(place.path(), "success: a entered");
        assert_eq!(daemon.end(15), Some(0));
        let log = read(place.path(), "main.log");
        let ours = |line: &&str| !line.contains("s.conf:") && !line.contains("reaped unknown pid");
        let mut lines: Vec<String> = log.lines().filter(ours).map(without_numbers).collect();
        // The two programs come up at the same time.
        let at = lines.iter().position(|line| line.contains("success: ")).expect("just seen");
        lines[at..at + 2].sort();
        lines
    };
    assert_eq!(lines(harness::musterd()), lines(ORIGINAL));
}

/// Everything is stopped, the file is read again, and what starts by itself starts.
#[test]
fn hup_restarts_everything_as_the_original_does() {
    let programs = format!("{SLEEPER}{}autostart=false\n", SLEEPER.replace(":a]", ":off]"));
    let lines = |executable: &str| {
        let place = tempfile::tempdir().expect("a temporary directory");
        write(place.path(), &programs);
        let mut daemon = Daemon::start(executable, place.path(), &["-n", "-c", "s.conf"]);
        wait_for_line(place.path(), "success: a entered");
        write(place.path(), &(programs.clone() + &SLEEPER.replace(":a]", ":new]")));
        send(daemon.pid(), 1);
        wait_for_line(place.path(), "success: new entered");
        let count = || read(place.path(), "main.log").matches("success: a entered").count();
        wait_until("a is up again", || count() == 2);
        assert_eq!(daemon.end(15), Some(0));
        let log = read(place.path(), "main.log");
        let words = ["spawned:", "success:", "received", "waiting for", "stopped:", "supervisord started"];
        let is_about = |line: &&str| words.iter().any(|word| line.contains(word));
        let mut lines: Vec<String> = log.lines().filter(is_about).map(without_numbers).collect();
        // Two programs come up, and end, at the same time.
        for (text, count) in [("success: new", 2), ("stopped: new", 2)] {
            let at = lines.iter().position(|line| line.contains(text)).expect("it is new");
            let first = if lines[at - 1].split(' ').nth(1) == lines[at].split(' ').nth(1) { at - 1 } else { at };
            lines[first..first + count].sort();
        }
        lines
    };
    let ours = lines(harness::musterd());
    let restart = ["received SIGHUP", "waiting for a to die", "stopped: a", "supervisord started", "spawned: 'a'"];
    let at = ours.iter().position(|line| line.contains(restart[0])).expect("it was received");
    assert!(restart.iter().zip(&ours[at..]).all(|(text, line)| line.contains(text)), "{ours:#?}");
    if !Path::new(ORIGINAL).exists() {
        return skip("supervisor is not installed (Debian's package supervisor)");
    }
    assert_eq!(ours, lines(ORIGINAL));
}

/// The log and the pid file are where the file has them by then, and are made again if they are gone.
#[test]
fn hup_opens_the_log_and_the_pid_file_again() {
    let originals = [ORIGINAL].into_iter().filter(|original| Path::new(original).exists());
    if originals.clone().next().is_none() {
        skip("supervisor is not installed (Debian's package supervisor)");
    }
    for executable in [harness::musterd()].into_iter().chain(originals) {
        let place = tempfile::tempdir().expect("a temporary directory");
        let place = place.path();
        write(place, SLEEPER);
        let mut daemon = Daemon::start(executable, place, &["-n", "-c", "s.conf"]);
        wait_for_line(place, "success: a entered");
        // Moved away by another program, and removed.
        fs::rename(place.join("main.log"), place.join("main.log.old")).expect("it is there");
        fs::remove_file(place.join("main.pid")).expect("it is there");
        send(daemon.pid(), 1);
        wait_for_line(place, "success: a entered");
        // Lines that wait to be written go to the new file.
        let log = read(place, "main.log");
        assert!((read(place, "main.log.old") + &log).contains("stopped: a"), "{executable} {log}");
        assert!(log.contains("INFO supervisord started with pid"), "{executable} {log}");
        assert_eq!(read(place, "main.pid"), format!("{}\n", daemon.pid()), "{executable}");
        // At another place.
        let text = read(place, "s.conf").replace("main.log", "next.log").replace("main.pid", "next.pid");
        fs::write(place.join("s.conf"), text).expect("it is ours");
        send(daemon.pid(), 1);
        wait_until("it is up again", || read(place, "next.log").contains("success: a entered"));
        assert!(read(place, "next.log").contains("INFO supervisord started with pid"), "{}", read(place, "next.log"));
        assert!((read(place, "main.log") + &read(place, "next.log")).contains("stopped: a"), "{executable}");
        assert_eq!(read(place, "next.pid"), format!("{}\n", daemon.pid()), "{executable}");
        assert!(!place.join("main.pid").exists(), "{executable}: the old one is removed");
        assert_eq!(daemon.end(15), Some(0));
        assert!(!place.join("next.pid").exists(), "{executable}");
    }
}

/// Commands are forgotten, and `autostart` decides.
#[test]
fn hup_forgets_what_was_started_and_stopped_by_hand() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, &format!("{SLEEPER}{}autostart=false\n", SLEEPER.replace(":a]", ":off]")));
    let mut daemon = Daemon::ours(place, &["-n", "-c", "s.conf"]);
    wait_for_line(place, "success: a entered");
    let client = Client::of(&place.join("socket"));
    client.post("/v1/programs/a/stop");
    client.post("/v1/programs/off/start");
    wait_until("both commands are carried out", || state(place, "a") == "STOPPED" && state(place, "off") == "RUNNING");
    send(daemon.pid(), 1);
    wait_until("a is up again", || state(place, "a") == "RUNNING");
    assert_eq!(state(place, "off"), "STOPPED");
    assert_eq!(daemon.end(15), Some(0));
}

#[test]
fn a_mistake_in_a_key_of_musterd_ends_the_start_with_its_place() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, &format!("{SLEEPER}muster.kill = branch\n[musterd]\nshutdwn = serial\n"));
    let mut daemon = Daemon::ours(place, &["-n", "-c", "s.conf"]);
    assert_eq!(daemon.0.wait().expect("it is a child of this process").code(), Some(2));
    let said = read(place, "stderr");
    for text in ["stop_kill must be \"main\", \"group\" or \"tree\": \"branch\"", "did you mean shutdown?", "s.conf:"] {
        assert!(said.contains(text), "{said}");
    }
    assert!(!place.join("main.log").exists());
}

/// A line without its time and pids.
fn without_numbers(line: &str) -> String {
    let text = line.get(24..).unwrap_or(line);
    let words = text.split(' ').map(|word| if word.parse::<u32>().is_ok_and(|n| n > 9) { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_pipe_may_be_the_configuration() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path();
    write(place, SLEEPER);
    let fifo = place.join("pipe.conf");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("it is ours");
    let mut daemon = Daemon::ours(place, &["-n", "-c", "pipe.conf"]);
    fs::write(&fifo, read(place, "s.conf")).expect("the daemon reads it");
    let started = wait_for("an answer", || match daemon.0.try_wait().expect("it is a child of this process") {
        Some(status) => Some(Err(status)),
        None => read(place, "main.log").contains("success: a entered RUNNING").then_some(Ok(())),
    });
    assert_eq!(started, Ok(()), "{}", read(place, "stderr"));
    assert_eq!(daemon.end(15), Some(0));
}
