//! A bounded ring of pieces of output, each with its stream, its run and the time of reading.
//!
//! One byte buffer holds everything: a header of fixed size precedes each piece, so that a piece needs no allocation of its
//! own and the oldest ones are removed whole. Positions count bytes from the start and never wrap, so that a reader that fell behind can be
//! recognized. The buffer grows as it fills and never past its bound. Knows neither locks nor readers: `memory.rs`.

use std::collections::VecDeque;

use super::Source;

/// The largest piece in one record, which bounds what a reader copies at a time. Longer ones take several records.
pub(super) const LONGEST_PIECE: usize = 4 * 1024;

const HEADER: usize = 24;
const FIRST_CAPACITY: usize = 1024;

/// The header of a piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The stream it was written to.
    pub source: Source,
    /// The run that wrote it.
    pub run: u64,
    /// When it was read, in microseconds since 1970.
    pub at: u64,
    /// Whether it begins a line: the previous output of the same run on the same stream ended in a newline.
    pub starts_line: bool,
    /// Its length in bytes.
    pub length: usize,
}

impl Piece {
    fn to_header(self, previous: usize) -> [u8; HEADER] {
        let flags = u32::from(self.source == Source::Stderr) << 31 | u32::from(self.starts_line) << 30;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(self.length as u32 | flags).to_ne_bytes());
        header[4..8].copy_from_slice(&(previous as u32).to_ne_bytes());
        header[8..16].copy_from_slice(&self.run.to_ne_bytes());
        header[16..].copy_from_slice(&self.at.to_ne_bytes());
        header
    }

    /// The piece, and the length of the previous one.
    fn from_header(header: [u8; HEADER]) -> (Piece, usize) {
        let word = |place: usize| u32::from_ne_bytes(std::array::from_fn(|byte| header[place + byte]));
        let long = |place: usize| u64::from_ne_bytes(std::array::from_fn(|byte| header[place + byte]));
        let (length, previous) = (word(0), word(4));
        let piece = Piece {
            source: if length >> 31 == 1 { Source::Stderr } else { Source::Stdout },
            run: long(8),
            at: long(16),
            starts_line: length >> 30 & 1 == 1,
            length: (length & (u32::MAX >> 2)) as usize,
        };
        (piece, previous as usize)
    }
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    start: u64,
    last_length: usize,
    /// The number of overwritten bytes per stream: stdout, stderr.
    dropped: [u64; 2],
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Ring {
        Ring { bytes: VecDeque::new(), capacity, start: 0, last_length: 0, dropped: [0; 2] }
    }

    /// The position of the oldest piece.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The position of the next piece.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The number of overwritten bytes per stream.
    pub(super) fn dropped(&self) -> [u64; 2] {
        self.dropped
    }

    /// Changes the capacity in bytes, headers included. Older pieces that no longer fit are removed.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.bytes.len() > capacity {
            self.drop_oldest();
        }
        self.bytes.shrink_to(capacity);
    }

    /// Adds output, in as many pieces as it takes; if it is larger than the ring, only the end is kept.
    pub(super) fn push(&mut self, mut piece: Piece, mut bytes: &[u8]) {
        let (whole, records) = (bytes.len(), bytes.len().div_ceil(LONGEST_PIECE));
        if whole + records * HEADER > self.capacity {
            let kept = self.capacity.saturating_sub((self.capacity / LONGEST_PIECE + 1) * HEADER);
            self.clear();
            bytes = &bytes[whole - kept..];
            self.dropped[piece.source as usize] += (whole - kept) as u64;
            piece.starts_line = false;
        }
        for part in bytes.chunks(LONGEST_PIECE) {
            piece.length = part.len();
            self.push_record(piece, part);
            piece.starts_line = part.last() == Some(&b'\n');
        }
    }

    /// Records that a stream ended in the middle of a line: an empty piece.
    pub(super) fn push_end(&mut self, piece: Piece) {
        self.push_record(Piece { length: 0, ..piece }, &[]);
    }

    fn push_record(&mut self, piece: Piece, bytes: &[u8]) {
        let size = HEADER + bytes.len();
        if size > self.capacity {
            return;
        }
        while self.bytes.len() + size > self.capacity {
            self.drop_oldest();
        }
        self.make_room(size);
        let previous = if self.bytes.is_empty() { 0 } else { self.last_length };
        self.bytes.extend(&piece.to_header(previous));
        self.bytes.extend(bytes);
        self.last_length = bytes.len();
    }

    /// Doubles, up to the bound: most programs write little.
    fn make_room(&mut self, size: usize) {
        let needed = self.bytes.len() + size;
        if self.bytes.capacity() < needed {
            let wanted = needed.max(2 * self.bytes.capacity()).max(FIRST_CAPACITY).min(self.capacity);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }

    fn drop_oldest(&mut self) {
        let Some((piece, _)) = self.header(self.start) else { return };
        let size = HEADER + piece.length;
        self.bytes.drain(..size);
        self.start += size as u64;
        self.dropped[piece.source as usize] += piece.length as u64;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        while self.start < self.end() {
            self.drop_oldest();
        }
    }

    fn header(&self, position: u64) -> Option<(Piece, usize)> {
        let place = usize::try_from(position.checked_sub(self.start)?).ok()?;
        if place >= self.bytes.len() {
            return None;
        }
        let mut header = [0; HEADER];
        copy(&self.bytes, place, &mut header);
        Some(Piece::from_header(header))
    }

    /// The piece at a position, which must come from this ring; and the position after it.
    pub(super) fn piece(&self, position: u64) -> Option<(Piece, u64)> {
        let (piece, _) = self.header(position)?;
        Some((piece, position + (HEADER + piece.length) as u64))
    }

    /// The position of the previous piece.
    pub(super) fn before(&self, position: u64) -> Option<u64> {
        if position <= self.start {
            return None;
        }
        let length = if position == self.end() { self.last_length } else { self.header(position)?.1 };
        Some(position - (HEADER + length) as u64)
    }

    /// The bytes of a piece: two slices, because the ring wraps around.
    pub(super) fn bytes(&self, position: u64, piece: &Piece) -> (&[u8], &[u8]) {
        let from = (position - self.start) as usize + HEADER;
        let (front, back) = self.bytes.as_slices();
        let to = from + piece.length;
        match (from < front.len(), to <= front.len()) {
            (true, true) => (&front[from..to], &[]),
            (true, false) => (&front[from..], &back[..to - front.len()]),
            (false, _) => (&back[from - front.len()..to - front.len()], &[]),
        }
    }

    /// The memory in use.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }
}

