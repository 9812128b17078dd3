//! The command line of `musterd run`, which combines the options of tini and dumb-init.
//!
//! Options end at the first argument that is not one, as in dumb-init, so a command's own options are safe without
//! `--`. If both originals use a letter (`-h`, `-v`), it has the same meaning in both. The environment is read first, and the
//! command line takes precedence.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use muster_spec::{Signal, Span};

use super::Compat;
use super::exit_codes::ExitCodes;
use super::getopt::{Grammar, Long, Operands, Scan};
use super::own_reporter::OwnReporter;
use super::plan::{Home, InitPlan, Parsed, SignalRecipients};
use super::quirks::Character;
use super::reporter::{Reporter, Stream};
use super::rewrites::{Rewrite, Rewrites};

/// The text of `musterd run --help`.
pub const HELP: &str = include_str!("help.txt");

const USAGE_ERROR: u8 = 2;

/// Keys of options that have only a long name.
const SESSION: u8 = 1;
const GRACE: u8 = 2;
const COMPAT: u8 = 3;

const GRAMMAR: Grammar = Grammar {
    short: "hVlsp:vwgce:r:",
    long: &[
        Long { name: "help", takes_value: false, key: b'h' },
        Long { name: "version", takes_value: false, key: b'V' },
        Long { name: "license", takes_value: false, key: b'l' },
        Long { name: "subreaper", takes_value: false, key: b's' },
        Long { name: "parent-death-signal", takes_value: true, key: b'p' },
        Long { name: "verbose", takes_value: false, key: b'v' },
        Long { name: "warn-on-reap", takes_value: false, key: b'w' },
        Long { name: "group", takes_value: false, key: b'g' },
        Long { name: "single-child", takes_value: false, key: b'c' },
        Long { name: "success-exit-code", takes_value: true, key: b'e' },
        Long { name: "rewrite", takes_value: true, key: b'r' },
        Long { name: "session", takes_value: false, key: SESSION },
        Long { name: "grace", takes_value: true, key: GRACE },
        Long { name: "compat", takes_value: true, key: COMPAT },
    ],
    operands: Operands::EndTheOptions,
};

/// The init selected by a leading `--compat=NAME` or `--compat NAME`, and the rest of the command line.
pub(super) fn compat(arguments: &[OsString]) -> Result<Option<(Compat, &[OsString])>, Parsed> {
    let (name, rest) = match arguments {
        [first, second, rest @ ..] if first == "--compat" => (second.to_str(), rest),
        [first, rest @ ..] => match first.to_str().and_then(|first| first.strip_prefix("--compat=")) {
            Some(name) => (Some(name), rest),
            None => return Ok(None),
        },
        [] => return Ok(None),
    };
    match name {
        Some("tini") => Ok(Some((Compat::Tini, rest))),
        Some("dumb-init") => Ok(Some((Compat::DumbInit, rest))),
        _ => Err(complain("--compat knows \"tini\" and \"dumb-init\"")),
    }
}

/// Parses the arguments of `musterd run`.
pub(super) fn parse(arguments: &[OsString]) -> Parsed {
    let mut asked = match Asked::from_environment(|name| std::env::var_os(name)) {
        Ok(asked) => asked,
        Err(ending) => return ending,
    };
    let mut scan = Scan::new(GRAMMAR, arguments);
    for found in scan.by_ref() {
        let (key, value) = match found {
            Ok(found) => found,
            Err(mistake) => return complain(&mistake.to_string()),
        };
        if let Err(ending) = asked.take(key, value.as_deref().unwrap_or_default()) {
            return ending;
        }
    }
    match scan.into_operands() {
        command if command.is_empty() => complain("no command to run"),
        command => Parsed::Run(Box::new(asked.into_plan(command))),
    }
}

/// The options so far.
struct Asked {
    verbosity: u32,
    home: Home,
    scope: SignalRecipients,
    rewrites: Rewrites,
    successes: ExitCodes,
    parent_death: Option<Signal>,
    subreaper: bool,
    warns_on_reap: bool,
    grace: Option<Duration>,
}

impl Asked {
    fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Asked, Parsed> {
        let mut asked = Asked {
            verbosity: 1,
            home: Home::Group,
            scope: SignalRecipients::Process,
            rewrites: Rewrites::new(),
            successes: ExitCodes::default(),
            parent_death: None,
            subreaper: variable("TINI_SUBREAPER").is_some(),
            warns_on_reap: false,
            grace: None,
        };
        if let Some(text) = variable("TINI_VERBOSITY") {
            let number = text.to_str().and_then(|text| text.trim().parse().ok());
            asked.verbosity = number.ok_or_else(|| refuse("TINI_VERBOSITY", "is a number", &text))?;
        }
        if variable("DUMB_INIT_DEBUG").is_some_and(|value| value == "1") {
            asked.verbosity = asked.verbosity.max(3);
        }
        match variable("DUMB_INIT_SETSID") {
            Some(value) if value == "0" => asked.become_single_child(),
            Some(_) => asked.become_session(),
            None => {}
        }
        if variable("TINI_KILL_PROCESS_GROUP").is_some() {
            asked.scope = SignalRecipients::Group;
        }
        Ok(asked)
    }

