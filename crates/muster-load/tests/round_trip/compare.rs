//! The comparison, key by key. A difference is either without effect, and removed before, or named by the report.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use muster_convert::report::{Report, Verdict};
use muster_import::supervisord::{Configuration, Group, GroupKind, Process, namespec};
use muster_spec::{InstanceSpec, Spec, descriptor_of};
use serde_json::{Map, Value, json};

use crate::machine::number_of;

/// Keys that may differ, each with the words of the report's line about it.
const NAMED: [(&str, &[&str]); 26] = [
    // Names: `w:w_00` is `w:0`.
    ("numprocs", &["change scripts that use the names"]),
    ("numprocs_configured", &["change scripts that use the names"]),
    ("priority", &["in a group with priority"]),
    // Leftovers of a program that ends, and standard input.
    ("leftovers", &["left behind"]),
    ("stdin", &["standard input was an open pipe"]),
    ("environment", &["SUPERVISOR_SERVER_URL was set", "environment had references", "a variable named"]),
    // Listeners with a counterpart.
    ("essential", &["stopped supervisord when"]),
    ("probes", &["when its address failed"]),
    // References and paths that the files alone do not settle.
    ("command", &["command had references"]),
    ("directory", &["directory was relative", "directory had references", "for the daemon in the background"]),
    ("restart", &["autorestart depended"]),
    ("stopsignal", &["stopsignal=0"]),
    // AUTO, and descriptors other than a stream's own.
    ("logs/stdout", &["stdout_logfile was relative", "stdout_logfile had references", "stdout_logfile depended"]),
    ("logs/stdout", &["went to a file with a random name", "standard output went to standard error"]),
    ("logs/stderr", &["stderr_logfile was relative", "stderr_logfile had references", "stderr_logfile depended"]),
    ("logs/stderr", &["went to a file with a random name", "standard error went to standard output"]),
    // With redirect_stderr.
    ("logs/stderr", &["stdout_logfile was relative", "stdout_logfile depended"]),
    ("logs/format", &["put names before lines"]),
    ("logs/max_size", &["with another rotation"]),
    ("logs/max_files", &["with another rotation", "_logfile_backups="]),
    ("logs/stderr_max_size", &["with another rotation"]),
    ("logs/stderr_max_files", &["with another rotation", "_logfile_backups="]),
    // The daemon.
    ("logfile", &["its own messages went to", "logfile was relative"]),
    ("pidfile", &["wrote supervisord.pid", "pidfile was relative"]),
    ("socket", &["file was relative"]),
    ("umask", &["a umask for the daemon in the background"]),
];

/// Settings without an equivalent in TOML, in the words of the report; nothing else may be lost.
const LOST: [&str; 7] = [
    "a server on TCP port",
    "a second socket",
    "a password",
    "the Python plugin",
    "a plugin of supervisorctl",
    "an empty command, which fails at every start",
    "a command that fails at every start",
];

/// Whether these words of the report are about a server besides the first socket.
fn is_server(was: &str) -> bool {
    LOST[..2].iter().any(|words| was.starts_with(words))
}

const SERVER_URL: &str = "SUPERVISOR_SERVER_URL";

/// The comparison of a configuration with what was written.
pub(crate) struct Compared<'c> {
    report: &'c Report,
    model: &'c Configuration,
    /// Number of processes.
    pub(crate) count: usize,
    /// Differences that nothing names.
    pub(crate) wrong: Vec<String>,
}

