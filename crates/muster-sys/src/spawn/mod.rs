//! Spawning: everything is prepared in advance, every failing step is reported, and nothing blocks.
//!
//! [`Spawner::spawn`] returns as soon as the kernel has created the process. [`Spawning`] reports later whether its program was
//! executed: a child that is stopped, or hangs in a directory on a dead file server, blocks only
//! itself. `docs/design/0002-spawn.md` explains how the process is created and why.
//!
//! Read [`child`] for the new process, `plan` for the preparation, `explain` for the messages about failures.

mod arena;
mod child;
mod elf;
mod environment;
mod explain;
mod mechanism;
mod plan;
mod pool;
mod privileges;
mod raw;
mod scheduling;
mod slot;
mod table;

use std::cell::RefCell;
use std::ffi::{OsString, c_int};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::fd;
use crate::heap;
use crate::limits::OriginalLimits;
use crate::rights::{Capability, Rights};
use crate::signal::{Pid, SignalSet, not_default, set_blocked};
use crate::user::{Accounts, LookupError};

pub use arena::wipe;
use child::Passed;
pub use explain::reason;
pub use mechanism::Mechanism;
use muster_spec::{ProcessSpec, Rlimit, SpawnError, SpawnStep};
pub use plan::DEFAULT_PATH;
use plan::{Defaults, Identity, SpawnPlan};
use pool::{InFlight, Pool};
use table::Places;
pub use table::reserved;

/// Creates processes. One for the whole daemon, used by one thread.
pub struct Spawner {
    defaults: Defaults,
    accounts: Accounts,
    /// /dev/null, or a pipe at its end if there is none.
    empty: OwnedFd,
    null: Option<OwnedFd>,
    mechanism: Option<Mechanism>,
    can_share: bool,
    places: Option<Rc<Places>>,
    pool: Rc<RefCell<Pool>>,
}

/// The process to create.
#[derive(Clone, Copy)]
pub struct Launch<'a> {
    /// The program, and how to run it.
    pub process: &'a ProcessSpec,
    /// Variables that override all configured ones. No copy is left in memory.
    pub secrets: &'a [(&'a str, &'a [u8])],
    /// Variables that override all others.
    pub markers: &'a [(&'a str, &'a str)],
    /// Variables that are set to its pid, which is not known in advance.
    pub own_pid: [Option<&'a str>; 2],
    /// A limit by which [`crate::tree`] identifies the process and its descendants, set with its counterpart. Omitted
    /// if the program limits the same resource itself.
    pub tag: Option<Rlimit>,
    /// The destination of its stdout.
    pub stdout: Stdio<'a>,
    /// The destination of its stderr.
    pub stderr: Stdio<'a>,
    /// Further descriptors of which it gets copies, each with its number in the program, 3 or more.
    pub passed: &'a [(BorrowedFd<'a>, u32)],
}

/// The destination of an output stream.
#[derive(Clone, Copy, Debug)]
pub enum Stdio<'a> {
    /// /dev/null.
    Null,
    /// This descriptor, of which the child gets a copy. An anonymous pipe is first given to the program's user, so
    /// that the program can open /dev/stdout. The daemon's own 0, 1 and 2 must stay what they are.
    Fd(BorrowedFd<'a>),
}

