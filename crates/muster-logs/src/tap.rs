//! The part of one stream that event listeners are concerned with: all of its output, the text between two tokens, or a listener's answers.

use std::borrow::Cow;
use std::sync::Arc;

use muster_spec::StreamEvents;

use super::Source;
use super::capture::{Capture, Part};
use super::heard::{Heard, HeardQueue};
use super::queue::Waiter;

/// The most output in one event, in bytes.
const LONGEST: usize = 64 * 1024;

/// Passes a copy of what is read to the loop.
#[derive(Debug)]
pub(super) struct Tap {
    run: u64,
    source: Source,
    queue: Arc<HeardQueue>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Answers,
    Events { capture: Option<Capture>, log: Option<Characters> },
}

/// Collects whole characters.
#[derive(Debug)]
struct Characters {
    /// Whether they become events.
    is_event: bool,
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Tap {
    /// For a stream that causes events, or whose output the daemon's own log repeats; `None` for others.
    pub(super) fn for_events(run: u64, source: Source, events: StreamEvents, queue: &Arc<HeardQueue>) -> Option<Tap> {
        let capture = (events.capture > 0).then(|| Capture::keeping(events.capture));
        let log = (events.log || queue.repeats_output()).then(|| Characters { is_event: events.log, held: Vec::new() });
        (capture.is_some() || log.is_some()).then(|| Tap::new(run, source, Kind::Events { capture, log }, queue))
    }

    /// For standard output of an event listener.
    pub(super) fn for_answers(run: u64, queue: &Arc<HeardQueue>) -> Tap {
        Tap::new(run, Source::Stdout, Kind::Answers, queue)
    }

    fn new(run: u64, source: Source, kind: Kind, queue: &Arc<HeardQueue>) -> Tap {
        queue.use_it();
        Tap { run, source, queue: Arc::clone(queue), kind }
    }

    /// Whether more may be read. If not, the waiter is called when it may.
    pub(super) fn has_room(&self, waiter: impl FnOnce() -> Waiter) -> bool {
        self.queue.has_room(waiter)
    }

    /// Takes what was read, before terminal sequences are removed from it.
    pub(super) fn take_raw(&self, read: &[u8]) {
        if matches!(self.kind, Kind::Answers) {
            self.queue.push(Heard::Answer { run: self.run, bytes: read.to_vec() });
        }
    }

    /// Takes text, and returns what of it is for the log.
    pub(super) fn take<'a>(&mut self, read: &'a [u8]) -> Cow<'a, [u8]> {
        let to = To { run: self.run, source: self.source, queue: &self.queue };
        match &mut self.kind {
            Kind::Answers => Cow::Borrowed(read),
            Kind::Events { capture: None, log } => {
                log.iter_mut().for_each(|log| log.take(read, &to));
                Cow::Borrowed(read)
            }
            Kind::Events { capture: Some(capture), log } => {
                let mut plain = Vec::new();
                capture.take(read, |part| to.send(part, log, &mut plain));
                Cow::Owned(plain)
            }
        }
    }

    /// The stream has ended. Returns what of the withheld text is for the log.
    pub(super) fn end(self) -> Vec<u8> {
        let to = To { run: self.run, source: self.source, queue: &self.queue };
        let mut plain = Vec::new();
        if let Kind::Events { capture, mut log } = self.kind {
            // Captured text has been sent as output already.
            capture.into_iter().for_each(|capture| capture.end(|part| to.send(part, &mut None, &mut plain)));
            log.iter_mut().for_each(|log| log.end(&to));
        }
        plain
    }
}

/// Where events of a stream go.
struct To<'a> {
    run: u64,
    source: Source,
    queue: &'a HeardQueue,
}

impl To<'_> {
    fn send(&self, part: Part<'_>, log: &mut Option<Characters>, plain: &mut Vec<u8>) {
        if let (Part::Plain(text) | Part::Inside(text), Some(log)) = (&part, log) {
            log.take(text, self);
        }
        match part {
            Part::Plain(text) => plain.extend_from_slice(text),
            Part::Inside(_) => {}
            Part::Captured(bytes) => self.queue.push(Heard::Captured { run: self.run, source: self.source, bytes }),
        }
    }

    fn log(&self, bytes: &[u8], is_event: bool) {
        let is_event = is_event && self.queue.wants_output();
        if !bytes.is_empty() && (is_event || self.queue.repeats_output()) {
            self.queue.push(Heard::Log { run: self.run, source: self.source, bytes: bytes.to_vec(), is_event });
        }
    }
}

