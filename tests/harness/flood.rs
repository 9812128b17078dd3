//! Many connections from one address that never send a whole request: silent ones, and ones that send a byte now and then.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// An attack on a port. It lasts until it is ended; a connection that was closed is opened again.
pub struct Flood {
    port: u16,
    /// Connections of each kind.
    each: usize,
    /// The byte that slow ones send, and how often.
    byte: u8,
    pace: Duration,
    is_over: AtomicBool,
    has_begun: AtomicBool,
    is_kept: AtomicBool,
}

impl Flood {
    pub fn at(port: u16, each: usize, byte: u8, pace: Duration) -> Flood {
        let no = || AtomicBool::new(false);
        Flood { port, each, byte, pace, is_over: no(), has_begun: no(), is_kept: no() }
    }

    /// Whether every connection was opened once.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Closed connections are no longer opened again.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Attacks, on the thread that calls this, until the end.
    pub fn run(&self) {
        let is_over = || self.is_over.load(Ordering::Relaxed);
        let mut streams: Vec<Option<TcpStream>> = (0..2 * self.each).map(|_| None).collect();
        while !is_over() {
            let began = Instant::now();
            for (number, slot) in streams.iter_mut().enumerate() {
                self.turn(number, slot);
                if is_over() {
                    return;
                }
            }
            self.has_begun.store(true, Ordering::Relaxed);
            while began.elapsed() < self.pace && !is_over() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn turn(&self, number: usize, slot: &mut Option<TcpStream>) {
        let is_slow = number.is_multiple_of(2);
        let is_lost = match slot {
            Some(stream) => is_slow && stream.write_all(&[self.byte]).is_err(),
            None => true,
        };
        if is_lost && !self.is_kept.load(Ordering::Relaxed) {
            *slot = TcpStream::connect(("127.0.0.1", self.port)).ok();
            if let Some(stream) = slot {
                let _ = stream.set_nonblocking(true);
            }
        }
    }
}

/// Makes room for two times so many connections of this process; how many of each there may be, since only root raises the hard
/// limit of descriptors, and not everywhere.
pub fn room_for(each: usize) -> usize {
    const OTHERS: u64 = 300;
    let wanted = 2 * each as u64 + OTHERS;
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return each };
    if now >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted.max(most)).is_ok() {
        return each;
    }
    let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    each.min(usize::try_from(most.saturating_sub(OTHERS) / 2).unwrap_or(each))
}

/// The duration of each call, in order.
pub fn times(count: usize, mut ask: impl FnMut()) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let began = Instant::now();
            ask();
            began.elapsed()
        })
        .collect();
    times.sort();
    times
}
