//! `musterctl man`: the manual pages, written from clap's definition of the command line.

use std::path::PathBuf;

use clap::CommandFactory;
use muster_manual::Page;

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Print a manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  musterctl man | man -l -
  musterctl man status | man -l -
  musterctl man --output /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// The command that it is about; without it, musterctl itself.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Write all pages to this directory.
    #[arg(short, long, value_name = "DIRECTORY", conflicts_with = "command")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let pages = pages();
    if let Some(directory) = &args.output {
        muster_manual::write_all(directory, &pages)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {error}")))?;
        return Ok(Exit::Well);
    }
    let name = args.command.as_ref().map_or("musterctl".to_owned(), |command| format!("musterctl-{command}"));
    let page = pages.into_iter().find(|page| page.name == name).ok_or_else(|| {
        let command = args.command.as_deref().unwrap_or_default();
        Failure::new(Exit::Usage, format!("no such command: {command:?}")).with_hint("musterctl --help lists them")
    })?;
    session.out.push_str(&page.text);
    Ok(Exit::Well)
}

fn pages() -> Vec<Page> {
    muster_manual::pages(Cli::command(), 1, &[("musterd", 8), ("muster.toml", 5)])
}

#[cfg(test)]
mod tests {
    use crate::testing::Setting;

    #[test]
    fn every_command_has_a_page_with_its_options_and_examples() {
        let page = Setting::default().run("man").out;
        for text in ["musterctl\\-status", "\\-\\-socket", ".SH \"EXIT STATUS\"", ".SH EXAMPLES"] {
            assert!(page.contains(text), "{text} is missing:\n{page}");
        }
        assert!(!page.contains("__complete"));
        let page = Setting::default().run("man stop").out;
        for text in [".TH MUSTERCTL-STOP 1", "\\-\\-timeout", ".SH DESCRIPTION", "musterd"] {
            assert!(page.contains(text), "{text} is missing:\n{page}");
        }
    }

    #[test]
    fn a_command_that_does_not_exist_is_an_error() {
        let done = Setting::default().run("man nosuch");
        assert!(done.err.contains("no such command: \"nosuch\""), "{}", done.err);
    }
}
