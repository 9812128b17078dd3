//! `musterctl wait`.

use std::time::Duration;

use muster_api::{Route, WaitFor};

use crate::failure::{Exit, Failure};
use crate::report::{TIMEOUT, report};
use crate::session::Session;
use crate::span;

/// Wait until programs run, are ready or healthy, have stopped or have exited: for scripts and CI.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What to wait for:
  running   RUNNING, or EXITED with success
  ready     RUNNING and, if it has a readiness rule or probe, ready; a oneshot that exited successfully
  healthy   its liveness and readiness probes have passed and are not failing; without any, ready
  stopped   none of its processes runs: STOPPED, EXITED or FATAL
  exited    it exited and will not be restarted: EXITED or FATAL
For the first three, exit code 1 as soon as one of the programs exited and will not be restarted, or depends on such a program.

Examples:
  musterctl wait all --timeout 1m
  musterctl wait web db --for healthy
  musterctl wait migrate --for exited")]
pub(crate) struct Args {
    /// The programs: names, web:*, GROUP:*, all, globs.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// The condition: running, ready, healthy, stopped or exited.
    #[arg(long = "for", value_name = "WHAT", default_value = "ready", value_parser = parse_wait_for)]
    until: WaitFor,

    /// How long to wait: 30s, 1m30s, 500ms.
    #[arg(long, value_name = "SPAN", default_value = TIMEOUT, value_parser = span::parse)]
    timeout: Duration,
}

fn parse_wait_for(word: &str) -> Result<WaitFor, String> {
    let known = WaitFor::ALL.into_iter().find(|until| until.name() == word);
    known.ok_or_else(|| "it must be running, ready, healthy, stopped or exited".to_owned())
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    report(&args.names, args.timeout, session, |session, select, timeout| {
        session.client.ask(&Route::Wait { select, until: args.until, timeout })
    })
}

#[cfg(test)]
mod tests {
    use muster_api::{Outcome, Problem, ProblemKind, State};

    use crate::testing::{Daemon, Setting, problem, report, results};

    #[test]
    fn what_is_reached_is_shown_with_its_state() {
        let daemon = Daemon::answering([report(200, &[("web", Outcome::Reached, State::Running, None)])]);
        let ended = daemon.run("wait web --for running --timeout 1m");
        assert_eq!((ended.out.as_str(), ended.code), ("web: RUNNING\n", 0));
        assert_eq!(daemon.asked_lines(), ["GET /v1/programs/web/wait?for=running&timeout=60"]);
    }

    #[test]
    fn ready_is_what_is_waited_for_where_nothing_is_said() {
        let daemon = Daemon::answering([report(200, &[("web", Outcome::Reached, State::Running, None)])]);
        assert_eq!(daemon.run("wait web").code, 0);
        assert_eq!(daemon.asked_lines(), ["GET /v1/programs/web/wait?for=ready&timeout=30"]);
    }

    /// The others are as far as they are.
    #[test]
    fn one_that_failed_ends_the_wait_for_all() {
        let results = [
            ("db", Outcome::Pending, State::Starting, None),
            ("web", Outcome::Error, State::Fatal, Some("exit status 1")),
        ];
        let daemon = Daemon::answering([report(200, &results)]);
        let ended = daemon.run(&format!("wait db web {}", ["name"; 1000].join(" ")));
        assert_eq!(
            (ended.out.as_str(), ended.code),
            ("db: ERROR (not done: STARTING)\nweb: ERROR (exit status 1)\n", 1)
        );
        assert_eq!(ended.err, "");
        assert_eq!(daemon.asked_lines().len(), 1, "what follows need not be asked for");
    }

    #[test]
    fn what_cannot_be_reached_is_exit_code_1_and_what_is_late_124() {
        let fatal = [("web", Outcome::Error, State::Fatal, Some("exit status 1; gave up after 10 retries"))];
        let ended = Daemon::answering([report(200, &fatal)]).run("wait web --for running");
        assert_eq!((ended.out.as_str(), ended.code), ("web: ERROR (exit status 1; gave up after 10 retries)\n", 1));
        let late = results(&[("web", Outcome::Pending, State::Starting, None)]);
        let timed_out = Problem::new(ProblemKind::TimedOut, "not yet").with_results(late);
        let ended = Daemon::answering([problem(&timed_out)]).run("wait web --for running --timeout 2s");
        assert_eq!((ended.out.as_str(), ended.code), ("web: ERROR (not done: STARTING)\n", 124));
    }

    #[test]
    fn what_cannot_be_waited_for_is_usage_and_says_why() {
        let ended = Setting::default().run("wait web --for gone");
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("it must be running, ready, healthy, stopped or exited"), "{}", ended.err);
    }
}
