//! An example of every body, with all fields set.
//!
//! The OpenAPI document includes them, and its test compares their fields with the schemas, so that neither the structs
//! nor the document can gain a field alone.

mod page;

use serde_json::{Value, json};

use crate::action::{
    ActionReport, ActionResult, Outcome, ScaleBody, ScaleReport, ShutdownBody, SignalBody, SignalScope,
};
use crate::config::{ChangedKey, Config, ConfigReport, Diagnostic, ReloadReport};
use crate::daemon::{Alive, Goals, Info, Listener, Missing, Phase, Ready};
use crate::event::{Event, Happening};
use crate::exec::{ExecBody, TerminalSize};
use crate::log::{EntryKind, LogEntry, StdinReport};
use crate::problem::Problem;
use crate::process::{ExecProcesses, InstanceProcesses, ProcessInfo, ProcessState, Processes};
use crate::program::{ExitInfo, HookFailure, LeftBehind, LeftProcess, Program, ProgramDetail, RollingProgress, Run};
use crate::schedule::{ScheduledProgram, ScheduledTime};
use crate::source::{Source, SourceState};
use crate::state::{Goal, State};
use crate::timestamp::Timestamp;
use crate::why::{EndedBy, OutputLine, SpawnFailure, Why};

/// 2026-11-23T00:24:05.120Z.
const NOON_MS: i64 = 1_795_393_445_120;

/// The example of the schema with this name, if it has one.
pub(crate) fn of(schema: &str) -> Option<Value> {
    let example = match schema {
        "Info" => serde_json::to_value(info()),
        "Program" => serde_json::to_value(program()),
        "Programs" => serde_json::to_value([program()]),
        "ProgramDetail" => serde_json::to_value(detail()),
        "Run" => serde_json::to_value(run()),
        "ExitInfo" => serde_json::to_value(exit()),
        "ActionReport" => serde_json::to_value(ActionReport { results: vec![result()] }),
        "ActionResult" => serde_json::to_value(result()),
        "ScaleBody" => serde_json::to_value(ScaleBody { numprocs: 3 }),
        "ScaleReport" => serde_json::to_value(ScaleReport {
            name: "web".to_owned(),
            numprocs: 3,
            configured: 2,
            added: vec!["web:2".to_owned()],
            removed: Vec::new(),
        }),
        "SignalBody" => serde_json::to_value(SignalBody { signal: "HUP".to_owned(), scope: SignalScope::Group }),
        "ShutdownBody" => serde_json::to_value(ShutdownBody { timeout: None, unlimited: true }),
        "Schedule" => serde_json::to_value([job()]),
        "ScheduledProgram" => serde_json::to_value(job()),
        "ScheduledTime" => serde_json::to_value(scheduled_time()),
        "Source" => serde_json::to_value(source()),
        "Sources" => serde_json::to_value([source()]),
        "Alive" => serde_json::to_value(Alive { alive: true }),
        "Ready" => serde_json::to_value(Ready {
            ready: false,
            missing: vec![missing()],
            sources: vec!["fleet: refused: 1 error".to_owned()],
        }),
        "Listener" => serde_json::to_value(listener()),
        "Missing" => serde_json::to_value(missing()),
        "ExecBody" => serde_json::to_value(exec_body()),
        "TerminalSize" => serde_json::to_value(TerminalSize { rows: 24, columns: 80 }),
        "Processes" => serde_json::to_value(Processes {
            programs: vec![tree()],
            execs: vec![exec()],
            strays: vec![process()],
            omitted: 0,
        }),
        "ExecProcesses" => serde_json::to_value(exec()),
        "InstanceProcesses" => serde_json::to_value(tree()),
        "ProcessInfo" => serde_json::to_value(process()),
        "Why" => serde_json::to_value(why()),
        "SpawnFailure" => serde_json::to_value(spawn_failure()),
        "LeftBehind" => serde_json::to_value(left_behind()),
        "LeftProcess" => serde_json::to_value(left_process()),
        "RollingProgress" => serde_json::to_value(rolling()),
        "HookFailure" => serde_json::to_value(hook_failure()),
        "OutputLine" => serde_json::to_value(output_line()),
        "LogEntry" => serde_json::to_value(entry()),
        "StdinReport" => serde_json::to_value(StdinReport { written: 6 }),
        "Event" => serde_json::to_value(&events()[1]),
        "Config" => serde_json::to_value(config()),
        "ConfigReport" => serde_json::to_value(config_report()),
        "Diagnostic" => serde_json::to_value(diagnostic()),
        "ChangedKey" => serde_json::to_value(changed_key()),
        "ReloadReport" => serde_json::to_value(reload()),
        "Problem" => serde_json::to_value(problem()),
        _ => page::of(schema)?,
    };
    Some(example.expect("strings, numbers and lists of them serialize"))
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(NOON_MS + seconds * 1000)
}

