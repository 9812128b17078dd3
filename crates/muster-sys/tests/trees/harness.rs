//! Real processes, one little world for each test: a process that adopts orphans as the daemon does, the runs that it
//! starts, and witnesses who must never get a signal.
//!
//! Orphans come to a whole process, so tests in one process would adopt each other's. A test executes itself again,
//! and that process forks the world, which then has one thread as the daemon has. It stays outside with a witness.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use muster_core::{Exit, RunId, Signal};
use muster_sys::reap::reap_next;
use muster_sys::signal::Pid;
use muster_sys::tree::{Abilities, MARKER, ProcessState, Scope, Trees};

/// For everything that happens soon on a quiet machine. Nothing waits for so long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a program may take to stop by itself in these tests.
pub(crate) const GRACE: Duration = Duration::from_millis(150);

const SCENARIO: &str = "MUSTER_TREES_SCENARIO";

/// What the world does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    Tags,
    Pidfds,
    ChildrenLists,
    Proc,
}

/// Ways in which every promise holds.
pub(crate) const ALL_WAYS: &[Without] = &[Without::Nothing, Without::Tags, Without::Pidfds, Without::ChildrenLists];

/// The usual way alone.
pub(crate) const WITH_ALL_THERE_IS: &[Without] = &[Without::Nothing];

/// Where nothing but ancestry, numbers, marker and cgroup tell whose a process is.
pub(crate) const WITHOUT_TAGS: &[Without] = &[Without::Tags];

/// Where process groups are all there is.
pub(crate) const WITHOUT_PROC: &[Without] = &[Without::Proc];

/// Ways in which a process is known even after it hid from everything but its tag.
pub(crate) const TAGGED_WAYS: &[Without] = &[Without::Nothing, Without::Pidfds, Without::ChildrenLists];

/// Plays `act` in a world of its own, once for each of the `ways`.
pub(crate) fn perform(name: &str, ways: &[Without], act: fn(&mut World)) {
    let name = name.split_once("::").map_or(name, |(_, rest)| rest);
    if std::env::var(SCENARIO).as_deref() != Ok(name) {
        return perform_elsewhere(name);
    }
    for &without in ways {
        perform_here(without, act);
    }
}

fn perform_elsewhere(name: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args([name, "--exact", "--test-threads=1", "--nocapture"])
        .env(SCENARIO, name)
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    for skipped in stderr.lines().filter(|line| line.starts_with("SKIPPED")) {
        eprintln!("{skipped}");
    }
    assert!(output.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", output.status);
}

fn perform_here(without: Without, act: fn(&mut World)) {
    // What a failed world leaves behind comes here.
    muster_sys::boot::become_subreaper().unwrap();
    let outsider = Witness::new("outside of the daemon");
    let world = fork(|| {
        // SAFETY: takes numbers; a world that hangs dies of it, and its parent says so.
        unsafe { libc::alarm(120) };
        muster_sys::boot::become_subreaper().unwrap();
        play(without, act);
    });
    let status = wait_for_end(world);
    outsider.check();
    outsider.dismiss();
    end_everyone_below();
    assert_eq!(status, 0, "the world without {without:?} ended badly");
}

/// The same, once, with the world as PID 1 of a new pid namespace, and a visitor that comes into it from outside.
pub(crate) fn perform_in_new_namespace(name: &str, without: Without, act: fn(&mut World)) {
    if std::env::var(SCENARIO).as_deref() != Ok(name) {
        return perform_elsewhere(name);
    }
    let outsider = Witness::new("outside of the namespace");
    // SAFETY: takes numbers. Only children of this thread are in the new namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        outsider.dismiss();
        return skip(&format!("no new pid namespace: {}", std::io::Error::last_os_error()));
    }
    let world = fork(|| {
        // SAFETY: takes numbers. Nobody else can kill the PID 1 of a namespace that hangs.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        mount_own_proc();
        play(without, act);
    });
    let visitor = crate::namespaces::visit();
    // SAFETY: takes a number.
    unsafe { libc::alarm(120) };
    let status = wait_for_ends(world, visitor);
    outsider.check();
    outsider.dismiss();
    assert_eq!(status, 0, "the world in a namespace without {without:?} ended badly");
}

