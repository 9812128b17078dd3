//! Child processes and runs: spawning, the map from pids to runs, reaping, and what is left of a run's process tree.
//!
//! All of this happens on the loop's thread, and a pid is registered before the next reaping, so an exit cannot be seen too
//! early. A pid is signalled only while it is registered: the kernel cannot reuse it before. [`muster_sys::tree`] finds the rest.

pub(crate) mod commands;
mod contacts;
mod exec;
mod hooks;
pub(crate) mod list;
mod main_process;
mod markers;
mod messengers;
mod output;
pub(crate) mod refused;
mod said;
pub(crate) mod secrets;
mod sending;
pub(crate) mod sockets;
mod starts;
pub(crate) mod stdin;
pub(crate) mod suspension;
pub(crate) mod terminal;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{Input, program::HISTORY};
use muster_logs::Logs;
use muster_secrets::{Home, Prepared, RunDirectory};
use muster_spec::{ByRun, Exit, InstanceSpec, ProcessSpec, RunId, Signal, SpawnError, SpawnStep};
use muster_sys::async_fd::Watched;
use muster_sys::pollset::PollSet;
use muster_sys::reap::{Look, Reaped, next_change};
use muster_sys::signal::Pid;
use muster_sys::sockets::Sockets;
use muster_sys::spawn::{Launch, Spawner, Spawning};
use muster_sys::tree::{Errand, ProcessHandle, Trees};
use tracing::warn;

use self::commands::{Commands, is_command};
use self::contacts::Contacts;
use self::main_process::Main;
use self::markers::Markers;
use self::refused::Refusals;
use self::sending::Sending;
use self::stdin::StdinPipe;
use self::suspension::Suspension;
use self::terminal::Terminal;
use muster_logging::limit::{Limits, Notice, unless_none};
use muster_notify::{self as notify, Announced, Channel, Notify};

/// Maximum time spent at once on determining which runs new orphans belong to.
const LOOKING: Duration = Duration::from_millis(3);

/// Maximum time spent on reaping in a row: the children of a fork bomb may exit as fast as they are reaped.
const REAPING: Duration = Duration::from_millis(5);

/// The number of processes reaped between two looks at the clock.
const REAPED_AT_ONCE: usize = 32;

/// A run whose main process has not been reaped.
struct Child {
    /// The process that was spawned for it.
    pid: Pid,
    /// Its main process, if that is another one.
    main: Option<Box<Main>>,
    /// The last signal sent to its main process and the pid it was sent to, and the signal that last asked it to stop.
    sent: Option<(Signal, Pid)>,
    stop_signal: Option<Signal>,
    /// The signal that has stopped its main process, until that is continued.
    suspended: Option<Signal>,
    /// Present until it is known whether the program was executed. Boxed: it is large and short-lived.
    spawning: Option<Box<Spawning>>,
    /// Whether any of its output is read for the logs.
    is_captured: bool,
    /// Writes to its standard input, if that is a pipe or a terminal.
    stdin: Option<Rc<StdinPipe>>,
    /// Its terminal, if it has one.
    terminal: Option<Terminal>,
}

/// The daemon's ends of a process's streams that are kept while it lives.
type Ends = (Option<Rc<StdinPipe>>, Option<Terminal>);

/// All processes of programs.
pub(crate) struct Children {
    spawner: Spawner,
    trees: Trees,
    logs: Logs,
    statuses: Rc<Watched<PollSet>>,
    /// Boxed, as the map has room for up to twice as many.
    children: ByRun<Box<Child>>,
    /// New runs whose status has to be readable before the loop waits for it.
    unawaited: Vec<RunId>,
    /// Our children that are the main process of a run, or an ancestor of it.
    runs: HashMap<Pid, RunId>,
    /// Whether any run has ever had a main process other than its first: most programs never name one.
    has_mains: bool,
    /// The pids of recent runs, for display only.
    known_pids: BTreeMap<RunId, Pid>,
    most_known: usize,
    markers: Markers,
    commands: Commands,
    refused: Refusals,
    /// A signal that the core requested and that is not completely sent.
    sending: Option<Sending>,
    /// Pending signals to the rest of trees that are being swept.
    asking: VecDeque<Errand>,
    /// The main processes that runs have lost, until they have exited.
    lost: HashMap<RunId, ProcessHandle>,
    notify: Notify,
    /// The copies of credentials of each process, while its tree lives.
    credentials: HashMap<RunId, RunDirectory>,
    /// The runs with a terminal, while their trees live.
    terminals: HashSet<RunId>,
    credentials_home: Arc<Home>,
    sockets: Sockets,
    contacts: Contacts,
    /// Whether a socket may be open that no program wants, or one may have to be watched.
    has_unwanted: bool,
    /// Main processes that were stopped or continued, to be logged.
    suspensions: Vec<Suspension>,
    limits: Limits,
}

