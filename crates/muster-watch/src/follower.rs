//! One program: what has changed, when it has an effect, and how often.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_spec::{WatchRate, WatchSpec};

use crate::look::{Look, Looked, Place, Source};
use crate::queue::{Kind, Queue, Report};

/// The longest wait for quiet, counted from the first change: a tree may change endlessly.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
/// After a look, the next one waits for this many times as long as it took: at most a fifth of one processor.
const REST: u32 = 4;
/// How long a look may take before what was reported has its effect without it.
const HANGING: Duration = Duration::from_secs(10);
/// The most files that are being written at the same time; further ones count at once.
const MOST_OPEN: usize = 1024;
/// The most names that are counted.
const MOST_NAMED: usize = 64;
/// The longest name in a message, in characters.
const LONGEST_NAME: usize = 120;

/// Files of a program have changed, and that is to have its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The program.
    pub program: String,
    /// The files, in words.
    pub files: String,
    /// When the last change was noticed.
    pub at: Instant,
    /// Whether files of the configuration are among them.
    pub of_configuration: bool,
    /// Whether other files are.
    pub of_others: bool,
}

/// The changes since the last effect.
#[derive(Debug)]
struct Burst {
    first: Instant,
    last: Instant,
    names: BTreeSet<String>,
    has_more: bool,
    of_configuration: bool,
    of_others: bool,
}

/// A program that watches files.
#[derive(Debug)]
pub(crate) struct Follower {
    name: String,
    pub(crate) sources: Arc<[Source]>,
    debounce: Duration,
    rate: WatchRate,
    poll: Option<Duration>,
    burst: Option<Burst>,
    open: HashSet<(PathBuf, OsString)>,
    /// When the look that goes on began.
    looking: Option<Instant>,
    /// Whether that is of files that are no longer watched.
    is_outdated: bool,
    /// Since when directories are to be looked at, without waiting for quiet.
    wants_look: Option<Instant>,
    /// Not before then.
    rests_until: Option<Instant>,
    next_poll: Option<Instant>,
    /// The sum of the last effect; `None` before the first look.
    base: Option<u64>,
    /// The sum of the last look.
    digest: u64,
    effects: VecDeque<Instant>,
    /// A change that is to have its effect; it waits if there were too many.
    pending: Option<Change>,
    is_held: bool,
}

impl Follower {
    pub(crate) fn new(now: Instant, name: String, sources: Arc<[Source]>, spec: &WatchSpec) -> Follower {
        Follower {
            name,
            sources,
            debounce: spec.debounce,
            rate: spec.at_most,
            poll: spec.poll,
            burst: None,
            open: HashSet::new(),
            looking: None,
            is_outdated: false,
            wants_look: Some(now),
            rests_until: None,
            next_poll: None,
            base: None,
            digest: 0,
            effects: VecDeque::new(),
            pending: None,
            is_held: false,
        }
    }

    /// Follows a reload. A look at other files follows, and earlier changes still count.
    pub(crate) fn adopt(&mut self, now: Instant, sources: Arc<[Source]>, spec: &WatchSpec) {
        (self.debounce, self.rate) = (spec.debounce, spec.at_most);
        if self.sources != sources || self.poll != spec.poll {
            (self.sources, self.poll) = (sources, spec.poll);
            (self.base, self.next_poll, self.wants_look) = (None, None, Some(now));
            self.open.clear();
            self.is_outdated = self.is_looking();
        }
    }