fn mount_own_proc() {
    let nothing = std::ptr::null();
    // SAFETY: every string ends with a NUL, and a null pointer stands for an argument that is not used.
    unsafe {
        assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
        let private = libc::MS_REC | libc::MS_PRIVATE;
        assert_eq!(libc::mount(nothing, c"/".as_ptr(), nothing, private, std::ptr::null()), 0);
        assert_eq!(libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, std::ptr::null()), 0);
    }
}

pub(crate) fn play(without: Without, act: fn(&mut World)) {
    let mut world = World::new(without);
    act(&mut world);
    world.close();
}

pub(crate) fn wait_for_end(child: Pid) -> i32 {
    let mut status = 0;
    // SAFETY: `status` has room for what is written.
    assert_eq!(unsafe { libc::waitpid(child.0, &mut status, 0) }, child.0);
    status
}

/// Whoever ends first is reaped first: the end of a PID 1 waits until everyone in its namespace was reaped.
fn wait_for_ends(world: Pid, visitor: Pid) -> i32 {
    let mut ended = BTreeMap::new();
    while ended.len() < 2 {
        let mut status = 0;
        // SAFETY: `status` has room for what is written.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        assert!(pid == world.0 || pid == visitor.0, "the outsider has ended");
        ended.insert(pid, status);
    }
    ended[&world.0]
}

fn end_everyone_below() {
    loop {
        let everyone = everyone();
        let left: Vec<i32> = below(Pid::this().0, &everyone).collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            // SAFETY: kill and waitpid take numbers and a null pointer.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
    }
}

/// Everyone who descends from `top`.
fn below(top: i32, everyone: &BTreeMap<i32, (i32, String)>) -> impl Iterator<Item = i32> {
    let mut below: BTreeSet<i32> = [top].into();
    loop {
        let is_new = |(pid, (ppid, _)): &(&i32, &(i32, String))| below.contains(ppid) && !below.contains(pid);
        let more: Vec<i32> = everyone.iter().filter(is_new).map(|(&pid, _)| pid).collect();
        if more.is_empty() {
            return below.into_iter().filter(move |&pid| pid != top);
        }
        below.extend(more);
    }
}

/// Forks, and ends the child after `life` without running anything of the test harness.
pub(crate) fn fork(life: impl FnOnce()) -> Pid {
    // SAFETY: the other threads, if any, wait for this one and hold no lock that the child needs.
    match unsafe { libc::fork() } {
        0 => {
            let code = if catch_unwind(AssertUnwindSafe(life)).is_ok() { 0 } else { 101 };
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
            Pid(pid)
        }
    }
}

/// Sleeps for ever, in small steps, since an ignored SIGCONT still ends a pause(2).
pub(crate) fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// Says that a test could not be made here, and why: never silently.
pub(crate) fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// A process that keeps every signal it gets.
pub(crate) struct Witness {
    pub(crate) pid: Pid,
    who: &'static str,
}

impl Witness {
    /// A child of the caller, in a session of its own.
    pub(crate) fn new(who: &'static str) -> Witness {
        // Blocked before the fork, so that there is no moment in which a signal would do something.
        let before = block_everything();
        let pid = fork(|| {
            // SAFETY: takes nothing.
            unsafe { libc::setsid() };
            sleep_for_ever();
        });
        restore(before);
        Witness { pid, who }
    }

    /// Fails if it got any signal, or was ever stopped, continued or ended.
    pub(crate) fn check(&self) {
        let (pid, who) = (self.pid, self.who);
        // SAFETY: all-zero bytes are a valid siginfo_t.
        let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `about` has room for the record that is written.
        let result = unsafe { libc::waitid(libc::P_PID, pid.0 as libc::id_t, &mut about, flags) };
        // SAFETY: the record is that of a child, or zero.
        assert_eq!((result, unsafe { about.si_pid() }), (0, 0), "the witness {who} was stopped, continued or killed");
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return };
        for pending in status.lines().filter(|line| line.starts_with("SigPnd") || line.starts_with("ShdPnd")) {
            assert!(pending.ends_with("\t0000000000000000"), "the witness {who} got a signal: {pending}");
        }
    }

    pub(crate) fn dismiss(self) {
        // SAFETY: kill and waitpid take numbers and a null pointer; the witness is our unreaped child.
        unsafe {
            libc::kill(self.pid.0, libc::SIGKILL);
            libc::waitpid(self.pid.0, std::ptr::null_mut(), 0);
        }
    }
}

