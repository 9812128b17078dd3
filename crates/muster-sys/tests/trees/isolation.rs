//! A separate world for each test.
//!
//! A whole process adopts orphans, so tests in one process would adopt each other's. A test executes itself again, and
//! that process forks the world, which then has one thread, as the daemon has. It stays outside with a witness.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

use muster_sys::signal::Pid;

use crate::processes::{below, everyone, fork, sleep_indefinitely};
use crate::witness::Witness;
use crate::world::World;

const SCENARIO: &str = "MUSTER_TREES_SCENARIO";

/// Features that the world lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    Tags,
    Pidfds,
    ChildrenLists,
    Proc,
}

/// The configurations in which every guarantee holds.
pub(crate) const ALL_WAYS: &[Without] = &[Without::Nothing, Without::Tags, Without::Pidfds, Without::ChildrenLists];

/// The usual configuration alone.
pub(crate) const WITH_ALL_THERE_IS: &[Without] = &[Without::Nothing];

/// Only ancestry, numbers, marker and cgroup show which run a process belongs to.
pub(crate) const WITHOUT_TAGS: &[Without] = &[Without::Tags];

/// Only process groups are available.
pub(crate) const WITHOUT_PROC: &[Without] = &[Without::Proc];

/// Configurations in which a process is recognised even if only its tag is left.
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
        let _ = writeln!(std::io::stderr(), "{skipped}");
    }
    assert!(output.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", output.status);
}

fn perform_here(without: Without, act: fn(&mut World)) {
    // Orphans of a failed world are reparented to this process.
    muster_sys::boot::become_subreaper().unwrap();
    let outsider = Witness::new("outside of the daemon");
    let world = fork(|| {
        // SAFETY: takes numbers; a world that hangs is killed by it, and its parent reports it.
        unsafe {
            libc::setsid();
            libc::alarm(120);
        }
        muster_sys::boot::become_subreaper().unwrap();
        play(without, act);
    });
    let status = wait_for_end(world);
    outsider.check();
    outsider.dismiss();
    end_everyone_below();
    assert_eq!(status, 0, "the world without {without:?} failed");
}

/// The same, once, with the world as PID 1 of a new pid namespace, and a visitor that enters it from outside.
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
        // SAFETY: takes numbers. No other process can kill the PID 1 of a namespace that hangs.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        mount_own_proc();
        play(without, act);
    });
    // Enters the namespace from outside, as `docker exec` does.
    let visitor = fork(|| sleep_indefinitely());
    // SAFETY: takes a number.
    unsafe { libc::alarm(120) };
    let status = wait_for_ends(world, visitor);
    outsider.check();
    outsider.dismiss();
    assert_eq!(status, 0, "the world in a namespace without {without:?} failed");
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

fn play(without: Without, act: fn(&mut World)) {
    let mut world = World::new(without);
    act(&mut world);
    world.close();
}

/// How a child ended, as waitpid(2) reports it.
pub(crate) fn wait_for_end(child: Pid) -> i32 {
    let mut status = 0;
    // SAFETY: `status` has room for what is written.
    assert_eq!(unsafe { libc::waitpid(child.0, &mut status, 0) }, child.0);
    status
}

/// Reaps the first to exit first: the exit of a PID 1 waits until all processes in its namespace were reaped.
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

/// Reports that a test could not be run here, and why. Written past the test runner's capture: never silently.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Declares tests, each in a world of its own.
#[macro_export]
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $ways:ident fn $name:ident($world:ident) $act:block)*) => { $(
        $(#[$attribute])*
        #[test]
        fn $name() {
            fn act($world: &mut $crate::world::World) $act
            $crate::isolation::perform(concat!(module_path!(), "::", stringify!($name)), $crate::isolation::$ways, act);
        }
    )* };
}
