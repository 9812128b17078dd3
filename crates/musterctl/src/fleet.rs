//! One command line on several daemons: those of the contexts that were selected.
//!
//! Each runs on its own thread, and at most sixteen at a time, unless they follow something. Output arrives in lines; it is printed
//! in the order of the contexts, or as it comes when it is followed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::{Cli, Command};
use crate::client::{Client, Target};
use crate::failure::{Exit, Failure};
use crate::output::{Cell, printable, table, terminal_text};
use crate::reach::Variables;
use crate::session::{self, Rows, Surroundings};

/// Daemons that are asked at a time.
pub(crate) const AT_A_TIME: usize = 16;

/// Maximum number of contexts that are followed: each has threads, and perhaps a process.
const FOLLOWED_MAX: usize = 256;

/// Lines that wait to be printed.
const WAITING_MAX: usize = 1024;

/// A report of a context's thread.
enum Piece {
    Line { index: usize, is_error: bool, text: Vec<u8> },
    Ended { index: usize, exit: Exit, rows: Option<Rows> },
}

/// The results of one context so far.
#[derive(Default)]
struct Outcome {
    lines: Vec<(bool, Vec<u8>)>,
    ended: bool,
    rows: Option<Rows>,
}

/// How lines are printed.
struct Printing {
    names: Vec<String>,
    width: usize,
    json: bool,
}

