//! `tty`: a terminal of its own for a program, its output in the logs, and `musterctl fg` connected to it.

mod harness;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use harness::{Daemon, Setting, Terminal, in_front_of, is_root, send, skip, wait_for, wait_until};
use nix::pty::Winsize;

/// A `musterctl` that is killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn code(&mut self) -> i32 {
        let status = wait_for("musterctl ends", || self.0.try_wait().expect("it is a child"));
        status.code().or_else(|| Some(128 + status.signal()?)).expect("it has ended")
    }
}

/// A `musterctl fg` on a terminal of 33 lines.
fn fg(daemon: &Daemon, name: &str) -> (Terminal, File, Running) {
    let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
    let (terminal, device) = Terminal::open(Some(&size));
    let mut command = in_front_of(&device, &["--wait"], &daemon.ctl_command(&["fg", name]));
    let child = Running(command.env("TERM", "xterm").spawn().expect("setsid is installed"));
    terminal.shows("Ctrl-] detaches");
    (terminal, device, child)
}

fn resize(device: &File, rows: &str, columns: &str) {
    let device = device.try_clone().expect("it is open");
    let status = Command::new("stty").args(["rows", rows, "cols", columns]).stdin(device).status();
    assert!(status.expect("stty is installed").success());
}

fn has_python() -> bool {
    Command::new("python3").args(["-c", "import curses"]).output().is_ok_and(|output| output.status.success())
}

/// A program with a terminal that runs this script of Python, and the end of its configuration.
fn python(script: &str, more: &str) -> Setting {
    Setting::supervising(format!(
        "[program.web]\ncommand = [\"python3\", \"-c\", '''\n{script}''']\ntty = true\nstartsecs = 0\n{more}\n"
    ))
}

fn shell(script: &str, more: &str) -> Setting {
    Setting::supervising(format!("[program.web]\ncommand = [\"sh\", \"-c\", '''{script}''']\nstartsecs = 0\n{more}\n"))
}

fn output(daemon: &Daemon) -> String {
    output_of(daemon, "web")
}

/// The output kept of a program. It comes in chunks.
fn output_of(daemon: &Daemon, name: &str) -> String {
    let body = daemon.client.get(&format!("/v1/programs/{name}/logs?lines=10000")).body;
    let (mut rest, mut output) = (body.as_str(), String::new());
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("it is the size of a chunk");
        output.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
    output
}

#[test]
fn python_writes_line_by_line_as_on_any_terminal() {
    if !has_python() {
        return skip("python3 with curses is not installed");
    }
    let script = "import os, sys, termios\n\
                  print('terminals', [os.isatty(number) for number in range(3)])\n\
                  print('same', len(set(os.fstat(number).st_rdev for number in range(3))) == 1)\n\
                  print('size', tuple(os.get_terminal_size()), os.environ['TERM'])\n\
                  print('leads', os.getsid(0) == os.getpid() == os.tcgetpgrp(os.open('/dev/tty', os.O_RDWR)))\n\
                  print('name', os.path.exists(os.ttyname(0)))\n\
                  print('error', file=sys.stderr)\n\
                  print('got', input())\n\
                  print('got', input())\n";
    let daemon = python(script, "").start();
    // Nothing flushes it, and it has not ended.
    wait_until("it has written", || output(&daemon).contains("error\n"));
    let expected = "terminals [True, True, True]\nsame True\nsize (80, 24) xterm\nleads True\nname True\nerror\n";
    assert_eq!(output(&daemon), expected);
    let answer = daemon.client.request("POST", "/v1/programs/web/stdin", "typed\n");
    assert_eq!((answer.status, answer.json()["written"].as_u64()), (200, Some(6)), "{answer:?}");
    wait_until("it has read a line", || output(&daemon).ends_with("got typed\n"));
    assert_eq!(output(&daemon), format!("{expected}got typed\n"), "input is not echoed");
    // A terminal that does not know its size shows it as well.
    let (unknown, device) = Terminal::open(None);
    let mut command = in_front_of(&device, &["--wait"], &daemon.ctl_command(&["fg", "web"]));
    let _child = Running(command.env("TERM", "xterm").spawn().expect("setsid is installed"));
    unknown.shows("Ctrl-] detaches");
    let shown = &daemon.client.get("/v1/config").json()["programs"]["web"]["tty"];
    assert_eq!(shown, &serde_json::json!({"rows": 24, "cols": 80, "term": "xterm"}));
    assert_eq!(daemon.client.get("/v1/programs/web").json()["configuration"]["tty"], *shown);
    assert_eq!(daemon.client.request("POST", "/v1/programs/web/stdin", "again\n").status, 200);
    unknown.shows("got again\r\n");
}

#[test]
fn size_and_type_are_configurable_and_environment_is_over_the_type() {
    let daemon = shell(
        "stty size; echo $TERM; sleep 1000",
        "tty = { rows = 50, cols = 132, term = \"vt220\" }\n[program.other]\ncommand = [\"sh\", \"-c\", \"echo $TERM; sleep 1000\"]\n\
         tty = {}\nenvironment = { TERM = \"dumb\" }",
    )
    .start();
    wait_until("it has written", || output(&daemon) == "50 132\nvt220\n");
    wait_until("it has written", || output_of(&daemon, "other") == "dumb\n");
}

