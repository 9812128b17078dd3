//! Hints for supervisorctl commands that are different here.
//!
//! Only for invalid command lines; where the supervisorctl syntax can be accepted, the command itself does so.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The replacement for this command line, which clap has refused.
pub(crate) fn hint(error: &clap::Error, args: &[OsString]) -> Option<String> {
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        return foreign_command(word).map(str::to_owned);
    }
    let command = command(args)?;
    match (error.kind(), command) {
        (ErrorKind::MissingRequiredArgument, "reload") => Some(
            "`musterctl reload all` has every program read its own configuration, `musterctl update` reads that of musterd \
             again and changes what differs; the daemon itself is restarted with its container or service"
                .to_owned(),
        ),
        (ErrorKind::MissingRequiredArgument, "start" | "stop" | "restart" | "wait" | "why" | "clear") => {
            Some(format!("`musterctl {command} all` is for all programs"))
        }
        (ErrorKind::UnknownArgument, "update" | "reread") => Some(format!(
            "`musterctl {command}` takes no names: it is about all that differs; `musterctl restart --update NAME` restarts \
             a program with its new configuration"
        )),
        _ => None,
    }
}

fn foreign_command(word: &str) -> Option<&'static str> {
    Some(match word {
        "add" => "`musterctl update` starts what was added to the configuration; `musterctl reread` shows it before",
        "remove" => {
            "`musterctl update` stops what was removed from the configuration; `musterctl stop NAME` stops a program that \
             stays in it"
        }
        "open" => "`musterctl --socket SOCKET` talks to another daemon",
        "help" => "`musterctl --help` lists the commands, `musterctl COMMAND --help` tells about one",
        "exit" | "quit" => "only `musterctl shell` is left with it",
        _ => return None,
    })
}

/// The name of the command on this line.
fn command(args: &[OsString]) -> Option<&str> {
    let mut words = args.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word {
            "-s" | "--socket" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => return Some(word),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::testing::Setting;

    #[test]
    fn what_is_something_else_here_says_what_to_type() {
        for (line, hint) in [
            ("add web", "hint: `musterctl update` starts"),
            ("remove web", "hint: `musterctl update` stops"),
            ("open http://localhost:9001", "hint: `musterctl --socket SOCKET`"),
            ("help start", "`musterctl COMMAND --help`"),
            ("quit", "hint: only `musterctl shell`"),
            ("reload", "`musterctl update` reads that of musterd again"),
            ("-s /x --json reload", "`musterctl reload all`"),
            ("restart", "hint: `musterctl restart all` is for all programs\n"),
            ("update web", "hint: `musterctl update` takes no names"),
            ("update all", "hint: `musterctl update` takes no names"),
        ] {
            let ended = Setting::default().run(line);
            assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{line}");
            assert!(ended.err.contains(hint), "{line}: {}", ended.err);
        }
        assert!(!Setting::default().run("statsu").err.contains("hint:"));
    }
}
