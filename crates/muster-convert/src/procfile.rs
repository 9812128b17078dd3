//! A Procfile, as foreman and honcho run it: each line is a program, and the end of one ends all.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::report::{Place, Report, Verdict};
use crate::template::{literal, valid_name};
use crate::toml::{self, Table};
use crate::{Converted, Mistake};

/// The longest line: the kernel takes arguments of 128 KiB.
const LONGEST: usize = 128 << 10;

/// The most programs.
const MOST: usize = 10_000;

/// The most processes of a program.
const MOST_PROCESSES: u32 = 1000;

/// How many processes of each name run: foreman's `--formation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formation {
    /// The number for names that are not listed.
    others: u32,
    numbers: BTreeMap<String, u32>,
}

/// One process of each.
impl Default for Formation {
    fn default() -> Formation {
        Formation { others: 1, numbers: BTreeMap::new() }
    }
}

impl FromStr for Formation {
    type Err = String;

    /// Reads `web=2,worker=1`. As in foreman, names that are not listed are not started, except with `all=1`.
    fn from_str(text: &str) -> Result<Formation, String> {
        let mut formation = Formation { others: 0, numbers: BTreeMap::new() };
        for pair in text.split(',') {
            let (name, number) = pair.split_once('=').ok_or("expected NAME=NUMBER, separated by commas")?;
            let number = number.trim().parse().ok().filter(|number| *number <= MOST_PROCESSES);
            let number = number.ok_or_else(|| format!("the number must be 0 to {MOST_PROCESSES}: {pair:?}"))?;
            match name.trim() {
                "all" => formation.others = number,
                name => _ = formation.numbers.insert(name.to_owned(), number),
            }
        }
        Ok(formation)
    }
}

impl Formation {
    fn number(&self, name: &str) -> u32 {
        self.numbers.get(name).copied().unwrap_or(self.others)
    }
}

/// Converts the text of a Procfile. `has_env` is whether a file `.env` is beside it.
pub fn convert(path: &str, text: &[u8], has_env: bool, formation: &Formation) -> Result<Converted, Vec<Mistake>> {
    let mistake = |line: usize, message: &str| {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        vec![Mistake { file: path.to_owned(), line, message: message.to_owned() }]
    };
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let line = text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            return Err(mistake(line, "is not UTF-8; save the file as UTF-8"));
        }
    };
    let mut report = Report::default();
    let (entries, rest) = entries(text, path, &mut report);
    if entries.is_empty() {
        return Err(mistake(0, "has no line such as web: COMMAND"));
    }
    if entries.len() > MOST {
        return Err(mistake(0, "has more than 10000 programs"));
    }
    if let Some(name) = formation.numbers.keys().find(|name| entries.iter().all(|entry| entry.name != **name)) {
        return Err(mistake(0, &format!("has no process {name:?}, which the formation names")));
    }
    let has_release = entries.iter().any(|entry| entry.name == "release");
    let mut toml = String::new();
    toml::comment("# Converted from a Procfile by musterd convert.", &mut toml);
    defaults(has_env).write(&mut toml);
    let mut port = 5000;
    for entry in &entries {
        let is_release = entry.name == "release";
        let number = formation.number(&entry.name);
        program(entry, has_release, number, &mut port, &mut report, path).write(&mut toml);
        if is_release {
            let text = ("release ran once before a deployment", "runs at each start, and the others wait for it", "");
            report.add(Verdict::Differs, &Place::new(path, entry.line), "release", text);
        }
    }
    rest.iter().for_each(|line| toml::comment(line, &mut toml));
    let place = Place::new(path, 1);
    let text = (
        "the end of one process ended all",
        "essential = true, restart = \"no\"",
        "choose restart to keep programs up",
    );
    report.add(Verdict::Same, &place, "", text);
    let text = ("PORT was 5000, 5100, …", "the same in environment", "change it where another port is published");
    report.add(Verdict::Same, &place, "", text);
    let text = ("each process got 5 s after TERM", "stopwaitsecs = 5", "");
    report.add(Verdict::Same, &place, "", text);
    report.sort();
    Ok(Converted { toml, programs: entries.len(), report })
}

/// A line of the file.
struct Entry<'t> {
    line: u32,
    name: String,
    command: &'t str,
    above: Vec<String>,
}

