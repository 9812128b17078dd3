//! Hints for unknown keys: the nearest key, or the equivalent of supervisord's, Docker's and systemd's keys.
//!
//! Where the user's value can be translated, the hint contains it, ready to be pasted.

mod systemd;

use muster_spec::is_valid_name;

use crate::diagnostic::{Place, Report, Severity};
use crate::field::Owner;
use crate::keys::{self, Key, Table};
use crate::value::{Content, Value};

/// The supported key of this name; reports an unknown or unsupported one.
pub(crate) fn known_key(
    table: Table,
    path: &str,
    name: &str,
    value: &Value<'_>,
    place: Place,
    owner: Owner<'_>,
    report: &Report,
) -> Option<&'static Key> {
    let key = keys::find(table, name);
    if let Some(key) = key.filter(|key| key.is_supported()) {
        return Some(key);
    }
    let finding = match key {
        Some(known) => {
            let finding = owner.finding(Severity::Error, place, format_args!("{path} is not supported yet"));
            finding.hint(format!("it will be: {}; leave it out for now", known.doc))
        }
        None => {
            let finding = owner.finding(Severity::Error, place, format_args!("unknown key {path:?}"));
            // The search for a similar key is slow, and a list this long needs no hints.
            match if report.is_long() { None } else { hint(table, name, value) } {
                Some(hint) => {
                    let within = path.strip_suffix(name).unwrap_or_default();
                    report.add_misnamed(owner, within, &hint);
                    finding.hint(hint)
                }
                None => finding,
            }
        }
    };
    report.add(finding);
    None
}

fn hint(table: Table, name: &str, value: &Value<'_>) -> Option<String> {
    foreign(table, &name.to_ascii_lowercase(), value)
        .or_else(|| nearest_key(table, name))
        .or_else(|| in_another_table(table, name))
}

/// The known word nearest to this one, if few letters differ in relation to its length. Known words are in lowercase.
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    closest(&word.to_ascii_lowercase(), known)
}

/// As [`nearest`], for names chosen by users: also finds short names that are one edit away.
pub fn nearest_name<'w>(name: &str, known: impl Iterator<Item = &'w str> + Clone) -> Option<&'w str> {
    let is_short_and_close = |known: &&str| {
        known.len().min(name.len()) >= 2
            && least_distance(known, name) <= 1
            && strsim::damerau_levenshtein(known, name) == 1
    };
    nearest(name, known.clone()).or_else(|| { known }.find(is_short_and_close))
}

/// As [`nearest`], for words in uppercase.
pub fn nearest_in_case<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    closest(word, known.iter().copied())
}

fn closest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.replace('-', "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.replace('-', "_"));
    let is_close = |(known, distance): &(&str, usize)| *distance <= known.len().max(word.len()) / 3;
    // A cheap lower bound rules out most words.
    let is_near = |known: &&str| least_distance(&word, known) <= known.len().max(word.len()) / 3;
    let near = known.filter(is_near).map(|known| (known, distance(known))).filter(is_close);
    near.min_by_key(|&(_, distance)| distance).map(|(known, _)| known)
}

/// A lower bound of the edit distance: the letters that only one of the words has. `-` and `_` are the same letter.
fn least_distance(one: &str, other: &str) -> usize {
    if !one.is_ascii() || !other.is_ascii() {
        return 0;
    }
    let mut counts = [0_isize; 128];
    let letter = |byte: u8| usize::from(if byte == b'-' { b'_' } else { byte });
    one.bytes().for_each(|byte| counts[letter(byte)] += 1);
    other.bytes().for_each(|byte| counts[letter(byte)] -= 1);
    let only_in_one: isize = counts.iter().filter(|&&count| count > 0).sum();
    let only_in_other: isize = counts.iter().filter(|&&count| count < 0).map(|count| -count).sum();
    only_in_one.max(only_in_other).unsigned_abs()
}

