//! A child that does not reach exec blocks nothing, and its memory is not reused until it has exited.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use muster_spec::{Exit, Signal, SpawnStep};
use muster_sys::pollset::PollSet;
use muster_sys::reap::reap_next;
use muster_sys::signal;
use muster_sys::spawn::{Launch, Spawner, Spawning};

use crate::Test;
use crate::reaping::state;
use crate::scene::*;

pub(crate) const TESTS: &[Test] = &[
    ("a_child_stopped_before_exec_does_not_block_spawning", stopped_before_exec),
    ("a_child_killed_before_exec_has_an_outcome", killed_before_exec),
    ("a_child_that_nobody_asks_about_keeps_its_memory", forgotten_before_exec),
    ("a_signal_sent_before_exec_is_not_lost", early_signals),
    ("a_directory_on_a_dead_file_server_blocks_only_the_child", dead_file_server),
    ("a_hung_child_holds_no_pipe_of_others_open", hung_with_a_copied_table),
    ("a_poll_set_tells_which_spawns_are_settled", told_by_a_poll_set),
];

fn each(check: impl Fn(&mut Spawner)) {
    for mechanism in MECHANISMS {
        let mut spawner = spawner();
        spawner.force_mechanism(mechanism);
        check(&mut spawner);
    }
}

/// A child stopped by SIGSTOP, which cannot be blocked, before it executed `process`. It is a race, so it is repeated
/// until it is won.
fn caught(spawner: &mut Spawner, process: &muster_spec::ProcessSpec) -> Spawning {
    until("a child is stopped before it executes", || {
        let mut spawning = start(spawner, process).unwrap();
        signal::send(spawning.pid, Signal::STOP).unwrap();
        until("it is stopped", || matches!(state(spawning.pid), Some('T' | 'Z')).then_some(()));
        if spawning.outcome().is_none() {
            return Some(spawning);
        }
        let _ = signal::send(spawning.pid, Signal::KILL);
        wait_for(spawning.pid);
        None
    })
}

fn many_quick_runs(spawner: &mut Spawner) {
    let begin = Instant::now();
    for number in 0..50 {
        let number = number.to_string();
        assert_eq!(text(spawner, &program(&["/bin/echo", &number])), format!("{number}\n"));
    }
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}

fn kill(mut spawning: Spawning) -> muster_spec::SpawnError {
    signal::send(spawning.pid, Signal::KILL).unwrap();
    assert_eq!(wait_for(spawning.pid), Exit::Signal { signal: Signal::KILL, core_dumped: false });
    let error = spawning.outcome_after_exit().unwrap_err();
    assert_eq!(spawning.outcome().unwrap().unwrap_err(), error);
    error
}

fn stopped_before_exec() {
    each(|spawner| {
        let mut stopped = caught(spawner, &program(&["/bin/true"]));
        many_quick_runs(spawner);
        assert_eq!((stopped.outcome(), spawner.in_flight()), (None, 1));
        signal::send(stopped.pid, Signal::CONT).unwrap();
        assert_eq!(wait_for(stopped.pid), Exit::Code(0));
        assert_eq!((stopped.outcome(), spawner.in_flight()), (Some(Ok(())), 0));
    });
}

fn killed_before_exec() {
    each(|spawner| {
        let stopped = caught(spawner, &program(&["/bin/true"]));
        let error = kill(stopped);
        assert_eq!((error.errno, error.message.as_str()), (0, "killed before /bin/true was executed"));
    });
}

fn forgotten_before_exec() {
    each(|spawner| {
        let directory = directory();
        let told = directory.path().join("told");
        let script = format!("echo \"$0 $VALUE\" >{}", told.display());
        let mut process = program(&["/bin/sh", "-c", &script, "still here"]);
        process.environment = vec![("VALUE".into(), "and whole".into())];
        let stopped = caught(spawner, &process);
        let pid = stopped.pid;
        drop(stopped);
        // If its strings and its stack were freed, these would overwrite them.
        many_quick_runs(spawner);
        signal::send(pid, Signal::CONT).unwrap();
        assert_eq!(wait_for(pid), Exit::Code(0));
        assert_eq!(fs::read_to_string(told).unwrap(), "still here and whole\n");
        many_quick_runs(spawner);
    });
}

fn early_signals() {
    each(|spawner| {
        let before = descriptors();
        for round in 0..300_u64 {
            let mut spawning = start(spawner, &program(&["/bin/sleep", "1000"])).unwrap();
            // At any point from before the first instruction to after exec.
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(round * 2) {}
            signal::send(spawning.pid, Signal::TERM).unwrap();
            assert_eq!(wait_for(spawning.pid), Exit::Signal { signal: Signal::TERM, core_dumped: false });
            match spawning.outcome_after_exit() {
                Ok(()) => {}
                Err(error) => assert_eq!(error.message, "killed before /bin/sleep was executed"),
            }
        }
        assert_eq!(
            descriptors(),
            before,
            "what a process needed that was killed in its first instructions is still open"
        );
    });
}

