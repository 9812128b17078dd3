//! `musterctl clear`: discards the output of programs.

use muster_api::Route;

use super::logs;
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Discard the output of programs so far, and empty their log files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rotated log files stay.

Examples:
  musterctl clear web
  musterctl clear all")]
pub(crate) struct Args {
    /// The programs: names, web:*, GROUP:*, all, globs.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let mut exit = Exit::Well;
    for name in logs::instances(&args.names, &session.client)? {
        let answer = session.client.ask(&Route::ClearLogs { name: name.clone() })?;
        if answer.status == 204 {
            session.line(format!("{name}: cleared"));
        } else {
            let failure = Failure::from(answer.problem());
            exit = failure.exit;
            session.failures.push(failure);
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use muster_api::{Problem, ProblemKind};

    use crate::testing::{Daemon, answer, problem, program};

    #[test]
    fn each_instance_gets_a_line() {
        let cleared = || "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
        let programs = answer(200, &[program("web:0"), program("web:1")]);
        let daemon = Daemon::answering([programs, cleared(), cleared()]);
        let ended = daemon.run("clear web");
        assert_eq!((ended.out.as_str(), ended.code), ("web:0: cleared\nweb:1: cleared\n", 0));
        assert_eq!(daemon.asked_lines()[2], "DELETE /v1/programs/web:1/logs");
    }

    #[test]
    fn what_fails_is_told_and_the_rest_is_done() {
        let refused = problem(&Problem::new(ProblemKind::Internal, "cannot empty /x: no such file"));
        let programs = answer(200, &[program("db"), program("web")]);
        let daemon = Daemon::answering([programs, refused, "HTTP/1.1 204 No Content\r\n\r\n".to_owned()]);
        let ended = daemon.run("clear db web");
        assert_eq!((ended.out.as_str(), ended.code), ("web: cleared\n", 1));
        assert!(ended.err.contains("cannot empty /x"), "{}", ended.err);
    }
}
