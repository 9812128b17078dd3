//! Processes and runs: which pid is which run's, how one is made, and what of it is left.
//!
//! Everything here happens on the loop's thread, and a pid is registered before anything is reaped again, so no exit can
//! come too early. A pid is only signalled while it is registered: until it is reaped the kernel cannot give it to anyone
//! else. Whatever is left of a tree is found by [`muster_sys::tree`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Stderr, Stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use muster_api::{ProcessInfo, ProcessState};
use muster_core::program::HISTORY;
use muster_core::spec::{InstanceSpec, Target};
use muster_core::{Exit, Input, RunId, Scope, Signal, SpawnError, SpawnStep};
use muster_sys::async_fd::Watched;
use muster_sys::pollset::PollSet;
use muster_sys::reap::reap_next;
use muster_sys::signal::{self, Pid};
use muster_sys::spawn::{Launch, Spawner, Spawning, Stdio};
use muster_sys::tree::{self, Trees};
use tracing::{debug, info, warn};

use crate::logs::{Logs, Source, captured};

/// How often SIGKILL to what belongs to no program is repeated at the end, as long as there is any.
const LOOKS_FOR_STRAYS: usize = 20;

/// A run whose main process has not been reaped.
struct Child {
    pid: Pid,
    /// Until it is known whether the program was executed. Boxed: it is large, and most of the time there is none.
    spawning: Option<Box<Spawning>>,
}

/// All processes of programs.
pub(crate) struct Children {
    spawner: Spawner,
    trees: Trees,
    logs: Logs,
    statuses: Rc<Watched<PollSet>>,
    children: HashMap<RunId, Child>,
    runs: HashMap<Pid, RunId>,
    /// The pids of runs that are remembered, for onlookers only.
    known_pids: BTreeMap<RunId, Pid>,
    most_known: usize,
    /// Makes `MUSTER_RUN` of this daemon unlike that of any other on the same machine.
    marker_prefix: String,
}

impl Children {
    pub(crate) fn new(
        spawner: Spawner,
        trees: Trees,
        logs: Logs,
        statuses: Rc<Watched<PollSet>>,
        instances: usize,
    ) -> Children {
        Children {
            spawner,
            trees,
            logs,
            statuses,
            children: HashMap::new(),
            runs: HashMap::new(),
            known_pids: BTreeMap::new(),
            most_known: instances * (HISTORY + 1),
            marker_prefix: marker_prefix(),
        }
    }

    /// Makes a process for this run.
    pub(crate) fn spawn(&mut self, run: RunId, spec: &InstanceSpec) -> Result<(), SpawnError> {
        let marker = format!("{}.{run}", self.marker_prefix);
        let index = spec.index.to_string();
        let program = spec.name.split_once(':').map_or(spec.name.as_str(), |(program, _)| program);
        let markers = [
            ("MUSTER_PROGRAM", program),
            ("MUSTER_INSTANCE", index.as_str()),
            (tree::MARKER, marker.as_str()),
            ("SUPERVISOR_ENABLED", "1"),
            ("SUPERVISOR_PROCESS_NAME", spec.name.as_str()),
            ("SUPERVISOR_GROUP_NAME", program),
        ];
        let (stdout, stderr) = self.open_output(spec)?;
        let spawning = self.spawner.spawn(&Launch {
            process: &spec.process,
            markers: &markers,
            tag: self.trees.tag(run),
            stdout: stdout.as_stdio(),
            stderr: stderr.as_stdio(),
        })?;
        let pid = spawning.pid;
        // A set that takes no more descriptors costs the early news; reaping the process tells the same later.
        if let Err(error) = self.statuses.get_ref().add(spawning.as_fd(), run.0) {
            warn!(program = %spec.name, %run, %error, "cannot watch a new process, it counts as started when it ends");
        }
        self.runs.insert(pid, run);
        self.trees.begin(run, pid, marker);
        self.children.insert(run, Child { pid, spawning: Some(Box::new(spawning)) });
        self.remember_pid(run, pid);
        info!(program = %spec.name, %run, %pid, "starting");
        Ok(())
    }

    fn open_output(&self, spec: &InstanceSpec) -> Result<(Output, Output), SpawnError> {
        let stdout = self.open_stream(spec, &spec.output.stdout, Source::Stdout)?;
        let stderr = match &spec.output.stderr {
            Some(target) => self.open_stream(spec, target, Source::Stderr)?,
            None => stdout.duplicate().map_err(no_pipe)?,
        };
        Ok((stdout, stderr))
    }

