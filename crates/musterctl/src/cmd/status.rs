//! `musterctl status`: a line for each instance.
//!
//! When not writing to a terminal, the lines are identical to supervisorctl's, so that tools that parse those can parse these.

use muster_api::{Problem, ProblemKind, Program, ProgramFields, Route, Source, State};

use crate::client::Answer;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, printable, state_style, table};
use crate::selection;
use crate::session::{Rows, Session};
use crate::shown::{COLUMNS, LINES, Shown, as_shown};
use crate::span;

/// Show the state of programs: how long they have been running, or why they are not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 3 if a program shown is not RUNNING; EXITED with success does not count, nor does a program that waits for a \
time of its schedule, unless its last run failed.

Examples:
  musterctl status
  musterctl status web 'worker:*'
  musterctl status --watch
  musterctl status --json | jq '.[] | select(.state != \"RUNNING\") | .name'")]
pub(crate) struct Args {
    /// Only these: names, groups, web:*, globs.
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Keep showing changes until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

impl Args {
    /// Whether it goes on until it is interrupted.
    pub(crate) fn follows(&self) -> bool {
        self.watch
    }
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    if args.watch {
        return crate::watch::run(&args.names, session);
    }
    if session.json {
        return as_json(&args.names, session);
    }
    let fields = if session.out_is_terminal { COLUMNS } else { LINES };
    let answers = answers(&args.names, Some(fields), session)?;
    let mut programs: Vec<Shown> = Vec::new();
    for answer in &answers {
        programs.append(&mut answer.read(&[200])?);
    }
    show(&programs, session);
    if args.names.is_empty() {
        show_refused_sources(session);
    }
    Ok(exit(&programs, session))
}

fn as_json(names: &[String], session: &mut Session) -> Result<Exit, Failure> {
    if names.is_empty() {
        let answer = ask(None, None, session)?;
        let programs: Vec<Program> = answer.read(&[200])?;
        session.raw_json(&answer.body);
        return Ok(exit(&as_shown(&programs), session));
    }
    let programs = selected(names, session)?;
    session.print_json(&programs);
    Ok(exit(&as_shown(&programs), session))
}

/// A wrong name takes precedence over a state.
fn exit(programs: &[Shown], session: &Session) -> Exit {
    if session.failures.is_empty() { judge(programs) } else { Exit::NoSuchProgram }
}

/// On a terminal, also says which sources have a refused version; other readers expect supervisorctl's lines alone.
fn show_refused_sources(session: &mut Session) {
    if !session.out_is_terminal {
        return;
    }
    let sources: Vec<Source> =
        session.client.ask(&Route::Sources).and_then(|answer| answer.read(&[200])).unwrap_or_default();
    for line in super::sources::refused(&sources) {
        session.line(line);
    }
}

/// The instances that these names match, or all. Names without a match are reported.
pub(crate) fn selected(names: &[String], session: &mut Session) -> Result<Vec<Program>, Failure> {
    let mut programs = Vec::new();
    for answer in answers(names, None, session)? {
        programs.append(&mut answer.read(&[200])?);
    }
    Ok(programs)
}

/// The daemon's answers about them, with these fields or all.
fn answers(names: &[String], fields: Option<ProgramFields>, session: &mut Session) -> Result<Vec<Answer>, Failure> {
    if names.is_empty() {
        return Ok(vec![ask(None, fields, session)?]);
    }
    let mut answers = Vec::new();
    for selection in selection::chunks(names) {
        answers.extend(ask_about(&selection, fields, session)?);
    }
    Ok(answers)
}

/// Names without a match are reported and the others still shown, as in supervisorctl.
fn ask_about(selection: &str, fields: Option<ProgramFields>, session: &mut Session) -> Result<Option<Answer>, Failure> {
    let answer = ask(Some(selection), fields, session)?;
    if answer.status == 200 {
        return Ok(Some(answer));
    }
    let problem = answer.problem();
    let Some(rest) = without_unknown(selection, &problem) else { return Err(problem.into()) };
    session.failures.push(problem.into());
    if rest.is_empty() {
        return Ok(None);
    }
    ask(Some(&rest), fields, session).map(Some)
}

fn ask(select: Option<&str>, fields: Option<ProgramFields>, session: &Session) -> Result<Answer, Failure> {
    let ask = |fields| session.client.ask(&Route::Programs { select: select.map(str::to_owned), fields });
    let answer = ask(fields)?;
    // Older daemons do not know the parameter.
    if answer.status == 400 && fields.is_some() { ask(None) } else { Ok(answer) }
}

/// The rest of a selection without the names that match nothing; `None` if these are not the problem.
fn without_unknown(selection: &str, problem: &Problem) -> Option<String> {
    let known: Vec<&str> =
        selection.split(',').filter(|name| !problem.names.iter().any(|unknown| unknown == name.trim())).collect();
    let fewer = known.len() < selection.split(',').count();
    (problem.kind == ProblemKind::NoSuchProgram && fewer).then(|| known.join(","))
}

fn judge(programs: &[Shown]) -> Exit {
    let is_well = |program: &Shown| match program.state {
        // It waits for a time of its schedule, or runs at one: its last run decides.
        _ if program.next_due.is_some() => program.exit.as_ref().is_none_or(|exit| exit.success),
        State::Running => true,
        State::Exited => program.exit.as_ref().is_some_and(|exit| exit.success),
        _ => false,
    };
    if programs.iter().all(is_well) { Exit::Well } else { Exit::NotRunning }
}

fn show(programs: &[Shown], session: &mut Session) {
    match session.out_is_terminal {
        true => session.table(rows(programs)),
        false => session.out.push_str(&lines(programs)),
    }
}

/// supervisorctl's lines: `'%(name)-33s%(state)-10s%(desc)s'`, the first column three wider than the longest name and
/// at least 33 wide. Trailing blanks are part of the line.
pub(crate) fn lines(programs: &[Shown]) -> String {
    // A line for each, also if a name has a line end.
    let names: Vec<String> = programs.iter().map(|program| printable(&program.full_name())).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let width = longest.max(30) + 3;
    // Padding by the formatter is written a blank at a time.
    let blanks = " ".repeat(width);
    let mut text = String::with_capacity(programs.len() * (width + 50));
    for (name, Shown { state, description, .. }) in names.iter().zip(programs) {
        for (cell, width) in [(name.as_str(), width), (state.name(), 10)] {
            text.push_str(cell);
            text.push_str(&blanks[..width.saturating_sub(cell.chars().count())]);
        }
        text.push_str(&printable(description));
        text.push('\n');
    }
    text
}

pub(crate) fn columns(programs: &[Shown], coloured: bool) -> String {
    let Rows { headings, rows } = rows(programs);
    table(headings, &rows, coloured)
}

fn rows(programs: &[Shown]) -> Rows {
    let rows: Vec<[Cell; 6]> = programs.iter().map(row).collect();
    // Omit a column without a heading and without text.
    let has_groups = programs.iter().any(|program| !program.other_group().is_empty());
    Rows { headings: ["NAME", if has_groups { "GROUP" } else { "" }, "STATE", "PID", "UPTIME", ""], rows }
}

fn row(program: &Shown) -> [Cell; 6] {
    let uptime = program.uptime.filter(|_| program.pid.is_some());
    [
        Cell::plain(&program.name),
        Cell::plain(program.other_group()),
        Cell::styled(program.state.name(), state_style(program.state)),
        Cell::plain(program.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        Cell::plain(uptime.map(span::format_uptime).unwrap_or_default()),
        Cell::plain(printable(&note(program))),
    ]
}

/// Details that the other columns do not show.
fn note(program: &Shown) -> String {
    if program.state != State::Running {
        return program.description.clone().into_owned();
    }
    let not_ready = (program.ready == Some(false)).then_some("not ready");
    let unhealthy = program.health.as_deref().filter(|health| *health == "unhealthy");
    let rolling = program.rolling.as_ref().filter(|rolling| !rolling.queued);
    let rolling = rolling.map(|rolling| format!("rolling restart {} of {}", rolling.step, rolling.of));
    let old = program.old_process.then_some("old process");
    let stopped = program.stopped_by.as_ref().map(|signal| format!("stopped by {signal}"));
    let said = [stopped.as_deref(), not_ready, unhealthy, old, rolling.as_deref(), program.status.as_deref()];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use muster_api::{ProgramField, RollingProgress};

    use super::*;
    use crate::testing::{Daemon, Setting, answer, down, problem, program};

    fn some() -> Vec<Program> {
        vec![
            down("batch", State::Exited, "exit status 0"),
            down("db", State::Backoff, "exit status 1; next start in 2s, attempt 3 of 10"),
            down("slow", State::Stopping, ""),
            program("web"),
        ]
    }

    #[test]
    fn columns_tell_what_a_run_says_of_itself() {
        let said = |ready, health: Option<&str>, status: Option<&str>| {
            let (health, status) = (health.map(str::to_owned), status.map(str::to_owned));
            note(&Shown::from(&Program { ready, health, status, ..program("web") }))
        };
        assert_eq!(said(None, None, None), "");
        assert_eq!(said(Some(true), Some("healthy"), None), "");
        assert_eq!(said(Some(false), Some("unhealthy"), Some("no disk")), "not ready, unhealthy, no disk");
        assert_eq!(note(&Shown::from(&down("db", State::Fatal, "gave up"))), "gave up");
        let stopped_by = Some("SIGSTOP".to_owned());
        assert_eq!(note(&Shown::from(&Program { stopped_by, ..program("web") })), "stopped by SIGSTOP");
    }

    /// Source: supervisor 4.2.5, supervisorctl.py, `_show_statuses`.
    #[test]
    fn lines_are_supervisorctls_to_the_byte() {
        let daemon = Daemon::answering([answer(200, &some())]);
        let ended = daemon.run("status");
        let expected = "\
batch                            EXITED    exit status 0
db                               BACKOFF   exit status 1; next start in 2s, attempt 3 of 10
slow                             STOPPING  \n\
web                              RUNNING   pid 12, uptime 0:00:05
";
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), (expected, "", 3));
        let asked = "GET /v1/programs?fields=name,program,group,state,exit,description,next_due";
        assert_eq!(daemon.asked_lines(), [asked]);
    }

