//! Unusual states that the daemon may be started in: signals blocked or ignored, stray descriptors, odd limits.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use muster_spec::Exit;
use muster_sys::boot;
use muster_sys::limits::OriginalLimits;
use muster_sys::signal::{Signals, send};
use muster_sys::spawn::Spawner;

use crate::Test;
use crate::scene::*;
use crate::{background, failures};

pub(crate) const TESTS: &[Test] = &[
    ("started_with_sigchld_ignored_no_exit_is_lost", || outer("sigchld_ignored")),
    ("started_with_every_signal_blocked_or_ignored_children_are_clean", || outer("everything_blocked")),
    ("no_signal_kills_after_they_are_taken", || outer("taken")),
    ("inherited_descriptors_are_sealed", || outer("stray_descriptors")),
    ("inherited_descriptors_are_sealed_on_an_old_kernel", || outer("stray_descriptors_on_an_old_kernel")),
    ("a_million_descriptors_allowed_do_not_slow_a_spawn", || outer("a_million_descriptors")),
    ("a_raised_limit_is_not_handed_down", || outer("raised_limit")),
    ("a_subreaper_gets_the_children_of_its_children", || outer("subreaper")),
];

/// Runs the test `name` in a process started in the state that it requires.
fn outer(name: &str) {
    let status = run_inner(name, |command| {
        let odd: fn() -> io::Result<()> = match name {
            "sigchld_ignored" => || ignore([libc::SIGCHLD]),
            "everything_blocked" => || ignore(1..=64).and_then(|()| block_everything()),
            "stray_descriptors" | "stray_descriptors_on_an_old_kernel" => || duplicate_to(50),
            _ => || Ok(()),
        };
        // SAFETY: each is made of system calls only.
        unsafe { command.pre_exec(odd) };
    });
    assert!(status.success(), "{name}: {status}");
}

/// Runs this executable again for the test `name`.
pub(crate) fn run_inner(name: &str, prepare: impl FnOnce(&mut Command)) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--inner", name]);
    prepare(&mut command);
    command.status().unwrap()
}

/// The other side of [`run_inner`]: a whole process for one test.
pub(crate) fn inner(arguments: &[String]) -> ExitCode {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["sigchld_ignored"] => sigchld_ignored(),
        ["everything_blocked"] => everything_blocked(),
        ["taken"] => taken(),
        ["stray_descriptors"] => stray_descriptors(),
        ["stray_descriptors_on_an_old_kernel"] => {
            if forbid(libc::SYS_close_range) {
                stray_descriptors()
            } else {
                not_here()
            }
        }
        ["a_million_descriptors"] => a_million_descriptors(),
        ["raised_limit"] => raised_limit(),
        ["subreaper"] => subreaper(),
        ["background", how] => return background::inner(how),
        ["noexec", directory] => failures::noexec_inner(Path::new(directory)),
        ["without_privilege"] => failures::without_privilege_inner(),
        ["without_processes"] => failures::without_processes_inner(),
        ["without_descriptors"] => failures::without_descriptors_inner(),
        other => panic!("no such test: {other:?}"),
    }
    ExitCode::SUCCESS
}

fn ignore(signals: impl IntoIterator<Item = libc::c_int>) -> io::Result<()> {
    for signal in signals {
        // The C libraries refuse 32 and 33, so this calls the kernel directly. Its structure begins with the handler;
        // SIG_IGN is 1.
        let action = [1_u64, 0, 0, 0];
        // SAFETY: the kernel reads 32 bytes of `action`. KILL and STOP are refused.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0, 8) };
    }
    Ok(())
}

fn block_everything() -> io::Result<()> {
    // SAFETY: the kernel reads 8 bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &u64::MAX, 0, 8) };
    Ok(())
}

fn duplicate_to(number: libc::c_int) -> io::Result<()> {
    // SAFETY: dup2 touches no memory.
    unsafe { libc::dup2(0, number) };
    Ok(())
}

fn sigchld_ignored() {
    boot::take_signals();
    let mut spawner = spawner();
    for _ in 0..20 {
        let (_, exit) = run(&mut spawner, &program(&["/bin/sh", "-c", "exit 3"])).unwrap();
        assert_eq!(exit, Exit::Code(3));
    }
}