impl Spawner {
    /// Records what every child gets: the daemon's environment, the limits that the daemon was started with, and the
    /// default umask. No further signals may be ignored or handled afterwards.
    pub fn new(base_environment: Vec<(OsString, OsString)>, limits: OriginalLimits, umask: u32) -> io::Result<Spawner> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").ok();
        let null = null.map(|null| fd::copy_above_stdio(null.as_fd())).transpose()?;
        let empty = match &null {
            Some(null) => fd::copy_above_stdio(null.as_fd())?,
            None => fd::copy_above_stdio(fd::pipe_with(libc::O_CLOEXEC)?.0.as_fd())?,
        };
        let inherited = Rc::new(environment::Inherited::new(base_environment));
        let places = Places::reserve(empty.as_fd());
        Ok(Spawner {
            defaults: Defaults { inherited, limits, umask, not_default: not_default() },
            accounts: Accounts::default(),
            empty,
            null,
            mechanism: None,
            can_share: mechanism::can_share(),
            places,
            pool: Rc::default(),
        })
    }

    /// Changes the default umask: a reload may.
    pub fn set_default_umask(&mut self, umask: u32) {
        self.defaults.umask = umask;
    }

    /// The users and groups of the system, for other lookups.
    pub fn accounts(&mut self) -> &mut Accounts {
        &mut self.accounts
    }

    /// The number of children between clone and execve whose outcome has not been taken yet.
    ///
    /// Up to [`AT_ONCE`](Spawner::AT_ONCE) of them use slots that are kept. Each further one maps and unmaps its own, which has
    /// to wait for every process that holds the shared memory map and is not scheduled: up to 220 ms during 500 starts.
    pub fn in_flight(&self) -> usize {
        self.pool.borrow_mut().in_flight()
    }

    /// The number of children that may be between clone and execve without that cost; see [`Spawner::in_flight`].
    pub const AT_ONCE: usize = pool::IDLE_SLOTS;

    /// Creates every process this way, for measurements and tests. By default the way is chosen for each spawn.
    pub fn force_mechanism(&mut self, mechanism: Mechanism) {
        self.mechanism = Some(mechanism);
    }

    /// Creates the process. It is a child from now on, and must be reaped in any case, so register its pid before
    /// reaping again.
    ///
    /// An error means that there is no process. Errors in the new process are reported by
    /// [`Spawning::outcome`].
    pub fn spawn(&mut self, launch: &Launch<'_>) -> Result<Spawning, SpawnError> {
        self.spawn_reading(launch, None)
    }

    /// Like [`Spawner::spawn`], with a copy of this descriptor as its stdin. By default it reads /dev/null.
    pub fn spawn_reading(
        &mut self,
        launch: &Launch<'_>,
        stdin: Option<BorrowedFd<'_>>,
    ) -> Result<Spawning, SpawnError> {
        let identity = self.identity(launch.process)?;
        self.create(launch, identity, stdin, false)
    }

    /// Like [`Spawner::spawn`], with this terminal as its stdin, stdout, stderr and controlling terminal. It is given to the
    /// program's user, so that the program can open it by its name.
    pub fn spawn_on_terminal(&mut self, launch: &Launch<'_>, terminal: BorrowedFd<'_>) -> Result<Spawning, SpawnError> {
        let identity = self.identity(launch.process)?;
        if let Some(uid) = identity.uid {
            // Its group is that of all terminals. A failure has no other effect.
            let _ = fd::change_owner(terminal, uid, fd::SAME_GROUP);
        }
        let launch = Launch { stdout: Stdio::Fd(terminal), stderr: Stdio::Fd(terminal), ..*launch };
        self.create(&launch, identity, Some(terminal), true)
    }

    fn create(
        &mut self,
        launch: &Launch<'_>,
        identity: Identity,
        stdin: Option<BorrowedFd<'_>>,
        takes_terminal: bool,
    ) -> Result<Spawning, SpawnError> {
        let stdout = self.output(launch.stdout, &identity)?;
        let stderr = self.output(launch.stderr, &identity)?;
        let mechanism = self.mechanism.unwrap_or_else(|| Mechanism::choose(self.can_share, launch.process, &identity));
        let stdin =
            stdin.map_or(Ok(Source::lasting(self.empty.as_fd())), |it| self.output(Stdio::Fd(it), &identity))?;
        let stdio = [stdin, stdout, stderr];
        let passed = Lifted::all(launch.passed)?;
        let slot = self.pool.borrow_mut().take_slot().map_err(|error| prepare("cannot map a stack", &error))?;
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let (status, told) = fd::pipe_with(flags).map_err(|error| prepare("cannot make a pipe", &error))?;
        let told = passed.lift(told)?;
        let places = self.places.as_ref();
        // Descriptors that are passed on have to stay above all of their targets.
        let place = places.filter(|_| launch.passed.is_empty());
        let place = place.and_then(|it| it.take(stdio, told.as_fd(), slot.report()));
        let (stdio, _copies) = match place {
            Some(place) => ([0, 1, 2].map(|number| place.own + number), None),
            None => {
                let copies = stdio.map(High::new).into_iter().collect::<io::Result<Vec<_>>>();
                let copies =
                    copies.map_err(|error| prepare("cannot copy a descriptor for stdout or stderr", &error))?;
                (std::array::from_fn(|at| copies[at].as_raw_fd()), Some(copies))
            }
        };
        let table = place.or(places.map(|places| places.copied()));
        let plan = heap::temporary(|| {
            SpawnPlan::new(launch, identity, &self.defaults, (stdio, takes_terminal), table, passed.orders(), &slot)
        });
        let plan = plan.inspect_err(|_| places.into_iter().for_each(|places| places.left(slot.report())))?;
        let places = places.filter(|_| place.is_some()).cloned();
        let flight = self.pool.borrow_mut().depart(status, slot, plan, places);
        let made = make_process(mechanism, &flight);
        drop(told);
        match made {
            Ok(pid) => Ok(Spawning { pid, flight: Some(flight), outcome: None, pool: Rc::clone(&self.pool) }),
            Err(errno) => {
                flight.leave_table();
                self.pool.borrow_mut().give_back(flight);
                Err(explain::no_process(errno))
            }
        }
    }

    fn identity(&mut self, process: &ProcessSpec) -> Result<Identity, SpawnError> {
        let lookup = |error: LookupError| SpawnError { step: SpawnStep::User, errno: 0, message: error.to_string() };
        let groups = match &process.groups {
            Some(names) => {
                let numbers: Result<Vec<u32>, _> = names.iter().map(|name| self.accounts.gid(name)).collect();
                Some(numbers.map_err(lookup)?)
            }
            None => None,
        };
        if process.user.is_none() && groups.is_none() {
            return Ok(Identity::default());
        }
        let own = Rights::own();
        // Setting the groups that it already has changes nothing, and setgroups(2) would refuse it without privilege.
        let change = |groups: Option<Vec<u32>>| groups.filter(|groups| !own.has_exactly(groups));
        let Some(user) = &process.user else { return Ok(Identity { groups: change(groups), ..Identity::default() }) };
        let account = self.accounts.account(user, own.gid).map_err(lookup)?;
        // Without privilege a daemon, even as root, may still run programs as its own user.
        let is_mighty = own.uid == 0 && own.has(Capability::Setgid);
        if !is_mighty && (account.uid, account.gid) == (own.uid, own.gid) {
            return Ok(Identity { groups: change(groups), account: Some(account), ..Identity::default() });
        }
        Ok(Identity {
            groups: change(groups.or_else(|| Some(account.groups.clone()))),
            gid: Some(account.gid),
            uid: Some(account.uid),
            account: Some(account),
        })
    }

    fn output<'a>(&'a self, stream: Stdio<'a>, identity: &Identity) -> Result<Source<'a>, SpawnError> {
        match (stream, &self.null) {
            (Stdio::Fd(descriptor), _) => {
                offer(descriptor, identity);
                Ok(Source { descriptor, is_lasting: descriptor.as_raw_fd() <= libc::STDERR_FILENO })
            }
            (Stdio::Null, Some(null)) => Ok(Source::lasting(null.as_fd())),
            (Stdio::Null, None) => {
                let message = String::from("/dev/null: no such file");
                Err(SpawnError { step: SpawnStep::Stdio, errno: libc::ENOENT, message })
            }
        }
    }
}

