//! The strings of one spawn in one piece of memory, each terminated by NUL, so that a spawn needs only a few allocations
//! instead of one per variable.

use std::ffi::c_char;

/// An append-only collection of strings.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
}

/// The position of a string. Addresses are final only when nothing more is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArenaString {
    start: usize,
    len: usize,
}

impl Arena {
    /// Adds the parts as one string. They must not contain NUL, which would end it early; the caller checks.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> ArenaString {
        let start = self.bytes.len();
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let len = self.bytes.len() - start;
        self.bytes.push(0);
        ArenaString { start, len }
    }

    /// The string without its NUL.
    pub(super) fn bytes(&self, place: ArenaString) -> &[u8] {
        &self.bytes[place.start..place.start + place.len]
    }

    /// The string as a C pointer. Valid as long as nothing is added.
    pub(super) fn pointer(&self, place: ArenaString) -> *const c_char {
        self.bytes[place.start..].as_ptr().cast()
    }

    /// The string from its byte `offset` on, to be written later. Valid as long as nothing is added.
    pub(super) fn place_to_write(&mut self, place: ArenaString, offset: usize) -> *mut u8 {
        self.bytes.as_mut_ptr().wrapping_add(place.start + offset)
    }

    /// The string that was added first.
    pub(super) fn first(&self) -> &[u8] {
        self.bytes.split(|&byte| byte == 0).next().unwrap_or(b"")
    }

    /// The size of all strings.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}
