//! Reads the pages: their `console` blocks, and the files that they show.

use std::fs;
use std::path::{Path, PathBuf};

/// A command of a page, and the lines that the page shows below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) line: String,
    pub(crate) output: Vec<String>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// README, the pages about images, tutorials, how-tos and reference, relative to the root.
pub(crate) fn all() -> Vec<String> {
    let mut found = vec![PathBuf::from("README.md"), PathBuf::from("docker/README.md")];
    let mut directories = vec![PathBuf::from("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root().join(&directory)).expect("it is there").flatten() {
            let path = directory.join(entry.file_name());
            if root().join(&path).is_dir() {
                // Measurements and decisions are not instructions.
                if !path.ends_with("design") {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter().map(|path| path.display().to_string()).collect()
}

/// The blocks of a language, without their fences.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(of_block) = line.trim_start().strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            if of_block == language {
                found.push(block.iter().map(|line| format!("{line}\n")).collect());
            }
        }
    }
    found
}

/// The commands of a page in their order. A line that ends with a backslash goes on.
pub(crate) fn commands(text: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    for block in blocks(text, "console") {
        let mut goes_on = false;
        let mut is_first = true;
        for line in block.lines() {
            if let Some(command) = line.trim_start().strip_prefix("$ ") {
                found.push(Shown { line: command.to_owned(), output: Vec::new() });
                goes_on = command.ends_with('\\');
            } else if is_first {
                panic!("a console block begins without a command: {line}");
            } else if let Some(last) = found.last_mut() {
                if goes_on {
                    last.line.push('\n');
                    last.line.push_str(line);
                    goes_on = line.ends_with('\\');
                } else {
                    last.output.push(line.to_owned());
                }
            }
            is_first = false;
        }
    }
    found
}

/// A line without what differs from run to run: numbers and the width of columns.
pub(crate) fn essence(line: &str) -> String {
    let mut text = String::new();
    for letter in line.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if !letter.is_ascii_digit() {
            text.push(letter);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

#[test]
fn the_reader_of_pages_finds_commands_and_output() {
    let text = "```console\n$ a b\nx 12\n$ c \\\n  d\ny\n```\n```sh\ne\n```\n";
    let shown = |line: &str, output: &[&str]| Shown {
        line: line.to_owned(),
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(commands(text), [shown("a b", &["x 12"]), shown("c \\\n  d", &["y"])]);
    assert_eq!(essence("app   RUNNING  pid 12, uptime 0:00:05"), "app RUNNING pid #, uptime #:#:#");
}
