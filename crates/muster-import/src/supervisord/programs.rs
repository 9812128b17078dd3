//! One section of processes: `[program:x]`, `[eventlistener:x]` or `[fcgi-program:x]`.
//!
//! Most values are read once. Those that may differ are read again for each of `numprocs`, and there the names grow:
//! a process sees its own variables and those of the processes before it.

use muster_spec::arrange;
use muster_supervisord::expand::Value;
use std::collections::HashMap;
use std::sync::Arc;

use super::model::{Autorestart, LogFile, Process, Signal, Stream};
use super::options::{self, Kind, STDERR, STDOUT, StreamOptions};
use super::reader::{ExpansionScope, Reader, Text, behind_colon, collected};
use super::world::User;
use super::{limits, values};

/// The values that all processes of a section share.
struct Common {
    priority: i64,
    autostart: bool,
    autorestart: Autorestart,
    startsecs: i64,
    startretries: i64,
    stopsignal: Signal,
    stopwaitsecs: i64,
    stopasgroup: bool,
    killasgroup: bool,
    exitcodes: Vec<u8>,
    redirect_stderr: bool,
    numprocs: i64,
    numprocs_start: i64,
    environment: Option<Text>,
    captures: [(i64, bool); 2],
    serverurl: Option<String>,
    user: Option<User>,
    umask: Option<i64>,
    process_name: Text,
    /// Length of the texts that each process has a copy of, in bytes.
    copied: usize,
}

/// How often a process holds the name of its group: in its own names, as its group, as its stop unit and in a variable.
const COPIES_OF_GROUP: usize = 6;

/// The processes of a section, sorted by priority and name.
pub(super) fn processes(reader: &mut Reader<'_>, section: usize, group: &str) -> Vec<Process> {
    let (here, host) = (reader.here.clone(), reader.host.clone());
    let Some(name) = program_name(reader, section, true) else { return Vec::new() };
    let words = [
        ("here", Value::Text(&here)),
        ("program_name", Value::Text(&name)),
        ("host_node_name", Value::Text(&host)),
        ("group_name", Value::Text(group)),
    ];
    let scope = ExpansionScope { section, words: &words, own: None, names_section: true };
    if reader.processes_left == 0 {
        reader.refuse_total(&scope, options::NUMPROCS.key, &too_many());
        return Vec::new();
    }
    let common = common(reader, &scope, &name);
    let common = Common { copied: common.copied + COPIES_OF_GROUP * group.len(), ..common };
    let numbers = numbers(reader, &scope, &common);
    let mut own = HashMap::new();
    let mut processes = Vec::with_capacity(usize::try_from(numbers.end - numbers.start).unwrap_or_default());
    for number in numbers {
        let numbered = [("process_num", Value::Number(number)), ("numprocs", Value::Number(common.numprocs))];
        let words = [&words[..], &numbered].concat();
        match process(reader, &Numbered { section, words: &words, number }, &common, &mut own) {
            Some(process) => processes.push(process),
            // The remaining processes would repeat the same mistake.
            None => break,
        }
    }
    arrange::sort_by(&mut processes, |one, other| (one.priority, &one.name).cmp(&(other.priority, &other.name)));
    processes
}

/// The name behind the colon. `inside` is whether the original is already at the section's processes.
pub(super) fn program_name(reader: &mut Reader<'_>, section: usize, inside: bool) -> Option<String> {
    let name = behind_colon(reader.section_name(section)).to_owned();
    match values::name(&name) {
        Ok(name) => Some(name.to_owned()),
        Err(reason) => {
            let scope = ExpansionScope { names_section: inside, ..ExpansionScope::new(section, &[]) };
            let message = "a name must have no blank, `:` or `/`";
            reader.refuse_section(&scope, None, message, reason);
            None
        }
    }
}

