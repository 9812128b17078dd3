//! The effective configuration of an instance under the keys of the configuration file, for the API.
//!
//! Values of the environment are secrets: only their names are shown.

use std::time::Duration;

use muster_core::Instance;
use muster_core::restart::{Backoff, Growth, Limit, Reset, RestartWhen};
use muster_core::spec::{Kind, OutputSpec, ProcessSpec, Sink, StopScope, Target, UserSpec};
use serde_json::{Map, Value, json};

/// Everything that is configured for this instance.
pub(crate) fn configuration(instance: &Instance) -> Value {
    let program = instance.program();
    let (process, output) = (&instance.spec().process, &instance.spec().output);
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("command", json!(process.command));
    put("type", json!(if program.kind == Kind::Oneshot { "oneshot" } else { "service" }));
    put("autostart", json!(program.autostart));
    put("restart", json!(restart(program.restart.when)));
    put("startretries", startretries(program.restart.limit));
    put("startsecs", seconds(program.startsecs));
    put("exitcodes", json!(program.exit_codes));
    put("backoff", backoff(&program.restart.backoff));
    put("priority", json!(program.priority));
    put("numprocs", json!(program.instances.len()));
    put("essential", json!(program.essential));
    put("stopsignal", program.stop.steps.iter().map(|step| step.signal.to_string()).collect());
    put("stopwaitsecs", program.stop.steps.iter().map(|step| seconds(step.patience)).collect());
    put("stop_scope", json!(if program.stop.scope == StopScope::Group { "group" } else { "main" }));
    put("reloadsignal", json!(program.reload_signal.map(|signal| signal.to_string())));
    put_process(&mut keys, process);
    keys.insert("logs".to_owned(), logs(output));
    Value::Object(keys)
}

fn put_process(keys: &mut Map<String, Value>, process: &ProcessSpec) {
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("user", json!(process.user.as_ref().map(user)));
    put("groups", json!(process.groups));
    put("directory", json!(process.directory));
    put("umask", json!(process.umask.map(|umask| format!("{umask:03o}"))));
    put("nice", json!(process.nice));
    put("oom_score_adj", json!(process.oom_score_adj));
    put("clean_environment", json!(process.clean_environment));
    let hidden = process.environment.iter().map(|(name, _)| (name.clone(), json!("***")));
    put("environment", Value::Object(hidden.collect()));
    let rlimits = process.rlimits.iter().map(|rlimit| {
        let value = |limit: Option<u64>| limit.map_or(json!("unlimited"), |limit| json!(limit));
        (rlimit.resource.name().to_owned(), json!({"soft": value(rlimit.soft), "hard": value(rlimit.hard)}))
    });
    put("rlimits", Value::Object(rlimits.collect()));
}

fn restart(when: RestartWhen) -> &'static str {
    match when {
        RestartWhen::Never => "no",
        RestartWhen::OnFailure => "on-failure",
        RestartWhen::Always => "always",
        RestartWhen::UnlessStopped => "unless-stopped",
    }
}

fn startretries(limit: Limit) -> Value {
    match limit {
        Limit::Unlimited => json!("unlimited"),
        Limit::Retries(retries) => json!(retries),
        Limit::Rate { starts, within } => json!({"starts": starts, "within": seconds(within)}),
    }
}

fn backoff(backoff: &Backoff) -> Value {
    json!({
        "delay": seconds(backoff.delay),
        "factor": match backoff.growth { Growth::Factor(factor) => json!(factor), Growth::Linear => json!("linear") },
        "max": seconds(backoff.max),
        "jitter": backoff.jitter,
        "first_at_once": backoff.first_at_once,
        "reset_after": match backoff.reset {
            Reset::AfterUp(span) => seconds(span),
            Reset::OnRunning => json!("running"),
        },
    })
}

/// Seconds as a number; a span without end has none.
fn seconds(span: Duration) -> Value {
    if span == Duration::MAX { Value::Null } else { json!(span.as_secs_f64()) }
}

fn user(user: &UserSpec) -> String {
    match &user.group {
        Some(group) => format!("{}:{group}", user.user),
        None => user.user.clone(),
    }
}

fn logs(output: &OutputSpec) -> Value {
    json!({
        "stdout": target(&output.stdout),
        "stderr": output.stderr.as_ref().map_or(json!("stdout"), target),
    })
}

fn target(target: &Target) -> Value {
    match target {
        Target::Inherit => json!("inherit"),
        Target::Discard => json!("none"),
        Target::Capture(sinks) => sinks
            .iter()
            .map(|sink| match sink {
                Sink::Console => json!("console"),
                Sink::File(path) => json!(path),
            })
            .collect(),
    }
}
