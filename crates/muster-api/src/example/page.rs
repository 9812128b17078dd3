//! Examples of bodies that the page needs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{after, exit};
use crate::session::{Session, SessionBody};
use crate::simulation::{SimulateBody, SimulatedMoment, SimulatedProgram, Simulation};
use crate::state::State;
use crate::stats::{InstanceRuns, InstanceStats, RunSpan, Stats};
use crate::why::EndedBy;

/// The example of the schema with this name, if it has one here.
pub(super) fn of(schema: &str) -> Option<serde_json::Result<Value>> {
    Some(match schema {
        "SessionBody" => serde_json::to_value(SessionBody {
            username: Some("deploy".to_owned()),
            password: Some("correct horse battery".to_owned()),
            token: None,
        }),
        "Session" => serde_json::to_value(session()),
        "Stats" => serde_json::to_value(Stats { at: after(60), programs: vec![stats()] }),
        "InstanceStats" => serde_json::to_value(stats()),
        "Runs" => serde_json::to_value([runs()]),
        "InstanceRuns" => serde_json::to_value(runs()),
        "RunSpan" => serde_json::to_value(span()),
        "SimulateBody" => serde_json::to_value(SimulateBody {
            runs: BTreeMap::from([("web:0".to_owned(), "1@0s, 1@2s ×*".to_owned())]),
            until: Some(600.0),
        }),
        "Simulation" => serde_json::to_value(simulation()),
        "SimulatedMoment" => serde_json::to_value(moment()),
        "SimulatedProgram" => serde_json::to_value(program()),
        _ => return None,
    })
}

fn session() -> Session {
    Session {
        by: "deploy".to_owned(),
        role: Some("control".to_owned()),
        is_session: true,
        may_log_in: false,
        is_encrypted: true,
        expires_at: Some(after(3600)),
    }
}

fn stats() -> InstanceStats {
    InstanceStats {
        name: "web:0".to_owned(),
        run: Some(7),
        processes: 3,
        memory: 12_345_678,
        cpu_seconds: 1.25,
        restarts: 2,
    }
}

fn runs() -> InstanceRuns {
    InstanceRuns { name: "web:0".to_owned(), program: "web".to_owned(), state: State::Running, runs: vec![span()] }
}

fn span() -> RunSpan {
    RunSpan {
        run: 6,
        started_at: after(0),
        ended_at: Some(after(2)),
        exit: Some(exit()),
        ended_by: Some(EndedBy::OutOfMemory),
        verdict: Some("restart after 1 s".to_owned()),
    }
}

fn simulation() -> Simulation {
    Simulation {
        at: after(60),
        timeline: vec![moment()],
        programs: vec![program()],
        ended_at: 12.5,
        exit_code: Some(1),
        reason: Some("web:0 is FATAL and essential".to_owned()),
        because_of: Some("web:0".to_owned()),
    }
}

fn moment() -> SimulatedMoment {
    SimulatedMoment {
        at: 0.0,
        program: Some("web:0".to_owned()),
        state: "BACKOFF".to_owned(),
        happened: "run 1 exited with 1 after 1m".to_owned(),
        decided: "restart after 1 s".to_owned(),
        from: Some("RUNNING".to_owned()),
        run: Some(1),
        end: Some("exit status 1".to_owned()),
        delay: Some(1.0),
    }
}

fn program() -> SimulatedProgram {
    SimulatedProgram {
        name: "web:0".to_owned(),
        state: "FATAL".to_owned(),
        runs: 4,
        restarts: 3,
        essential: true,
        last_end: Some("exit status 1".to_owned()),
        decided: Some("no restart: 3 of 3 restarts failed".to_owned()),
    }
}
