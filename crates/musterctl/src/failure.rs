//! Failures: the message for the user, a hint, and the exit code.

use std::cmp::Ordering;

use muster_api::{API_VERSION, Diagnostic, Problem, ProblemKind, compare_api};

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
    /// The exit code of an executed command.
    OfCommand(u8),
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
            Exit::OfCommand(code) => code,
        }
    }

    /// The one with the higher code.
    pub(crate) const fn or_higher(self, other: Exit) -> Exit {
        if other.code() > self.code() { other } else { self }
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
            // The daemon's own hint is for a path that a person has written.
            ProblemKind::NoSuchRoute | ProblemKind::NoSuchVersion => {
                let failure = Failure::new(Exit::Failed, "the daemon does not know this request");
                return match older(problem.api.as_deref()) {
                    Some(hint) => failure.with_hint(hint),
                    None => failure.with_hint("does a proxy change the path?"),
                };
            }
            ProblemKind::NoSuchProgram => (Exit::NoSuchProgram, Some("`musterctl avail` lists the programs")),
            ProblemKind::NoSuchSource => (Exit::NoSuchProgram, Some("`musterctl sources` lists the sources")),
            ProblemKind::NotAllowed => {
                (Exit::NotAllowed, Some("root, the daemon's user and `[http] allow_users` have full control"))
            }
            ProblemKind::BadParameter | ProblemKind::BadBody => (Exit::Usage, None),
            ProblemKind::TimedOut => (Exit::TimedOut, None),
            // As a shell has it.
            ProblemKind::CannotExecute => (Exit::OfCommand(126), None),
            _ => (Exit::Failed, None),
        };
        let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
        let details = problem.diagnostics.iter().flat_map(lines).collect();
        Failure { exit, message, hint: problem.hint.or_else(|| hint.map(str::to_owned)), details }
    }
}

/// Which side of a request that the daemon does not know is older, by the daemon's version of the API.
fn older(daemon: Option<&str>) -> Option<String> {
    let said = printable(daemon.unwrap_or("1.0"));
    let versions = format!("its API is {said}, and {API_VERSION} here");
    match compare_api(daemon)? {
        Ordering::Less => Some(format!("the daemon is older than this musterctl: {versions}")),
        Ordering::Greater => Some(format!("this musterctl is older than the daemon: {versions}")),
        Ordering::Equal => None,
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
    fn a_request_that_the_daemon_does_not_know_says_which_side_is_older() {
        let hint = |api: Option<&str>| {
            let problem = Problem { api: api.map(str::to_owned), ..Problem::new(ProblemKind::NoSuchRoute, "nothing") };
            Failure::from(problem).hint.expect("there is one")
        };
        assert!(hint(None).starts_with("the daemon is older than this musterctl: its API is 1.0, and 1."));
        assert!(hint(Some("1.0")).starts_with("the daemon is older"));
        assert!(hint(Some("1.9999")).starts_with("this musterctl is older than the daemon: its API is 1.9999"));
        assert_eq!(hint(Some(API_VERSION)), "does a proxy change the path?");
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
