//! One example of every body, with every field filled in.
//!
//! The OpenAPI document shows them, and its test compares their fields with the schemas, so that neither the structs nor
//! the document can gain a field alone.

use serde_json::{Value, json};

use crate::action::{ActionReport, ActionResult, Outcome, ShutdownBody, SignalBody, SignalScope};
use crate::daemon::{Alive, Goals, Info, Missing, Phase, Ready};
use crate::problem::Problem;
use crate::process::{InstanceProcesses, ProcessInfo, ProcessState, Processes};
use crate::program::{ExitInfo, Program, ProgramDetail, Run};
use crate::state::{Goal, State};
use crate::timestamp::Timestamp;

/// 2026-11-23T00:24:05.120Z.
const NOON_MS: i64 = 1_795_393_445_120;

/// The example of the schema with this name, where it has one.
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
        "SignalBody" => serde_json::to_value(SignalBody { signal: "HUP".to_owned(), scope: SignalScope::Group }),
        "ShutdownBody" => serde_json::to_value(ShutdownBody { timeout: Some(5.0) }),
        "Alive" => serde_json::to_value(Alive { alive: true }),
        "Ready" => serde_json::to_value(Ready { ready: false, missing: vec![missing()] }),
        "Missing" => serde_json::to_value(missing()),
        "Processes" => serde_json::to_value(Processes { programs: vec![tree()], strays: vec![process()] }),
        "InstanceProcesses" => serde_json::to_value(tree()),
        "ProcessInfo" => serde_json::to_value(process()),
        "Problem" => serde_json::to_value(problem()),
        _ => return None,
    };
    Some(example.expect("strings, numbers and lists of them always make JSON"))
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(NOON_MS + seconds * 1000)
}

fn info() -> Info {
    Info {
        version: "0.1.0".to_owned(),
        pid: 1,
        is_pid1: true,
        state: Phase::Running,
        started_at: after(0),
        uptime: 3.5,
        config_files: vec!["/etc/muster.toml".to_owned()],
        goals: Goals { up: 4, down: 1 },
    }
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
        pid: Some(12),
        run: Some(7),
        started_at: Some(after(1)),
        uptime: Some(2.25),
        failures: 3,
        startretries: Some(10),
        next_start_at: Some(after(5)),
        exit: Some(exit()),
        waiting_for: vec!["db (healthy)".to_owned()],
        autostart: true,
        priority: 999,
        description: "terminated by SIGKILL; next start in 2s, attempt 4 of 10".to_owned(),
    }
}

fn run() -> Run {
    Run { run: 7, pid: Some(12), started_at: after(1), ended_at: Some(after(3)), uptime: 2.25, exit: Some(exit()) }
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

fn tree() -> InstanceProcesses {
    InstanceProcesses { name: "web:0".to_owned(), state: State::Running, run: Some(7), processes: vec![process()] }
}

fn problem() -> Problem {
    Problem::no_such_program(vec!["wbe".to_owned()])
        .with_hint("is \"web\" meant? GET /v1/programs lists them")
        .with_results(vec![result()])
}
