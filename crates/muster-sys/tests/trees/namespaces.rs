//! As PID 1, and with recycled pids: in a separate pid namespace, where the next pid can be chosen.

use std::fs;

use muster_spec::{Signal, SignalScope};
use muster_sys::signal::Pid;

use crate::isolation::{Without, perform_in_new_namespace};
use crate::processes::exec_shell;
use crate::witness::Witness;
use crate::world::{GRACE, TERM, World};

#[test]
fn pid_1_treats_processes_from_outside_as_strays() {
    perform_in_new_namespace("namespaces::pid_1_treats_processes_from_outside_as_strays", Without::Nothing, |world| {
        assert!(world.trees.abilities().is_pid_1);
        let run = world.run("trap '' TERM; (setsid sleep 1000 &); sleep 1000 & wait");
        world.wait_for(run, 3, 2);
        world.wait_until("the visitor is there", |world| world.trees.strays().len() == 2);
        world.without_stray();
        let visitor = world.trees.strays();
        assert_eq!(visitor[0].ppid, Pid(0), "{visitor:?}");
        assert_eq!(world.trees.signal_strays(TERM), 1);
        world.wait_until("the visitor is gone", |world| world.trees.strays().is_empty());
        assert_eq!(world.trees.processes(run).len(), 3, "a run is spared, its orphan too");
        assert_eq!(world.trees.signal_strays(Signal::KILL), 0);
        world.kill(run);
    });
}

/// As /proc reports it, in hundredths of a second.
fn uptime() -> String {
    let told = fs::read_to_string("/proc/uptime").unwrap();
    told.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_recycled_pid_is_a_stranger() {
    perform_in_new_namespace("namespaces::a_recycled_pid_is_a_stranger", Without::Tags, |world| {
        // Two members are known by their ancestry, one of them under its parent, and then both pids are reused.
        let run = world.run("sleep 1000 & read line </dev/null; (sleep 1000 & exec sleep 1000) & wait");
        world.wait_for(run, 4, 3);
        world.trees.observe(run);
        let processes = world.trees.processes(run);
        let (member, below) = (processes[1].pid, processes[3].pid);
        // A process is distinguished from a later one with its pid by its start time, which /proc shows in hundredths
        // of a second.
        let seen = uptime();
        world.wait_until("the clock ticks", |_| uptime() != seen);
        for pid in [below, member] {
            // SAFETY: kill takes numbers.
            unsafe { libc::kill(pid.0, libc::SIGKILL) };
            world.wait_until("it is reaped", |world| {
                world.trees.processes(run).iter().all(|left| left.pid != pid || left.state.name() == "zombie")
            });
        }
        // The shell has reaped its own child.
        world.wait_until("the pid is free", |_| !fs::exists(format!("/proc/{member}")).unwrap());
        let stranger = with_pid(member, || Witness::new("with a recycled pid"));
        assert_eq!(stranger.pid, member);
        assert!(world.trees.strays().iter().any(|stray| stray.pid == member));
        assert!(world.trees.processes(run).iter().all(|process| process.pid != member));
        world.kill(run);
        stranger.check();
        dismiss(world, stranger);
    });
}

#[test]
fn the_number_of_a_dead_main_process_may_be_given_away() {
    let name = "namespaces::the_number_of_a_dead_main_process_may_be_given_away";
    perform_in_new_namespace(name, Without::Tags, |world| {
        // Only a daemon in its own session is left, so no process has the number of the main process.
        let run = world.run("setsid sleep 1000 & sleep 0.1; exit 0");
        let leader = world.leader(run);
        world.wait_until("the leader is dead", |world| world.is_leader_dead(run));
        world.wait_for(run, 1, 1);
        let stranger = with_pid(leader, || Witness::new("with the pid of a dead main process"));
        assert_eq!(stranger.pid, leader);
        assert_eq!(world.trees.gone(&[run]), []);
        for scope in [SignalScope::Main, SignalScope::Group] {
            world.trees.stop(run, Signal::USR1, scope).unwrap();
        }
        world.kill(run);
        stranger.check();
        // A new run may get the number, too.
        dismiss(world, stranger);
        let mut again = None;
        with_pid(leader, || again = Some(world.run("exec sleep 1000")));
        let again = again.unwrap();
        assert_eq!(world.leader(again), leader);
        world.wait_for(again, 1, 1);
        world.kill(again);
    });
}

#[test]
fn a_process_that_proc_hides_is_ended_all_the_same() {
    let name = "namespaces::a_process_that_proc_hides_is_ended_all_the_same";
    perform_in_new_namespace(name, Without::Nothing, |world| {
        hide_other_users();
        for scope in [SignalScope::Main, SignalScope::Group, SignalScope::Tree] {
            let run = world.run_process(|| {
                // SAFETY: takes a number.
                assert_eq!(unsafe { libc::setuid(65534) }, 0);
                exec_shell("sleep 1000 & (setsid sleep 1000 &); wait");
            });
            let leader = world.leader(run);
            world.wait_until("it is hidden", |_| !fs::exists(format!("/proc/{leader}")).unwrap());
            world.trees.stop(run, TERM, scope).unwrap();
            world.finish(run, std::time::Instant::now() + GRACE);
        }
    });
}

/// As in a container without CAP_SYS_PTRACE whose /proc shows each user only their own.
fn hide_other_users() {
    let nothing = std::ptr::null();
    // SAFETY: every string ends with a NUL, and the capability sets live through the calls.
    unsafe {
        let flags = libc::MS_REMOUNT;
        let options = c"hidepid=2,gid=12345".as_ptr().cast();
        assert_eq!(libc::mount(nothing, c"/proc".as_ptr(), nothing, flags, options), 0);
        // From <linux/capability.h>: version 3, this process; effective, permitted, inheritable, low words first.
        let header = [0x2008_0522_u32, 0];
        let mut sets = [0_u32; 6];
        assert_eq!(libc::syscall(libc::SYS_capget, &header, &mut sets), 0);
        const PTRACE: u32 = 1 << 19;
        sets[0] &= !PTRACE;
        sets[1] &= !PTRACE;
        assert_eq!(libc::syscall(libc::SYS_capset, &header, &sets), 0);
    }
}

/// Makes the kernel give the next process this pid: proc_sys_kernel(5).
fn with_pid<T>(pid: Pid, make: impl FnOnce() -> T) -> T {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid.0 - 1).to_string()).unwrap();
    make()
}

fn dismiss(world: &mut World, witness: Witness) {
    world.trees.reaped(witness.pid);
    witness.dismiss();
}
