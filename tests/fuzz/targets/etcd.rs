//! The answer of etcd and the stream of a watch, in pieces. Whatever a server sends, the copy of the store stays within its
//! bounds, and the pieces that the stream comes in make no difference.

#![no_main]

use muster_sources::etcd::lines::Lines;
use muster_sources::etcd::message::{self, Line};
use muster_sources::etcd::mirror::{MOST_KEYS, Mirror};

/// Everything that the stream says.
fn read(stream: &[u8], size: usize) -> Vec<Result<Line, String>> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for piece in stream.chunks(size) {
        if lines.push(piece).is_err() {
            break;
        }
        found.extend(std::iter::from_fn(|| lines.next_line()).map(|line| message::line(&line)));
    }
    found
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [size, bytes @ ..] = bytes else { return };
    let (answer, stream) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let _ = message::refusal(400, answer);
    let _ = message::token(answer);
    let lines = read(stream, usize::from(*size) + 1);
    assert_eq!(lines, read(stream, stream.len().max(1)));
    let Ok(range) = message::range(answer) else { return };
    let Ok(mut mirror) = Mirror::of("a/", range) else { return };
    for line in lines.into_iter().flatten() {
        let Line::Changes(header, changes) = line else { continue };
        let before = mirror.header().revision;
        if mirror.apply(header, changes).is_err() {
            return;
        }
        assert!(mirror.len() <= MOST_KEYS && mirror.header().revision >= before);
        if let Ok(edition) = mirror.edition() {
            assert!(edition.texts.iter().all(|text| text.name.ends_with(".toml")));
            assert!(edition.texts.is_sorted_by(|one, other| one.name.as_bytes() < other.name.as_bytes()));
        }
    }
});
