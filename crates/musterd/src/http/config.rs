//! Handlers of the configuration: what is in force, what is wrong with the files, and the reload.

use std::rc::Rc;

use hyper::StatusCode;
use muster_api::{Config, Problem};
use serde_json::{Map, Value};

use super::response::{self, Answer};
use crate::effective;
use crate::reload::{self, Origin};
use crate::secrets::Reader;
use crate::shared::Shared;

/// What is in force.
pub(super) fn in_force(shared: &Shared, reader: Reader) -> Answer {
    let in_force = shared.configuration.in_force();
    let supervisor = shared.supervisor.borrow();
    let instances = supervisor.snapshot().iter();
    let programs: Map<String, Value> =
        instances.map(|it| (it.name().to_owned(), effective::configuration(it, &in_force, reader))).collect();
    let config = Config {
        files: in_force.files.iter().map(|path| path.display().to_string()).collect(),
        musterd: effective::daemon(&in_force, reader),
        http: effective::control(&in_force, reader),
        programs: Value::Object(programs),
    };
    response::json(StatusCode::OK, &config)
}

/// What is wrong with the files.
pub(super) async fn check(shared: &Rc<Shared>) -> Result<Answer, Problem> {
    Ok(response::json(StatusCode::OK, &reload::check(shared).await?))
}

/// Reads the files again and changes what differs.
pub(super) async fn reload(shared: &Rc<Shared>, dry_run: bool) -> Result<Answer, Problem> {
    Ok(response::json(StatusCode::OK, &reload::reload(shared, Origin::Socket, dry_run).await?))
}
