//! The shell on a terminal, beside the original's: the screen that the user sees after each step.
//!
//! The two editors move the cursor differently, so screens are compared, not bytes.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::pty::Winsize;

use crate::cases;
use crate::harness::{PATIENCE, Terminal, below, in_front_of, send, wait_until};
use crate::pairs;
use crate::places::Pair;

const SIZE: Winsize = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_U: &str = "\x15";
const UP: &str = "\x1b[A";
const PROMPT: &str = "supervisor> ";

/// Keys, and the end of the screen that follows.
type Step = (&'static str, &'static str);

/// A client on a terminal of its own.
struct Session {
    terminal: Terminal,
    device: File,
    child: Child,
}

impl Session {
    fn start(pair: &Pair) -> Session {
        let (terminal, device) = Terminal::open(Some(&SIZE));
        let mut command: Command = in_front_of(&device, &["--wait"], &pair.shell());
        command.current_dir(pair.path()).env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env("PYTHONWARNINGS", "ignore");
        Session { terminal, device, child: command.spawn().expect("setsid is installed") }
    }

    /// Types and waits until the screen ends so.
    fn step(&mut self, (keys, end): Step) {
        let (before, began) = (screen(&self.terminal.text()), Instant::now());
        self.terminal.type_in(keys);
        let mut last = String::new();
        loop {
            let now = screen(&self.terminal.text());
            let is_there = now.trim_end().ends_with(end.trim_end()) && (keys.is_empty() || now != before);
            // Twice in a row: what follows at once is part of it.
            if is_there && now == last {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{end:?} should follow {keys:?}:\n{now}");
            last = now;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The exit code, once everything is shown.
    fn end(&mut self) -> Option<i32> {
        let code = self.child.wait().expect("it is a child of this process").code();
        self.device.write_all(b"<the end>").expect("the terminal is open");
        wait_until("everything is shown", || self.terminal.text().contains("<the end>"));
        code
    }

    fn screen(&self, pair: &Pair) -> Vec<String> {
        pair.comparable(&screen(&self.terminal.text())).split('\n').map(str::to_owned).collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        below(self.child.id() as i32).into_iter().for_each(|process| send(process.pid, 9));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text that a terminal shows after this output, without blanks at the end of lines.
fn screen(output: &str) -> String {
    let (mut lines, mut column): (Vec<Vec<char>>, usize) = (vec![Vec::new()], 0);
    let mut rest = output.chars();
    while let Some(c) = rest.next() {
        let line = lines.last_mut().expect("there is one");
        match c {
            '\r' => column = 0,
            '\n' => {
                lines.push(Vec::new());
                column = 0;
            }
            '\x08' => column = column.saturating_sub(1),
            '\x1b' => {
                rest.next();
                let sequence: String = rest.by_ref().take_while_inclusive(|c| !c.is_ascii_alphabetic());
                let count = sequence.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(1);
                match sequence.chars().last() {
                    Some('K') => line.truncate(column),
                    Some('C') => column += count,
                    Some('D') => column = column.saturating_sub(count),
                    _ => {}
                }
            }
            '\t' => column = (column / 8 + 1) * 8,
            c if c.is_control() => {}
            c => {
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = c;
                column += 1;
            }
        }
    }
    let shown = lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned());
    shown.collect::<Vec<_>>().join("\n")
}

/// Characters up to and including the first that fails.
trait TakeWhileInclusive: Iterator<Item = char> + Sized {
    fn take_while_inclusive(self, holds: impl Fn(&char) -> bool) -> String {
        let mut taken = String::new();
        for c in self {
            taken.push(c);
            if !holds(&c) {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {}

/// Plays the steps with both clients, and compares the screens. Returns the sessions.
fn compare(pairs: &[Pair; 2], steps: &[Step]) -> [Session; 2] {
    let mut sessions = pairs.each_ref().map(Session::start);
    std::thread::scope(|scope| {
        for session in &mut sessions {
            scope.spawn(move || {
                session.step(("", PROMPT));
                steps.iter().for_each(|step| session.step(*step));
            });
        }
    });
    let [theirs, ours] = [0, 1].map(|number| sessions[number].screen(&pairs[number]));
    assert_eq!(ours.join("\n"), theirs.join("\n"), "ours is above");
    sessions
}

/// Plays the steps, of which the last ends the client, and compares the exit codes too.
fn compare_to_the_end(pairs: &[Pair; 2], steps: &[Step], last: &str) {
    let mut sessions = compare(pairs, steps);
    let codes = sessions.each_mut().map(|session| {
        session.terminal.type_in(last);
        session.end()
    });
    assert_eq!(codes[0], codes[1]);
    let [theirs, ours] = [0, 1].map(|number| sessions[number].screen(&pairs[number]));
    assert_eq!(ours.join("\n").trim_end(), theirs.join("\n").trim_end(), "ours is above");
}

#[test]
fn the_shell_on_a_terminal_shows_what_the_original_does() {
    let Some(pairs) = pairs(cases::SECTIONS) else { return };
    let lines: &[Step] = &[
        ("help\r", PROMPT),
        ("help stop\r", PROMPT),
        ("foo\r", PROMPT),
        ("pid nosuch\r", PROMPT),
        ("\r", PROMPT),
        ("shutdown\r", "y/N?"),
        ("n\r", PROMPT),
        ("reload\r", "y/N?"),
        ("\r", PROMPT),
        ("open nowhere\r", PROMPT),
    ];
    let completion: &[Step] = &[
        ("ver\t", "> version"),
        (CTRL_U, PROMPT),
        ("status ca\t", "> status cat"),
        ("\r", PROMPT),
        ("stop g:o\t", "> stop g:one"),
        (CTRL_U, PROMPT),
        ("add w\t", "> add w"),
        (CTRL_U, PROMPT),
        ("star\t", "> start"),
        (CTRL_U, PROMPT),
    ];
    let history: &[Step] = &[
        ("pid nosuch\r", PROMPT),
        ("version x\r", PROMPT),
        (UP, "> version x"),
        (UP, "> pid nosuch"),
        ("\r", PROMPT),
        ("abc\x7f\x7f\x01x", "> xa"),
        ("\x05\x15", PROMPT),
    ];
    let following: &[Step] = &[("tail -f talk\r", "said"), (CTRL_C, PROMPT), ("tail -2 talk\r", PROMPT)];
    std::thread::scope(|scope| {
        for (steps, last) in [(lines, "exit\r"), (completion, CTRL_D), (history, CTRL_D), (following, CTRL_C)] {
            let pairs = &pairs;
            scope.spawn(move || compare_to_the_end(pairs, steps, last));
        }
    });
}

#[test]
fn a_process_is_used_in_the_foreground_of_a_terminal() {
    let Some(pairs) = pairs(cases::SECTIONS) else { return };
    // The original's client only ends when the process writes something more.
    compare(
        &pairs,
        &[("fg cat\r", "exit <=="), ("hello\r", "hello\nhello"), (CTRL_C, PROMPT), ("pid nosuch\r", PROMPT)],
    );
}

#[test]
fn lines_typed_in_the_shell_are_kept_in_the_file() {
    let Some(pairs) = pairs(cases::SECTIONS) else { return };
    let mut session = Session::start(&pairs[1]);
    session.step(("", PROMPT));
    session.step(("version x\r", PROMPT));
    session.terminal.type_in(CTRL_D);
    assert_eq!(session.end(), Some(0));
    let kept = fs::read_to_string(pairs[1].path().join("history")).expect("it was written");
    assert!(kept.lines().any(|line| line == "version x"), "{kept}");
    let mut session = Session::start(&pairs[1]);
    session.step(("", PROMPT));
    session.step((UP, "> version x"));
}
