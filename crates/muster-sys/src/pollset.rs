//! Many descriptors behind one: an epoll set that is itself readable when one of its members is.
//!
//! The daemon puts the status pipes of all runs that have not executed yet into one set, so tokio watches a single
//! descriptor for hundreds of spawns. The set is only polled without waiting: tokio does the waiting.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::fd::check;

/// A set of descriptors, each with a token chosen by the caller.
#[derive(Debug)]
pub struct PollSet {
    epoll: OwnedFd,
}

/// Maximum number of events per call.
const BATCH: usize = 64;

impl PollSet {
    /// An empty set.
    pub fn new() -> io::Result<PollSet> {
        // SAFETY: epoll_create1 touches no memory of ours.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just created and has no other owner.
        Ok(PollSet { epoll: unsafe { OwnedFd::from_raw_fd(epoll) } })
    }

    /// Adds a descriptor that is reported as `token` as long as it is readable or at its end.
    ///
    /// Remove it before closing it: the kernel forgets a closed descriptor only when no copy of it is left, and a
    /// child between fork and exec has copies of all.
    pub fn add(&self, member: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` lives through the call.
        let added =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, member.as_raw_fd(), &mut event) };
        check(added).map(drop)
    }

    /// Removes a descriptor.
    pub fn remove(&self, member: BorrowedFd<'_>) -> io::Result<()> {
        let nothing = std::ptr::null_mut();
        // SAFETY: EPOLL_CTL_DEL reads no event.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, member.as_raw_fd(), nothing) })
            .map(drop)
    }

    /// Appends the tokens of members that are ready now; a part of them if there are many. If none is appended, none is
    /// ready. Never waits.
    pub fn ready(&self, tokens: &mut Vec<u64>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let count = loop {
            // SAFETY: the kernel writes at most BATCH events into `events`.
            match check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), BATCH as i32, 0) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        tokens.extend(events.iter().take(usize::try_from(count).unwrap_or(0)).map(|event| event.u64));
        Ok(())
    }
}

impl AsFd for PollSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd;

    fn ready(set: &PollSet) -> Vec<u64> {
        let mut tokens = Vec::new();
        set.ready(&mut tokens).unwrap();
        tokens.sort_unstable();
        tokens
    }

    #[test]
    fn members_are_told_while_they_are_ready_and_until_they_are_removed() {
        let set = PollSet::new().unwrap();
        let (first, first_writer) = fd::output_pipe().unwrap();
        let (second, second_writer) = fd::output_pipe().unwrap();
        set.add(first.as_fd(), 7).unwrap();
        set.add(second.as_fd(), u64::MAX).unwrap();
        assert_eq!(ready(&set), []);
        drop(first_writer);
        assert_eq!(ready(&set), [7]);
        drop(second_writer);
        assert_eq!(ready(&set), [7, u64::MAX]);
        set.remove(first.as_fd()).unwrap();
        assert_eq!(ready(&set), [u64::MAX]);
    }

    #[test]
    fn one_descriptor_stands_for_all_of_them() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let set = PollSet::new().unwrap();
            let (reader, writer) = fd::output_pipe().unwrap();
            set.add(reader.as_fd(), 3).unwrap();
            let watched = crate::async_fd::Watched::for_reading(set).unwrap();
            let wait = watched.read_with(|set| {
                let tokens = ready(set);
                if tokens.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(tokens) }
            });
            let (tokens, ()) = tokio::join!(wait, async { drop(writer) });
            assert_eq!(tokens.unwrap(), [3]);
        });
    }
}
