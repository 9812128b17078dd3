//! Completion of a command line, derived from clap's own definition of it.
//!
//! Pure: [`place`] determines what is expected at the last word, [`candidates`] what matches there. Program names are passed in,
//! since they come from the daemon.

use std::collections::BTreeMap;

use clap::{Arg, Command, CommandFactory};
use muster_api::{Program, WaitFor};

use crate::cli::Cli;
use crate::reach::Reach;

const SIGNALS: [&str; 11] = ["HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "WINCH", "RTMIN"];

/// The last word of a command line, and what is expected there.
#[derive(Debug)]
pub(crate) struct Cursor {
    command: Command,
    expected: Expected,
    /// The part typed so far, without `--option=`.
    typed: String,
    /// `--option=`, if the word contains an option and its value.
    before: String,
    reach: Reach,
}

#[derive(Debug)]
enum Expected {
    Command,
    Option,
    Value(Box<Arg>),
    Nothing,
}

impl Cursor {
    /// Whether program names are expected.
    pub(crate) fn takes_names(&self) -> bool {
        matches!(&self.expected, Expected::Value(arg) if value_name(arg) == "NAME")
    }

    /// Whether names of contexts are expected.
    pub(crate) fn takes_contexts(&self) -> bool {
        matches!(&self.expected, Expected::Value(arg) if value_name(arg) == "CONTEXT")
    }

    /// The daemon that is named earlier on the line.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }
}

/// Determines what is expected at the last of these words. The first is the program's name.
pub(crate) fn place(words: &[String]) -> Cursor {
    let mut command = Cli::command();
    command.build();
    let (typed, earlier) = words.split_last().map_or(("", [].as_slice()), |(last, rest)| (last.as_str(), rest));
    let mut walk =
        Walk { command, is_sub: false, positionals: 0, option: None, reach: Reach::default(), only_values: false };
    earlier.iter().skip(1).for_each(|word| walk.pass(word));
    walk.arrive(typed)
}

/// The state while walking the words before the last.
struct Walk {
    command: Command,
    is_sub: bool,
    positionals: usize,
    /// The option whose value comes next.
    option: Option<Arg>,
    reach: Reach,
    /// Whether `--` was passed.
    only_values: bool,
}

impl Walk {
    fn pass(&mut self, word: &str) {
        if let Some(option) = self.option.take() {
            self.note_reach(&option, word);
        } else if word == "--" {
            self.only_values = true;
        } else if word.starts_with('-') && !self.only_values {
            self.pass_option(word);
        } else if self.is_sub {
            self.positionals += 1;
        } else if let Some(sub) = self.command.find_subcommand(word).cloned() {
            (self.command, self.is_sub) = (sub, true);
        }
    }

    fn pass_option(&mut self, word: &str) {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(option) = self.find_option(name).filter(takes_value) else { return };
        match value {
            Some(value) => self.note_reach(&option, value),
            None => self.option = Some(option),
        }
    }

    fn find_option(&self, word: &str) -> Option<Arg> {
        let is_it = |arg: &&Arg| match word.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg.get_short().is_some_and(|short| word.strip_prefix('-') == Some(short.to_string().as_str())),
        };
        self.command.get_arguments().find(is_it).cloned()
    }

    fn note_reach(&mut self, option: &Arg, value: &str) {
        self.reach.set(option.get_long().unwrap_or_default(), value);
    }

    fn arrive(self, typed: &str) -> Cursor {
        let option_with_value = typed.split_once('=').and_then(|(name, value)| Some((self.find_option(name)?, value)));
        let (expected, typed, before) = match (self.option.clone(), option_with_value) {
            (Some(option), _) => (Expected::Value(Box::new(option)), typed, String::new()),
            (None, Some((option, value))) => {
                let before = typed[..typed.len() - value.len()].to_owned();
                (Expected::Value(Box::new(option)), value, before)
            }
            (None, None) if typed.starts_with('-') && !self.only_values => (Expected::Option, typed, String::new()),
            (None, None) if !self.is_sub => (Expected::Command, typed, String::new()),
            (None, None) => (self.next_positional(), typed, String::new()),
        };
        Cursor { command: self.command, expected, typed: typed.to_owned(), before, reach: self.reach }
    }

    /// The positional argument at this place; the last one takes all remaining words, if it takes several.
    fn next_positional(&self) -> Expected {
        let all: Vec<&Arg> = self.command.get_positionals().collect();
        let repeats = |arg: &&Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1) || is_list(arg);
        let arg = all.get(self.positionals).copied().or_else(|| all.last().copied().filter(repeats));
        arg.map_or(Expected::Nothing, |arg| Expected::Value(Box::new(arg.clone())))
    }
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn value_name(arg: &Arg) -> &str {
    arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}

