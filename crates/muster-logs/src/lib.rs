//! The data plane: program output on its path to the console and to files.
//!
//! It runs on its own threads that never touch supervision: one that reads the pipes ([`pump`]), with a second one
//! once several programs write faster than it copies, and one for each
//! console stream ([`console`]), because a console's reader may stop reading and a disk may be slow.
//! A stalled log file gets its own thread while it is stalled ([`late`], [`backlog`]).
//! Output for syslog is sent by another one, if configured ([`syslog`]).
//! Rotated files are compressed by a thread that exists only while it has work ([`compress`]).
//! Recent output is kept in memory for readers ([`memory`]) and followers ([`follow`]).
//! Supervision hands over a pipe and is done with it. Every queue here is bounded and counts what it drops.

#![forbid(unsafe_code)]

mod backlog;
mod capture;
mod clear;
mod coalesce;
mod compress;
mod console;
mod console_format;
mod counters;
mod drain;
mod file;
mod files;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heard;
mod history;
mod idle;
mod joint;
mod json;
mod kept;
mod late;
mod line_assembler;
mod loss;
mod memory;
mod offset_index;
mod open;
mod own_file;
mod part;
mod policy;
mod progress;
mod pump;
mod queue;
mod rate;
mod ready;
mod ring;
mod rotate;
mod screen;
mod segments;
mod splice;
mod stream;
mod strip;
mod syslog;
mod tap;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use muster_spec::{InstanceSpec, OutputSpec, Overflow, PerStream, Rotation, RunId, Sink, Stdin, SyslogSpec, Target};
use muster_sys::user::Accounts;
use tokio::sync::watch;
use tracing::warn;

use self::backlog::Origin;
use self::drain::Drains;
use self::follow::Hubs;
use self::heard::HeardQueue;
use self::history::{FileLog, Readers};
use self::idle::OpenLine;
use self::kept::{Kept, Lanes, gap, keep};
use self::policy::FilePolicy;
use self::pump::Pump;
use self::rate::Rate;
use self::stream::{Limited, Spare, Stream};
use self::syslog::encoder::Encoder;
use self::syslog::{LAST_STALL, Receiver};
use self::tap::Tap;

pub use self::clear::empty_files;
pub use self::console::Console;
pub use self::counters::Counts;
pub use self::drain::PATIENCE as DRAIN_PATIENCE;
pub use self::follow::Follower;
pub use self::heard::Heard;
pub use self::history::{MOST as MOST_SEARCHES, Older, Wish};
pub use self::kept::remembered;
pub use self::line_assembler::{Line, LineAssembler};
pub use self::memory::{Batch, Cursor, LastLine, Located, Memory, Wanted};
pub use self::own_file::OwnFile;
pub use self::part::{FilePart, Part, PartialLog};
pub use self::ready::ReadyMatcher;
pub use self::ring::Piece;
pub use self::screen::{Screen, Seat};
pub use self::syslog::OwnSyslog;

/// How often a continuing loss is reported.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// One of a process's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    /// Both, in the order of their descriptors.
    pub const BOTH: [Source; 2] = [Source::Stdout, Source::Stderr];

    /// The setting of this stream.
    pub fn of<T: Copy>(self, settings: PerStream<T>) -> T {
        match self {
            Source::Stdout => settings.stdout,
            Source::Stderr => settings.stderr,
        }
    }

    /// Its target, unless it is merged into stdout.
    pub fn target(self, output: &OutputSpec) -> Option<&Target> {
        match self {
            Source::Stdout => Some(&output.stdout),
            Source::Stderr => output.stderr.as_ref(),
        }
    }
}

/// The daemon's own two console streams. They are one if both have the same destination, so that lines never mix.
#[derive(Clone, Debug)]
pub struct Consoles {
    /// The console of standard output.
    pub stdout: Console,
    /// The console of standard error.
    pub stderr: Console,
    /// The console of the daemon's own messages, if they go to a file.
    pub own_log: Option<Console>,
    /// The daemon's own messages for syslog, if they go there.
    pub own_syslog: Option<OwnSyslog>,
}

