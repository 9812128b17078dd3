//! The body of a response with a log: what is kept in memory, then new output.
//!
//! It is produced as the client takes it, about 16 KiB at a time, directly from the instance's memory: nothing is
//! queued. A client that is too slow finds that the next bytes have been dropped, and gets their number.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use muster_api::{EntryKind, LogEntry, LogFormat, Timestamp};
use muster_logs::{Batch, Cursor, Follower, Line, LineAssembler, Located, Memory, Older, Piece, Source, Wanted};

use muster_server::body::Pieces;
use muster_spec::{Hook, RunId};

/// The approximate size of a piece, in bytes.
const ENOUGH: usize = 16 * 1024;

/// How many bytes are formatted before the size is checked: as JSON a line can be a hundred times as long.
const STEP: usize = 512;

/// Formats lines as requested.
#[derive(Debug)]
pub(super) struct Writer {
    program: String,
    format: LogFormat,
    /// How many lines to skip first.
    skip: u64,
    /// Set while lines come from a file, which has no times and runs; says which stream they are of, if only one.
    from_file: Option<Wanted>,
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn new(program: &str, format: LogFormat) -> Writer {
        Writer { program: program.to_owned(), format, skip: 0, from_file: None, out: Vec::new() }
    }

    fn put_line(&mut self, line: Line<'_>) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.format == LogFormat::Raw {
            self.out.extend_from_slice(line.text);
            if line.is_ended {
                self.out.push(b'\n');
            }
            return;
        }
        let entry = LogEntry::of(EntryKind::Line, &self.program).with_text(line.text);
        let entry = LogEntry { ended: line.is_ended, ..entry };
        let (run, hook) = Hook::of_output(RunId(line.run));
        self.put_entry(&match self.from_file {
            Some(Wanted::Both) => entry,
            Some(Wanted::Only(source)) => LogEntry { stream: Some(name(source)), ..entry },
            None => LogEntry {
                time: Some(timestamp(line.at)),
                stream: Some(name(line.source)),
                run: Some(run.0),
                hook: hook.map(|hook| hook.name().to_owned()),
                ..entry
            },
        });
    }

    fn put_missed(&mut self, missed: u64) {
        self.skip = 0;
        match self.format {
            LogFormat::Raw => {
                let told = format!("\nmusterd | {missed} bytes missed here: they were not read in time\n");
                self.out.extend_from_slice(told.as_bytes());
            }
            LogFormat::Json => {
                let entry = LogEntry { missed: Some(missed), ..LogEntry::of(EntryKind::Missed, &self.program) };
                self.put_entry(&LogEntry { time: Some(SystemTime::now().into()), ..entry });
            }
        }
    }

    fn put_live(&mut self) {
        self.skip = 0;
        if self.format == LogFormat::Json {
            let entry = LogEntry::of(EntryKind::Live, &self.program);
            self.put_entry(&LogEntry { time: Some(SystemTime::now().into()), ..entry });
        }
    }

    fn put_entry(&mut self, entry: &LogEntry) {
        // Strings and numbers always serialize, and writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut self.out, entry);
        self.out.push(b'\n');
    }
}

fn name(source: Source) -> String {
    if source == Source::Stdout { "stdout" } else { "stderr" }.to_owned()
}

fn timestamp(at_us: u64) -> Timestamp {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_micros(at_us))
        .map_or(Timestamp::from_unix_ms(i64::MAX), Into::into)
}

/// The output from files that precedes what is kept in memory.
struct FromFile {
    older: Older,
    streams: Wanted,
    block: Bytes,
    starts_line: bool,
    assembler: LineAssembler,
}

impl FromFile {
    /// Formats blocks that have been read. Ready when there is enough to send; returns whether there is more.
    fn fill(&mut self, writer: &mut Writer, context: &mut Context<'_>) -> Poll<bool> {
        writer.from_file = Some(self.streams);
        while writer.out.len() < ENOUGH {
            if self.block.is_empty() {
                match self.older.blocks.poll_recv(context) {
                    Poll::Pending if writer.out.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(Some(block)) => self.block = block,
                    Poll::Ready(None) => {
                        self.end(writer);
                        return Poll::Ready(false);
                    }
                }
            }
            let bytes = self.block.split_to(self.block.len().min(STEP));
            // The stream and run do not matter here.
            let piece =
                Piece { source: Source::Stdout, run: 0, at: 0, starts_line: self.starts_line, length: bytes.len() };
            self.assembler.push(&piece, &bytes, &mut |line| writer.put_line(line));
            self.starts_line = bytes.last() == Some(&b'\n');
        }
        Poll::Ready(true)
    }

    fn end(&mut self, writer: &mut Writer) {
        self.assembler.finish(&mut |line| writer.put_line(line));
        writer.from_file = None;
        if self.older.missed() > 0 {
            writer.put_missed(self.older.missed());
        }
    }
}