/// Runs work on threads, and returns results with their places as they come.
pub(crate) fn each<A: Send + 'static, T: Send + 'static>(
    items: Vec<A>,
    threads: usize,
    work: impl Fn(usize, A) -> T + Send + Sync + 'static,
) -> io::Result<Receiver<(usize, T)>> {
    let (sender, results) = sync_channel(items.len());
    let count = threads.min(items.len());
    let queue = Arc::new(Mutex::new(items.into_iter().enumerate().collect::<VecDeque<_>>()));
    let work = Arc::new(work);
    for _ in 0..count {
        let (queue, work, sender) = (Arc::clone(&queue), Arc::clone(&work), sender.clone());
        std::thread::Builder::new().spawn(move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some((index, item)) = next() {
                if sender.send((index, work(index, item))).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok(results)
}

/// Whether the command runs on several daemons; and whether it goes on until it is interrupted.
fn kind(command: &Command) -> Option<bool> {
    match command {
        Command::Status(args) => Some(args.follows()),
        Command::Logs(args) => Some(args.follows()),
        Command::Ps(_)
        | Command::Health(_)
        | Command::Wait(_)
        | Command::Why(_)
        | Command::Restart(_)
        | Command::Update(_) => Some(false),
        _ => None,
    }
}

/// Runs a command line on these daemons. The exit code is the highest.
pub(crate) fn run(cli: Cli, targets: Vec<(String, Target)>, around: &mut Surroundings<'_>) -> Exit {
    let refuse = |message: String| Failure::new(Exit::Usage, message);
    let follows = match kind(&cli.command) {
        None => {
            let hint = "status, ps, health, wait, logs, why, restart and update run on several contexts";
            let failure = refuse("this command runs on one context at a time".to_owned()).with_hint(hint);
            return session::tell_failure(&failure, around);
        }
        Some(true) if targets.len() > FOLLOWED_MAX => {
            let message = format!("at most {FOLLOWED_MAX} contexts can be followed at a time");
            return session::tell_failure(&refuse(message), around);
        }
        Some(follows) => follows,
    };
    let names: Vec<String> = targets.iter().map(|(name, _)| printable(name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let printing = Printing { names, width, json: cli.global.json };
    let all: Vec<Target> = targets.iter().map(|(_, target)| target.clone()).collect();
    let threads = if follows { targets.len() } else { AT_A_TIME };
    let (sender, pieces) = sync_channel(WAITING_MAX);
    let own = Own::of(around, follows && matches!(cli.command, Command::Status(_)));
    let started = each(targets, threads, move |index, (_, target)| own.run(&cli, target, index, &sender));
    let exit = match started {
        Err(error) => {
            session::tell_failure(&Failure::new(Exit::Failed, format!("cannot start a thread: {error}")), around)
        }
        Ok(_) if follows => follow(&pieces, &printing, around),
        Ok(_) => in_order(&pieces, &printing, around),
    };
    // Commands of `--via` that still run, because their output is no longer wanted.
    drop(pieces);
    all.into_iter().for_each(|target| Client::new(target, around.patience).close());
    exit
}

/// A thread's copy of the surroundings.
struct Own {
    out_is_terminal: bool,
    err_is_terminal: bool,
    colourless: bool,
    variables: Variables,
    patience: std::time::Duration,
}

impl Own {
    /// A live table cannot be one of several, so it becomes lines.
    fn of(around: &Surroundings<'_>, is_live_table: bool) -> Own {
        Own {
            out_is_terminal: around.out_is_terminal && !is_live_table,
            err_is_terminal: around.err_is_terminal,
            colourless: around.colourless,
            variables: around.variables.clone(),
            patience: around.patience,
        }
    }

    fn run(&self, cli: &Cli, target: Target, index: usize, sender: &SyncSender<Piece>) {
        let lines = |is_error| Lines { sender: sender.clone(), index, is_error, partial: Vec::new() };
        let (mut out, mut err) = (lines(false), lines(true));
        let mut around = Surroundings {
            out: &mut out,
            out_is_terminal: self.out_is_terminal,
            err: &mut err,
            err_is_terminal: self.err_is_terminal,
            can_ask: false,
            colourless: self.colourless,
            variables: self.variables.clone(),
            patience: self.patience,
        };
        let (exit, rows) = session::run_on(cli, target, &mut around, true);
        drop((out, err));
        // A send error means that this process is about to exit.
        let _ = sender.send(Piece::Ended { index, exit, rows });
    }
}

/// A writer that reports whole lines.
struct Lines {
    sender: SyncSender<Piece>,
    index: usize,
    is_error: bool,
    partial: Vec<u8>,
}

impl Lines {
    fn send(&self, text: Vec<u8>) -> io::Result<()> {
        let piece = Piece::Line { index: self.index, is_error: self.is_error, text };
        self.sender.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                None => self.partial.extend_from_slice(piece),
                Some(end) => {
                    let mut line = std::mem::take(&mut self.partial);
                    line.extend_from_slice(end);
                    self.send(line)?;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            let text = std::mem::take(&mut self.partial);
            let _ = self.send(text);
        }
    }
}

impl Printing {
    /// Prints a line; returns whether it could be written.
    fn print(&self, index: usize, is_error: bool, text: &[u8], around: &mut Surroundings<'_>) -> io::Result<()> {
        let (name, width, text) = (&self.names[index], self.width, String::from_utf8_lossy(text));
        if is_error {
            let text = if around.err_is_terminal { terminal_text(text.into_owned(), false) } else { text.into_owned() };
            // If standard error is closed, only the exit code remains.
            let _ = writeln!(around.err, "{name}: {text}");
            return Ok(());
        }
        if self.json && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
            let name = serde_json::to_string(name).expect("a string always makes JSON");
            let line = format!("{{\"context\":{name},\"data\":{text}}}");
            let line = if around.out_is_terminal { terminal_text(line, true) } else { line };
            return writeln!(around.out, "{line}");
        }
        let text = if around.out_is_terminal { terminal_text(text.into_owned(), false) } else { text.into_owned() };
        writeln!(around.out, "{name:<width$} | {text}")
    }
}

/// Prints lines as they come, until all contexts have ended or the reader is gone.
fn follow(pieces: &Receiver<Piece>, printing: &Printing, around: &mut Surroundings<'_>) -> Exit {
    let (mut highest, mut ended) = (Exit::Well, 0);
    while ended < printing.names.len() {
        let piece = match pieces.try_recv() {
            Ok(piece) => piece,
            Err(_) => {
                if let Err(error) = around.out.flush() {
                    return unwritten(&error, around);
                }
                let Ok(piece) = pieces.recv() else { break };
                piece
            }
        };
        match piece {
            Piece::Line { index, is_error, text } => {
                if let Err(error) = printing.print(index, is_error, &text, around) {
                    return unwritten(&error, around);
                }
            }
            Piece::Ended { exit, .. } => {
                ended += 1;
                highest = highest.or_higher(exit);
            }
        }
    }
    match around.out.flush() {
        Err(error) => unwritten(&error, around),
        Ok(()) => highest,
    }
}

/// Prints the output of each context as soon as that of all before it is printed. Tables become one table at the end.
fn in_order(pieces: &Receiver<Piece>, printing: &Printing, around: &mut Surroundings<'_>) -> Exit {
    let mut outcomes: Vec<Outcome> = printing.names.iter().map(|_| Outcome::default()).collect();
    let (mut highest, mut next) = (Exit::Well, 0);
    while next < outcomes.len() {
        let Ok(piece) = pieces.recv() else { break };
        match piece {
            Piece::Line { index, is_error, text } => outcomes[index].lines.push((is_error, text)),
            Piece::Ended { index, exit, rows } => {
                outcomes[index].ended = true;
                outcomes[index].rows = rows;
                highest = highest.or_higher(exit);
            }
        }
        while outcomes.get(next).is_some_and(|outcome| outcome.ended) {
            for (is_error, text) in std::mem::take(&mut outcomes[next].lines) {
                if let Err(error) = printing.print(next, is_error, &text, around) {
                    return unwritten(&error, around);
                }
            }
            next += 1;
        }
    }
    let tables: Vec<(usize, Rows)> =
        outcomes.into_iter().enumerate().filter_map(|(index, outcome)| Some((index, outcome.rows?))).collect();
    let text = joined(tables, printing, around.out_is_terminal && !around.colourless);
    let text = if around.out_is_terminal { terminal_text(text, false) } else { text };
    match around.out.write_all(text.as_bytes()).and_then(|()| around.out.flush()) {
        Err(error) => unwritten(&error, around),
        Ok(()) => highest,
    }
}

/// One table with a column CONTEXT.
fn joined(tables: Vec<(usize, Rows)>, printing: &Printing, coloured: bool) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let mut headings = ["CONTEXT", "", "", "", "", "", ""];
    let mut rows = Vec::new();
    for (index, Rows { headings: own, rows: cells }) in tables {
        for (heading, own) in headings[1..].iter_mut().zip(own) {
            *heading = if heading.is_empty() { own } else { heading };
        }
        rows.extend(
            cells.into_iter().map(|[a, b, c, d, e, f]| [Cell::plain(&printing.names[index]), a, b, c, d, e, f]),
        );
    }
    table(headings, &rows, coloured)
}

/// A reader that has closed the pipe is not an error.
fn unwritten(error: &io::Error, around: &mut Surroundings<'_>) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::Well;
    }
    let failure = Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"));
    session::tell_failure(&failure, around)
}
