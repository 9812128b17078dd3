//! Failures: the message for the user, a hint, and the exit code.

use muster_api::{Diagnostic, Problem, ProblemKind};

use crate::output::printable;

/// The exit codes of `musterctl`, which scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Well,
    /// An operation failed.
    Failed,
    /// The command line is invalid.
    Usage,
    /// `status` shows a program that is not RUNNING.
    NotRunning,
    /// No such program.
    NoSuchProgram,
    /// The daemon or the kernel denies permission.
    NotAllowed,
    /// There is no daemon.
    NoDaemon,
    /// Not completed in time.
    TimedOut,
}

impl Exit {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Well => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::NoSuchProgram => 4,
            Exit::NotAllowed => 5,
            Exit::NoDaemon => 7,
            Exit::TimedOut => 124,
        }
    }
}

/// Why a command line failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The failed operation and its place.
    pub(crate) message: String,
    /// How to fix it.
    pub(crate) hint: Option<String>,
    /// Lines that are printed first: every error of a configuration.
    pub(crate) details: Vec<String>,
}

impl Failure {
    /// A failure with this exit code and message.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None, details: Vec::new() }
    }

    /// Adds a hint.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let (exit, hint) = match problem.kind {
            ProblemKind::NoSuchProgram => (Exit::NoSuchProgram, Some("`musterctl avail` lists the programs")),
            ProblemKind::NotAllowed => {
                (Exit::NotAllowed, Some("root, the daemon's user and `[http] allow_users` have full control"))
            }
            ProblemKind::BadParameter | ProblemKind::BadBody => (Exit::Usage, None),
            ProblemKind::TimedOut => (Exit::TimedOut, None),
            _ => (Exit::Failed, None),
        };
        let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
        let details = problem.diagnostics.iter().flat_map(lines).collect();
        Failure { exit, message, hint: problem.hint.or_else(|| hint.map(str::to_owned)), details }
    }
}

/// A diagnostic as `musterd check` prints it, and an empty line.
pub(crate) fn lines(diagnostic: &Diagnostic) -> Vec<String> {
    diagnostic.text.lines().chain([""]).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_promised_ones() {
        let all = [
            Exit::Well,
            Exit::Failed,
            Exit::Usage,
            Exit::NotRunning,
            Exit::NoSuchProgram,
            Exit::NotAllowed,
            Exit::NoDaemon,
            Exit::TimedOut,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 7, 124]);
    }

    #[test]
    fn the_daemons_hint_comes_before_our_own() {
        let problem = Problem::no_such_program(vec!["wbe".to_owned()]);
        let own = Failure::from(problem.clone());
        assert_eq!(own.exit, Exit::NoSuchProgram);
        assert_eq!(own.hint.as_deref(), Some("`musterctl avail` lists the programs"));
        let hinted = Failure::from(problem.with_hint("is \"web\" meant?"));
        assert_eq!(hinted.hint.as_deref(), Some("is \"web\" meant?"));
    }
}