fn info() -> Info {
    Info {
        version: "0.2.0".to_owned(),
        api: "1.2".to_owned(),
        pid: 1,
        is_pid1: true,
        state: Phase::Running,
        started_at: after(0),
        uptime: 3.5,
        config_files: vec!["/etc/muster.toml".to_owned()],
        listeners: vec![listener()],
        goals: Goals { up: 4, down: 1 },
    }
}

fn listener() -> Listener {
    Listener { address: "http://127.0.0.1:9001".to_owned(), is_listening: true, error: None, not_after: None }
}

fn exit() -> ExitInfo {
    ExitInfo {
        code: None,
        signal: Some("SIGKILL".to_owned()),
        success: false,
        reason: "terminated by SIGKILL".to_owned(),
    }
}

fn program() -> Program {
    Program {
        name: "web:0".to_owned(),
        program: "web".to_owned(),
        group: "front".to_owned(),
        goal: Goal::Up,
        state: State::Backoff,
        code: State::Backoff.code(),
        ready: Some(false),
        health: Some("unhealthy".to_owned()),
        status: Some("Processing requests".to_owned()),
        pid: Some(12),
        run: Some(7),
        started_at: Some(after(1)),
        uptime: Some(2.25),
        failures: 3,
        startretries: Some(10),
        next_start_at: Some(after(5)),
        exit: Some(exit()),
        waiting_for: vec!["db (healthy)".to_owned()],
        waits_in_vain: false,
        awaits_client: false,
        autostart: true,
        priority: 999,
        description: "terminated by SIGKILL; next start in 2s, attempt 4 of 10".to_owned(),
        phase: Some("post_stop".to_owned()),
        rolling: Some(rolling()),
        old_process: true,
        next_due: Some(after(60)),
        stopped_by: Some("SIGSTOP".to_owned()),
    }
}

fn rolling() -> RollingProgress {
    RollingProgress { step: 2, of: 4, queued: false }
}

fn job() -> ScheduledProgram {
    ScheduledProgram {
        name: "backup".to_owned(),
        armed: true,
        cron: vec!["TZ=Europe/Berlin 30 2 * * *".to_owned()],
        overlap: "skip".to_owned(),
        jitter: 0.0,
        times: vec![scheduled_time()],
    }
}

fn scheduled_time() -> ScheduledTime {
    ScheduledTime { at: after(60), local: "2026-11-23T01:25:05+01:00".to_owned() }
}

fn run() -> Run {
    Run {
        run: 7,
        pid: Some(12),
        started_at: after(1),
        ended_at: Some(after(3)),
        uptime: 2.25,
        exit: Some(exit()),
        ended_by: Some(EndedBy::SomebodyElse),
        cause: Some("probe \"alive\" failed: connection refused".to_owned()),
        core_dumped: false,
        out_of_memory: Some(false),
        spawn_error: Some(spawn_failure()),
        verdict: Some("attempt 3 of 10, next delay 500ms × 2^2 = 2s".to_owned()),
        left_behind: Some(left_behind()),
        last_lines: vec![output_line()],
        hooks: vec![hook_failure()],
    }
}

fn hook_failure() -> HookFailure {
    let reason = "exit status 3: no such table".to_owned();
    HookFailure { hook: "pre_start".to_owned(), reason, last_lines: vec![output_line()] }
}

fn spawn_failure() -> SpawnFailure {
    SpawnFailure { step: "exec".to_owned(), errno: 2, message: "/usr/sbin/ngin: no such file".to_owned() }
}

