//! A process that follows the script of a scenario, in place of each command.
//!
//! It learns the number of its run from a file that each run increments. Signals are blocked, as in all of musterd, and read one
//! by one, so that a stop signal has exactly the scripted effect. It is small and fast, since it is part of the
//! measured time.

use std::fs;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_spec::{Exit, Hook, ProbeKind, Signal};
use muster_sys::boot::inherited_descriptor;
use muster_sys::signal::Signals;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::door::Part;
use crate::scenario::{Leftover, Missing, OnStop, Outcome, PlannedRun, Script};
use crate::world::passes;

/// The first descriptor of sd_listen_fds(3).
const FIRST_SOCKET: u32 = 3;

/// The files of a puppet's program: `DIRECTORY/NAME/`.
pub(super) struct Wardrobe(PathBuf);

impl Wardrobe {
    pub(super) fn of(directory: &Path, name: &str) -> Wardrobe {
        Wardrobe(directory.join(name))
    }

    /// The executable of a program: a link to this executable, except for a run that must fail to spawn.
    pub(super) fn program(&self) -> PathBuf {
        self.0.join("program")
    }

    /// Creates the files before the first run.
    pub(super) fn fill(&self, runs: &[PlannedRun]) -> std::io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let lines: Vec<String> = runs.iter().map(PlannedRun::to_string).collect();
        fs::write(self.0.join("runs"), lines.join("\n"))?;
        fs::write(self.0.join("count"), "0")?;
        self.dress(runs.first())
    }

    /// The script of this run.
    pub(super) fn run(&self, number: usize) -> PlannedRun {
        let runs = fs::read_to_string(self.0.join("runs")).unwrap_or_default();
        let line = runs.lines().nth(number);
        line.and_then(|line| Script::parse(line).ok()).map_or_else(PlannedRun::default, |script| script.run(0))
    }

    /// Makes the program executable or not, as the next run requires.
    pub(super) fn dress(&self, next: Option<&PlannedRun>) -> std::io::Result<()> {
        let program = self.program();
        let is_absent = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        match next.map(|planned| planned.outcome) {
            Some(Outcome::SpawnError(Missing::NotFound)) => is_absent(fs::remove_file(&program)),
            Some(Outcome::SpawnError(Missing::NotExecutable)) => {
                is_absent(fs::remove_file(&program))?;
                fs::write(&program, "")?;
                fs::set_permissions(&program, fs::Permissions::from_mode(0o644))
            }
            _ => {
                is_absent(fs::remove_file(&program))?;
                symlink(std::env::current_exe()?, &program)
            }
        }
    }

    /// Records for probes that this run has begun.
    fn note_begin(&self, number: usize) -> std::io::Result<()> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = format!("{number} {}", since_epoch.as_micros());
        // Rename, so that concurrent readers never see a partial file.
        fs::write(self.0.join("began.new"), text)?;
        fs::rename(self.0.join("began.new"), self.0.join("began"))
    }

    /// The current run, and its age.
    fn begun(&self) -> Option<(PlannedRun, Duration)> {
        let text = fs::read_to_string(self.0.join("began")).ok()?;
        let (number, micros) = text.split_once(' ')?;
        let began = Duration::from_micros(micros.parse().ok()?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some((self.run(number.parse().ok()?), now.saturating_sub(began)))
    }

    /// Records for probes that there is no run.
    fn forget_begin(&self) {
        // There may have been none.
        let _ = fs::remove_file(self.0.join("began"));
    }

    /// Notes the number of the current run, for its hooks.
    fn note_number(&self, number: usize) {
        // On failure a hook plays another run, and the rehearsal reports a difference.
        let _ = fs::write(self.0.join("number"), number.to_string());
    }

    fn noted_number(&self) -> usize {
        let text = fs::read_to_string(self.0.join("number")).unwrap_or_default();
        text.parse().unwrap_or(0)
    }

    /// The number of the current run, if its `pre_start` has taken it.
    fn take_prepared(&self) -> Option<usize> {
        fs::remove_file(self.0.join("prepared")).ok()?;
        Some(self.noted_number())
    }

    /// Takes the number of a new run, and increments it.
    fn take_number(&self) -> usize {
        let count = self.0.join("count");
        let number = fs::read_to_string(&count).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        // Runs that cannot be spawned cannot count themselves.
        let mut next = number + 1;
        while matches!(self.run(next).outcome, Outcome::SpawnError(_)) {
            next += 1;
        }
        // On failure the next run plays this one again, and the rehearsal reports a difference.
        let _ = fs::write(&count, next.to_string());
        number
    }
}