impl Children {
    pub(crate) fn new(
        spawner: Spawner,
        trees: Trees,
        logs: Logs,
        [statuses, notifications, contacts]: [Rc<Watched<PollSet>>; 3],
        (control_socket, sockets): (Option<&Path>, Sockets),
        instances: usize,
    ) -> Children {
        let (markers, limits) = (Markers::new(control_socket), Limits::default());
        Children {
            spawner,
            trees,
            logs,
            statuses,
            children: ByRun::default(),
            unawaited: Vec::new(),
            runs: HashMap::new(),
            has_mains: false,
            known_pids: BTreeMap::new(),
            most_known: instances * (HISTORY + 1),
            notify: Notify::new(control_socket, markers.prefix.clone(), notifications, limits.clone()),
            markers,
            commands: Commands::default(),
            refused: Refusals::default(),
            sending: None,
            asking: VecDeque::new(),
            lost: HashMap::new(),
            credentials: HashMap::new(),
            terminals: HashSet::new(),
            credentials_home: Arc::new(Home::new(control_socket)),
            sockets,
            contacts: Contacts::new(contacts),
            // At boot all of them are open, also those of programs that do not start.
            has_unwanted: true,
            suspensions: Vec::new(),
            limits,
        }
    }

    /// Spawns a process for this run, with what was read for it.
    pub(crate) fn spawn(&mut self, run: RunId, spec: &InstanceSpec, prepared: Prepared) -> Result<(), SpawnError> {
        if let Some(refusal) = &spec.process.refusal {
            return Err(SpawnError { step: SpawnStep::Prepare, errno: nix::libc::EINVAL, message: refusal.clone() });
        }
        let marker = self.marker_of(run);
        let uid = self.uid_of(&spec.process);
        let made = self.notify.open(run, spec).map_err(|error| SpawnError {
            step: SpawnStep::Prepare,
            errno: error.raw_os_error().unwrap_or(0),
            message: notify::words(&error),
        });
        let spawned = made.and_then(|channel| self.spawn_with(run, spec, &marker, (&channel, &prepared)));
        let (spawning, is_captured, (stdin, terminal)) = spawned.inspect_err(|_| self.notify.close(run))?;
        self.keep_credentials(run, prepared);
        let pid = spawning.pid;
        // If the poll set accepts no more descriptors, the result is only known later, when the process is reaped.
        if let Err(error) = self.statuses.get_ref().add(spawning.descriptor(), run.0)
            && let Some(suppressed) = self.limits.pass(&spec.name, Notice::Unwatched)
        {
            let (program, suppressed) = (&spec.name, unless_none(suppressed));
            warn!(%program, %run, %error, suppressed, "cannot watch a new process, its start is reported when it exits");
        }
        self.runs.insert(pid, run);
        self.trees.begin(run, pid, marker);
        self.trees.note_user(run, uid);
        self.terminals.extend(terminal.is_some().then_some(run));
        self.children.insert(run, Box::new(Child { is_captured, stdin, terminal, ..Child::new(spawning) }));
        self.unawaited.push(run);
        self.remember_pid(run, pid);
        self.say_start(run, spec, pid);
        Ok(())
    }

    fn spawn_with(
        &mut self,
        run: RunId,
        spec: &InstanceSpec,
        marker: &str,
        (channel, prepared): (&Channel, &Prepared),
    ) -> Result<(Spawning, bool, Ends), SpawnError> {
        let stdin = stdin::open(spec)?;
        self.open_sockets_to_start(spec)?;
        let (stdout, stderr, reading, terminal) = self.open_streams(run, spec, channel.matcher.as_ref())?;
        let index = spec.index.to_string();
        let variables = channel.variables.iter().map(|(name, value)| (*name, value.as_str()));
        let sockets = sockets::inherited(&self.sockets, spec);
        let of_sockets = sockets.variables.iter().map(|(name, value)| (*name, value.as_str()));
        let copies = prepared.directory.as_ref();
        let own = self.markers.of(spec, marker, &index).into_iter();
        let markers: Vec<_> = own.chain(variables).chain(of_sockets).chain(secrets::variable(copies)).collect();
        let secrets: Vec<_> = prepared.variables().collect();
        let process = secrets::with_directory(&spec.process, copies);
        let ready = channel.pipe.iter().map(|(pipe, number)| (pipe.as_fd(), *number));
        let passed: Vec<_> = ready.chain(sockets.passed).collect();
        let launch = Launch {
            process: &process,
            secrets: &secrets,
            markers: &markers,
            own_pid: [spec.watchdog.map(|_| "WATCHDOG_PID"), sockets.own_pid],
            tag: self.trees.tag(run),
            stdout: stdout.as_stdio(),
            stderr: stderr.as_stdio(),
            passed: &passed,
        };
        let of_path = prepared.stdin.as_ref().map(AsFd::as_fd);
        let reading_end = stdin.as_ref().map(|(reading, _)| reading.as_fd()).or(of_path).or(sockets.stdin);
        let spawned = match &terminal {
            Some((terminal, _)) => self.spawner.spawn_on_terminal(&launch, terminal.theirs()),
            None => self.spawner.spawn_reading(&launch, reading_end),
        };
        let pid = spawned.as_ref().ok().and_then(|spawning| u32::try_from(spawning.pid.0).ok());
        let is_captured = !reading.is_empty();
        reading.into_iter().for_each(|reading| self.logs.bind(reading, pid));
        let spawning = spawned?;
        let (terminal, input) = terminal.unzip();
        Ok((spawning, is_captured, (stdin.map(|(_, pipe)| pipe).or(input).map(Rc::new), terminal)))
    }