fn everything_blocked() {
    boot::take_signals();
    boot::take_signals();
    for mechanism in MECHANISMS {
        let mut spawner = spawner();
        spawner.force_mechanism(mechanism);
        let status = text(&mut spawner, &program(&["/bin/grep", "^Sig[BI]", "/proc/self/status"]));
        assert_eq!(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    }
    assert_every_signal_is_read();
}

fn taken() {
    boot::take_signals();
    assert_every_signal_is_read();
}

fn assert_every_signal_is_read() {
    let signals = Signals::new().unwrap();
    while signals.next().unwrap().is_some() {}
    let unblockable = [libc::SIGKILL, libc::SIGSTOP];
    let sent = (1..=64).filter(|number| !unblockable.contains(number));
    for number in sent.clone() {
        send(muster_sys::signal::Pid::this(), muster_spec::Signal::from_number(number).unwrap()).unwrap();
    }
    let mut read = Vec::new();
    while let Some(received) = signals.next().unwrap() {
        assert_eq!(received.sender_pid, Some(muster_sys::signal::Pid::this()));
        read.push(received.signal.number());
    }
    read.sort_unstable();
    // Four of them cancel their opposite while they are pending: signal(7). PIPE is ignored.
    let lost = [libc::SIGPIPE, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGCONT];
    let expected: Vec<i32> = sent.filter(|number| !lost.contains(number)).collect();
    read.retain(|number| !lost.contains(number));
    assert_eq!(read, expected);
}

fn stray_descriptors() {
    let is_sealed = |number| {
        // SAFETY: F_GETFD touches no memory.
        unsafe { libc::fcntl(number, libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
    };
    let late = File::open("/dev/null").unwrap();
    // SAFETY: F_SETFD touches no memory.
    unsafe { libc::fcntl(late.as_raw_fd(), libc::F_SETFD, 0) };
    assert!(!is_sealed(50) && !is_sealed(late.as_raw_fd()));
    boot::seal_inherited_descriptors();
    assert!(is_sealed(50) && is_sealed(late.as_raw_fd()));
    assert!((0..3).all(|number| !is_sealed(number)));
}

/// Makes a system call fail with ENOSYS from now on, as on a kernel that does not know it.
fn forbid(call: libc::c_long) -> bool {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let mut filter = [
        // The number of the call is the first word.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, no_such_call),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions live through the calls.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    }
}

fn not_here() {
    skipped("an old kernel", "no seccomp filters here");
}

fn a_million_descriptors() {
    const MILLION: u64 = 1_048_576;
    let set = |number| {
        let limit = libc::rlimit { rlim_cur: number, rlim_max: number };
        // SAFETY: `limit` lives through the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 }
    };
    let hard = OriginalLimits::current().unwrap().nofile_hard;
    if !set(MILLION) {
        eprintln!("a million descriptors are more than the hard limit allows: {hard} are tried");
        assert!(set(hard));
    }
    boot::take_signals();
    boot::seal_inherited_descriptors();
    let allowed = OriginalLimits::current().unwrap();
    for mechanism in MECHANISMS {
        let measure = || {
            [256, allowed.nofile_soft].map(|soft| {
                let limits = OriginalLimits { nofile_soft: soft, ..allowed };
                let mut spawner = Spawner::new(std::env::vars_os().collect(), limits, 0o022).unwrap();
                spawner.force_mechanism(mechanism);
                quickest_of_a_hundred(&mut spawner)
            })
        };
        // A loop over all numbers takes many milliseconds, every time; a busy machine slows some measurements down.
        let is_slower = |[few, many]: &[Duration; 2]| *many >= *few * 2 + Duration::from_millis(2);
        let slower: Vec<[Duration; 2]> = std::iter::repeat_with(measure).take_while(is_slower).take(5).collect();
        assert!(slower.len() < 5, "{mechanism:?}: {slower:?}");
    }
}

fn quickest_of_a_hundred(spawner: &mut Spawner) -> Duration {
    let directory = directory();
    let process = program(&[instant(directory.path()).to_str().unwrap()]);
    let once = || {
        let begin = Instant::now();
        let spawning = start(spawner, &process).unwrap();
        assert_eq!(wait_for(spawning.pid), Exit::Code(42));
        begin.elapsed()
    };
    std::iter::repeat_with(once).take(100).min().unwrap()
}

fn raised_limit() {
    let hard = OriginalLimits::current().unwrap().nofile_hard;
    let low = libc::rlimit { rlim_cur: 256, rlim_max: hard };
    // SAFETY: `low` lives through the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &low) }, 0);
    let original = boot::raise_descriptor_limit().unwrap();
    assert_eq!((original.nofile_soft, original.nofile_hard), (256, hard));
    let raised = OriginalLimits::current().unwrap();
    assert_eq!((raised.nofile_soft, raised.nofile_hard), (hard.min(1 << 20), hard));
    // More descriptors are open than the child may have, and its score, which takes a descriptor, can still be set.
    let open: Vec<File> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
    let mut spawner = Spawner::new(std::env::vars_os().collect(), original, 0o022).unwrap();
    let mut process = program(&["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    let expected = format!("256\n{hard}\n");
    assert_eq!(text(&mut spawner, &process), expected);
    process.oom_score_adj = Some(1);
    assert_eq!(text(&mut spawner, &process), expected);
    drop(open);
}

fn subreaper() {
    boot::take_signals();
    boot::become_subreaper().unwrap();
    let mut spawner = spawner();
    let spawning = start(&mut spawner, &program(&["/bin/sh", "-c", "sh -c 'read x </dev/zero; exit 7' & exit 0"]));
    let main = spawning.unwrap().pid;
    assert_eq!(wait_for(main), Exit::Code(0));
    // It is reparented to this process now, so it is found below it, exited and reaped.
    let children = format!("/proc/self/task/{}/children", std::process::id());
    let orphan = until("the orphan is adopted", || {
        std::fs::read_to_string(&children).unwrap().trim().parse().ok().map(muster_sys::signal::Pid)
    });
    send(orphan, muster_spec::Signal::KILL).unwrap();
    wait_for(orphan);
}
