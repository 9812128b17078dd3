//! Handlers of the configuration: showing the active one, checking the files, and reloading.

use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use muster_api::{Config, Problem, ProblemKind, ScaleBody, SourceVerb};
use muster_core::{Instance, Principal};
use muster_load::effective_config;
use muster_load::secrets::Reader;
use serde_json::{Map, Value};

use super::slices;
use crate::operations::select::no_such_program;
use crate::reload::{self, How, Origin};
use crate::shared::Shared;
use muster_server::request_body;
use muster_server::response::{self, Answer};

/// How long a refresh waits for the server.
const REFRESH: Duration = Duration::from_secs(5);

/// The active configuration.
pub(super) async fn in_force(shared: &Shared, reader: Reader) -> Result<Answer, Problem> {
    let head = head(shared, reader);
    // The programs come last, one by one.
    let open = head.strip_suffix("}}").unwrap_or_default().as_bytes();
    let ids: Vec<_> = shared.supervisor.borrow().snapshot().iter().map(Instance::id).collect();
    let text = slices::list(&shared.turns, open, ids, b"}}", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it in the meantime.
        let Some(instance) = supervisor.get(id) else { return Ok(()) };
        serde_json::to_writer(&mut *text, instance.name())?;
        text.push(b':');
        let in_force = shared.configuration.in_force();
        serde_json::to_writer(text, &effective_config::with_origin(instance, &in_force, reader))
    });
    slices::answer(StatusCode::OK, text.await)
}

/// Everything but the programs.
fn head(shared: &Shared, reader: Reader) -> String {
    let in_force = shared.configuration.in_force();
    let config = Config {
        files: in_force.files.iter().map(|path| path.display().to_string()).collect(),
        musterd: effective_config::daemon(&in_force, reader),
        http: effective_config::control(&in_force, reader),
        notify: effective_config::notifiers(&in_force, reader),
        programs: Value::Object(Map::new()),
    };
    serde_json::to_string(&config).unwrap_or_default()
}

/// Checks the files, and reports errors.
pub(super) async fn check(shared: &Rc<Shared>) -> Result<Answer, Problem> {
    Ok(response::json(StatusCode::OK, &reload::check(shared).await?))
}

/// All sources.
pub(super) fn sources(shared: &Shared) -> Answer {
    response::json(StatusCode::OK, &shared.configuration.sources.reports())
}

/// Holds, releases or refreshes a source.
pub(super) async fn act_on_source(
    shared: &Shared,
    (verb, name): (SourceVerb, &str),
    span: Option<Duration>,
) -> Result<Answer, Problem> {
    let known = &shared.configuration.sources;
    let is_known = match verb {
        SourceVerb::Hold => known.hold(name, span),
        SourceVerb::Release => known.release(name),
        SourceVerb::Refresh => known.forgive(name),
    };
    if !is_known {
        return Err(Problem::new(ProblemKind::NoSuchSource, format!("no such source: {name:?}")));
    }
    if verb == SourceVerb::Refresh {
        known.refresh(Some(name), REFRESH).await;
    }
    Ok(sources(shared))
}

/// Reads the files again and applies the differences.
pub(super) async fn reload(
    shared: &Rc<Shared>,
    (by, reader): (Principal, Reader),
    (dry_run, resets_scale): (bool, bool),
) -> Result<Answer, Problem> {
    let how = How { dry_run, resets_scale, reader: Some(reader) };
    Ok(response::json(StatusCode::OK, &reload::reload(shared, Origin::Client(by), how).await?))
}

/// Changes the number of instances of a program.
pub(super) async fn scale(
    shared: &Rc<Shared>,
    by: Principal,
    (name, wait): (String, Duration),
    body: &[u8],
) -> Result<Answer, Problem> {
    let body: Option<ScaleBody> = request_body::parse(body)?;
    let Some(ScaleBody { numprocs }) = body else {
        let problem = Problem::new(ProblemKind::BadBody, "the number of instances is missing");
        return Err(problem.with_hint(r#"send a body such as {"numprocs": 4}"#));
    };
    match reload::scale::scale(shared, by, (name.clone(), wait), numprocs).await? {
        Some(report) => Ok(response::json(StatusCode::OK, &report)),
        None => Err(no_such_program(&shared.supervisor.borrow(), &name)),
    }
}
