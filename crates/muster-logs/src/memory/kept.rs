//! The content of a memory, without its lock.

use std::collections::VecDeque;
use std::task::Waker;

use memchr::{memchr, memchr_iter};

use super::super::Source;
use super::super::line_assembler::{Line, LineAssembler};
use super::super::offset_index::Milestones;
use super::super::ring::{Piece, Ring};
use super::{BATCH, Batch, Cursor, Edge, LastLine, Located, Wanted};

/// How many lines of a run are kept, and of how many runs.
const LINES: usize = 20;
const RUNS: usize = 20;

/// How many bytes suffice to recognise the place in a file.
const NEEDLE: usize = 512;

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) ring: Ring,
    milestones: Milestones,
    /// The number of bytes pushed per stream: stdout, stderr.
    pushed: [u64; 2],
    /// The number pushed when everything was last discarded.
    forgotten: Option<[u64; 2]>,
    newest_run: Option<u64>,
    /// The run whose bytes came last on each stream, and whether they ended in a newline.
    line_ends: [Option<(u64, bool)>; 2],
    /// How much each stream had written when the beginning of its last line was emitted, if it was.
    pub(super) given_out: [Option<u64>; 2],
    /// How often that happened.
    parts: u64,
    /// The last lines of runs before the newest.
    tails: VecDeque<(u64, Vec<LastLine>)>,
    pub(super) is_followed: bool,
    /// The waiting task.
    pub(super) waker: Option<Waker>,
}

impl Kept {
    pub(super) fn new(size: usize) -> Box<Kept> {
        Box::new(Kept {
            ring: Ring::new(size),
            milestones: Milestones::default(),
            pushed: [0; 2],
            forgotten: None,
            newest_run: None,
            line_ends: [None; 2],
            given_out: [None; 2],
            parts: 0,
            tails: VecDeque::new(),
            is_followed: false,
            waker: None,
        })
    }

    pub(super) fn clear(&mut self) {
        self.ring.clear();
        self.tails.clear();
        self.forgotten = Some(self.pushed);
    }

    pub(super) fn push(&mut self, source: Source, run: u64, at: u64, bytes: &[u8]) {
        self.note_run(run);
        let end = &mut self.line_ends[source as usize];
        let starts_line = *end != Some((run, false));
        *end = Some((run, bytes.last() == Some(&b'\n')));
        self.milestones.pass(at, self.pushed);
        self.pushed[source as usize] += bytes.len() as u64;
        self.ring.push(Piece { source, run, at, starts_line, length: 0 }, bytes);
    }

    pub(super) fn end(&mut self, source: Source, run: u64, at: u64) {
        let end = &mut self.line_ends[source as usize];
        if *end == Some((run, false)) {
            *end = Some((run, true));
            self.ring.push_end(Piece { source, run, at, starts_line: true, length: 0 });
        }
        // It was late: its last lines were filed when a newer run began, and there may be more of them now.
        if self.newest_run.is_some_and(|newest| run < newest) {
            self.file(run);
        }
    }

    pub(super) fn give_out(&mut self, source: Source, run: u64) {
        let place = source as usize;
        if self.line_ends[place] == Some((run, false)) {
            self.given_out[place] = Some(self.pushed[place]);
            self.parts += 1;
        }
    }

    /// Grows with everything that followers may want to see.
    pub(super) fn progress(&self) -> u64 {
        self.ring.end() + self.parts
    }

    fn note_run(&mut self, run: u64) {
        match self.newest_run {
            Some(newest) if run <= newest => return,
            Some(newest) => self.file(newest),
            None => {}
        }
        self.newest_run = Some(run);
    }

    /// Files the last lines of a run that is no longer the newest.
    fn file(&mut self, run: u64) {
        let lines = self.last_lines(run);
        self.tails.retain(|(filed, _)| *filed != run);
        if !lines.is_empty() {
            self.tails.push_back((run, lines));
        }
        if self.tails.len() > RUNS {
            self.tails.pop_front();
        }
    }

    /// The filed lines may be outdated; the ring may have more by now, or may have lost them.
    pub(super) fn last_lines(&self, run: u64) -> Vec<LastLine> {
        let there = self.last_lines_in_ring(run);
        let filed = self.tails.iter().find(|(filed, _)| *filed == run);
        match filed {
            Some((_, filed)) if filed.len() > there.len() => filed.clone(),
            _ => there,
        }
    }

