//! A process: its user, limits, environment and sockets. Only the names of variables are shown.

use std::path::Path;

use muster_spec::arrange::Gather;
use muster_spec::{Privileges, ProcessSpec, Scheduling, SocketOptions, SocketSpec, TerminalSpec};
use serde_json::{Map, Value, json};

use super::user;

/// The keys of the process.
pub(super) fn put(keys: &mut Map<String, Value>, process: &ProcessSpec) {
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("user", json!(process.user.as_ref().map(user)));
    put("groups", json!(process.groups));
    put("directory", json!(process.directory));
    put("umask", json!(process.umask.map(|umask| format!("{umask:03o}"))));
    put("nice", json!(process.nice));
    put("oom_score_adj", json!(process.oom_score_adj));
    let Scheduling { io, policy, cpus } = &process.scheduling;
    put("ionice", json!(io.map(|io| io.to_string())));
    put("sched", json!(policy.map(|policy| policy.to_string())));
    put("cpus", json!(cpus.as_ref().map(|cpus| cpus.to_string())));
    let path = process.stdin_path.as_ref().map(|path| format!(":{}", path.display()));
    put("stdin", json!(format!("{}{}", process.stdin.name(), path.unwrap_or_default())));
    put("tty", process.terminal.as_ref().map_or(json!(false), terminal));
    let events = process.listener.iter().flat_map(|listener| &listener.events).map(|kind| kind.name());
    put("events", events.chain(process.feed.iter().map(|kind| kind.name())).collect());
    put("listener", json!(process.listener.as_ref().map(|listener| listener.mode.name())));
    put("event_buffer_size", json!(process.listener.as_ref().map(|listener| listener.buffer_size)));
    put("ignore_signals", process.ignore_signals.iter().map(|signal| signal.to_string()).collect());
    put("clean_environment", json!(process.clean_environment));
    put("login_environment", json!(process.login_environment));
    let hidden = process.environment.iter().map(|(name, _)| (name.clone(), json!("***")));
    let removed = process.unset.iter().map(|name| (name.clone(), Value::Null));
    put("environment", Value::Object(hidden.chain(removed).gather()));
    let rlimits = process.rlimits.iter().map(|rlimit| {
        let value = |limit: Option<u64>| limit.map_or(json!("unlimited"), |limit| json!(limit));
        (rlimit.resource.name().to_owned(), json!({"soft": value(rlimit.soft), "hard": value(rlimit.hard)}))
    });
    put("rlimits", Value::Object(rlimits.gather()));
    let secrets = process.secrets.iter();
    let secrets = secrets.map(|spec| (spec.name.clone(), json!(optional(&spec.path, spec.may_be_missing))));
    put("secrets", Value::Object(secrets.gather()));
    let credentials = process.credentials.iter();
    put(
        "credentials",
        credentials.map(|spec| json!(format!("{}={}", spec.name, optional(&spec.path, spec.may_be_missing)))).collect(),
    );
    let Privileges { capabilities, no_new_privileges, securebits } = process.privileges;
    put("capabilities", json!(capabilities.map(|set| set.names().collect::<Vec<_>>())));
    put("no_new_privileges", json!(no_new_privileges));
    put("securebits", securebits.names().collect());
    put("sockets", process.sockets.iter().map(socket).collect());
}

fn terminal(terminal: &TerminalSpec) -> Value {
    let TerminalSpec { rows, columns, term } = terminal;
    json!({"rows": rows, "cols": columns, "term": term})
}

/// The path of a file, as it is written where it may be missing.
fn optional(path: &Path, may_be_missing: bool) -> String {
    format!("{}{}", if may_be_missing { "?" } else { "" }, path.display())
}

fn socket(spec: &SocketSpec) -> Value {
    // Not a key: the configuration of another supervisor sets `replaces`.
    let SocketSpec { name, address, backlog, mode, owner, options, keep, is_stdin, replaces: _ } = spec;
    let SocketOptions { reuse_port, v6only, freebind, nodelay } = options;
    json!({
        "name": name,
        "listen": address.to_string(),
        "backlog": backlog,
        "mode": format!("{mode:04o}"),
        "owner": owner.as_ref().map(user),
        "reuse_port": reuse_port,
        "v6only": v6only,
        "freebind": freebind,
        "nodelay": nodelay,
        "keep": keep.name(),
        "stdin": is_stdin,
    })
}