    /// Whether the look that goes on is of files that are no longer watched.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_polled(&self) -> bool {
        self.poll.is_some()
    }

    pub(crate) fn is_looking(&self) -> bool {
        self.looking.is_some()
    }

    /// Reports were lost, or came before it was known what they are about.
    pub(crate) fn look_again(&mut self, now: Instant) {
        self.wants_look.get_or_insert(now);
        self.stir(now);
    }

    /// Takes in a report about a place of its own.
    pub(crate) fn take(&mut self, now: Instant, place: &Place, report: &Report) {
        let Some(name) = &report.name else {
            if report.kind == Kind::Directory {
                self.look_again(now);
            }
            return;
        };
        let sources = Arc::clone(&self.sources);
        let Some(source) = sources.get(place.source) else { return };
        let on_the_way = place.names.get(name);
        if on_the_way.is_none() && source.patterns.is_excluded(&place.directory, name) {
            return;
        }
        match report.kind {
            // Its meaning depends on where the path leads now.
            _ if on_the_way.is_some() && report.kind != Kind::Created => {
                self.wants_look.get_or_insert(now);
                self.note(now, source, on_the_way.map(PathBuf::as_path).unwrap_or(Path::new("")));
            }
            Kind::Directory if on_the_way.is_some() || !source.patterns.below(&place.states, name).is_empty() => {
                self.look_again(now);
            }
            Kind::Created if on_the_way.is_some() || source.patterns.has_file(&place.states, name) => {
                if self.open.len() < MOST_OPEN {
                    self.open.insert((place.directory.clone(), name.clone()));
                }
                self.look_again(now);
            }
            Kind::Changed if source.patterns.has_file(&place.states, name) => {
                self.open.remove(&(place.directory.clone(), name.clone()));
                self.note(now, source, &place.label.join(name));
            }
            _ => {}
        }
    }

    fn stir(&mut self, now: Instant) {
        let new = || Burst {
            first: now,
            last: now,
            names: BTreeSet::new(),
            has_more: false,
            of_configuration: false,
            of_others: false,
        };
        self.burst.get_or_insert_with(new).last = now;
    }

    fn note(&mut self, now: Instant, source: &Source, name: &Path) {
        self.stir(now);
        let Some(burst) = &mut self.burst else { return };
        burst.of_configuration |= source.is_configuration;
        burst.of_others |= !source.is_configuration;
        let name = name.to_string_lossy();
        let kept: String = match name.char_indices().nth(LONGEST_NAME) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.into_owned(),
        };
        if burst.names.len() < MOST_NAMED || burst.names.contains(&kept) {
            burst.names.insert(kept);
        } else {
            burst.has_more = true;
        }
    }

    /// When something is to be done, at the latest. Looks wait if there may not be one more.
    pub(crate) fn deadline(&self, may_look: bool) -> Option<Instant> {
        let rested = |at: Instant| self.rests_until.map_or(at, |until| until.max(at));
        let held = self.pending.as_ref().map(|change| self.allowed_at().unwrap_or(change.at));
        if self.is_looking() || !may_look {
            return held.into_iter().chain(self.overdue_at()).min();
        }
        let quiet = self.quiet_at().map(rested);
        let look = self.wants_look.map(rested);
        let poll = self.next_poll.map(rested);
        held.into_iter().chain(quiet).chain(look).chain(poll).min()
    }

    /// When a change has its effect although the look hangs.
    fn overdue_at(&self) -> Option<Instant> {
        let has_names = self.burst.as_ref().is_some_and(|burst| !burst.names.is_empty());
        Some(self.quiet_at().filter(|_| has_names)?.max(self.looking? + HANGING))
    }

    fn quiet_at(&self) -> Option<Instant> {
        let burst = self.burst.as_ref()?;
        Some((burst.last + self.debounce).min(burst.first + LONGEST.max(self.debounce)))
    }

    /// When one more effect is allowed; `None` is at once.
    fn allowed_at(&self) -> Option<Instant> {
        let is_full = self.effects.len() >= self.rate.times as usize;
        self.effects.front().filter(|_| is_full).map(|first| *first + self.rate.per)
    }

    /// The look that a thread has to make now, if any.
    pub(crate) fn begin_look(&mut self, now: Instant, queue: Option<&Queue>) -> Option<Look> {
        let is_rested = self.rests_until.is_none_or(|until| until <= now);
        let is_quiet = self.quiet_at().is_some_and(|at| at <= now);
        let is_polled = self.next_poll.is_some_and(|at| at <= now);
        if self.is_looking() || !is_rested || !(self.wants_look.is_some() || is_quiet || is_polled) {
            return None;
        }
        self.looking = Some(now);
        self.wants_look = None;
        let queue = queue.filter(|_| self.poll.is_none()).cloned();
        Some(Look { sources: Arc::clone(&self.sources), queue, open: self.open.clone() })
    }

    /// The look is over; `None` if no thread could be started for it. Returns whether it was the first of these files.
    pub(crate) fn end_look(&mut self, now: Instant, looked: Option<&Looked>) -> bool {
        let Some(began) = self.looking.take() else { return false };
        self.is_outdated = false;
        let is_first = self.base.is_none() && looked.is_some();
        let took = now.saturating_duration_since(began);
        self.rests_until = Some(now + took.saturating_mul(REST));
        self.next_poll = self.poll.map(|poll| now + poll);
        if let Some(looked) = looked {
            let is_new = std::mem::replace(&mut self.digest, looked.digest) != looked.digest;
            let is_other = *self.base.get_or_insert(looked.digest) != looked.digest;
            // It is quiet once a later look finds the same.
            if self.poll.is_some() && is_other && (self.burst.is_none() || is_new) {
                self.stir(began);
            }
        }
        if self.quiet_at().is_some_and(|at| at <= began) {
            self.conclude();
        }
        is_first
    }

    /// It is quiet: whatever has changed is to have its effect.
    fn conclude(&mut self) {
        let Some(burst) = self.burst.take() else { return };
        let has_other_sum = self.base.is_some_and(|base| base != self.digest);
        self.base = Some(self.digest);
        if burst.names.is_empty() && !has_other_sum {
            return;
        }
        let is_all_configuration = self.sources.iter().all(|source| source.is_configuration);
        let of_unknown = burst.names.is_empty();
        let new = Change {
            program: self.name.clone(),
            files: in_words(&burst),
            at: burst.last,
            of_configuration: burst.of_configuration
                || of_unknown && self.sources.iter().any(|source| source.is_configuration),
            of_others: burst.of_others || of_unknown && !is_all_configuration,
        };
        self.pending = Some(match self.pending.take() {
            Some(before) => Change {
                of_configuration: before.of_configuration || new.of_configuration,
                of_others: before.of_others || new.of_others,
                at: new.at,
                ..before
            },
            None => new,
        });
    }

    /// A change that has its effect now, or is held for the first time: with how long.
    pub(crate) fn take_change(&mut self, now: Instant) -> Option<Result<Change, Duration>> {
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.conclude();
        }
        self.pending.as_ref()?;
        while self.effects.len() > self.rate.times as usize {
            self.effects.pop_front();
        }
        if let Some(at) = self.allowed_at().filter(|at| *at > now) {
            return (!std::mem::replace(&mut self.is_held, true)).then(|| Err(at - now));
        }
        if self.effects.len() >= self.rate.times as usize {
            self.effects.pop_front();
        }
        self.effects.push_back(now);
        self.is_held = false;
        self.pending.take().map(Ok)
    }
}

fn in_words(burst: &Burst) -> String {
    let mut names = burst.names.iter();
    let Some(first) = names.next() else { return "a watched file".to_owned() };
    match names.count() {
        0 => first.clone(),
        1 => format!("{first} and 1 other"),
        _ if burst.has_more => format!("{first} and many others"),
        others => format!("{first} and {others} others"),
    }
}
