//! Handlers that only read.

use hyper::StatusCode;
use muster_api as api;
use muster_api::{Problem, ProgramFields};
use muster_core::Instance;
use muster_load::secrets::Reader;
use muster_spec::{Goal, ListenSpec, State};

use super::core_dump;
use super::slices;
use super::view::{self, why};
use crate::operations::select;
use crate::shared::Shared;
use muster_server::response::{self, Answer};

pub(super) fn info(shared: &Shared) -> Answer {
    let supervisor = shared.supervisor.borrow();
    let up = supervisor.snapshot().iter().filter(|instance| instance.goal() == Goal::Up).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let pid = std::process::id();
    let info = api::Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: api::API_VERSION.to_owned(),
        pid,
        is_pid1: pid == 1,
        state: phase(shared),
        started_at: view::date(shared, muster_core::Time::ZERO),
        uptime: shared.clock.now().since_origin().as_secs_f64(),
        config_files: shared.configuration.in_force().files.iter().map(|path| path.display().to_string()).collect(),
        listeners: listeners(shared),
        goals: api::Goals { up: count(up), down: count(supervisor.snapshot().len() - up) },
    };
    response::json(StatusCode::OK, &info)
}

/// The listeners besides the control socket.
fn listeners(shared: &Shared) -> Vec<api::Listener> {
    let (failed, servers) = (shared.gate.not_listening.borrow(), shared.secrets.servers());
    let listener = |spec: &ListenSpec| api::Listener {
        address: spec.address.to_string(),
        is_listening: !failed.contains_key(&spec.address),
        error: failed.get(&spec.address).cloned(),
        not_after: servers
            .not_after(&spec.address)
            .map(|second| api::Timestamp::from_unix_ms(second.saturating_mul(1000))),
    };
    shared.configuration.in_force().control.listeners.iter().map(listener).collect()
}

/// Starting ends when every autostarted program has come up or has given up once.
fn phase(shared: &Shared) -> api::Phase {
    let supervisor = shared.supervisor.borrow();
    if supervisor.is_shutting_down() {
        api::Phase::Stopping
    } else if shared.configuration.sources.is_waiting() || supervisor.snapshot().iter().any(is_in_first_start) {
        api::Phase::Starting
    } else {
        api::Phase::Running
    }
}

fn is_in_first_start(instance: &Instance) -> bool {
    let is_first = instance.past().next().is_none();
    is_first && !instance.awaits_time() && matches!(instance.state(), State::Waiting | State::Starting)
}

/// With some fields only, or all.
pub(super) async fn programs(
    shared: &Shared,
    selection: Option<&str>,
    fields: Option<ProgramFields>,
) -> Result<Answer, Problem> {
    let chosen: Vec<_> =
        select::chosen(&shared.supervisor.borrow(), selection)?.into_iter().map(Instance::id).collect();
    let (moment, fields) = (shared.clock.read(), fields.unwrap_or(ProgramFields::ALL));
    let text = slices::list(&shared.turns, b"[", chosen, b"]", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it in the meantime.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        serde_json::to_writer(text, &view::Listed { shared, instance, moment, fields })
    });
    slices::answer(StatusCode::OK, text.await)
}

pub(super) fn program(shared: &Shared, name: &str, reader: Reader) -> Result<Answer, Problem> {
    let supervisor = shared.supervisor.borrow();
    let instance = select::one(&supervisor, name)?;
    Ok(response::json(StatusCode::OK, &view::detail(shared, instance, reader)))
}

pub(super) async fn why(shared: &Shared, name: &str) -> Result<Answer, Problem> {
    let core = {
        let supervisor = shared.supervisor.borrow();
        let last = select::one(&supervisor, name)?.past().next_back().map(|past| past.run);
        last.and_then(|run| Some((run, shared.exit_evidence.borrow().core(run)?.clone())))
    };
    let core = match core {
        Some((run, dump)) => Some((run, core_dump::in_words(dump).await)),
        None => None,
    };
    let supervisor = shared.supervisor.borrow();
    let instance = select::one(&supervisor, name)?;
    Ok(response::json(StatusCode::OK, &why::why(shared, instance, core, shared.clock.now())))
}

/// With the names of the instances that are not ready and of sources, unless they are hidden from the client.
pub(super) async fn readiness(shared: &Shared, with_names: bool) -> Result<Answer, Problem> {
    let mut unready: Vec<_> = shared.supervisor.borrow().unready().map(Instance::id).collect();
    let sources = &shared.configuration.sources;
    let is_ready = shared.supervisor.borrow().is_ready() && !sources.is_waiting();
    let mut reports = sources.reports();
    if !with_names {
        unready.clear();
        reports.clear();
    }
    let now = shared.clock.now();
    let troubled = reports.into_iter().filter(|source| source.state != api::SourceState::Active);
    let troubled: Vec<String> = troubled
        .map(|source| {
            let reason = source.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{}: {}{reason}", source.name, source.state.name())
        })
        .collect();
    let troubled = serde_json::to_string(&troubled).unwrap_or_default();
    let open = format!("{{\"ready\":{is_ready},\"sources\":{troubled},\"missing\":[");
    let text = slices::list(&shared.turns, open.as_bytes(), unready, b"]}", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it in the meantime.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        serde_json::to_writer(text, &view::missing(shared, instance, now))
    });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    slices::answer(status, text.await)
}
