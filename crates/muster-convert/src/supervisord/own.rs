//! Keys of ours in a supervisord.conf, which the original ignores: `[musterd]`, and `muster.KEY` of a program.

use muster_config::hints::leaves_foreground;
use muster_config::keys::{self, Table as Section};
use muster_import::supervisord::{Configuration, Entry, Process, split_command};

use super::Conversion;
use super::draft::Draft;
use super::program::Source;
use crate::report::Verdict;
use crate::toml::{self, Table};

/// The beginning of a program's keys for musterd.
const BEGINNING: &str = "muster.";

/// The most keys of a table, each of which is compared with all others.
const MOST: usize = 500;

/// `compat = "exact"` for the daemon.
const EXACT: [(&str, &str); 4] = [
    ("shutdown", "\"serial\""),
    ("exit_status", "\"zero\""),
    ("second_signal", "\"ignore\""),
    ("rpc_during_shutdown", "\"fault\""),
];

/// Whether `[musterd] compat` turns off what is better on purpose.
pub(super) fn is_exact(configuration: &Configuration) -> bool {
    let section = configuration.sections.iter().find(|section| section.name == "musterd");
    let compat = section.and_then(|section| section.entry("compat"));
    compat.is_some_and(|entry| entry.written().trim_matches(['"', '\'', ' ']) == "exact")
}

impl<'c> Conversion<'c> {
    /// Adds the keys of `[musterd]`.
    pub(super) fn own_section(&mut self, musterd: &mut Table, http: &mut Table) {
        if self.is_exact {
            EXACT.into_iter().for_each(|(name, value)| musterd.replace(name, value));
        }
        let configuration = self.configuration;
        let Some(at) = configuration.sections.iter().position(|section| section.name == "musterd") else { return };
        self.lead.extend(configuration.sections[at].comments.above.iter().cloned());
        for entry in &configuration.sections[at].entries {
            let (section, table, name) = match entry.key.strip_prefix("http.") {
                Some(name) => (Section::Http, &mut *http, name),
                None => (Section::Musterd, &mut *musterd, entry.key.as_str()),
            };
            if name != "compat" {
                let is_written = put(section, table, name, entry);
                self.own_line(entry, at, is_written);
            }
        }
    }

    /// Adds the keys for musterd of a program, and those that make it behave exactly as the original does.
    pub(super) fn own_keys(&mut self, section: usize, process: &Process, has_variables: bool, table: &mut Table) {
        if self.is_exact {
            let kill = if process.killasgroup { "\"group\"" } else { "\"main\"" };
            table.replace("stop_kill", kill);
            table.replace("forgive_on_start", "false");
            if table.value("events").is_some() {
                table.replace("listener", "\"exact\"");
            }
            table.replace("ignore_signals", "[\"PIPE\", \"XFSZ\"]");
        }
        let configuration = self.configuration;
        for entry in &configuration.sections[section].entries {
            let Some(name) = entry.key.strip_prefix(BEGINNING) else { continue };
            let name = if name == "kill" { "stop_kill" } else { name };
            let is_apart = has_variables && name.split('.').next() == Some("environment");
            let is_written = !is_apart && put(Section::Program, table, name, entry);
            self.own_line(entry, section, is_written);
        }
    }

    fn own_line(&mut self, entry: &Entry, section: usize, is_written: bool) {
        let was = format!("{} was a key for musterd", entry.key);
        match is_written {
            true => self.entry_line(Verdict::Same, entry, section, (was, "written as it is", "")),
            false => self.entry_line(Verdict::Check, entry, section, (was, "left out", "write it in the table")),
        }
    }

    /// Keeps the processes of a command that starts daemons.
    pub(super) fn leftovers(&mut self, source: &Source<'_, 'c>, draft: &mut Draft<'_>) {
        if starts_daemons(&source.first().command) {
            draft.set("leftovers", "\"keep\"");
            let text = (
                "the command leaves processes in the background, which kept running",
                "leftovers = \"keep\"",
                "run the server in the foreground instead",
            );
            self.section_line(Verdict::Same, source.section, text);
        }
    }
}

/// Writes a key of ours, in place of one that was translated; false if the table has no such key, or has it in another
/// form.
fn put(section: Section, table: &mut Table, name: &str, entry: &Entry) -> bool {
    if table.keys.len() >= MOST {
        return false;
    }
    let is_bare = |part: &str| !part.is_empty() && toml::key(part) == part;
    let first = name.split('.').next().unwrap_or_default();
    let below = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
    let is_apart = table.keys.iter().any(|key| below(&key.name, name) || below(name, &key.name));
    let is_known = keys::find(section, first).is_some_and(keys::Key::is_supported);
    if !is_known || is_apart || !name.split('.').all(is_bare) {
        return false;
    }
    table.replace(name, toml::given(entry.written()));
    true
}

/// Whether a command, or a line that it gives to a shell, puts a server into the background.
fn starts_daemons(command: &str) -> bool {
    let words = split_command(command).unwrap_or_default();
    let script = match words.as_slice() {
        [shell, options @ .., script] if is_shell(shell) && options.iter().any(|option| is_script_option(option)) => {
            script
        }
        words => return starts_daemon(words),
    };
    let mut commands = script.split(['\n', ';', '&', '|']);
    commands.any(|command| starts_daemon(&split_command(command.trim()).unwrap_or_default()))
}

fn is_shell(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("sh" | "bash" | "dash" | "ash" | "zsh"))
}

/// `-c`, also in a cluster of letters.
fn is_script_option(word: &str) -> bool {
    word.starts_with('-') && !word.starts_with("--") && word.ends_with('c')
}

fn starts_daemon(words: &[String]) -> bool {
    let words = words.strip_prefix(&["exec".to_owned()][..]).unwrap_or(words);
    let [program, arguments @ ..] = words else { return false };
    let name = program.rsplit('/').next().unwrap_or_default();
    let starts = |word: &String| matches!(word.as_str(), "start" | "restart");
    let is_script = program.starts_with("/etc/init.d/") || name == "systemctl";
    let has_agent = matches!(name, "pm2" | "forever") && !arguments.iter().any(|word| word == "--no-daemon");
    (is_script || has_agent) && arguments.iter().any(starts) || leaves_foreground(words).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_start_daemons_are_known() {
        for (command, expected) in [
            ("service nginx start", true),
            ("/etc/init.d/ssh start", true),
            ("/usr/bin/pm2 start app.js", true),
            ("pm2 start app.js --no-daemon", false),
            ("pm2-runtime start app.js", false),
            ("bash -lc \"mkdir -p /run/x && exec /usr/sbin/sshd\"", true),
            ("bash -c 'nginx -g \"daemon off;\"'", false),
            ("sh -c 'exec web'", false),
            ("nginx -g 'daemon off;'", false),
            ("/usr/sbin/cron", true),
            ("start", false),
            ("'", false),
        ] {
            assert_eq!(starts_daemons(command), expected, "{command}");
        }
    }
}
