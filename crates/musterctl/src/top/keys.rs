//! Keys, parsed from the bytes that a terminal sends.

/// The action of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Start,
    Stop,
    Restart,
    Logs,
    Why,
    Back,
    Quit,
}

/// The keys in these bytes. A lone escape is one as well; unknown keys are skipped.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Key> {
    const SEQUENCES: [(&[u8], Key); 12] = [
        (b"\x1b[A", Key::Up),
        (b"\x1bOA", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1bOB", Key::Down),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
        (b"\x1b[H", Key::First),
        (b"\x1b[1~", Key::First),
        (b"\x1bOH", Key::First),
        (b"\x1b[F", Key::Last),
        (b"\x1b[4~", Key::Last),
        (b"\x1bOF", Key::Last),
    ];
    let mut keys = Vec::new();
    while let Some(&first) = bytes.first() {
        if let Some((sequence, key)) = SEQUENCES.iter().find(|(sequence, _)| bytes.starts_with(sequence)) {
            keys.push(*key);
            bytes = &bytes[sequence.len()..];
            continue;
        }
        bytes = &bytes[1..];
        match first {
            b'k' => keys.push(Key::Up),
            b'j' => keys.push(Key::Down),
            b'g' => keys.push(Key::First),
            b'G' => keys.push(Key::Last),
            b's' => keys.push(Key::Start),
            b'x' => keys.push(Key::Stop),
            b'r' => keys.push(Key::Restart),
            b'l' | b'\r' => keys.push(Key::Logs),
            b'w' => keys.push(Key::Why),
            b'q' => keys.push(Key::Quit),
            // Ctrl-C, while the terminal does not turn it into a signal.
            3 => keys.push(Key::Quit),
            // An unknown sequence must not be taken for letters.
            0x1b if matches!(bytes.first(), Some(b'[' | b'O')) => bytes = after_sequence(bytes),
            0x1b => keys.push(Key::Back),
            _ => {}
        }
    }
    keys
}

/// The bytes after a sequence that began with `[` or `O`: it ends with a letter or `~`.
fn after_sequence(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().skip(1).position(|byte| byte.is_ascii_alphabetic() || *byte == b'~');
    end.map_or(&[], |end| &bytes[end + 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_the_bytes_around_them() {
        for (bytes, keys) in [
            (&b"q"[..], &[Key::Quit][..]),
            (b"\x03", &[Key::Quit]),
            (b"\x1b[A\x1b[Bj", &[Key::Up, Key::Down, Key::Down]),
            (b"\x1bOA\x1b[5~\x1b[6~", &[Key::Up, Key::PageUp, Key::PageDown]),
            (b"\x1b", &[Key::Back]),
            (b"\x1b[15~\x1b[1;5Cr", &[Key::Restart]),
            (b"sxl\rw", &[Key::Start, Key::Stop, Key::Logs, Key::Logs, Key::Why]),
            (b"\xff\0Z", &[]),
            (b"\x1b[", &[]),
        ] {
            assert_eq!(parse(bytes), keys, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..8)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    b"\x1b[O~A15;q\xff"[(random % 10) as usize]
                })
                .collect();
            parse(&bytes);
        }
    }
}
