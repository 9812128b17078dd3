//! The doors of the fuzz targets to the log code.

use std::time::SystemTime;

use muster_core::spec::LineFormat;

use super::Source;
use super::lines::Style;

/// What a program writes, cut into pieces: the first two bytes choose the format and how it is cut.
pub fn log_lines(bytes: &[u8]) {
    let [choice, cut, bytes @ ..] = bytes else { return };
    let format = match choice % 3 {
        0 => LineFormat::Text,
        1 => LineFormat::Json,
        _ => LineFormat::Raw,
    };
    let style = Style { format, timestamps: choice & 0x80 != 0, colour: choice & 0x40 != 0 };
    let mut lines = style.lines_of("web", Source::Stdout, 1);
    let (mut out, mut count) = (Vec::new(), 0);
    for piece in bytes.chunks(usize::from(*cut) + 1) {
        count += lines.push(piece, SystemTime::UNIX_EPOCH, &mut out);
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