    #[test]
    fn a_daemon_that_does_not_know_fields_is_asked_for_all() {
        let unknown =
            problem(&Problem::new(ProblemKind::BadParameter, "parameter fields is not a parameter of this route"));
        let daemon = Daemon::answering([unknown, answer(200, &[program("web")])]);
        let ended = daemon.run("status");
        assert_eq!(
            (ended.out.as_str(), ended.code),
            ("web                              RUNNING   pid 12, uptime 0:00:05\n", 0)
        );
        assert_eq!(daemon.asked_lines()[1], "GET /v1/programs");
    }

    /// An answer with these fields alone is shown as one with all of them.
    #[test]
    fn the_fields_that_are_asked_for_are_those_that_are_shown() {
        let sick = Program {
            ready: Some(false),
            health: Some("unhealthy".to_owned()),
            status: Some("no disk".to_owned()),
            stopped_by: Some("SIGSTOP".to_owned()),
            old_process: true,
            rolling: Some(RollingProgress { step: 1, of: 2, queued: false }),
            ..program("sick")
        };
        let all = [some(), vec![sick]].concat();
        for (terminal, fields) in [(false, LINES), (true, COLUMNS)] {
            let mut parts = serde_json::to_value(&all).unwrap();
            let others = ProgramField::ALL.iter().filter(|field| !fields.has(**field));
            let others: Vec<&str> = others.map(|field| field.name()).collect();
            let of_each = parts.as_array_mut().unwrap().iter_mut().filter_map(|part| part.as_object_mut());
            of_each.for_each(|part| part.retain(|key, _| !others.contains(&key.as_str())));
            let shown = |answered| {
                let setting = Setting { terminal, colourless: true, ..Setting::default() };
                Daemon::answering([answered]).run_in(setting, "status")
            };
            let (part, whole) = (shown(answer(200, &parts)), shown(answer(200, &all)));
            assert_eq!((part.out, part.code), (whole.out, whole.code));
        }
    }