impl<'c> Compared<'c> {
    pub(crate) fn new(report: &'c Report, model: &'c Configuration) -> Compared<'c> {
        Compared { report, model, count: 0, wrong: Vec::new() }
    }

    /// Checks that nothing else than expected is lost.
    pub(crate) fn losses(&mut self) {
        let lost = self.report.lines().iter().filter(|line| line.verdict == Verdict::Lost);
        let unexpected = lost.filter(|line| !LOST.iter().any(|words| line.was.starts_with(words)));
        self.wrong.extend(unexpected.map(ToString::to_string));
    }

    /// Compares `[musterd]` and `[http]`.
    pub(crate) fn daemon(&mut self, original: &Value, written: &Value) {
        let is_own = original["musterd"]["logfile"] == "syslog";
        let uses_syslog = is_own || original["programs"].to_string().contains("\"syslog\"");
        let mut both = [original, written].map(|shown| shown["musterd"].clone());
        for keys in both.iter_mut().filter_map(Value::as_object_mut) {
            // Settings of a file without the file, and of syslog without a message.
            if keys["logfile"] == "-" || keys["logfile"] == "/dev/null" || keys["logfile"] == "syslog" {
                keys.retain(|key, _| !key.starts_with("logfile_"));
            } else if keys["logfile_max_size"] == 0 {
                keys.remove("logfile_max_files");
            }
            if !uses_syslog {
                keys.remove("syslog_facility");
            }
            if keys["pidfile"] == "/dev/null" {
                keys["pidfile"] = Value::Null;
            }
            tidy_paths(keys, &["logfile", "pidfile", "directory"]);
        }
        self.objects("", "", &both[0], &both[1]);
        let mut both = [original, written].map(|shown| shown["http"].clone());
        // Passwords and users of supervisord's servers have no form in TOML.
        if self.report.lines().iter().any(|line| line.verdict == Verdict::Lost && is_server(&line.was)) {
            both.iter_mut().filter_map(Value::as_object_mut).for_each(|keys| drop(keys.remove("listen")));
        }
        for keys in both.iter_mut().filter_map(Value::as_object_mut) {
            tidy_paths(keys, &["socket"]);
            // Nothing executes a socket.
            let mode = u32::from_str_radix(keys["mode"].as_str().unwrap(), 8).unwrap() & 0o666;
            keys.insert("mode".to_owned(), json!(mode));
            if let Some((user, group)) = keys["owner"].as_str().and_then(|owner| owner.split_once(':')) {
                let group = group.parse().unwrap_or_else(|_| number_of(group));
                keys["owner"] = json!(format!("{user}:{group}"));
            }
        }
        self.objects("unix_http_server", "", &both[0], &both[1]);
    }

    /// Compares all processes.
    pub(crate) fn programs(&mut self, original: (&Spec, &Value), written: (&Spec, &Value)) {
        let model = self.model;
        let mut seen = Vec::new();
        for group in &model.groups {
            for process in &group.processes {
                let section = model.sections[process.section].name.clone();
                let name = namespec(&group.name, &process.name);
                // A second group of the same name never starts; the report has the reader's warning.
                let Some(of) = original.0.programs.iter().find(|program| program.name == name) else { continue };
                let found = find(written.0, &section, process);
                let Some(instance) = found else {
                    if !self.is_named(&section, &["left out", "numprocs="]) && !self.is_idiom(group) {
                        self.wrong.push(format!("{section}: no program for {name}"));
                    }
                    continue;
                };
                // The first of two processes with one name is not run by the original either.
                if seen.contains(&name) {
                    continue;
                }
                seen.push(name.clone());
                self.count += 1;
                let instance_name = &instance.name;
                let mut both =
                    [&original.1["programs"][&name], &written.1["programs"][instance_name]].map(Value::clone);
                both.iter_mut().for_each(|shown| tidy(shown.as_object_mut().unwrap()));
                both[0]["priority"] = json!(of.order.map_or(of.priority, |order| order.priority));
                self.objects(&section, "", &both[0], &both[1]);
                self.variables(&section, instance, process);
            }
        }
    }

    /// Whether a listener has become keys of other programs.
    fn is_idiom(&self, group: &Group) -> bool {
        let section = &self.model.sections[group.section].name;
        let words = ["stopped supervisord when", "put names before lines", "when its address failed"];
        matches!(group.kind, GroupKind::Listener { .. }) && self.is_named(section, &words)
    }

    fn variables(&mut self, section: &str, instance: &InstanceSpec, process: &Process) {
        let variables = instance.process.environment.iter();
        let ours: BTreeMap<&str, &str> = variables.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut real = self.model.environment(process);
        // The original's daemon sets it, and for a listener TOML does.
        let url = process.serverurl.as_deref().or(self.model.server_url.as_deref());
        if let Some(url) = url.filter(|url| ours.get(SERVER_URL) == Some(url)) {
            real.entry(SERVER_URL).or_insert(url);
        }
        if ours != real && !self.is_named(section, &["environment had references", "a variable named"]) {
            self.wrong.push(format!("{section}: environment: {ours:?}, original {real:?}"));
        }
    }

    fn objects(&mut self, section: &str, path: &str, original: &Value, written: &Value) {
        let none = Map::new();
        let [original, written] = [original, written].map(|value| value.as_object().unwrap_or(&none));
        for key in original.keys().chain(written.keys().filter(|key| !original.contains_key(*key))) {
            let path = format!("{path}{key}");
            let both = [original, written].map(|keys| keys.get(key).unwrap_or(&Value::Null));
            if key == "logs" {
                self.objects(section, "logs/", both[0], both[1]);
                continue;
            }
            let is_named = || NAMED.iter().any(|(name, words)| *name == path && self.is_named(section, words));
            if both[0] != both[1] && !is_named() {
                self.wrong.push(format!("{section}: {path}: {}, original {}", both[1], both[0]));
            }
        }
    }

    /// Whether a line of the report about this section, or about the whole, has one of these words.
    fn is_named(&self, section: &str, words: &[&str]) -> bool {
        self.report.lines().iter().any(|line| {
            let is_about = line.subject == section || line.subject.is_empty() || section.is_empty();
            let is_about = is_about || line.subject.starts_with("eventlistener:");
            is_about
                && words.iter().any(|word| [&line.was, &line.now, &line.advice].iter().any(|text| text.contains(word)))
        })
    }
}

