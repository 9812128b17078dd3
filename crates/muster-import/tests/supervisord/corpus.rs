//! Real configurations: each must be read as supervisor 4.2.5 read it, field by field.
//!
//! The texts are other people's and not part of this repository: `MUSTER_CORPUS` names their folder. Beside `FILE` (or
//! the folder `bundle--NAME`) is `FILE.json`, what the original made of it and with which environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_import::supervisord::{
    Address, Autorestart, Configuration, FcgiAddress, Group, GroupKind, Kind, LogFile, Mistakes, Mode, Owner, Process,
    Section, Server, Stream, User, Warning, read, split_command,
};
use serde_json::{Map, Value, json};

use crate::machine::{Machine, corpus, number_of};
use crate::translation;

/// Where a recording differs: the case, its fields, and why. Differences of the reader itself are those of
/// `docs/how-to/come-from-supervisord.md`, which [`deviations`](crate::deviations) shows; no case has one.
const DEVIATIONS: [(&str, &[&str], &str); 2] = [
    (
        "DataDog+dd-agent+packaging__datadog-agent__source__supervisor.conf",
        &["supervisord.pidfile", "servers[0].file", "serverurl"],
        "the recorder's folder was below /tmp, which shows in `%(here)s/..`",
    ),
    (
        "Sverok+rm_voteit_buildout+etc__supervisord.conf",
        &["supervisord.logfile", "supervisord.pidfile", "servers[0].file", "serverurl"],
        "the recorder's folder was below /tmp, which shows in `%(here)s/..`",
    ),
];

#[test]
fn real_configurations_are_read_as_the_original_reads_them() {
    let cases = corpus();
    if cases.is_empty() {
        return;
    }
    let mut differences = Vec::new();
    for case in &cases {
        let truth: Value = serde_json::from_slice(&std::fs::read(case).unwrap()).unwrap();
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        for (field, ours, real) in compare(case, &truth) {
            if !DEVIATIONS.iter().any(|(case, known, _)| *case == name && known.contains(&field.as_str())) {
                differences.push(format!("{name}: {field}\n  ours {ours}\n  real {real}"));
            }
        }
    }
    let count = cases.len();
    assert!(differences.is_empty(), "{} differences in {count} cases:\n{}", differences.len(), differences.join("\n"));
    eprintln!("{count} cases are equal");
}

type Difference = (String, Value, Value);

fn compare(case: &Path, truth: &Value) -> Vec<Difference> {
    let (machine, main) = Machine::of_case(case, truth);
    let mut differences = Vec::new();
    let mode = if truth["mode"] == "fragment" { Mode::Fragment } else { Mode::Main };
    if let Some(as_main) = truth.get("as_main").filter(|as_main| as_main.is_object()) {
        let error = read(&main, Mode::Main, &machine).err();
        let ours = error.map(|error| error.problems[0].original.clone());
        diff("as_main", json!(ours), as_main["error"].clone(), &mut differences);
    }
    let mut ours = match read(&main, mode, &machine) {
        Ok(configuration) => {
            translation::check(&configuration, &machine);
            whole(&configuration)
        }
        Err(mistakes) => mistaken(&mistakes),
    };
    // The recorder looked at the main file alone for these.
    if let Ok(alone) = read(&main, Mode::Fragment, &machine) {
        ours.push(("raw_sections".to_owned(), raw_sections(&alone)));
        ours.push(("unknown_options".to_owned(), unknown_options(&alone)));
    }
    let mut real = truth.clone();
    tidy(&mut real);
    for server in real["servers"].as_array_mut().into_iter().flatten() {
        let group = server["chown"][1].as_str().map(number_of);
        group.into_iter().for_each(|group| server["chown"][1] = json!(group));
    }
    for (key, value) in ours {
        diff(&key, value, real[&key].clone(), &mut differences);
    }
    differences
}

/// The recorder wrote two slashes at the beginning of an included file of a bundle, and numbers of users are invented.
fn tidy(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace("\"//", "\"/").replace("'//", "'/"),
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Object(map) if map.len() == 2 && map.contains_key("id") && map.contains_key("name") => {
            *value = map["name"].clone();
        }
        Value::Object(map) => map.values_mut().for_each(tidy),
        _ => {}
    }
}

