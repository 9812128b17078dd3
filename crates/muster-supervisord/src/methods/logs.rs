//! Methods that read logs, with the original's rules of offsets. Offsets count bytes as they were written.

use super::args::Args;
use super::control::{by_priority, select_one, status};
use super::daemon::{Channel, Daemon, Log, NotRead, Piece};
use crate::faults::Code;
use crate::xmlrpc::{Fault, Value};

/// The most bytes that one call reads. A client that wants more continues behind them.
pub const MAX_READ: u64 = 4 * 1024 * 1024;

/// The part of a log that a client asks for; the size of the log decides where that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    is_tail: bool,
    offset: i64,
    length: i64,
}

impl Part {
    /// Offset and length in a log of this size.
    pub fn range(self, size: u64) -> (u64, u64) {
        match self.is_tail {
            true => {
                let (offset, length, _) = tail_range(size, self.offset, self.length);
                (offset, length)
            }
            false => range(size, self.offset, self.length),
        }
    }
}

/// Offset and length of a read in a log of this size. A negative offset counts from the end.
fn range(size: u64, offset: i64, length: i64) -> (u64, u64) {
    match u64::try_from(offset) {
        Err(_) => {
            let wanted = offset.unsigned_abs().min(size).min(MAX_READ);
            (size - wanted, wanted)
        }
        Ok(offset) => {
            let rest = size.saturating_sub(offset).min(MAX_READ);
            let wanted = u64::try_from(length).unwrap_or(0);
            (offset, if wanted == 0 { rest } else { wanted.min(rest) })
        }
    }
}

/// Offset and length of a tail in a log of this size, and whether there is more before.
fn tail_range(size: u64, offset: i64, length: i64) -> (u64, u64, bool) {
    let (end, mut offset, mut length) = (i64::try_from(size).unwrap_or(i64::MAX), offset, length);
    let is_overflow = end > offset.saturating_add(length);
    if is_overflow {
        offset = end - 1;
    }
    if offset.saturating_add(length) > end {
        if offset > end - 1 {
            length = 0;
        }
        offset = end.saturating_sub(length);
    }
    let (offset, length) = (u64::try_from(offset).unwrap_or(0), u64::try_from(length).unwrap_or(0));
    let rest = length.min(size.saturating_sub(offset));
    // Of a longer text its end.
    let most = rest.min(MAX_READ);
    (offset + (rest - most), most, is_overflow)
}

/// Invalid UTF-8 is replaced, also a character that the range cuts.
fn text(bytes: &[u8]) -> Value {
    Value::Str(String::from_utf8_lossy(bytes).into_owned())
}

pub(super) async fn read(daemon: &impl Daemon, log: Log<'_>, (offset, length): (i64, i64)) -> Result<Value, Fault> {
    let is_wrong = if offset < 0 { length != 0 } else { length < 0 };
    match daemon.read(log, Part { is_tail: false, offset, length }).await {
        Ok(_) if is_wrong => Err(Code::BadArguments.fault()),
        Ok(piece) => Ok(text(&piece.bytes)),
        Err(NotRead::NoLog(Some(path))) => Err(Code::NoFile.with(path)),
        Err(NotRead::NoLog(None)) => Err(Code::NoFile.fault()),
        Err(NotRead::Failed) => Err(Code::Failed.fault()),
    }
}

pub(super) async fn read_of(daemon: &impl Daemon, args: &mut Args, channel: Channel) -> Result<Value, Fault> {
    let (name, offset, length) = (args.text()?, args.int()?, args.int()?);
    let member = select_one(daemon, &name)?;
    read(daemon, Log::Of(&member, channel), (offset, length)).await
}

pub(super) async fn tail(daemon: &impl Daemon, args: &mut Args, channel: Channel) -> Result<Value, Fault> {
    let (name, offset, length) = (args.text()?, args.int()?, args.int()?);
    let member = select_one(daemon, &name)?;
    let part = Part { is_tail: true, offset, length };
    let Ok(Piece { bytes, size }) = daemon.read(Log::Of(&member, channel), part).await else {
        return Ok(Value::Array(vec!["".into(), 0.into(), false.into()]));
    };
    let (_, _, is_overflow) = tail_range(size, offset, length);
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(Value::Array(vec![text(&bytes), size.into(), is_overflow.into()]))
}

pub(super) async fn clear_all(daemon: &impl Daemon) -> Result<Value, Fault> {
    let mut results = Vec::new();
    for member in by_priority(daemon.members()) {
        results.push(status(&member, daemon.clear(Some(&member)).await));
    }
    Ok(Value::Array(results))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a tail of `abcdef` reads.
    fn tail_of(offset: i64, length: i64) -> (&'static str, bool) {
        let (offset, length, is_overflow) = tail_range(6, offset, length);
        let (from, length) = (offset as usize, length as usize);
        (&"abcdef"[from.min(6)..(from + length).min(6)], is_overflow)
    }

    #[test]
    fn tails_follow_the_original_s_rules() {
        assert_eq!(tail_of(0, 2), ("ef", true));
        assert_eq!(tail_of(0, 100), ("abcdef", false));
        assert_eq!(tail_of(3, 3), ("def", false));
        assert_eq!(tail_of(100, 3), ("", false));
        assert_eq!(tail_of(-1, -1), ("", true));
        assert_eq!(tail_of(-5, 10), ("abcdef", true));
        assert_eq!(tail_of(0, 6), ("abcdef", false));
        assert_eq!(tail_of(6, 0), ("", false));
        assert_eq!(tail_of(i64::MAX, i64::MAX), ("", false));
        assert_eq!(tail_range(0, 0, 10), (0, 0, false));
        assert_eq!(tail_range(2 * MAX_READ, 0, i64::MAX), (MAX_READ, MAX_READ, false));
    }

    #[test]
    fn reads_follow_the_original_s_rules() {
        assert_eq!(range(6, 0, 0), (0, 6));
        assert_eq!(range(6, 2, 2), (2, 2));
        assert_eq!(range(6, 2, 100), (2, 4));
        assert_eq!(range(6, 7, 0), (7, 0));
        assert_eq!(range(6, -2, 0), (4, 2));
        assert_eq!(range(6, -100, 0), (0, 6));
        assert_eq!(range(6, i64::MIN, 0), (0, 6));
        assert_eq!(range(u64::MAX, 0, 0), (0, MAX_READ));
    }
}
