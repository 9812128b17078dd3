//! `musterctl status --watch`: the state of programs, updated live.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use muster_api::{Program, State, visible};

use crate::cmd::status::{columns, lines, selected};
use crate::failure::{Exit, Failure};
use crate::live::{Live, News};
use crate::session::Session;
use crate::shown::as_shown;

/// How often uptimes are advanced.
const TICK: Duration = Duration::from_secs(1);

/// Moves to the top; and clears everything below the drawn lines.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_ALL: &str = "\x1b[2J";

pub(crate) fn run(names: &[String], session: &mut Session<'_>) -> Result<Exit, Failure> {
    let live = Live::follow(&session.client, || {})?;
    let mut shown = Shown::default();
    let mut programs = selected(names, session)?;
    if !session.failures.is_empty() {
        return Ok(Exit::NoSuchProgram);
    }
    let mut since = Instant::now();
    if session.out_is_terminal {
        put(session, CLEAR_ALL)?;
    }
    loop {
        let text = match (session.out_is_terminal, session.json) {
            (true, false) => screen(&older(&programs, since.elapsed()), session.coloured),
            (true, true) => visible::json(&shown.changed(&programs, true)),
            (false, is_json) => shown.changed(&programs, is_json),
        };
        if put(session, &text)? {
            return Ok(Exit::Well);
        }
        match live.wait(if session.out_is_terminal { TICK } else { Duration::MAX }) {
            News::Nothing => {}
            News::Changed => {
                programs = selected(names, session)?;
                since = Instant::now();
            }
            News::Ended(None) => return Ok(Exit::Well),
            News::Ended(Some(error)) => return Err(session.client.broken(error)),
        }
    }
}

/// Writes immediately; returns whether the reader has closed the pipe.
fn put(session: &mut Session<'_>, text: &str) -> Result<bool, Failure> {
    match session.live.write_all(text.as_bytes()).and_then(|()| session.live.flush()) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"))),
    }
}

/// Draws the table over the previous content line by line, so that nothing flickers.
fn screen(programs: &[Program], coloured: bool) -> String {
    let table = columns(&as_shown(programs), coloured);
    let rows: String = table.lines().map(|line| format!("{line}{CLEAR_LINE}\r\n")).collect();
    format!("{HOME}{rows}{CLEAR_BELOW}")
}

/// The programs after this much more time, if nothing has happened.
fn older(programs: &[Program], elapsed: Duration) -> Vec<Program> {
    let mut programs = programs.to_vec();
    for program in &mut programs {
        program.uptime = program.uptime.map(|uptime| uptime + elapsed.as_secs_f64());
    }
    programs
}

/// The last printed state of each program, so that only changes are printed.
#[derive(Default)]
struct Shown(BTreeMap<String, Seen>);

/// State, pid, readiness and health.
type Seen = (State, Option<u32>, Option<bool>, Option<String>);

impl Shown {
    fn changed(&mut self, programs: &[Program], is_json: bool) -> String {
        let is_new = |program: &&Program| {
            let now = (program.state, program.pid, program.ready, program.health.clone());
            self.0.insert(program.name.clone(), now.clone()) != Some(now)
        };
        let changed: Vec<Program> = programs.iter().filter(is_new).cloned().collect();
        if !is_json {
            return lines(&as_shown(&changed));
        }
        let to_json =
            |program| serde_json::to_string(program).expect("our bodies are plain structs, which always make JSON");
        changed.iter().map(|program| to_json(program) + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{down, program};

    #[test]
    fn only_what_changed_is_shown_again() {
        let mut shown = Shown::default();
        let web = || program("web");
        assert_eq!(shown.changed(&[web(), program("db")], false).lines().count(), 2);
        assert_eq!(shown.changed(&[web(), program("db")], false), "");
        let text = shown.changed(&[web(), down("db", State::Fatal, "gave up")], false);
        assert!(text.starts_with("db  ") && text.lines().count() == 1, "{text}");
        let json = shown.changed(&[Program { ready: Some(true), ..web() }], true);
        assert_eq!(serde_json::from_str::<Program>(&json).unwrap().name, "web");
    }

    #[test]
    fn uptimes_are_counted_on_without_asking() {
        let later = older(&[program("web"), down("db", State::Fatal, "")], Duration::from_secs(60));
        let before = program("web").uptime.unwrap();
        assert_eq!((later[0].uptime, later[1].uptime), (Some(before + 60.0), None));
    }

    #[test]
    fn a_screen_begins_at_the_top_and_leaves_nothing_of_the_one_before() {
        let text = screen(&[program("web")], false);
        assert!(text.starts_with("\x1b[H") && text.ends_with("\x1b[J"), "{text:?}");
        assert!(text.lines().filter(|line| !line.ends_with("\x1b[J")).all(|line| line.ends_with("\x1b[K")), "{text:?}");
    }
}
