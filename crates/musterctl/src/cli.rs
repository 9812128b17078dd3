//! The command line: global options and the list of commands.
//!
//! Each command's arguments and implementation are in its own file under `cmd/`. To add one: that file, a line in `commands!` here,
//! and a section in `docs/reference/musterctl.md`, which a test compares with this.

use std::ffi::OsString;

use clap::{Args as _, FromArgMatches as _, Parser, Subcommand};

use crate::cmd;
use crate::failure::{Exit, Failure};
use crate::reach::Reach;
use crate::session::Session;

const AFTER_HELP: &str = "\
Names: an instance (web:0), a program (web: all its instances), web:*, GROUP:*, all, or a glob such as 'w*'.

Examples:
  musterctl status                    the state of all programs
  musterctl restart web               stop and start, and wait until it runs
  musterctl stop 'worker:*' --timeout 1m
  musterctl logs -f web db            follow their output, in chronological order
  musterctl wait migrate --for exited
  docker exec CONTAINER musterctl status
  musterctl --via 'docker exec -i CONTAINER' status

Exit codes: 0 success, 1 an operation failed, 2 usage, 3 status shows a program that is not RUNNING, \
4 no such program, 5 permission denied, 7 no daemon, 124 timeout.";

/// Inspect and control a running musterd.
#[derive(Debug, Parser)]
#[command(name = "musterctl", version, after_help = AFTER_HELP, subcommand_required = true)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

// The options of all commands. No doc comment: clap would make it the description of the whole program.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Print data as JSON, in the format of the API.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Cli {
    /// Parses a command line.
    ///
    /// To build all commands takes longer than most of them run. So only the one is built that a word of the line names, and if
    /// the line does not fit it, all of them: for the command that was meant, for help, and for the message.
    pub(crate) fn parse_line(line: &[OsString]) -> Result<Cli, clap::Error> {
        let named = line.iter().skip(1).find_map(|word| Command::alone(word.to_str()?));
        let fits = |command| {
            let root = clap::Command::new("musterctl").subcommand_required(true).disable_help_subcommand(true);
            let root = Global::augment_args(root.subcommand(command));
            let mut matches = root.try_get_matches_from(line).ok()?;
            Cli::from_arg_matches_mut(&mut matches).ok()
        };
        named.and_then(fits).map_or_else(|| Cli::try_parse_from(line), Ok)
    }
}

macro_rules! commands {
    ($($(#[$attribute:meta])* $variant:ident $module:ident $name:literal,)*) => {
        /// The commands.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $(#[command(name = $name)] $(#[$attribute])* $variant(cmd::$module::Args),)*
        }

        impl Command {
            /// The command with this name, without the others.
            fn alone(name: &str) -> Option<clap::Command> {
                match name {
                    $($name => Some(cmd::$module::Args::augment_args(clap::Command::new($name))),)*
                    _ => None,
                }
            }

            /// Runs the command.
            pub(crate) fn run(&self, session: &mut Session) -> Result<Exit, Failure> {
                match self {
                    $(Command::$variant(args) => cmd::$module::run(args, session),)*
                }
            }
        }
    };
}

commands! {
    Status status "status",
    Start start "start",
    Stop stop "stop",
    Restart restart "restart",
    Reload reload "reload",
    Signal signal "signal",
    Scale scale "scale",
    Wait wait "wait",
    Why why "why",
    Events events "events",
    Top top "top",
    Logs logs "logs",
    Fg fg "fg",
    Exec exec "exec",
    Clear clear "clear",
    Maintail maintail "maintail",
    Ps ps "ps",
    Pid pid "pid",
    Avail avail "avail",
    Reread reread "reread",
    Update update "update",
    Schedule schedule "schedule",
    Sources sources "sources",
    Source source "source",
    Health health "health",
    Version version "version",
    Shutdown shutdown "shutdown",
    Shell shell "shell",
    Web web "web",
    Contexts contexts "contexts",
    DialStdio dial_stdio "dial-stdio",
    Completions completions "completions",
    Man man "man",
    #[command(hide = true)]
    Complete complete "__complete",
}

impl Command {
    /// Whether it works without a daemon, whatever options and variables say about one.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Command::Completions(_) | Command::Man(_) | Command::Contexts(_) | Command::Complete(_))
    }
}