    /// Applies one option. An error ends the program: help, version, an invalid value.
    fn take(&mut self, key: u8, value: &OsStr) -> Result<(), Parsed> {
        match key {
            b'h' => return Err(say(HELP.to_owned())),
            b'V' => return Err(say(format!("musterd {}\n", env!("CARGO_PKG_VERSION")))),
            b'l' => return Err(say("musterd is licensed under MIT OR Apache-2.0, as you like\n".to_owned())),
            b's' => self.subreaper = true,
            b'v' => self.verbosity = self.verbosity.saturating_add(1),
            b'w' => self.warns_on_reap = true,
            b'g' => self.scope = SignalRecipients::Group,
            b'c' => self.become_single_child(),
            b'p' => self.parent_death = Some(signal(value).ok_or_else(|| refuse("-p", "takes a signal", value))?),
            b'e' => self.successes.insert(number(value).ok_or_else(|| refuse("-e", "takes 0 to 255", value))?),
            b'r' => {
                let (from, to) =
                    rewrite(value).ok_or_else(|| refuse("-r", "takes SIGNAL:SIGNAL or SIGNAL:0", value))?;
                self.rewrites.set(from, to);
            }
            SESSION => self.become_session(),
            GRACE => {
                let grace =
                    duration(value).ok_or_else(|| refuse("--grace", "takes a time like 10s or 500ms", value))?;
                self.grace = Some(grace);
            }
            _ => return Err(complain("--compat has to be the first option")),
        }
        Ok(())
    }

    fn become_single_child(&mut self) {
        (self.home, self.scope) = (Home::Group, SignalRecipients::Process);
    }

    fn become_session(&mut self) {
        (self.home, self.scope) = (Home::Session, SignalRecipients::Group);
    }

    fn into_plan(mut self, command: Vec<OsString>) -> InitPlan {
        if self.home == Home::Session {
            self.rewrites.stop_for_real();
        }
        InitPlan {
            command,
            character: Character::Own,
            reporter: Reporter::Own(OwnReporter { verbosity: self.verbosity }),
            home: self.home,
            scope: self.scope,
            rewrites: self.rewrites,
            successes: self.successes,
            parent_death: self.parent_death,
            // To wait for all remaining processes, the init must adopt them.
            is_subreaper: self.subreaper || self.grace.is_some(),
            warns_on_reap: self.warns_on_reap,
            grace: self.grace,
        }
    }
}

fn say(text: String) -> Parsed {
    Parsed::Say { stream: Stream::Stdout, text, code: 0 }
}

fn complain(what: &str) -> Parsed {
    let text = format!("musterd run: {what}\nhint: musterd run --help shows how it goes\n");
    Parsed::Say { stream: Stream::Stderr, text, code: USAGE_ERROR }
}

fn refuse(option: &str, rule: &str, value: &OsStr) -> Parsed {
    complain(&format!("{option} {rule}: {value:?}"))
}

fn signal(text: &OsStr) -> Option<Signal> {
    text.to_str()?.parse().ok()
}

fn number(text: &OsStr) -> Option<u8> {
    text.to_str()?.parse().ok()
}

/// `TERM:QUIT`, `15:3`, `WINCH:0`: by name or number, real-time signals too.
fn rewrite(text: &OsStr) -> Option<(Signal, Rewrite)> {
    let (from, to) = text.to_str()?.split_once(':')?;
    let to = if to == "0" { Rewrite::Drop } else { Rewrite::To(to.parse().ok()?) };
    Some((from.parse().ok()?, to))
}

