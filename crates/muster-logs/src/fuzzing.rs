//! Entry points of the fuzz targets for the log code.

use std::path::Path;
use std::time::{Duration, SystemTime};

use muster_spec::{LineFormat, Rotation};

use super::Source;
use super::console_format::Style;
use super::rotate::Names;
use super::segments::{Effort, Segments};
use super::strip::Stripper;

/// Program output, split into pieces: the first two bytes select the format and the splits.
pub fn log_lines(bytes: &[u8]) {
    let [choice, cut, bytes @ ..] = bytes else { return };
    let format = match choice % 3 {
        0 => LineFormat::Text,
        1 => LineFormat::Json,
        _ => LineFormat::Raw,
    };
    let chunk = usize::from(*cut) + 1;
    let (in_reads, at_once) = (stripped(bytes.chunks(chunk)), stripped([bytes]));
    assert!(in_reads.len() <= bytes.len() && at_once.len() <= in_reads.len());
    // A longer sequence is text unless one read has all of it.
    assert!(bytes.len() > 64 || in_reads == at_once, "where a read ends makes no difference");
    let style = Style { format, timestamps: choice & 0x80 != 0, colour: choice & 0x40 != 0 };
    let mut lines = style.lines_of("web", Source::Stdout, 1);
    let (mut out, mut count) = (Vec::new(), 0);
    for piece in bytes.chunks(chunk) {
        count += lines.push(piece, SystemTime::UNIX_EPOCH, &mut out);
        if choice & 0x20 != 0 {
            lines.put_partial(SystemTime::UNIX_EPOCH, &mut out);
        }
    }
    lines.end(SystemTime::UNIX_EPOCH, &mut out);
    assert_eq!(count, memchr::memchr_iter(b'\n', bytes).count() as u64);
    match format {
        LineFormat::Raw => {
            assert_eq!(out.strip_suffix(b"\n").unwrap_or(&out), bytes.strip_suffix(b"\n").unwrap_or(bytes))
        }
        LineFormat::Json => out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| {
            serde_json::from_slice::<serde::de::IgnoredAny>(line).expect("each line is an object");
        }),
        LineFormat::Text => assert!(out.is_empty() || out.ends_with(b"\n")),
    }
}

/// The output without its terminal sequences.
fn stripped<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut stripper, mut text) = (Stripper::default(), Vec::new());
    reads.into_iter().for_each(|read| text.extend_from_slice(&stripper.strip(read)));
    text.extend(stripper.rest());
    text
}

/// The log at this path, with its rotated files, as a client reads it: its last lines, and a position.
pub fn old_log(path: &Path) {
    let names = Names::new(path, Rotation { max_size: 0, max_files: 2, compress: true });
    let effort = Effort::bounded(|| true, Duration::from_secs(5), 64 << 20);
    for segment in Segments::of(&names, effort).flatten() {
        if let Ok((start, count)) = segment.last_lines(0, segment.size(), 3) {
            assert!(start <= segment.size() && count <= 3);
        }
        if let Ok(Some(place)) = segment.find_line(b"two\n", segment.size() / 2, 1 << 20) {
            assert!(place < segment.size());
        }
    }
}