fn copy(bytes: &VecDeque<u8>, place: usize, into: &mut [u8]) {
    let (front, back) = bytes.as_slices();
    for (offset, byte) in into.iter_mut().enumerate() {
        let place = place + offset;
        *byte = if place < front.len() { front[place] } else { back[place - front.len()] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(source: Source, run: u64) -> Piece {
        Piece { source, run, at: 7, starts_line: true, length: 0 }
    }

    fn contents(ring: &Ring) -> Vec<(Piece, Vec<u8>)> {
        let (mut position, mut found) = (ring.start(), Vec::new());
        while let Some((piece, next)) = ring.piece(position) {
            let (front, back) = ring.bytes(position, &piece);
            found.push((piece, [front, back].concat()));
            position = next;
        }
        found
    }

    fn backwards(ring: &Ring) -> Vec<u64> {
        std::iter::successors(ring.before(ring.end()), |&position| ring.before(position)).collect()
    }

    #[test]
    fn the_newest_pieces_are_kept_whole_and_in_order_and_the_rest_is_counted() {
        let mut ring = Ring::new(300);
        let mut written = 0;
        for number in 0..1000_u64 {
            let text = vec![b'a' + (number % 26) as u8; (number % 40) as usize + 1];
            written += text.len() as u64;
            ring.push(piece(Source::Stdout, number), &text);
            let kept = contents(&ring);
            assert!(ring.allocated() <= 300, "{} bytes are held", ring.allocated());
            assert_eq!(kept.last().unwrap().1, text);
            assert!(kept.windows(2).all(|pair| pair[0].0.run + 1 == pair[1].0.run));
            let length: usize = kept.iter().map(|(_, text)| text.len()).sum();
            assert_eq!(ring.dropped(), [written - length as u64, 0]);
            let mut positions = backwards(&ring);
            positions.reverse();
            assert_eq!(positions.len(), kept.len());
            assert_eq!(positions.first(), Some(&ring.start()));
        }
    }

    #[test]
    fn everything_about_a_piece_comes_back() {
        let mut ring = Ring::new(4096);
        ring.push(Piece { source: Source::Stderr, run: u64::MAX, at: 12, starts_line: false, length: 0 }, b"abc");
        let expected = Piece { source: Source::Stderr, run: u64::MAX, at: 12, starts_line: false, length: 3 };
        assert_eq!(contents(&ring), [(expected, b"abc".to_vec())]);
    }

    #[test]
    fn of_what_is_larger_than_the_ring_the_end_is_kept() {
        let mut ring = Ring::new(1000);
        ring.push(piece(Source::Stderr, 1), b"before\n");
        let long: Vec<u8> = (0..5000_u32).map(|number| number as u8).collect();
        ring.push(piece(Source::Stdout, 1), &long);
        let kept = contents(&ring);
        let text: Vec<u8> = kept.iter().flat_map(|(_, text)| text.clone()).collect();
        assert!(text.len() > 900 && long.ends_with(&text));
        assert!(!kept[0].0.starts_line);
        assert_eq!(ring.dropped(), [5000 - text.len() as u64, 7]);
    }

    #[test]
    fn long_pieces_are_several_records_and_lines_start_where_they_start() {
        let mut ring = Ring::new(1 << 20);
        let mut long = vec![b'x'; LONGEST_PIECE - 1];
        long.extend(b"\nnext");
        ring.push(piece(Source::Stdout, 1), &long);
        let starts: Vec<(usize, bool)> =
            contents(&ring).iter().map(|(piece, _)| (piece.length, piece.starts_line)).collect();
        assert_eq!(starts, [(LONGEST_PIECE, true), (4, true)]);
        let mut ring = Ring::new(1 << 20);
        ring.push(piece(Source::Stdout, 1), &vec![b'x'; LONGEST_PIECE + 1]);
        assert!(!contents(&ring)[1].0.starts_line);
    }

    #[test]
    fn a_smaller_bound_gives_memory_back() {
        let mut ring = Ring::new(1 << 16);
        for _ in 0..2000 {
            ring.push(piece(Source::Stdout, 1), &[b'x'; 100]);
        }
        assert!(ring.allocated() > 60_000);
        ring.set_capacity(1000);
        assert!(ring.allocated() <= 1000);
        assert_eq!(contents(&ring).len(), 8);
    }
}
