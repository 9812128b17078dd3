//! The command line of supervisorctl.

use super::url;
use crate::getopt::{self, Opt};
use crate::python::repr;

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Print the help.
    Help,
    /// Run a line of words, or the shell.
    Run(Box<Run>),
}

/// The options, and the words behind them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// `-c`.
    pub file: Option<String>,
    /// `-i`.
    pub interactive: bool,
    /// `-s`.
    pub serverurl: Option<String>,
    /// `-u`.
    pub username: Option<String>,
    /// `-p`.
    pub password: Option<String>,
    /// `-r`.
    pub history_file: Option<String>,
    /// The words behind the options; none means the shell.
    pub words: Vec<String>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("file", &self.file).field("words", &self.words).finish_non_exhaustive()
    }
}

const fn option(short: char, long: Option<&'static str>, has_value: bool) -> Opt {
    Opt { short: Some(short), long, has_value }
}

const OPTIONS: [Opt; 8] = [
    option('h', Some("help"), false),
    option('?', None, false),
    option('c', Some("configuration"), true),
    option('i', Some("interactive"), false),
    option('s', Some("serverurl"), true),
    option('u', Some("username"), true),
    option('p', Some("password"), true),
    option('r', Some("history_file"), true),
];

/// Takes the words behind the program's name apart. An error is the original's text after `Error: `.
pub fn parse(words: &[String]) -> Result<Request, String> {
    let (found, rest) = getopt::parse(&OPTIONS, words)?;
    let mut run = Run { words: rest.to_vec(), ..Run::default() };
    for getopt::Found { option, name, value } in found {
        let is_first = match OPTIONS[option].short {
            Some('h' | '?') => return Ok(Request::Help),
            Some('i') => !std::mem::replace(&mut run.interactive, true),
            Some('s') if !url::is_url(&value) => {
                let value = repr(&value);
                return Err(format!("invalid value for {name} {value}: value {value} is not a URL"));
            }
            Some('s') => run.serverurl.replace(value).is_none(),
            Some('u') => run.username.replace(value).is_none(),
            Some('p') => run.password.replace(value).is_none(),
            Some('r') => run.history_file.replace(value).is_none(),
            _ => run.file.replace(value).is_none(),
        };
        if !is_first {
            return Err(format!("conflicting command line option {}", repr(&name)));
        }
    }
    Ok(Request::Run(Box::new(run)))
}

/// The help. Scripts look for its lines.
pub fn help(program: &str) -> String {
    format!(
        "\
supervisorctl -- control applications run by supervisord from the cmd line.

Usage: {program} [options] [action [arguments]]

Options:
-c/--configuration FILENAME -- configuration file path (searches if not given)
-h/--help -- print usage message and exit
-i/--interactive -- start an interactive shell after executing commands
-s/--serverurl URL -- URL on which supervisord server is listening
     (default \"http://localhost:9001\").
-u/--username USERNAME -- username to use for authentication with server
-p/--password PASSWORD -- password to use for authentication with server
-r/--history-file -- keep a readline history (if readline is available)

action [arguments] -- see below

Actions are commands like \"tail\" or \"stop\".  If -i is specified or no action is
specified on the command line, a \"shell\" interpreting actions typed
interactively is started.  Use the action \"help\" to find out about available
actions.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(&line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_come_before_the_words() {
        let Ok(Request::Run(run)) = parsed("-c x -i --serv http://h -ume -p secret --history_f=h status -i all") else {
            panic!("it is a run")
        };
        assert_eq!(
            (run.file.as_deref(), run.interactive, run.serverurl.as_deref()),
            (Some("x"), true, Some("http://h"))
        );
        assert_eq!((run.username.as_deref(), run.password.as_deref()), (Some("me"), Some("secret")));
        assert_eq!((run.history_file.as_deref(), run.words.join(" ").as_str()), (Some("h"), "status -i all"));
        assert!(!format!("{run:?}").contains("secret"));
        assert_eq!(parsed("-i -? -c"), Err("option -c requires argument".to_owned()));
        assert_eq!(parsed("-i -?"), Ok(Request::Help));
    }

    #[test]
    fn mistakes_have_the_original_s_words() {
        for (line, expected) in [
            ("-s foo", "invalid value for -s 'foo': value 'foo' is not a URL"),
            ("--serverurl=foo", "invalid value for --serverurl 'foo': value 'foo' is not a URL"),
            ("-i -i", "conflicting command line option '-i'"),
            ("-p a --password=b", "conflicting command line option '--password'"),
            ("-x", "option -x not recognized"),
            ("--history-file=x", "option --history-file not recognized"),
        ] {
            assert_eq!(parsed(line), Err(expected.to_owned()), "{line}");
        }
    }
}
