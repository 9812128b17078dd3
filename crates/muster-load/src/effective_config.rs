//! The effective configuration of an instance under the keys of the configuration file, for the API.
//!
//! Values of environment variables and of headers are secrets: only their names are shown. Values from other secrets
//! are masked for all clients; values that look like a password are masked for clients that may only read.

mod changes;
mod notifiers;
mod process;
mod schedule;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use muster_config::{Disguises, mask_text, mask_words};
use muster_core::Instance;
use muster_spec::arrange::Gather;
use muster_spec::{
    CheckSpec, ControlSpec, DaemonSpec, Essential, Growth, Hook, HookSpec, InstanceSpec, Jitter, Limit, ListenSpec,
    MemoryLimit, OutputSpec, Preset, ProbeSpec, ProgramSpec, ReadySpec, Recycle, Reset, RestartPolicy, Role, Rolling,
    Sink, StartDelay, Target, TlsSpec, UserSpec,
};
use serde_json::{Map, Value, json};

pub use self::changes::{Planned, changes};
pub use self::notifiers::notifiers;
pub use self::schedule::cron_texts;
use crate::in_force::InForce;
use crate::secrets::Reader;

/// The configuration of this instance, as this reader may see it.
pub fn configuration(instance: &Instance, in_force: &InForce, reader: Reader) -> Value {
    shown((instance.program(), instance.spec()), &[&in_force.disguises, &in_force.earlier], reader)
}

fn shown((program, instance): (&ProgramSpec, &Arc<InstanceSpec>), known: &[&Disguises], reader: Reader) -> Value {
    // Without `..`: a new key does not compile before it is shown.
    let ProgramSpec {
        kind,
        autostart,
        start_on,
        start_delay,
        once,
        restart,
        schedule,
        startsecs,
        max_runtime,
        exit_codes,
        on_exit,
        depends_on,
        restart_with,
        priority,
        essential,
        stop,
        reload_signal,
        unshown: _,
        numprocs,
        rolling,
        recycle_after,
        watch,
        instances,
        name: _,
        groups: _,
        // Not keys: the configuration of another supervisor sets them.
        stop_unit: _,
        order: _,
    } = program;
    let disguise = known.iter().flat_map(|all| &all.instances).find(|disguise| disguise.real == *instance);
    let spec = disguise.map_or(&**instance, |disguise| &disguise.shown);
    let (process, output) = (&spec.process, &spec.output);
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("command", json!(process.command));
    put("type", json!(kind.name()));
    put("autostart", json!(autostart));
    put("start_on", json!(start_on.name()));
    put("start_delay", delay(*start_delay));
    put("once", json!(once));
    put("restart", json!(restart.when.name()));
    put("schedule", schedule.as_deref().map_or(Value::Null, schedule::schedule));
    put("startretries", startretries(restart.limit));
    put("startretries_forget", json!(restart.forget.name()));
    put("forgive_on_start", json!(restart.forgive_on_start));
    put("start_failures", json!(restart.start_failures.name()));
    put("restart_limit", restart_limit(restart.limit));
    put("startsecs", seconds(*startsecs));
    put("max_runtime", json!(max_runtime.map(seconds)));
    put("exitcodes", json!(exit_codes));
    let rules = on_exit.iter().map(|rule| (rule.on.to_string(), json!(rule.then.name())));
    put("on_exit", Value::Object(rules.gather()));
    put("backoff", backoff(restart));
    let depends_on = depends_on.iter().map(|on| (on.program.clone(), json!(on.condition.name())));
    put("depends_on", Value::Object(depends_on.gather()));
    put("restart_with", json!(restart_with));
    put("priority", json!(priority));
    put("numprocs", json!(instances.len()));
    put("numprocs_configured", json!(numprocs.configured));
    put("numprocs_min", json!(numprocs.least));
    put("numprocs_max", json!(numprocs.most));
    put("rolling", json!(rolling.map(turns)));
    put("recycle_after", json!(recycle_after.map(recycle)));
    put("watch", watch.as_deref().map_or(Value::Null, watch::watch));
    put(
        "essential",
        match essential {
            Essential::No => json!(false),
            Essential::Yes => json!(true),
            Essential::OnFailure => json!("on-failure"),
        },
    );
    put("stopsignal", stop.steps.iter().map(|step| step.signal.to_string()).collect());
    put("stopwaitsecs", stop.steps.iter().map(|step| seconds(step.patience)).collect());
    put("stop_scope", json!(stop.scope.name()));
    put("stop_kill", json!(stop.kill.name()));
    put("leftovers", json!(stop.leftovers.name()));
    put("leftover_wait", seconds(stop.leftover_wait));
    put("reloadsignal", json!(reload_signal.map(|signal| signal.to_string())));
    process::put(&mut keys, process);
    put_checks(&mut keys, spec);
    keys.insert("logs".to_owned(), logs(output));
    let rules = known.iter().flat_map(|all| &all.rules).filter(|(of, _)| *of == program.name).map(|(_, key)| *key);
    let hidden = disguise.into_iter().flat_map(|disguise| disguise.hidden.iter().copied());
    masked(keys, rules.chain(hidden), reader)
}

