//! Completion of a line of the shell: the words that Tab offers.

use super::help;

/// A process, for completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
}

/// The words that may stand where `word` begins, at the end of `line`. `processes` asks the server.
pub fn candidates(line: &str, word: &str, processes: impl FnOnce() -> Vec<Process>) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_first = words.is_empty() || words.len() == 1 && !line.ends_with(' ');
    let mut found = match words.first().copied() {
        _ if is_first => help::topics().map(str::to_owned).collect(),
        Some("help") => help::topics().map(str::to_owned).collect(),
        Some("add" | "remove" | "update") => processes().into_iter().map(|process| process.group).collect(),
        Some("clear" | "fg" | "pid" | "restart" | "signal" | "start" | "status" | "stop" | "tail") => {
            names(processes(), word)
        }
        _ => Vec::new(),
    };
    found.retain(|candidate: &String| candidate.starts_with(word));
    let mut seen = std::collections::HashSet::new();
    found.retain(|candidate| seen.insert(candidate.clone()));
    found
}

/// Processes, and `GROUP:*` for each group that is not a process of its own.
fn names(processes: Vec<Process>, word: &str) -> Vec<String> {
    let each = processes.into_iter().flat_map(|Process { group, name }| {
        if word.contains(':') || name != group {
            vec![format!("{group}:{name}"), format!("{group}:*")]
        } else {
            vec![name]
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let processes = || {
            let process = |group: &str, name: &str| Process { group: group.to_owned(), name: name.to_owned() };
            vec![process("web", "web"), process("w", "w_0"), process("w", "w_1")]
        };
        let word = line.rsplit(' ').next().unwrap_or_default();
        assert_eq!(candidates(line, word, processes), expected, "{line:?}");
    }

    #[test]
    fn commands_groups_and_processes_are_offered() {
        check("sta", &["start", "status"]);
        check("help re", &["reload", "remove", "reread", "restart"]);
        check("add w", &["web", "w"]);
        check("start w", &["web", "w:w_0", "w:*", "w:w_1"]);
        check("start web:", &["web:web", "web:*"]);
        check("start web w:w_1", &["w:w_1"]);
        check("version w", &[]);
    }
}
