//! The protocol of one listener: what it writes to its standard output, and the states that follow.
//!
//! The original's rules to the letter, where they do not hang or grow: a result is counted and only its first bytes are kept, a
//! result line has a limit, and a result of a negative length is no result.

use super::announcement::text;
use crate::python;

const READY: &[u8] = b"READY\n";

/// Length of the word before the number in a result line. The word itself is not looked at.
const RESULT_WORD: usize = 7;

/// The longest result line: a word and a number need a few bytes.
const LONGEST_LINE: usize = 1024;

/// The result that accepts an event.
const ACCEPTED: &[u8] = b"OK";

/// How much of a result is kept where it is printed. Output of a program is announced in pieces of 64 KiB.
const LONGEST_PRINTED: usize = 512 * 1024;

/// The state of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// It will be ready for an event when it says so.
    #[default]
    Acknowledged,
    /// It is ready for an event.
    Ready,
    /// It has an event, and owes the result.
    Busy,
    /// It has violated the protocol and gets no more events.
    Unknown,
}

impl ListenerState {
    /// The original's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            ListenerState::Acknowledged => "ACKNOWLEDGED",
            ListenerState::Ready => "READY",
            ListenerState::Busy => "BUSY",
            ListenerState::Unknown => "UNKNOWN",
        }
    }
}

/// Something that followed from a listener's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It accepted its event.
    Processed,
    /// It rejected its event, with an answer other than the accepting one.
    Rejected,
    /// It answered with this, which is to be printed.
    Answered(Vec<u8>),
    /// Its result line is unreadable, so its event counts as rejected.
    BadResult(String),
    /// It entered this state, from that one.
    Entered(ListenerState, ListenerState),
}

/// One run of a listener.
#[derive(Debug, Default)]
pub(super) struct Protocol {
    state: ListenerState,
    /// Bytes that are too few to decide.
    held: Vec<u8>,
    result: Option<Announced>,
    /// Whether results are kept to be printed.
    prints: bool,
}

/// A result whose length is known.
#[derive(Debug)]
struct Announced {
    /// How many bytes are still to come.
    left: i64,
    /// The first ones: enough to tell an accepting answer.
    begin: Vec<u8>,
}

impl Protocol {
    /// A new run, whose results may have to be printed.
    pub(super) fn new(prints: bool) -> Protocol {
        Protocol { prints, ..Protocol::default() }
    }

    pub(super) fn state(&self) -> ListenerState {
        self.state
    }

    /// It got an event.
    pub(super) fn dispatch(&mut self) {
        self.state = ListenerState::Busy;
    }

    /// It wrote these bytes.
    pub(super) fn take(&mut self, mut bytes: &[u8], steps: &mut Vec<Step>) {
        while !bytes.is_empty() && self.state != ListenerState::Unknown {
            bytes = match self.state {
                ListenerState::Acknowledged => self.take_ready(bytes, steps),
                ListenerState::Ready => {
                    // Whatever it is, it comes too early.
                    self.enter(ListenerState::Unknown, steps);
                    &[]
                }
                ListenerState::Busy if self.result.is_none() => self.take_line(bytes, steps),
                ListenerState::Busy => self.take_result(bytes, steps),
                ListenerState::Unknown => &[],
            };
        }
    }

    fn take_ready<'b>(&mut self, bytes: &'b [u8], steps: &mut Vec<Step>) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(READY.len() - self.held.len()));
        self.held.extend_from_slice(taken);
        if self.held.len() == READY.len() {
            let is_ready = self.held == READY;
            self.enter(if is_ready { ListenerState::Ready } else { ListenerState::Unknown }, steps);
        }
        rest
    }

    fn take_line<'b>(&mut self, bytes: &'b [u8], steps: &mut Vec<Step>) -> &'b [u8] {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.held.extend_from_slice(&bytes[..bytes.len().min(LONGEST_LINE + 1)]);
            if self.held.len() > LONGEST_LINE {
                self.refuse_line(steps);
            }
            return &[];
        };
        self.held.extend_from_slice(&bytes[..end.min(LONGEST_LINE + 1)]);
        let number = self.held.get(RESULT_WORD..).and_then(|number| std::str::from_utf8(number).ok());
        let length = number.filter(|_| self.held.len() <= LONGEST_LINE).and_then(python::int);
        match length.filter(|length| *length >= 0) {
            Some(left) => {
                self.held.clear();
                self.result = Some(Announced { left, begin: Vec::new() });
            }
            None => self.refuse_line(steps),
        }
        &bytes[end + 1..]
    }

    fn refuse_line(&mut self, steps: &mut Vec<Step>) {
        self.held.truncate(LONGEST_LINE);
        steps.push(Step::BadResult(text(&self.held)));
        self.enter(ListenerState::Unknown, steps);
    }

    fn take_result<'b>(&mut self, bytes: &'b [u8], steps: &mut Vec<Step>) -> &'b [u8] {
        let Some(result) = &mut self.result else { return bytes };
        let count = usize::try_from(result.left).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at(count);
        let most = if self.prints { LONGEST_PRINTED } else { ACCEPTED.len() + 1 };
        let wanted = most.saturating_sub(result.begin.len());
        result.begin.extend_from_slice(&taken[..wanted.min(taken.len())]);
        result.left -= i64::try_from(count).unwrap_or(i64::MAX);
        if result.left <= 0 {
            let begin = std::mem::take(&mut result.begin);
            self.result = None;
            // An empty result is looked at with the byte that follows, as in the original.
            steps.push(match begin == ACCEPTED {
                _ if self.prints => Step::Answered(begin),
                true => Step::Processed,
                false => Step::Rejected,
            });
            self.enter(ListenerState::Acknowledged, steps);
        }
        rest
    }

    fn enter(&mut self, to: ListenerState, steps: &mut Vec<Step>) {
        self.held = Vec::new();
        steps.push(Step::Entered(self.state, to));
        self.state = to;
    }
}