fn left_behind() -> LeftBehind {
    let words = "killed 1 process that run 7 left behind: \"sleep\" (pid 77); does it daemonize?".to_owned();
    LeftBehind { killed: true, count: 1, processes: vec![left_process()], words }
}

fn left_process() -> LeftProcess {
    LeftProcess { name: "sleep".to_owned(), pid: 77 }
}

fn output_line() -> OutputLine {
    let text = "cannot bind to 0.0.0.0:80".to_owned();
    OutputLine { time: after(2), stream: "stderr".to_owned(), text, is_cut: false }
}

fn why() -> Why {
    Why {
        name: "web:0".to_owned(),
        state: State::Backoff,
        goal: Goal::Up,
        summary: "web:0 is BACKOFF: its last run ended and the next one starts in 2s".to_owned(),
        story: vec!["run 7 ended after 2.25s: terminated by SIGKILL".to_owned()],
        next: "it starts again in 2s".to_owned(),
        next_start_at: Some(after(5)),
        waiting_for: vec!["db (healthy)".to_owned()],
        run: Some(run()),
        earlier: vec![run()],
    }
}

fn detail() -> ProgramDetail {
    let configuration = json!({"command": ["nginx"], "stopsignal": ["QUIT"], "environment": {"TOKEN": "(hidden)"}});
    ProgramDetail { program: program(), configuration, runs: vec![run()] }
}

fn result() -> ActionResult {
    ActionResult {
        name: "web:0".to_owned(),
        outcome: Outcome::Error,
        state: State::Backoff,
        pid: Some(12),
        error: Some("spawn error: /usr/sbin/ngin: no such file".to_owned()),
        note: None,
    }
}

fn source() -> Source {
    Source {
        name: "fleet".to_owned(),
        url: "etcds://etcd-0:2379,etcd-1:2379/muster/web/".to_owned(),
        state: SourceState::Refused,
        revision: Some("41".to_owned()),
        texts: vec!["web.toml".to_owned()],
        active_for: Some(3600.5),
        refused_for: Some(180.0),
        reason: Some("1 error".to_owned()),
        is_pending: false,
        is_held: false,
        is_up: true,
        last_contact: Some(1_795_393_445.0),
    }
}

fn missing() -> Missing {
    Missing { name: "web:0".to_owned(), state: State::Backoff, reason: "exit status 1".to_owned() }
}

fn process() -> ProcessInfo {
    ProcessInfo {
        pid: 12,
        ppid: 1,
        command: "nginx: master process nginx".to_owned(),
        state: ProcessState::Sleeping,
        memory: 5_242_880,
        cpu: 0.03,
    }
}

fn exec_body() -> ExecBody {
    ExecBody {
        command: vec!["psql".to_owned(), "-l".to_owned()],
        terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        stdin: true,
        user: Some("postgres".to_owned()),
        environment: [("PAGER".to_owned(), "less".to_owned())].into(),
    }
}

fn exec() -> ExecProcesses {
    ExecProcesses {
        name: "web:0".to_owned(),
        by: "deploy".to_owned(),
        command: "psql".to_owned(),
        processes: vec![process()],
    }
}

fn tree() -> InstanceProcesses {
    InstanceProcesses { name: "web:0".to_owned(), state: State::Running, run: Some(7), processes: vec![process()] }
}

fn entry() -> LogEntry {
    LogEntry {
        time: Some(after(2)),
        stream: Some("stderr".to_owned()),
        run: Some(7),
        hook: Some("pre_start".to_owned()),
        missed: Some(1),
        ..LogEntry::of(EntryKind::Line, "web:0").with_text(b"caf\xe9 closed")
    }
}

