//! Notifications from programs: sd_notify(3), a newline on a descriptor as in s6, or a line of output.
//!
//! Each run that may send notifications gets its own socket, so the socket identifies the run; the sender is checked
//! in addition. A turn takes a few notifications of each run, so that one that sends continuously does not delay the
//! others. The reported status is kept for display; the rest becomes inputs of the core.

#![forbid(unsafe_code)]

mod home;
mod message;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use muster_core::Input;
use muster_logs::ReadyMatcher;
use muster_spec::{ByRun, InstanceSpec, ReadySpec, RunId};
use muster_sys::async_fd::Watched;
use muster_sys::notify::{NotifySocket, Received};
use muster_sys::pollset::PollSet;
use muster_sys::signal::Pid;
use muster_sys::tree::{Trees, Whose};
use muster_sys::{fd, spawn};
use tracing::{debug, info, warn};

use self::home::Home;
pub use self::message::{Message, Watchdog};
use muster_logging::limit::{Limits, Notice};

/// Maximum length of a notification, as in systemd; longer ones are ignored.
const LONGEST_MESSAGE: usize = 4096;
/// How many notifications of a run are taken per turn.
const MESSAGES_A_TURN: usize = 16;

/// The status that a run has reported, for display.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// The text of `STATUS=`.
    pub status: Option<String>,
    /// Whether it says that it reloads.
    pub is_reloading: bool,
    /// Whether it says that it stops.
    pub is_stopping: bool,
}

/// The result of receiving a run's notifications.
#[derive(Debug, Default)]
pub struct Heard {
    /// For the core, in their order.
    pub inputs: Vec<Input>,
    /// The process that it named as its main one.
    pub main_pid: Option<Pid>,
}

/// The means by which a new process can send notifications.
#[derive(Debug, Default)]
pub struct Channel {
    /// Environment variables.
    pub variables: Vec<(&'static str, String)>,
    /// A descriptor to pass on, and the number it gets.
    pub pipe: Option<(OwnedFd, u32)>,
    /// Looks for the ready line in its output.
    pub matcher: Option<ReadyMatcher>,
}

/// A run that may send notifications.
#[derive(Debug)]
struct Notifier {
    name: String,
    socket: Option<NotifySocket>,
    pipe: Option<OwnedFd>,
    announced: Announced,
}

/// All runs that may send notifications.
pub struct Notify {
    home: Home,
    set: Rc<Watched<PollSet>>,
    notifiers: ByRun<Notifier>,
    limits: Limits,
}

impl Notify {
    /// `unique` distinguishes this daemon from all others.
    pub fn new(control_socket: Option<&Path>, unique: String, set: Rc<Watched<PollSet>>, limits: Limits) -> Notify {
        Notify { home: Home::new(control_socket, unique), set, notifiers: ByRun::default(), limits }
    }

    /// Opens the socket or pipe that this run needs.
    pub fn open(&mut self, run: RunId, spec: &InstanceSpec) -> io::Result<Channel> {
        let wants_socket = spec.ready == Some(ReadySpec::Notify) || spec.watchdog.is_some();
        let wants_pipe = matches!(spec.ready, Some(ReadySpec::Fd(_) | ReadySpec::Log(_)));
        if !wants_socket && !wants_pipe {
            return Ok(Channel::default());
        }
        let announced = Announced::default();
        let notifier = Notifier { name: spec.name.clone(), socket: None, pipe: None, announced };
        self.notifiers.insert(run, notifier);
        let mut channel = Channel::default();
        let opened = if wants_socket { self.open_socket(run, spec, &mut channel) } else { Ok(()) };
        let opened = opened.and_then(|()| if wants_pipe { self.open_pipe(run, spec, &mut channel) } else { Ok(()) });
        opened.map(|()| channel).inspect_err(|_| self.close(run))
    }

    fn open_socket(&mut self, run: RunId, spec: &InstanceSpec, channel: &mut Channel) -> io::Result<()> {
        let (socket, address) = self.home.open(run)?;
        self.set.get_ref().add(socket.as_fd(), run.0)?;
        self.notifier(run).socket = Some(socket);
        channel.variables.push(("NOTIFY_SOCKET", address));
        let interval = spec.watchdog.map(|interval| ("WATCHDOG_USEC", interval.as_micros().to_string()));
        channel.variables.extend(interval);
        Ok(())
    }