    fn open_stream(&self, spec: &InstanceSpec, target: &Target, source: Source) -> Result<Output, SpawnError> {
        match (captured(target), target, source) {
            (Some(sinks), ..) => self.logs.open_pipe(spec, source, sinks).map(Output::Pipe).map_err(no_pipe),
            (None, Target::Inherit, Source::Stdout) => Ok(Output::DaemonStdout),
            (None, Target::Inherit, Source::Stderr) => Ok(Output::DaemonStderr),
            (None, ..) => Ok(Output::Null),
        }
    }

    fn remember_pid(&mut self, run: RunId, pid: Pid) {
        self.known_pids.insert(run, pid);
        if self.known_pids.len() > self.most_known {
            self.known_pids.pop_first();
        }
    }

    /// The pid of a run, as long as it is remembered.
    pub(crate) fn pid_of(&self, run: RunId) -> Option<u32> {
        self.known_pids.get(&run).and_then(|pid| u32::try_from(pid.0).ok())
    }

    /// What has become known of new processes since the last look.
    pub(crate) fn take_outcomes(&mut self, ready: &[u64]) -> Vec<Input> {
        ready.iter().filter_map(|&token| self.take_outcome(RunId(token))).collect()
    }

    fn take_outcome(&mut self, run: RunId) -> Option<Input> {
        let child = self.children.get_mut(&run)?;
        match child.spawning.as_mut()?.outcome()? {
            Ok(()) => {
                let spawning = child.spawning.take()?;
                self.unwatch(&spawning);
                // Whoever looks at its tag now need not look when it is to be stopped, perhaps with a thousand others.
                self.trees.observe(run);
                Some(Input::Spawned { run })
            }
            // The process is about to end; only when it is reaped is nothing left of the run.
            Err(_) => {
                let spawning = child.spawning.as_ref()?;
                let _ = self.statuses.get_ref().remove(spawning.as_fd());
                None
            }
        }
    }

    fn unwatch(&self, spawning: &Spawning) {
        // It may have been taken out before; there is nothing else that could fail.
        let _ = self.statuses.get_ref().remove(spawning.as_fd());
    }

    /// Reaps everything that has ended, and tells what that means for runs.
    pub(crate) fn reap(&mut self, inputs: &mut VecDeque<Input>) -> io::Result<()> {
        let mut was_orphan = false;
        while let Some(reaped) = reap_next()? {
            self.trees.reaped(reaped.pid);
            match self.runs.remove(&reaped.pid) {
                Some(run) => self.main_ended(run, reaped.exit, inputs),
                None => {
                    was_orphan = true;
                    debug!(pid = %reaped.pid, exit = %reaped.exit, "reaped an orphan");
                }
            }
        }
        if was_orphan {
            // Others may have come with it, and what tells whose they are may not be there for ever.
            self.trees.look();
        }
        Ok(())
    }

    fn main_ended(&mut self, run: RunId, exit: Exit, inputs: &mut VecDeque<Input>) {
        let Some(mut child) = self.children.remove(&run) else { return };
        if let Some(mut spawning) = child.spawning.take() {
            self.unwatch(&spawning);
            if let Err(error) = spawning.outcome_after_exit() {
                self.trees.end(run);
                return inputs.push_back(Input::SpawnFailed { run, error: with_exit(error, exit) });
            }
            inputs.push_back(Input::Spawned { run });
        }
        inputs.push_back(Input::Exited { run, exit });
    }

    /// Remembers the trees of runs that are about to be signalled, as long as their ancestry can be seen.
    pub(crate) fn observe(&mut self, run: RunId) {
        self.trees.observe(run);
    }

    /// Signals a run whose main process has not been reaped.
    pub(crate) fn signal(&mut self, run: RunId, signal: Signal, scope: Scope) {
        let Some(child) = self.children.get(&run) else { return };
        let sent = match scope {
            Scope::Main => signal::send(child.pid, signal),
            Scope::Group => self.trees.signal(run, signal, tree::Scope::Group).map(drop),
            Scope::Tree => self.trees.signal(run, signal, tree::Scope::Tree).map(drop),
        };
        if let Err(error) = sent {
            warn!(%run, pid = %child.pid, %signal, %error, "cannot signal a program");
        }
    }

    /// Continues the main processes of these runs that are stopped.
    pub(crate) fn wake(&mut self, runs: &[RunId]) {
        self.trees.wake_leaders(runs);
    }

    /// Which of these runs have no process left. They are forgotten.
    pub(crate) fn take_gone(&mut self, runs: &[RunId]) -> Vec<RunId> {
        let gone = self.trees.gone(runs);
        gone.iter().for_each(|&run| self.trees.end(run));
        gone
    }

    /// Whether the main process of a run has not been reaped.
    pub(crate) fn has_main(&self, run: RunId) -> bool {
        self.children.contains_key(&run)
    }

