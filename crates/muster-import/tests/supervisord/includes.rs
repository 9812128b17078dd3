//! `[include]`: which files are read, in which order, and what of them counts.

use muster_import::supervisord::{Mode, read};

use crate::cases::shown;
use crate::machine::Machine;

const MAIN: &str = "[supervisord]\n[include]\nfiles = ";

fn commands(machine: Machine, files: &str, rest: &str) -> (String, Vec<String>, Vec<String>) {
    let read = machine.read(format!("{MAIN}{files}\n{rest}"));
    let text = shown(&read, |process| process.command.clone());
    let Ok(configuration) = read else { return (text, Vec::new(), Vec::new()) };
    let warnings = configuration.warnings.into_iter().filter_map(|warning| warning.original);
    (text, warnings.collect(), configuration.infos)
}

#[test]
fn a_later_pattern_wins_and_here_is_the_files_own() {
    let machine = Machine::small()
        .file("/D/a/1.conf", "[program:a]\ncommand=A %(here)s\n")
        .file("/D/b/2.conf", "[program:a]\ncommand=B %(here)s\n[include]\nfiles=/etc/passwd\n")
        .file("/D/b/.hid.conf", "[bad");
    let (commands, _, infos) = commands(machine, "b/*.conf a/*.conf", "[program:a]\ncommand=0 %(here)s\n");
    assert_eq!(commands, "a:a=A /D/a");
    let include = |file: &str| format!("Included extra file \"{file}\" during parsing");
    assert_eq!(infos, [include("/D/b/2.conf"), include("/D/a/1.conf")]);
}

#[test]
fn files_of_one_pattern_are_sorted_and_directories_passed_over() {
    let machine = Machine::small()
        .file("/D/c/b.conf", "[program:a]\ncommand=b\n")
        .file("/D/c/B.conf", "[program:a]\ncommand=B\n")
        .file("/D/c/10.conf", "[program:a]\ncommand=10\n")
        .file("/D/c/d.conf/x", "");
    let (text, warnings, infos) = commands(machine, "c/*.conf zz/*.conf /D/c/no", "");
    assert_eq!(text, "a:a=b");
    assert_eq!(infos.len(), 4);
    let none = |pattern: &str| format!("No file matches via include \"{pattern}\"");
    assert_eq!(warnings, [none("/D/zz/*.conf"), none("/D/c/no")]);
}

#[test]
fn patterns_are_expanded_and_may_match_directories() {
    let machine = Machine::small()
        .variable("X", "c d")
        .file("/D/c/1", "[program:c]\ncommand=c")
        .file("/D/d1/e/f", "[program:d]\ncommand=d");
    assert_eq!(commands(machine, "%(ENV_X)s*/?/[a-f] %(here)s/c/*", "").0, "c:c=c | d:d=d");
}

#[test]
fn mistakes_name_the_file_that_brought_the_section() {
    let with = |text: &str| Machine::small().file("/D/b/1", text);
    let error = "Error: program section program:q does not specify a command in section 'program:q' (file: '/D/b/1')";
    assert_eq!(commands(with("[program:q]\n"), "b/*", "").0, error);
    let error = "Error: invalid literal for int() with base 10: 'x' in section 'program:q' (file: '/D/s.conf')";
    assert_eq!(commands(with("[program:q]\nstartsecs=x\n"), "b/*", "[program:q]\n").0, error);
    let error = "Error: File contains no section headers.\nfile: '/D/b/1', line: 1\n'foo\\n'";
    assert_eq!(commands(with("foo\n"), "b/*", "").0, error);
    let error = "Error: Format string '%/D' for 'program:a.command' is badly formatted: unsupported format character \
                 '/' (0x2f) at index 1 in section 'program:a' (file: '/D/s.conf')";
    assert_eq!(commands(with(""), "zz", "[program:a]\ncommand=%%(here)s\n").0, error);
    let none = Machine::small().read("[supervisord]\n[include]\n");
    assert_eq!(shown(&none, |_| String::new()), "Error: .ini file has [include] section, but no files setting");
}

#[test]
fn a_file_that_includes_itself_is_read_once_more() {
    let (text, _, infos) = commands(Machine::small(), "s.conf", "[program:a]\ncommand=x\n");
    assert_eq!(text, "a:a=x");
    assert_eq!(infos.len(), 1);
}

#[test]
fn a_fragment_needs_no_main_file() {
    let machine = Machine::small().file("/D/c/a.conf", "[program:a]\ncommand=x %(here)s\n[include]\nfiles=c/*\n");
    let read = |mode| shown(&read("/D/c/a.conf", mode, &machine), |process| process.command.clone());
    assert_eq!(read(Mode::Fragment), "a:a=x /D/c");
    assert_eq!(read(Mode::Main), "Error: .ini file does not include supervisord section");
}

#[test]
fn a_main_file_must_be_there() {
    let error = read("/D/no.conf", Mode::Main, &Machine::small()).unwrap_err();
    assert_eq!(error.problems[0].original.as_deref(), Some("could not find config file /D/no.conf"));
    let directory = read("/D", Mode::Main, &Machine::small().file("/D/s.conf", "")).unwrap_err();
    assert_eq!(directory.problems[0].original.as_deref(), Some("could not read config file /D"));
}