/// The whole data plane.
#[derive(Debug)]
pub struct Logs {
    consoles: Consoles,
    pump: Pump,
    drains: Drains,
    heard: Arc<HeardQueue>,
    /// By the name of the instance, from its first run or the first request on.
    kept: RefCell<HashMap<String, Kept>>,
    lanes: RefCell<Lanes>,
    hubs: Hubs,
    readers: Readers,
    syslog: Receiver,
    accounts: RefCell<Accounts>,
}

/// A pipe for the output of a process that is about to be created.
#[derive(Debug)]
pub struct Pipe {
    /// The end for the process. The daemon's own copy is to be closed when it has its own.
    pub writing: OwnedFd,
    /// The other end.
    pub reading: Unbound,
}

/// The reading end of a pipe, before the process is made. Nothing is read of it before [`Logs::bind`].
#[derive(Debug)]
#[must_use = "nothing is read of a pipe that is not bound"]
pub struct Unbound {
    stream: Box<Stream>,
    /// Of its files, in their order.
    policies: Box<[FilePolicy]>,
    /// The instance that its messages to syslog name, where they go there.
    in_syslog: Option<String>,
}

impl Logs {
    /// Starts the threads that read pipes and write consoles.
    pub fn start(consoles: Consoles, syslog: SyslogSpec) -> io::Result<Logs> {
        let heard = Arc::new(HeardQueue::default());
        Ok(Logs {
            pump: Pump::start(consoles.clone(), Arc::clone(&heard))?,
            consoles,
            drains: Drains::new(),
            heard,
            kept: RefCell::default(),
            lanes: RefCell::default(),
            hubs: Hubs::default(),
            readers: Readers::default(),
            syslog: Receiver::new(syslog),
            accounts: RefCell::default(),
        })
    }

    /// Opens a pipe whose lines go to these sinks. The caller gives the writing end to a process and then binds the reading
    /// end to it. If given, `matcher` sees every line first.
    pub fn open_pipe(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        source: Source,
        sinks: &[Sink],
        matcher: Option<ReadyMatcher>,
    ) -> io::Result<Pipe> {
        let (reading, writing) = muster_sys::fd::output_pipe()?;
        let reading = self.prepare(run, spec, (source, sinks), matcher, (reading, None));
        Ok(Pipe { writing, reading })
    }

    fn prepare(
        &self,
        run: RunId,
        spec: &InstanceSpec,
        (source, sinks): (Source, &[Sink]),
        matcher: Option<ReadyMatcher>,
        (reading, screen): (OwnedFd, Option<Arc<Screen>>),
    ) -> Unbound {
        let mut kept = self.kept.borrow_mut();
        let kept = keep(&mut kept, spec);
        let limited = |limit| {
            let rate = Rate::new(limit, Instant::now());
            Box::new(Limited { limit, rate, gap: gap(run, spec, source) })
        };
        // A program whose user does not exist never starts, and needs no files.
        let files = policy::files(spec, source, sinks, &mut self.accounts.borrow_mut()).unwrap_or_default();
        let (files, policies): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let shown = self.show(run, spec, source, sinks, kept);
        let is_spare = shown.is_none() && !files.is_empty();
        let spare = is_spare.then(|| self.show(run, spec, source, &[Sink::Console], kept)).flatten().map(Spare::new);
        let stream = Stream {
            run: run.0,
            pipe: File::from(reading),
            screen,
            matcher: matcher.map(Box::new),
            recorder: Recorder { memory: Arc::clone(&kept.memory), source, run: run.0 },
            origin: Origin {
                counters: Arc::clone(&kept.counters),
                bound: spec.output.buffer_size,
                is_blocking: spec.output.overflow == Overflow::Block,
                spare,
            },
            limited: spec.output.rate_limit.map(limited),
            shown,
            files: files.into(),
            syslog: None,
            tap: self.tap(run, spec, source).map(Box::new),
            strip: source.of(spec.output.strip_ansi).then(Box::default),
            held: Vec::new(),
            is_midline: false,
            line: OpenLine::default(),
            long: None,
            is_parked: false,
            full_reads: 0,
            flood: 0,
            is_large: false,
        };
        let in_syslog = sinks.contains(&Sink::Syslog).then(|| spec.name.clone());
        Unbound { stream: Box::new(stream), policies: policies.into(), in_syslog }
    }