/// The instance that was written for a process.
fn find<'s>(spec: &'s Spec, section: &str, process: &Process) -> Option<&'s InstanceSpec> {
    let base = section.split_once(':').unwrap().1.trim();
    let is_ours = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let clean: String = base.chars().map(|c| if is_ours(c) { c } else { '_' }).collect();
    let number = process.number;
    let names = [clean.clone(), format!("{clean}-{number}"), format!("{clean}-program"), format!("{clean}_")];
    names.iter().find_map(|name| {
        let program = spec.programs.iter().find(|program| program.name == *name)?;
        let first = program.instances.first()?.index;
        let at = match program.instances.len() {
            1 => 0,
            _ => usize::try_from(number - i64::from(first)).ok()?,
        };
        Some(&**program.instances.get(at)?)
    })
}

/// Removes what has no effect, and gives equal things one form.
fn tidy(keys: &mut Map<String, Value>) {
    if let Some(variables) = keys["environment"].as_object_mut() {
        // The daemon sets them for programs of TOML.
        let own = ["SUPERVISOR_ENABLED", "SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME"];
        variables.retain(|name, _| !own.contains(&name.as_str()));
    }
    if keys["user"].is_null() {
        keys.remove("login_environment");
    }
    tidy_paths(keys, &["directory"]);
    let logs = keys["logs"].as_object_mut().unwrap();
    logs["stdout"] = target(&logs["stdout"]);
    // Merged at the source, or sent to the same place.
    let stdout = logs["stdout"].clone();
    logs["stderr"] = if logs["stderr"] == "stdout" { stdout } else { target(&logs["stderr"]) };
    let has = |target: &Value, is_wanted: fn(&str) -> bool| {
        target.as_array().is_some_and(|sinks| sinks.iter().any(|sink| sink.as_str().is_some_and(is_wanted)))
    };
    let is_file = |target: &Value| has(target, |sink| sink.starts_with('/'));
    let is_console = |target: &Value| has(target, |sink| sink == "console");
    let targets = [logs["stdout"].clone(), logs["stderr"].clone()];
    if !targets.iter().any(is_console) {
        logs.remove("format");
    }
    for (target, prefix) in targets.iter().zip(["", "stderr_"]) {
        let is_rotated = is_file(target) && logs[&format!("{prefix}max_size")] != 0;
        if !is_rotated {
            logs.remove(&format!("{prefix}max_files"));
        }
        if !is_file(target) || targets[0] == targets[1] && prefix == "stderr_" {
            logs.remove(&format!("{prefix}max_size"));
            logs.remove(&format!("{prefix}max_files"));
        }
    }
}

/// A target whose descriptors of the daemon are the console.
fn target(target: &Value) -> Value {
    let one = |sink: &Value| match sink.as_str() {
        Some(path) if matches!(descriptor_of(Path::new(path)), Some(1 | 2)) => json!("console"),
        Some(path) if path.starts_with('/') => json!(tidy_path(path)),
        _ => sink.clone(),
    };
    match target {
        Value::Array(sinks) => sinks.iter().map(one).collect(),
        word => word.clone(),
    }
}

fn tidy_paths(keys: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if let Some(path) = keys[*name].as_str().filter(|path| path.starts_with('/')) {
            keys[*name] = json!(tidy_path(path));
        }
    }
}

/// A path without `.` and `..`, which only one of the two readers resolves.
fn tidy_path(path: &str) -> String {
    let mut tidy = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => _ = tidy.pop(),
            part => tidy.push(part),
        }
    }
    tidy.to_string_lossy().into_owned()
}
