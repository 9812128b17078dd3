//! A prepared spawn: every string, array and number that the child needs, laid out in advance.
//!
//! After the clone nothing can be allocated or looked up, so every error in the
//! configuration is detected here. The child's side is [`super::child`].

use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::rc::Rc;

use muster_spec::{ProcessSpec, Resource, Rlimit, Scheduling, Securebits, SpawnError, SpawnStep};

use super::Launch;
use super::arena::{Arena, ArenaString};
use super::child::{Array, Limit, LimitValues, Orders, PID_DIGITS, Passed};
use super::environment::{Environment, Inherited};
use super::privileges::PrivilegeOrders;
use super::scheduling::SchedulingOrders;
use super::slot::Slot;
use super::table::TableOrders;
use crate::limits::{self, OriginalLimits};
use crate::signal::SignalSet;
use crate::user::Account;

/// Where a bare command is searched if the program has no PATH: that of container images.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The placeholder that the child overwrites with its pid; the largest has ten digits.
const ROOM_FOR_PID: &str = "0000000000";
const _: () = assert!(ROOM_FOR_PID.len() == PID_DIGITS);
/// Longer paths cannot be executed: PATH_MAX with its NUL.
const LONGEST_PATH: usize = 4095;

/// The program's identity. `None` keeps the daemon's.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) groups: Option<Vec<u32>>,
    pub(super) gid: Option<u32>,
    pub(super) uid: Option<u32>,
    /// For the environment.
    pub(super) account: Option<Account>,
}

impl Identity {
    pub(super) fn changes_credentials(&self) -> bool {
        self.groups.is_some() || self.gid.is_some() || self.uid.is_some()
    }
}

/// The part that is the same for all spawns.
pub(super) struct Defaults {
    pub(super) inherited: Rc<Inherited>,
    pub(super) limits: OriginalLimits,
    pub(super) umask: u32,
    /// Signals that the daemon handles or ignores, looked up once: the daemon sets its dispositions in the
    /// first statement of `main`, and querying all 64 would be most of a spawn's system calls.
    pub(super) not_default: SignalSet,
}

/// A complete spawn. The targets of `orders` are owned by the other fields and no longer change.
pub(super) struct SpawnPlan {
    pub(super) orders: Box<Orders>,
    arena: Arena,
    candidates: Vec<ArenaString>,
    directory: Option<ArenaString>,
    resources: Vec<Resource>,
    argument_bytes: usize,
    searched: Option<Vec<u8>>,
    user: Option<String>,
    identity: Identity,
    nice: Option<i32>,
    /// The child reads the processors from here.
    scheduling: Scheduling,
    oom_score_adj: Option<i32>,
    securebits: Securebits,
    _limits: Vec<Limit>,
    _passed: Vec<Passed>,
    _pointers: [Vec<*const c_char>; 3],
    _inherited: Rc<Inherited>,
}

/// The error for a configuration that cannot be passed to the kernel.
fn refused(message: String) -> SpawnError {
    SpawnError { step: SpawnStep::Prepare, errno: libc::EINVAL, message }
}

fn without_nul(bytes: &[u8], what: impl FnOnce() -> String) -> Result<(), SpawnError> {
    if bytes.contains(&0) { Err(refused(format!("{} contains a NUL byte", what()))) } else { Ok(()) }
}