    /// The user id that a process will run as; its notifications and orphans are recognized by it. A user that does
    /// not exist is reported by the spawn itself.
    fn uid_of(&mut self, process: &ProcessSpec) -> u32 {
        let user = process.user.as_ref().and_then(|user| self.spawner.accounts().uid(&user.user).ok());
        user.unwrap_or_else(|| nix::unistd::geteuid().as_raw())
    }

    /// Adapts to a new configuration: forgets instances that no longer exist, and makes room for new ones.
    pub(crate) fn adapt(&mut self, is_there: impl Fn(&str) -> bool, instances: usize) {
        self.logs.retain(&is_there);
        self.limits.retain(&is_there);
        self.most_known = self.most_known.max(instances * (HISTORY + 1));
    }

    fn remember_pid(&mut self, run: RunId, pid: Pid) {
        self.known_pids.insert(run, pid);
        if self.known_pids.len() > self.most_known {
            self.known_pids.pop_first();
        }
    }

    /// The pid of a run, while it is remembered.
    pub(crate) fn pid_of(&self, run: RunId) -> Option<u32> {
        let pid = self.children.get(&run).map(|child| child.main_pid()).or_else(|| self.known_pids.get(&run).copied());
        pid.and_then(|pid| u32::try_from(pid.0).ok())
    }

    /// Receives the notifications of these runs.
    pub(crate) fn take_notifications(&mut self, ready: &[u64], inputs: &mut VecDeque<Input>) {
        ready.iter().for_each(|&token| self.hear(RunId(token), None, inputs));
    }

    /// The reported status of a run.
    pub(crate) fn announced(&self, run: RunId) -> Option<&Announced> {
        self.notify.announced(run)
    }

    /// Removes the sockets for notifications and the copies of credentials before the daemon exits.
    pub(crate) fn remove_files(&self) {
        self.notify.finish();
        self.credentials_home.finish();
    }

    /// Reaps everything that has exited, and queues the inputs that follow for runs. If output of an ended run is read, the log
    /// thread is asked to deliver it before the exit is reported. Returns false if there may be more to reap: no
    /// further signal announces those.
    pub(crate) fn reap(&mut self, inputs: &mut VecDeque<Input>) -> io::Result<bool> {
        let end = Instant::now() + REAPING;
        let (mut count, mut is_over) = (0_usize, false);
        let mut was_orphan = false;
        let mut ended = Vec::new();
        for run in self.look_for_mains() {
            self.lose_main(run, inputs);
            ended.push(run);
        }
        while !is_over {
            let change = match next_change()? {
                Look::Changed(change) => change,
                Look::Unchanged => break,
                Look::Childless => {
                    self.trees.note_childless();
                    break;
                }
            };
            count += 1;
            is_over = count.is_multiple_of(REAPED_AT_ONCE) && Instant::now() >= end;
            let Some(reaped) = self.note_suspension(change) else { continue };
            self.trees.reaped(reaped.pid);
            let run = self.runs.remove(&reaped.pid);
            match run.and_then(|run| Some((run, self.end_with(run, &reaped, inputs)?))) {
                Some((run, is_captured)) => ended.extend(is_captured.then_some(run)),
                None => {
                    was_orphan = true;
                    self.say_orphan(&reaped);
                }
            }
        }
        if was_orphan {
            // More orphans may have come with it, and the processes that show which run they belong to may soon be
            // gone.
            self.trees.look_until(Some(Instant::now() + LOOKING));
            self.trees.forget_disowned(Some(Instant::now() + LOOKING));
        }
        if !ended.is_empty() {
            self.logs.drain(ended);
        }
        Ok(!is_over)
    }