#[cfg(test)]
#[path = "../../../tests/harness/help.rs"]
mod help;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    /// The reference page, cut at its headings of the third level: title and text.
    fn sections() -> Vec<(String, String)> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/musterctl.md");
        let page = std::fs::read_to_string(page).expect("the reference page is there");
        let parts = page.split("\n### ").skip(1).filter_map(|part| part.split_once('\n'));
        parts.map(|(title, text)| (title.to_owned(), text.to_owned())).collect()
    }

    /// The options in the first column of the tables of a text.
    fn listed(text: &str) -> BTreeSet<String> {
        let cells = text.lines().filter_map(|line| line.strip_prefix("| `-")?.split_once('`'));
        cells.map(|(cell, _)| format!("-{cell}")).collect()
    }

    /// An option as the page shows it: `-s, --socket SOCKET`.
    fn shown(arg: &clap::Arg) -> Option<String> {
        let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let value =
            arg.get_action().takes_values().then(|| arg.get_value_names()?.first().map(|name| format!(" {name}")));
        Some(format!("{short}--{}{}", arg.get_long()?, value.flatten().unwrap_or_default()))
    }

    #[test]
    fn the_reference_page_has_every_command_with_its_sentence_and_options() {
        let root = Cli::command();
        let commands: Vec<_> = root.get_subcommands().filter(|command| !command.is_hide_set()).collect();
        let sections = sections();
        let titles: Vec<&str> = sections.iter().map(|(title, _)| title.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(titles, commands.iter().map(|command| command.get_name()).collect::<Vec<_>>());
        for ((title, text), command) in sections.iter().zip(commands) {
            let text = text.split("\n## ").next().unwrap_or_default();
            let options: BTreeSet<String> = command.get_arguments().filter_map(shown).collect();
            assert_eq!(listed(text), options, "{title}");
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let text = text.replace('\n', " ");
            assert!(text.contains(&about), "{title} does not say: {about}");
        }
    }

    #[test]
    fn the_reference_page_has_the_options_of_all_commands() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/musterctl.md");
        let page = std::fs::read_to_string(page).expect("the reference page is there");
        let before = page.split("\n## Commands").next().unwrap_or_default();
        let mut root = Cli::command();
        root.build();
        let options: BTreeSet<String> = root.get_arguments().filter_map(shown).collect();
        assert_eq!(listed(before), options);
    }

    #[test]
    fn no_paragraph_of_the_help_is_broken_by_hand() {
        help::check(&Cli::command());
    }

    #[test]
    fn clap_finds_nothing_wrong_with_it() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_sentence_and_an_example() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{} has no sentence", command.get_name());
            assert!(after.contains("Examples:\n"), "{} has no example", command.get_name());
        }
    }

    /// Which commands are built makes no difference.
    #[test]
    fn a_line_means_the_same_whether_one_command_is_built_or_all() {
        for line in [
            "musterctl",
            "musterctl --help",
            "musterctl --version",
            "musterctl status --help",
            "musterctl status --version",
            "musterctl status --json -s /x web",
            "musterctl -x status stop web",
            "musterctl -x stop status",
            "musterctl --context=stop status status",
            "musterctl -s status",
            "musterctl stop",
            "musterctl sttaus status",
            "musterctl status --wacth",
            "musterctl exec web status --help",
            "musterctl help status",
            "musterctl -- status",
            "musterctl dial-stdio",
            "musterctl __complete",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let told = |parsed: Result<Cli, clap::Error>| {
                parsed.map(|cli| format!("{cli:?}")).map_err(|error| error.to_string())
            };
            assert_eq!(told(Cli::parse_line(&words)), told(Cli::try_parse_from(&words)), "{line}");
        }
    }

    /// The examples in the help are command lines that are understood.
    #[test]
    fn examples_can_be_typed() {
        let mut typed = 0;
        for command in Cli::command().get_subcommands() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines().filter_map(|line| line.trim().strip_prefix("musterctl ")) {
                let words = crate::via::words(line).expect("a shell can split it");
                let words = words.into_iter().take_while(|word| !["|", ">", "&&"].contains(&word.as_str()));
                let line: Vec<OsString> =
                    std::iter::once("musterctl".into()).chain(words.map(OsString::from)).collect();
                let parsed = Cli::try_parse_from(&line);
                let quickly = Cli::parse_line(&line).map(|cli| format!("{cli:?}"));
                assert_eq!(quickly.ok(), parsed.as_ref().ok().map(|cli| format!("{cli:?}")), "{line:?}");
                assert!(
                    parsed.is_ok(),
                    "{line:?}: {}",
                    parsed.err().map(|error| error.to_string()).unwrap_or_default()
                );
                typed += 1;
            }
        }
        assert!(typed > 20, "only {typed} examples were found");
    }
}