#[cfg(test)]
mod tests {
    use ListenerState::{Acknowledged, Busy, Ready, Unknown};

    use super::*;

    /// Writes all of it in pieces of this size, with an event whenever it is ready. Returns the states and results.
    fn play(written: &[u8], size: usize) -> (Vec<Step>, ListenerState) {
        let (mut protocol, mut steps) = (Protocol::default(), Vec::new());
        for piece in written.chunks(size) {
            protocol.take(piece, &mut steps);
            if protocol.state() == Ready && !written.starts_with(b"READY\n!") {
                protocol.dispatch();
            }
            assert!(protocol.held.len() <= LONGEST_LINE + 1, "bounded");
        }
        steps.retain(|step| !matches!(step, Step::Entered(..)));
        (steps, protocol.state())
    }

    #[test]
    fn the_states_follow_the_original_s_rules() {
        // Byte by byte, so that an event is dispatched as soon as it is ready.
        let check = |written: &str, steps: &[Step], state: ListenerState| {
            assert_eq!(play(written.as_bytes(), 1), (steps.to_vec(), state), "{written:?}");
        };
        let bad = |line: &str| Step::BadResult(line.to_owned());
        check("READY", &[], Acknowledged);
        check("READY\n", &[], Busy);
        check("READY\r", &[], Unknown);
        check("hello world", &[], Unknown);
        check("READY\n!", &[], Unknown);
        check("READY\nRESULT 2\nOK", &[Step::Processed], Acknowledged);
        check("READY\nRESULT 2\nOKREADY\n", &[Step::Processed], Busy);
        check("READY\nRESULT 2\nOKREADY\nRESULT 2\nOK", &[Step::Processed, Step::Processed], Acknowledged);
        check("READY\nRESULT 2\nOK\nREADY\n", &[Step::Processed], Unknown);
        check("READY\nXXXXXXX2\nOK", &[Step::Processed], Acknowledged);
        check("READY\nRESULT  +2 \nOK", &[Step::Processed], Acknowledged);
        check("READY\nRESULT 4\nFAIL", &[Step::Rejected], Acknowledged);
        check("READY\nRESULT 3\nOK\n", &[Step::Rejected], Acknowledged);
        check("READY\nRESULT 2\nKO", &[Step::Rejected], Acknowledged);
        check("READY\nRESULT 0\n", &[], Busy);
        check("READY\nRESULT 0\nREADY\n", &[Step::Rejected], Busy);
        check("READY\nRESULT 1000000000\nOK", &[], Busy);
        check("READY\nRESULT -1\nOK", &[bad("RESULT -1")], Unknown);
        check("READY\nRESULT two\nOK", &[bad("RESULT two")], Unknown);
        check("READY\nOK\n", &[bad("OK")], Unknown);
    }

    #[test]
    fn what_comes_with_ready_comes_too_early() {
        let (mut protocol, mut steps) = (Protocol::default(), Vec::new());
        protocol.take(b"READY\nRESULT 2\nOK", &mut steps);
        assert_eq!(steps, [Step::Entered(Acknowledged, Ready), Step::Entered(Ready, Unknown)]);
    }

    #[test]
    fn a_result_and_the_next_ready_may_come_together() {
        let (mut protocol, mut steps) = (Protocol::default(), Vec::new());
        protocol.take(b"READY\n", &mut steps);
        protocol.dispatch();
        protocol.take(b"RESULT 2\nOKREADY\n", &mut steps);
        let expected = [
            Step::Entered(Acknowledged, Ready),
            Step::Processed,
            Step::Entered(Busy, Acknowledged),
            Step::Entered(Acknowledged, Ready),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_line_without_end_and_a_huge_result_need_no_memory() {
        let (mut protocol, mut steps) = (Protocol::default(), Vec::new());
        protocol.take(b"READY\n", &mut steps);
        protocol.dispatch();
        for _ in 0..1000 {
            protocol.take(&[b'x'; 100_000], &mut steps);
            assert!(protocol.held.len() <= LONGEST_LINE);
        }
        assert_eq!(protocol.state(), Unknown);
        let (mut protocol, mut steps) = (Protocol::default(), Vec::new());
        protocol.take(b"READY\n", &mut steps);
        protocol.dispatch();
        protocol.take(b"RESULT 1000000000\n", &mut steps);
        for _ in 0..1000 {
            protocol.take(&[b'x'; 100_000], &mut steps);
            assert!(protocol.result.as_ref().is_some_and(|result| result.begin.len() <= 3));
        }
        assert_eq!(protocol.state(), Busy);
        for _ in 0..9000 {
            protocol.take(&[b'x'; 100_000], &mut steps);
        }
        assert_eq!((protocol.state(), steps.contains(&Step::Rejected)), (Acknowledged, true));
    }
}
