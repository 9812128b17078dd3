//! `restart --update`, and the hint to use it.
//!
//! The reload restarts programs whose configuration differs, so only the other selected programs are restarted by command: each is
//! restarted once. Whether those of the reload run again is determined by the number of their run.

use muster_spec::arrange::Gather;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use muster_api::{ActionReport, ActionResult, Goal, Outcome, Program, ReloadReport, Route, State, Verb};

use super::{logs, update};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::live::{Live, News};
use crate::report::{Request, print, read, too_late};
use crate::selection;
use crate::session::Session;

/// Time limit for computing a hint.
const PATIENCE_FOR_HINTS: Duration = Duration::from_secs(2);

/// Maximum number of names in a hint.
const NAMES_IN_HINTS: usize = 5;

/// The run of each instance.
type Runs = BTreeMap<String, Option<u64>>;

/// Reloads the configuration, applies the differences, and restarts the selected programs, each once.
pub(super) fn restart_updated(request: &Request, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let patience = if request.no_wait { Duration::ZERO } else { request.timeout };
    let deadline = Instant::now() + patience;
    let live = Live::follow(&session.client, || {})?;
    let all: Vec<Program> = session.client.ask(&Route::Programs { select: None, fields: None })?.read(&[200])?;
    let before: Runs = all.into_iter().map(|program| (program.name, program.run)).collect();
    find_all(&request.names, &session.client)?;
    let report: ReloadReport =
        session.client.ask(&Route::Reload { dry_run: false, reset_scale: false })?.read(&[200])?;
    let chosen = logs::instances(&request.names, &session.client).inspect_err(|_| {
        // The reload removed the selected programs, and cannot be undone.
        if !session.json {
            update::lines_without(&report, &[]).iter().for_each(|line| session.line(line));
        }
    })?;
    if !session.json {
        update::lines_without(&report, &chosen).iter().for_each(|line| session.line(line));
    }
    // Programs that the reload left down, since they are not autostarted or were stopped, are started by command.
    let new: BTreeSet<&String> = report.restarted.iter().chain(&report.added).gather();
    let up = programs(&chosen, &session.client)?.into_iter().filter(|it| it.goal == Goal::Up).map(|it| it.name);
    let up: BTreeSet<String> = up.gather();
    let (renewed, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|name| new.contains(name) && up.contains(name));
    let mut results = Vec::new();
    for select in selection::chunks(&others) {
        let wait = deadline.saturating_duration_since(Instant::now());
        let answer = session.client.ask(&Route::Action { verb: Verb::Restart, select, wait, rolling: None })?;
        results.extend(read(&answer, patience)?.0);
    }
    results.extend(wait_for(&renewed, &before, &live, deadline, &session.client)?);
    let pending = results.iter_mut().filter(|result| result.outcome == Outcome::Pending);
    let ended = if request.no_wait {
        pending.for_each(|result| result.outcome = Outcome::Accepted);
        Ok(())
    } else {
        too_late(&results, patience).map_or(Ok(()), Err)
    };
    print(&ActionReport { results }, ended, session)
}

/// Fails for a name that matches nothing, neither now nor in the new configuration: then nothing is done.
fn find_all(names: &[String], client: &Client) -> Result<(), Failure> {
    let mut planned: Option<ReloadReport> = None;
    for name in names {
        let Err(failure) = logs::instances(std::slice::from_ref(name), client) else { continue };
        let planned = match &mut planned {
            Some(planned) => planned,
            none => none.insert(client.ask(&Route::Reload { dry_run: true, reset_scale: false })?.read(&[200])?),
        };
        if !planned.added.iter().any(|added| added == name || is_program_of(name, added)) {
            return Err(failure);
        }
    }
    Ok(())
}

fn programs(names: &[String], client: &Client) -> Result<Vec<Program>, Failure> {
    let mut programs = Vec::new();
    for select in selection::chunks(names) {
        let part: Vec<Program> = client.ask(&Route::Programs { select: Some(select), fields: None })?.read(&[200])?;
        programs.extend(part);
    }
    Ok(programs)
}

