//! `musterctl man`: the manual page, written from clap's definition of the command line.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Print the manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  musterctl man > /usr/local/share/man/man1/musterctl.1
  musterctl man | man -l -")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    session.out.push_str(&page());
    Ok(Exit::Well)
}

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = format!(".TH MUSTERCTL 1 \"\" \"muster {}\"\n", env!("CARGO_PKG_VERSION"));
    section(&mut page, "NAME");
    let _ = writeln!(page, "musterctl \\- {}", escape(&about(&root)));
    section(&mut page, "SYNOPSIS");
    page.push_str(".B musterctl\n[OPTIONS] COMMAND\n");
    section(&mut page, "OPTIONS");
    root.get_arguments().for_each(|arg| option(&mut page, arg));
    section(&mut page, "COMMANDS");
    root.get_subcommands().filter(|command| !command.is_hide_set()).for_each(|command| chapter(&mut page, command));
    section(&mut page, "NOTES");
    verbatim(&mut page, &root);
    page
}

fn chapter(page: &mut String, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim_start_matches("musterctl ");
    let _ = writeln!(page, ".SS \"{}\"\n{}", escape(usage).replace('"', "\\(dq"), escape(&about(command)));
    command.get_arguments().filter(|arg| !arg.is_global_set()).for_each(|arg| option(page, arg));
    verbatim(page, command);
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH {title}");
}

/// An option or argument and its help.
fn option(page: &mut String, arg: &Arg) {
    if arg.get_id() == "help" {
        return;
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let _ = writeln!(page, ".TP\n.B {}\n{}", escape(&format!("{short}{arg}")), escape(&help));
}

/// The text after the help, line by line.
fn verbatim(page: &mut String, command: &Command) {
    if let Some(text) = command.get_after_help() {
        let _ = writeln!(page, ".PP\n.nf\n{}\n.fi", escape(&text.to_string()));
    }
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Escapes text for troff: backslashes, hyphens, and dots and quotes at the beginning of a line.
fn escape(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Setting;

    #[test]
    fn every_command_and_option_has_its_place() {
        let page = Setting::default().run("man").out;
        for text in [".SS \"status [OPTIONS] [NAME]...\"", ".B \\-\\-no\\-wait", ".B \\-s, \\-\\-socket <SOCKET>"] {
            assert!(page.contains(text), "{text} is missing:\n{page}");
        }
        assert!(!page.contains("__complete"));
    }

    #[test]
    fn no_text_is_taken_for_a_request_of_troff() {
        assert_eq!(escape(".so /etc/passwd\n'br\na\\fBb --x"), "\\&.so /etc/passwd\n\\&'br\na\\efBb \\-\\-x");
    }
}
