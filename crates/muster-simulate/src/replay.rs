//! `musterd simulate --replay`: makes every decision of a recording again, with the rules of this build.
//!
//! A recording is what `GET /v1/debug/recording` answers: the state of the core, and the inputs that followed, with their times.
//! Nothing is scripted and nothing is guessed here. The states at the end must be those of the recording; otherwise this build
//! decides differently.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use muster_core::recording::Recording;
use muster_core::{Effect, Supervisor, Time};
use muster_spec::{ProgramSpec, Signal};
use muster_sys::say::{complain, say};
use serde::Deserialize;

use crate::timeline::{Over, Recorder, Timeline};
use crate::{json, text};

/// The answer of the daemon.
#[derive(Deserialize)]
struct Document {
    #[serde(flatten)]
    head: Head,
    recording: Recording,
}

/// The part that each version can read.
#[derive(Deserialize)]
struct Head {
    musterd: String,
    started: String,
    time: String,
}

/// A recording that was played.
struct Played {
    timeline: Timeline,
    programs: Vec<Arc<ProgramSpec>>,
    /// How the states at the end differ, in words.
    differences: Vec<String>,
}

/// Plays a recording and shows it. Returns the exit code: 1 if it ends in other states, 2 if it cannot be played.
pub(crate) fn replay_command(path: &Path, as_json: bool) -> u8 {
    let shown = path.display();
    let Document { head, recording } = match read(path) {
        Ok(document) => document,
        Err(message) => {
            complain(&format!("musterd: {shown}: {message}"));
            return 2;
        }
    };
    let inputs = recording.steps.len();
    // The state is private to the core and is not checked: a file that was edited may be impossible.
    let Ok(Some(played)) = catch_unwind(AssertUnwindSafe(|| play(recording))) else {
        complain(&format!("musterd: {shown}: it is no state that a daemon can have\nhint: take the recording again"));
        return 2;
    };
    if as_json {
        say(&json::timeline(&played.timeline, &played.programs).to_string());
    } else {
        let Head { musterd, started, time } = &head;
        let table = text::table(&played.timeline, &played.programs, &[]);
        let account = text::account(&played.timeline);
        say(&format!(
            "{inputs} inputs of musterd {musterd}, started at {started}, until {time}\n{table}\n{}",
            account.trim_end()
        ));
    }
    for difference in &played.differences {
        complain(&format!("musterd: {shown}: {difference}"));
    }
    if !played.differences.is_empty() {
        complain(&format!("hint: the recording is of musterd {}, whose rules may be others", head.musterd));
    }
    u8::from(!played.differences.is_empty())
}

fn read(path: &Path) -> Result<Document, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| {
        let own = env!("CARGO_PKG_VERSION");
        let of = serde_json::from_str(&text).ok().map(|Head { musterd, .. }| musterd).filter(|version| version != own);
        match of {
            Some(version) => format!("{error}\nhint: it is of musterd {version} and this is {own}: use that version"),
            None => format!("it is no recording: {error}\nhint: GET /v1/debug/recording answers one"),
        }
    })
}

fn play(recording: Recording) -> Option<Played> {
    let mut supervisor = recording.state.restore()?;
    let programs = programs(&supervisor);
    let (mut recorder, mut ended, mut over) = (Recorder::of(&supervisor), Time::ZERO, Over::TimeUp);
    for step in recording.steps {
        ended = step.at;
        step.call.apply(&mut supervisor, ended);
        while let Some(effect) = supervisor.poll_effect() {
            match effect {
                Effect::Publish(event) => recorder.record(ended, &event, &supervisor),
                Effect::Signal { run, signal, .. } if signal != Signal::KILL => {
                    let instance = supervisor.instance_of(run);
                    instance.into_iter().for_each(|instance| recorder.note_signal(ended, instance, signal));
                }
                Effect::Exit { .. } => over = Over::Exited,
                _ => {}
            }
        }
    }
    let states = supervisor.snapshot().iter().map(|it| (it.name().to_owned(), it.state())).collect::<Vec<_>>();
    let mut differences = Vec::new();
    for (name, state) in &recording.end {
        match states.iter().find(|(known, _)| known == name) {
            Some((_, played)) if played == state => {}
            Some((_, played)) => {
                differences.push(format!("program {name:?} was {state} at the end, and is {played} in the replay"));
            }
            None => differences.push(format!("program {name:?} was {state} at the end, and is gone in the replay")),
        }
    }
    Some(Played { timeline: recorder.finish(&supervisor, None, ended, over), programs, differences })
}

/// The programs, also those that were no longer configured and still had processes.
pub(crate) fn programs(supervisor: &Supervisor) -> Vec<Arc<ProgramSpec>> {
    let mut programs: Vec<Arc<ProgramSpec>> = Vec::new();
    for program in supervisor.snapshot().iter().map(|instance| instance.program()) {
        if !programs.last().is_some_and(|last| Arc::ptr_eq(last, program)) {
            programs.push(Arc::clone(program));
        }
    }
    programs
}
