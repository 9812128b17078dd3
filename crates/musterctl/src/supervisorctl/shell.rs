//! The shell: lines from a terminal, with history and completion, or from a pipe.

use std::cell::RefCell;
use std::io::{self, IsTerminal};

use muster_supervisord::ctl::{Controller, Failure, Flow, Process, Server, candidates};
use muster_supervisord::xmlrpc::Value;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::wire;

const LINES_REMEMBERED: usize = 1000;

/// Runs lines until the user quits. Begins with the status.
pub(super) fn run(controller: &mut Controller<'_>, prompt: &str, history_file: Option<&str>) {
    let mut lines = Lines::new(history_file);
    let mut flow = controller.run("status");
    while flow == Flow::Next {
        flow = match lines.next(controller, prompt) {
            // The editor has ended the line.
            Ok(None) | Err(Failure::Interrupted) if lines.is_editor() => Flow::Quit,
            Ok(line) => controller.run(line.as_deref().unwrap_or("EOF")),
            Err(Failure::Interrupted) => Flow::Interrupted,
            Err(failure) => {
                controller.world().print(&failure.to_string());
                Flow::Quit
            }
        };
    }
    if flow == Flow::Interrupted {
        controller.world().print("");
    }
    lines.save(history_file);
}

/// The source of lines: an editor on a terminal.
struct Lines(Option<Editor<Names, DefaultHistory>>);

impl Lines {
    fn new(history_file: Option<&str>) -> Lines {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Lines(None);
        }
        let config = Config::builder().auto_add_history(true).completion_type(CompletionType::List);
        let config = config.max_history_size(LINES_REMEMBERED);
        let editor = config.and_then(|config| Editor::with_config(config.build()));
        let editor = editor.ok().map(|mut editor: Editor<Names, DefaultHistory>| {
            // A missing or unreadable file means an empty history.
            let _ = history_file.map(|path| editor.load_history(path));
            editor
        });
        Lines(editor)
    }

    fn is_editor(&self) -> bool {
        self.0.is_some()
    }

    /// The next line; `None` at the end of the input.
    fn next(&mut self, controller: &mut Controller<'_>, prompt: &str) -> Result<Option<String>, Failure> {
        let Some(editor) = &mut self.0 else { return controller.world().line(prompt) };
        editor.set_helper(Some(Names { server: controller.server().clone(), processes: RefCell::default() }));
        match editor.readline(prompt) {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Eof) => Ok(None),
            Err(ReadlineError::Interrupted) => Err(Failure::Interrupted),
            Err(error) => Err(Failure::other("OSError", error.to_string())),
        }
    }

    fn save(&mut self, history_file: Option<&str>) {
        if let (Some(editor), Some(path)) = (&mut self.0, history_file) {
            // As the original, it goes on without a history.
            let _ = editor.save_history(path);
        }
    }
}

/// Completes the word at the cursor. The server is asked at most once for each line.
struct Names {
    server: Server,
    processes: RefCell<Option<Vec<Process>>>,
}

impl Names {
    /// Without a server there are no names to offer.
    fn processes(&self) -> Vec<Process> {
        let ask = || {
            let answer = wire::call(&self.server, "supervisor.getAllProcessInfo", &[], |connection| connection);
            let field = |process: &Value, name| process.get(name)?.as_str().map(str::to_owned);
            let process =
                |process: &Value| Some(Process { group: field(process, "group")?, name: field(process, "name")? });
            answer.ok().and_then(|all| all.as_array()?.iter().map(process).collect()).unwrap_or_default()
        };
        self.processes.borrow_mut().get_or_insert_with(ask).clone()
    }
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..end];
        let begin = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let found = candidates(typed, &typed[begin..], || self.processes());
        let pair = |word: String| Pair { replacement: format!("{word} "), display: format!("{word} ") };
        Ok((begin, found.into_iter().map(pair).collect()))
    }
}

impl Helper for Names {}
impl rustyline::hint::Hinter for Names {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Names {}
impl rustyline::validate::Validator for Names {}
