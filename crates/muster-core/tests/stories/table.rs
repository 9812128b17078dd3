//! The table of states and inputs at the head of `program.rs`, held to what an instance does.
//!
//! Each cell is played: a fresh instance is driven into the situation of the cell's column and gets the input of the cell's
//! row; what it does is written in the words of the table and compared.

use std::time::Duration;

use muster_core::{Input, LeftBehind, ProbeOutcome};
use muster_spec::{
    DependencyCondition, Exit, Leftovers, Limit, ProbeKind, ProbeSpec, ProgramSpec, RestartPolicy, RunId, Signal,
    StopKill, StopSpec,
};

use crate::common::programs::{missing, ms, needs, notifying, probe, probed, program, quick, s};
use crate::stage::Stage;

/// Every table, by its columns, with its rows.
const TABLES: [(&[&str], &[&str]); 3] = [
    (
        &["STOPPED", "EXITED", "FATAL", "WAITING", "BACKOFF"],
        &[
            "start, restart",
            "start while unmet",
            "dependency met",
            "delay over",
            "delay over while unmet",
            "stop, shutdown",
            "message of an old run",
        ],
    ),
    (
        &["STARTING", "STARTING, executed", "RUNNING", "STOPPING"],
        &[
            "start",
            "stop, restart, shutdown",
            "second shutdown",
            "Spawned",
            "Spawned, startsecs = 0",
            "Ready, ready is configured",
            "deadline",
            "deadline, not ready",
            "probe failed too often",
            "WatchdogTripped",
            "SpawnFailed",
            "Exited, expected",
            "Exited, failure",
            "Exited, no retry left",
            "Exited, goal down",
            "Exited, leftovers = \"keep\"",
            "Exited, stop_kill = \"group\"",
            "Exited, stop_kill = \"main\"",
            "MainLost",
            "TreeGone",
            "Extended, TimeLost, WatchdogPinged",
        ],
    ),
    (
        &["WAITING", "BACKOFF", "STOPPING", "STOPPING, goal up", "EXITED", "FATAL"],
        &[
            "start, restart",
            "stop, shutdown",
            "second shutdown",
            "delay over",
            "patience over",
            "LeftBehind",
            "TreeGone",
            "TreeGone, delay over",
        ],
    ),
];

/// Cells of what cannot happen.
const NEVER: &str = "n/a";