/// This process's open descriptors, and what they are; of pipes, only that.
fn descriptors() -> Vec<(String, String)> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let named = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?.display().to_string();
        let kind = target.split(':').next().unwrap_or_default().to_owned();
        Some((entry.file_name().display().to_string(), kind))
    });
    // The directory that is being read.
    let mut named: Vec<_> = named.filter(|(_, kind)| !kind.starts_with("/proc/")).collect();
    named.sort();
    named
}

/// A FUSE file system whose server never answers, not even the first request.
fn dead_file_server() {
    let directory = directory();
    let Some(_mounted) = dead_mount(directory.path()) else {
        return skipped("a dead file server", "cannot mount FUSE here");
    };
    each(|spawner| {
        let mut process = program(&["/bin/true"]);
        process.directory = Some(directory.path().join("deep"));
        let mut hung = start(spawner, &process).unwrap();
        many_quick_runs_beside(spawner, &mut hung);
        let error = kill(hung);
        let directory = directory.path().join("deep");
        let message = format!("killed before /bin/true was executed, while entering directory {}", directory.display());
        assert_eq!((error.step, error.message), (SpawnStep::Chdir, message));
    });
}

/// A child whose table is a copy got what others needed at the moment, and keeps none of it open while it hangs.
fn hung_with_a_copied_table() {
    let directory = directory();
    let Some(_mounted) = dead_mount(directory.path()) else {
        return skipped("a dead file server beside programs that start", "cannot mount FUSE here");
    };
    let socket = fs::File::open("/dev/null").unwrap();
    let mut hanging = program(&["/bin/true"]);
    hanging.directory = Some(directory.path().join("deep"));
    each(|spawner| {
        let mut hung = Vec::new();
        for _ in 0..50 {
            let mut started = start(spawner, &program(&["/bin/sleep", "1000"])).unwrap();
            let passed = &[(socket.as_fd(), 7)];
            hung.push(spawner.spawn(&Launch { passed, ..launch(&hanging) }).unwrap());
            until("a program is reported that started right before one that hangs", || started.outcome()).unwrap();
            signal::send(started.pid, Signal::KILL).unwrap();
            wait_for(started.pid);
        }
        // They wait for each other in the kernel, so all of them have to be killed before one is gone.
        hung.iter().for_each(|hung| signal::send(hung.pid, Signal::KILL).unwrap());
        for _ in &hung {
            until("a killed child ends", || reap_next().unwrap());
        }
    });
}

fn many_quick_runs_beside(spawner: &mut Spawner, hung: &mut Spawning) {
    many_quick_runs(spawner);
    assert_eq!(hung.outcome(), None);
}

/// A mounted file system without a server. Dropping it unmounts it.
struct DeadMount {
    _server: fs::File,
    target: std::ffi::CString,
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        // SAFETY: the string lives through the call.
        let unmounted = unsafe { libc::umount2(self.target.as_ptr(), libc::MNT_DETACH) };
        // A second panic would end all tests.
        assert!(unmounted == 0 || std::thread::panicking());
    }
}

fn dead_mount(directory: &std::path::Path) -> Option<DeadMount> {
    use std::os::fd::AsRawFd;
    let server = fs::File::options().read(true).write(true).open("/dev/fuse").ok()?;
    let target = std::ffi::CString::new(directory.to_str()?).ok()?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
    let options = std::ffi::CString::new(options).ok()?;
    // SAFETY: the strings live through the call.
    let mounted = unsafe {
        libc::mount(c"dead".as_ptr(), target.as_ptr(), c"fuse".as_ptr(), libc::MS_NOSUID, options.as_ptr().cast())
    };
    (mounted == 0).then_some(DeadMount { _server: server, target })
}

fn told_by_a_poll_set() {
    each(|spawner| {
        let set = PollSet::new().unwrap();
        let mut flying: Vec<Option<Spawning>> = Vec::new();
        for token in 0..200_u64 {
            let command = if token % 2 == 0 { "/bin/true" } else { "/nowhere" };
            let spawning = start(spawner, &program(&[command])).unwrap();
            set.add(spawning.as_fd(), token).unwrap();
            flying.push(Some(spawning));
        }
        let mut tokens = Vec::new();
        until("all are settled", || {
            tokens.clear();
            set.ready(&mut tokens).unwrap();
            for &token in &tokens {
                let spawning = &mut flying[token as usize];
                let asked = spawning.as_mut().expect("each is reported until it is removed");
                // It may only have left the daemon's descriptor table.
                let Some(outcome) = asked.outcome() else { continue };
                assert_eq!(outcome.is_ok(), token % 2 == 0);
                set.remove(asked.as_fd()).unwrap();
                *spawning = None;
            }
            flying.iter().all(Option::is_none).then_some(())
        });
        let mut reaped = 0;
        until("all are reaped", || {
            while muster_sys::reap::reap_next().unwrap().is_some() {
                reaped += 1;
            }
            (reaped == 200).then_some(())
        });
    });
}