    fn open_pipe(&mut self, run: RunId, spec: &InstanceSpec, channel: &mut Channel) -> io::Result<()> {
        let (reading, writing) = fd::output_pipe()?;
        self.set.get_ref().add(reading.as_fd(), run.0)?;
        self.notifier(run).pipe = Some(reading);
        match &spec.ready {
            Some(ReadySpec::Log(pattern)) => {
                let matcher = ReadyMatcher::new(pattern, writing);
                channel.matcher = Some(matcher.map_err(|error| io::Error::other(error.to_string()))?);
            }
            Some(ReadySpec::Fd(number)) => channel.pipe = Some((writing, *number)),
            _ => {}
        }
        Ok(())
    }

    fn notifier(&mut self, run: RunId) -> &mut Notifier {
        self.notifiers.get_mut(&run).expect("it is inserted before anything is opened for it")
    }

    /// Closes the socket and pipe of a run that has ended or could not be spawned.
    pub fn close(&mut self, run: RunId) {
        let Some(notifier) = self.notifiers.remove(&run) else { return };
        if let Some(socket) = &notifier.socket {
            let _ = self.set.get_ref().remove(socket.as_fd());
            self.home.close(run);
        }
        if let Some(pipe) = &notifier.pipe {
            let _ = self.set.get_ref().remove(pipe.as_fd());
        }
    }

    /// Removes the directory of sockets.
    pub fn finish(&self) {
        self.home.finish();
    }

    /// The status that the run has reported.
    pub fn announced(&self, run: RunId) -> Option<&Announced> {
        self.notifiers.get(&run).map(|notifier| &notifier.announced)
    }

    /// The instance of the run; empty if the run may not send notifications.
    pub fn name_of(&self, run: RunId) -> &str {
        self.notifiers.get(&run).map_or("", |notifier| &notifier.name)
    }

    /// Logs that the process which a run named is not one of its own.
    pub fn refuse_main(&mut self, run: RunId, pid: Pid) {
        let Some(notifier) = self.notifiers.get(&run) else { return };
        if let Some(suppressed) = self.limits.pass(&notifier.name, Notice::MainPidRefused) {
            let program = &notifier.name;
            warn!(%program, %run, %pid, suppressed, "ignored a MAINPID that is not a live process of the program");
        }
    }

    /// Logs that the main process of a run has changed.
    pub fn tell_main(&mut self, run: RunId, pid: Pid, before: Pid) {
        let Some(notifier) = self.notifiers.get(&run) else { return };
        if let Some(suppressed) = self.limits.pass(&notifier.name, Notice::MainPid) {
            let program = &notifier.name;
            info!(%program, %run, %pid, %before, suppressed, "the main process has changed (MAINPID)");
        }
    }