/// `10`, `0.5`, `500ms`, `1m30s`.
fn duration(text: &OsStr) -> Option<Duration> {
    text.to_str()?.parse().ok().map(|Span(duration)| duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str, environment: &[(&str, &str)]) -> Result<InitPlan, String> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        let mut scan = Scan::new(GRAMMAR, &arguments);
        let words = |ending: Parsed| match ending {
            Parsed::Say { text, code, .. } => format!("{code} {text}"),
            Parsed::Run(_) => unreachable!("an ending is words"),
        };
        let mut asked = Asked::from_environment(lookup).map_err(words)?;
        for found in scan.by_ref() {
            let (key, value) = found.map_err(|mistake| mistake.to_string())?;
            asked.take(key, value.as_deref().unwrap_or_default()).map_err(words)?;
        }
        Ok(asked.into_plan(scan.into_operands()))
    }

    fn plan(line: &str) -> InitPlan {
        parsed(line, &[]).expect("a good command line")
    }

    #[test]
    fn the_command_keeps_its_own_options() {
        assert_eq!(plan("-g sh -c true").command, ["sh", "-c", "true"]);
        assert_eq!(plan("-- -g").command, ["-g"]);
    }

    #[test]
    fn by_default_the_commands_process_gets_the_signals() {
        let plan = plan("true");
        assert_eq!((plan.home, plan.scope), (Home::Group, SignalRecipients::Process));
        assert!(plan.grace.is_none() && !plan.is_subreaper && !plan.warns_on_reap && plan.parent_death.is_none());
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        for (environment, line, expected) in [
            (vec![], "-g", (Home::Group, SignalRecipients::Group)),
            (vec![], "--session", (Home::Session, SignalRecipients::Group)),
            (vec![("TINI_KILL_PROCESS_GROUP", "")], "", (Home::Group, SignalRecipients::Group)),
            (vec![("TINI_KILL_PROCESS_GROUP", "")], "-c", (Home::Group, SignalRecipients::Process)),
            (vec![("DUMB_INIT_SETSID", "1")], "", (Home::Session, SignalRecipients::Group)),
            (vec![("DUMB_INIT_SETSID", "1")], "--single-child", (Home::Group, SignalRecipients::Process)),
            (vec![("DUMB_INIT_SETSID", "0")], "", (Home::Group, SignalRecipients::Process)),
            (vec![("DUMB_INIT_SETSID", "0")], "--session", (Home::Session, SignalRecipients::Group)),
            (
                vec![("DUMB_INIT_SETSID", "0"), ("TINI_KILL_PROCESS_GROUP", "")],
                "",
                (Home::Group, SignalRecipients::Group),
            ),
        ] {
            let plan = parsed(line, &environment).expect("a good command line");
            assert_eq!((plan.home, plan.scope), expected, "{environment:?} {line}");
        }
    }

    #[test]
    fn signals_go_by_name_or_number() {
        let plan = plan("-p TERM -r TERM:QUIT -r 10:RTMIN+3 -r SIGWINCH:0 true");
        let to = |name: &str| plan.rewrites.of(name.parse().expect("a signal"));
        assert_eq!(plan.parent_death, Some(Signal::TERM));
        assert_eq!(to("TERM"), Rewrite::To(Signal::QUIT));
        assert_eq!(to("USR1"), Rewrite::To("37".parse().expect("a signal")));
        assert_eq!(to("WINCH"), Rewrite::Drop);
        assert_eq!(to("TSTP"), Rewrite::None);
    }

    #[test]
    fn only_a_session_needs_its_stops_for_real() {
        assert_eq!(plan("--session true").rewrites.of(Signal::TSTP), Rewrite::To(Signal::STOP));
        assert_eq!(plan("-g true").rewrites.of(Signal::TSTP), Rewrite::None);
    }

    #[test]
    fn grace_makes_a_subreaper() {
        let plan = plan("--grace 1m30s true");
        assert_eq!(plan.grace, Some(Duration::from_secs(90)));
        assert!(plan.is_subreaper);
    }

    #[test]
    fn times_are_read_as_in_the_configuration() {
        let read = |text: &str| duration(OsStr::new(text)).map(|time| time.as_millis());
        for (text, expected) in [("10", 10_000), ("0.5", 500), ("500ms", 500), ("2m", 120_000), ("1h30m", 5_400_000)] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in ["", "s", "10x", "-1", "1e99", "nan", "10s5", "99999999999999999999s"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_option_and_the_value() {
        for (line, expected) in [
            ("-e 256 true", "2 musterd run: -e takes 0 to 255: \"256\""),
            ("-p FOO true", "2 musterd run: -p takes a signal: \"FOO\""),
            ("-r 15 true", "2 musterd run: -r takes SIGNAL:SIGNAL or SIGNAL:0: \"15\""),
            ("--grace soon true", "2 musterd run: --grace takes a time like 10s or 500ms: \"soon\""),
            ("-g --compat=tini true", "2 musterd run: --compat has to be the first option"),
            ("-x true", "invalid option -- 'x'"),
        ] {
            let complaint = parsed(line, &[]).err().expect("a mistake");
            assert_eq!(complaint.lines().next(), Some(expected), "{line}");
        }
    }

    #[test]
    fn every_option_is_explained() {
        let page = include_str!("../../../docs/reference/run.md");
        for long in GRAMMAR.long {
            let option = format!("--{}", long.name);
            assert!(HELP.contains(&option) && page.contains(&option), "{option}");
        }
        for variable in
            ["TINI_SUBREAPER", "TINI_KILL_PROCESS_GROUP", "TINI_VERBOSITY", "DUMB_INIT_SETSID", "DUMB_INIT_DEBUG"]
        {
            assert!(HELP.contains(variable) && page.contains(variable), "{variable}");
        }
    }

    #[test]
    fn compat_comes_first_or_not_at_all() {
        let asked = |line: &str| {
            let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            compat(&arguments).map(|found| found.map(|(compat, rest)| (compat, rest.len()))).map_err(|_| ())
        };
        assert_eq!(asked("--compat=tini -g true"), Ok(Some((Compat::Tini, 2))));
        assert_eq!(asked("--compat dumb-init true"), Ok(Some((Compat::DumbInit, 1))));
        assert_eq!(asked("-g true"), Ok(None));
        assert_eq!(asked(""), Ok(None));
        assert_eq!(asked("--compat=runit true"), Err(()));
    }
}
