//! `musterctl health`: for Docker's HEALTHCHECK and Kubernetes' exec probes.

use muster_api::{Ready, Route};

use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::session::Session;

/// Exit with 0 if all autostarted programs are up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Otherwise it prints what is missing and exits with 1.

Examples:
  HEALTHCHECK CMD [\"musterctl\", \"health\"]
  musterctl health && echo ready")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.ask(&Route::Readyz)?;
    // A busy daemon also answers 503; that is a problem and not a `Ready`.
    let ready: Ready = match (answer.status, serde_json::from_slice(&answer.body)) {
        (503, Ok(ready)) => ready,
        (503, Err(_)) => return Err(answer.problem().into()),
        _ => answer.read(&[200])?,
    };
    if session.json {
        session.raw_json(&answer.body);
    } else if ready.ready {
        session.line("ready");
    } else {
        for missing in &ready.missing {
            session.line(format!("{}: {} ({})", missing.name, missing.state, printable(&missing.reason)));
        }
    }
    Ok(if ready.ready { Exit::Well } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use muster_api::{Missing, Problem, ProblemKind, State};

    use super::*;
    use crate::testing::{Daemon, answer, problem};

    fn not_ready() -> Ready {
        let missing = Missing { name: "db".to_owned(), state: State::Backoff, reason: "exit status 1".to_owned() };
        Ready { ready: false, missing: vec![missing], sources: vec![] }
    }

    #[test]
    fn ready_is_0_and_what_is_missing_is_named() {
        let ready = Ready { ready: true, missing: vec![], sources: vec![] };
        let daemon = Daemon::answering([answer(200, &ready), answer(503, &not_ready()), answer(503, &not_ready())]);
        let ended = daemon.run("health");
        assert_eq!((ended.out.as_str(), ended.code), ("ready\n", 0));
        let ended = daemon.run("health");
        assert_eq!((ended.out.as_str(), ended.code), ("db: BACKOFF (exit status 1)\n", 1));
        let ended = daemon.run("health --json");
        assert_eq!((serde_json::from_str::<Ready>(&ended.out).unwrap(), ended.code), (not_ready(), 1));
        assert_eq!(daemon.asked_lines()[0], "GET /readyz");
    }

    #[test]
    fn a_busy_daemon_is_an_error_and_not_an_answer() {
        let ended = Daemon::answering([problem(&Problem::new(ProblemKind::Busy, "too many requests"))]).run("health");
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), ("", "error: too many requests\n", 1));
    }
}