    /// Receives the pending notifications of a run, up to the limit per turn, or up to one that names another main
    /// process. `ended` is a process of its tree that
    /// was just reaped.
    pub fn take(&mut self, run: RunId, ended: Option<Pid>, trees: &mut Trees) -> Heard {
        let mut heard = Heard::default();
        let Some(notifier) = self.notifiers.get_mut(&run) else { return heard };
        if notifier.pipe.as_ref().is_some_and(|pipe| is_over(pipe, run, &mut heard.inputs))
            && let Some(pipe) = notifier.pipe.take()
        {
            let _ = self.set.get_ref().remove(pipe.as_fd());
        }
        let mut buffer = [0; LONGEST_MESSAGE];
        for _ in 0..MESSAGES_A_TURN {
            let Some(Ok(received)) = notifier.socket.as_ref().map(|socket| socket.receive(&mut buffer)) else { break };
            if notifier.is_from_program(run, &received, ended, trees) {
                notifier.handle(run, &buffer[..received.length], &received, &mut heard, &self.limits);
            } else if let Some((suppressed, sender)) =
                self.limits.pass(&notifier.name, Notice::Stranger).zip(received.sender)
            {
                let (program, pid, uid) = (&notifier.name, sender.pid, sender.uid);
                warn!(%program, %run, %pid, uid, suppressed, "ignored a notification from a process outside the program");
            }
            // Closes the received descriptors only now: a sender with BARRIER=1 waits for that.
            if let Some(socket) = &notifier.socket {
                socket.take_off(&received);
            }
            if heard.main_pid.is_some() {
                break;
            }
        }
        heard
    }
}

/// Whether the pipe needs no further reading: in s6's protocol a newline means ready, and later bytes are ignored. An
/// end of file without a newline does not mean ready; the start timeout handles that.
fn is_over(pipe: &OwnedFd, run: RunId, inputs: &mut Vec<Input>) -> bool {
    let mut piece = [0; 512];
    match fd::read(pipe.as_fd(), &mut piece) {
        Ok(count) if piece[..count].contains(&b'\n') => {
            inputs.push(Input::Ready { run });
            true
        }
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

impl Notifier {
    fn handle(&mut self, run: RunId, bytes: &[u8], received: &Received, heard: &mut Heard, limits: &Limits) {
        let message = if received.is_truncated { None } else { Message::parse(bytes) };
        let Some(message) = message else {
            if let Some(suppressed) = limits.pass(&self.name, Notice::Garbage) {
                warn!(program = %self.name, %run, suppressed, "ignored a notification that is too long or not in sd_notify format");
            }
            return;
        };
        self.note(run, &message, received, limits);
        heard.main_pid = message.main_pid.map(Pid).or(heard.main_pid);
        let inputs = &mut heard.inputs;
        if message.is_stopping {
            // As in systemd, a stopping program need not ping its watchdog.
            inputs.push(Input::WatchdogChanged { run, interval: Duration::ZERO });
        }
        if let Some(interval) = message.watchdog_interval.filter(|_| !self.announced.is_stopping) {
            inputs.push(Input::WatchdogChanged { run, interval });
        }
        if let Some(by) = message.extend {
            inputs.push(Input::Extended { run, by });
        }
        if message.is_ready {
            inputs.push(Input::Ready { run });
        }
        match message.watchdog {
            Some(Watchdog::Ping) => inputs.push(Input::WatchdogPinged { run }),
            Some(Watchdog::Trigger) => inputs.push(Input::WatchdogTripped { run }),
            None => {}
        }
    }

    /// Only processes of the run may send its notifications. A sender that has exited, such as a shell's
    /// `systemd-notify --no-block`, can no longer be looked up; then its user must be root or one that a process of
    /// the run has had.
    fn is_from_program(&self, run: RunId, received: &Received, ended: Option<Pid>, trees: &mut Trees) -> bool {
        let Some(sender) = received.sender else { return false };
        sender.pid.0 > 0
            && (ended == Some(sender.pid)
                || match trees.whose(sender.pid) {
                    Whose::Run(of) => of == run,
                    Whose::Nobody => false,
                    Whose::Gone => sender.uid == 0 || trees.has_had_user(run, sender.uid),
                })
    }

    /// Keeps and logs the reported status.
    fn note(&mut self, run: RunId, message: &Message, received: &Received, limits: &Limits) {
        let program = &self.name;
        let pass = |notice| limits.pass(program, notice);
        if let Some(status) = &message.status {
            if let Some(suppressed) = pass(Notice::Status) {
                debug!(%program, %run, status, suppressed, "reported a status");
            }
            self.announced.status = Some(status.clone()).filter(|status| !status.is_empty());
        }
        if let Some(error) = &message.error
            && let Some(suppressed) = pass(Notice::Error)
        {
            warn!(%program, %run, error, suppressed, "reported an error");
        }
        if message.is_reloading
            && !self.announced.is_reloading
            && let Some(suppressed) = pass(Notice::Reloading)
        {
            debug!(%program, %run, suppressed, "reloading");
        }
        self.announced.is_reloading = message.is_reloading || self.announced.is_reloading && !message.is_ready;
        self.announced.is_stopping |= message.is_stopping;
        if message.wants_store
            && let Some(suppressed) = pass(Notice::Store)
        {
            let with_descriptors = received.has_descriptors;
            warn!(%program, %run, with_descriptors, suppressed, "FDSTORE=1 is not supported, descriptors are closed");
        }
    }
}

/// The error message for a run whose socket or pipe could not be opened.
pub fn words(error: &io::Error) -> String {
    let why = error.raw_os_error().map_or_else(|| error.to_string(), spawn::reason);
    format!("cannot create its notification socket or pipe: {why}")
}
