//! The command line: global options and the list of commands.
//!
//! Each command's arguments and implementation are in its own file under `cmd/`. To add one: that file, a variant here,
//! and a section in `docs/reference/musterctl.md`, which a test compares with this.

use clap::{Parser, Subcommand};

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
    pub(crate) reach: Reach,

    /// Print data as JSON, in the format of the API.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Status(cmd::status::Args),
    Start(cmd::start::Args),
    Stop(cmd::stop::Args),
    Restart(cmd::restart::Args),
    Reload(cmd::reload::Args),
    Signal(cmd::signal::Args),
    Scale(cmd::scale::Args),
    Wait(cmd::wait::Args),
    Why(cmd::why::Args),
    Events(cmd::events::Args),
    Top(cmd::top::Args),
    Logs(cmd::logs::Args),
    Fg(cmd::fg::Args),
    Exec(cmd::exec::Args),
    Clear(cmd::clear::Args),
    Maintail(cmd::maintail::Args),
    Ps(cmd::ps::Args),
    Pid(cmd::pid::Args),
    Avail(cmd::avail::Args),
    Reread(cmd::reread::Args),
    Update(cmd::update::Args),
    Schedule(cmd::schedule::Args),
    Sources(cmd::sources::Args),
    Source(cmd::source::Args),
    Health(cmd::health::Args),
    Version(cmd::version::Args),
    Shutdown(cmd::shutdown::Args),
    Shell(cmd::shell::Args),
    Web(cmd::web::Args),
    Contexts(cmd::contexts::Args),
    #[command(name = "dial-stdio")]
    DialStdio(cmd::dial_stdio::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
    #[command(name = "__complete", hide = true)]
    Complete(cmd::complete::Args),
}

impl Command {
    /// Whether it works without a daemon, whatever options and variables say about one.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Command::Completions(_) | Command::Man(_) | Command::Contexts(_) | Command::Complete(_))
    }

    /// Runs the command.
    pub(crate) fn run(&self, session: &mut Session) -> Result<Exit, Failure> {
        match self {
            Command::Status(args) => cmd::status::run(args, session),
            Command::Start(args) => cmd::start::run(args, session),
            Command::Stop(args) => cmd::stop::run(args, session),
            Command::Restart(args) => cmd::restart::run(args, session),
            Command::Reload(args) => cmd::reload::run(args, session),
            Command::Signal(args) => cmd::signal::run(args, session),
            Command::Scale(args) => cmd::scale::run(args, session),
            Command::Wait(args) => cmd::wait::run(args, session),
            Command::Why(args) => cmd::why::run(args, session),
            Command::Events(args) => cmd::events::run(args, session),
            Command::Top(args) => cmd::top::run(args, session),
            Command::Logs(args) => cmd::logs::run(args, session),
            Command::Fg(args) => cmd::fg::run(args, session),
            Command::Exec(args) => cmd::exec::run(args, session),
            Command::Clear(args) => cmd::clear::run(args, session),
            Command::Maintail(args) => cmd::maintail::run(args, session),
            Command::Ps(args) => cmd::ps::run(args, session),
            Command::Pid(args) => cmd::pid::run(args, session),
            Command::Avail(args) => cmd::avail::run(args, session),
            Command::Reread(args) => cmd::reread::run(args, session),
            Command::Update(args) => cmd::update::run(args, session),
            Command::Schedule(args) => cmd::schedule::run(args, session),
            Command::Sources(args) => cmd::sources::run(args, session),
            Command::Source(args) => cmd::source::run(args, session),
            Command::Health(args) => cmd::health::run(args, session),
            Command::Version(args) => cmd::version::run(args, session),
            Command::Shutdown(args) => cmd::shutdown::run(args, session),
            Command::Shell(args) => cmd::shell::run(args, session),
            Command::Web(args) => cmd::web::run(args, session),
            Command::Contexts(args) => cmd::contexts::run(args, session),
            Command::DialStdio(args) => cmd::dial_stdio::run(args, session),
            Command::Completions(args) => cmd::completions::run(args, session),
            Command::Man(args) => cmd::man::run(args, session),
            Command::Complete(args) => cmd::complete::run(args, session),
        }
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

    /// The examples in the help are command lines that are understood.
    #[test]
    fn examples_can_be_typed() {
        let mut typed = 0;
        for command in Cli::command().get_subcommands() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines().filter_map(|line| line.trim().strip_prefix("musterctl ")) {
                let words = crate::via::words(line).expect("a shell can split it");
                let words = words.into_iter().take_while(|word| !["|", ">", "&&"].contains(&word.as_str()));
                let parsed = Cli::try_parse_from(std::iter::once("musterctl".to_owned()).chain(words));
                assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
                typed += 1;
            }
        }
        assert!(typed > 20, "only {typed} examples were found");
    }
}
