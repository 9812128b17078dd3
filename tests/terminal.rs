//! At a terminal: the daemon and every command of `musterd` and `musterctl`, since colours, widths and prompts differ
//! there.

mod harness;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};

use harness::{
    Daemon, Setting, Terminal, below, can_enclose, enclosed, ended, in_front_of, send, wait_for, wait_until,
};
use nix::pty::Winsize;
use tempfile::TempDir;

const SIZE: Winsize = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
const CTRL_C: &str = "\x03";

/// Texts that appear only if musterd itself is faulty.
const FAULTS: [&str; 4] = ["panicked", "feature is required", "this is a bug", "RUST_BACKTRACE"];

/// A command attached to a terminal of its own.
struct Session {
    terminal: Terminal,
    device: File,
    child: Child,
}

impl Session {
    fn start(words: &Command) -> Session {
        let (terminal, device) = Terminal::open(Some(&SIZE));
        let mut command = in_front_of(&device, &["--wait"], words);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let child = command.spawn().expect("setsid is installed");
        Session { terminal, device, child }
    }

    /// Its exit code as a shell reports it, and all output since the last look.
    fn end(mut self) -> (i32, String) {
        let status = wait_for("the command ends", || self.child.try_wait().expect("it is a child of this process"));
        self.device.write_all(b"<the end>").expect("the terminal is open");
        wait_until("everything is shown", || self.terminal.text().contains("<the end>"));
        let code = status.code().or_else(|| Some(128 + status.signal()?)).expect("it has ended");
        (code, self.terminal.text())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        below(self.child.id() as i32).into_iter().for_each(|process| send(process.pid, 9));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn assert_faultless(what: &str, text: &str) {
    for fault in FAULTS {
        assert!(!text.contains(fault), "{what} shows {fault:?}:\n{text}");
    }
}

/// The first example configuration, with a socket of its own.
fn example() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let socket = directory.path().join("sock");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/first.toml"));
    let text = text.expect("the example is there").replace("/tmp/muster-first.sock", &socket.to_string_lossy());
    fs::write(directory.path().join("first.toml"), text).expect("the test directory is writable");
    directory
}

fn musterd(words: &[&str]) -> Command {
    let mut command = Command::new(harness::musterd());
    command.args(words);
    command
}

#[test]
fn the_first_start_shows_no_fault_and_ctrl_c_ends_it() {
    let directory = example();
    let config = directory.path().join("first.toml");
    let plain = musterd(&["-c", &config.to_string_lossy()]);
    let mut ways = vec![("plain", plain)];
    if can_enclose() {
        let mut command = enclosed(harness::musterd());
        command.arg("-c").arg(&config);
        ways.push(("PID 1", command));
    }
    for format in ["text", "json"] {
        let text = fs::read_to_string(&config).expect("it was written");
        fs::write(&config, format!("[musterd]\nlogformat = \"{format}\"\n{text}"))
            .expect("the test directory is writable");
        for (way, command) in &ways {
            let mut session = Session::start(command);
            session.terminal.shows("musterd is up");
            let first = session.terminal.text();
            for program in ["clock", "worker:2"] {
                wait_until(&format!("{program} writes"), || session.terminal.text().contains(&format!("{program} |")));
            }
            session.terminal.type_in(CTRL_C);
            let (code, text) = session.end();
            assert_eq!(code, 0, "{way} {format}: {first}{text}");
            assert!(text.contains("goodbye"), "{way} {format}: {first}{text}");
            assert_faultless(way, &format!("{first}{text}"));
        }
        fs::write(&config, text).expect("the test directory is writable");
    }
}

/// The names in the list of commands that `--help` shows.
fn commands(program: &str) -> Vec<String> {
    let help = ended(Command::new(program).arg("--help")).out;
    let list = help.split("Commands:\n").nth(1).expect("there is a list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A command's line, the text to wait for before these keys are typed, and the exit code.
type Line = (&'static str, Option<(&'static str, &'static str)>, i32);

/// Every command is in the table; each is run at a terminal of its own, one after the other.
fn run_all(program: &str, lines: &[Line], command: impl Fn(&[&str]) -> Command) {
    for name in commands(program) {
        let is_in = |(line, ..): &&Line| line.split(' ').next() == Some(name.as_str());
        assert!(lines.iter().any(|line| is_in(&line)), "{name} has no line in the table of this test");
    }
    for (line, keys, code) in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let mut session = Session::start(&command(&words));
        if let Some((seen, keys)) = keys {
            wait_until(&format!("{line} shows {seen:?}"), || session.terminal.text().contains(seen));
            session.terminal.type_in(keys);
        }
        let (ended, text) = session.end();
        assert_faultless(line, &text);
        assert_eq!(ended, *code, "{line}:\n{text}");
    }
}

#[test]
fn every_command_of_musterd_works_at_a_terminal() {
    let directory = example();
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    fs::write(path("bad.toml"), "[program.web]\ncomand = \"sleep 1\"\n").expect("the test directory is writable");
    fs::write(path("Procfile"), "web: sleep 1000\n").expect("the test directory is writable");
    let scenario = "title = \"It goes on\"\nconfig = \"first.toml\"\nuntil = \"2s\"\n\
                    expect = [{ program = \"clock\", state = \"RUNNING\" }]\n[runs]\nclock = \"hang\"\n";
    fs::write(path("scenario.toml"), scenario).expect("the test directory is writable");
    let lines = [
        ("--help", None, 0),
        ("--version", None, 0),
        ("--nonsense", None, 2),
        ("check -c first.toml", None, 0),
        ("check -c bad.toml", None, 2),
        ("-c bad.toml", None, 2),
        ("simulate -c first.toml clock=1@1s", None, 0),
        ("simulate --scenario scenario.toml", None, 0),
        ("rehearse --scenario scenario.toml", None, 0),
        ("run -- sh -c exit", None, 0),
        ("run -- no-such-program", None, 127),
        ("config -c first.toml", None, 0),
        ("convert Procfile", None, 0),
        ("doctor", None, 0),
        ("schema", None, 0),
        ("completions bash", None, 0),
        ("man muster.toml", None, 0),
    ];
    run_all(harness::musterd(), &lines, |words| {
        // setsid(1) keeps the working directory, and so does env(1).
        let mut command = Command::new("env");
        command.arg("-C").arg(directory.path()).arg("PATH=/usr/bin:/bin").arg(harness::musterd()).args(words);
        command
    });
}

#[test]
fn every_command_of_musterctl_works_at_a_terminal() {
    // `reload` sends HUP to this process.
    let script = "trap : HUP; echo hello; while :; do sleep 1000 & wait; done";
    let web = format!("[program.web]\ncommand = [\"sh\", \"-c\", {script:?}]\nstartsecs = 0\n");
    let mut daemon: Daemon = Setting::supervising(web).start();
    daemon.wait_for_running("web");
    let lines = [
        ("--help", None, 0),
        ("--version", None, 0),
        ("status", None, 0),
        ("status --watch", Some(("RUNNING", CTRL_C)), 130),
        ("signal CONT web", None, 0),
        ("restart web", None, 0),
        ("wait --for running web", None, 0),
        ("why web", None, 0),
        ("logs web", None, 0),
        ("logs -f web", Some(("hello", CTRL_C)), 130),
        ("fg web", Some(("hello", CTRL_C)), 130),
        ("events", Some(("1 of 1 running", CTRL_C)), 130),
        ("top", Some(("web", "q")), 0),
        ("clear web", None, 0),
        ("maintail", None, 0),
        ("ps", None, 0),
        ("pid web", None, 0),
        ("avail", None, 0),
        ("reread", None, 0),
        ("update", None, 0),
        ("scale web=1", None, 0),
        ("schedule", None, 0),
        ("reload web", None, 0),
        ("health", None, 0),
        ("version", None, 0),
        ("shell", Some(("musterctl> ", "exit\r")), 0),
        ("completions bash", None, 0),
        ("man", None, 0),
        ("sources", None, 0),
        ("source refresh fleet", None, 4),
        ("contexts", None, 0),
        ("exec web -- true", None, 0),
        ("dial-stdio", Some(("", "\u{4}")), 0),
        ("web --no-open", Some(("?key=", CTRL_C)), 130),
        ("stop web", None, 0),
        ("start web", None, 0),
        ("shutdown", None, 0),
    ];
    run_all(harness::musterctl(), &lines, |words| {
        let mut command = daemon.ctl_command(words);
        // Where contexts are looked for; the test may run without a home.
        command.env("XDG_CONFIG_HOME", daemon.path("config"));
        command
    });
    daemon.wait();
    daemon.assert_nothing_is_left();
}

#[test]
fn a_follower_sees_a_prompt_and_progress_beside_a_busy_stream() {
    let script = "(while :; do echo busy >&2; sleep 0.02; done) & printf \"name? \"; until [ -e {here}/go ]; do sleep 0.02; \
                  done; echo; i=0; while :; do i=$((i+1)); printf \"$i%%\\r\"; sleep 0.05; done";
    let script = script.replace('$', "$$");
    let program = format!("[program.repl]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", '''{script}''']\n");
    let daemon = Setting::supervising(program).start();
    daemon.wait_for_running("repl");
    let session = Session::start(&daemon.ctl_command(&["logs", "-f", "repl", "--stdout"]));
    session.terminal.shows("name? ");
    fs::write(daemon.path("go"), "").expect("the test directory is writable");
    session.terminal.shows("1%");
    session.terminal.shows("30%");
}
