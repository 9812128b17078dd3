//! Names of processes, and the line for each result of a call.

use super::Failure;
use super::calls::Outcome;
use crate::faults::Code;

/// `GROUP:NAME`, or the name alone if both are the same. Where a whole group was named, the original writes `None`.
pub(super) fn namespec(group: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if name == group => name.to_owned(),
        name => format!("{group}:{}", name.unwrap_or("None")),
    }
}

/// The group and the process that a word names; no process stands for the whole group.
pub(super) fn split_namespec(word: &str) -> (&str, Option<&str>) {
    match word.split_once(':') {
        Some((group, "" | "*")) => (group, None),
        Some((group, name)) => (group, Some(name)),
        None => (word, Some(word)),
    }
}

/// The action that a result belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Stop,
    Signal,
    Clear,
}

impl Action {
    /// The line for a result. A status that the original does not expect is an exception.
    pub(super) fn line(self, result: &Outcome) -> Result<String, Failure> {
        let name = namespec(&result.group, result.name.as_deref());
        let reason = match (self, Code::from_number(result.status)) {
            (_, Some(Code::Success)) => return Ok(format!("{name}: {}", self.done())),
            (Action::Stop | Action::Signal, Some(Code::Failed)) => return Ok(result.description.clone()),
            (_, Some(Code::BadName)) => "no such process",
            (Action::Start, Some(Code::NoFile)) => "no such file",
            (Action::Start, Some(Code::NotExecutable)) => "file is not executable",
            (Action::Start, Some(Code::AlreadyStarted)) => "already started",
            (Action::Start, Some(Code::SpawnError)) => "spawn error",
            (Action::Start, Some(Code::AbnormalTermination)) => "abnormal termination",
            (Action::Stop | Action::Signal, Some(Code::BadSignal)) => "bad signal name",
            (Action::Stop | Action::Signal, Some(Code::NotRunning)) => "not running",
            (Action::Clear, Some(Code::Failed)) => "failed",
            _ => {
                let text = format!("Unknown result code {} for {name}", result.status);
                return Err(Failure::other("ValueError", text));
            }
        };
        Ok(format!("{name}: ERROR ({reason})"))
    }

    /// The word for success.
    pub(super) fn done(self) -> &'static str {
        match self {
            Action::Start => "started",
            Action::Stop => "stopped",
            Action::Signal => "signalled",
            Action::Clear => "cleared",
        }
    }

    /// The fault that means that there was nothing to do.
    pub(super) fn harmless(self) -> Option<Code> {
        match self {
            Action::Start => Some(Code::AlreadyStarted),
            Action::Stop => Some(Code::NotRunning),
            Action::Signal | Action::Clear => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_and_joined() {
        for (word, expected) in [
            ("a", ("a", Some("a"))),
            ("g:a", ("g", Some("a"))),
            ("g:*", ("g", None)),
            ("g:", ("g", None)),
            ("g:a:b", ("g", Some("a:b"))),
            (":a", ("", Some("a"))),
        ] {
            assert_eq!(split_namespec(word), expected, "{word}");
        }
        assert_eq!(namespec("a", Some("a")), "a");
        assert_eq!(namespec("g", Some("a")), "g:a");
        assert_eq!(namespec("g", None), "g:None");
    }

    #[test]
    fn every_status_has_its_line() {
        let line = |action: Action, status| {
            let (group, name) = ("g".to_owned(), Some("a".to_owned()));
            action.line(&Outcome { group, name, status, description: "FAILED: why".to_owned() })
        };
        for (action, status, expected) in [
            (Action::Start, 80, "g:a: started"),
            (Action::Start, 10, "g:a: ERROR (no such process)"),
            (Action::Start, 20, "g:a: ERROR (no such file)"),
            (Action::Start, 21, "g:a: ERROR (file is not executable)"),
            (Action::Start, 60, "g:a: ERROR (already started)"),
            (Action::Start, 50, "g:a: ERROR (spawn error)"),
            (Action::Start, 40, "g:a: ERROR (abnormal termination)"),
            (Action::Stop, 80, "g:a: stopped"),
            (Action::Stop, 70, "g:a: ERROR (not running)"),
            (Action::Stop, 30, "FAILED: why"),
            (Action::Signal, 80, "g:a: signalled"),
            (Action::Signal, 11, "g:a: ERROR (bad signal name)"),
            (Action::Clear, 80, "g:a: cleared"),
            (Action::Clear, 30, "g:a: ERROR (failed)"),
        ] {
            assert_eq!(line(action, status).as_deref(), Ok(expected));
        }
        for (action, status) in [(Action::Start, 6), (Action::Start, 30), (Action::Clear, 70), (Action::Stop, 60)] {
            let text = format!("Unknown result code {status} for g:a");
            assert_eq!(line(action, status), Err(Failure::other("ValueError", text)));
        }
    }
}