/// Reads the values in the original's order: its first mistake is the first here.
fn common(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, name: &str) -> Common {
    let priority = reader.whole(scope, &options::PRIORITY);
    let autostart = reader.boolean(scope, &options::AUTOSTART);
    let autorestart = reader.typed(scope, &options::AUTORESTART, |text, _| values::autorestart(text));
    let startsecs = reader.whole(scope, &options::STARTSECS);
    let startretries = reader.whole(scope, &options::STARTRETRIES);
    let stopsignal = reader.typed(scope, &options::STOPSIGNAL, |text, _| values::signal(text));
    let stopwaitsecs = reader.whole(scope, &options::STOPWAITSECS);
    let stopasgroup = reader.boolean(scope, &options::STOPASGROUP);
    let killasgroup = reader.typed(scope, &options::KILLASGROUP, |text, _| values::boolean(text));
    let exitcodes = reader.typed(scope, &options::EXITCODES, |text, _| values::exit_codes(text));
    let redirect_stderr = reader.boolean(scope, &options::REDIRECT_STDERR);
    let numprocs = reader.whole(scope, &options::NUMPROCS);
    let numprocs_start = reader.whole(scope, &options::NUMPROCS_START);
    let environment = reader.raw(scope.section, &options::ENVIRONMENT);
    let captures =
        [&STDOUT, &STDERR].map(|stream| (reader.bytes(scope, &stream.capture), reader.boolean(scope, &stream.events)));
    let serverurl = reader.plain(scope, &options::SERVERURL);
    let user = reader.user(scope, &options::USER);
    let umask = reader.octal(scope, &options::UMASK);
    let process_name = process_name(reader, scope, name);
    if numprocs > 1 && !process_name.text.contains("%(process_num)") {
        let original = "%(process_num) must be present within process_name when numprocs > 1".to_owned();
        let written = reader.raw(scope.section, &options::PROCESS_NAME).is_some();
        let value = Some(&process_name.text).filter(|_| written);
        let quoted = value.map_or(String::new(), |text| reader.quoted(scope.section, options::PROCESS_NAME.key, text));
        let message = format!("process_name must contain %(process_num), since numprocs is {numprocs}{quoted}");
        reader.refuse_section(scope, Some(options::PROCESS_NAME.key), &message, original);
    }
    let serverurl = serverurl.filter(|url| muster_supervisord::python::strip(url).to_uppercase() != "AUTO");
    let exitcodes = exitcodes.unwrap_or_default();
    let copied = exitcodes.len() + serverurl.as_ref().map_or(0, String::len);
    let killasgroup = killasgroup.unwrap_or(stopasgroup);
    if stopasgroup && !killasgroup {
        let original = "Cannot set stopasgroup=true and killasgroup=false".to_owned();
        let message = "killasgroup must not be false while stopasgroup is true";
        reader.refuse_section(scope, Some(options::KILLASGROUP.key), message, original);
    }
    Common {
        priority,
        autostart,
        autorestart: autorestart.unwrap_or(Autorestart::Unexpected),
        startsecs,
        startretries,
        stopsignal: stopsignal.unwrap_or(Signal(15)),
        stopwaitsecs,
        stopasgroup,
        killasgroup,
        exitcodes,
        redirect_stderr,
        numprocs,
        numprocs_start,
        environment: environment.map(|entry| Text { text: entry.text, place: entry.place }),
        captures,
        serverurl,
        user,
        umask,
        process_name,
        copied,
    }
}

/// The name of the processes before expansion: only there are blanks, colons and slashes refused.
fn process_name(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, name: &str) -> Text {
    let option = &options::PROCESS_NAME;
    let default = |reader: &Reader<'_>| {
        let text = option.default.unwrap_or(name).to_owned();
        Text { text, place: reader.section_place(scope.section) }
    };
    let Some(entry) = reader.raw(scope.section, option) else { return default(reader) };
    let value = Text { text: entry.text, place: entry.place };
    match values::name(&value.text) {
        Ok(name) => Text { text: name.to_owned(), ..value },
        Err(reason) => {
            reader.refuse(scope, option, &value, reason);
            // A stand-in, so that a missing number is not a second mistake.
            let text = if value.text.contains("%(process_num)") { "%(process_num)d" } else { "%(program_name)s" };
            Text { text: text.to_owned(), ..value }
        }
    }
}