impl SpawnPlan {
    /// Prepares everything. `stdio` are descriptors of 3 and more that stay open until the process is created, and so do
    /// the sources of `passed`, which are above all its targets.
    pub(super) fn new(
        launch: &Launch<'_>,
        identity: Identity,
        defaults: &Defaults,
        (stdio, takes_terminal): ([c_int; 3], bool),
        table: Option<TableOrders>,
        passed: Vec<Passed>,
        slot: &Slot,
    ) -> Result<SpawnPlan, SpawnError> {
        let process = launch.process;
        let privileges = PrivilegeOrders::new(process.privileges, &identity)?;
        let mut arena = Arena::default();
        let arguments = push_arguments(&mut arena, &process.command)?;
        let directory = push_directory(&mut arena, process)?;
        let mut environment = layered(&mut arena, launch, &identity, &defaults.inherited)?;
        let own_pid =
            launch.own_pid.map(|name| Some((name?, environment.set(&mut arena, name?, ROOM_FOR_PID.as_bytes()))));
        let argument_bytes = arena.len() + environment.inherited_bytes();
        let (candidates, searched) = push_candidates(&mut arena, &process.command[0], &environment);
        let oom_score_adj = process.oom_score_adj.map(|score| arena.push(&[score.to_string().as_bytes()]));
        let mut room = |(name, place): (&str, ArenaString)| arena.place_to_write(place, name.len() + 1);
        let own_pid = own_pid.map(|variable| variable.map_or(ptr::null_mut(), &mut room));
        // From here on the arena is only read, except for the child, which completes those variables.
        let digits = |place: ArenaString| Array { start: arena.bytes(place).as_ptr(), count: arena.bytes(place).len() };
        let pointers = |places: &[ArenaString]| -> Vec<*const c_char> {
            places.iter().map(|&place| arena.pointer(place)).chain([ptr::null()]).collect()
        };
        let (resources, limits) = limits(process, launch.tag, defaults.limits);
        let (environment, inherited) = environment.finish(&arena);
        let lists = [pointers(&candidates), pointers(&arguments), environment];
        let orders = Orders {
            report: slot.report(),
            evidence: slot.evidence_place(),
            table,
            not_default: defaults.not_default,
            ignored: SignalSet::of(process.ignore_signals),
            stdio,
            takes_terminal,
            passed: Array { start: passed.as_ptr(), count: passed.len() },
            umask: process.umask.unwrap_or(defaults.umask) & 0o777,
            oom_score_adj: oom_score_adj.map(digits),
            limits: Array { start: limits.as_ptr(), count: limits.len() },
            nice: process.nice,
            scheduling: SchedulingOrders::new(&process.scheduling),
            privileges,
            groups: identity.groups.as_ref().map(|groups| Array { start: groups.as_ptr(), count: groups.len() }),
            gid: identity.gid,
            uid: identity.uid,
            own_pid,
            directory: directory.map_or(ptr::null(), |place| arena.pointer(place)),
            candidates: lists[0].as_ptr(),
            arguments: lists[1].as_ptr(),
            environment: lists[2].as_ptr(),
        };
        Ok(SpawnPlan {
            orders: Box::new(orders),
            arena,
            candidates,
            directory,
            resources,
            argument_bytes,
            searched,
            user: process.user.as_ref().map(|user| user.user.clone()),
            identity,
            nice: process.nice,
            scheduling: process.scheduling.clone(),
            oom_score_adj: process.oom_score_adj,
            securebits: process.privileges.securebits,
            _limits: limits,
            _passed: passed,
            _pointers: lists,
            _inherited: inherited,
        })
    }

    /// A file that was tried, or the command itself if there is no such file.
    pub(super) fn candidate(&self, number: u32) -> String {
        let place = usize::try_from(number).ok().and_then(|number| self.candidates.get(number));
        self.text(place.or(self.candidates.first()).copied())
    }

    /// The command as it was configured.
    pub(super) fn command(&self) -> String {
        // The arguments are the first strings of the arena, and the command is the first of them.
        String::from_utf8_lossy(self.arena.first()).into_owned()
    }

    /// The configured directory.
    pub(super) fn directory(&self) -> Option<String> {
        self.directory.map(|place| self.text(Some(place)))
    }

    /// The PATH that was searched, if one was.
    pub(super) fn searched(&self) -> Option<String> {
        self.searched.as_deref().map(|path| String::from_utf8_lossy(path).into_owned())
    }

    /// The resource whose limit has this number.
    pub(super) fn limit(&self, number: u32) -> Option<(Resource, Limit)> {
        let number = usize::try_from(number).ok()?;
        Some((*self.resources.get(number)?, *self._limits.get(number)?))
    }

    /// The configured user, if there is one.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn nice(&self) -> i32 {
        self.nice.unwrap_or(0)
    }

    pub(super) fn scheduling(&self) -> &Scheduling {
        &self.scheduling
    }

    pub(super) fn oom_score_adj(&self) -> i32 {
        self.oom_score_adj.unwrap_or(0)
    }

    pub(super) fn securebits(&self) -> Securebits {
        self.securebits
    }

    /// The size of arguments and environment together, as execve(2) counts it, without the pointers.
    pub(super) fn argument_bytes(&self) -> usize {
        self.argument_bytes
    }

    fn text(&self, place: Option<ArenaString>) -> String {
        place.map_or_else(String::new, |place| String::from_utf8_lossy(self.arena.bytes(place)).into_owned())
    }
}

