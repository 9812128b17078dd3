//! `musterctl scale`.

use std::time::Duration;

use muster_api::{Route, ScaleBody, ScaleReport, WaitFor};

use crate::failure::{Exit, Failure};
use crate::report::{TIMEOUT, report};
use crate::session::Session;
use crate::span;

/// Change the number of instances of programs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
New instances get the next numbers, and start if others of the program are up; of too many, those with the highest numbers \
stop. The others are left alone. The number holds until numprocs has another value in the configuration, or until \
`musterctl update --reset-scale`. A rolling restart of the program ends first.

Examples:
  musterctl scale web=4
  musterctl scale web=4 queue=2 --wait
  musterctl scale web=1")]
pub(crate) struct Args {
    /// The programs, each with its number of instances: web=4.
    #[arg(value_name = "NAME=NUMBER", required = true, value_parser = parse)]
    wanted: Vec<(String, u32)>,

    /// Wait until all instances of these programs are ready.
    #[arg(long)]
    wait: bool,

    /// How long to wait for a rolling restart that is under way, and with --wait for all instances: 30s, 1m30s, 500ms.
    #[arg(long, value_name = "SPAN", default_value = TIMEOUT, value_parser = span::parse)]
    timeout: Duration,
}

fn parse(word: &str) -> Result<(String, u32), String> {
    let (name, number) = word.split_once('=').ok_or("it must be NAME=NUMBER, such as web=4")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a number of instances, such as 4"))?;
    Ok((name.to_owned(), number))
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let mut reports = Vec::new();
    for (name, numprocs) in &args.wanted {
        let route = Route::Scale { name: name.clone(), wait: args.timeout };
        let answer = session.client.ask_with(&route, &ScaleBody { numprocs: *numprocs })?;
        let report: ScaleReport = answer.read(&[200])?;
        if !session.json {
            lines(&report).iter().for_each(|line| session.line(line));
        }
        reports.push(report);
    }
    if session.json {
        session.print_json(&reports);
    }
    if !args.wait {
        return Ok(Exit::Well);
    }
    let names: Vec<String> = reports.iter().map(all_of).collect();
    report(&names, args.timeout, session, |session, select, timeout| {
        session.client.ask(&Route::Wait { select, until: WaitFor::Ready, timeout })
    })
}

/// Selects all instances of the program.
fn all_of(report: &ScaleReport) -> String {
    if report.numprocs == 1 { report.name.clone() } else { format!("{}:*", report.name) }
}

fn lines(report: &ScaleReport) -> Vec<String> {
    let ScaleReport { name, numprocs, configured, added, removed } = report;
    let mut lines: Vec<String> = removed.iter().map(|name| format!("{name}: removed")).collect();
    lines.extend(added.iter().map(|name| format!("{name}: added")));
    let configured = if numprocs == configured { String::new() } else { format!(" (configured {configured})") };
    lines.push(format!("{name}: numprocs {numprocs}{configured}"));
    lines
}

#[cfg(test)]
mod tests {
    use muster_api::{Outcome, Problem, ProblemKind, State};

    use super::*;
    use crate::testing::{Daemon, answer, problem, report};

    fn scaled(numprocs: u32, added: &[&str], removed: &[&str]) -> ScaleReport {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ScaleReport { name: "web".to_owned(), numprocs, configured: 2, added: owned(added), removed: owned(removed) }
    }

    #[test]
    fn a_line_says_what_becomes_of_each() {
        let daemon = Daemon::answering([answer(200, &scaled(3, &["web:2"], &[]))]);
        let ended = daemon.run("scale web=3");
        assert_eq!((ended.out.as_str(), ended.code), ("web:2: added\nweb: numprocs 3 (configured 2)\n", 0));
        assert_eq!(daemon.asked_lines(), ["POST /v1/programs/web/scale?wait=30"]);
        let daemon = Daemon::answering([answer(200, &scaled(2, &[], &["web:2"]))]);
        assert_eq!(daemon.run("scale web=2").out, "web:2: removed\nweb: numprocs 2\n");
    }

    #[test]
    fn with_wait_all_of_them_must_be_ready() {
        let ready = report(200, &[("web:0", Outcome::Reached, State::Running, None)]);
        let daemon = Daemon::answering([answer(200, &scaled(3, &["web:2"], &[])), ready]);
        assert_eq!(daemon.run("scale web=3 --wait --timeout 5s").code, 0);
        assert_eq!(daemon.asked_lines()[1], "GET /v1/programs/web:*/wait?for=ready&timeout=5");
    }

    #[test]
    fn mistakes_are_explained() {
        let out = Problem::new(ProblemKind::OutOfBounds, "web may have 1 to 4 instances");
        let ended = Daemon::answering([problem(&out)]).run("scale web=9");
        assert_eq!((ended.code, ended.err.contains("web may have 1 to 4 instances")), (1, true), "{}", ended.err);
        for (word, said) in [("web", "NAME=NUMBER, such as web=4"), ("web=x", "\"x\" is not a number of instances")] {
            let ended = Daemon::answering([]).run(&format!("scale {word}"));
            assert_eq!((ended.code, ended.err.contains(said)), (2, true), "{}", ended.err);
        }
    }
}
