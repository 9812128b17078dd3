//! `musterctl events`: events as they happen.

use std::io;

use muster_api::{Event, visible};

use crate::events::Events;
use crate::failure::{Exit, Failure};
use crate::happening::InWords;
use crate::output::printable;
use crate::session::Session;

/// Show events as they happen: states, exits, restarts, readiness, health.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Continues until Ctrl-C or until the daemon exits.

Examples:
  musterctl events
  musterctl events --json | jq 'select(.kind == \"state\") | .name, .to'")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let mut events = Events::follow(&session.client)?;
    loop {
        let Some((event, json)) = events.next().map_err(|error| session.client.broken(error))? else {
            return Ok(Exit::Well);
        };
        let text = match session.json {
            true if session.out_is_terminal => visible::json(&json),
            true => json,
            false => line(&event),
        };
        match writeln!(session.live, "{text}").and_then(|()| session.live.flush()) {
            Ok(()) => {}
            // The reader has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Well),
            Err(error) => return Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"))),
        }
    }
}

fn line(event: &Event) -> String {
    format!("{}  {}", event.at, printable(&InWords(&event.what).to_string()))
}

#[cfg(test)]
mod tests {
    use muster_api::{Happening, Problem, ProblemKind, State, Timestamp};

    use super::*;
    use crate::testing::{Daemon, problem, program};

    fn some() -> Vec<Event> {
        let all = [
            Happening::Snapshot { programs: vec![program("web")] },
            Happening::State {
                name: "web".to_owned(),
                from: State::Running,
                to: State::Stopping,
                run: Some(1),
                pid: Some(12),
            },
        ];
        (1..).zip(all).map(|(id, what)| Event { id, at: Timestamp::from_unix_ms(0), what }).collect()
    }

    /// A response with these events, split into chunks in the middle, with a comment and a kind of a later version in between.
    fn stream(events: &[Event]) -> String {
        let mut text = Vec::new();
        for event in events {
            text.extend_from_slice(b":\n\n");
            event.write_to(&mut text);
        }
        let later = "id: 9\nevent: later\ndata: {\"id\":9,\"at\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"later\"}\n\n";
        let text = String::from_utf8(text).unwrap() + later;
        let (one, two) = text.split_at(text.len() / 2);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(one), chunk(two))
    }

    #[test]
    fn a_line_says_when_and_what() {
        let daemon = Daemon::answering([stream(&some())]);
        let ended = daemon.run("events");
        let expected = "\
1970-01-01T00:00:00.000Z  1 of 1 running
1970-01-01T00:00:00.000Z  web: STOPPING
1970-01-01T00:00:00.000Z  an event of a kind that a later version of musterd knows
";
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), (expected, "", 0));
        assert_eq!(daemon.asked_lines(), ["GET /v1/events"]);
    }

    #[test]
    fn json_is_the_daemons_own_a_line_each() {
        let ended = Daemon::answering([stream(&some())]).run("events --json");
        let lines: Vec<Event> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[..2], ended.code), (&some()[..], 0));
    }

    #[test]
    fn a_stream_that_breaks_off_or_is_refused_is_an_error() {
        let whole = stream(&some());
        let broken = whole[..whole.len() - 20].to_owned();
        let ended = Daemon::answering([broken]).run("events");
        assert_eq!(ended.code, 7, "{}", ended.err);
        assert!(ended.out.contains("STOPPING"), "what came before is shown: {}", ended.out);
        let busy = problem(&Problem::new(ProblemKind::Busy, "too many clients follow the events already"));
        assert_eq!(Daemon::answering([busy]).run("events").code, 1);
    }
}