fn push_arguments(arena: &mut Arena, command: &[String]) -> Result<Vec<ArenaString>, SpawnError> {
    if command.first().is_none_or(String::is_empty) {
        return Err(refused(String::from("the command is empty")));
    }
    let push = |(number, argument): (usize, &String)| {
        without_nul(argument.as_bytes(), || format!("argument {number} of the command"))?;
        Ok(arena.push(&[argument.as_bytes()]))
    };
    command.iter().enumerate().map(push).collect()
}

fn push_directory(arena: &mut Arena, process: &ProcessSpec) -> Result<Option<ArenaString>, SpawnError> {
    let Some(directory) = &process.directory else { return Ok(None) };
    let bytes = directory.as_os_str().as_bytes();
    without_nul(bytes, || String::from("the directory"))?;
    Ok(Some(arena.push(&[bytes])))
}

fn layered(
    arena: &mut Arena,
    launch: &Launch<'_>,
    identity: &Identity,
    inherited: &Rc<Inherited>,
) -> Result<Environment, SpawnError> {
    let process = launch.process;
    let mut environment = Environment::new(inherited, process.clean_environment);
    if let Some(Account { name, home, shell, .. }) = identity.account.as_ref().filter(|_| process.login_environment) {
        for (variable, value) in [("HOME", home), ("USER", name), ("LOGNAME", name), ("SHELL", shell)] {
            without_nul(value.as_bytes(), || format!("{variable} of user {name:?}"))?;
            environment.set(arena, variable, value.as_bytes());
        }
    }
    for name in &process.unset {
        environment.unset(arena, name);
    }
    if !launch.secrets.is_empty() {
        arena.keep_secret();
    }
    let configured = process.environment.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let secrets = launch.secrets.iter().copied();
    let markers = launch.markers.iter().map(|(name, value)| (*name, value.as_bytes()));
    for (name, value) in configured.chain(secrets).chain(markers) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(refused(format!("not a name of an environment variable: {name:?}")));
        }
        without_nul(value, || format!("the value of environment variable {name:?}"))?;
        environment.set(arena, name, value);
    }
    Ok(environment)
}

/// The files to try. A command with a slash is a path, relative to the program's directory; a bare name is searched in
/// the program's own PATH, as a shell would.
fn push_candidates(arena: &mut Arena, command: &str, environment: &Environment) -> (Vec<ArenaString>, Option<Vec<u8>>) {
    if command.contains('/') {
        return (vec![arena.push(&[command.as_bytes()])], None);
    }
    let path = environment.get(arena, "PATH").unwrap_or_else(|| DEFAULT_PATH.to_vec());
    let fits = |directory: &&[u8]| directory.len() + 1 + command.len() <= LONGEST_PATH;
    let directories = path.split(|&byte| byte == b':').filter(fits);
    let mut candidates: Vec<ArenaString> = directories
        .map(|directory| match directory {
            // An empty element is the current directory.
            b"" => arena.push(&[b"./", command.as_bytes()]),
            directory => arena.push(&[directory, b"/", command.as_bytes()]),
        })
        .collect();
    if candidates.is_empty() {
        candidates.push(arena.push(&[b"./", command.as_bytes()]));
    }
    (candidates, Some(path))
}

/// The configured limits, after the original descriptor limit and the run's tag with its
/// counterpart, which a configured limit of the same resource overrides.
fn limits(process: &ProcessSpec, tag: Option<Rlimit>, original: OriginalLimits) -> (Vec<Resource>, Vec<Limit>) {
    let given_back = (Resource::Nofile, LimitValues { soft: original.nofile_soft, hard: original.nofile_hard });
    let unlimited = |value: Option<u64>| value.unwrap_or(libc::RLIM_INFINITY);
    let values =
        |limit: &Rlimit| (limit.resource, LimitValues { soft: unlimited(limit.soft), hard: unlimited(limit.hard) });
    let is_configured = |resource| process.rlimits.iter().any(|limit| limit.resource == resource);
    let counterpart = tag.as_ref().and_then(crate::tree::counterpart);
    let own = [Some(given_back), tag.as_ref().map(values), counterpart.as_ref().map(values)].into_iter().flatten();
    let all = own.filter(|(resource, _)| !is_configured(*resource)).chain(process.rlimits.iter().map(values));
    all.map(|(resource, values)| (resource, Limit { resource: limits::number(resource), values })).unzip()
}
