//! Handlers of the configuration: showing the active one, checking the files, and reloading.

use std::rc::Rc;

use hyper::StatusCode;
use muster_api::{Config, Problem};
use muster_core::{Instance, Principal};
use muster_load::effective_config;
use muster_load::secrets::Reader;
use serde_json::{Map, Value};

use super::response::{self, Answer};
use super::slices;
use crate::reload::{self, Origin};
use crate::shared::Shared;

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
        serde_json::to_writer(text, &effective_config::configuration(instance, &in_force, reader))
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
        programs: Value::Object(Map::new()),
    };
    serde_json::to_string(&config).unwrap_or_default()
}

/// Checks the files, and reports errors.
pub(super) async fn check(shared: &Rc<Shared>) -> Result<Answer, Problem> {
    Ok(response::json(StatusCode::OK, &reload::check(shared).await?))
}

/// Reads the files again and applies the differences.
pub(super) async fn reload(shared: &Rc<Shared>, by: Principal, dry_run: bool) -> Result<Answer, Problem> {
    Ok(response::json(StatusCode::OK, &reload::reload(shared, Origin::Client(by), dry_run).await?))
}