fn block_everything() -> libc::sigset_t {
    // SAFETY: the sets live through the calls.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

fn restore(mask: libc::sigset_t) {
    // SAFETY: the set lives through the call.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) };
}

/// What the daemon would be: runs, their trees, a reaper. And two witnesses below it.
pub(crate) struct World {
    pub(crate) trees: Trees,
    pub(crate) without: Without,
    pub(crate) ended: BTreeMap<i32, Exit>,
    leaders: BTreeMap<RunId, Pid>,
    stray: Option<Witness>,
    other: Witness,
    other_run: RunId,
}

impl World {
    pub(crate) fn new(without: Without) -> World {
        let mut trees = Trees::new();
        let all = trees.abilities();
        trees.restrict(&Abilities {
            proc: all.proc && without != Without::Proc,
            pidfds: all.pidfds && without != Without::Pidfds,
            children_lists: all.children_lists && without != Without::ChildrenLists,
            tags: all.tags && without != Without::Tags,
            ..all
        });
        let (stray, other, other_run) =
            (Witness::new("that belongs to no run"), Witness::new("of another run"), RunId(1));
        trees.begin(other_run, other.pid, "of-another-run".to_owned());
        let (ended, leaders) = (BTreeMap::new(), BTreeMap::new());
        World { trees, without, ended, leaders, stray: Some(stray), other, other_run }
    }

    /// Sends the witness away that belongs to no run: strays are going to be signalled.
    pub(crate) fn without_stray(&mut self) {
        if let Some(stray) = self.stray.take() {
            stray.check();
            self.trees.reaped(stray.pid);
            stray.dismiss();
        }
    }

    /// Starts a shell as the main process of a new run, as the daemon would: in a session of its own, with its marker
    /// and, where there are tags, its tag.
    pub(crate) fn run(&mut self, script: &str) -> RunId {
        self.run_process(|| exec_shell(script))
    }

    /// The same with a piece of this program as the main process.
    pub(crate) fn run_process(&mut self, life: impl FnOnce()) -> RunId {
        let run = RunId(self.leaders.len() as u64 + 10);
        let (marker, tag) = (format!("{}-{run}", Pid::this()), self.trees.tag(run));
        let cgroup = None;
        self.spawn(run, marker, tag.map(|tag| tag.hard.unwrap()), cgroup, life)
    }

    /// The same in a cgroup of its own, and with no tag.
    pub(crate) fn run_enclosed(&mut self, script: &str) -> std::io::Result<RunId> {
        use std::os::fd::AsRawFd;
        let run = RunId(self.leaders.len() as u64 + 10);
        let cgroup = self.trees.enclose(run)?.as_raw_fd();
        Ok(self.spawn(run, format!("{}-{run}", Pid::this()), None, Some(cgroup), || exec_shell(script)))
    }

    fn spawn(
        &mut self,
        run: RunId,
        marker: String,
        tag: Option<u64>,
        cgroup: Option<i32>,
        life: impl FnOnce(),
    ) -> RunId {
        let for_child = marker.clone();
        let leader = fork(|| {
            // SAFETY: single-threaded, and every pointer is to something that lives through its call.
            unsafe {
                libc::alarm(0);
                libc::setsid();
                if let Some(tag) = tag {
                    let limit = libc::rlimit64 { rlim_cur: tag, rlim_max: tag };
                    assert_eq!(libc::setrlimit64(libc::RLIMIT_LOCKS, &limit), 0);
                }
                if let Some(cgroup) = cgroup {
                    assert_eq!(libc::write(cgroup, c"0".as_ptr().cast(), 1), 1);
                }
                std::env::set_var(MARKER, for_child);
            }
            life();
        });
        self.trees.begin(run, leader, marker);
        self.leaders.insert(run, leader);
        run
    }

    pub(crate) fn leader(&self, run: RunId) -> Pid {
        self.leaders[&run]
    }

    pub(crate) fn is_leader_dead(&self, run: RunId) -> bool {
        self.ended.contains_key(&self.leader(run).0)
    }

    /// Collects every child that has ended.
    pub(crate) fn reap(&mut self) {
        while let Some(reaped) = reap_next().unwrap() {
            self.trees.reaped(reaped.pid);
            self.ended.insert(reaped.pid.0, reaped.exit);
        }
    }

    /// Reaps until it is so.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
        let started = Instant::now();
        loop {
            self.reap();
            if is_so(self) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}\n{}", self.picture());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the tree has so many living processes, so many of them sleeping for a thousand seconds: a shell
    /// forks its sleep after it has set its traps, and a subshell that is about to end is one process too many.
    pub(crate) fn wait_for(&mut self, run: RunId, count: usize, sleepers: usize) {
        self.wait_until(&format!("{count} processes are in the tree, {sleepers} of them asleep"), |world| {
            let mut processes = world.trees.processes(run);
            processes.retain(|process| process.state != ProcessState::Zombie);
            let asleep = processes.iter().filter(|process| process.command == "sleep 1000").count();
            (processes.len(), asleep) == (count, sleepers)
        });
    }

    /// Stops a run as the daemon does: its main process by TERM, what is left after it by TERM, all by KILL.
    pub(crate) fn stop(&mut self, run: RunId) {
        self.trees.observe(run);
        self.trees.stop(run, TERM, Scope::Main).unwrap();
        self.finish(run, Instant::now() + GRACE);
    }

    /// From a main process that was told to end, or did, to a tree that is gone.
    pub(crate) fn finish(&mut self, run: RunId, deadline: Instant) {
        let mut is_swept = false;
        self.wait_until("the tree is gone", |world| {
            if world.is_leader_dead(run) {
                if world.trees.gone(&[run]) == [run] {
                    return true;
                }
                if !is_swept {
                    world.trees.stop(run, TERM, Scope::Tree).unwrap();
                    is_swept = true;
                }
            }
            if Instant::now() >= deadline {
                world.trees.signal(run, Signal::KILL, Scope::Tree).unwrap();
            }
            false
        });
        self.trees.end(run);
    }

    /// SIGKILL to everyone until nobody is left.
    pub(crate) fn kill(&mut self, run: RunId) {
        self.finish(run, Instant::now());
    }

    /// Everyone below this process who is no witness, as /proc has it, found without the code that is tested.
    pub(crate) fn survivors(&self) -> Vec<String> {
        let is_witness = |pid| pid == self.other.pid.0 || self.stray.as_ref().is_some_and(|stray| stray.pid.0 == pid);
        let everyone = everyone();
        let strangers = below(Pid::this().0, &everyone).filter(|&pid| !is_witness(pid));
        strangers.map(|pid| everyone[&pid].1.clone()).collect()
    }

    pub(crate) fn check_witnesses(&self) {
        self.stray.iter().for_each(Witness::check);
        self.other.check();
    }

    /// Nothing is left, and nobody else was touched.
    pub(crate) fn close(mut self) {
        self.reap();
        assert_eq!(self.survivors(), [] as [String; 0], "without {:?}", self.without);
        self.check_witnesses();
        self.without_stray();
        self.trees.end(self.other_run);
        self.other.dismiss();
    }

    fn picture(&self) -> String {
        format!("without {:?}: {:#?}\n{:#?}", self.without, self.survivors(), self.trees)
    }
}

pub(crate) const TERM: Signal = Signal::TERM;

/// Every process: its parent, and its line in /proc for people to read.
pub(crate) fn everyone() -> BTreeMap<i32, (i32, String)> {
    let mut everyone = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let ppid = rest.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
        everyone.insert(pid, (ppid, format!("{name}){} {line}", &rest[..2])));
    }
    everyone
}

pub(crate) fn exec_shell(script: &str) {
    let script = CString::new(script).unwrap();
    let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null()];
    // SAFETY: the array of strings ends with a null pointer and lives until exec.
    unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
    panic!("no /bin/sh: {}", std::io::Error::last_os_error());
}

/// Declares tests, each in a world of its own.
#[macro_export]
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $ways:ident fn $name:ident($world:ident) $act:block)*) => { $(
        $(#[$attribute])*
        #[test]
        fn $name() {
            fn act($world: &mut $crate::harness::World) $act
            $crate::harness::perform(concat!(module_path!(), "::", stringify!($name)), $crate::harness::$ways, act);
        }
    )* };
}
