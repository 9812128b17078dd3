//! `musterd man`: the manual pages of the daemon, from its command line and the registry of keys.

use std::io::Write;
use std::path::PathBuf;

use muster_config::keys::{self, Key, Table};
use muster_manual::{Draft, Page};

/// The arguments of `musterd man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The page: musterd, muster.toml, muster-run, musterd-simulate, and one for each other command
    #[arg(default_value = "musterd")]
    page: String,
    /// Write all pages to this directory
    #[arg(short, long, value_name = "DIRECTORY", conflicts_with = "page")]
    output: Option<PathBuf>,
}

/// Prints or writes pages; returns the exit code. `program` is the daemon's command line, `run` the help of `musterd run`.
pub fn man(arguments: &ManArgs, program: clap::Command, run: &str) -> u8 {
    let pages = pages(program, run);
    if let Some(directory) = &arguments.output {
        return match muster_manual::write_all(directory, &pages) {
            Ok(()) => 0,
            Err(error) => failed(&format!("cannot write {error}"), 1),
        };
    }
    let wanted = arguments.page.as_str();
    let is_it = |page: &&Page| page.name == wanted || page.name == format!("musterd-{wanted}");
    match pages.iter().find(is_it) {
        // A reader that goes away, such as a pager, is no failure.
        Some(page) => {
            let _ = std::io::stdout().write_all(page.text.as_bytes());
            0
        }
        None => {
            let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
            failed(&format!("no such page: {wanted:?}\nhint: there are {}", names.join(", ")), 2)
        }
    }
}

fn failed(message: &str, code: u8) -> u8 {
    let _ = writeln!(std::io::stderr(), "musterd man: {message}");
    code
}

fn pages(program: clap::Command, run: &str) -> Vec<Page> {
    let others = [("musterctl", 1), ("muster.toml", 5), ("muster-run", 1)];
    // It parses its own options, so clap knows none of them.
    let program = program.mut_subcommand("run", |command| command.hide(true));
    let mut pages = muster_manual::pages(program, 8, &others);
    pages.push(run_page(run));
    pages.push(configuration());
    pages
}

fn run_page(help: &str) -> Page {
    let (usage, rest) = help.split_once("\n\n").unwrap_or((help, ""));
    let mut page =
        Draft::new("muster-run", 1, "the init of one program: forwards signals, reaps zombies, exits with its code");
    page.heading("SYNOPSIS").prose(usage.trim_start_matches("Usage: "));
    page.heading("DESCRIPTION").prose(rest);
    page.see_also(&[("musterd", 8)]);
    page.finish()
}

/// muster.toml(5): every key, its default and its meaning.
fn configuration() -> Page {
    let mut page = Draft::new("muster.toml", 5, "configuration of the supervisor musterd");
    page.heading("DESCRIPTION").prose(
        "musterd reads the first of $MUSTER_CONFIG, /etc/muster/muster.toml, /etc/muster.toml and ./muster.toml that exists, \
         or the files and directories that -c names. The format is TOML 1.0. The smallest configuration is\n\n  \
         [program.web]\n  command = \"gunicorn app:wsgi\"\n\nmusterd check reports every mistake with its place. Durations are \
         seconds, or text such as \"500ms\" or \"1h30m\"; sizes are bytes, or text such as \"10MB\", which is 1024-based. \
         ${NAME} stands for a variable, {program} and {instance} for what their names say.",
    );
    for table in Table::ALL {
        page.heading(table.header());
        keys::of(table).filter(|key| key.is_supported()).for_each(|key| add(&mut page, key));
    }
    page.see_also(&[("musterd", 8), ("musterctl", 1)]);
    page.finish()
}

fn add(page: &mut Draft, key: &Key) {
    let mut meaning = key.doc.to_owned();
    for (label, text) in [("Default", key.default), ("Source", key.why)] {
        if !text.is_empty() {
            meaning = format!("{}. {label}: {text}", meaning.trim_end_matches('.'));
        }
    }
    page.setting(key.name, key.value, &meaning);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_key_is_in_the_manual() {
        let page = configuration();
        assert_eq!(page.file_name(), "muster.toml.5");
        for key in Table::ALL.into_iter().flat_map(keys::of).filter(|key| key.is_supported()) {
            let name = key.name.replace('-', "\\-");
            assert!(page.text.contains(&format!("\\fB{name}\\fR = ")), "{name} is missing");
        }
    }

    #[test]
    fn run_has_a_page_of_its_own() {
        let page = run_page("Usage: musterd run [--] COMMAND\n\nAn init.\n\nSignals:\n  -g  all\n");
        assert_eq!(page.file_name(), "muster-run.1");
        assert!(page.text.contains("An init.") && page.text.contains(".nf\n\\-g  all\n.fi"), "{}", page.text);
    }
}
