//! The environment of a program, in layers: the daemon's, the user's own variables, the configured ones, the
//! markers. A later layer overrides an earlier one, in its place.
//!
//! Bytes are passed on unchanged. Values are secrets and are never shown.

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

use super::arena::{Arena, ArenaString};

/// The inherited environment, prepared once for all spawns.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    entries: Vec<CString>,
    places: HashMap<Vec<u8>, usize>,
    bytes: usize,
}

impl Inherited {
    /// Of duplicate variables the first counts, as for getenv(3).
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Inherited {
        let mut inherited = Inherited::default();
        for (name, value) in variables {
            let (name, value) = (name.into_vec(), value.into_vec());
            let entry = [name.as_slice(), b"=", &value].concat();
            if name.is_empty() || inherited.places.contains_key(&name) {
                continue;
            }
            // The kernel's entries contain no NUL, so no real one is left out here.
            if let Ok(entry) = CString::new(entry) {
                inherited.bytes += entry.as_bytes_with_nul().len();
                inherited.places.insert(name, inherited.entries.len());
                inherited.entries.push(entry);
            }
        }
        inherited
    }
}

#[derive(Clone, Copy)]
enum Entry {
    Inherited(usize),
    Own {
        entry: ArenaString,
        name_len: usize,
    },
    /// Removed; the later entries keep their positions.
    Nothing,
}

/// The environment of one spawn while it is built.
pub(super) struct Environment {
    inherited: Rc<Inherited>,
    entries: Vec<Entry>,
    /// The number of inherited entries; before that, position and number are the same.
    inherited_count: usize,
}

impl Environment {
    /// Begins with everything inherited, or empty.
    pub(super) fn new(inherited: &Rc<Inherited>, is_clean: bool) -> Environment {
        let inherited_count = if is_clean { 0 } else { inherited.entries.len() };
        let entries = (0..inherited_count).map(Entry::Inherited).collect();
        Environment { inherited: Rc::clone(inherited), entries, inherited_count }
    }

    /// Sets a variable, replacing one of the same name. Returns the position of its text.
    pub(super) fn set(&mut self, arena: &mut Arena, name: &str, value: &[u8]) -> ArenaString {
        let entry = arena.push(&[name.as_bytes(), b"=", value]);
        let own = Entry::Own { entry, name_len: name.len() };
        match self.position(arena, name.as_bytes()) {
            Some(position) => self.entries[position] = own,
            None => self.entries.push(own),
        }
        entry
    }

    /// Removes a variable.
    pub(super) fn unset(&mut self, arena: &Arena, name: &str) {
        if let Some(position) = self.position(arena, name.as_bytes()) {
            self.entries[position] = Entry::Nothing;
        }
    }

    fn position(&self, arena: &Arena, name: &[u8]) -> Option<usize> {
        let inherited = self.inherited.places.get(name).copied().filter(|&place| place < self.inherited_count);
        inherited.or_else(|| {
            let later = self.entries.iter().enumerate().skip(self.inherited_count);
            later.filter(|(_, entry)| self.name(arena, entry) == name).map(|(position, _)| position).next()
        })
    }

    fn name<'a>(&'a self, arena: &'a Arena, entry: &Entry) -> &'a [u8] {
        match *entry {
            Entry::Inherited(place) => self.inherited.entries[place].as_bytes().split(|&byte| byte == b'=').next(),
            Entry::Own { entry, name_len } => arena.bytes(entry).get(..name_len),
            Entry::Nothing => None,
        }
        .unwrap_or(b"")
    }

    /// The value of a variable.
    pub(super) fn get(&self, arena: &Arena, name: &str) -> Option<Vec<u8>> {
        let entry = self.entries[self.position(arena, name.as_bytes())?];
        let whole = match entry {
            Entry::Inherited(place) => self.inherited.entries[place].as_bytes(),
            Entry::Own { entry, .. } => arena.bytes(entry),
            Entry::Nothing => return None,
        };
        whole.get(name.len() + 1..).map(<[u8]>::to_vec)
    }

    /// The array for execve(2), and the memory it refers to.
    pub(super) fn finish(self, arena: &Arena) -> (Vec<*const libc::c_char>, Rc<Inherited>) {
        let pointer = |entry: &Entry| match *entry {
            Entry::Inherited(place) => Some(self.inherited.entries[place].as_ptr()),
            Entry::Own { entry, .. } => Some(arena.pointer(entry)),
            Entry::Nothing => None,
        };
        let ended = self.entries.iter().filter_map(pointer).chain([std::ptr::null()]).collect();
        (ended, self.inherited)
    }

    /// The size of the inherited part, for the message about too large arguments.
    pub(super) fn inherited_bytes(&self) -> usize {
        if self.inherited_count == 0 { 0 } else { self.inherited.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn built(inherited: &[(&[u8], &[u8])], is_clean: bool, own: &[(&str, &str)]) -> Vec<Vec<u8>> {
        let pairs = inherited.iter().map(|(name, value)| (os(name), os(value)));
        let inherited = Rc::new(Inherited::new(pairs));
        let (mut arena, mut environment) = (Arena::default(), Environment::new(&inherited, is_clean));
        for (name, value) in own {
            environment.set(&mut arena, name, value.as_bytes());
        }
        let (pointers, _kept) = environment.finish(&arena);
        let (null, pointers) = pointers.split_last().unwrap();
        assert!(null.is_null());
        // SAFETY: the pointers lead to NUL-terminated strings of `arena` and `_kept`.
        pointers.iter().map(|&pointer| unsafe { CStr::from_ptr(pointer) }.to_bytes().to_vec()).collect()
    }

    fn os(bytes: &[u8]) -> OsString {
        OsString::from_vec(bytes.to_vec())
    }

    #[test]
    fn a_later_layer_replaces_an_earlier_one_in_its_place() {
        let inherited: &[(&[u8], &[u8])] = &[(b"A", b"1"), (b"AB", b"2"), (b"A", b"twice"), (b"\xff", b"\xfe=x")];
        let all = built(inherited, false, &[("B", "3"), ("A", "4"), ("B", "5"), ("C", "")]);
        assert_eq!(all, [&b"A=4"[..], b"AB=2", b"\xff=\xfe=x", b"B=5", b"C="]);
        assert_eq!(built(inherited, true, &[("A", "4"), ("B", "5"), ("A", "6")]), [b"A=6", b"B=5"]);
        assert_eq!(built(&[], false, &[]), [b""; 0]);
    }

    #[test]
    fn a_value_is_found_where_it_was_last_set() {
        let inherited = Rc::new(Inherited::new([(os(b"PATH"), os(b"/inherited"))]));
        let (mut arena, mut environment) = (Arena::default(), Environment::new(&inherited, false));
        assert_eq!(environment.get(&arena, "PATH").as_deref(), Some(&b"/inherited"[..]));
        environment.set(&mut arena, "PATH", b"/own");
        assert_eq!(environment.get(&arena, "PATH").as_deref(), Some(&b"/own"[..]));
        assert_eq!(environment.get(&arena, "PAT"), None);
        environment.unset(&arena, "PATH");
        assert_eq!(environment.get(&arena, "PATH"), None);
        environment.set(&mut arena, "PATH", b"/again");
        assert_eq!(environment.get(&arena, "PATH").as_deref(), Some(&b"/again"[..]));
        environment.unset(&arena, "PATH");
        environment.set(&mut arena, "LANG", b"C");
        environment.unset(&arena, "NONE");
        assert_eq!(environment.finish(&arena).0.len(), 2, "one variable and the end");
    }
}