    /// Signals every process of these runs' trees, with one look at all of them. True when SIGKILL must be repeated soon.
    pub(crate) fn sweep(&mut self, runs: &[RunId], signal: Signal) -> bool {
        let sent = match signal {
            Signal::KILL => self.trees.signal_all(runs, signal, tree::Scope::Tree),
            _ => self.trees.stop_all(runs, signal, tree::Scope::Tree),
        };
        match sent {
            Ok(sent) => {
                debug!(?runs, %signal, processes = sent.count, refused = sent.refused, "signalled trees");
                sent.is_unfinished
            }
            Err(error) => {
                warn!(?runs, %signal, %error, "cannot signal the processes of a program");
                false
            }
        }
    }

    /// Signals what belongs to no program.
    pub(crate) fn signal_strays(&mut self, signal: Signal) {
        let count = self.trees.signal_strays(signal);
        if count == 0 {
            return;
        }
        info!(%signal, processes = count, "signalled processes that belong to no program");
        if signal == Signal::KILL {
            // Some may have forked meanwhile. Who is still dying then dies without us.
            let _ = (0..LOOKS_FOR_STRAYS).find(|_| self.trees.signal_strays(signal) == 0);
        }
    }

    /// The tree of a run.
    pub(crate) fn processes(&mut self, run: RunId) -> Vec<ProcessInfo> {
        self.trees.processes(run).into_iter().map(process_info).collect()
    }

    /// What belongs to no program.
    pub(crate) fn strays(&mut self) -> Vec<ProcessInfo> {
        self.trees.strays().into_iter().map(process_info).collect()
    }

    /// Everything is being stopped.
    pub(crate) fn gather_logs(&self) {
        self.logs.gather();
    }

    /// Opens log files anew.
    pub(crate) fn reopen_logs(&self) {
        self.logs.reopen();
    }

    /// The last thing: what programs have written goes out.
    pub(crate) fn finish_logs(&mut self, patience: Duration) {
        self.logs.finish(patience);
    }
}

/// A process that was killed before it could execute its program says by which signal.
fn with_exit(error: SpawnError, exit: Exit) -> SpawnError {
    match exit {
        Exit::Signal { .. } if error.errno == 0 && error.step == SpawnStep::Exec => {
            SpawnError { message: format!("{} ({exit})", error.message), ..error }
        }
        _ => error,
    }
}

/// A program whose output is not captured writes to the daemon's own streams.
static STDOUT: LazyLock<Stdout> = LazyLock::new(std::io::stdout);
static STDERR: LazyLock<Stderr> = LazyLock::new(std::io::stderr);

fn no_pipe(error: io::Error) -> SpawnError {
    let message = format!("cannot make a pipe for its output: {error}");
    SpawnError { step: SpawnStep::Prepare, errno: error.raw_os_error().unwrap_or(0), message }
}

/// Where one output stream of a new process goes.
enum Output {
    Pipe(OwnedFd),
    DaemonStdout,
    DaemonStderr,
    Null,
}

impl Output {
    fn as_stdio(&self) -> Stdio<'_> {
        match self {
            Output::Pipe(writing) => Stdio::Fd(writing.as_fd()),
            Output::DaemonStdout => Stdio::Fd(STDOUT.as_fd()),
            Output::DaemonStderr => Stdio::Fd(STDERR.as_fd()),
            Output::Null => Stdio::Null,
        }
    }

    fn duplicate(&self) -> io::Result<Output> {
        Ok(match self {
            Output::Pipe(writing) => Output::Pipe(writing.try_clone()?),
            Output::DaemonStdout => Output::DaemonStdout,
            Output::DaemonStderr => Output::DaemonStderr,
            Output::Null => Output::Null,
        })
    }
}

/// The boot id and the daemon's own pid and start tell its runs from those of an earlier daemon in the same container.
fn marker_prefix() -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{:x}", std::process::id(), since_epoch.map_or(0, |span| span.as_micros()))
}

fn process_info(process: tree::Process) -> ProcessInfo {
    let number = |pid: Pid| u32::try_from(pid.0).unwrap_or(0);
    ProcessInfo {
        pid: number(process.pid),
        ppid: number(process.ppid),
        command: process.command,
        state: process_state(process.state),
        memory: process.rss_bytes,
        cpu: process.cpu_time.as_secs_f64(),
    }
}

fn process_state(state: tree::ProcessState) -> ProcessState {
    match state {
        tree::ProcessState::Running => ProcessState::Running,
        tree::ProcessState::Sleeping => ProcessState::Sleeping,
        tree::ProcessState::Disk => ProcessState::Blocked,
        tree::ProcessState::Stopped => ProcessState::Stopped,
        tree::ProcessState::Traced => ProcessState::Traced,
        tree::ProcessState::Zombie => ProcessState::Zombie,
        tree::ProcessState::Other => ProcessState::Unknown,
    }
}
