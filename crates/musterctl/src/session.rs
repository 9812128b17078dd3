//! One command line, from its arguments to its exit code.
//!
//! The output of a command is collected and written at once, also when it fails half-way. A reader that has closed the pipe
//! (`musterctl status | head -1`) is not an error. Commands use neither the process's own descriptors nor its environment,
//! so that tests can run them in-process.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use muster_api::DEFAULT_SOCKET;

use crate::cli::{Cli, Command};
use crate::client::{Client, Place, Target};
use crate::failure::{Exit, Failure};
use crate::output::{BAD, Cell, HINT, paint, table, terminal_text};
use crate::reach::{Reach, Reached, Variables};
use crate::{fleet, habits};

/// The environment of a command line.
pub(crate) struct Surroundings<'a> {
    /// The output.
    pub(crate) out: &'a mut dyn Write,
    /// Whether the output is a terminal.
    pub(crate) out_is_terminal: bool,
    /// The error output.
    pub(crate) err: &'a mut dyn Write,
    /// Whether the error output is a terminal.
    pub(crate) err_is_terminal: bool,
    /// Whether colours are disabled or impossible.
    pub(crate) colourless: bool,
    /// Whether a password can be asked for.
    pub(crate) can_ask: bool,
    /// The variables that say where the daemon is.
    pub(crate) variables: Variables,
    /// How long a daemon may take to respond.
    pub(crate) patience: Duration,
}

/// The state of a running command.
pub(crate) struct Session<'a> {
    /// Sends requests to the daemon.
    pub(crate) client: Client,
    /// The options that say where the daemon is.
    pub(crate) reach: Reach,
    /// The variables that do.
    pub(crate) variables: Variables,
    /// The output to write at the end.
    pub(crate) out: String,
    /// The output for commands that write continuously.
    pub(crate) live: &'a mut dyn Write,
    /// Failures that did not end the command.
    pub(crate) failures: Vec<Failure>,
    /// Hints to print after a successful command.
    pub(crate) hints: Vec<String>,
    /// Whether output is JSON.
    pub(crate) json: bool,
    /// Whether the output is a terminal.
    pub(crate) out_is_terminal: bool,
    /// Whether the output has colours.
    pub(crate) coloured: bool,
    /// Whether a table is kept in `gathered`.
    pub(crate) gathers: bool,
    /// The table, to be joined with those of other daemons.
    pub(crate) gathered: Option<Rows>,
}

/// A table of six columns, as `status` and `ps` have.
pub(crate) struct Rows {
    /// The headings.
    pub(crate) headings: [&'static str; 6],
    /// The rows.
    pub(crate) rows: Vec<[Cell; 6]>,
}

impl Session<'_> {
    /// Uses the daemon that these options name instead, if they name one.
    pub(crate) fn point_at(&mut self, reach: &Reach) -> Result<(), Failure> {
        let reached = match reach.names_a_daemon() {
            true => reach.targets(&self.variables, false)?,
            false => self.reach.targets(&self.variables, false)?,
        };
        match reached {
            Reached::One(target) => self.client.target = target,
            // Names are those of any of them.
            Reached::Several(targets) => targets.into_iter().for_each(|(_, target)| self.client.target = target),
        }
        Ok(())
    }

    /// Prints a table, or keeps it for the table of several daemons.
    pub(crate) fn table(&mut self, rows: Rows) {
        if self.gathers {
            self.gathered = Some(rows);
        } else {
            self.out.push_str(&table(rows.headings, &rows.rows, self.coloured));
        }
    }

    /// Prints a line of data.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref());
        self.out.push('\n');
    }

    /// Prints a response body unchanged.
    pub(crate) fn raw_json(&mut self, body: &[u8]) {
        self.line(String::from_utf8_lossy(body).trim_end());
    }

    /// Prints data as JSON.
    pub(crate) fn print_json(&mut self, data: &impl serde::Serialize) {
        self.line(serde_json::to_string(data).expect("our bodies are plain structs, which always make JSON"));
    }
}

/// Runs a command line. The first argument is the program's name.
pub(crate) fn execute(args: impl IntoIterator<Item = OsString>, around: &mut Surroundings<'_>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::parse_line(&args) {
        Ok(cli) => cli,
        Err(error) => return tell_clap(&error, &args, around),
    };
    if matches!(cli.command, Command::DialStdio(_)) {
        // The command of `--via` may run on this machine and inherit the variables.
        around.variables = std::mem::take(&mut around.variables).local();
    }
    let reached = match cli.command.is_alone() {
        true => Ok(Reached::One(Target::new(Place::Unix(DEFAULT_SOCKET.into())))),
        false => cli.global.reach.targets(&around.variables, around.can_ask),
    };
    match reached {
        Ok(Reached::One(target)) => run_on(&cli, target, around, false).0,
        Ok(Reached::Several(targets)) => fleet::run(cli, targets, around),
        Err(failure) => tell_failure(&failure, around),
    }
}

/// Runs a command on this daemon. `gathers` returns its table instead of printing it.
pub(crate) fn run_on(cli: &Cli, target: Target, around: &mut Surroundings<'_>, gathers: bool) -> (Exit, Option<Rows>) {
    let mut session = Session {
        client: Client::new(target, around.patience),
        reach: cli.global.reach.clone(),
        variables: around.variables.clone(),
        out: String::new(),
        live: &mut *around.out,
        failures: Vec::new(),
        hints: Vec::new(),
        json: cli.global.json,
        out_is_terminal: around.out_is_terminal,
        coloured: around.out_is_terminal && !around.colourless,
        gathers,
        gathered: None,
    };
    let ended = cli.command.run(&mut session);
    let Session { client, out, failures, hints, json, gathered, .. } = session;
    // In case a command did not: a terminal gets no control sequences.
    let out = if around.out_is_terminal { terminal_text(out, json) } else { out };
    let exit = conclude(&out, &failures, ended, around);
    hints.iter().for_each(|hint| tell_hint(hint, around));
    client.close();
    (exit, gathered)
}