/// The leaves in which two values differ.
fn diff(path: &str, ours: Value, real: Value, differences: &mut Vec<Difference>) {
    match (ours, real) {
        (ours, real) if ours == real => {}
        (Value::Object(ours), Value::Object(real)) => {
            let keys: BTreeSet<&String> = ours.keys().chain(real.keys()).collect();
            for key in keys {
                let part = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(json!("<missing>"));
                diff(&format!("{path}.{key}"), part(&ours), part(&real), differences);
            }
        }
        (Value::Array(ours), Value::Array(real)) if ours.len() == real.len() => {
            for (at, (ours, real)) in ours.into_iter().zip(real).enumerate() {
                diff(&format!("{path}[{at}]"), ours, real, differences);
            }
        }
        (ours, real) => differences.push((path.to_owned(), ours, real)),
    }
}

fn warnings(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().filter_map(|warning| warning.original.as_deref()).collect()
}

fn mistaken(mistakes: &Mistakes) -> Vec<(String, Value)> {
    vec![
        ("ok".to_owned(), json!(false)),
        ("error".to_owned(), json!(mistakes.problems[0].original)),
        ("infos".to_owned(), json!(mistakes.infos)),
    ]
}

fn whole(configuration: &Configuration) -> Vec<(String, Value)> {
    let fields = [
        ("ok", json!(true)),
        ("supervisord", settings(configuration)),
        ("servers", configuration.servers.iter().map(|one| server(configuration, one)).collect()),
        ("serverurl", json!(configuration.server_url)),
        ("groups", configuration.groups.iter().map(|one| group(configuration, one)).collect()),
        ("rpcinterfaces", configuration.plugins.iter().map(plugin).collect()),
        ("warnings", json!(warnings(&configuration.warnings))),
        ("infos", json!(configuration.infos)),
        ("unknown_sections", unknown_sections(configuration)),
    ];
    fields.map(|(key, value)| (key.to_owned(), value)).into()
}

fn plugin(plugin: &muster_import::supervisord::Plugin) -> Value {
    let extras: Map<String, Value> = plugin.extras.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({ "name": plugin.name, "factory": plugin.factory, "extras": extras })
}

fn octal(number: i64) -> String {
    format!("0{number:o}")
}

fn name(user: &User) -> &str {
    &user.name
}

fn owner(owner: Option<&Owner>) -> Option<Value> {
    owner.map(|owner| json!(name(&owner.user)))
}

fn settings(configuration: &Configuration) -> Value {
    let settings = &configuration.supervisord;
    json!({
        "nodaemon": settings.nodaemon,
        "silent": settings.silent,
        "user": settings.user,
        "umask": octal(settings.umask),
        "directory": settings.directory,
        "logfile": settings.logfile,
        "logfile_maxbytes": settings.logfile_maxbytes,
        "logfile_backups": settings.logfile_backups,
        "pidfile": settings.pidfile,
        "identifier": settings.identifier,
        "childlogdir": settings.childlogdir,
        "minfds": settings.minfds,
        "minprocs": settings.minprocs,
        "nocleanup": settings.nocleanup,
        "strip_ansi": settings.strip_ansi,
        "loglevel": settings.loglevel.name(),
        "environment": settings.environment.iter().collect::<BTreeMap<_, _>>(),
    })
}

fn server(configuration: &Configuration, server: &Server) -> Value {
    let login = server.login.as_ref();
    let mut value = json!({
        "name": server.name,
        "username": login.map(|login| &login.username),
        "password": login.map(|login| &login.password),
        "section": configuration.sections[server.section].name,
    });
    let rest = match &server.address {
        Address::Inet { host, port } => json!({ "family": "inet", "host": host, "port": port }),
        Address::Unix { file, chmod, chown } => {
            let user = owner(chown.as_ref()).unwrap_or(json!(-1));
            let group = chown.as_ref().and_then(|owner| owner.group).map_or(-1, i64::from);
            json!({ "family": "unix", "file": file, "chmod": octal(*chmod), "chown": [user, group] })
        }
    };
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    value
}

