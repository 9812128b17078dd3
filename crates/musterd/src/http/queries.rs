//! Handlers that only look.

use hyper::StatusCode;
use muster_api as api;
use muster_api::Problem;
use muster_config::nearest_name;
use muster_core::Instance;
use muster_spec::{Goal, State};

use super::action::parse_selector;
use super::response::{self, Answer};
use super::slices;
use super::view::{self, why};
use crate::secrets::Reader;
use crate::shared::Shared;

pub(super) fn info(shared: &Shared) -> Answer {
    let supervisor = shared.supervisor.borrow();
    let up = supervisor.snapshot().iter().filter(|instance| instance.goal() == Goal::Up).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let pid = std::process::id();
    let info = api::Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid,
        is_pid1: pid == 1,
        state: phase(shared),
        started_at: view::date(shared, muster_core::Time::ZERO),
        uptime: shared.clock.now().since_origin().as_secs_f64(),
        config_files: shared.configuration.in_force().files.iter().map(|path| path.display().to_string()).collect(),
        goals: api::Goals { up: count(up), down: count(supervisor.snapshot().len() - up) },
    };
    response::json(StatusCode::OK, &info)
}

/// Starting lasts until every autostarted program has come up or given up once.
fn phase(shared: &Shared) -> api::Phase {
    let supervisor = shared.supervisor.borrow();
    if supervisor.is_shutting_down() {
        api::Phase::Stopping
    } else if supervisor.snapshot().iter().any(is_in_first_start) {
        api::Phase::Starting
    } else {
        api::Phase::Running
    }
}

fn is_in_first_start(instance: &Instance) -> bool {
    let is_first = instance.past().next().is_none();
    is_first && matches!(instance.state(), State::Waiting | State::Starting)
}

pub(super) async fn programs(shared: &Shared, select: Option<&str>) -> Result<Answer, Problem> {
    let chosen: Vec<_> = chosen(&shared.supervisor.borrow(), select)?.into_iter().map(Instance::id).collect();
    let now = shared.clock.now();
    let text = slices::list(&shared.turns, b"[", chosen, b"]", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it since.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        serde_json::to_writer(text, &view::program(shared, instance, now))
    });
    slices::answer(StatusCode::OK, text.await)
}

/// The selected instances, or all.
pub(super) fn chosen<'a>(
    supervisor: &'a muster_core::Supervisor,
    select: Option<&str>,
) -> Result<Vec<&'a Instance>, Problem> {
    let Some(selector) = select.map(parse_selector).transpose()? else {
        return Ok(supervisor.snapshot().iter().collect());
    };
    let ids = supervisor.select(&selector).map_err(|pattern| no_such_program(supervisor, pattern))?;
    Ok(ids.into_iter().map(|id| supervisor.instance(id)).collect())
}

pub(super) fn program(shared: &Shared, name: &str, reader: Reader) -> Result<Answer, Problem> {
    let supervisor = shared.supervisor.borrow();
    let instance = supervisor.find(name).ok_or_else(|| no_such_instance(&supervisor, name))?;
    Ok(response::json(StatusCode::OK, &view::detail(shared, instance, shared.clock.now(), reader)))
}

pub(super) fn why(shared: &Shared, name: &str) -> Result<Answer, Problem> {
    let supervisor = shared.supervisor.borrow();
    let instance = supervisor.find(name).ok_or_else(|| no_such_instance(&supervisor, name))?;
    Ok(response::json(StatusCode::OK, &why::why(shared, instance, shared.clock.now())))
}

/// A program with several instances is not one of them.
pub(super) fn no_such_instance(supervisor: &muster_core::Supervisor, name: &str) -> Problem {
    let several = supervisor.snapshot().iter().any(|instance| instance.program().name == name);
    if several {
        let problem = Problem::no_such_program(vec![name.to_owned()]);
        return problem.with_hint(format!("it has several instances: {name}:0, {name}:1, …"));
    }
    no_such_program(supervisor, name)
}

/// Longer words are not mistyped names, and would take long to compare with many.
const LONGEST_MISTYPED: usize = 64;

/// This part of a selection chooses nothing. Says which name was probably meant.
pub(super) fn no_such_program(supervisor: &muster_core::Supervisor, pattern: &str) -> Problem {
    let problem = Problem::no_such_program(vec![pattern.to_owned()]);
    let (word, of_all) = pattern.strip_suffix(":*").map_or((pattern, ""), |owner| (owner, ":*"));
    if word.len() > LONGEST_MISTYPED || word.contains(['*', '?']) {
        return problem;
    }
    let instances = supervisor.snapshot().iter().filter(|instance| !instance.is_leaving());
    let names = instances.flat_map(|instance| {
        let program = instance.program();
        let groups = program.groups.iter().map(String::as_str);
        [program.name.as_str(), instance.name()].into_iter().chain(groups)
    });
    match nearest_name(word, names) {
        Some(name) => problem.with_hint(format!("did you mean \"{name}{of_all}\"?")),
        None => problem,
    }
}

pub(super) async fn readiness(shared: &Shared) -> Result<Answer, Problem> {
    let unready: Vec<_> = shared.supervisor.borrow().unready().map(Instance::id).collect();
    let is_ready = shared.supervisor.borrow().is_ready();
    let now = shared.clock.now();
    let open = format!("{{\"ready\":{is_ready},\"missing\":[");
    let text = slices::list(&shared.turns, open.as_bytes(), unready, b"]}", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it since.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        serde_json::to_writer(text, &view::missing(shared, instance, now))
    });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    slices::answer(status, text.await)
}
