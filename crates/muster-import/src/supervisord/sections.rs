//! Sections and keys as they are collected from the files: by name, in the order of their first appearance, and within
//! the bounds.
//!
//! Knows nothing of lines; `ini` makes entries of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::limits;
use super::problem::SourcePlace;

/// A key and its value, before expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key in small letters.
    pub key: String,
    /// The lines of the value, joined by `\n`; `%(here)s` is replaced where the original replaces it first.
    pub text: String,
    /// The same as it is written, if `%(here)s` was replaced.
    pub(super) symbolic: Option<String>,
    /// Where the key stands.
    pub key_place: SourcePlace,
    /// Where the value begins; behind the delimiter if it is empty.
    pub place: SourcePlace,
    /// The comments above the key and behind its value.
    pub comments: Comments,
}

/// Comments with their `;` or `#`, without white space around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// The lines above that are all comment.
    pub above: Vec<String>,
    /// The one behind the first line of the value, or behind the header.
    pub behind: Option<String>,
}

impl Entry {
    /// The value as it is written, before anything is replaced.
    pub fn written(&self) -> &str {
        self.symbolic.as_deref().unwrap_or(&self.text)
    }

    /// The length of the value after [`Entry::place_here`].
    fn placed_length(&self, here: &str) -> usize {
        self.text.len() + self.text.matches(HERE).count() * here.len()
    }

    fn place_here(&mut self, here: &str) {
        let text = self.text.replace(HERE, here);
        self.symbolic.get_or_insert(std::mem::replace(&mut self.text, text));
    }
}

/// A section with its keys in the order of their first appearance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The text in the brackets.
    pub name: String,
    /// Its first header.
    pub place: SourcePlace,
    /// The file that the original names in messages: the included file that brought the section, or the main file.
    pub file: Arc<str>,
    /// Its keys, those of `[DEFAULT]` not included.
    pub entries: Vec<Entry>,
    /// The comments at its headers.
    pub comments: Comments,
    /// Comments at the end of a file whose last section it is.
    pub below: Vec<String>,
    /// Positions by key, once there are more than [`FEW`].
    index: HashMap<String, usize>,
}

/// Up to so many keys are found faster one by one.
const FEW: usize = 24;

impl Section {
    fn new(name: &str, place: SourcePlace) -> Section {
        let (file, comments, below, index) = (Arc::clone(&place.file), Comments::default(), Vec::new(), HashMap::new());
        Section { name: name.to_owned(), place, file, entries: Vec::new(), comments, below, index }
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.position(key).map(|at| &self.entries[at])
    }

    pub(super) fn position(&self, key: &str) -> Option<usize> {
        match self.entries.len() {
            0..=FEW => self.entries.iter().position(|entry| entry.key == key),
            _ => self.index.get(key).copied(),
        }
    }

    /// Replaces the key's entry in its old position, or appends it; returns its position.
    pub(super) fn set(&mut self, entry: Entry) -> usize {
        if let Some(at) = self.position(&entry.key) {
            self.entries[at] = entry;
            return at;
        }
        if self.entries.is_empty() {
            // A vector would begin with room for four, and most memory of many small sections would be unused.
            self.entries.reserve_exact(2);
        }
        self.entries.push(entry);
        let at = self.entries.len() - 1;
        match at {
            0..FEW => {}
            FEW => self.index.extend(self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at))),
            _ => _ = self.index.insert(self.entries[at].key.clone(), at),
        }
        at
    }
}

/// All sections that were read, in the order of their first appearance.
#[derive(Debug)]
pub(super) struct Sections {
    list: Vec<Section>,
    by_name: HashMap<String, usize>,
    defaults: Section,
    /// Entries whose text holds `%(here)s`, since it was last replaced.
    pub(super) unplaced: Vec<(Target, usize)>,
    /// Number of sections that already have the values of `[DEFAULT]` with `%(here)s`.
    filled: usize,
    /// The lines that may still be added, in sections and keys.
    left: usize,
    /// Number of comments that may still be kept.
    comments_left: usize,
    /// The first comment that was left out.
    comment_beyond: Option<SourcePlace>,
    /// The first text that was left out because of the bounds.
    beyond: Option<SourcePlace>,
}

/// A section of the list, or `[DEFAULT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Section(usize),
    Defaults,
}

pub(super) const HERE: &str = "%(here)s";

/// A copy of a text this long counts as another key, in bytes.
const KEY_BYTES: usize = 128;