/// The same, together with the texts that its keys came from.
pub fn with_origin(instance: &Instance, in_force: &InForce, reader: Reader) -> Value {
    let mut shown = configuration(instance, in_force, reader);
    shown["origin"] = in_force.disguises.origins.get(&instance.program().name).map_or(Value::Null, |keys| {
        let mut texts: Map<String, Value> = Map::new();
        for &(key, file) in keys {
            let file = in_force.files.get(file as usize).map(|path| path.display().to_string());
            if let Value::Array(list) = texts.entry(key).or_insert_with(|| json!([])) {
                list.push(json!(file));
            }
        }
        Value::Object(texts)
    });
    shown
}

/// Masks these keys, and everything that looks secret if the reader may only read.
fn masked(mut keys: Map<String, Value>, hidden: impl Iterator<Item = &'static str>, reader: Reader) -> Value {
    for key in hidden {
        keys.insert(key.to_owned(), json!("***"));
    }
    if reader == Reader::Look {
        keys.iter_mut().for_each(|(key, value)| mask_value(key, value));
    }
    Value::Object(keys)
}

fn mask_value(key: &str, value: &mut Value) {
    match value {
        Value::String(text) => *text = mask_text(text),
        Value::Array(items) if matches!(key, "command" | "exec") => {
            let words: Vec<String> = items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
            *value = json!(mask_words(&words));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_value(key, item)),
        Value::Object(keys) => keys.iter_mut().for_each(|(key, value)| mask_value(key, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `[musterd]`.
pub fn daemon(in_force: &InForce, reader: Reader) -> Value {
    let keys = daemon_keys(&in_force.daemon);
    masked(keys.as_object().cloned().unwrap_or_default(), in_force.disguises.musterd.iter().copied(), reader)
}

fn daemon_keys(daemon: &DaemonSpec) -> Value {
    let DaemonSpec {
        log_level,
        log_format,
        log_file,
        log_to_stdout,
        log_to_syslog,
        log_rotation,
        shutdown_timeout,
        shutdown_order,
        exit_status,
        second_signal,
        rpc_during_shutdown,
        least_limits: _,
        exit_when_done,
        max_parallel_starts,
        user: own_user,
        pidfile,
        umask,
        directory,
        watch,
        state_dir,
        timezone,
        syslog,
        // Programs show the names of their files.
        auto_logs: _,
    } = daemon;
    json!({
        "loglevel": log_level.name(),
        "logformat": log_format.name(),
        "logfile": log_file.as_ref().map_or(json!(if *log_to_syslog { "syslog" } else { "-" }), |path| json!(path)),
        "log_to_stdout": log_to_stdout,
        "logfile_max_size": log_rotation.max_size,
        "logfile_max_files": log_rotation.max_files,
        "logfile_compress": log_rotation.compress,
        "shutdown_timeout": shutdown_timeout.limit().map_or(json!("unlimited"), seconds),
        "shutdown": shutdown_order.name(),
        "exit_status": exit_status.name(),
        "second_signal": second_signal.name(),
        "rpc_during_shutdown": rpc_during_shutdown.name(),
        "exit_when_done": exit_when_done,
        "max_parallel_starts": max_parallel_starts,
        "user": own_user.as_ref().map(user),
        "pidfile": pidfile,
        "umask": format!("{:03o}", umask),
        "directory": directory,
        "watch": watch,
        "state_dir": state_dir,
        "timezone": timezone,
        "syslog": syslog.address.to_string(),
        "syslog_format": syslog.format().name(),
        "syslog_facility": syslog.facility.name(),
    })
}

/// `[http]`.
pub fn control(in_force: &InForce, reader: Reader) -> Value {
    let keys = control_keys(&in_force.control);
    masked(keys.as_object().cloned().unwrap_or_default(), in_force.disguises.http.iter().copied(), reader)
}

fn control_keys(control: &ControlSpec) -> Value {
    let ControlSpec {
        socket,
        mode,
        owner,
        allow_users,
        readonly_users,
        // Shown with each listener; a password never is.
        authentication: _,
        listeners,
        identities: _,
        allow_hosts,
        allow_origins,
        exec,
        debug,
        secret_files: _,
    } = control;
    let listen: Vec<Value> = listeners.iter().map(listener).collect();
    json!({
        "socket": socket,
        "mode": format!("{:04o}", mode),
        "owner": owner.as_ref().map(user),
        "allow_users": allow_users,
        "readonly_users": readonly_users,
        "listen": listen,
        "allow_hosts": allow_hosts,
        "allow_origins": allow_origins,
        "exec": exec.name(),
        "debug": debug,
    })
}

fn listener(listener: &ListenSpec) -> Value {
    json!({
        "address": listener.address.to_string(),
        "role": listener.role.name(),
        "anyone": listener.anyone.map(Role::name),
        "connections": listener.connections,
        "tls": listener.tls.as_ref().map(tls),
    })
}

fn tls(tls: &TlsSpec) -> Value {
    let client = tls.client.as_ref();
    json!({
        "cert": tls.cert.path,
        "key": tls.key.path,
        "min": tls.min.name(),
        "client_ca": client.map(|client| &client.ca.path),
        "client": client.map(|client| client.mode.name()),
        "client_crl": client.and_then(|client| Some(&client.crl.as_ref()?.path)),
    })
}

fn put_checks(keys: &mut Map<String, Value>, spec: &InstanceSpec) {
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("ready", spec.ready.as_ref().map_or(Value::Null, ready));
    put("start_timeout", seconds(spec.start_timeout));
    put("watchdog", seconds(spec.watchdog.unwrap_or_default()));
    put("memory_max", json!(spec.memory_max.map(memory_max)));
    let probes = spec.probes.iter().map(|spec| (spec.name.clone(), probe(spec)));
    put("probes", Value::Object(probes.gather()));
    for hook in Hook::EVERY {
        put(hook.name(), spec.hooks.get(hook).map_or(Value::Null, |it| of_hook(it)));
    }
}

fn of_hook(hook: &HookSpec) -> Value {
    let HookSpec { command, timeout, user: of, ignores_failure, once } = hook;
    json!({
        "command": command,
        "timeout": seconds(*timeout),
        "user": of.as_ref().map(user),
        "on_failure": if *ignores_failure { "ignore" } else { "fail" },
        "once": once,
    })
}

fn turns(Rolling { parallel, pause, wait }: Rolling) -> Value {
    json!({ "parallel": parallel, "pause": seconds(pause), "wait": wait.name() })
}

fn recycle(Recycle { after, jitter }: Recycle) -> Value {
    json!({ "after": seconds(after), "jitter": seconds(jitter) })
}

fn delay(StartDelay { delay, stagger }: StartDelay) -> Value {
    json!({ "delay": seconds(delay), "stagger": seconds(stagger) })
}

fn memory_max(limit: MemoryLimit) -> Value {
    let MemoryLimit { max, over, period, action, count } = limit;
    json!({
        "max": max,
        "for": seconds(over),
        "period": seconds(period),
        "action": action.name(),
        "count": count.name(),
    })
}

fn ready(ready: &ReadySpec) -> Value {
    match ready {
        ReadySpec::Notify => json!("notify"),
        ReadySpec::Fd(fd) => json!({ "fd": fd }),
        ReadySpec::Log(regex) => json!({ "log": regex }),
        ReadySpec::Check(spec) => Value::Object(check(spec)),
    }
}

/// The kind of a check, and its target. The values of headers are secrets.
fn check(spec: &CheckSpec) -> Map<String, Value> {
    let (kind, value) = match spec {
        CheckSpec::Tcp(address) => ("tcp", json!(address.to_string())),
        CheckSpec::Exec(command) => ("exec", json!(command)),
        CheckSpec::Http(check) => {
            let headers = check.headers.iter().map(|(name, _)| (name.clone(), json!("***")));
            ("http", json!({ "url": check.url.to_string(), "headers": Value::Object(headers.gather()) }))
        }
    };
    Map::from_iter([(kind.to_owned(), value)])
}

fn probe(spec: &ProbeSpec) -> Value {
    let mut keys = check(&spec.check);
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("kind", json!(spec.kind.name()));
    put("period", seconds(spec.period));
    put("timeout", seconds(spec.timeout));
    put("initial_delay", seconds(spec.initial_delay));
    put("success_threshold", json!(spec.success_threshold));
    put("failure_threshold", json!(spec.failure_threshold));
    put("on_failure", json!(spec.on_failure.name()));
    Value::Object(keys)
}

fn startretries(limit: Limit) -> Value {
    match limit {
        Limit::Unlimited => json!("unlimited"),
        Limit::Retries(retries) => json!(retries),
        Limit::Rate { .. } => Value::Null,
    }
}

fn restart_limit(limit: Limit) -> Value {
    match limit {
        Limit::Rate { starts, within, judged: _, then } => json!({
            "starts": starts,
            "within": seconds(within),
            "then": then.name(),
        }),
        Limit::Unlimited | Limit::Retries(_) => Value::Null,
    }
}

fn backoff(policy: &RestartPolicy) -> Value {
    let backoff = &policy.backoff;
    let (factor, steps) = match backoff.growth {
        Growth::Factor(factor) => (json!(factor), Value::Null),
        Growth::Linear => (json!("linear"), Value::Null),
        Growth::Steps(steps) => (Value::Null, json!(steps)),
    };
    json!({
        "preset": policy.preset.map(Preset::name),
        "delay": seconds(backoff.delay),
        "factor": factor,
        "steps": steps,
        "max": seconds(backoff.max),
        "jitter": match backoff.jitter {
            Jitter::Add(part) => json!(part),
            Jitter::UpTo(span) => json!({"up_to": seconds(span)}),
            Jitter::Full => json!("full"),
            Jitter::Equal => json!("equal"),
            Jitter::Decorrelated => json!("decorrelated"),
        },
        "first_at_once": backoff.first_at_once,
        "reset_after": match backoff.reset {
            Reset::AfterUp(span) => seconds(span),
            Reset::SinceStart { over, .. } => seconds(over),
            Reset::OnRunning => json!("running"),
            Reset::Never => Value::Null,
        },
    })
}

/// Seconds as a number; an unlimited span is `null`.
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
        "format": output.format.name(),
        "timestamps": output.timestamps,
        "max_size": output.rotation.stdout.max_size,
        "max_files": output.rotation.stdout.max_files,
        "compress": output.rotation.stdout.compress,
        "stderr_max_size": output.rotation.stderr.max_size,
        "stderr_max_files": output.rotation.stderr.max_files,
        "strip_ansi": output.strip_ansi.stdout,
        "stdout_events": output.events.stdout.log,
        "stderr_events": output.events.stderr.log,
        "stdout_capture": output.events.stdout.capture,
        "stderr_capture": output.events.stderr.capture,
        "mode": format!("{:04o}", output.file_mode),
        "owner": output.file_owner.as_ref().map(user),
        "buffer_size": output.buffer_size,
        "memory": muster_logs::remembered(output),
        "overflow": output.overflow.name(),
        "rate_limit": output.rate_limit.map(|limit| format!("{}/{}", limit.lines, rate_unit(limit.per))),
    })
}

/// The unit with this length; the configuration has no others.
fn rate_unit(per: Duration) -> &'static str {
    match per.as_secs() {
        1 => "s",
        60 => "m",
        _ => "h",
    }
}

fn target(target: &Target) -> Value {
    match target {
        Target::Inherit => json!("inherit"),
        Target::Discard => json!("none"),
        Target::Capture(sinks) if sinks.is_empty() => json!("memory"),
        Target::Capture(sinks) => sinks
            .iter()
            .map(|sink| match sink {
                Sink::Console => json!("console"),
                Sink::File(path) | Sink::Descriptor(path) | Sink::Auto(Some(path)) => json!(path),
                Sink::Auto(None) => json!("auto"),
                Sink::Syslog => json!("syslog"),
            })
            .collect(),
    }
}