fn group(configuration: &Configuration, group: &Group) -> Value {
    let processes: Vec<Value> = group.processes.iter().map(|one| process(configuration, &group.kind, one)).collect();
    let mut value = json!({ "name": group.name, "priority": group.priority, "processes": processes });
    let rest = match &group.kind {
        GroupKind::Mixed | GroupKind::Program => json!({ "type": "group" }),
        GroupKind::Listener { buffer_size, events, result_handler } => json!({
            "type": "eventlistener",
            "buffer_size": buffer_size,
            "events": events,
            "result_handler": result_handler,
        }),
        GroupKind::Fcgi(socket) => {
            let (mode, user) = match &socket.address {
                FcgiAddress::Tcp { .. } => (None, None),
                FcgiAddress::Unix { mode, owner: user, .. } => (Some(octal(*mode)), owner(user.as_ref())),
            };
            let url = socket.address.url();
            json!({ "type": "fcgi", "socket": { "url": url, "backlog": socket.backlog, "mode": mode, "owner": user } })
        }
    };
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    value
}

fn logfile(stream: &Stream) -> Value {
    match &stream.logfile {
        LogFile::Auto => json!("AUTO"),
        LogFile::None => Value::Null,
        LogFile::Path(path) => json!(path),
    }
}

fn process(configuration: &Configuration, kind: &GroupKind, process: &Process) -> Value {
    let class = match kind {
        GroupKind::Mixed | GroupKind::Program => "ProcessConfig",
        GroupKind::Listener { .. } => "EventListenerConfig",
        GroupKind::Fcgi(_) => "FastCGIProcessConfig",
    };
    let autorestart = match process.autorestart {
        Autorestart::Never => "false",
        Autorestart::Unexpected => "unexpected",
        Autorestart::Always => "true",
    };
    let mut value = json!({
        "class": class,
        "name": process.name,
        "command": process.command,
        "argv": split_command(&process.command).ok(),
        "directory": process.directory,
        "umask": process.umask.map(octal),
        "priority": process.priority,
        "autostart": process.autostart,
        "autorestart": autorestart,
        "startsecs": process.startsecs,
        "startretries": process.startretries,
        "uid": process.user.as_ref().map(name),
        "stopsignal": process.stopsignal.name(),
        "stopsignal_number": process.stopsignal.0,
        "stopwaitsecs": process.stopwaitsecs,
        "stopasgroup": process.stopasgroup,
        "killasgroup": process.killasgroup,
        "exitcodes": process.exitcodes,
        "redirect_stderr": process.redirect_stderr,
        "environment": configuration.environment(process),
        "serverurl": process.serverurl,
    });
    let fields = value.as_object_mut().unwrap();
    for (name, stream) in [("stdout", &process.stdout), ("stderr", &process.stderr)] {
        fields.insert(format!("{name}_logfile"), logfile(stream));
        fields.insert(format!("{name}_logfile_maxbytes"), json!(stream.maxbytes));
        fields.insert(format!("{name}_logfile_backups"), json!(stream.backups));
        fields.insert(format!("{name}_capture_maxbytes"), json!(stream.capture_maxbytes));
        fields.insert(format!("{name}_events_enabled"), json!(stream.events_enabled));
        fields.insert(format!("{name}_syslog"), json!(stream.syslog));
    }
    value
}

/// Sections as they were read, but the one that no text has.
fn raw_sections(configuration: &Configuration) -> Value {
    let is_written = |section: &&Section| section.place.line > 0 || !section.entries.is_empty();
    let sections = configuration.sections.iter().filter(is_written).map(|section| {
        let entries = section.entries.iter().map(|entry| (entry.key.clone(), json!(entry.written())));
        (section.name.clone(), Value::Object(entries.collect()))
    });
    Value::Object(sections.collect())
}

fn unknown_sections(configuration: &Configuration) -> Value {
    let sections = configuration.sections.iter().map(|section| &section.name);
    sections.filter(|name| Kind::of(name).is_none()).map(|name| json!(name)).collect()
}

fn unknown_options(configuration: &Configuration) -> Value {
    let is_unknown = |warning: &&Warning| warning.message.ends_with("is not a key that is read");
    let unknown = configuration.warnings.iter().filter(is_unknown);
    unknown.map(|warning| json!([warning.section, warning.option])).collect()
}
