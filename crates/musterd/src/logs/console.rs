//! One of the daemon's own console streams, written by a thread of its own.
//!
//! Whoever has lines appends them to a bounded queue and goes on; only the thread ever waits for the reader. When the
//! queue is full, lines are dropped and counted, and the reader is told how many as soon as it reads again. A write that
//! fails (the reader is gone, the disk is full) loses lines and nothing else: nothing here panics or prints.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::fstat;

use super::Consoles;

/// How many bytes wait for a reader at most. The default of the logs reference: 1 MiB.
const BOUND: usize = 1 << 20;

/// Lines that are held back for more of them go out when they are so many bytes.
const HELD: usize = 16 * 1024;

/// A queue that grew in a burst gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 64 * 1024;

/// A console stream. Clones lead to the same queue.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    pending: Vec<u8>,
    lost_lines: u64,
    is_writing: bool,
    is_held: bool,
}

impl Console {
    /// Starts the thread that writes to this descriptor.
    pub(crate) fn start(name: &str, descriptor: OwnedFd) -> io::Result<Console> {
        let shared = Arc::new(Shared::default());
        let console = Console { shared: Arc::clone(&shared) };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || shared.write_for_ever(File::from(descriptor)))?;
        Ok(console)
    }

    /// Queues whole lines, or drops and counts them when the queue is full. Never waits for the reader.
    pub(crate) fn append(&self, lines: &[u8]) {
        let mut queue = self.shared.lock();
        if queue.pending.len() + lines.len() > BOUND {
            queue.lost_lines += count_lines(lines);
            return;
        }
        queue.put_gap();
        queue.pending.extend_from_slice(lines);
        self.shared.ring(&queue);
    }

    /// Lines that follow can wait for each other: whoever handles many things at once wakes the thread once for all of
    /// them, with [`Console::release`].
    pub(crate) fn hold(&self) {
        self.shared.lock().is_held = true;
    }

    /// What was held back goes out.
    pub(crate) fn release(&self) {
        let mut queue = self.shared.lock();
        queue.is_held = false;
        self.shared.ring(&queue);
    }

    /// Waits until everything queued so far has been written, or `patience` is over.
    pub(crate) fn flush(&self, patience: Duration) {
        let mut queue = self.shared.lock();
        queue.is_held = false;
        queue.put_gap();
        self.shared.ring(&queue);
        let is_busy = |queue: &mut Queue| queue.is_writing || !queue.pending.is_empty();
        drop(self.shared.emptied.wait_timeout_while(queue, patience, is_busy));
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

impl Queue {
    /// Whether there is something to write now.
    fn is_due(&self) -> bool {
        !self.pending.is_empty() && (!self.is_held || self.pending.len() >= HELD)
    }

    /// Tells the reader what it has missed.
    fn put_gap(&mut self) {
        if self.lost_lines > 0 {
            let lost = std::mem::take(&mut self.lost_lines);
            let told = format!("musterd | {lost} lines lost here: nobody read them in time\n");
            self.pending.extend_from_slice(told.as_bytes());
        }
    }
}

impl Shared {
    /// A thread that panicked while it held the lock left the queue as it was, which is good enough to go on.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread if it has something to do and does not know it yet.
    fn ring(&self, queue: &Queue) {
        if queue.is_due() && !queue.is_writing {
            self.filled.notify_one();
        }
    }

    fn write_for_ever(&self, mut file: File) {
        let mut batch = Vec::new();
        loop {
            self.take(&mut batch);
            // Who cannot be written to has lost these lines; there is nobody left to tell.
            let _ = write_patiently(&mut file, &batch);
            batch.clear();
            batch.shrink_to(KEPT_CAPACITY);
        }
    }

    fn take(&self, batch: &mut Vec<u8>) {
        let mut queue = self.lock();
        queue.is_writing = false;
        if queue.pending.is_empty() {
            self.emptied.notify_all();
        }
        while !queue.is_due() {
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_writing = true;
        std::mem::swap(&mut queue.pending, batch);
    }
}

/// Writes everything. Another process that shares the stream may have made it non-blocking: then waits for room.
fn write_patiently(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut wanted = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                nix::poll::poll(&mut wanted, PollTimeout::NONE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Consoles {
    /// Starts writing to the daemon's own stdout and stderr, with one queue where both lead to the same place.
    pub(crate) fn start() -> io::Result<Consoles> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let is_same = lead_to_same_place(&stdout, &stderr);
        let stderr = Console::start("console-err", stderr)?;
        let stdout = if is_same { stderr.clone() } else { Console::start("console-out", stdout)? };
        Ok(Consoles { stdout, stderr })
    }
}

fn lead_to_same_place(a: &OwnedFd, b: &OwnedFd) -> bool {
    match (fstat(a), fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino, a.st_rdev) == (b.st_dev, b.st_ino, b.st_rdev),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pipe() -> (File, OwnedFd) {
        let (reading, writing) = nix::unistd::pipe().unwrap();
        (File::from(reading), writing)
    }

    #[test]
    fn what_was_appended_is_written_in_order() {
        let (mut reader, writing) = pipe();
        let console = Console::start("test", writing).unwrap();
        console.append(b"web | one\n");
        console.append(b"db | two\n");
        console.flush(PATIENCE);
        let mut read = [0; 19];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"web | one\ndb | two\n");
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_never_blocks_the_writer() {
        let (mut reader, writing) = pipe();
        let console = Console::start("test", writing).unwrap();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..4096 {
            console.append(&line);
        }
        let (telling, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut read, mut piece) = (Vec::new(), [0; 65536]);
            while !read.windows(5).any(|bytes| bytes == b"last\n") {
                let count = reader.read(&mut piece).unwrap();
                read.extend_from_slice(&piece[..count]);
            }
            telling.send(read).unwrap();
        });
        console.flush(PATIENCE);
        console.append(b"last\n");
        let read = String::from_utf8(told.recv_timeout(PATIENCE).unwrap()).unwrap();
        let lines = read.lines().filter(|line| line.starts_with('x')).count() as u64;
        let gap = |line: &str| line.strip_prefix("musterd | ")?.split(' ').next()?.parse::<u64>().ok();
        let lost: u64 = read.lines().filter_map(gap).sum();
        assert_eq!(lines + lost, 4096, "every line is either there or counted");
        // At most 1 MiB waits, as much again is being written, and a pipe takes 64 KiB.
        assert!(lost >= 1984, "lost {lost} of 4 MiB");
    }

    #[test]
    fn a_reader_that_is_gone_ends_nothing() {
        let (reader, writing) = pipe();
        drop(reader);
        let console = Console::start("test", writing).unwrap();
        for _ in 0..3 {
            console.append(b"nobody reads this\n");
            console.flush(PATIENCE);
        }
        assert!(console.shared.lock().pending.is_empty());
    }
}