    fn tap(&self, run: RunId, spec: &InstanceSpec, source: Source) -> Option<Tap> {
        match (source, spec.process.stdin) {
            (Source::Stdout, Stdin::Events) => Some(Tap::for_answers(run.0, &self.heard)),
            _ => Tap::for_events(run.0, source, source.of(spec.output.events), &self.heard),
        }
    }

    /// Takes the oldest of what event listeners are to know, and of their answers.
    pub fn take_heard(&self, most: usize) -> Vec<Heard> {
        self.heard.take(most)
    }

    /// Whether any listener takes output as events. Until then streams pass on none, whatever their setting.
    pub fn want_output(&self, is_wanted: bool) {
        self.heard.want_output(is_wanted);
    }

    /// Passes on the output of all streams that are opened from now on, for the daemon's own log.
    pub fn repeat_output(&self) {
        self.heard.repeat_output();
    }

    /// Whether it passes on the output of all streams.
    pub fn repeats_output(&self) -> bool {
        self.heard.repeats_output()
    }

    /// Waits until there is something to take, on a handle of its own.
    pub fn watch_heard(&self) -> HeardWatch {
        HeardWatch(Arc::clone(&self.heard))
    }

    /// The last drain that [`Heard::Drained`] reports, if any stream has ever caused events.
    pub fn last_heard_drain(&self) -> Option<u64> {
        self.heard.is_used().then(|| self.drains.last())
    }

    /// Starts reading a pipe, after [`Logs::ring`]. `pid` is that of its process, which messages to syslog carry; `None` if it could not be
    /// created.
    pub fn bind(&self, reading: Unbound, pid: Option<u32>) {
        let Unbound { mut stream, policies, in_syslog } = reading;
        if let Some(instance) = in_syslog {
            let origin = (stream.recorder.source, pid);
            match self.syslog.get() {
                Ok(way) => {
                    stream.syslog = Some(Box::new(Encoder::new(way, &instance, origin, &stream.origin.counters)))
                }
                Err(error) => warn!(program = %instance, %error, "cannot start the thread for syslog, lines are lost"),
            }
        }
        self.pump.attach(*stream, policies);
    }

    /// Drops the state of unwanted instances: they were removed from the configuration, and are down.
    pub fn retain(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut lanes = self.lanes.borrow_mut();
        for (_, gone) in self.kept.borrow_mut().extract_if(|name, _| !is_wanted(name)) {
            lanes.free(gone.places);
        }
    }

    /// The counters of an instance's output since the daemon's start, over all runs. Never waits.
    pub fn counters(&self, instance: &str) -> Option<Counts> {
        self.kept.borrow().get(instance).map(|kept| kept.counters.counts())
    }

    /// The main processes of these runs have exited: their output is delivered before the daemon's lines that follow, after
    /// [`Logs::ring`].
    pub fn drain(&self, runs: Vec<RunId>) {
        let notice = self.drains.begin();
        self.consoles.stderr.await_drain(notice.number());
        self.pump.drain(runs.into_iter().map(|run| run.0).collect(), notice);
    }

    /// Lets the thread that reads the pipes begin with what it got to do since the last call: [`Logs::bind`] and [`Logs::drain`] do
    /// not wake it, so that several of them do so once, and after what is more urgent.
    pub fn ring(&self) {
        self.pump.ring();
    }

    /// The drain that has not been delivered yet, if any.
    pub fn pending_drain(&self) -> Option<u64> {
        self.drains.pending()
    }

    /// Reports the last delivered drain.
    pub fn watch_drains(&self) -> watch::Receiver<u64> {
        self.drains.watch()
    }

    /// The memory of an instance's output.
    pub fn memory_for(&self, spec: &InstanceSpec) -> Arc<Memory> {
        Arc::clone(&keep(&mut self.kept.borrow_mut(), spec).memory)
    }

    /// Follows an instance, or the daemon's own log under an empty name; `None` if there are too many followers.
    pub fn follow(&self, instance: &str, memory: &Arc<Memory>, most: usize) -> Option<Follower> {
        self.hubs.follow(instance, memory, most)
    }

    /// The file with output older than memory.
    pub fn file_of(&self, spec: &InstanceSpec, wanted: Wanted) -> Option<FileLog> {
        history::file_of(spec, wanted)
    }

