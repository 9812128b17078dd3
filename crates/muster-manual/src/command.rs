//! The pages of a command line: one for the program, and one for each of its commands.

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::{Page, prose};

/// The page of a program in this section of the manual, and those of its visible commands in section 1. `other` pages are
/// named at its end.
pub fn pages(mut program: Command, section: u8, other: &[(&str, u8)]) -> Vec<Page> {
    program.build();
    let name = program.get_name().to_owned();
    let commands: Vec<Command> = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let named: Vec<String> = commands.iter().map(full_name).collect();
    let of_program: Vec<(&str, u8)> =
        named.iter().map(|name| (name.as_str(), 1)).chain(other.iter().copied()).collect();
    let of_command: Vec<(&str, u8)> = [(name.as_str(), section)].into_iter().chain(other.iter().copied()).collect();
    let own = page(&program, section, &of_program);
    [own].into_iter().chain(commands.iter().map(|command| page(command, 1, &of_command))).collect()
}

/// `musterctl-status`.
fn full_name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn page(command: &Command, section: u8, also: &[(&str, u8)]) -> Page {
    let name = full_name(command);
    let man = Man::new(command.clone());
    let mut text = crate::Draft::new(&name, section, &about(command)).finish().text;
    let mut add = |part: &dyn Fn(&mut dyn std::io::Write) -> std::io::Result<()>| {
        let mut bytes = Vec::new();
        part(&mut bytes).expect("a vector takes everything");
        text.push_str(&String::from_utf8(bytes).expect("clap's texts are UTF-8"));
    };
    add(&|out| man.render_synopsis_section(out));
    add(&|out| out.write_all(description(command).as_bytes()));
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        add(&|out| man.render_options_section(out));
    }
    add(&|out| out.write_all(rest(command, also).as_bytes()));
    Page { name, section, text: without_double_breaks(&text) }
}

/// Without line breaks next to an empty line: clap_mangen writes them around the values of an option, and mandoc(1) complains.
fn without_double_breaks(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_space = |index: usize| lines.get(index).is_some_and(|line| line.is_empty());
    let kept = lines.iter().enumerate().filter(|(index, line)| {
        **line != ".br" || !(is_space(index + 1) || index.checked_sub(1).is_some_and(is_space))
    });
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn description(command: &Command) -> String {
    let long = command.get_long_about().or_else(|| command.get_about());
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    prose::add(&mut roff, &long.map(ToString::to_string).unwrap_or_default());
    roff.render()
}

/// The text after the help, in sections of its own, the list of commands, and other pages.
fn rest(command: &Command, also: &[(&str, u8)]) -> String {
    let mut roff = Roff::new();
    let commands: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !commands.is_empty() {
        roff.control("SH", ["COMMANDS"]);
        for command in commands {
            roff.control("TP", []);
            roff.text([bold(full_name(command)), roman("(1)")]);
            roff.text([roman(about(command))]);
        }
    }
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    let (examples, others): (Vec<&str>, Vec<&str>) =
        after.split("\n\n").partition(|paragraph| paragraph.starts_with("Examples:"));
    let (exits, notes): (Vec<&str>, Vec<&str>) =
        others.into_iter().partition(|paragraph| paragraph.starts_with("Exit codes: "));
    section(&mut roff, "NOTES", "", &notes);
    section(&mut roff, "EXIT STATUS", "Exit codes: ", &exits);
    section(&mut roff, "EXAMPLES", "Examples:", &examples);
    if !also.is_empty() {
        crate::see_also(&mut roff, also);
    }
    roff.render()
}

/// A section with these paragraphs, without the words that its title says already.
fn section(roff: &mut Roff, title: &str, said: &str, paragraphs: &[&str]) {
    let text = paragraphs.iter().map(|text| text.strip_prefix(said).unwrap_or(text)).collect::<Vec<_>>().join("\n\n");
    if !text.trim().is_empty() {
        roff.control("SH", [title]);
        prose::add(roff, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_visible_command_has_a_page() {
        let program = Command::new("shopctl")
            .disable_help_subcommand(true)
            .about("Run a shop.")
            .after_help("Examples:\n  shopctl open\n\nExit codes: 0 success.")
            .subcommand(Command::new("open").about("Open it"))
            .subcommand(Command::new("__complete").hide(true));
        let pages = pages(program, 8, &[("shop.toml", 5)]);
        assert_eq!(pages.iter().map(Page::file_name).collect::<Vec<_>>(), ["shopctl.8", "shopctl-open.1"]);
        let page = &pages[0].text;
        assert!(page.contains("shopctl \\- Run a shop\n"), "{page}");
        assert!(page.contains(".SH \"EXIT STATUS\"\n") && page.contains("\n0 success.\n"), "{page}");
        assert!(page.contains(".SH EXAMPLES\n") && page.contains("\n.nf\nshopctl open\n.fi\n"), "{page}");
        assert!(page.contains("\\fBshop.toml\\fR(5)"), "{page}");
        assert!(!page.contains("__complete"), "{page}");
    }

    #[test]
    fn a_break_next_to_an_empty_line_goes() {
        assert_eq!(without_double_breaks("a\n.br\n\n.br\nb\n.br\nc\n"), "a\n\nb\n.br\nc\n");
    }
}