impl Sections {
    pub(super) fn new(main: &Arc<str>) -> Sections {
        let defaults = Section::new("DEFAULT", SourcePlace::whole(main));
        let (list, by_name, unplaced) = (Vec::new(), HashMap::new(), Vec::new());
        let (left, comments_left) = (limits::KEYS, limits::COMMENTS);
        let (comment_beyond, beyond) = (None, None);
        Sections { list, by_name, defaults, unplaced, filled: 0, left, comments_left, comment_beyond, beyond }
    }

    /// The first text that was left out because there are too many sections and keys.
    pub(super) fn beyond(&self) -> Option<&SourcePlace> {
        self.beyond.as_ref()
    }

    /// Whether there is room for another comment; the first place without is noted.
    pub(super) fn has_room_for_comment(&mut self, place: impl FnOnce() -> SourcePlace) -> bool {
        match self.comments_left.checked_sub(1) {
            Some(left) => self.comments_left = left,
            None => _ = self.comment_beyond.get_or_insert_with(place),
        }
        self.comment_beyond.is_none()
    }

    /// The first comment that was left out because there are too many.
    pub(super) fn comment_beyond(&self) -> Option<&SourcePlace> {
        self.comment_beyond.as_ref()
    }

    /// Whether there is room for `keys` more; the first place without is noted.
    pub(super) fn has_room(&mut self, keys: usize, place: &SourcePlace) -> bool {
        match self.left.checked_sub(keys) {
            Some(left) if self.beyond.is_none() => {
                self.left = left;
                true
            }
            _ => {
                self.beyond.get_or_insert_with(|| place.clone());
                false
            }
        }
    }

    /// The sections, `[DEFAULT]` not included.
    pub(super) fn list(&self) -> &[Section] {
        &self.list
    }

    pub(super) fn into_list(self) -> Vec<Section> {
        self.list
    }

    /// The position of a section.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A key of a section, or the default for all sections.
    pub(super) fn entry(&self, section: usize, key: &str) -> Option<&Entry> {
        self.list[section].entry(key).or_else(|| self.defaults.entry(key))
    }

    /// All keys of a section, then those that it has from `[DEFAULT]`.
    pub(super) fn entries(&self, section: usize) -> impl Iterator<Item = &Entry> {
        let own = &self.list[section];
        own.entries.iter().chain(self.defaults.entries.iter().filter(|entry| own.entry(&entry.key).is_none()))
    }

    /// Replaces `%(here)s` in all values. A default that holds it becomes a value of each section.
    pub(super) fn place_here(&mut self, here: &str) {
        for (target, entry) in std::mem::take(&mut self.unplaced) {
            match target {
                Target::Section(section) => {
                    let of = &self.list[section].entries[entry];
                    let (keys, place) = (of.placed_length(here) / KEY_BYTES, of.place.clone());
                    if self.has_room(keys, &place) {
                        self.list[section].entries[entry].place_here(here);
                    }
                }
                Target::Defaults => self.filled = 0,
            }
        }
        let defaults = self.defaults.entries.iter().filter(|entry| entry.text.contains(HERE));
        let defaults: Vec<Entry> =
            defaults.map(|entry| Entry { comments: Comments::default(), ..entry.clone() }).collect();
        for mut placed in defaults {
            let keys = 1 + placed.placed_length(here) / KEY_BYTES;
            if !self.has_room(keys, &placed.place.clone()) {
                break;
            }
            placed.place_here(here);
            for at in self.filled..self.list.len() {
                if self.list[at].entry(&placed.key).is_none() && self.has_room(keys, &placed.place) {
                    self.list[at].set(placed.clone());
                }
            }
        }
        self.filled = self.list.len();
    }

    /// Adds a section that no text has, or finds the one of this name.
    pub(super) fn add(&mut self, name: &str, place: SourcePlace) -> usize {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        self.by_name.insert(name.to_owned(), self.list.len());
        self.list.push(Section::new(name, place));
        self.list.len() - 1
    }

    /// The section of a header; `None` if there is no room for it.
    pub(super) fn open(&mut self, name: &str, place: SourcePlace) -> Option<Target> {
        if name == "DEFAULT" {
            return Some(Target::Defaults);
        }
        let has_room = self.by_name.contains_key(name) || self.has_room(1, &place);
        has_room.then(|| Target::Section(self.add(name, place)))
    }

    pub(super) fn section_mut(&mut self, target: Target) -> &mut Section {
        match target {
            Target::Section(at) => &mut self.list[at],
            Target::Defaults => &mut self.defaults,
        }
    }
}
