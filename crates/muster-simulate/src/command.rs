//! The `simulate` command: parses its arguments and prints the result.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use muster_spec::{Spec, is_valid_name};

use crate::Host;
use crate::cli::SimulateArgs;
use crate::replay::replay_command;
use crate::scenario::{Connect, Script, read_duration};
use crate::world::{SimulationPlan, simulate};
use crate::{compare, json, scenarios, svg, text};
use muster_sys::say::{complain, say};

/// The default duration of a simulation.
pub(super) const HORIZON: Duration = Duration::from_secs(3600);

/// The default random seed.
pub(super) const SEED: u64 = 1;

/// The wall clock at the beginning if nothing else says: 2026-01-01T00:00:00Z.
pub(super) const BEGINNING: i64 = 1_767_225_600;

/// `musterd simulate`: returns the exit code.
pub fn simulate_command(host: Host, args: &SimulateArgs) -> u8 {
    muster_sys::boot::give_signals_back();
    if let Some(recording) = &args.replay {
        return replay_command(recording, args.json);
    }
    if !args.scenario.is_empty() {
        return scenarios::check_scenarios(host, args);
    }
    match tell(host, args) {
        Ok(is_complete) => u8::from(!is_complete),
        Err(message) => {
            if !message.is_empty() {
                complain(&message);
            }
            2
        }
    }
}

/// Returns whether the simulation was complete.
fn tell(host: Host, args: &SimulateArgs) -> Result<bool, String> {
    let spec = read(host, args)?;
    let (only, scripts) = read_runs(args, &spec)?;
    let plan = SimulationPlan {
        scripts,
        stop_at: args.stop_at,
        pauses: Vec::new(),
        connects: read_connects(args, &spec)?,
        until: args.until.unwrap_or(HORIZON),
        from: args.from.unwrap_or(BEGINNING),
        seed: args.seed.unwrap_or(SEED),
        ties: args.ties.unwrap_or_default(),
        mask: host.mask,
    };
    if !args.compare.is_empty() {
        say(compare::side_by_side(&spec, &plan, &only, &args.compare)?.trim_end());
        return Ok(true);
    }
    if args.json && args.svg.is_none() {
        let mut output = BufWriter::new(io::stdout().lock());
        let timeline = json::write(&spec, &plan, &mut output);
        // A reader that closed the pipe is not a failure.
        return Ok(timeline.is_ok_and(|timeline| timeline.cut_short().is_none()));
    }
    let timeline = simulate(&spec, &plan);
    if let Some(path) = &args.svg {
        write(path, &svg::drawing(&timeline))?;
    }
    if args.json {
        say(&json::timeline(&timeline, &spec.programs).to_string());
    } else {
        say(&format!("{}\n{}", text::table(&timeline, &spec.programs, &only), text::account(&timeline).trim_end()));
    }
    Ok(timeline.cut_short().is_none())
}

/// The configuration; if there is none, its errors have been reported.
fn read(host: Host, args: &SimulateArgs) -> Result<Spec, String> {
    let loaded = (host.load)(&args.config)?;
    match loaded.spec {
        Some(spec) => Ok(spec),
        None => {
            (host.report)(&loaded);
            Err(String::new())
        }
    }
}

type Runs = (Vec<String>, BTreeMap<String, Script>);

/// The programs named on the command line, and their scripts.
fn read_runs(args: &SimulateArgs, spec: &Spec) -> Result<Runs, String> {
    let mut only = Vec::new();
    let mut scripts = BTreeMap::new();
    let mut put = |name: &str, text: &str| {
        let script = Script::parse(text)
            .map_err(|error| format!("musterd: runs of {name:?}: {}\nhint: {}", error.message, error.hint))?;
        scripts.insert(known(name, spec)?, script);
        Ok::<(), String>(())
    };
    for word in &args.programs {
        let (name, runs) = word.split_once('=').map_or((word.as_str(), None), |(name, runs)| (name, Some(runs)));
        only.push(known(name, spec)?);
        runs.map_or(Ok(()), |runs| put(name, runs))?;
    }
    for word in &args.runs {
        match word.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, runs)) => put(name, runs)?,
            None => put(&the_one(args, spec)?, word)?,
        }
    }
    Ok((only, scripts))
}

/// The clients of the command line: `web@5s`.
fn read_connects(args: &SimulateArgs, spec: &Spec) -> Result<Vec<Connect>, String> {
    let read = |word: &String| {
        let (name, at) = word.rsplit_once('@').unwrap_or((word, ""));
        let Ok(at) = read_duration(at) else {
            return Err(format!("musterd: not a program and a time: {word:?}\nhint: --connect web@5s"));
        };
        Ok(Connect { at, to: known(name, spec)? })
    };
    args.connect.iter().map(read).collect()
}

fn is_name(name: &str) -> bool {
    name.split(':').all(is_valid_name)
}

/// The program that runs without a name refer to.
fn the_one(args: &SimulateArgs, spec: &Spec) -> Result<String, String> {
    match (args.programs.as_slice(), spec.programs.as_slice()) {
        ([name], _) => Ok(name.split('=').next().unwrap_or(name).to_owned()),
        ([], [program]) => Ok(program.name.clone()),
        _ => Err("musterd: whose runs? several programs are meant\nhint: --runs NAME=\"1@200ms ×5\"".to_owned()),
    }
}

fn known(name: &str, spec: &Spec) -> Result<String, String> {
    let has = |program: &muster_spec::ProgramSpec| {
        program.name == name || program.instances.iter().any(|instance| instance.name == name)
    };
    match spec.programs.iter().find(|program| has(program)) {
        Some(_) => Ok(name.to_owned()),
        None => {
            let names: Vec<&str> = spec.programs.iter().map(|program| program.name.as_str()).collect();
            Err(format!("musterd: there is no program {name:?}\nhint: there are {}", names.join(", ")))
        }
    }
}

/// Writes a file for the user.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("musterd: cannot write {}: {error}", path.display()))
}
