//! What outlives the runs of an instance: its recent output, its counters, and its places in the consoles' queues.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use muster_spec::{InstanceSpec, LineFormat, OutputSpec, Overflow, RunId, Sink, Target, descriptor_of};
use tracing::warn;

use super::console::Console;
use super::console_format::{Lines, Style};
use super::counters::Counters;
use super::memory::Memory;
use super::policy::is_own_output;
use super::queue::{Full, Gap, LaneId, LaneSpec};
use super::stream::Shown;
use super::{Logs, Source, captured, json};

/// How much of an instance's output is kept in memory; and how much if it can be read from a file, which is
/// enough for the last lines of a run.
const REMEMBERED: usize = 256 * 1024;
const REMEMBERED_WITH_FILE: usize = 32 * 1024;

/// The state of an instance.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) memory: Arc<Memory>,
    pub(super) counters: Arc<Counters>,
    /// Its streams' places in the queues of the daemon's descriptors.
    pub(super) places: Vec<Place>,
}

/// A lane of a stream in the queue of a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    source: Source,
    descriptor: u32,
    lane: LaneId,
}

/// The queues other than those of stdout and stderr, and unused lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By the number of the descriptor. They are few: they were inherited.
    others: HashMap<u32, Console>,
    /// Descriptors that could not be used, which was logged: a program may start again and again.
    refused: HashSet<u32>,
    /// Lanes of removed instances, by the number of the descriptor.
    spare: HashMap<u32, Vec<LaneId>>,
}

impl Lanes {
    /// Makes the lanes of a removed instance available to others.
    pub(super) fn free(&mut self, places: Vec<Place>) {
        for place in places {
            self.spare.entry(place.descriptor).or_default().push(place.lane);
        }
    }

    /// The consoles of other descriptors than stdout and stderr.
    pub(super) fn consoles(&self) -> impl Iterator<Item = &Console> {
        self.others.values()
    }

    fn other(&mut self, number: u32) -> io::Result<Console> {
        if let Some(known) = self.others.get(&number) {
            return Ok(known.clone());
        }
        let copy = muster_sys::boot::inherited_descriptor(number)?;
        let console = Console::start("console-other", copy)?;
        Ok(self.others.entry(number).or_insert(console).clone())
    }
}

/// How a stream is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Showing {
    /// As lines, on the daemon's descriptor of the same stream.
    Console,
    /// As it is, on this descriptor of the daemon.
    Descriptor(u32),
}

fn showing(sinks: &[Sink]) -> Option<Showing> {
    let descriptor = |sink: &Sink| match sink {
        Sink::Descriptor(path) => descriptor_of(path).map(Showing::Descriptor),
        _ => None,
    };
    let is_console = |sink: &Sink| match sink {
        Sink::Console => true,
        Sink::File(path) => is_own_output(path),
        _ => false,
    };
    sinks.iter().find_map(descriptor).or_else(|| sinks.iter().any(is_console).then_some(Showing::Console))
}

impl Logs {
    /// Where a stream with these sinks is shown, if anywhere.
    pub(super) fn show(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        source: Source,
        sinks: &[Sink],
        kept: &mut Kept,
    ) -> Option<Shown> {
        let showing = showing(sinks)?;
        let (descriptor, is_verbatim) = match showing {
            Showing::Console => (source as u32 + 1, false),
            Showing::Descriptor(number) => (number, true),
        };
        let mut lanes = self.lanes.borrow_mut();
        let console = match descriptor {
            1 => self.consoles.stdout.clone(),
            2 => self.consoles.stderr.clone(),
            number => match lanes.other(number) {
                Ok(console) => console,
                Err(error) => {
                    if lanes.refused.insert(number) {
                        warn!(program = %spec.name, number, %error, "cannot write to a descriptor, output is kept in memory only");
                    }
                    return None;
                }
            },
        };
        let output = &spec.output;
        let lane = LaneSpec {
            gap: gap(run, spec, source),
            bound: output.buffer_size,
            full: match output.overflow {
                Overflow::Drop => Full::Slow,
                Overflow::Block => Full::Block,
            },
            counters: Some(Arc::clone(&kept.counters)),
            is_verbatim,
        };
        let is_here = |place: &&Place| place.source == source && place.descriptor == descriptor;
        let lane = match kept.places.iter().find(is_here) {
            Some(place) => console.lane(Some(place.lane), lane),
            None => {
                let spare = lanes.spare.get_mut(&descriptor).and_then(Vec::pop);
                let lane = console.lane(spare, lane);
                kept.places.push(Place { source, descriptor, lane });
                lane
            }
        };
        let colour = console.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let style = Style { format: output.format, timestamps: output.timestamps, colour };
        let lines = if is_verbatim { Lines::verbatim() } else { style.lines_of(&spec.name, source, run.0) };
        Some(Shown { console, lane, lines })
    }
}

/// The state of an instance, created at the first call. Its memory has the size that this spec says.
pub(super) fn keep<'a>(kept: &'a mut HashMap<String, Kept>, spec: &InstanceSpec) -> &'a mut Kept {
    let size = remembered(&spec.output);
    if let Some(known) = kept.get(&spec.name) {
        known.memory.set_size(size);
    }
    kept.entry(spec.name.clone()).or_insert_with(|| Kept {
        memory: Memory::of_size(size),
        counters: Arc::default(),
        places: Vec::new(),
    })
}

/// The mark for missing lines of this stream on the console.
pub(super) fn gap(run: RunId, spec: &InstanceSpec, source: Source) -> Gap {
    match spec.output.format {
        LineFormat::Json => Gap::Json { head: json::head(&spec.name, source, run.0) },
        LineFormat::Text | LineFormat::Raw => Gap::Text { name: spec.name.clone() },
    }
}

/// How much of an instance's output is kept in memory.
pub fn remembered(output: &OutputSpec) -> usize {
    let is_in_file = |target: &Target| {
        let sinks = captured(target).unwrap_or_default();
        sinks.iter().any(|sink| sink.file().is_some())
    };
    let all_in_files = is_in_file(&output.stdout) && output.stderr.as_ref().is_none_or(is_in_file);
    output.memory.unwrap_or(if all_in_files { REMEMBERED_WITH_FILE } else { REMEMBERED })
}