/// The numbers of a section's processes, within the bounds.
fn numbers(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, common: &Common) -> std::ops::Range<i64> {
    let none = common.numprocs_start..common.numprocs_start;
    if common.numprocs <= 0 {
        // Reading a section costs as much as a process.
        reader.processes_left -= 1;
        return none;
    }
    let end = common.numprocs_start.checked_add(common.numprocs);
    let message = match (usize::try_from(common.numprocs), end) {
        (Ok(count), Some(end)) if common.numprocs <= limits::NUMPROCS => {
            if let Some(left) = reader.processes_left.checked_sub(count) {
                reader.processes_left = left;
                return common.numprocs_start..end;
            }
            reader.processes_left = 0;
            reader.refuse_total(scope, options::NUMPROCS.key, &too_many());
            return none;
        }
        (_, None) if common.numprocs <= limits::NUMPROCS => "numprocs_start is too large".to_owned(),
        _ => format!("numprocs must be at most {}: {}", limits::NUMPROCS, common.numprocs),
    };
    reader.refuse_bound(scope, options::NUMPROCS.key, &message);
    none
}

/// The message about the bound of all processes.
pub(super) fn too_many() -> String {
    format!("the limit is {} processes in all", limits::PROCESSES)
}

/// The names of one process.
struct Numbered<'n> {
    section: usize,
    words: &'n [(&'static str, Value<'n>)],
    number: i64,
}

