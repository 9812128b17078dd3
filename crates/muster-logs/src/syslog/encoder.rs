//! Encodes the lines of one stream as messages, one per line.
//!
//! A line longer than a message is sent in parts, cut between characters, and the parts after the first are
//! marked. The maximum size depends on the receiver; see [`message`](super::message).

use std::sync::Arc;
use std::time::SystemTime;

use muster_api::Timestamp;
use muster_spec::SyslogSpec;

use super::Syslog;
use super::message::{Author, Batch, Head, longest};
use crate::Source;
use crate::counters::Counters;

/// Messages are handed over when they amount to this many bytes.
const HANDED: usize = 64 * 1024;

/// A message has at least this much text, also if names are so long that the header alone fills it.
pub(super) const LEAST_ROOM: usize = 64;

/// Encodes the output of one stream of one run.
#[derive(Debug)]
pub(crate) struct Encoder {
    syslog: Syslog,
    counters: Arc<Counters>,
    head: Head,
    longest: usize,
    /// The beginning of a line, and whether a part of that line was sent before.
    partial: Vec<u8>,
    is_continued: bool,
}

/// The headers of messages encoded at the same moment.
struct Heads {
    first: Vec<u8>,
    continued: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(
        (syslog, spec): (Syslog, &SyslogSpec),
        instance: &str,
        (source, pid): (Source, Option<u32>),
        counters: &Arc<Counters>,
    ) -> Encoder {
        let host = nix::unistd::gethostname().unwrap_or_default();
        let author = Author { host: &host.to_string_lossy(), instance, source, pid, is_daemon: false };
        Encoder {
            syslog,
            counters: Arc::clone(counters),
            head: Head::of(author, spec),
            longest: longest(&spec.address),
            partial: Vec::new(),
            is_continued: false,
        }
    }

    /// Consumes bytes, and sends every line that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], at: SystemTime) {
        let (heads, mut batch) = (self.heads(at), self.batch());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) if self.partial.is_empty() && end.len() <= self.room(&heads) => {
                    self.put(end, &heads, &mut batch)
                }
                Some(end) => {
                    self.keep(end, &heads, &mut batch);
                    self.put_partial(&heads, &mut batch);
                }
                None => {
                    self.keep(piece, &heads, &mut batch);
                    continue;
                }
            }
            self.is_continued = false;
            if batch.size() >= HANDED {
                self.hand_over(std::mem::replace(&mut batch, self.batch()));
            }
        }
        self.hand_over(batch);
    }

    /// Sends the incomplete line so far. The rest may follow later.
    pub(crate) fn deliver(&mut self, at: SystemTime) {
        if !self.partial.is_empty() {
            let (heads, mut batch) = (self.heads(at), self.batch());
            self.put_partial(&heads, &mut batch);
            self.hand_over(batch);
        }
    }

    fn heads(&self, at: SystemTime) -> Heads {
        let time = Timestamp::from(at).to_string();
        Heads { first: self.head.at(&time, false), continued: self.head.at(&time, true) }
    }

    fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.counters))
    }

    fn hand_over(&self, batch: Batch) {
        if batch.len() > 0 {
            self.syslog.push(batch);
        }
    }

    /// How much text fits into a message.
    fn room(&self, heads: &Heads) -> usize {
        self.longest.saturating_sub(heads.continued.len()).max(LEAST_ROOM)
    }

    /// Keeps the beginning of a line, and sends it in parts once it is too long.
    fn keep(&mut self, bytes: &[u8], heads: &Heads, batch: &mut Batch) {
        self.partial.extend_from_slice(bytes);
        let room = self.room(heads);
        let mut kept = std::mem::take(&mut self.partial);
        let mut start = 0;
        while kept.len() - start > room {
            let end = start + cut(&kept[start..], room);
            self.put(&kept[start..end], heads, batch);
            start = end;
        }
        kept.drain(..start);
        self.partial = kept;
    }

    fn put_partial(&mut self, heads: &Heads, batch: &mut Batch) {
        let mut partial = std::mem::take(&mut self.partial);
        self.put(&partial, heads, batch);
        partial.clear();
        // Long lines are rare, and there are many streams.
        partial.shrink_to(256);
        self.partial = partial;
    }

    fn put(&mut self, text: &[u8], heads: &Heads, batch: &mut Batch) {
        let head = if self.is_continued { &heads.continued } else { &heads.first };
        batch.put(head, text, !self.is_continued);
        self.is_continued = true;
    }
}