    /// Source: supervisor 4.2.5, options.py, `make_namespec`.
    #[test]
    fn groups_are_shown_where_there_are_any() {
        let member = || Program { group: "front".to_owned(), ..program("web") };
        assert_eq!(
            lines(&as_shown(&[member()])),
            "front:web                        RUNNING   pid 12, uptime 0:00:05\n"
        );
        let expected = "NAME  GROUP  STATE    PID  UPTIME\ndb           RUNNING  12   0:00:05\nweb   front  RUNNING  12   0:00:05\n";
        assert_eq!(columns(&as_shown(&[program("db"), member()]), false), expected);
    }

    #[test]
    fn a_long_name_widens_the_first_column_for_all() {
        let long = "n".repeat(40);
        let text = lines(&as_shown(&[program(&long), program("web")]));
        let widths: Vec<usize> = text.lines().map(|line| line.find("RUNNING").unwrap()).collect();
        assert_eq!(widths, [43, 43]);
    }

    #[test]
    fn what_is_not_running_is_exit_code_3_but_for_a_success() {
        let success = || down("batch", State::Exited, "exit status 0");
        let mut failed = success();
        failed.exit.as_mut().unwrap().success = false;
        let failed_exit = failed.exit.clone();
        let next_due = Some(muster_api::Timestamp::from_unix_ms(0));
        let waits = |exit| Program { next_due, exit, ..down("backup", State::Waiting, "") };
        for (programs, code) in [
            (vec![], 0),
            (vec![program("web"), success()], 0),
            (vec![program("web"), failed], 3),
            (vec![down("web", State::Stopped, "")], 3),
            (vec![down("web", State::Starting, "")], 3),
            (vec![waits(None)], 0),
            (vec![waits(success().exit)], 0),
            (vec![waits(failed_exit)], 3),
        ] {
            assert_eq!(Daemon::answering([answer(200, &programs)]).run("status").code, code);
        }
    }