    /// The commands of probes that have exited since the last call. Their remaining processes are to be killed.
    pub(crate) fn take_ended_commands(&mut self) -> Vec<RunId> {
        std::mem::take(&mut self.commands.ended)
    }

    /// Ends a run whose main process, or an ancestor of it, this was. Returns whether any of its output is read, or `None` if the
    /// run goes on.
    fn end_with(&mut self, run: RunId, reaped: &Reaped, inputs: &mut VecDeque<Input>) -> Option<bool> {
        let child = self.children.get_mut(&run)?;
        let (exit, spawning) = (reaped.exit, child.spawning.take());
        if is_command(run) {
            let outcome = spawning.map_or(Ok(()), |mut spawning| spawning.outcome_after_exit());
            self.commands.end(run, outcome.map(|()| exit).map_err(|error| with_exit(error, exit)));
        } else if let Some(error) = spawning.and_then(|spawning| self.spawn_error(run, *spawning, inputs)) {
            self.trees.end(run);
            self.credentials.remove(&run);
            self.terminals.remove(&run);
            self.notify.close(run);
            inputs.push_back(Input::SpawnFailed { run, error: with_exit(error, exit) });
        } else {
            // Notifications that it sent before its exit count.
            self.hear(run, Some(reaped.pid), inputs);
            if self.has_lost_main(run) {
                self.lose_main(run, inputs);
                return Some(true);
            }
            if self.goes_on_without(run, reaped) {
                return None;
            }
            self.notify.close(run);
            inputs.push_back(Input::Exited { run, exit });
        }
        let ended = self.children.remove(&run)?;
        ended.terminal.into_iter().for_each(|terminal| terminal.end(exit));
        Some(ended.is_captured)
    }

    /// Which of these runs have no process left; they are forgotten. `None` if the scan took too long and must be
    /// repeated.
    pub(crate) fn take_gone(&mut self, runs: &[RunId]) -> Option<Vec<RunId>> {
        let mut gone = self.trees.gone_by(runs, Some(Instant::now() + LOOKING))?;
        gone.retain(|&run| !self.has_lost(run));
        for &run in &gone {
            self.unwatch_lost(run);
            self.lost.remove(&run);
            self.trees.end(run);
            self.credentials.remove(&run);
            self.hang_up(run);
            self.commands.forget(run);
            self.refused.forget(run);
        }
        Some(gone)
    }

    /// Which of these runs have no process left in the group of their main process. They are over, and processes of
    /// other groups are kept. `None` if the scan took too long and must be repeated.
    pub(crate) fn take_gone_groups(&mut self, runs: &[RunId]) -> Option<Vec<RunId>> {
        let mut gone = self.trees.gone_groups(runs, Some(Instant::now() + LOOKING))?;
        gone.retain(|&run| !self.has_lost(run));
        gone.iter().for_each(|&run| self.disown(run));
        Some(gone)
    }

    /// Gives up a run, whatever is left of its tree.
    pub(crate) fn disown(&mut self, run: RunId) {
        self.unwatch_lost(run);
        self.lost.remove(&run);
        self.credentials.remove(&run);
        self.hang_up(run);
        self.refused.forget(run);
        self.trees.disown(run);
        self.trees.forget_disowned(Some(Instant::now() + LOOKING));
    }

    /// Whether its main process has not been reaped yet.
    pub(crate) fn has_main(&self, run: RunId) -> bool {
        self.children.contains_key(&run)
    }

    /// The logs: reading what is kept in memory, and following.
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }
}

impl Child {
    fn new(spawning: Spawning) -> Child {
        let (pid, spawning) = (spawning.pid, Some(Box::new(spawning)));
        let (sent, stop_signal, suspended) = (None, None, None);
        Child {
            pid,
            main: None,
            sent,
            stop_signal,
            suspended,
            spawning,
            is_captured: false,
            stdin: None,
            terminal: None,
        }
    }
}

/// Adds the signal to the error of a process that was killed before it could execute its program.
fn with_exit(error: SpawnError, exit: Exit) -> SpawnError {
    match exit {
        Exit::Signal { .. } if error.errno == 0 && error.step == SpawnStep::Exec => {
            SpawnError { message: format!("{} ({exit})", error.message), ..error }
        }
        _ => error,
    }
}

fn no_pipe(error: io::Error) -> SpawnError {
    let message = format!("cannot make a pipe for it: {error}");
    SpawnError { step: SpawnStep::Prepare, errno: error.raw_os_error().unwrap_or(0), message }
}