/// `"a", "b" or "c"`.
pub(crate) fn alternatives(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn nearest_key(table: Table, name: &str) -> Option<String> {
    let supported = || keys::of(table).filter(|key| key.is_supported()).map(|key| key.name);
    // `autostart` is one letter pair away from `auto_start`, and `start_retries` from `startretries`.
    let squeezed = name.to_ascii_lowercase().replace(['_', '-'], "");
    let same_letters = supported().find(|known| known.replace('_', "") == squeezed);
    let found = same_letters.or_else(|| nearest(name, supported()));
    found.map(|known| format!("did you mean {known}?"))
}

fn in_another_table(table: Table, name: &str) -> Option<String> {
    let elsewhere = keys::KEYS.iter().find(|key| key.name == name && key.table != table && key.is_supported())?;
    Some(format!("{name} belongs in {}", elsewhere.table.header()))
}

/// The hint for a key of another system.
fn foreign(table: Table, word: &str, value: &Value<'_>) -> Option<String> {
    match table {
        Table::Root => root_word(word),
        Table::Musterd => musterd_word(word, value),
        Table::Http => http_word(word, value),
        Table::Program => program_word(word, value),
        Table::Logs => logs_word(word),
        Table::Group => group_word(word),
        Table::Backoff => backoff_word(word),
        Table::Hook => hook_word(word),
        Table::Rlimit | Table::Socket | Table::Source | Table::Notifier | Table::Listen | Table::User => None,
        Table::Ready => ready_word(word),
        Table::Probe => probe_word(word, value),
        Table::HttpCheck => http_check_word(word),
    }
}

fn root_word(word: &str) -> Option<String> {
    if let Some((kind @ ("program" | "group"), name)) = word.split_once(':') {
        let name = if is_valid_name(name.trim()) { name.trim() } else { "NAME" };
        return Some(format!("write [{kind}.{name}]"));
    }
    Some(match word {
        "supervisord" | "muster" | "daemon" | "global" => "it is called [musterd] here".to_owned(),
        "unix_http_server" => "it is called [http] here: socket = \"/run/muster.sock\"".to_owned(),
        "inet_http_server" => "it is a listener of [http] here: listen = [\"http://127.0.0.1:9001\"]".to_owned(),
        "supervisorctl" | "rpcinterface" => "musterctl needs no such table: leave it out".to_owned(),
        "services" | "service" | "programs" | "processes" | "process" | "daemons" => {
            "a program is written [program.NAME]".to_owned()
        }
        "groups" => "a group is written [group.NAME]".to_owned(),
        "files" | "includes" => "include = [\"conf.d/*.toml\"]".to_owned(),
        "command" => "it belongs in a program: [program.NAME]".to_owned(),
        "default" => "it is called [defaults]".to_owned(),
        _ => return None,
    })
}

fn musterd_word(word: &str, value: &Value<'_>) -> Option<String> {
    Some(match word {
        "nodaemon" | "daemonize" | "silent" | "nocleanup" | "strip_ansi" | "identifier" => {
            "musterd always runs in the foreground and needs no such setting: leave it out".to_owned()
        }
        "childlogdir" => {
            "programs write to the console unless [program.NAME.logs] names a file: leave it out".to_owned()
        }
        "minfds" => {
            format!("a limit is set for programs: [defaults] rlimits = {{ nofile = {} }}", shown(value, "65536"))
        }
        "minprocs" => {
            format!("a limit is set for programs: [defaults] rlimits = {{ nproc = {} }}", shown(value, "4096"))
        }
        "logfile_maxbytes" => "it is called logfile_max_size".to_owned(),
        "logfile_backups" => "it is called logfile_max_files".to_owned(),
        "log_level" | "level" | "verbosity" => "it is called loglevel".to_owned(),
        "log_format" => "it is called logformat".to_owned(),
        "pid_file" | "pid" => "it is called pidfile".to_owned(),
        "stop_timeout" | "stop_grace_period" | "timeout" => "it is called shutdown_timeout".to_owned(),
        "env" => "it is called environment".to_owned(),
        "socket" | "serverurl" => "it belongs in [http]: socket = \"/run/muster.sock\"".to_owned(),
        _ => return None,
    })
}

fn http_word(word: &str, value: &Value<'_>) -> Option<String> {
    Some(match word {
        "file" | "path" => format!("it is called socket: socket = {}", shown(value, "\"/run/muster.sock\"")),
        "chmod" => format!("it is called mode: mode = {}", quoted(value, "0600")),
        "chown" => format!("it is called owner: owner = {}", quoted(value, "user:group")),
        "port" | "bind" | "address" => "it is called listen: listen = [\"http://127.0.0.1:9001\"]".to_owned(),
        "password" => "it is in a file: password_file = \"/run/secrets/password\"".to_owned(),
        "token" => "it is in a file: token_file = \"/run/secrets/token\"".to_owned(),
        "users" => "each has a table: [http.user.NAME]".to_owned(),
        _ => return None,
    })
}

fn group_word(word: &str) -> Option<String> {
    Some(match word {
        "priority" => "a group has no priority of its own: set it for its programs".to_owned(),
        "program" | "members" => "it is called programs".to_owned(),
        _ => return None,
    })
}

fn backoff_word(word: &str) -> Option<String> {
    Some(match word {
        "initial" | "initial_delay" | "min" | "base" | "interval" => "it is called delay".to_owned(),
        "multiplier" | "exponent" => "it is called factor".to_owned(),
        "max_delay" | "cap" | "limit" => "it is called max".to_owned(),
        "reset" => "it is called reset_after".to_owned(),
        _ => return None,
    })
}

fn ready_word(word: &str) -> Option<String> {
    Some(match word {
        "notify" | "sd_notify" => "ready = \"notify\"".to_owned(),
        "regex" | "pattern" | "line" | "stdout" | "ready_log_line" => {
            "it is called log: { log = \"regex\" }".to_owned()
        }
        "port" | "socket" => "it is called tcp: { tcp = \"127.0.0.1:5432\" }".to_owned(),
        "url" => "it is called http: { http = \"http://127.0.0.1:8000/healthz\" }".to_owned(),
        "command" | "cmd" => "it is called exec".to_owned(),
        "timeout" => "start_timeout, next to ready, limits how long it may take".to_owned(),
        _ => return None,
    })
}

/// Fields of Kubernetes' probes and Docker's health checks.
fn probe_word(word: &str, value: &Value<'_>) -> Option<String> {
    Some(match word {
        "httpget" | "http_get" | "url" => "it is called http: http = \"http://127.0.0.1:8000/healthz\"".to_owned(),
        "tcpsocket" | "tcp_socket" | "port" | "connect" => "it is called tcp: tcp = \"127.0.0.1:5432\"".to_owned(),
        "grpc" => "gRPC probes are not supported: exec = [\"grpc_health_probe\", \"-addr=…\"]".to_owned(),
        "command" | "cmd" | "test" | "script" => "it is called exec: exec = [\"pg_isready\"]".to_owned(),
        "headers" | "host" | "httpheaders" => "http = { url = \"…\", headers = { … }, host = \"…\" }".to_owned(),
        "periodseconds" | "period_seconds" | "interval" => {
            format!("it is called period: period = {}", shown(value, "\"10s\""))
        }
        "timeoutseconds" | "timeout_seconds" => format!("it is called timeout: timeout = {}", shown(value, "\"1s\"")),
        "initialdelayseconds" | "initial_delay_seconds" | "start_period" | "startperiod" => {
            format!("it is called initial_delay: initial_delay = {}", shown(value, "\"0s\""))
        }
        "failurethreshold" | "retries" | "threshold" => {
            format!("it is called failure_threshold: failure_threshold = {}", shown(value, "3"))
        }
        "successthreshold" => format!("it is called success_threshold: success_threshold = {}", shown(value, "1")),
        "type" => "it is called kind: kind = \"liveness\"".to_owned(),
        "terminationgraceperiodseconds" => "a program that is restarted has its stopwaitsecs".to_owned(),
        _ => return None,
    })
}

fn http_check_word(word: &str) -> Option<String> {
    Some(match word {
        "path" | "port" | "scheme" | "address" => {
            "it is all in url: url = \"http://127.0.0.1:8000/healthz\"".to_owned()
        }
        "httpheaders" | "header" => "it is called headers: headers = { Accept = \"text/plain\" }".to_owned(),
        "method" | "body" => "a probe is always a GET; exec = [\"curl\", …] for anything else".to_owned(),
        _ => return None,
    })
}

fn logs_word(word: &str) -> Option<String> {
    Some(match word {
        "stdout_logfile" | "out" | "file" => "it is called stdout".to_owned(),
        "stderr_logfile" | "err" => "it is called stderr".to_owned(),
        "redirect_stderr" | "merge" => "stderr = \"stdout\" merges it".to_owned(),
        _ => return None,
    })
}

/// Keys of a program in other systems.
fn program_word(word: &str, value: &Value<'_>) -> Option<String> {
    supervisords(word, value)
        .or_else(|| supervisords_events(word, value))
        .or_else(|| dockers(word, value))
        .or_else(|| systemd::systemds(word))
}

fn supervisords(word: &str, value: &Value<'_>) -> Option<String> {
    Some(match word {
        "autorestart" | "auto_restart" => format!("supervisord's {word} is {}", restart_from(value)),
        "auto_start" | "start" => "it is called autostart".to_owned(),
        "retries" => "it is called startretries".to_owned(),
        "stdout_logfile" | "logfile" | "log_stdout" | "stdio" => {
            format!("write {}", log("stdout", value))
        }
        "stderr_logfile" | "stderror_logfile" | "log_stderr" => {
            format!("write {}", log("stderr", value))
        }
        "redirect_stderr" => match truth(value) {
            Some(false) => "stderr is separate unless logs.stderr = \"stdout\": leave it out".to_owned(),
            _ => "logs.stderr = \"stdout\" merges it".to_owned(),
        },
        "stdout_logfile_maxbytes" | "stderr_logfile_maxbytes" | "logfile_maxbytes" => {
            format!("it is called logs.max_size: logs.max_size = {}", shown(value, "\"50MB\""))
        }
        "stdout_logfile_backups" | "stderr_logfile_backups" | "logfile_backups" | "stdout_backups" => {
            format!("it is called logs.max_files: logs.max_files = {}", shown(value, "10"))
        }
        "stdout_syslog" => syslog("stdout", value),
        "stderr_syslog" => syslog("stderr", value),
        "stopasgroup" => "stop_scope = \"group\" sends stopsignal to every process group".to_owned(),
        "killasgroup" => {
            "SIGKILL goes to every process of the tree unless stop_kill limits it: leave it out".to_owned()
        }
        "process_name" => "instances are named web:0, web:1 …: leave it out".to_owned(),
        "minfds" => format!("rlimits = {{ nofile = {} }}", shown(value, "65536")),
        "minprocs" => format!("rlimits = {{ nproc = {} }}", shown(value, "4096")),
        "programs" | "group" => "a group names its programs: [group.NAME] with programs = [\"…\"]".to_owned(),
        "serverurl" => "programs find the control socket at [http] socket: leave it out".to_owned(),
        "startsec" | "start_secs" => "it is called startsecs".to_owned(),
        "stopwait" | "stoptimeout" | "stop_timeout" | "kill_timeout" => "it is called stopwaitsecs".to_owned(),
        "pidfile" => "musterd knows the pids of programs in the foreground: leave it out".to_owned(),
        "dependent_startup" | "dependent_startup_wait_for" | "depend" | "depends" | "waits-for" | "waits_for" => {
            DEPENDENCIES.to_owned()
        }
        _ => return None,
    })
}

const DEPENDENCIES: &str = "it is called depends_on: depends_on = { db = \"ready\" }";

fn supervisords_events(word: &str, value: &Value<'_>) -> Option<String> {
    Some(match word {
        "stdout_events_enabled" => format!("logs.stdout_events = {}", shown(value, "true")),
        "stderr_events_enabled" => format!("logs.stderr_events = {}", shown(value, "true")),
        "stdout_capture_maxbytes" => format!("logs.stdout_capture = {}", shown(value, "\"1MB\"")),
        "stderr_capture_maxbytes" => format!("logs.stderr_capture = {}", shown(value, "\"1MB\"")),
        "buffer_size" => format!("event_buffer_size = {}", shown(value, "1024")),
        "result_handler" => "an event listener needs only stdin = \"supervisor-events\" and events".to_owned(),
        _ => return None,
    })
}

fn dockers(word: &str, value: &Value<'_>) -> Option<String> {
    Some(match word {
        "entrypoint" | "cmd" | "exec" | "run" | "args" => {
            format!("it is called command: command = {}", shown(value, "\"…\""))
        }
        "working_dir" | "workdir" | "cwd" | "dir" | "workingdirectory" => {
            format!("it is called directory: directory = {}", shown(value, "\"/…\""))
        }
        "stop_grace_period" => format!("it is called stopwaitsecs: stopwaitsecs = {}", shown(value, "10")),
        "stop_signal" | "killsignal" => format!("it is called stopsignal: stopsignal = {}", shown(value, "\"TERM\"")),
        "env" => "it is called environment: environment = { NAME = \"value\" }".to_owned(),
        "envfile" | "env_files" | "environmentfile" => "it is called env_file".to_owned(),
        "envdir" | "env_dirs" => "it is called env_dir".to_owned(),
        "healthcheck" | "health" | "liveness" | "readiness" | "startup" | "probe" | "livenessprobe"
        | "readinessprobe" | "startupprobe" | "liveness_probe" | "readiness_probe" | "startup_probe" => {
            "a probe is written [program.NAME.probes.live]: http = \"http://127.0.0.1:8000/healthz\"".to_owned()
        }
        "restart_policy" => "it is called restart".to_owned(),
        "replicas" | "scale" | "instances" | "processes" => {
            format!("it is called numprocs: numprocs = {}", shown(value, "2"))
        }
        "ulimits" | "limits" | "ulimit" => "it is called rlimits: rlimits = { nofile = 65536 }".to_owned(),
        "group_add" => "it is called groups".to_owned(),
        "cap_add" | "cap_drop" => {
            "capabilities lists all that it may have: capabilities = [\"net_bind_service\"]".to_owned()
        }
        "mem_limit" | "memory" => format!("it is called memory_max: memory_max = {}", shown(value, "\"512MB\"")),
        "ports" | "image" | "volumes" | "container_name" => {
            "a program runs inside this container: leave it out".to_owned()
        }
        _ => return None,
    })
}

fn hook_word(word: &str) -> Option<String> {
    Some(match word {
        "exec" | "run" | "cmd" | "args" => "it is called command: command = [\"…\"]".to_owned(),
        "timeoutsec" | "timeoutstartsec" | "timeoutstopsec" | "seconds" => "it is called timeout".to_owned(),
        "ignore_failure" | "optional" => "on_failure = \"ignore\"".to_owned(),
        "environment" | "env" | "directory" | "umask" | "groups" | "rlimits" => {
            "a hook has that of its program: leave it out".to_owned()
        }
        _ => return None,
    })
}

/// The equivalent of an `autorestart` value.
fn restart_from(value: &Value<'_>) -> &'static str {
    match (truth(value), value.as_str()) {
        (Some(true), _) => "restart = \"always\"",
        (Some(false), _) => "restart = \"no\"",
        (None, Some("unexpected")) => "restart = \"on-failure\", which is the default",
        _ => "restart: \"no\", \"on-failure\" or \"always\"",
    }
}

fn truth(value: &Value<'_>) -> Option<bool> {
    let text = value.as_str().map(str::to_ascii_lowercase);
    match (value.as_bool(), text.as_deref()) {
        (Some(flag), _) => Some(flag),
        (None, Some("true" | "yes" | "on" | "1")) => Some(true),
        (None, Some("false" | "no" | "off" | "0")) => Some(false),
        _ => None,
    }
}

/// The equivalent of a supervisord log file.
fn log(stream: &str, value: &Value<'_>) -> String {
    let target = value.as_str().unwrap_or("AUTO");
    match target.to_ascii_lowercase().as_str() {
        "none" => format!("logs.{stream} = \"none\""),
        "syslog" => format!("logs.{stream} = \"syslog\""),
        "auto" | "/dev/stdout" | "/dev/stderr" | "/dev/fd/1" | "/dev/fd/2" | "-" => {
            format!("logs.{stream} = \"console\", which is the default")
        }
        _ => format!("logs.{stream} = {target:?}"),
    }
}

/// supervisord sends lines to both syslog and the file.
fn syslog(stream: &str, value: &Value<'_>) -> String {
    match truth(value) {
        Some(false) => "nothing goes to syslog unless a stream says so: leave it out".to_owned(),
        _ => format!("logs.{stream} = \"syslog\", or [\"console\", \"syslog\"] for both"),
    }
}

/// A simple value as written, or an example.
fn shown(value: &Value<'_>, example: &str) -> String {
    match &value.content {
        Content::Text(text) => format!("{:?}", crate::redact::masked(text.as_str())),
        Content::Integer(number) => number.to_string(),
        _ => example.to_owned(),
    }
}

fn quoted(value: &Value<'_>, example: &str) -> String {
    match &value.content {
        Content::Text(text) => format!("{:?}", text.as_str()),
        Content::Integer(number) => format!("\"{number}\""),
        _ => format!("{example:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_never_nearer_than_its_letters_say() {
        let words = ["", "a", "ab", "ba", "web-1", "web_2", "command", "comand", "dnammoc", "größe", "grosse", "x"];
        for one in words {
            for other in words {
                let distance = strsim::damerau_levenshtein(&one.replace('-', "_"), &other.replace('-', "_"));
                assert!(least_distance(one, other) <= distance, "{one} {other}");
            }
        }
        assert_eq!(least_distance("command", "xyz"), 7);
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["autostart", "restart", "command"];
        for (word, expected) in
            [("autostrat", Some("autostart")), ("comand", Some("command")), ("Restart", Some("restart")), ("x", None)]
        {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
    }
}
