//! `musterctl schedule`: when programs with a schedule start.

use std::time::SystemTime;

use muster_api::{Route, ScheduledProgram, ScheduledTime, Timestamp};

use crate::failure::{Exit, Failure};
use crate::output::{Cell, printable, table};
use crate::session::Session;
use crate::span;

/// Show when programs with a schedule start.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are those of the schedule's time zone, without the random delay of jitter.

Examples:
  musterctl schedule
  musterctl schedule -n 5
  musterctl schedule --json | jq -r '.[] | select(.armed) | .times[0].at'")]
pub(crate) struct Args {
    /// How many times of each program, at most 20.
    #[arg(short = 'n', long = "times", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    times: u8,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.ask(&Route::Schedule { times: Some(usize::from(args.times)) })?;
    let programs: Vec<ScheduledProgram> = answer.read(&[200])?;
    if session.json {
        session.raw_json(&answer.body);
    } else {
        show(&programs, Timestamp::from(SystemTime::now()).unix_ms(), session);
    }
    Ok(Exit::Well)
}

fn show(programs: &[ScheduledProgram], now: i64, session: &mut Session) {
    if programs.is_empty() {
        session.line("no programs with a schedule");
        return;
    }
    let rows: Vec<[Cell; 4]> = programs.iter().flat_map(|program| rows(program, now)).collect();
    let text = table(["NAME", "NEXT", "IN", "SCHEDULE"], &rows, session.coloured);
    session.out.push_str(&text);
}

/// A line for each time; the first one names the program.
fn rows(program: &ScheduledProgram, now: i64) -> Vec<[Cell; 4]> {
    let cron = printable(&program.cron.join("; "));
    if !program.armed {
        return vec![[Cell::plain(&program.name), Cell::plain("stopped"), Cell::plain(""), Cell::plain(cron)]];
    }
    let row = |(place, time): (usize, &ScheduledTime)| {
        let (name, cron) = if place == 0 { (program.name.as_str(), cron.as_str()) } else { ("", "") };
        let left = time.at.unix_ms().saturating_sub(now).max(0) as f64 / 1000.0;
        [Cell::plain(name), Cell::plain(&time.local), Cell::plain(span::format_uptime(left)), Cell::plain(cron)]
    };
    program.times.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Daemon, answer};

    fn job(armed: bool, times: &[(i64, &str)]) -> ScheduledProgram {
        let time =
            |&(at, local): &(i64, &str)| ScheduledTime { at: Timestamp::from_unix_ms(at), local: local.to_owned() };
        ScheduledProgram {
            name: "backup".to_owned(),
            armed,
            cron: vec!["TZ=UTC 30 2 * * *".to_owned()],
            overlap: "skip".to_owned(),
            jitter: 0.0,
            times: times.iter().map(time).collect(),
        }
    }

    #[test]
    fn each_time_has_a_line() {
        let daemon = Daemon::answering([answer(
            200,
            &vec![job(true, &[(0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:01Z")])],
        )]);
        let ended = daemon.run("schedule -n 2");
        let expected = "NAME    NEXT                  IN       SCHEDULE\n\
                        backup  1970-01-01T00:00:00Z  0:00:00  TZ=UTC 30 2 * * *\n        \
                        1970-01-01T00:00:01Z  0:00:00\n";
        assert_eq!((ended.out.as_str(), ended.code), (expected, 0));
        assert_eq!(daemon.asked_lines(), ["GET /v1/schedule?times=2"]);
    }

    #[test]
    fn a_program_that_is_not_armed_is_stopped() {
        let ended = Daemon::answering([answer(200, &vec![job(false, &[(0, "1970-01-01T00:00:00Z")])])]).run("schedule");
        assert!(ended.out.contains("backup  stopped"), "{}", ended.out);
        let none = Daemon::answering([answer(200, &Vec::<ScheduledProgram>::new())]).run("schedule");
        assert_eq!((none.out.as_str(), none.code), ("no programs with a schedule\n", 0));
    }
}