/// Draws the size and the last key in the middle of its screen, all of it each time; `q` ends it.
const CURSES: &str = "import curses\n\
    def main(screen):\n\
    \x20   curses.curs_set(0)\n\
    \x20   key = 0\n\
    \x20   while key != ord('q'):\n\
    \x20       rows, columns = screen.getmaxyx()\n\
    \x20       screen.clear()\n\
    \x20       screen.addstr(0, 0, 'top')\n\
    \x20       screen.addstr(rows // 2, 3, 'size=%dx%d key=%d;' % (rows, columns, key))\n\
    \x20       key = screen.getch()\n\
    curses.wrapper(main)\n\
    print('bye')\n";

#[test]
fn a_curses_program_is_drawn_and_resized_in_fg() {
    if !has_python() {
        return skip("python3 with curses is not installed");
    }
    let daemon = python(CURSES, "restart = \"no\"").start();
    let (mut terminal, device, mut child) = fg(&daemon, "web");
    terminal.shows("size=33x101");
    // Each key arrives at once, and only what the program draws is seen.
    terminal.type_in("x");
    terminal.shows("120;");
    resize(&device, "20", "60");
    terminal.shows("20x60");
    resize(&device, "40", "120");
    terminal.shows("40x120");
    // Without a change of the size it is drawn again for another client.
    terminal.type_in("\x1d");
    terminal.shows("detached, web goes on");
    assert_eq!(child.code(), 0);
    let modes = nix::sys::termios::tcgetattr(&device).expect("it is a terminal");
    use nix::sys::termios::{LocalFlags, OutputFlags};
    assert!(modes.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON));
    assert!(modes.output_flags.contains(OutputFlags::OPOST));
    assert_eq!(daemon.state("web"), "RUNNING");
    let (mut terminal, _device, mut child) = fg(&daemon, "web");
    terminal.shows("size=33x101");
    let (second, _device, _child) = fg(&daemon, "web");
    second.shows("size=33x10");
    terminal.type_in("q");
    terminal.shows("bye");
    terminal.shows("web exited with status 0");
    assert_eq!(child.code(), 0);
    second.shows("web exited with status 0");
    // Neither status nor why passes on what it wrote.
    let shown = format!("{}{}", daemon.ctl(&["status"]).out, daemon.ctl(&["why", "web"]).out);
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn lines_return_on_the_screen_and_not_in_the_log() {
    let script = "stty -a >settings; trap 'echo interrupted' INT; while :; do read -r line && echo \"got $line\"; done";
    let daemon = shell(script, "tty = true\ndirectory = \"{here}\"").start();
    let (mut terminal, _device, mut child) = fg(&daemon, "web");
    wait_until("it has begun", || fs::read_to_string(daemon.path("settings")).is_ok_and(|text| text.contains("iutf8")));
    let settings = fs::read_to_string(daemon.path("settings")).expect("it is there");
    for off in ["-echo ", "-opost", "-ixon"] {
        assert!(settings.contains(off), "{off}: {settings}");
    }
    // Enter is what ends a line, ctrl-C interrupts, and ctrl-S stops nothing.
    terminal.type_in("one\rtwo\r");
    terminal.shows("got one\r\ngot two\r\n");
    terminal.type_in("\x03");
    terminal.shows("interrupted\r\n");
    terminal.type_in("\x13three\r");
    terminal.shows("got \u{13}three\r\n");
    wait_until("all is in the log", || output(&daemon).ends_with("three\n"));
    assert_eq!(output(&daemon), "got one\ngot two\ninterrupted\ngot \u{13}three\n");
    // A signal to the client is for the client.
    let musterctl = wait_for("musterctl runs", || {
        harness::below(child.0.id() as i32)
            .into_iter()
            .chain(harness::find(child.0.id() as i32))
            .find(|it| it.comm == "musterctl")
    });
    send(musterctl.pid, 15);
    assert_eq!(child.code(), 143);
    assert_eq!(daemon.state("web"), "RUNNING");
    // Without a terminal input is passed on as it is, its end is not one, and output has no returns.
    let mut command = daemon.ctl_command(&["fg", "web"]);
    let mut piped = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be executed"));
    piped.0.stdin.take().expect("it is a pipe").write_all(b"four\n").expect("it reads");
    let mut line = [0; 9];
    piped.0.stdout.take().expect("it is a pipe").read_exact(&mut line).expect("it writes");
    assert_eq!(&line, b"got four\n");
    assert_eq!(daemon.state("web"), "RUNNING");
}

#[test]
fn the_last_words_of_every_run_are_kept() {
    let script = "echo run >>count; echo first; printf \"last words\"; exit 3";
    let daemon = shell(
        script,
        "tty = true\ndirectory = \"{here}\"\nrestart = \"always\"\nbackoff = { delay = 0 }\nstartretries = 60\nlogs = { stdout = \"{here}/lines\" }",
    )
    .start();
    let count =
        |name: &str, word: &str| fs::read_to_string(daemon.path(name)).map_or(0, |text| text.matches(word).count());
    daemon.wait_for_state("web", "FATAL");
    assert_eq!(count("count", "run"), 61);
    wait_until("all is written", || count("lines", "last words") == 61);
    assert_eq!(count("lines", "first"), 61);
}