fn conclude(out: &str, failures: &[Failure], ended: Result<Exit, Failure>, around: &mut Surroundings<'_>) -> Exit {
    let written = around.out.write_all(out.as_bytes()).and_then(|()| around.out.flush());
    for failure in failures {
        tell_failure(failure, around);
    }
    let exit = match ended {
        Ok(exit) => exit,
        Err(failure) => tell_failure(&failure, around),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell_failure(&Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")), around)
        }
        _ => exit,
    }
}

/// Prints a failure, and returns its exit code.
pub(crate) fn tell_failure(failure: &Failure, around: &mut Surroundings<'_>) -> Exit {
    let coloured = around.err_is_terminal && !around.colourless;
    let mut text = failure.details.iter().fold(String::new(), |text, line| text + line + "\n");
    paint(&mut text, coloured, BAD, "error:");
    let _ = writeln!(text, " {}", failure.message);
    if let Some(hint) = &failure.hint {
        paint(&mut text, coloured, HINT, "hint:");
        let _ = writeln!(text, " {hint}");
    }
    let text = if around.err_is_terminal { terminal_text(text, false) } else { text };
    // If stderr is closed, too, only the exit code remains.
    let _ = around.err.write_all(text.as_bytes());
    failure.exit
}

fn tell_hint(hint: &str, around: &mut Surroundings<'_>) {
    let mut text = String::new();
    paint(&mut text, around.err_is_terminal && !around.colourless, HINT, "hint:");
    let text = format!("{text} {hint}\n");
    let text = if around.err_is_terminal { terminal_text(text, false) } else { text };
    let _ = around.err.write_all(text.as_bytes());
}

/// Help and version go to stdout and are not errors; everything else from clap is a usage error.
fn tell_clap(error: &clap::Error, args: &[OsString], around: &mut Surroundings<'_>) -> Exit {
    let text = error.render();
    let is_error = error.use_stderr();
    let (writer, terminal) =
        if is_error { (&mut around.err, around.err_is_terminal) } else { (&mut around.out, around.out_is_terminal) };
    let text = if terminal && !around.colourless { text.ansi().to_string() } else { text.to_string() };
    let _ = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
    if is_error {
        habits::hint(error, args).iter().for_each(|hint| tell_hint(hint, around));
        return Exit::Usage;
    }
    Exit::Well
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Daemon, Setting, answer, info, program};

    #[test]
    fn the_option_comes_before_the_variable() {
        let daemon = Daemon::answering([answer(200, &info())]);
        let setting = Setting { socket: Some("/nonexistent/s".into()), ..Setting::default() };
        assert_eq!(setting.run(&format!("version -s {}", daemon.socket().display())).out, "1.2.3\n");
        let ended = daemon.run("version -s /nonexistent/other");
        assert!(ended.err.contains("/nonexistent/other"), "{}", ended.err);
    }

    #[test]
    fn a_place_that_cannot_be_is_usage_and_names_where_it_was_written() {
        let variable = Setting { socket: Some("tcp://localhost:9001".into()), ..Setting::default() };
        for (ended, origin) in
            [(variable.run("status"), "$MUSTER_SOCKET"), (Setting::default().run("status -s tcp://x"), "--socket")]
        {
            assert_eq!(ended.code, 2);
            assert!(ended.err.starts_with(&format!("error: {origin}: ")), "{}", ended.err);
            assert!(ended.err.contains("https://"), "{}", ended.err);
        }
    }

    /// A writer whose reader has closed the pipe, or that fails with this error.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Exit code and stderr of `status` when stdout fails with this error.
    fn with_broken_stdout(kind: io::ErrorKind) -> (u8, String) {
        let daemon = Daemon::answering([answer(200, &[program("web")])]);
        let mut err = Vec::new();
        let exit = execute(
            ["musterctl", "status"].map(OsString::from),
            &mut Surroundings {
                out: &mut Broken(kind),
                out_is_terminal: false,
                err: &mut err,
                err_is_terminal: false,
                colourless: true,
                can_ask: false,
                variables: Variables { socket: Some(daemon.socket().into()), ..Variables::default() },
                patience: Duration::from_secs(20),
            },
        );
        (exit.code(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is() {
        assert_eq!(with_broken_stdout(io::ErrorKind::BrokenPipe), (0, String::new()));
        let (code, err) = with_broken_stdout(io::ErrorKind::StorageFull);
        assert_eq!(code, 1);
        assert!(err.starts_with("error: cannot write to standard output: "), "{err}");
    }

    #[test]
    fn help_teaches_and_is_no_error() {
        let ended = Setting::default().run("--help");
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert!(ended.out.contains("Examples:") && ended.out.contains("Exit codes:"), "{}", ended.out);
        let nothing = Setting::default().run("");
        assert_eq!((nothing.code, nothing.out.as_str()), (2, ""));
        assert!(nothing.err.contains("Usage: musterctl"), "{}", nothing.err);
    }

    #[test]
    fn a_misspelt_command_is_usage_and_gets_a_suggestion() {
        let ended = Setting::default().run("statsu");
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("'status'"), "{}", ended.err);
    }

    #[test]
    fn errors_are_coloured_on_a_terminal_only() {
        let on = |terminal, colourless| {
            let socket = Some("/nonexistent/s".into());
            Setting { terminal, colourless, socket, ..Setting::default() }.run("status").err
        };
        assert!(on(true, false).starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no daemon"), "{:?}", on(true, false));
        assert_eq!(on(true, true), on(false, false));
    }
}