/// The results since the reload: at the deadline, or once all are known.
fn wait_for(
    names: &[String],
    before: &Runs,
    live: &Live,
    deadline: Instant,
    client: &Client,
) -> Result<Vec<ActionResult>, Failure> {
    let mut started = BTreeSet::new();
    loop {
        let mut now = programs(names, client)?;
        // As after any restart, dependencies are started, once; a reload starts only what it changed.
        let vain = now.iter().filter(|program| program.waits_in_vain && deadline > Instant::now());
        let vain: Vec<String> =
            vain.map(|program| program.name.clone()).filter(|name| started.insert(name.clone())).collect();
        if !vain.is_empty() {
            for select in selection::chunks(&vain) {
                client.ask(&Route::Action { verb: Verb::Start, select, wait: Duration::ZERO, rolling: None })?;
            }
            now = programs(names, client)?;
        }
        let results: Vec<ActionResult> = now.into_iter().map(|program| result(program, before)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || results.iter().all(|result| result.outcome != Outcome::Pending) {
            return Ok(results);
        }
        match live.wait(left) {
            News::Changed | News::Nothing => {}
            News::Ended(None) => return Err(Failure::new(Exit::NoDaemon, "the daemon closed the connection")),
            News::Ended(Some(error)) => return Err(client.broken(error)),
        }
    }
}

fn result(program: Program, before: &Runs) -> ActionResult {
    let is_later = program.run > before.get(&program.name).copied().flatten();
    let has_ended_well = program.exit.as_ref().is_some_and(|exit| exit.success);
    let (outcome, error) = match program.state {
        _ if program.goal == Goal::Down => (Outcome::Error, Some("another request reversed it meanwhile".to_owned())),
        State::Running if is_later => (Outcome::Restarted, None),
        State::Exited if is_later && has_ended_well => (Outcome::Restarted, None),
        State::Backoff | State::Exited | State::Fatal if is_later => {
            (Outcome::Error, program.exit.map(|exit| exit.reason))
        }
        State::Waiting if program.awaits_client => (Outcome::Waiting, None),
        State::Waiting if program.waits_in_vain => {
            (Outcome::Error, Some(format!("waiting for {}", program.waiting_for.join(" and "))))
        }
        State::Waiting if !program.waiting_for.is_empty() => {
            (Outcome::Pending, Some(format!("waiting for {}", program.waiting_for.join(" and "))))
        }
        _ => (Outcome::Pending, None),
    };
    ActionResult { name: program.name, outcome, state: program.state, pid: program.pid, error, note: None }
}

/// After a start or restart: adds a hint if the configuration files differ from the active configuration of these programs.
/// If that cannot be determined, adds none.
pub(crate) fn hint(names: &[String], ended: Result<Exit, Failure>, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let is_unknown = matches!(&ended, Err(failure) if failure.exit == Exit::NoSuchProgram);
    if ended.is_err() && !is_unknown {
        return ended;
    }
    let client = Client::new(session.client.target.clone(), PATIENCE_FOR_HINTS);
    let answer = client.ask(&Route::Reload { dry_run: true, reset_scale: false });
    let Ok(report) = answer.and_then(|answer| answer.read::<ReloadReport>(&[200])) else { return ended };
    if is_unknown {
        let is_named = |added: &&String| names.contains(added) || names.iter().any(|name| is_program_of(name, added));
        let new = report.added.iter().find(is_named);
        return ended.map_err(|failure| match new {
            Some(name) => failure.with_hint(format!(
                "{name} is in the configuration files but not active yet; `musterctl update` applies the differences"
            )),
            None => failure,
        });
    }
    if report.restarted.is_empty() && report.changed.is_empty() {
        return ended;
    }
    let chosen: BTreeSet<String> = logs::instances(names, &client).unwrap_or_default().into_iter().gather();
    let of = |names: &[String]| names.iter().filter(|name| chosen.contains(*name)).cloned().collect::<Vec<_>>();
    let (restarted, changed) = (of(&report.restarted), of(&report.changed));
    let differ =
        |names: &[String]| format!("the configuration files differ from the active configuration: {}", listed(names));
    if !restarted.is_empty() {
        session.hints.push(format!("{}; `musterctl restart --update` applies the differences", differ(&restarted)));
    } else if !changed.is_empty() {
        session.hints.push(format!("{}; `musterctl update` applies the differences", differ(&changed)));
    }
    ended
}

fn is_program_of(name: &str, instance: &str) -> bool {
    instance.split_once(':').is_some_and(|(program, _)| program == name)
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_IN_HINTS).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_IN_HINTS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