#[test]
fn every_byte_arrives_in_its_place() {
    if !has_python() {
        return skip("python3 with curses is not installed");
    }
    let megabytes = if std::env::var_os("MUSTER_ACCEPTANCE").is_some() { 1000 } else { 16 };
    // Lines with their numbers, 64 bytes each.
    let script = format!(
        "import sys\nlines = {megabytes} * 15625\nout = sys.stdout.buffer\n\
         for start in range(0, lines, 1000):\n\
         \x20   out.write(b''.join(b'%062d\\\\r\\\\n' % number for number in range(start, start + 1000)))\n\
         out.flush()\n"
    )
    .replace("\\\\", "\\");
    let began = Instant::now();
    let more = "restart = \"no\"\nlogs = { stdout = \"{here}/lines\", max_size = 0 }";
    let daemon = python(&script, more).start();
    daemon.wait_for_state("web", "EXITED");
    let file = daemon.path("lines");
    let size = megabytes as u64 * 1_000_000;
    wait_until("all of it is in the file", || fs::metadata(&file).is_ok_and(|about| about.len() >= size));
    let seconds = began.elapsed().as_secs_f64();
    let mut reader = std::io::BufReader::with_capacity(1 << 20, File::open(&file).expect("it is there"));
    let (mut line, mut expected) = ([0; 64], String::new());
    for number in 0..megabytes as u64 * 15_625 {
        reader.read_exact(&mut line).expect("it is long enough");
        expected.clear();
        std::fmt::Write::write_fmt(&mut expected, format_args!("{number:062}\r\n")).expect("text takes it");
        assert!(line == expected.as_bytes(), "line {number}: {:?}", String::from_utf8_lossy(&line));
    }
    assert_eq!(reader.read(&mut line).expect("it can be read"), 0);
    println!("{megabytes} MB through a terminal in {seconds:.1} s: {:.0} MB/s", megabytes as f64 / seconds);
}

#[test]
fn a_reload_that_changes_it_restarts_and_clients_are_refused_where_there_is_none() {
    let daemon = shell("echo \"tty $(test -t 0 && echo yes)\"; exec sleep 1000", "").start();
    let first = daemon.wait_for_running("web");
    let said = |more: &str| {
        let setting = shell("echo \"tty $(test -t 0 && echo yes)\"; exec sleep 1000", more);
        daemon.rewrite(&setting);
        daemon.client.post("/v1/config/reload").json()
    };
    let report = said("tty = true");
    assert_eq!(report["restarted"], serde_json::json!(["web"]), "{report}");
    wait_until("it has a terminal", || output(&daemon).ends_with("tty yes\n"));
    assert_ne!(daemon.wait_for_running("web"), first);
    assert_eq!(said("tty = true")["restarted"], serde_json::json!([]));
    let upgrade = "connection: Upgrade\r\nupgrade: muster-exec/1\r\n";
    let asked = |headers: &str, body: &str| {
        let length = body.len();
        let head = format!(
            "POST /v1/programs/web/terminal HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        let head = daemon.client.head_of(head.as_bytes());
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    };
    assert_eq!(asked(upgrade, ""), 101);
    assert_eq!(asked("", ""), 426);
    assert_eq!(asked(upgrade, "{}"), 400);
    assert_eq!(asked(&format!("{upgrade}origin: http://x\r\n"), ""), 403);
    let report = said("");
    assert_eq!(report["restarted"], serde_json::json!(["web"]), "{report}");
    assert_eq!(asked(upgrade, ""), 409);
    daemon.ctl_well(&["stop", "web"]);
    assert_eq!(asked(upgrade, ""), 409);
}

#[test]
fn it_belongs_to_the_user_of_the_program_alone() {
    if !is_root() {
        return skip("programs of another user need root");
    }
    let script = "tty; echo opened >/dev/stdout; echo again >\"$(tty)\"; exec sleep 1000";
    let daemon = shell(script, "tty = true\nuser = \"12345:12345\"").start();
    wait_until("it has written", || output(&daemon).ends_with("again\n"));
    let text = output(&daemon);
    let path = text.lines().next().expect("it has a name").to_owned();
    assert_eq!(text, format!("{path}\nopened\nagain\n"));
    let about = fs::metadata(&path).expect("it is a device");
    assert_eq!((about.uid(), about.permissions().mode() & 0o777), (12_345, 0o600));
}

#[test]
fn a_program_that_closes_it_for_a_while_keeps_it() {
    let script = "exec 3>/dev/null; exec 0<&- 1>&- 2>&-; sleep 0.3; exec >/dev/tty; echo here again; exec sleep 1000";
    let daemon = shell(script, "tty = true").start();
    wait_until("it writes again", || output(&daemon) == "here again\n");
    let run = daemon.wait_for_running("web");
    assert!(harness::exists(run));
}
