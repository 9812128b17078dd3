//! Which version of each source is active, which is to become active, and which was refused.
//!
//! Pure: callers pass the time. Together with the local files, all texts make one configuration. A version that makes it
//! invalid is refused and remembered, so that it is not tried again before the source has another one.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use muster_api::{Source, SourceState};
use muster_config::RemoteText;
use muster_spec::{ApplyWhen, SourceSpec};

use crate::edition::{Edition, Failure};
use crate::pace::Dice;

/// The versions of one source.
#[derive(Debug)]
struct Entry {
    spec: Arc<SourceSpec>,
    active: Option<Arc<Edition>>,
    pending: Option<Pending>,
    refused: Option<Refused>,
    /// Whether the refused version is to be judged again, if the source still has it.
    is_forgiven: bool,
    /// Until when nothing new becomes active; `Some(None)` is without an end.
    held: Option<Option<Instant>>,
    /// Whether the server has answered since the start.
    was_read: bool,
    failure: Option<String>,
    contact: Option<SystemTime>,
    active_since: Option<SystemTime>,
    counts: Counts,
}

#[derive(Debug)]
struct Pending {
    edition: Arc<Edition>,
    /// When it is to become active.
    due: Instant,
    /// Whether it was tried, and the local files were at fault.
    was_tried: bool,
}

#[derive(Debug)]
struct Refused {
    edition: Arc<Edition>,
    at: SystemTime,
    reason: String,
}

/// How often something happened to a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The server had a new version.
    pub changed: u64,
    /// The server had the known version.
    pub unchanged: u64,
    /// The server could not be asked, or answered with an error.
    pub failed: u64,
    /// A version became active.
    pub applied: u64,
    /// A version was refused.
    pub refused: u64,
}

/// The texts to be tried next.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// The texts, in order of precedence.
    pub texts: Vec<RemoteText>,
    /// The versions that are not active yet, with their sources.
    new: Vec<(String, Arc<Edition>)>,
}

impl Candidate {
    /// Whether it differs from the active versions.
    pub fn is_new(&self) -> bool {
        !self.new.is_empty()
    }
}

/// An answer of a source.
#[derive(Clone, Debug)]
pub enum News {
    /// A version, known or not.
    Version(Edition),
    /// The known version.
    Unchanged,
    /// No answer, or none that is useful.
    Failed(Failure),
}

/// The versions of all sources.
#[derive(Debug, Default)]
pub struct Book {
    entries: Vec<Entry>,
}

impl Book {
    /// Adopts the sources of a configuration. Those that are the same keep their versions.
    pub fn adopt(&mut self, specs: &[SourceSpec]) {
        let mut earlier = std::mem::take(&mut self.entries);
        for spec in specs {
            let known =
                earlier.iter().position(|entry| entry.spec.address == spec.address && entry.spec.name == spec.name);
            let mut entry = known.map_or_else(|| Entry::new(spec), |place| earlier.swap_remove(place));
            entry.spec = Arc::new(spec.clone());
            self.entries.push(entry);
        }
    }

    fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.spec.name == name)
    }

    /// Takes in what a source said. Returns whether it changes what is to be done or shown.
    pub fn note(&mut self, name: &str, news: News, now: (Instant, SystemTime), dice: &mut Dice) -> bool {
        let Some(entry) = self.entry(name) else { return false };
        match news {
            News::Failed(failure) => {
                entry.counts.failed += 1;
                let is_new = entry.failure.as_ref() != Some(&failure.reason);
                entry.failure = Some(failure.reason);
                is_new
            }
            News::Unchanged => {
                entry.counts.unchanged += 1;
                let was_away = entry.contacted(now.1);
                // The known version is the one that was refused.
                let again = entry.refused.take_if(|_| std::mem::take(&mut entry.is_forgiven));
                again.is_some_and(|again| entry.offer((*again.edition).clone(), now, dice)) || was_away
            }
            News::Version(edition) => {
                let was_away = entry.contacted(now.1);
                if std::mem::take(&mut entry.is_forgiven) {
                    entry.refused = None;
                }
                entry.offer(edition, now, dice) || was_away
            }
        }
    }

    /// Makes a kept version the one to begin with.
    pub fn offer_kept(&mut self, name: &str, edition: Edition, now: Instant) {
        if let Some(entry) = self.entry(name).filter(|entry| entry.active.is_none() && entry.pending.is_none()) {
            entry.pending = Some(Pending { edition: Arc::new(edition), due: now, was_tried: false });
        }
    }

    /// The texts to try: of each source the pending version if it is due, or if `asked` for by a person; otherwise the
    /// active one.
    pub fn candidate(&self, now: Instant, asked: bool) -> Candidate {
        let mut candidate = Candidate::default();
        for entry in &self.entries {
            let is_due = |pending: &&Pending| {
                entry.is_free(now) && (asked || (pending.due <= now && entry.applies_itself() && !pending.was_tried))
            };
            let pending = entry.pending.as_ref().filter(is_due);
            candidate.new.extend(pending.map(|pending| (entry.spec.name.clone(), Arc::clone(&pending.edition))));
            if let Some(edition) = pending.map(|pending| &pending.edition).or(entry.active.as_ref()) {
                candidate.texts.extend(edition.texts_of(&entry.spec));
            }
        }
        candidate
    }

    /// The texts of the active versions alone.
    pub fn active(&self) -> Candidate {
        let mut candidate = Candidate::default();
        for entry in &self.entries {
            if let Some(edition) = &entry.active {
                candidate.texts.extend(edition.texts_of(&entry.spec));
            }
        }
        candidate
    }

    /// The candidate has become active. Returns the versions that are new, to be kept.
    pub fn accept(&mut self, candidate: Candidate, at: SystemTime) -> Vec<(Arc<SourceSpec>, Arc<Edition>)> {
        let mut accepted = Vec::new();
        for (name, edition) in candidate.new {
            let Some(entry) = self.entry(&name) else { continue };
            if entry.pending.as_ref().is_some_and(|pending| *pending.edition == *edition) {
                entry.pending = None;
            }
            entry.refused = None;
            entry.counts.applied += 1;
            entry.active_since = Some(at);
            entry.active = Some(Arc::clone(&edition));
            accepted.push((Arc::clone(&entry.spec), edition));
        }
        accepted
    }

    /// The candidate made the configuration invalid. The sources with these texts are at fault, or all new versions if none
    /// of them has one. Returns the names of those that were refused.
    pub fn refuse(&mut self, candidate: &Candidate, at_fault: &[String], reason: &str, at: SystemTime) -> Vec<String> {
        let has_fault = |(name, edition): &&(String, Arc<Edition>)| {
            let spec = self.entries.iter().find(|entry| entry.spec.name == *name).map(|entry| &entry.spec);
            spec.is_some_and(|spec| {
                edition.texts.iter().any(|text| at_fault.contains(&spec.shown(&text.name).display().to_string()))
            })
        };
        let mut culprits: Vec<(String, Arc<Edition>)> = candidate.new.iter().filter(has_fault).cloned().collect();
        if culprits.is_empty() {
            culprits.clone_from(&candidate.new);
        }
        for (name, edition) in &culprits {
            if let Some(entry) = self.entry(name) {
                entry.refuse(Arc::clone(edition), reason.to_owned(), at);
            }
        }
        culprits.into_iter().map(|(name, _)| name).collect()
    }

    /// The candidate was tried, and the local files were at fault: it waits for the next reload.
    pub fn postpone(&mut self, candidate: &Candidate) {
        for (name, _) in &candidate.new {
            if let Some(pending) = self.entry(name).and_then(|entry| entry.pending.as_mut()) {
                pending.was_tried = true;
            }
        }
    }

    /// When the next version is to become active by itself.
    pub fn due(&self) -> Option<Instant> {
        let due = |entry: &Entry| {
            let pending = entry.pending.as_ref().filter(|pending| entry.applies_itself() && !pending.was_tried)?;
            match entry.held {
                None => Some(pending.due),
                Some(until) => until.map(|until| until.max(pending.due)),
            }
        };
        self.entries.iter().filter_map(due).min()
    }

    /// Stops new versions of a source from becoming active. Returns whether there is such a source.
    pub fn hold(&mut self, name: &str, until: Option<Instant>) -> bool {
        self.entry(name).map(|entry| entry.held = Some(until)).is_some()
    }

    /// Lets new versions become active again.
    pub fn release(&mut self, name: &str) -> bool {
        self.entry(name).map(|entry| entry.held = None).is_some()
    }

    /// Has a refused version judged again, if the source still has it when it answers next; a version that waits becomes
    /// active at once.
    pub fn forgive(&mut self, name: &str, now: Instant) -> bool {
        let Some(entry) = self.entry(name) else { return false };
        entry.is_forgiven = entry.refused.is_some();
        if let Some(pending) = &mut entry.pending {
            pending.due = now;
            pending.was_tried = false;
        }
        true
    }

    /// The sources that have neither an active nor a pending version, with the reason.
    pub fn missing(&self) -> Vec<(Arc<SourceSpec>, Option<String>)> {
        let is_missing = |entry: &&Entry| entry.active.is_none() && entry.pending.is_none();
        self.entries.iter().filter(is_missing).map(|entry| (Arc::clone(&entry.spec), entry.reason())).collect()
    }

    /// All sources, for people.
    pub fn reports(&self, now: (Instant, SystemTime)) -> Vec<Source> {
        self.entries.iter().map(|entry| entry.report(now)).collect()
    }

    /// The counts of each source.
    pub fn counts(&self) -> Vec<(String, Counts)> {
        self.entries.iter().map(|entry| (entry.spec.name.clone(), entry.counts)).collect()
    }
}