impl<'n> Numbered<'n> {
    fn scope(&self, own: &'n HashMap<String, String>) -> ExpansionScope<'n> {
        ExpansionScope { section: self.section, words: self.words, own: Some(own), names_section: true }
    }
}

/// One of the processes; `own` holds the variables of those before, and gets this one's.
fn process(
    reader: &mut Reader<'_>,
    numbered: &Numbered<'_>,
    common: &Common,
    own: &mut HashMap<String, String>,
) -> Option<Process> {
    own.retain(|name, _| !reader.variables.contains_key(name));
    let environment = match &common.environment {
        None => Vec::new(),
        Some(value) => {
            let scope = numbered.scope(own);
            let key = options::ENVIRONMENT.key;
            let text = reader.expand(&scope, &value.text, key, key, &value.place).ok()?;
            reader.variables(&scope, &Text { text, place: value.place.clone() })?
        }
    };
    own.extend(environment.iter().cloned());
    let scope = numbered.scope(own);
    let problems = reader.report.count();
    let directory = reader.plain(&scope, &options::WORKING_DIRECTORY);
    let stdout = stream(reader, &scope, &STDOUT, common.captures[0]);
    let mut stderr = stream(reader, &scope, &STDERR, common.captures[1]);
    if common.redirect_stderr {
        if matches!(stderr.logfile, LogFile::Path(_)) {
            warn_of_redirect(reader, numbered.section);
        }
        stderr.logfile = LogFile::None;
    }
    let command = reader.text(&scope, &options::COMMAND);
    if command == Ok(None) {
        let name = reader.section_name(numbered.section);
        let original = format!("program section {name} does not specify a command");
        reader.refuse_section(&scope, None, "needs a key command", original);
    }
    let (text, place) = (&common.process_name.text, &common.process_name.place);
    let name = reader.expand(&scope, text, options::PROCESS_NAME.key, options::PROCESS_NAME.key, place);
    if reader.report.count() > problems {
        return None;
    }
    let (name, command) = (name.ok()?, command.ok()??.text);
    if !reader.has_room(&scope, &command, common.copied) {
        return None;
    }
    Some(Process {
        section: numbered.section,
        name,
        number: numbered.number,
        command,
        directory,
        umask: common.umask,
        priority: common.priority,
        autostart: common.autostart,
        autorestart: common.autorestart,
        startsecs: common.startsecs,
        startretries: common.startretries,
        user: common.user.clone(),
        stdout,
        stderr,
        stopsignal: common.stopsignal,
        stopwaitsecs: common.stopwaitsecs,
        stopasgroup: common.stopasgroup,
        killasgroup: common.killasgroup,
        exitcodes: common.exitcodes.clone(),
        redirect_stderr: common.redirect_stderr,
        environment: collected(environment),
        serverurl: common.serverurl.clone(),
        socket: None,
        own: Arc::default(),
    })
}

fn stream(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, keys: &StreamOptions, capture: (i64, bool)) -> Stream {
    let (logfile, is_syslog) = logfile(reader, scope, keys).unwrap_or((LogFile::Auto, false));
    let backups = reader.whole(scope, &keys.backups);
    let maxbytes = reader.bytes(scope, &keys.maxbytes);
    let syslog = reader.boolean(scope, &keys.syslog);
    let (name, key) = (reader.section_name(scope.section).to_owned(), keys.logfile.key);
    if is_syslog {
        let instead = keys.syslog.key;
        let original = format!(
            "For [{name}], {key}=syslog but this is deprecated and will be removed.  Use {instead}=true to enable \
             syslog instead."
        );
        let warning = reader.warning(scope.section, Some(key), format!("{key}=syslog is deprecated"));
        reader.report.warn(warning.hint(format!("write {instead}=true")).original(original));
    }
    if logfile == LogFile::Auto && maxbytes == 0 {
        let original = format!(
            "For [{name}], AUTO logging used for {key} without rollover, set maxbytes > 0 to avoid filling up \
             filesystem unintentionally"
        );
        let message = format!("{} is 0, so the AUTO log grows without end", keys.maxbytes.key);
        let warning = reader.warning(scope.section, Some(keys.maxbytes.key), message);
        let hint = format!("write {key}=none, or {key}=/dev/stdout to see it in the container's log");
        reader.report.warn(warning.hint(hint).original(original));
    }
    let (capture_maxbytes, events_enabled) = capture;
    Stream { logfile, maxbytes, backups, capture_maxbytes, events_enabled, syslog: syslog || is_syslog }
}

/// The log file, which is expanded twice; the second time the original calls it by its key alone.
fn logfile(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, keys: &StreamOptions) -> Option<(LogFile, bool)> {
    let key = keys.logfile.key;
    let value = reader.text(scope, &keys.logfile).ok()??;
    let text = reader.expand(scope, &value.text, key, key, &value.place).ok()?;
    let value = Text { text, ..value };
    match values::log_file(&value.text, reader.world) {
        Ok(read) => Some(read),
        Err(reason) => {
            reader.refuse(scope, &keys.logfile, &value, reason);
            None
        }
    }
}

fn warn_of_redirect(reader: &mut Reader<'_>, section: usize) {
    let name = reader.section_name(section);
    let original = format!(
        "For [{name}], redirect_stderr=true but stderr_logfile has also been set to a filename, the filename has \
         been ignored"
    );
    let message = "stderr_logfile is ignored, because redirect_stderr is true";
    let warning = reader.warning(section, Some(STDERR.logfile.key), message);
    reader.report.warn(warning.hint("leave out one of them").original(original));
}

/// Keys for musterd alone, without their beginning.
pub(super) fn own_keys(reader: &Reader<'_>, section: usize) -> Vec<super::Entry> {
    let is_process = Kind::of(reader.section_name(section)).is_some_and(Kind::has_processes);
    let entries = reader.sections.entries(section).filter(|_| is_process);
    let own = entries.filter_map(|entry| {
        let key = entry.key.strip_prefix(options::OWN_KEYS)?.to_owned();
        Some(super::Entry { key, ..entry.clone() })
    });
    own.collect()
}
