//! Terminals among the pipes: how they differ.
//!
//! A closed terminal is reported before its last bytes are there, and the kernel says of a part of them only that it has them.
//! So it is read until a read finds its end or nothing.

use std::os::fd::AsFd;

use super::{Chore, Worker};

/// More than the kernel keeps of a terminal's output: 64 KiB that were written, and a page that can be read.
const MOST_HELD: usize = 128 * 1024;

impl Worker {
    /// Whether this stream is read from a terminal.
    pub(super) fn is_terminal(&self, token: u64) -> bool {
        self.streams.get(&token).is_some_and(|stream| stream.screen.is_some())
    }

    /// How many bytes are to be read to have what a process wrote until now, at most.
    pub(super) fn held_by_kernel(&self, token: u64) -> usize {
        match self.streams.get(&token) {
            Some(stream) if stream.screen.is_some() => MOST_HELD,
            Some(stream) => muster_sys::fd::readable(stream.pipe.as_fd()).unwrap_or(0),
            None => 0,
        }
    }

    /// A run is over: the rest of its terminal is read, and the terminal is closed. Processes that it left behind get SIGHUP,
    /// and can no longer read or write.
    pub(super) fn hang_up(&mut self, run: u64) {
        let tokens: Vec<u64> = self.streams_of(run).collect();
        let terminals = tokens.into_iter().filter(|&token| self.is_terminal(token));
        let chores: Vec<Chore> = terminals.flat_map(|token| [Chore::Drain(token), Chore::Close(token)]).collect();
        self.chores.extend(chores);
    }
}
