//! The frames of `musterctl exec`, in pieces. Whatever a peer sends, the pieces make no difference, and what was read is what would be
//! written.

#![no_main]

use muster_exec::frame::{Decoder, Frame, Side};

/// All frames, and whether something else came.
fn read(from: Side, bytes: &[u8], size: usize) -> (Vec<Frame>, bool) {
    let (mut decoder, mut found) = (Decoder::of(from), Vec::new());
    for piece in bytes.chunks(size) {
        decoder.push(piece);
        loop {
            match decoder.take() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [size, bytes @ ..] = bytes else { return };
    for from in [Side::Client, Side::Daemon] {
        let (frames, is_broken) = read(from, bytes, usize::from(*size) + 1);
        assert_eq!((frames.clone(), is_broken), read(from, bytes, bytes.len().max(1)));
        let again: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        // Text that is not UTF-8 is the only content that changes.
        if !frames.iter().any(|frame| matches!(frame, Frame::Error { .. })) {
            assert!(bytes.starts_with(&again));
        }
    }
});
