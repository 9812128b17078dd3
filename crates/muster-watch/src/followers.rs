//! All programs that watch files, and the directories that they share.
//!
//! Each program has one look at a time. Reports that come while it goes on may be about directories of which only the look knows: then
//! it looks again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_spec::WatchSpec;

use crate::follower::{Change, Follower};
use crate::look::{Look, Looked, Place, Source};
use crate::queue::{Kind, Queue, Report, Token};

/// The most looks at a time, those included that hang; the others wait.
pub const MOST_LOOKS: usize = 32;

/// The places of one directory, each with the number of its program.
type Places = Vec<(u64, Place)>;

/// The result of a look, in words.
#[derive(Debug)]
pub struct Told {
    /// The program.
    pub program: String,
    /// If these files were not looked at before: the number of directories that the kernel reports about.
    pub begins: Option<usize>,
    /// The files that cannot be watched, in words.
    pub problems: Vec<String>,
}

/// All programs that watch files.
#[derive(Default)]
pub struct Followers {
    followers: BTreeMap<u64, Follower>,
    /// The number of each program, which is never reused.
    numbers: BTreeMap<String, u64>,
    last: u64,
    places: HashMap<Token, Places>,
    /// The directories of each program.
    tokens: HashMap<u64, Vec<Token>>,
    /// Directories that no program wants, to be given up when no look goes on: it might have just asked for one.
    unused: Vec<Token>,
    /// The number of looks that go on, those of removed programs included.
    looks: usize,
}

impl Followers {
    /// Follows the configuration: these programs watch these files.
    pub fn adopt(&mut self, now: Instant, programs: Vec<(String, WatchSpec, Vec<Source>)>, queue: Option<&Queue>) {
        let gone = |name: &&String| programs.iter().all(|(other, ..)| other != *name);
        for name in self.numbers.keys().filter(gone).cloned().collect::<Vec<_>>() {
            if let Some(number) = self.numbers.remove(&name) {
                self.followers.remove(&number);
                self.forget_places(number);
            }
        }
        for (name, spec, sources) in programs {
            let sources: Arc<[Source]> = sources.into();
            match self.numbers.get(&name).and_then(|number| self.followers.get_mut(number)) {
                Some(follower) => follower.adopt(now, sources, &spec),
                None => {
                    self.last += 1;
                    self.numbers.insert(name.clone(), self.last);
                    self.followers.insert(self.last, Follower::new(now, name, sources, &spec));
                }
            }
        }
        self.give_up_unused(queue);
    }

    /// Whether no program watches files, and no look goes on: then the queue can be given up, and this with it.
    pub fn is_at_rest(&self) -> bool {
        self.followers.is_empty() && self.looks == 0
    }

    /// Whether reports of the kernel are wanted.
    pub fn needs_queue(&self) -> bool {
        self.followers.values().any(|follower| !follower.is_polled())
    }

    /// Takes in a report.
    pub fn take(&mut self, now: Instant, report: &Report) {
        let Some(token) = report.token else {
            return self.followers.values_mut().filter(|one| !one.is_polled()).for_each(|one| one.look_again(now));
        };
        let places = self.places.get(&token).map_or(&[][..], Vec::as_slice);
        for (number, place) in places {
            if let Some(follower) = self.followers.get_mut(number) {
                follower.take(now, place, report);
            }
        }
        if self.looks == 0 || report.kind == Kind::Nothing {
            return;
        }
        for (number, follower) in self.followers.iter_mut().filter(|(_, one)| one.is_looking() && !one.is_polled()) {
            if places.iter().all(|(of, _)| of != number) {
                follower.look_again(now);
            }
        }
    }

    /// When something is to be done, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let may_look = self.looks < MOST_LOOKS;
        self.followers.values().filter_map(|follower| follower.deadline(may_look)).min()
    }

    /// The looks that threads have to make now, each with the number of its program.
    pub fn begin_looks(&mut self, now: Instant, queue: Option<&Queue>) -> Vec<(u64, Look)> {
        let begun = self.followers.iter_mut().filter_map(|(number, one)| Some((*number, one.begin_look(now, queue)?)));
        let begun: Vec<_> = begun.take(MOST_LOOKS - self.looks.min(MOST_LOOKS)).collect();
        self.looks += begun.len();
        begun
    }

    /// A look is over; `None` if no thread could be started for it. Returns what is to be said of it.
    pub fn end_look(
        &mut self,
        now: Instant,
        number: u64,
        looked: Option<Looked>,
        queue: Option<&Queue>,
    ) -> Option<Told> {
        self.looks -= 1;
        let is_outdated = self.followers.get(&number).is_none_or(Follower::is_outdated);
        let (mut looked, outdated) = if is_outdated { (None, looked) } else { (looked, None) };
        self.unused.extend(outdated.into_iter().flat_map(|looked| looked.places).map(|(token, _)| token));
        let mut problems = None;
        if let Some(follower) = self.followers.get_mut(&number) {
            let is_first = follower.end_look(now, looked.as_ref());
            if let Some(looked) = &mut looked {
                problems = Some(Told {
                    program: follower.name().to_owned(),
                    begins: is_first.then_some(looked.places.len()),
                    problems: std::mem::take(&mut looked.problems),
                });
                self.forget_places(number);
            }
        }
        for (token, place) in looked.map(|looked| looked.places).unwrap_or_default() {
            self.places.entry(token).or_default().push((number, place));
            self.tokens.entry(number).or_default().push(token);
        }
        self.give_up_unused(queue);
        problems
    }

    /// The changes that have their effect now, and the programs for which one is held from now on, with how long.
    pub fn take_changes(&mut self, now: Instant) -> Vec<Result<Change, (String, Duration)>> {
        let taken = self.followers.values_mut().filter_map(|follower| {
            let taken = follower.take_change(now)?;
            Some(taken.map_err(|left| (follower.name().to_owned(), left)))
        });
        taken.collect()
    }

    fn forget_places(&mut self, number: u64) {
        for token in self.tokens.remove(&number).unwrap_or_default() {
            let Some(places) = self.places.get_mut(&token) else { continue };
            places.retain(|(of, _)| *of != number);
            if places.is_empty() {
                self.places.remove(&token);
                self.unused.push(token);
            }
        }
    }

    fn give_up_unused(&mut self, queue: Option<&Queue>) {
        if self.looks > 0 {
            return;
        }
        for token in std::mem::take(&mut self.unused) {
            if let Some(queue) = queue.filter(|_| !self.places.contains_key(&token)) {
                queue.remove(token);
            }
        }
    }
}

#[cfg(test)]
mod tests;
