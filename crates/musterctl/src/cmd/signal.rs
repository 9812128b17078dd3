//! `musterctl signal`.

use std::time::Duration;

use clap::ValueEnum;
use muster_api::{Route, SignalBody, SignalScope, Verb};

use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::session::Session;

/// Send a signal to running programs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A signal does not change the goal: a program that it terminates is restarted according to its policy.

Examples:
  musterctl signal HUP nginx
  musterctl signal USR1 'worker:*'
  musterctl signal RTMIN+3 db --scope tree")]
pub(crate) struct Args {
    /// The signal: HUP, SIGHUP, 1, RTMIN+3.
    #[arg(value_name = "SIGNAL")]
    signal: String,

    /// The programs: names, web:*, GROUP:*, all, globs.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// The recipient: the main process, its process group, or every process of the program.
    #[arg(long, value_enum, default_value = "main")]
    scope: Recipients,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Recipients {
    Main,
    Group,
    Tree,
}

impl From<Recipients> for SignalScope {
    fn from(scope: Recipients) -> SignalScope {
        match scope {
            Recipients::Main => SignalScope::Main,
            Recipients::Group => SignalScope::Group,
            Recipients::Tree => SignalScope::Tree,
        }
    }
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let body = SignalBody { signal: args.signal.clone(), scope: args.scope.into() };
    report(&args.names, Duration::ZERO, session, |session, select, wait| {
        session.client.ask_with(&Route::Action { verb: Verb::Signal, select, wait, rolling: None }, &body)
    })
}

#[cfg(test)]
mod tests {
    use muster_api::{Outcome, Problem, ProblemKind, State};

    use crate::testing::{Asked, Daemon, problem, report};

    #[test]
    fn signal_and_scope_are_in_the_body() {
        for (option, scope) in [("", "main"), ("--scope group", "group"), ("--scope tree", "tree")] {
            let daemon = Daemon::answering([report(200, &[("web", Outcome::Signalled, State::Running, None)])]);
            let ended = daemon.run(&format!("signal HUP web {option}"));
            assert_eq!((ended.out.as_str(), ended.code), ("web: signalled\n", 0));
            let body = format!(r#"{{"signal":"HUP","scope":"{scope}"}}"#);
            assert_eq!(daemon.asked(), [Asked { line: "POST /v1/programs/web/signal".to_owned(), body }]);
        }
    }

    #[test]
    fn what_is_no_signal_is_usage() {
        let daemon = Daemon::answering([problem(&Problem::new(ProblemKind::BadBody, "no such signal: \"HOP\""))]);
        let ended = daemon.run("signal HOP web");
        assert_eq!((ended.err.as_str(), ended.code), ("error: no such signal: \"HOP\"\n", 2));
    }
}
