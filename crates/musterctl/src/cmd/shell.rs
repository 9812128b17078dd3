//! `musterctl shell`: an interactive shell with completion and history.
//!
//! Each line runs in its own process, as if typed in a shell: Ctrl-C ends `logs -f` but not
//! the shell, and no command can leave state behind.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use muster_api::{Program, Route};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Context, Editor, Helper};

use crate::client::Client;
use crate::complete::{candidates, place};
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// How long a completion may wait for names.
const PATIENCE: Duration = Duration::from_secs(1);

const LINES_REMEMBERED: usize = 1000;

/// Enter commands interactively, with completion of commands and names (Tab) and history.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The same as musterctl without a command on a terminal. Begins with the status. `help` lists the commands, `exit` or Ctrl-D leaves the shell.

Examples:
  musterctl shell
  docker exec -it CONTAINER musterctl")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "a shell needs a terminal").with_hint("`docker exec -it` gives one"));
    }
    let broken = |error: ReadlineError| Failure::new(Exit::Failed, format!("cannot read from the terminal: {error}"));
    let config = Config::builder().auto_add_history(true).max_history_size(LINES_REMEMBERED).map_err(broken)?;
    let mut editor: Editor<Names, DefaultHistory> = Editor::with_config(config.build()).map_err(broken)?;
    let socket = session.client.target.clone();
    editor.set_helper(Some(Names { client: Client::new(socket, PATIENCE) }));
    let history = history_file();
    // A missing or unreadable file means an empty history.
    let _ = history.as_ref().map(|path| editor.load_history(path));
    // Like supervisorctl's shell, begin with the status.
    execute(&["status".to_owned()], session)?;
    loop {
        match editor.readline("musterctl> ") {
            Ok(line) => {
                match split(&line) {
                    Err(operator) => eprintln!("{}", no_operators(operator)),
                    Ok(words) => match words.first().map(String::as_str) {
                        None => continue,
                        Some("exit" | "quit") => break,
                        _ => execute(&words, session)?,
                    },
                }
                let _ = history.as_ref().map(|path| editor.append_history(path));
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(Exit::Well)
}

/// The history file: below `$XDG_STATE_HOME`, or `~/.local/state`. `None` if the directory cannot be created.
fn history_file() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    let directory = state.join("musterctl");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

/// The message for an operator of the system's shell.
fn no_operators(operator: char) -> String {
    format!(
        "error: this shell has no pipes, redirections or lists of commands: '{operator}'\n\
         hint: they work at the system's shell: musterctl status | grep web"
    )
}

/// The words of a line: split at blanks, except within quotes. Or an unquoted character that has a meaning in
/// the system's shell and occurs in no name.
fn split(line: &str) -> Result<Vec<String>, char> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (None, '|' | '>' | '<' | '&' | ';') => return Err(character),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Runs a command line in its own process and waits for it. Ctrl-C goes to that process.
fn execute(words: &[String], session: &Session<'_>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("cannot execute musterctl: {error}"));
    // supervisorctl's `help` and `help status`.
    let help: Vec<String>;
    let words = match words {
        [first, commands @ ..] if first == "help" => {
            help = commands.iter().take(1).cloned().chain(["--help".to_owned()]).collect();
            &help
        }
        _ => words,
    };
    let interrupt: SigSet = [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
    let mut before = SigSet::empty();
    let signals = SignalFd::with_flags(&interrupt, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    let signals = signals.map_err(|error| failed(error.into()))?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    // One executable may be several programs, selected by the name.
    command.arg0("musterctl").args(session.reach.to_args()).args(words);
    // The new process inherits the blocked signals and unblocks them itself.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&interrupt), Some(&mut before)).map_err(|error| failed(error.into()))?;
    let ended = command.status();
    while let Ok(Some(_)) = signals.read_signal() {}
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None).map_err(|error| failed(error.into()))?;
    // The command has already reported its failure.
    ended.map(drop).map_err(failed)
}

/// Completes the word at the cursor.
struct Names {
    client: Client,
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..end];
        let begin = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let mut words = vec!["musterctl".to_owned()];
        words.extend(typed[..begin].split_whitespace().map(str::to_owned));
        words.push(typed[begin..].to_owned());
        let place = place(&words);
        let programs = if place.takes_names() { self.names() } else { Vec::new() };
        let pair = |(replacement, about): (String, String)| {
            let display = if about.is_empty() { replacement.clone() } else { format!("{replacement}  {about}") };
            Pair { display, replacement: replacement + " " }
        };
        Ok((begin, candidates(&place, &programs, &[]).into_iter().map(pair).collect()))
    }
}

impl Names {
    /// Without a daemon there are no names to offer.
    fn names(&self) -> Vec<Program> {
        let answer = self.client.ask(&Route::Programs { select: None, fields: None });
        answer.and_then(|answer| answer.read(&[200])).unwrap_or_default()
    }
}

impl Helper for Names {}
impl rustyline::hint::Hinter for Names {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Names {}
impl rustyline::validate::Validator for Names {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Setting;

    #[test]
    fn lines_are_split_at_blanks_and_not_within_quotes() {
        for (line, words) in [
            ("", &[][..]),
            ("  status  web ", &["status", "web"]),
            ("stop 'worker:*' \"a b\"", &["stop", "worker:*", "a b"]),
            ("x ''", &["x", ""]),
            ("it's open", &["its open"]),
            ("logs 'a|b' \"c;d\"", &["logs", "a|b", "c;d"]),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split(line), Ok(words), "{line:?}");
        }
        for (line, operator) in [
            ("status | grep web", '|'),
            ("status|grep web", '|'),
            ("avail > /tmp/x", '>'),
            ("stop web; start web", ';'),
            ("stop web && start web", '&'),
            ("fg web < file", '<'),
        ] {
            assert_eq!(split(line), Err(operator), "{line:?}");
        }
    }

    #[test]
    fn without_a_terminal_there_is_no_shell() {
        let ended = Setting::default().run("shell");
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("needs a terminal"), "{}", ended.err);
    }
}