#[test]
fn the_table_in_program_rs_is_what_an_instance_does() {
    let tables = tables(include_str!("../../src/program.rs"));
    assert_eq!(tables.len(), TABLES.len(), "tables in program.rs");
    let mut wrong = Vec::new();
    for (place, (table, (columns, rows))) in tables.iter().zip(TABLES).enumerate() {
        let [head, body @ ..] = &table[..] else { panic!("table {place} is empty") };
        assert_eq!(head[1..], *columns, "columns of table {place}");
        assert_eq!(body.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), rows, "rows of table {place}");
        for row in body {
            assert_eq!(row.len(), head.len(), "cells of {}", row[0]);
            for (column, cell) in columns.iter().zip(&row[1..]).filter(|(_, cell)| *cell != NEVER) {
                for does in play(place, column, &row[0]) {
                    if does != *cell {
                        wrong.push(format!("{column} × {}: the table says {cell:?}, but it is {does:?}", row[0]));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tables of the module's documentation: lines of cells.
fn tables(source: &str) -> Vec<Vec<Vec<String>>> {
    let doc: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let lines = doc.split(|line| !line.trim_start().starts_with('|'));
    lines.filter(|table| !table.is_empty()).map(|table| table.iter().filter_map(|line| cells(line)).collect()).collect()
}

/// The cells of a line, or nothing for the rule under the head.
fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_matches('|');
    let cells = line.split('|').map(|cell| cell.trim().replace('`', ""));
    (!line.starts_with("--")).then(|| cells.collect())
}

/// What a cell's instance does, in the words of the table: once for each input of the row.
fn play(table: usize, column: &str, row: &str) -> Vec<String> {
    let inputs: Vec<&str> = match row {
        "start, restart" | "stop, shutdown" | "stop, restart, shutdown" | "Extended, TimeLost, WatchdogPinged" => {
            row.split(", ").collect()
        }
        "message of an old run" => {
            vec!["Spawned", "SpawnFailed", "Exited, failure", "MainLost", "TreeGone", "Ready", "WatchdogTripped"]
        }
        _ => vec![row],
    };
    let played = inputs.into_iter().map(|input| {
        let mut stage = match table {
            0 => at_rest(column, row),
            1 => with_main(column, row),
            _ => with_leftovers(column, row),
        };
        let before = stage.core.find("it").expect("it is configured").state();
        let is_meant = column.split(", ").next() == Some(before.name());
        assert!(is_meant, "it is {before} where {column} is meant, before {row:?}");
        stage.forget_deeds();
        give(&mut stage, input);
        let after = stage.core.find("it").expect("it is configured").state();
        let entered = (after != before).then(|| after.name().to_owned());
        let ordered = stage.deeds().into_iter().filter_map(|deed| ordered(&deed));
        let words: Vec<String> = entered.into_iter().chain(ordered.map(str::to_owned)).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(", ") }
    });
    played.collect()
}

fn ordered(deed: &str) -> Option<&'static str> {
    match deed {
        "spawn it" => Some("spawn"),
        "TERM it" => Some("signal"),
        "sweep it with TERM" | "sweep the group of it with TERM" => Some("sweep"),
        "disown it" => Some("disown"),
        "sweep it with KILL" => Some("kill"),
        _ => None,
    }
}

fn it(retries: u32) -> ProgramSpec {
    let restart = RestartPolicy { limit: Limit::Retries(retries), ..RestartPolicy::DEFAULT };
    ProgramSpec { restart, autostart: false, ..program("it") }
}

/// Nothing of it runs. It needs another one, which runs unless it is missing.
fn at_rest(column: &str, row: &str) -> Stage {
    let retries = if column == "FATAL" { 0 } else { 9 };
    let needing = needs(it(retries), &[("other", DependencyCondition::Started)]);
    let mut stage = Stage::booted([needing, quick("other")]);
    let end_with = |stage: &mut Stage, code| {
        stage.start("it");
        stage.spawned("it");
        stage.exits("it", code);
    };
    match column {
        "EXITED" => end_with(&mut stage, 0),
        "BACKOFF" | "FATAL" => end_with(&mut stage, 1),
        _ => {}
    }
    if column == "WAITING" || row.contains("unmet") || row == "dependency met" {
        stage.stop("other");
        stage.exits("other", 0);
    }
    if column == "WAITING" {
        stage.start("it");
    }
    stage
}

/// The main process of its run lives.
fn with_main(column: &str, row: &str) -> Stage {
    let retries = if row == "Exited, no retry left" { 0 } else { 9 };
    let liveness = ProbeSpec { failure_threshold: 1, ..probe("live", ProbeKind::Liveness) };
    let at_once = || ProgramSpec { startsecs: Duration::ZERO, ..it(9) };
    let must_report = matches!(row, "Ready, ready is configured" | "deadline, not ready");
    let it = match row {
        "Spawned, startsecs = 0" => at_once(),
        "probe failed too often" => probed(it(9), &[liveness]),
        _ if must_report => notifying(at_once()),
        _ => it(retries),
    };
    let stop = match row {
        "Exited, leftovers = \"keep\"" => StopSpec { leftovers: Leftovers::Keep, ..it.stop.clone() },
        "Exited, stop_kill = \"group\"" => StopSpec { kill: StopKill::Group, ..it.stop.clone() },
        "Exited, stop_kill = \"main\"" => StopSpec { kill: StopKill::Main, ..it.stop.clone() },
        _ => it.stop.clone(),
    };
    let it = ProgramSpec { stop, ..it };
    // A program that stops first, for the rows in which its own turn has not come.
    let is_first = |other: ProgramSpec| ProgramSpec { priority: it.priority + 1, ..other };
    let mut stage = match row {
        "Exited, goal down" | "second shutdown" => Stage::booted([it.clone(), is_first(quick("other"))]),
        _ => Stage::booted([it]),
    };
    stage.start("it");
    if column != "STARTING" {
        stage.spawned("it");
    }
    if matches!(column, "RUNNING" | "STOPPING") {
        if must_report {
            stage.says_ready("it");
        }
        stage.after(s(1));
    }
    if column == "STOPPING" {
        stage.stop("it");
    }
    match row {
        "Exited, goal down" => drop(stage.stop("all")),
        "second shutdown" => stage.signal_to_daemon(Signal::TERM),
        _ => {}
    }
    stage
}

/// The main process of its run has ended, and others of its tree live.
fn with_leftovers(column: &str, row: &str) -> Stage {
    let retries = if column == "FATAL" { 0 } else { 9 };
    let mut stage = Stage::of([it(retries)]);
    stage.start("it");
    stage.spawned("it");
    if column.starts_with("STOPPING") {
        stage.stop("it");
    }
    stage.main_ends("it", Exit::Code(u8::from(column != "EXITED")));
    if matches!(column, "WAITING" | "STOPPING, goal up") {
        stage.start("it");
    }
    match row {
        "TreeGone, delay over" => stage.after(DELAY),
        "second shutdown" => stage.signal_to_daemon(Signal::TERM),
        _ => {}
    }
    stage
}

const DELAY: Duration = ms(500);

fn give(stage: &mut Stage, input: &str) {
    let run = stage.core.find("it").and_then(|it| it.last_run()).unwrap_or(RunId(u64::MAX));
    let wait_for_deadline = |stage: &mut Stage| {
        let next = stage.core.poll_timeout().map(|at| at.since(stage.now));
        next.into_iter().for_each(|span| stage.after(span));
    };
    match input {
        "start" | "start while unmet" => drop(stage.start("it")),
        "stop" => drop(stage.stop("it")),
        "restart" => drop(stage.restart("it")),
        "shutdown" | "second shutdown" => stage.signal_to_daemon(Signal::TERM),
        "dependency met" => {
            stage.start("other");
            stage.spawned("other");
        }
        "delay over" | "delay over while unmet" => stage.after(DELAY),
        "deadline" | "deadline, not ready" => wait_for_deadline(stage),
        "patience over" if stage.core.find("it").is_some_and(|it| it.state().name() == "STOPPING") => {
            stage.after(s(10))
        }
        "patience over" => stage.after(s(2)),
        "Spawned" | "Spawned, startsecs = 0" => stage.hand(Input::Spawned { run }),
        "SpawnFailed" => stage.hand(Input::SpawnFailed { run, error: missing() }),
        "Exited, expected" => stage.hand(Input::Exited { run, exit: Exit::Code(0) }),
        _ if input.starts_with("Exited, ") => {
            stage.hand(Input::Exited { run, exit: Exit::Code(1) });
        }
        "MainLost" => stage.hand(Input::MainLost { run }),
        "TreeGone" | "TreeGone, delay over" => stage.hand(Input::TreeGone { run }),
        "LeftBehind" => stage.names("it", LeftBehind::default()),
        "Ready" | "Ready, ready is configured" => stage.hand(Input::Ready { run }),
        "probe failed too often" => {
            let outcome = ProbeOutcome { success: false, detail: String::new() };
            stage.hand(Input::ProbeFinished { run, probe: 0, outcome });
        }
        "WatchdogTripped" => stage.hand(Input::WatchdogTripped { run }),
        "WatchdogPinged" => stage.hand(Input::WatchdogPinged { run }),
        "Extended" => stage.hand(Input::Extended { run, by: s(1) }),
        "TimeLost" => stage.hand(Input::TimeLost { by: s(1) }),
        _ => panic!("no input is known as {input}"),
    }
}
