//! `musterctl why`: explains the state of a program.

use muster_api::{OutputLine, Route, Why};

use crate::failure::{Exit, Failure};
use crate::output::{HEADING, paint, printable};
use crate::session::Session;

/// Explain the state of programs: what happened, what was decided, what comes next.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  musterctl why web
  musterctl why worker:3 --json | jq .run.ended_by")]
pub(crate) struct Args {
    /// An instance, or a program with only one.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    for (place, name) in args.names.iter().enumerate() {
        let answer = session.client.ask(&Route::Why { name: name.clone() })?;
        let why: Why = answer.read(&[200])?;
        if session.json {
            session.raw_json(&answer.body);
            continue;
        }
        if place > 0 {
            session.line("");
        }
        let text = tell(&why, session.coloured);
        session.out.push_str(&text);
    }
    Ok(Exit::Well)
}

/// The summary and the sentences, with the last lines of output before the decision.
fn tell(why: &Why, coloured: bool) -> String {
    let mut text = String::new();
    paint(&mut text, coloured, HEADING, &printable(&why.summary));
    text.push('\n');
    let lines = why.run.as_ref().map_or(&[][..], |run| &run.last_lines);
    let decided = why.story.iter().position(|sentence| sentence.starts_with("decided: ")).unwrap_or(0);
    for (place, sentence) in why.story.iter().enumerate() {
        if place == decided {
            lines_last_written(&mut text, "it", lines);
            for hook in why.run.iter().flat_map(|run| &run.hooks) {
                lines_last_written(&mut text, &hook.hook, &hook.last_lines);
            }
        }
        text.push_str(&format!("  {}\n", printable(sentence)));
    }
    text
}

fn lines_last_written(text: &mut String, writer: &str, lines: &[OutputLine]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("  {} wrote last:\n", printable(writer)));
    for line in lines {
        let more = if line.is_cut { " …" } else { "" };
        text.push_str(&format!("    {} | {}{more}\n", line.stream, printable(&line.text)));
    }
}

#[cfg(test)]
mod tests {
    use muster_api::{EndedBy, Goal, HookFailure, Problem, Run, State, Timestamp};

    use super::*;
    use crate::testing::{Daemon, Setting, answer, problem};

    fn why() -> Why {
        let line = |stream: &str, text: &str, is_cut| OutputLine {
            time: Timestamp::from_unix_ms(0),
            stream: stream.to_owned(),
            text: text.to_owned(),
            is_cut,
        };
        let run = Run {
            run: 7,
            pid: Some(12),
            started_at: Timestamp::from_unix_ms(0),
            ended_at: Some(Timestamp::from_unix_ms(5)),
            uptime: 0.005,
            exit: None,
            ended_by: Some(EndedBy::Itself),
            cause: None,
            core_dumped: false,
            out_of_memory: None,
            spawn_error: None,
            verdict: None,
            left_behind: None,
            last_lines: vec![line("stdout", "starting", false), line("stderr", "cannot \u{1b}[1mbind", true)],
            hooks: vec![HookFailure {
                hook: "pre_stop".to_owned(),
                reason: "exit status 1: no answer".to_owned(),
                last_lines: vec![line("stdout", "no answer", false)],
            }],
        };
        Why {
            name: "web".to_owned(),
            state: State::Backoff,
            goal: Goal::Up,
            summary: "web is BACKOFF: exit status 1".to_owned(),
            story: ["run 7 ended: exit status 1", "decided: attempt 1 of 10", "next: it starts again in 500ms"]
                .map(str::to_owned)
                .to_vec(),
            next: "it starts again in 500ms".to_owned(),
            next_start_at: None,
            waiting_for: vec![],
            run: Some(run),
            earlier: vec![],
        }
    }

    #[test]
    fn the_story_is_told_in_order_with_what_was_written_before_what_was_decided() {
        let daemon = Daemon::answering([answer(200, &why())]);
        let ended = daemon.run("why web");
        let expected = "\
web is BACKOFF: exit status 1
  run 7 ended: exit status 1
  it wrote last:
    stdout | starting
    stderr | cannot \u{fffd}[1mbind …
  pre_stop wrote last:
    stdout | no answer
  decided: attempt 1 of 10
  next: it starts again in 500ms
";
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), (expected, "", 0));
        assert_eq!(daemon.asked_lines(), ["GET /v1/programs/web/why"]);
    }

    #[test]
    fn json_is_the_daemons_own() {
        let ended = Daemon::answering([answer(200, &why())]).run("why web --json");
        assert_eq!(serde_json::from_str::<Why>(&ended.out).unwrap(), why());
    }

    #[test]
    fn an_unknown_name_is_exit_code_4_and_none_is_usage() {
        let unknown = problem(&Problem::no_such_program(vec!["wbe".to_owned()]));
        assert_eq!(Daemon::answering([unknown]).run("why wbe").code, 4);
        assert_eq!(Setting::default().run("why").code, 2);
    }
}