/// The body of a log.
pub(super) struct LogBody {
    memory: Arc<Memory>,
    wanted: Wanted,
    cursor: Cursor,
    /// The position at which history ends and new output begins.
    live_from: u64,
    /// How many lines of memory to skip.
    skip: u64,
    /// Wakes the body for new output; `None` if the client does not follow.
    follower: Option<Follower>,
    is_live: bool,
    is_done: bool,
    has_had_its_turn: bool,
    from_file: Option<FromFile>,
    assembler: LineAssembler,
    writer: Writer,
    batch: Batch,
    /// The index of the next piece of the batch, the offset of its bytes, and how many of them are consumed.
    next: (usize, usize, usize),
}

impl LogBody {
    pub(super) fn new(
        memory: Arc<Memory>,
        wanted: Wanted,
        located: Located,
        follower: Option<Follower>,
        writer: Writer,
    ) -> LogBody {
        LogBody {
            memory,
            wanted,
            cursor: located.cursor,
            live_from: located.end,
            follower,
            is_live: false,
            is_done: false,
            has_had_its_turn: false,
            from_file: None,
            skip: located.skip,
            assembler: LineAssembler::default(),
            writer,
            batch: Batch::default(),
            next: (0, 0, 0),
        }
    }

    /// Precedes the body with output from files, of these streams.
    pub(super) fn after(mut self, older: Older, streams: Wanted) -> LogBody {
        let (block, assembler) = (Bytes::new(), LineAssembler::default());
        self.from_file = Some(FromFile { older, streams, block, starts_line: true, assembler });
        self
    }

    /// Fills the next piece to send. Pending when there is nothing new.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(from_file) = &mut self.from_file {
            match from_file.fill(&mut self.writer, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => self.from_file = None,
            }
        }
        self.writer.skip += std::mem::take(&mut self.skip);
        while !self.is_done && !self.use_batch() {
            if !self.is_live && self.cursor.position >= self.live_from {
                self.go_live();
                continue;
            }
            let (before, until) = (self.cursor.position, if self.is_live { u64::MAX } else { self.live_from });
            self.memory.read(&mut self.cursor, self.wanted, until, &mut self.batch);
            self.next = (0, 0, 0);
            if self.batch.missed > 0 {
                self.assembler.pass_gap(&mut |line| self.writer.put_line(line));
                self.writer.put_missed(self.batch.missed);
            }
            if self.cursor.position > before {
                continue;
            }
            if !self.is_live {
                // The remaining history has been cleared.
                self.live_from = before;
                continue;
            }
            self.give_out();
            match &self.follower {
                Some(follower) if !follower.is_over() => {
                    follower.wait(context);
                    // A waiting client holds no memory.
                    self.batch = Batch::default();
                    return if self.writer.out.is_empty() { Poll::Pending } else { Poll::Ready(()) };
                }
                _ => self.finish(),
            }
        }
        Poll::Ready(())
    }

    /// Formats what was read. Returns true when there is enough to send.
    fn use_batch(&mut self) -> bool {
        while self.writer.out.len() < ENOUGH {
            let (number, start, used) = self.next;
            let Some(piece) = self.batch.pieces.get(number) else { return false };
            let to = piece.length.min(used + STEP);
            let bytes = &self.batch.bytes[start + used..start + to];
            if self.is_live && self.writer.format == LogFormat::Raw {
                self.writer.out.extend_from_slice(bytes);
            } else {
                let starts_line =
                    if used == 0 { piece.starts_line } else { self.batch.bytes[start + used - 1] == b'\n' };
                let piece = Piece { starts_line, ..*piece };
                self.assembler.push(&piece, bytes, &mut |line| self.writer.put_line(line));
            }
            self.next = if to == piece.length { (number + 1, start + to, 0) } else { (number, start, to) };
        }
        true
    }

    /// Ends history; continues with new output if the client follows.
    fn go_live(&mut self) {
        if self.follower.is_none() {
            return self.finish();
        }
        self.is_live = true;
        if self.writer.format == LogFormat::Raw {
            self.assembler.finish(&mut |line| self.writer.put_line(line));
        }
        self.writer.put_live();
    }

    /// Releases incomplete lines of streams that have been silent.
    fn give_out(&mut self) {
        for source in Source::BOTH {
            if self.wanted.includes(source) && self.memory.is_given_out(&self.cursor, source) {
                self.assembler.give_out(source, &mut |line| self.writer.put_line(line));
            }
        }
    }

    fn finish(&mut self) {
        self.assembler.finish(&mut |line| self.writer.put_line(line));
        self.is_done = true;
    }
}

impl Pieces for LogBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // One piece per turn: several hundred followers of the same busy log must not monopolize the thread.
        if std::mem::take(&mut self.has_had_its_turn) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.fill(context).is_pending() {
            return Poll::Pending;
        }
        self.has_had_its_turn = true;
        let out = std::mem::take(&mut self.writer.out);
        Poll::Ready((!out.is_empty()).then(|| Bytes::from(out)))
    }
}