/// A descriptor of which the child gets a copy.
#[derive(Clone, Copy)]
struct Source<'a> {
    descriptor: BorrowedFd<'a>,
    /// Whether its number means the same file as long as there are children.
    is_lasting: bool,
}

impl<'a> Source<'a> {
    fn lasting(descriptor: BorrowedFd<'a>) -> Source<'a> {
        Source { descriptor, is_lasting: true }
    }
}

/// A descriptor of 3 or more, so that moving it to 1 or 2 overwrites no other.
enum High<'a> {
    Kept(BorrowedFd<'a>),
    Copied(OwnedFd),
}

impl<'a> High<'a> {
    fn new(Source { descriptor, .. }: Source<'a>) -> io::Result<High<'a>> {
        if descriptor.as_raw_fd() >= 3 {
            return Ok(High::Kept(descriptor));
        }
        fd::copy_above_stdio(descriptor).map(High::Copied)
    }
}

impl AsRawFd for High<'_> {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            High::Kept(descriptor) => descriptor.as_raw_fd(),
            High::Copied(descriptor) => descriptor.as_raw_fd(),
        }
    }
}

/// Descriptors to be moved to numbers of the program's choice, copied above all of these: in the child, none of them is
/// overwritten before it is copied, nor is the status pipe.
struct Lifted {
    copies: Vec<(OwnedFd, u32)>,
    above: Option<u32>,
}

