//! The first lines of scripts: interpreter, environment, and directories of loggers.

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 128 << 10;

/// A script and its first line.
pub(super) struct Script {
    /// The words before the script's path.
    pub(super) interpreter: Vec<String>,
    /// Whether it runs with the container's environment.
    pub(super) keeps_environment: bool,
    /// Whether it is one of execline.
    pub(super) is_execline: bool,
}

impl Script {
    pub(super) fn of(text: &[u8]) -> Script {
        let text = beginning(text);
        let first = text.lines().next().unwrap_or_default();
        let words: Vec<&str> = first.strip_prefix("#!").unwrap_or_default().split_whitespace().collect();
        let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let is_execline = words.iter().any(|word| name(word) == "execlineb");
        match words.as_slice() {
            // `env -S` and the like stay with the script.
            [with, interpreter @ ..] if name(with) == "with-contenv" && !interpreter.is_empty() => Script {
                interpreter: interpreter.iter().map(|word| (*word).to_owned()).collect(),
                keeps_environment: true,
                is_execline,
            },
            _ => Script {
                interpreter: Vec::new(),
                keeps_environment: text
                    .lines()
                    .any(|line| line.split_whitespace().any(|word| name(word) == "with-contenv")),
                is_execline,
            },
        }
    }
}

fn beginning(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).replace('\0', " ")
}

/// The words of a oneshot's `up`.
pub(super) struct CommandLine {
    pub(super) words: Vec<String>,
    /// Whether it is more than one plain command.
    pub(super) is_odd: bool,
}

/// Reads a command line of execline.
pub(super) fn command_line(text: &[u8]) -> CommandLine {
    let text = beginning(text);
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let joined = lines.join(" ");
    let words = muster_import::supervisord::split_command(&joined);
    let words = words.unwrap_or_else(|_| joined.split_whitespace().map(str::to_owned).collect());
    let is_block = |word: &String| {
        word.contains(['{', '}', '$', '`']) || matches!(word.as_str(), "if" | "foreground" | "importas")
    };
    let is_odd = lines.len() > 1 || words.iter().any(is_block);
    CommandLine { words, is_odd }
}

/// Whether a command line begins with with-contenv.
pub(super) fn has_contenv(words: &[String]) -> bool {
    words.len() > 1 && words[0].rsplit('/').next() == Some("with-contenv")
}

/// The directory of `logutil-service DIR` or `s6-log … DIR`.
pub(super) fn log_directory(text: &[u8]) -> Option<String> {
    let text = beginning(text);
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_logger = |word: &&str| matches!(word.rsplit('/').next(), Some("logutil-service" | "s6-log"));
        if words.iter().any(is_logger) {
            let last = words.last()?.trim_matches(['"', '\'']);
            return (last.starts_with('/') && !last.contains('$')).then(|| last.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_say_who_reads_the_script_and_with_which_variables() {
        let script = Script::of(b"#!/command/with-contenv bash\nexec x\n");
        assert_eq!(
            (script.interpreter, script.keeps_environment, script.is_execline),
            (vec!["bash".into()], true, false)
        );
        let script = Script::of(b"#!/command/execlineb -P\nwith-contenv\nx\n");
        assert_eq!((script.interpreter.len(), script.keeps_environment, script.is_execline), (0, true, true));
        assert!(!Script::of(b"#!/bin/sh\nexec x\n").keeps_environment);
    }

    #[test]
    fn command_lines_and_directories_are_found() {
        let line = command_line(b"# note\n/etc/x \"a b\"\n");
        assert_eq!((line.words, line.is_odd), (vec!["/etc/x".to_owned(), "a b".to_owned()], false));
        assert!(command_line(b"if { x }\ny").is_odd);
        assert_eq!(log_directory(b"#!/bin/sh\nexec logutil-service /var/log/web\n").as_deref(), Some("/var/log/web"));
        assert_eq!(log_directory(b"exec s6-log -bp -- n20 s1000000 /logs").as_deref(), Some("/logs"));
        assert_eq!(log_directory(b"exec svlogd $DIR"), None);
    }
}