impl Entry {
    fn new(spec: &SourceSpec) -> Entry {
        Entry {
            spec: Arc::new(spec.clone()),
            active: None,
            pending: None,
            refused: None,
            is_forgiven: false,
            held: None,
            was_read: false,
            failure: None,
            contact: None,
            active_since: None,
            counts: Counts::default(),
        }
    }

    fn applies_itself(&self) -> bool {
        // Without any version there is nothing to keep.
        self.spec.apply == ApplyWhen::Auto || self.active.is_none()
    }

    fn is_free(&self, now: Instant) -> bool {
        match self.held {
            None => true,
            Some(until) => until.is_some_and(|until| until <= now),
        }
    }

    /// The server answered. Returns whether that is news.
    fn contacted(&mut self, at: SystemTime) -> bool {
        let was_away = self.failure.take().is_some() || !self.was_read;
        self.was_read = true;
        self.contact = Some(at);
        was_away
    }

    fn offer(&mut self, edition: Edition, (now, date): (Instant, SystemTime), dice: &mut Dice) -> bool {
        let is = |known: &Arc<Edition>| **known == edition;
        if self.active.as_ref().is_some_and(is) {
            self.counts.unchanged += 1;
            let had_another = self.pending.take().is_some() || self.refused.take().is_some();
            if let Some(active) = &mut self.active {
                *active = Arc::new(edition);
            }
            return had_another;
        }
        let is_known = self.pending.as_ref().is_some_and(|pending| is(&pending.edition))
            || self.refused.as_ref().is_some_and(|refused| is(&refused.edition));
        if is_known {
            self.counts.unchanged += 1;
            return false;
        }
        self.counts.changed += 1;
        let had_programs = self.active.as_ref().is_some_and(|active| active.has_programs());
        if had_programs && !self.spec.allow_empty && !edition.has_programs() {
            let reason = "it has no programs, and the active version has some (allow_empty)";
            self.refuse(Arc::new(edition), reason.to_owned(), date);
            return true;
        }
        let delay = if self.active.is_none() { Duration::ZERO } else { dice.part_of(self.spec.splay) };
        self.refused = None;
        self.pending = Some(Pending { edition: Arc::new(edition), due: now + delay, was_tried: false });
        true
    }

    fn refuse(&mut self, edition: Arc<Edition>, reason: String, at: SystemTime) {
        self.counts.refused += 1;
        self.pending = None;
        self.refused = Some(Refused { edition, at, reason });
    }

    fn reason(&self) -> Option<String> {
        self.refused.as_ref().map(|refused| refused.reason.clone()).or_else(|| self.failure.clone())
    }

    fn report(&self, (now, date): (Instant, SystemTime)) -> Source {
        let is_held = !self.is_free(now);
        let state = match () {
            () if self.refused.is_some() => SourceState::Refused,
            () if is_held => SourceState::Held,
            () if self.failure.is_some() => SourceState::Unreachable,
            () if self.active.is_some() && self.pending.is_none() => SourceState::Active,
            () => SourceState::Waiting,
        };
        let age = |at: Option<SystemTime>| Some(date.duration_since(at?).unwrap_or_default().as_secs_f64());
        let since_epoch = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Source {
            name: self.spec.name.clone(),
            url: self.spec.address.to_string(),
            state,
            revision: self.active.as_ref().and_then(|active| active.revision.words()),
            texts: self.active.iter().flat_map(|active| &active.texts).map(|text| text.name.clone()).collect(),
            active_for: age(self.active_since),
            refused_for: age(self.refused.as_ref().map(|refused| refused.at)),
            reason: self.reason(),
            is_pending: self.pending.is_some(),
            is_held,
            is_up: self.was_read && self.failure.is_none(),
            last_contact: self.contact.map(since_epoch),
        }
    }
}

#[cfg(test)]
mod tests;