impl Lifted {
    fn all(passed: &[(BorrowedFd<'_>, u32)]) -> Result<Lifted, SpawnError> {
        let above = passed.iter().map(|(_, target)| *target).max();
        let copy = |&(descriptor, target): &(BorrowedFd<'_>, u32)| {
            let copied = fd::copy_above(descriptor, above.unwrap_or(2));
            let copied = copied.map_err(|error| prepare(&format!("cannot pass descriptor {target}"), &error))?;
            Ok((copied, target))
        };
        Ok(Lifted { copies: passed.iter().map(copy).collect::<Result<_, _>>()?, above })
    }

    fn lift(&self, descriptor: OwnedFd) -> Result<OwnedFd, SpawnError> {
        match self.above {
            Some(above) if i64::from(descriptor.as_raw_fd()) <= i64::from(above) => {
                fd::copy_above(descriptor.as_fd(), above).map_err(|error| prepare("cannot make a pipe", &error))
            }
            _ => Ok(descriptor),
        }
    }

    fn orders(&self) -> Vec<Passed> {
        let order = |(copy, target): &(OwnedFd, u32)| Passed { source: copy.as_raw_fd(), target: *target as c_int };
        self.copies.iter().map(order).collect()
    }
}

/// A program that became another user could write to the pipe it got as stdout but not open /dev/stdout, which is how
/// many images configure their logs. Container engines do the same for the first process. A failure has no other
/// effect, so errors are ignored.
fn offer(descriptor: BorrowedFd<'_>, identity: &Identity) {
    if let (Some(uid), Some(gid)) = (identity.uid, identity.gid)
        && fd::is_anonymous_pipe(descriptor)
    {
        let _ = fd::change_owner(descriptor, uid, gid);
    }
}

fn prepare(what: &str, error: &io::Error) -> SpawnError {
    explain::in_daemon(SpawnStep::Prepare, what, error)
}

fn make_process(mechanism: Mechanism, flight: &InFlight) -> Result<Pid, c_int> {
    let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EINVAL);
    // The daemon blocks signals anyway, but not faults; in the child everything stays blocked until it may be killed.
    let before = set_blocked(SignalSet::ALL).map_err(errno)?;
    let orders = (&raw const *flight.orders()).cast::<()>();
    // SAFETY: the stack is 16-aligned and large; stack, orders and all they point to are kept by `flight` until the child
    // has executed or exited, even if dropped early; `child::main` touches no thread-local storage and does not panic.
    let clone = |flags| unsafe { raw::clone(flags, flight.stack_top(), child::main, orders) };
    let is_shared = flight.orders().table.is_some_and(|table| table.is_shared);
    let table = if is_shared { libc::CLONE_FILES } else { 0 };
    let result = match clone(mechanism.flags() | table) {
        // qemu's emulation of processes of another architecture knows only threads and copies.
        Err(libc::EINVAL) => clone(Mechanism::Copied.flags()),
        result => result,
    };
    set_blocked(before).expect("the kernel takes back the set that it gave");
    result.map(Pid)
}

/// A process that may not have executed its program yet. Its descriptor is readable when [`Spawning::outcome`]
/// is to be asked: once it has, or never will, and perhaps once before.
///
/// Remove it from a [`PollSet`](crate::pollset::PollSet) before dropping it. Dropping it early is allowed: the memory
/// that the child may still use is kept until it no longer does.
pub struct Spawning {
    /// The process.
    pub pid: Pid,
    flight: Option<InFlight>,
    outcome: Option<Result<(), SpawnError>>,
    pool: Rc<RefCell<Pool>>,
}

impl Spawning {
    /// Whether the program was executed, or why not; `None` while that is open. Never waits.
    ///
    /// A process that was killed before it executed anything is an error, too, with errno 0.
    pub fn outcome(&mut self) -> Option<Result<(), SpawnError>> {
        if self.outcome.is_none() && self.flight.as_ref().is_some_and(InFlight::is_over) {
            self.settle();
        }
        self.outcome.clone()
    }

    /// The outcome of a reaped process, which always has one.
    pub fn outcome_after_exit(&mut self) -> Result<(), SpawnError> {
        self.settle();
        self.outcome.clone().unwrap_or(Ok(()))
    }

    fn settle(&mut self) {
        if self.outcome.is_none()
            && let Some(flight) = &self.flight
        {
            flight.leave_table();
            self.outcome = Some(flight.outcome());
            self.pool.borrow_mut().settle(flight);
        }
    }

    /// The descriptor to wait for, which may never be readable unless [`Spawning::prepare_to_wait`] is called before the wait. By
    /// then the process has often come so far that it need not report it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.flight.as_ref().expect("only drop takes it away").as_fd()
    }

    /// Has the process report its progress, if it must do so for the descriptor to become readable.
    pub fn prepare_to_wait(&self) {
        self.flight.iter().for_each(InFlight::await_leaving);
    }
}

impl AsFd for Spawning {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.prepare_to_wait();
        self.descriptor()
    }
}

impl Drop for Spawning {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.pool.borrow_mut().give_back(flight);
        }
    }
}