/// Plays the next run of this instance, and returns its exit status.
pub(super) fn play(directory: &Path, name: &str) -> u8 {
    let began = Instant::now();
    let Ok(signals) = Signals::new() else { return 125 };
    let wardrobe = Wardrobe::of(directory, name);
    let number = wardrobe.take_prepared().unwrap_or_else(|| first_number(&wardrobe));
    wardrobe.note_number(number);
    let planned = wardrobe.run(number);
    let is_followed = wardrobe.run(number + 1);
    let fails_next = matches!(is_followed.outcome, Outcome::SpawnError(_));
    if wardrobe.note_begin(number).is_err() || (fails_next && wardrobe.dress(Some(&is_followed)).is_err()) {
        return 125;
    }
    let mut end = match planned.outcome {
        Outcome::Ends { exit, after } => Some((began + after, exit)),
        // No puppet uses up the memory: it is killed all the same, and nothing says why.
        Outcome::OutOfMemory { after } => {
            Some((began + after, Exit::Signal { signal: Signal::KILL, core_dumped: false }))
        }
        Outcome::Hangs | Outcome::SpawnError(_) => None,
    };
    if planned.leftover.is_some_and(|leftover| !leave_behind(directory, leftover)) {
        return 125;
    }
    let mut words = Words::of(&planned, began);
    let clients = clients();
    loop {
        words.say(Instant::now());
        clients.iter().for_each(take_all);
        if let Some((at, exit)) = end
            && at <= Instant::now()
        {
            wardrobe.forget_begin();
            return leave(exit);
        }
        let until = end.map(|(at, _)| at).into_iter().chain(words.next()).min();
        wait_for(&signals, clients.as_ref(), until);
        while let Ok(Some(received)) = signals.next() {
            if let Some((exit, after)) = planned.reaction(received.signal) {
                let at = Instant::now() + after;
                end = Some(end.filter(|(sooner, _)| *sooner <= at).unwrap_or((at, exit)));
            }
        }
    }
}

/// Starts the process that outlives this one. It exists, with its signals blocked as far as required, before this one exits:
/// signals are blocked in both.
fn leave_behind(directory: &Path, leftover: Leftover) -> bool {
    let Ok(this) = std::env::current_exe() else { return false };
    let word = match leftover {
        Leftover::Ends { after } => after.as_micros().to_string(),
        Leftover::Ignores => "ignore".to_owned(),
    };
    let mut command = std::process::Command::new(&this);
    command.args(Part::Leftover.words(&this)).arg(directory).arg(word).spawn().is_ok()
}

/// Plays a leftover process: until this many microseconds after the first stop signal, or until SIGKILL.
pub(super) fn outlive(word: &str) -> u8 {
    let Ok(signals) = Signals::new() else { return 125 };
    let planned = match word.parse() {
        Ok(micros) => PlannedRun {
            on_stop: OnStop::Exits { code: 0, after: Duration::from_micros(micros) },
            ..PlannedRun::default()
        },
        Err(_) => PlannedRun { on_stop: OnStop::Ignores, ..PlannedRun::default() },
    };
    let mut end: Option<Instant> = None;
    while end.is_none_or(|at| at > Instant::now()) {
        wait(&signals, end);
        while let Ok(Some(received)) = signals.next() {
            if let Some((_, after)) = planned.reaction(received.signal) {
                end.get_or_insert(Instant::now() + after);
            }
        }
    }
    0
}

/// The scheduled notifications of a puppet: sd_notify(3).
struct Words<'a> {
    planned: &'a PlannedRun,
    began: Instant,
    socket: Option<String>,
    ready: Option<Instant>,
    ping: Option<(Instant, Duration)>,
}