/// The programs, and the comments after the last.
fn entries<'t>(text: &'t str, path: &str, report: &mut Report) -> (Vec<Entry<'t>>, Vec<String>) {
    let (mut entries, mut above) = (Vec::new(), Vec::new());
    let mut known = std::collections::HashSet::new();
    for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if line.starts_with('#') {
            above.push(line.to_owned());
            continue;
        }
        let lost = |was: &str, report: &mut Report| {
            report.add(Verdict::Lost, &Place::new(path, number), "", (was, "left out", "write NAME: COMMAND"));
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let parts = line.split_once(':').map(|(name, command)| (name, command.trim()));
        let Some((name, command)) = parts.filter(|(name, _)| !name.is_empty() && name.chars().all(is_name)) else {
            lost("a line that is no process, which foreman ignores", report);
            continue;
        };
        let name = valid_name(name);
        if command.is_empty() || command.len() > LONGEST || command.contains('\0') {
            lost("a process without a usable command", report);
        } else if !known.insert(name.clone()) {
            lost("a second process of the same name", report);
        } else {
            entries.push(Entry { line: number, name, command, above: std::mem::take(&mut above) });
        }
    }
    (entries, above)
}

fn defaults(has_env: bool) -> Table {
    let mut table = Table::new("defaults");
    table.set("restart", "\"no\"");
    table.set("essential", "true");
    table.set("stopwaitsecs", "5");
    if has_env {
        table.set("env_file", "[\"?.env\"]");
    }
    table
}

fn program(
    entry: &Entry<'_>,
    has_release: bool,
    number: u32,
    port: &mut u32,
    report: &mut Report,
    path: &str,
) -> Table {
    let mut table = Table::new(format!("program.{}", toml::key(&entry.name)));
    table.above.clone_from(&entry.above);
    let script = if needs_shell(entry.command) { entry.command.to_owned() } else { format!("exec {}", entry.command) };
    table.set("command", toml::list(["sh", "-c", &*script].map(|word| toml::text(&literal(word)))));
    if entry.name == "release" {
        table.set("type", "\"oneshot\"");
        table.set("essential", "\"on-failure\"");
        return table;
    }
    if has_release {
        table.set("depends_on", "{ release = \"completed\" }");
    }
    match number {
        0 => {
            table.set("autostart", "false");
            let text = ("not in the formation, so it was not started", "autostart = false", "");
            report.add(Verdict::Same, &Place::new(path, entry.line), &entry.name, text);
        }
        1 => {}
        number => {
            table.set("numprocs", number.to_string());
            table.set("numprocs_start", "1");
            let name = &entry.name;
            let text = (format!("{name}.1 … {name}.{number}"), format!("{name}:1 … {name}:{number}"), "");
            report.add(Verdict::Same, &Place::new(path, entry.line), name, text);
        }
    }
    let value = if number > 1 { format!("{{instance+{}}}", *port - 1) } else { port.to_string() };
    table.set("environment", format!("{{ PORT = \"{value}\" }}"));
    *port += 100;
    if entry.command.contains("$PORT") && *port > 65_000 {
        let text = ("a port beyond 65000", "the same", "choose ports");
        report.add(Verdict::Check, &Place::new(path, entry.line), &entry.name, text);
    }
    table
}

/// Whether a shell must stay to run the line: it has operators, or begins with an assignment or a word of the shell.
fn needs_shell(command: &str) -> bool {
    let (mut quote, mut before) = (None, ' ');
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        // `$(…)` and `${…}` are values.
        let is_value = std::mem::replace(&mut before, c) == '$';
        match (c, quote) {
            ('(' | '{', None) if is_value => {}
            ('\\', None | Some('"')) => _ = characters.next(),
            (c, Some(open)) if c == open => quote = None,
            ('`', Some('"')) => return true,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            (';' | '&' | '|' | '(' | '`' | '{' | '\n', None) => return true,
            _ => {}
        }
    }
    let first = command.split_whitespace().next().unwrap_or_default();
    let words =
        ["cd", "exec", "if", "while", "for", "until", "case", "export", "source", ".", "set", "eval", "!", "trap"];
    first.contains('=') || words.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_commands_replace_their_shell() {
        for (command, expected) in [
            ("bundle exec puma -p $PORT", false),
            ("a && b", true),
            ("A=1 b", true),
            ("cd x", true),
            ("echo 'a;b'", false),
            ("echo \"a;b\" \\; ", false),
            ("echo $(date) ${A:-b}", false),
            ("(cd x; y)", true),
            ("{ x; }", true),
        ] {
            assert_eq!(needs_shell(command), expected, "{command}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        let error = convert("Procfile", b"web: x\n\xff", false, &Formation::default()).unwrap_err();
        assert_eq!(error[0].to_string(), "Procfile:2: is not UTF-8; save the file as UTF-8");
        let error = convert("Procfile", b"# nothing\n", false, &Formation::default()).unwrap_err();
        assert_eq!(error[0].to_string(), "Procfile: has no line such as web: COMMAND");
    }
}
