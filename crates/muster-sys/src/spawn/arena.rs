//! The strings of one spawn in one piece of memory, each terminated by NUL, so that a spawn needs only a few allocations
//! instead of one per variable.

use std::ffi::c_char;

/// An append-only collection of strings. With secrets in it, its memory is overwritten before it is freed.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    has_secrets: bool,
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
        if self.has_secrets {
            self.make_room(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
        }
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let len = self.bytes.len() - start;
        self.bytes.push(0);
        ArenaString { start, len }
    }

    /// From now on, nothing of it is left in memory that is freed.
    pub(super) fn keep_secret(&mut self) {
        self.has_secrets = true;
    }

    /// Growing would free memory as it is, so the content moves to new memory here.
    fn make_room(&mut self, length: usize) {
        let needed = self.bytes.len() + length;
        if needed > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(2 * needed);
            larger.extend_from_slice(&self.bytes);
            wipe(&mut std::mem::replace(&mut self.bytes, larger));
        }
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

impl Drop for Arena {
    fn drop(&mut self) {
        if self.has_secrets {
            wipe(&mut self.bytes);
        }
    }
}

/// Overwrites memory that held a secret.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // The compiler must assume that the zeros are read.
    std::hint::black_box(bytes);
}
