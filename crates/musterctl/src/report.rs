//! Shared by `start`, `stop`, `restart`, `signal` and `wait`: names, timeout, and a line for each instance.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use muster_api::{ActionReport, ActionResult, Outcome, ProblemKind, Route, Verb};
use muster_spec::Span;

use crate::client::Answer;
use crate::cmd::renew;
use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::selection;
use crate::session::Session;
use crate::span;

/// The default timeout: longer than most programs take to start or stop.
pub(crate) const TIMEOUT: &str = "30s";

/// The selected programs, and how long to wait for them.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// The programs: names, web:*, GROUP:*, all, globs.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// Return as soon as the daemon has accepted the request.
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,

    /// How long to wait for completion: 30s, 1m30s, 500ms.
    #[arg(long, value_name = "SPAN", default_value = TIMEOUT, value_parser = span::parse)]
    pub(crate) timeout: Duration,
}

/// Sends this command for all names and prints the results.
pub(crate) fn act(verb: Verb, request: &Request, session: &mut Session) -> Result<Exit, Failure> {
    act_rolling(verb, None, request, session)
}

/// The same, and restarts this many instances at a time.
pub(crate) fn act_rolling(
    verb: Verb,
    rolling: Option<NonZeroU32>,
    request: &Request,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let wait = if request.no_wait { Duration::ZERO } else { request.timeout };
    let ended = report(&request.names, wait, session, |session, select, wait| {
        session.client.ask(&Route::Action { verb, select, wait, rolling })
    });
    match verb {
        Verb::Start | Verb::Restart => renew::hint(&request.names, ended, session),
        Verb::Arm | Verb::Stop | Verb::Reload | Verb::Signal => ended,
    }
}

/// Sends a request for each part of the names and prints all results. The parts share one timeout.
pub(crate) fn report(
    names: &[String],
    patience: Duration,
    session: &mut Session,
    ask: impl Fn(&Session, String, Duration) -> Result<Answer, Failure>,
) -> Result<Exit, Failure> {
    let deadline = Instant::now() + patience;
    let mut report = ActionReport::default();
    let mut ended = Ok(());
    for (place, select) in selection::chunks(names).into_iter().enumerate() {
        let left = if place == 0 { patience } else { deadline.saturating_duration_since(Instant::now()) };
        let part = ask(session, select, left).and_then(|answer| read(&answer, patience));
        let (results, failure) = part.unwrap_or_else(|failure| (Vec::new(), Some(failure)));
        // When only waiting, one failed program ends the wait, and leaves others pending.
        let is_over = judge(&results) == Exit::Failed && results.iter().any(|it| it.outcome == Outcome::Pending);
        report.results.extend(results);
        if let Some(failure) = failure {
            ended = Err(failure);
        }
        if is_over || ended.is_err() {
            break;
        }
    }
    print(&report, ended, session)
}

/// Prints the results, and chooses the exit code.
pub(super) fn print(report: &ActionReport, ended: Result<(), Failure>, session: &mut Session) -> Result<Exit, Failure> {
    // Without any result only the error is printed.
    if session.json && (ended.is_ok() || !report.results.is_empty()) {
        session.print_json(report);
    } else if !session.json {
        report.results.iter().for_each(|result| session.line(line(result)));
    }
    ended.map(|()| judge(&report.results))
}

/// The results in a response, and why some are missing. A timeout and a rolling restart that has failed have both.
pub(super) fn read(answer: &Answer, patience: Duration) -> Result<(Vec<ActionResult>, Option<Failure>), Failure> {
    if answer.status == ProblemKind::RollFailed.status() {
        let problem = answer.problem();
        return Ok((problem.results.clone(), Some(problem.into())));
    }
    if answer.status != 504 {
        let report: ActionReport = answer.read(&[200, 202])?;
        return Ok((report.results, None));
    }
    let results = answer.problem().results;
    let failure = too_late(&results, patience);
    Ok((results, failure))
}

/// The failure if the wait is over while some are pending.
pub(super) fn too_late(results: &[ActionResult], patience: Duration) -> Option<Failure> {
    let pending = results.iter().filter(|result| result.outcome == Outcome::Pending).count();
    let message = format!("timed out after {}: {pending} of {} not done", Span(patience), results.len());
    let failure = Failure::new(Exit::TimedOut, message).with_hint("the daemon continues; `--timeout` waits longer");
    (pending > 0).then_some(failure)
}

fn judge(results: &[ActionResult]) -> Exit {
    let failed = results.iter().any(|result| result.outcome == Outcome::Error);
    if failed { Exit::Failed } else { Exit::Well }
}

/// `web: started`, `web: ERROR (spawn error: /x: no such file)`.
fn line(result: &ActionResult) -> String {
    let ActionResult { name, outcome, state, error, note, .. } = result;
    match (outcome, error) {
        (Outcome::Error, Some(error)) => format!("{name}: ERROR ({})", printable(error)),
        (Outcome::Error, None) => format!("{name}: ERROR ({state})"),
        (Outcome::Pending, Some(why)) => format!("{name}: ERROR (not done: {state}, {})", printable(why)),
        (Outcome::Pending, None) => format!("{name}: ERROR (not done: {state})"),
        (Outcome::Reached, _) => format!("{name}: {state}"),
        _ => match note {
            Some(note) => format!("{name}: {} ({})", outcome.name(), printable(note)),
            None => format!("{name}: {}", outcome.name()),
        },
    }
}