impl Characters {
    fn take(&mut self, read: &[u8], to: &To<'_>) {
        let mut joined = std::mem::take(&mut self.held);
        joined.extend_from_slice(read);
        let mut rest = &joined[..joined.len() - begun(&joined)];
        self.held = joined[rest.len()..].to_vec();
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(LONGEST)];
            let piece = if piece.len() == rest.len() { piece } else { &piece[..piece.len() - begun(piece)] };
            to.log(piece, self.is_event);
            rest = &rest[piece.len()..];
        }
    }

    fn end(&mut self, to: &To<'_>) {
        to.log(&std::mem::take(&mut self.held), self.is_event);
    }
}

/// How many of the last bytes are the beginning of a character.
fn begun(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(3)..];
    let Some(start) = last.iter().rposition(|&byte| byte >= 0xc0) else { return 0 };
    let has = last.len() - start;
    let needs = match last[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    };
    let is_begun = has < needs && last[start + 1..].iter().all(|byte| (0x80..0xc0).contains(byte));
    if is_begun { has } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tapped(events: StreamEvents, pieces: &[&[u8]]) -> (String, Vec<Heard>) {
        let queue = Arc::new(HeardQueue::default());
        queue.want_output(true);
        let mut tap = Tap::for_events(7, Source::Stderr, events, &queue).unwrap();
        let mut plain: Vec<u8> = pieces.iter().flat_map(|piece| tap.take(piece).into_owned()).collect();
        plain.extend(tap.end());
        (String::from_utf8_lossy(&plain).into_owned(), queue.take(usize::MAX))
    }

    fn log(text: &[u8]) -> Heard {
        Heard::Log { run: 7, source: Source::Stderr, bytes: text.to_vec(), is_event: true }
    }

    #[test]
    fn output_becomes_events_of_whole_characters() {
        let events = StreamEvents { log: true, capture: 0 };
        let (text, heard) = tapped(events, &["ab€".as_bytes(), b"c\xe2\x82", b"\xac\n", b"\xff\xfe", b"\xf0\x9f"]);
        assert!(text.starts_with("ab€c€\n"));
        assert_eq!(
            heard,
            [log("ab€".as_bytes()), log(b"c"), log("€\n".as_bytes()), log(b"\xff\xfe"), log(b"\xf0\x9f")]
        );
        let long = "é".repeat(LONGEST);
        let (_, heard) = tapped(events, &[b"x", long.as_bytes()]);
        let all: Vec<u8> = heard
            .iter()
            .flat_map(|heard| match heard {
                Heard::Log { bytes, .. } if bytes.len() <= LONGEST && std::str::from_utf8(bytes).is_ok() => {
                    bytes.clone()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(all, ["x", &long].concat().as_bytes());
    }

    #[test]
    fn the_own_log_repeats_streams_that_cause_no_events() {
        let queue = Arc::new(HeardQueue::default());
        queue.repeat_output();
        let mut tap = Tap::for_events(7, Source::Stdout, StreamEvents::NONE, &queue).unwrap();
        assert_eq!(tap.take(b"text\n"), &b"text\n"[..]);
        let repeated = Heard::Log { run: 7, source: Source::Stdout, bytes: b"text\n".to_vec(), is_event: false };
        assert_eq!(queue.take(usize::MAX), [repeated]);
    }

    #[test]
    fn captured_text_is_an_event_and_not_in_the_log() {
        let written: &[u8] = b"a<!--XSUPERVISOR:BEGIN-->data<!--XSUPERVISOR:END-->b";
        let (text, heard) = tapped(StreamEvents { log: true, capture: 100 }, &[written]);
        let captured = Heard::Captured { run: 7, source: Source::Stderr, bytes: b"data".to_vec() };
        assert_eq!((text.as_str(), heard), ("ab", vec![log(b"a"), log(b"data"), captured, log(b"b")]));
        let (text, heard) = tapped(StreamEvents { log: false, capture: 2 }, &[written, b"<!--XSUP"]);
        let captured = Heard::Captured { run: 7, source: Source::Stderr, bytes: b"ta".to_vec() };
        assert_eq!((text.as_str(), heard), ("ab<!--XSUP", vec![captured]));
        assert!(Tap::for_events(7, Source::Stdout, StreamEvents::NONE, &Arc::default()).is_none());
    }
}