    fn last_lines_in_ring(&self, run: u64) -> Vec<LastLine> {
        let is_its = |piece: &Piece| piece.run == run;
        let start = self.start_of_lines(LINES, is_its);
        let (mut assembler, mut lines) = (LineAssembler::default(), VecDeque::new());
        let mut keep = |line: Line<'_>| {
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(LastLine::of(line));
        };
        self.join_from(start, is_its, &mut assembler, &mut keep);
        assembler.finish(&mut keep);
        lines.into()
    }

    /// The position at or before which this many lines of such pieces begin.
    fn start_of_lines(&self, lines: usize, is_wanted: impl Fn(&Piece) -> bool) -> u64 {
        // Each stream may have an incomplete line, and one whose beginning is in an earlier piece.
        let enough = lines.saturating_add(2);
        let (mut position, mut found) = (self.ring.end(), 0);
        while found <= enough
            && let Some(before) = self.ring.before(position)
        {
            position = before;
            if let Some((piece, _)) = self.ring.piece(position).filter(|(piece, _)| is_wanted(piece)) {
                let (front, back) = self.ring.bytes(position, &piece);
                found += memchr_iter(b'\n', front).count() + memchr_iter(b'\n', back).count();
            }
        }
        position
    }

    /// The position of the oldest piece that was read at that moment or later.
    fn start_of_moment(&self, since: u64) -> u64 {
        let is_later = |position: &u64| self.ring.piece(*position).is_some_and(|(piece, _)| piece.at >= since);
        let earlier = std::iter::successors(self.ring.before(self.ring.end()), |&position| self.ring.before(position));
        earlier.take_while(is_later).last().unwrap_or(self.ring.end())
    }

    fn for_each_from(
        &self,
        mut position: u64,
        is_wanted: impl Fn(&Piece) -> bool,
        mut then: impl FnMut(&Piece, &[u8], &[u8]),
    ) {
        while let Some((piece, next)) = self.ring.piece(position) {
            if is_wanted(&piece) {
                let (front, back) = self.ring.bytes(position, &piece);
                then(&piece, front, back);
            }
            position = next;
        }
    }

    pub(super) fn locate(&self, wanted: Wanted, lines: Option<u64>, since: Option<u64>) -> Located {
        let is_wanted = |piece: &Piece| wanted.includes(piece.source);
        let most = usize::try_from(lines.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let by_lines = self.start_of_lines(most, is_wanted);
        let by_moment = since.map_or(self.ring.start(), |since| self.start_of_moment(since));
        let position = by_lines.max(by_moment);
        let (found, passed) = (self.count_lines(position, is_wanted), self.passed_at(position));
        let is_satisfied = lines.is_some_and(|lines| found >= lines) || by_moment > self.ring.start();
        let wished = lines.unwrap_or(found).min(found);
        Located {
            cursor: Cursor { position, passed },
            skip: found - wished,
            lines: wished,
            end: self.ring.end(),
            is_satisfied,
        }
    }

    /// How many lines begin here, including incomplete ones.
    fn count_lines(&self, position: u64, is_wanted: impl Fn(&Piece) -> bool) -> u64 {
        let (mut assembler, mut found) = (LineAssembler::default(), 0);
        let mut count = |_: Line<'_>| found += 1;
        self.join_from(position, is_wanted, &mut assembler, &mut count);
        assembler.finish(&mut count);
        found
    }

    /// How many bytes of each stream were pushed before this position.
    fn passed_at(&self, position: u64) -> [u64; 2] {
        let mut passed = self.pushed;
        self.for_each_from(position, |_| true, |piece, _, _| passed[piece.source as usize] -= piece.length as u64);
        passed
    }

    fn join_from(
        &self,
        position: u64,
        is_wanted: impl Fn(&Piece) -> bool,
        assembler: &mut LineAssembler,
        out: &mut dyn FnMut(Line<'_>),
    ) {
        self.for_each_from(position, is_wanted, |piece, front, back| {
            assembler.push(piece, front, out);
            if !back.is_empty() {
                assembler.push(&Piece { starts_line: front.last() == Some(&b'\n'), ..*piece }, back, out);
            }
        });
    }

    pub(super) fn held(&self, source: Source) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        self.for_each_from(
            self.ring.start(),
            |piece| piece.source == source,
            |_, front, back| {
                bytes.extend_from_slice(front);
                bytes.extend_from_slice(back);
            },
        );
        let forgotten = self.forgotten.map_or(0, |forgotten| forgotten[source as usize]);
        let size = (self.pushed[source as usize] - forgotten).max(bytes.len() as u64);
        (bytes, size)
    }

    pub(super) fn edge(&self, wanted: Wanted, since: Option<u64>) -> Edge {
        let (mut bytes, mut needle, mut is_whole) = (0, Vec::new(), false);
        self.for_each_from(
            self.ring.start(),
            |piece| wanted.includes(piece.source),
            |piece, front, back| {
                let mut parts = [front, back];
                if !is_whole && !piece.starts_line {
                    parts = after_newline(parts);
                }
                is_whole |= piece.starts_line || parts != [&[] as &[u8]; 2];
                for part in parts {
                    bytes += part.len() as u64;
                    needle.extend_from_slice(&part[..part.len().min(NEEDLE - needle.len())]);
                }
            },
        );
        let sum = |counts: [u64; 2]| {
            Source::BOTH.iter().filter(|it| wanted.includes(**it)).map(|it| counts[*it as usize]).sum()
        };
        let passed = since.map(|since| sum(self.milestones.before(since)));
        let from = passed.max(self.forgotten.map(sum));
        let before = from.map(|from: u64| sum(self.pushed).saturating_sub(from + bytes));
        Edge { bytes, needle, before }
    }

    pub(super) fn read(&self, cursor: &mut Cursor, wanted: Wanted, until: u64, batch: &mut Batch) {
        let gone = self.ring.dropped();
        for source in Source::BOTH {
            let place = source as usize;
            let missed = gone[place].saturating_sub(cursor.passed[place]);
            cursor.passed[place] += missed;
            batch.missed += if wanted.includes(source) { missed } else { 0 };
        }
        cursor.position = cursor.position.max(self.ring.start());
        while batch.bytes.len() < BATCH
            && cursor.position < until
            && let Some((piece, next)) = self.ring.piece(cursor.position)
        {
            if wanted.includes(piece.source) {
                let (front, back) = self.ring.bytes(cursor.position, &piece);
                batch.add(&piece, front, back);
            }
            cursor.passed[piece.source as usize] += piece.length as u64;
            cursor.position = next;
        }
    }
}

/// The bytes after the first newline.
fn after_newline(parts: [&[u8]; 2]) -> [&[u8]; 2] {
    let [front, back] = parts;
    match (memchr(b'\n', front), memchr(b'\n', back)) {
        (Some(end), _) => [&front[end + 1..], back],
        (None, Some(end)) => [&[], &back[end + 1..]],
        (None, None) => [&[], &[]],
    }
}