#[cfg(test)]
mod tests {
    use muster_api::{Problem, ProblemKind, State};

    use super::*;
    use crate::testing::{Daemon, answer, problem, report, results};

    #[test]
    fn each_instance_gets_a_line() {
        let spawn_error = Some("spawn error: /x: no such file");
        let daemon = Daemon::answering([report(
            200,
            &[
                ("cache", Outcome::AlreadyStarted, State::Running, None),
                ("db", Outcome::Error, State::Backoff, spawn_error),
                ("web", Outcome::Started, State::Running, None),
            ],
        )]);
        let ended = daemon.run("start cache db web");
        let expected = "cache: already started\ndb: ERROR (spawn error: /x: no such file)\nweb: started\n";
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), (expected, "", 1));
        assert_eq!(daemon.asked_lines(), ["POST /v1/programs/cache,db,web/start?wait=30"]);
    }

    #[test]
    fn a_remark_follows_the_outcome() {
        let mut restarted = results(&[("web", Outcome::Restarted, State::Running, None)]);
        restarted[0].note = Some("not rolling: no other instance of it is up".to_owned());
        let daemon = Daemon::answering([answer(200, &ActionReport { results: restarted })]);
        let ended = daemon.run("restart --rolling web");
        assert_eq!(ended.out, "web: restarted (not rolling: no other instance of it is up)\n");
    }

    #[test]
    fn verbs_and_patience_reach_the_daemon() {
        for (line, asked, outcome, printed) in [
            ("start web --no-wait", "start", Outcome::Accepted, "accepted"),
            ("stop web --timeout 1m30s", "stop?wait=90", Outcome::Stopped, "stopped"),
            ("stop web --timeout 0.5", "stop?wait=0.5", Outcome::NotRunning, "not running"),
            ("restart web", "restart?wait=30", Outcome::Restarted, "restarted"),
        ] {
            let daemon = Daemon::answering([report(200, &[("web", outcome, State::Running, None)])]);
            let ended = daemon.run(line);
            assert_eq!((ended.out, ended.code), (format!("web: {printed}\n"), 0), "{line}");
            assert_eq!(daemon.asked_lines(), [format!("POST /v1/programs/web/{asked}")]);
        }
    }

    #[test]
    fn a_wait_that_was_too_short_shows_what_was_done() {
        let so_far = results(&[
            ("db", Outcome::Stopped, State::Stopped, None),
            ("web", Outcome::Pending, State::Stopping, None),
        ]);
        let timed_out = || Problem::new(ProblemKind::TimedOut, "1 not done").with_results(so_far.clone());
        let ended = Daemon::answering([problem(&timed_out())]).run("stop all --timeout 1s");
        assert_eq!((ended.out.as_str(), ended.code), ("db: stopped\nweb: ERROR (not done: STOPPING)\n", 124));
        let expected =
            "error: timed out after 1s: 1 of 2 not done\nhint: the daemon continues; `--timeout` waits longer\n";
        assert_eq!(ended.err, expected);
        let json = Daemon::answering([problem(&timed_out())]).run("stop all --timeout 1s --json");
        let report: ActionReport = serde_json::from_str(&json.out).unwrap();
        assert_eq!((report.results, json.code), (so_far, 124));
    }

    #[test]
    fn json_is_the_whole_report() {
        let daemon = Daemon::answering([report(200, &[("web", Outcome::Started, State::Running, None)])]);
        let ended = daemon.run("start web --json");
        let expected =
            r#"{"results":[{"name":"web","outcome":"started","state":"RUNNING","pid":null,"error":null,"note":null}]}"#
                .to_owned();
        assert_eq!((ended.out, ended.code), (expected + "\n", 0));
    }

    #[test]
    fn errors_of_the_whole_request_have_their_exit_codes() {
        let kinds = [
            (ProblemKind::NoSuchProgram, 4),
            (ProblemKind::NotAllowed, 5),
            (ProblemKind::BadParameter, 2),
            (ProblemKind::ShuttingDown, 1),
            (ProblemKind::Busy, 1),
        ];
        for (kind, code) in kinds {
            for json in ["", " --json"] {
                let daemon = Daemon::answering([problem(&Problem::new(kind, "why not").with_hint("what to do"))]);
                let ended = daemon.run(&format!("start web{json}"));
                assert_eq!((ended.out.as_str(), ended.code), ("", code), "{kind:?}");
                assert_eq!(ended.err, "error: why not\nhint: what to do\n");
            }
        }
    }

    #[test]
    fn an_error_in_the_second_part_of_a_long_list_still_shows_the_first() {
        let names: Vec<String> = (0..400).map(|number| format!("program-{number}")).collect();
        let first = report(200, &[("program-0", Outcome::Started, State::Running, None)]);
        let daemon = Daemon::answering([first, problem(&Problem::no_such_program(vec!["program-399".to_owned()]))]);
        let ended = daemon.run(&format!("start {}", names.join(" ")));
        assert_eq!((ended.out.as_str(), ended.code), ("program-0: started\n", 4));
    }

    #[test]
    fn names_are_wanted() {
        for verb in ["start", "stop", "restart", "signal HUP", "wait --for running"] {
            let ended = crate::testing::Setting::default().run(verb);
            assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{verb}");
            assert!(ended.err.contains("<NAME>"), "{}", ended.err);
        }
    }
}