    #[test]
    fn a_terminal_gets_columns_and_colours() {
        let on_terminal = |colourless| {
            let setting = Setting { terminal: true, colourless, ..Setting::default() };
            Daemon::answering([answer(200, &some())]).run_in(setting, "status").out
        };
        let expected = "\
NAME   STATE     PID  UPTIME
batch  EXITED                  exit status 0
db     BACKOFF                 exit status 1; next start in 2s, attempt 3 of 10
slow   STOPPING
web    RUNNING   12   0:00:05
";
        assert_eq!(on_terminal(true), expected);
        assert!(on_terminal(false).contains("\u{1b}[32mRUNNING\u{1b}[0m"));
    }

    #[test]
    fn json_is_the_daemons_own() {
        let daemon = Daemon::answering([answer(200, &serde_json::json!([]))]);
        assert_eq!(daemon.run("status --json").out, "[]\n");
        let daemon = Daemon::answering([answer(200, &some())]);
        let ended = daemon.run("status --json");
        let programs: Vec<Program> = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((programs, ended.code), (some(), 3));
    }

    #[test]
    fn names_are_selected_by_the_daemon() {
        let daemon = Daemon::answering([answer(200, &[program("web:0")])]);
        assert_eq!(daemon.run("status web:* d?").code, 0);
        let asked = "GET /v1/programs?select=web:*,d%3F&fields=name,program,group,state,exit,description,next_due";
        assert_eq!(daemon.asked_lines(), [asked]);
    }

    #[test]
    fn an_unknown_name_is_told_and_the_others_are_shown() {
        let unknown = problem(&Problem::no_such_program(vec!["wbe".to_owned()]).with_hint("is \"web\" meant?"));
        let daemon = Daemon::answering([unknown, answer(200, &[program("web")])]);
        let ended = daemon.run("status web wbe");
        assert_eq!(ended.code, 4);
        assert!(ended.out.starts_with("web  ") && ended.out.lines().count() == 1, "{}", ended.out);
        assert_eq!(ended.err, "error: no such program: \"wbe\"\nhint: is \"web\" meant?\n");
        assert!(daemon.asked_lines()[1].starts_with("GET /v1/programs?select=web&fields="));
    }

    #[test]
    fn only_unknown_names_show_nothing() {
        let daemon = Daemon::answering([problem(&Problem::no_such_program(vec!["wbe".to_owned()]))]);
        let ended = daemon.run("status wbe");
        assert_eq!((ended.code, ended.out.as_str()), (4, ""));
        assert_eq!(daemon.asked_lines().len(), 1);
    }

    #[test]
    fn a_thousand_names_are_several_requests_and_one_table() {
        let daemon = Daemon::answering((0..3).map(|number| answer(200, &[program(&format!("p{number}"))])));
        let names: Vec<String> = (0..1000).map(|number| format!("program-{number}")).collect();
        let ended = daemon.run(&format!("status {}", names.join(" ")));
        assert_eq!((ended.code, ended.out.lines().count()), (0, 3));
    }
}