/// One event per kind.
pub(crate) fn events() -> Vec<Event> {
    let name = || "web:0".to_owned();
    let reason = || "stopped by SIGTERM".to_owned();
    let why = || "probe \"alive\" failed: connection refused".to_owned();
    let all = [
        Happening::Snapshot { programs: vec![program()] },
        Happening::State { name: name(), from: State::Starting, to: State::Running, run: Some(7), pid: Some(12) },
        Happening::Ended { name: name(), run: 7, pid: Some(12), exit: exit(), uptime: 2.25, cause: Some(why()) },
        Happening::Retry { name: name(), delay: 2.5, attempt: 3, limit: Some(10), why: why() },
        Happening::Final { name: name(), run: 7, why: why() },
        Happening::Ready { name: name(), run: 7, ready: true },
        Happening::Health {
            name: name(),
            run: 7,
            health: "unhealthy".to_owned(),
            probe: "alive".to_owned(),
            detail: "connection refused".to_owned(),
        },
        Happening::Failing { name: name(), run: 7, cause: why() },
        Happening::Hook { name: name(), run: 7, hook: "pre_stop".to_owned(), exit: exit(), took: 5.25 },
        Happening::Rolling {
            name: name(),
            step: 2,
            of: 4,
            outcome: "failed".to_owned(),
            error: Some("start_timeout".to_owned()),
        },
        Happening::Waiting { name: name(), waiting_for: vec!["db (healthy)".to_owned()] },
        Happening::Skipped { name: name(), reason: "running".to_owned(), times: 1 },
        Happening::Configured {
            added: vec![name()],
            removed: vec![name()],
            restarted: vec![name()],
            changed: vec![name()],
            unchanged: 4,
        },
        Happening::Source {
            name: "fleet".to_owned(),
            state: SourceState::Refused,
            revision: Some("1234".to_owned()),
            reason: Some("1 error".to_owned()),
        },
        Happening::Listener { reason: Some("/run/secrets/token: no such file".to_owned()) },
        Happening::Killed { name: name(), run: 7, waited: 10.5, cut_short: false },
        Happening::LeftBehind { name: name(), run: 7, left: left_behind() },
        Happening::Stuck { name: name(), run: 7, stopping: 11.5 },
        Happening::Shutdown { reason: reason(), timeout: Some(9.5) },
        Happening::ShutdownHurried,
        Happening::Exiting { reason: reason(), code: 0 },
        Happening::Gap { missed: Some(31) },
    ];
    (1..).zip(all).map(|(id, what)| Event { id, at: after(1), what }).collect()
}

fn files() -> Vec<String> {
    vec!["/etc/muster.toml".to_owned(), "/etc/muster.d/web.toml".to_owned()]
}

fn config() -> Config {
    let programs = json!({"web": {"command": ["nginx"], "environment": {"TOKEN": "***"}}});
    let notify = json!({"ops": {"webhook": "https://hooks.example.org/…", "on": ["fatal"]}});
    Config { files: files(), musterd: json!({"watch": true}), http: json!({"mode": "600"}), notify, programs }
}

fn diagnostic() -> Diagnostic {
    Diagnostic {
        severity: "error".to_owned(),
        file: "/etc/muster.d/web.toml".to_owned(),
        line: 3,
        column: 16,
        message: "program \"web\": stopwaitsecs must not be negative: -5".to_owned(),
        hint: Some("leave it out for the default of 10 seconds".to_owned()),
        program: Some("web".to_owned()),
        text: "error: /etc/muster.d/web.toml:3:16: program \"web\": stopwaitsecs must not be negative: -5\n…"
            .to_owned(),
    }
}

fn config_report() -> ConfigReport {
    ConfigReport { files: files(), errors: 1, warnings: 0, diagnostics: vec![diagnostic()] }
}

fn reload() -> ReloadReport {
    ReloadReport {
        dry_run: true,
        files: files(),
        added: vec!["cat".to_owned()],
        removed: vec!["dog".to_owned()],
        restarted: vec!["web:0".to_owned(), "web:1".to_owned()],
        changed: vec!["db".to_owned()],
        unchanged: 4,
        needs_restart: vec!["[http] socket".to_owned()],
        notifiers: vec!["ops".to_owned()],
        keys: vec![changed_key()],
        diagnostics: vec![diagnostic()],
    }
}

fn changed_key() -> ChangedKey {
    ChangedKey { name: "db".to_owned(), key: "startsecs".to_owned(), before: json!(1.0), after: json!(5.0) }
}

fn problem() -> Problem {
    let problem = Problem::no_such_program(vec!["wbe".to_owned()])
        .with_hint("is \"web\" meant? GET /v1/programs lists them")
        .with_results(vec![result()])
        .with_diagnostics(vec![diagnostic()])
        .with_written(6);
    Problem { supported: vec!["v1".to_owned()], api: Some("1.2".to_owned()), ..problem }
}