    /// Begins to read output older than memory; `None` if too many reads are in progress.
    pub fn read_older(&self, wish: Wish) -> Option<Older> {
        self.readers.read(wish)
    }

    /// Followers read the rest and end.
    pub fn end_following(&self) {
        self.hubs.close();
    }

    /// The last lines that a run wrote, at most 20.
    pub fn last_lines(&self, instance: &str, run: RunId) -> Vec<LastLine> {
        let memory = self.kept.borrow().get(instance).map(|kept| Arc::clone(&kept.memory));
        memory.map_or_else(Vec::new, |memory| memory.last_lines(run.0))
    }

    /// Applies new rotation limits, also to the current run.
    pub fn change_rotation(&self, spec: &InstanceSpec) {
        for source in Source::BOTH {
            let sinks = source.target(&spec.output).map_or(&[][..], Target::sinks);
            let files = policy::files(spec, source, sinks, &mut self.accounts.borrow_mut());
            for (path, policy) in files.into_iter().flatten() {
                self.pump.change_policy(path, policy);
            }
        }
    }

    /// Reopens every file at its next write: another process moved it away.
    pub fn reopen(&self) {
        self.pump.reopen();
        self.consoles.own_log.iter().for_each(Console::reopen);
    }

    /// Has the daemon's own messages go to another file, if they go to one.
    pub fn move_own_log(&self, path: &Path, rotation: Rotation) {
        self.consoles.own_log.iter().for_each(|console| console.move_to(path, rotation));
    }

    /// Writes whole lines to the daemon's own standard output. Never waits for the reader.
    pub fn print(&self, lines: &[u8]) {
        self.consoles.stdout.append(lines);
    }

    /// Everything is being stopped: many pipes will end at the same time.
    pub fn gather(&self) {
        self.pump.gather();
    }

    /// Reads what the pipes still hold, for at most `patience`: followers see it. Nothing is read after that.
    pub fn finish_reading(&self, patience: Duration) {
        self.pump.finish(patience);
    }

    /// Reads what the pipes still hold and writes everything queued, for at most `patience`, and only while readers
    /// make progress within each `stall`.
    pub fn finish(&self, patience: Duration, stall: Duration) {
        let deadline = Instant::now() + patience;
        self.pump.finish(patience);
        self.syslog.finish(deadline.max(Instant::now() + LAST_STALL));
        let Consoles { stdout, stderr, own_log, own_syslog } = &self.consoles;
        let left = deadline.saturating_duration_since(Instant::now());
        own_syslog.iter().for_each(|syslog| syslog.finish(left.max(LAST_STALL)));
        let lanes = self.lanes.borrow();
        let consoles = [Some(stdout), Some(stderr), own_log.as_ref()].into_iter().flatten().chain(lanes.consoles());
        for console in consoles {
            console.flush(deadline.saturating_duration_since(Instant::now()), stall);
        }
    }
}

/// Passes output of one stream of one run to the memory of its instance.
#[derive(Debug)]
pub struct Recorder {
    memory: Arc<Memory>,
    source: Source,
    run: u64,
}

/// Identifies an instance while anything of it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InstanceId(usize);

impl Recorder {
    /// The instance that wrote it.
    pub(crate) fn instance(&self) -> InstanceId {
        InstanceId(Arc::as_ptr(&self.memory).addr())
    }

    /// Records bytes written at this time.
    pub fn record(&self, bytes: &[u8], at: SystemTime) {
        self.memory.push(self.source, self.run, at, bytes);
    }

    /// The stream is silent in the middle of a line.
    pub(crate) fn give_out(&self) {
        self.memory.give_out(self.source, self.run);
    }

    /// The pipe has ended.
    pub fn end(&self, at: SystemTime) {
        self.memory.end(self.source, self.run, at);
    }
}

/// Waits for what event listeners are to know.
#[derive(Debug)]
pub struct HeardWatch(Arc<HeardQueue>);

impl HeardWatch {
    /// Returns when there is something to take.
    pub async fn arrived(&self) {
        self.0.arrived().await;
    }
}

/// The sinks of a target that needs a pipe.
pub fn captured(target: &Target) -> Option<&[Sink]> {
    match target {
        Target::Capture(sinks) => Some(sinks),
        Target::Inherit | Target::Discard => None,
    }
}