/// Where to cut text so that at most this many bytes precede the cut and no UTF-8 character is split.
pub(super) fn cut(text: &[u8], most: usize) -> usize {
    let is_start = |&at: &usize| text[at] & 0b1100_0000 != 0b1000_0000;
    (most.saturating_sub(3)..=most).rev().find(is_start).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::{SyslogAddress, SyslogFormat};
    use std::time::UNIX_EPOCH;

    const ROOM: usize = 8000 - "<30>web[7]: + ".len();

    struct Scene {
        syslog: Syslog,
        encoder: Encoder,
    }

    impl Scene {
        fn new() -> Scene {
            let address = SyslogAddress::Unix("/run/log".into());
            let spec = SyslogSpec { address, format: Some(SyslogFormat::Local), ..SyslogSpec::default() };
            let syslog = Syslog::to(&spec);
            let encoder = Encoder::new((syslog.clone(), &spec), "web", (Source::Stdout, Some(7)), &Arc::default());
            Scene { syslog, encoder }
        }

        fn push(&mut self, bytes: &[u8]) {
            self.encoder.push(bytes, UNIX_EPOCH);
        }

        /// Messages sent since the last call, without the part that is common to all.
        fn sent(&self) -> Vec<String> {
            let batches: Vec<Batch> = std::iter::from_fn(|| self.syslog.0.lock().spool.pop()).collect();
            let messages = batches.iter().flat_map(|batch| (0..batch.len()).map(|number| batch.message(number)));
            let texts = messages.map(|message| String::from_utf8_lossy(message).replacen("<30>web[7]: ", "", 1));
            texts.collect()
        }
    }

    #[test]
    fn every_line_is_a_message_however_it_is_read() {
        let mut scene = Scene::new();
        for piece in ["one\n\ntw", "o", "\nthree\nf"] {
            scene.push(piece.as_bytes());
        }
        assert_eq!(scene.sent(), ["one", "", "two", "three"]);
        scene.push(b"our\n");
        assert_eq!(scene.sent(), ["four"]);
    }

    #[test]
    fn the_beginning_of_a_line_goes_out_at_a_drain_and_the_rest_is_marked() {
        let mut scene = Scene::new();
        scene.push(b"half");
        assert_eq!(scene.sent(), [""; 0]);
        (0..2).for_each(|_| scene.encoder.deliver(UNIX_EPOCH));
        scene.push(b" and rest\nnext\n");
        assert_eq!(scene.sent(), ["half", "+  and rest", "next"]);
    }

    #[test]
    fn a_long_line_goes_out_in_marked_parts_and_counts_once() {
        let mut scene = Scene::new();
        let long = "x".repeat(2 * ROOM + 10);
        let parts = ["x".repeat(ROOM), format!("+ {}", "x".repeat(ROOM)), format!("+ {}", "x".repeat(10))];
        scene.push(format!("{long}\nshort\n").as_bytes());
        let batch = scene.syslog.0.lock().spool.pop().expect("it was sent");
        assert_eq!((batch.len(), batch.loss_from(0).lines), (4, 2));
        for piece in long.as_bytes().chunks(1000) {
            scene.push(piece);
        }
        scene.push(b"\n");
        assert_eq!(scene.sent(), parts);
    }

    #[test]
    fn no_character_is_torn() {
        let mut scene = Scene::new();
        let long = format!("x{}", "\u{20ac}".repeat(ROOM));
        scene.push(format!("{long}\n").as_bytes());
        let joined: String = scene.sent().iter().map(|part| part.trim_start_matches("+ ")).collect();
        assert!(joined == long);
        assert_eq!(cut(&[0x80; 10], 5), 5, "what is no text at all is cut where it must be");
    }
}