impl Words<'_> {
    fn of(planned: &PlannedRun, began: Instant) -> Words<'_> {
        let socket = std::env::var("NOTIFY_SOCKET").ok();
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
        let every = watchdog.map(|micros: u64| Duration::from_micros(micros) / 2);
        let ready = planned.ready.filter(|_| socket.is_some()).map(|after| began + after);
        Words { planned, began, socket, ready, ping: every.map(|every| (began, every)) }
    }

    /// When the next notification is due.
    fn next(&self) -> Option<Instant> {
        self.ready.into_iter().chain(self.ping.map(|(at, _)| at)).min()
    }

    fn say(&mut self, now: Instant) {
        if self.ready.take_if(|at| *at <= now).is_some() {
            self.send("READY=1");
        }
        while let Some((at, every)) = self.ping.filter(|(at, _)| *at <= now) {
            let lives = self.planned.lives_after(at - self.began);
            self.ping = Some((at + every, every)).filter(|_| lives && !every.is_zero());
            if lives {
                self.send("WATCHDOG=1");
            }
        }
    }

    fn send(&self, message: &str) {
        let Some(path) = &self.socket else { return };
        let Ok(socket) = UnixDatagram::unbound() else { return };
        // A lost notification shows up as a difference.
        let _ = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)
                .and_then(|address| socket.send_to_addr(message.as_bytes(), &address)),
            None => socket.send_to(message.as_bytes(), path),
        };
    }
}

/// Plays a hook, and returns its exit status. `pre_start` begins a run.
pub(super) fn hook(directory: &Path, name: &str, hook: &str) -> u8 {
    let began = Instant::now();
    let Ok(signals) = Signals::new() else { return 125 };
    let Some(hook) = Hook::EVERY.into_iter().find(|known| known.name() == hook) else { return 125 };
    let wardrobe = Wardrobe::of(directory, name);
    if hook == Hook::PreStart {
        wardrobe.note_number(wardrobe.take_number());
        if fs::write(wardrobe.0.join("prepared"), "").is_err() {
            return 125;
        }
    }
    let planned = wardrobe.run(wardrobe.noted_number()).hooks[hook as usize];
    let end = planned.code.map(|code| (began + planned.after, code));
    loop {
        if let Some((_, code)) = end.filter(|(at, _)| *at <= Instant::now()) {
            return code;
        }
        wait(&signals, end.map(|(at, _)| at));
        while let Ok(Some(received)) = signals.next() {
            if !planned.ignores && received.signal == Signal::TERM {
                return leave(Exit::Signal { signal: Signal::TERM, core_dumped: false });
            }
        }
    }
}

/// The result of a probe of this kind: 0 is success.
pub(super) fn ask(directory: &Path, name: &str, kind: &str) -> u8 {
    let wardrobe = Wardrobe::of(directory, name);
    let kind = ProbeKind::ALL.iter().find(|(word, _)| *word == kind).map(|(_, kind)| *kind);
    // The run has been executed, since there is a probe, but may not have recorded that yet.
    for _ in 0..500 {
        match wardrobe.begun() {
            Some((planned, age)) => return u8::from(!passes(&planned, age, kind)),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    1
}

fn first_number(wardrobe: &Wardrobe) -> usize {
    let number = wardrobe.take_number();
    // The very first runs may not have been spawned either.
    let mut played = number;
    while matches!(wardrobe.run(played).outcome, Outcome::SpawnError(_)) {
        played = wardrobe.take_number();
    }
    played
}

/// The socket of a program that starts on a connection.
fn clients() -> Option<UnixDatagram> {
    std::env::var_os("LISTEN_FDS")?;
    muster_sys::boot::seal_inherited_descriptors();
    let socket = UnixDatagram::from(inherited_descriptor(FIRST_SOCKET).ok()?);
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Takes all clients that have come.
fn take_all(clients: &UnixDatagram) {
    while clients.recv(&mut [0; 16]).is_ok() {}
}

/// Waits until a signal has arrived, or until then.
fn wait(signals: &Signals, until: Option<Instant>) {
    wait_for(signals, None, until);
}

/// Waits until a signal or a client has come, or until then.
fn wait_for(signals: &Signals, clients: Option<&UnixDatagram>, until: Option<Instant>) {
    let left = until.map(|at| at.saturating_duration_since(Instant::now()));
    // poll(2) has millisecond resolution; the last part of one is waited out in small steps.
    let timeout = match left {
        None => PollTimeout::NONE,
        Some(left) if left < Duration::from_millis(1) => {
            std::thread::sleep(left);
            return;
        }
        Some(left) => PollTimeout::try_from(left.as_millis().min(60_000)).unwrap_or(PollTimeout::ZERO),
    };
    let both = [Some(signals.as_fd()), clients.map(AsFd::as_fd)];
    let mut waited: Vec<PollFd<'_>> = both.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let _ = poll(&mut waited, timeout);
}

fn leave(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal { signal, .. } => {
            muster_sys::boot::die_of(signal);
            125
        }
    }
}
