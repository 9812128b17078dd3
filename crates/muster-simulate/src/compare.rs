//! `--compare`: the same runs under other systems' policies, side by side.
//!
//! Only what a preset defines differs: the delays, the limit, and what counts as a failure. Everything else of the program
//! stays as configured, including `restart`.

use std::fmt::Write;

use muster_core::Time;
use muster_spec::{Preset, ProgramSpec, Span, Spec, State};

use crate::text::clock;
use crate::timeline::Timeline;
use crate::world::{SimulationPlan, simulate};

/// Maximum number of starts shown for each.
const STARTS: usize = 12;

/// The program's starts under each policy, as a table.
pub(crate) fn side_by_side(
    spec: &Spec,
    plan: &SimulationPlan,
    only: &[String],
    names: &[String],
) -> Result<String, String> {
    let name = match only {
        [name] => name.clone(),
        [] if spec.programs.len() == 1 => spec.programs[0].name.clone(),
        _ => {
            return Err(
                "musterd: which program is to be compared?\nhint: name one: musterd simulate web --compare docker"
                    .to_owned(),
            );
        }
    };
    let mut columns = vec![column("configured", spec, plan, &name)];
    for preset in names {
        let found = Preset::ALL.iter().find(|(known, _)| known == preset);
        let Some(&(title, preset)) = found else {
            let known: Vec<&str> = Preset::ALL.iter().map(|(known, _)| *known).collect();
            return Err(format!("musterd: there is no preset {preset:?}\nhint: there are {}", known.join(", ")));
        };
        columns.push(column(title, &with_preset(spec, &name, preset), plan, &name));
    }
    Ok(table(&name, &columns))
}

fn with_preset(spec: &Spec, name: &str, preset: Preset) -> Spec {
    let programs = spec.programs.iter().map(|program| {
        let is_meant = program.name == name || program.instances.iter().any(|instance| instance.name == name);
        if !is_meant {
            return program.clone();
        }
        let restart = preset.policy(program.restart.when);
        ProgramSpec { restart, ..ProgramSpec::clone(program) }.into()
    });
    Spec { programs: programs.collect(), ..spec.clone() }
}

/// A policy and its results, line by line.
struct Column {
    title: String,
    starts: Vec<String>,
    outcome: Vec<String>,
}

fn column(title: &str, spec: &Spec, plan: &SimulationPlan, name: &str) -> Column {
    let timeline = simulate(spec, plan);
    let index = timeline.instances.iter().position(|lane| lane.name == name || lane.program == name).unwrap_or(0);
    let starts: Vec<Time> = timeline
        .changes()
        .filter(|(_, change)| change.instance.0 as usize == index && change.to == State::Starting)
        .map(|(at, _)| at)
        .collect();
    let mut before = None;
    let shown = starts.iter().take(STARTS).map(|&at| {
        let pause = before.replace(at).map(|before| format!(" (+{})", Span(at.since(before)))).unwrap_or_default();
        format!("{}{pause}", clock(at))
    });
    Column { title: title.to_owned(), starts: shown.collect(), outcome: outcome(&timeline, index, starts.len()) }
}

fn outcome(timeline: &Timeline, index: usize, starts: usize) -> Vec<String> {
    let lane = &timeline.instances[index];
    let last = timeline.changes().filter(|(_, change)| change.instance.0 as usize == index).last();
    let since = last.map_or(Time::ZERO, |(at, _)| at);
    vec![
        format!("{starts}"),
        format!("{} at {}", lane.state, clock(since)),
        match &timeline.exit {
            Some(exit) => format!("{} at {}", exit.code, clock(timeline.ended)),
            None => format!("none by {}", clock(timeline.ended)),
        },
    ]
}

fn table(name: &str, columns: &[Column]) -> String {
    let rows = columns.iter().map(|column| column.starts.len()).max().unwrap_or(0);
    let width = |column: &Column| {
        let cells = column.starts.iter().chain(&column.outcome).chain([&column.title]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = format!("{name}: when its runs begin (and how long after the one before)\n\n");
    let mut put = |label: &str, cell: &dyn Fn(&Column) -> String| {
        let mut line = format!("{label:<10}");
        for column in columns {
            let _ = write!(line, "  {:<1$}", cell(column), width(column));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    };
    put("", &|column| column.title.clone());
    for row in 0..rows {
        put(&format!("run {}", row + 1), &|column| column.starts.get(row).cloned().unwrap_or_default());
    }
    for (row, label) in ["runs", "state", "exit code"].into_iter().enumerate() {
        put(label, &|column| column.outcome[row].clone());
    }
    text
}