/// The matching candidates, each with a short description.
pub(crate) fn candidates(place: &Cursor, programs: &[Program], contexts: &[(String, String)]) -> Vec<(String, String)> {
    let all = match &place.expected {
        Expected::Command => commands(&place.command),
        Expected::Option => options(&place.command),
        Expected::Value(arg) if value_name(arg) == "CONTEXT" => contexts.to_vec(),
        Expected::Value(arg) => values(arg, programs),
        Expected::Nothing => Vec::new(),
    };
    let fits = all.into_iter().filter(|(candidate, _)| candidate.starts_with(&place.typed));
    fits.map(|(candidate, about)| (format!("{}{candidate}", place.before), about)).collect()
}

fn commands(root: &Command) -> Vec<(String, String)> {
    let visible = root.get_subcommands().filter(|command| !command.is_hide_set());
    visible.map(|command| (command.get_name().to_owned(), about(command.get_about()))).collect()
}

fn options(command: &Command) -> Vec<(String, String)> {
    let long = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| Some((arg, arg.get_long()?)));
    long.map(|(arg, long)| (format!("--{long}"), about(arg.get_help()))).collect()
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

fn values(arg: &Arg, programs: &[Program]) -> Vec<(String, String)> {
    let words = |words: &[&str], about: &str| words.iter().map(|word| ((*word).to_owned(), about.to_owned())).collect();
    match value_name(arg) {
        "NAME" => selectors(programs),
        "SIGNAL" => words(&SIGNALS, "signal"),
        "WHAT" => words(&WaitFor::ALL.map(WaitFor::name), "state"),
        _ => arg
            .get_possible_values()
            .iter()
            .map(|value| (value.get_name().to_owned(), about(value.get_help())))
            .collect(),
    }
}

/// Every instance, every program and group of several, and `all`.
fn selectors(programs: &[Program]) -> Vec<(String, String)> {
    let mut found = BTreeMap::new();
    for program in programs {
        if program.group != program.program {
            found.insert(format!("{}:*", program.group), "group".to_owned());
        }
        if program.name != program.program {
            found.insert(program.program.clone(), "all its instances".to_owned());
        }
        found.insert(program.name.clone(), program.state.to_string());
    }
    if !found.is_empty() {
        found.insert("all".to_owned(), "every program".to_owned());
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::testing::program;

    /// The candidates for the last word of this line.
    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut pool = program("web:0");
        (pool.program, pool.group) = ("web".to_owned(), "front".to_owned());
        let programs = [pool, program("db")];
        let contexts = [("shop-1".to_owned(), "via x".to_owned()), ("live".to_owned(), "https://live:1".to_owned())];
        candidates(&place(&words), &programs, &contexts).into_iter().map(|(candidate, _)| candidate).collect()
    }

    #[test]
    fn every_place_of_a_line_offers_what_fits_there() {
        for (line, expected) in [
            ("musterctl sta", vec!["status", "start"]),
            ("musterctl -s /x --json sto", vec!["stop"]),
            ("musterctl start ", vec!["all", "db", "front:*", "web", "web:0"]),
            ("musterctl start db w", vec!["web", "web:0"]),
            ("musterctl start --no-wait w", vec!["web", "web:0"]),
            ("musterctl start --timeout 5s d", vec!["db"]),
            ("musterctl start --timeout ", vec![]),
            ("musterctl stop -- d", vec!["db"]),
            ("musterctl signal US", vec!["USR1", "USR2"]),
            ("musterctl signal HUP d", vec!["db"]),
            ("musterctl signal HUP --scope ", vec!["main", "group", "tree"]),
            ("musterctl signal HUP --scope=g", vec!["--scope=group"]),
            ("musterctl wait db --for st", vec!["stopped"]),
            ("musterctl wait --for=r", vec!["--for=running", "--for=ready"]),
            ("musterctl wait --ti", vec!["--timeout"]),
            ("musterctl completions ", vec!["bash", "zsh", "fish"]),
            ("musterctl completions bash ", vec![]),
            ("musterctl version ", vec![]),
            ("musterctl status --js", vec!["--json"]),
            ("musterctl -x sh", vec!["shop-1"]),
            ("musterctl status --context=l", vec!["--context=live"]),
            ("musterctl --via x start w", vec!["web", "web:0"]),
            ("musterctl nosuch ", vec![]),
            ("musterctl __", vec![]),
        ] {
            let offered = offered(line);
            if line == "musterctl nosuch " {
                // Not a command: the candidates at that place are still commands.
                assert!(offered.contains(&"status".to_owned()));
            } else {
                assert_eq!(offered, expected, "{line}");
            }
        }
    }

    #[test]
    fn the_socket_of_the_line_is_found_in_every_spelling() {
        for (line, socket) in [
            ("musterctl start ", None),
            ("musterctl -s /x start ", Some("/x")),
            ("musterctl --socket /x start ", Some("/x")),
            ("musterctl start --socket=/x ", Some("/x")),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let place = place(&words);
            assert_eq!(place.reach().socket.as_deref().and_then(OsStr::to_str), socket, "{line}");
            assert!(place.takes_names());
        }
    }

    #[test]
    fn no_line_at_all_offers_commands() {
        assert!(!candidates(&place(&[]), &[], &[]).is_empty());
    }
}
