//! `GET /v1/stats` and `GET /v1/runs`: the resources that instances use, and their runs over time.

use std::collections::HashMap;
use std::time::Instant;

use hyper::StatusCode;
use muster_api as api;
use muster_api::{Problem, Since};
use muster_core::Instance;
use muster_server::response::Answer;
use muster_server::turns::SLICE;
use muster_spec::RunId;
use muster_sys::tree::Usage;

use super::slices;
use super::view::{self, runs};
use crate::operations::select;
use crate::shared::Shared;

/// How many runs are measured with one look at the processes.
const RUNS_AT_ONCE: usize = 32;

/// The resources of the selected instances, or of all.
pub(super) async fn stats(shared: &Shared, selection: Option<&str>) -> Result<Answer, Problem> {
    let (chosen, present): (Vec<_>, Vec<_>) = {
        let supervisor = shared.supervisor.borrow();
        let chosen = select::chosen(&supervisor, selection)?;
        (chosen.iter().map(|it| it.id()).collect(), chosen.iter().filter_map(|it| it.run()).collect())
    };
    let usage = measure(shared, &present).await;
    let at = serde_json::to_string(&view::date(shared, shared.clock.now())).unwrap_or_default();
    let open = format!("{{\"at\":{at},\"programs\":[");
    let text = slices::list(&shared.turns, open.as_bytes(), chosen, b"]}", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it in the meantime.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        let run = instance.run();
        let used = run.and_then(|run| usage.get(&run));
        let stats = api::InstanceStats {
            name: instance.name().to_owned(),
            run: run.map(|run| run.0),
            processes: used.map_or(0, |used| used.processes),
            memory: used.map_or(0, |used| used.rss_bytes),
            cpu_seconds: used.map_or(0.0, |used| used.cpu_time.as_secs_f64()),
            restarts: shared.program_counters.borrow().of(instance.id()).restarts,
        };
        serde_json::to_writer(text, &stats)
    });
    slices::answer(StatusCode::OK, text.await)
}

/// Reads the usage of runs in slices: a thousand of them take milliseconds.
async fn measure(shared: &Shared, runs: &[RunId]) -> HashMap<RunId, Usage> {
    let mut usage = HashMap::new();
    for some in runs.chunks(RUNS_AT_ONCE) {
        shared.turns.next().await;
        let mut measuring = shared.children.borrow_mut().measure(some);
        loop {
            let until = Instant::now() + SLICE;
            let measured = shared.children.borrow_mut().go_on_measuring(&mut measuring, until);
            if let Some(measured) = measured {
                usage.extend(measured);
                break;
            }
            shared.turns.next().await;
        }
    }
    usage
}

/// The runs of the selected instances, or of all, without those that had ended before a time.
pub(super) async fn list(shared: &Shared, selection: Option<&str>, since: Option<Since>) -> Result<Answer, Problem> {
    let chosen: Vec<_> =
        select::chosen(&shared.supervisor.borrow(), selection)?.into_iter().map(Instance::id).collect();
    let now = view::date(shared, shared.clock.now()).unix_ms();
    let from = since.map_or(i64::MIN, |since| match since {
        Since::At(at) => at.unix_ms(),
        Since::Ago(span) => now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
    });
    let text = slices::list(&shared.turns, b"[", chosen, b"]", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it in the meantime.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        serde_json::to_writer(text, &of_instance(shared, instance, from))
    });
    slices::answer(StatusCode::OK, text.await)
}

fn of_instance(shared: &Shared, instance: &Instance, from: i64) -> api::InstanceRuns {
    let past = instance.past().map(|past| runs::span(shared, instance, past));
    let has_ended = |span: &api::RunSpan| span.ended_at.is_some_and(|ended| ended.unix_ms() < from);
    let present = instance.run_began().zip(instance.run()).map(|(began, run)| api::RunSpan {
        run: run.0,
        started_at: view::date(shared, began),
        ended_at: None,
        exit: None,
        ended_by: None,
        verdict: None,
    });
    api::InstanceRuns {
        name: instance.name().to_owned(),
        program: instance.program().name.clone(),
        state: view::state(instance.state()),
        runs: past.filter(|span| !has_ended(span)).chain(present).collect(),
    }
}
