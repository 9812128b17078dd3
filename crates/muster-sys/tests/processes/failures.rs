//! Makes every step of a spawn fail, one after the other, and checks the message for the user.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use muster_spec::{Exit, ProcessSpec, Resource, Rlimit, Signal, SpawnError, SpawnStep};
use muster_sys::limits::OriginalLimits;
use muster_sys::signal;
use muster_sys::spawn::Spawner;

use crate::Test;
use crate::boot;
use crate::scene::*;

pub(crate) const TESTS: &[Test] = &[
    ("each_reason_not_to_execute_is_told_apart", exec),
    ("each_reason_not_to_enter_a_directory_is_told_apart", chdir),
    ("an_unknown_user_or_group_is_named", lookups),
    ("each_limit_is_called_by_its_name", limits),
    ("what_the_kernel_cannot_take_is_refused_before", unfit),
    ("a_user_may_be_refused_what_root_is_not", refused_to_a_user),
    ("a_file_system_may_forbid_executing", noexec),
    ("without_privilege_each_wish_for_it_is_refused", without_privilege),
    ("without_descriptors_the_daemon_says_so", without_descriptors),
    ("without_processes_the_daemon_says_so", without_processes),
    ("no_message_contains_an_environment_value", secrets),
];

/// Checks one failure with both mechanisms.
fn check(process: &ProcessSpec, step: SpawnStep, errno: i32, message: &str) {
    for mechanism in MECHANISMS {
        let mut spawner = spawner();
        spawner.force_mechanism(mechanism);
        let expected = SpawnError { step, errno, message: message.to_owned() };
        assert_eq!(error(&mut spawner, process), expected, "{mechanism:?}");
    }
}

fn check_exec(command: &[&str], errno: i32, message: &str) {
    check(&program(command), SpawnStep::Exec, errno, message);
}

fn exec() {
    let directory = directory();
    let at = |name: &str| format!("{}/{name}", directory.path().display());
    let make = |name: &str, content: &[u8], mode| file(directory.path(), name, content, mode);

    check_exec(&[&at("postgre")], libc::ENOENT, &format!("{}: no such file", at("postgre")));
    let mut bare = program(&["postgre"]);
    bare.environment = vec![("PATH".into(), "/usr/bin:/nowhere".into())];
    check(&bare, SpawnStep::Exec, libc::ENOENT, "postgre: not found in PATH (/usr/bin:/nowhere)");
    let mut relative = program(&["./postgre"]);
    relative.directory = Some("/usr".into());
    check(&relative, SpawnStep::Exec, libc::ENOENT, "./postgre: no such file in /usr");

    check_exec(&["/usr/bin/"], libc::EACCES, "/usr/bin/: is a directory");
    let plain = make("plain", b"#!/bin/sh\n", 0o640);
    check_exec(&[&plain], libc::EACCES, &format!("{plain}: permission denied: not executable (mode 0640)"));
    let mut found = program(&["plain"]);
    found.environment = vec![("PATH".into(), format!("/nowhere:{}", directory.path().display()))];
    check(&found, SpawnStep::Exec, libc::EACCES, &format!("{plain}: permission denied: not executable (mode 0640)"));

    let no_line = make("text", b"echo hello\n", 0o755);
    let message = format!("{no_line}: not an executable: no #! line, and no program of this machine");
    check_exec(&[&no_line], libc::ENOEXEC, &message);
    let empty = make("empty", b"", 0o755);
    check_exec(&[&empty], libc::ENOEXEC, &format!("{empty}: not an executable: the file is empty or cannot be read"));
    let blank = make("blank", b"#! \n", 0o755);
    check_exec(&[&blank], libc::ENOEXEC, &format!("{blank}: not an executable: its #! line names no interpreter"));
    let foreign = make("foreign", &foreign_elf(), 0o755);
    let message = "not an executable for this machine: built for another architecture, or damaged";
    check_exec(&[&foreign], libc::ENOEXEC, &format!("{foreign}: {message}"));

    let script = make("script", b"#! /usr/bin/pyhton3 -u\n", 0o755);
    check_exec(&[&script], libc::ENOENT, &format!("{script}: its interpreter /usr/bin/pyhton3 does not exist"));
    bare = program(&["script"]);
    bare.environment = vec![("PATH".into(), directory.path().to_str().unwrap().into())];
    let message = format!("{script}: its interpreter /usr/bin/pyhton3 does not exist");
    check(&bare, SpawnStep::Exec, libc::ENOENT, &message);
    let windows = make("windows", b"#!/bin/sh\r\necho\r\n", 0o755);
    let message = "its interpreter /bin/sh\\r does not exist: the #! line ends with a carriage return";
    check_exec(&[&windows], libc::ENOENT, &format!("{windows}: {message}"));
    if let Some((content, loader)) = foreign_loader() {
        let loose = make("loose", &content, 0o755);
        let message = format!("{loose}: its interpreter {loader} does not exist: built for another C library?");
        check_exec(&[&loose], libc::ENOENT, &message);
    }

    let long = "x".repeat(3 << 20);
    let mut spawner = spawner_with(vec![("A".into(), "1".into())]);
    let too_long = error(&mut spawner, &program(&["/bin/true", &long]));
    assert_eq!((too_long.step, too_long.errno), (SpawnStep::Exec, libc::E2BIG));
    assert_eq!(too_long.message, "/bin/true: argument list and environment too long: 3145743 bytes");

    let busy = make("busy", b"#!/bin/sh\n", 0o755);
    let writer = File::options().append(true).open(&busy).unwrap();
    check_exec(&[&busy], libc::ETXTBSY, &format!("{busy}: is being written to (text file busy)"));
    drop(writer);

    check_exec(&["/etc/passwd/x"], libc::ENOTDIR, "/etc/passwd/x: a part of the path is not a directory");
    symlink("circle", at("circle")).unwrap();
    let message = "too many symbolic links, or interpreters of interpreters";
    check_exec(&[&at("circle")], libc::ELOOP, &format!("{}: {message}", at("circle")));
    let long = format!("/{}", "n".repeat(300));
    check_exec(&[&long], libc::ENAMETOOLONG, &format!("{long}: the path is too long"));
}

fn foreign_elf() -> Vec<u8> {
    let mut file = fs::read("/bin/true").unwrap();
    // The machine: none.
    file[18..20].copy_from_slice(&[0, 0]);
    file
}

/// A program whose dynamic loader is missing, such as a glibc program in a musl image.
fn foreign_loader() -> Option<(Vec<u8>, String)> {
    let mut file = fs::read("/bin/true").unwrap();
    let at = file.windows(4).position(|bytes| bytes == b"/lib")?;
    let end = at + file[at..].iter().position(|&byte| byte == 0)?;
    file[at + 1] = b'n';
    let loader = String::from_utf8(file[at..end].to_vec()).ok()?;
    Some((file, loader))
}

fn chdir() {
    for (directory, errno, why) in [
        ("/nowhere", libc::ENOENT, "no such directory"),
        ("/etc/passwd", libc::ENOTDIR, "not a directory"),
        ("/etc/passwd/x", libc::ENOTDIR, "not a directory"),
    ] {
        let mut process = program(&["/bin/true"]);
        process.directory = Some(directory.into());
        check(&process, SpawnStep::Chdir, errno, &format!("directory {directory}: {why}"));
    }
}

fn lookups() {
    let mut process = program(&["/bin/true"]);
    for (user_name, group, message) in [
        ("webb", None, "no such user: \"webb\""),
        ("root", Some("wheeel"), "no such group: \"wheeel\""),
        ("4294967295", None, "not a user or group number: 4294967295"),
    ] {
        process.user = user(user_name, group);
        check(&process, SpawnStep::User, 0, message);
    }
    process.user = None;
    process.groups = Some(vec!["root".into(), "wheeel".into()]);
    check(&process, SpawnStep::User, 0, "no such group: \"wheeel\"");
}

fn limits() {
    for &resource in Resource::ALL {
        let mut process = program(&["/bin/true"]);
        process.rlimits = vec![Rlimit { resource, soft: Some(2), hard: Some(1) }];
        let message = format!("rlimit {} = 2: the soft limit is above the hard limit", resource.name());
        check(&process, SpawnStep::Rlimit, libc::EINVAL, &message);
    }
    let mut process = program(&["/bin/true"]);
    process.oom_score_adj = Some(1001);
    let message = "oom_score_adj 1001: not between -1000 and 1000";
    check(&process, SpawnStep::OomScoreAdj, libc::EINVAL, message);
}

fn unfit() {
    let refused = |process: &ProcessSpec, message: &str| {
        check(process, SpawnStep::Prepare, libc::EINVAL, message);
    };
    refused(&program(&[]), "the command is empty");
    refused(&program(&[""]), "the command is empty");
    refused(&program(&["/bin/true", "a\0b"]), "argument 1 of the command contains a NUL byte");
    let mut process = program(&["/bin/true"]);
    process.environment = vec![("KEY".into(), "a\0b".into())];
    refused(&process, "the value of environment variable \"KEY\" contains a NUL byte");
    process.environment = vec![("K=Y".into(), "a".into())];
    refused(&process, "not a name of an environment variable: \"K=Y\"");
    process.environment = Vec::new();
    process.directory = Some("/a\0b".into());
    refused(&process, "the directory contains a NUL byte");
}

fn refused_to_a_user() {
    if !is_root() {
        return skipped("permissions of another user", "needs root");
    }
    let directory = directory();
    let private = directory.path().join("private");
    fs::create_dir(&private).unwrap();
    file(&private, "tool", b"#!/bin/sh\n", 0o755);
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let own = file(directory.path(), "own", b"#!/bin/sh\n", 0o700);
    let tool = private.join("tool").display().to_string();
    let private = private.display().to_string();

    let as_stranger = |command: &str| {
        let mut process = program(&[command]);
        process.user = user("4242", Some("4242"));
        process
    };
    let message = format!("{tool}: permission denied: a directory of the path cannot be searched by user \"4242\"");
    check_copied(&as_stranger(&tool), SpawnStep::Exec, libc::EACCES, &message);
    let message = format!("{own}: permission denied to user \"4242\" (mode 0700)");
    check_copied(&as_stranger(&own), SpawnStep::Exec, libc::EACCES, &message);
    let mut inside = as_stranger("/bin/true");
    inside.directory = Some(private.clone().into());
    let message = format!("directory {private}: permission denied to user \"4242\"");
    check_copied(&inside, SpawnStep::Chdir, libc::EACCES, &message);
    let mut crowded = as_stranger("/bin/true");
    crowded.rlimits = vec![Rlimit { resource: Resource::Nproc, soft: Some(0), hard: Some(0) }];
    // The kernel counts existing processes, so there must be one.
    let mut spawner = spawner();
    let mut sleeper = as_stranger("/bin/sleep");
    sleeper.command.push("1000".into());
    let mut first = start(&mut spawner, &sleeper).unwrap();
    until("the user has a process", || first.outcome()).unwrap();
    let second = until("there is an outcome", || {
        let mut spawning = start(&mut spawner, &crowded).unwrap();
        assert_eq!(wait_for(spawning.pid), Exit::Code(126));
        spawning.outcome()
    });
    let message = "/bin/true: the limit of processes of user \"4242\" is reached (RLIMIT_NPROC)".to_owned();
    assert_eq!(second, Err(SpawnError { step: SpawnStep::Exec, errno: libc::EAGAIN, message }));
    signal::send(first.pid, Signal::KILL).unwrap();
    wait_for(first.pid);
}

/// Like [`check`], with the mechanism that the daemon chooses for such a program.
fn check_copied(process: &ProcessSpec, step: SpawnStep, errno: i32, message: &str) {
    let expected = SpawnError { step, errno, message: message.to_owned() };
    assert_eq!(error(&mut spawner(), process), expected);
}

fn noexec() {
    if !is_root() {
        return skipped("a file system mounted noexec", "needs root");
    }
    let directory = directory();
    let path = directory.path().to_owned();
    let status = boot::run_inner("noexec", |command| {
        command.arg(&path);
    });
    assert!(status.success(), "{status}");
}

/// In a separate process with private mounts.
pub(crate) fn noexec_inner(directory: &Path) {
    let target = std::ffi::CString::new(directory.to_str().unwrap()).unwrap();
    let nothing = std::ptr::null();
    // SAFETY: the strings live through the calls.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(nothing, c"/".as_ptr(), nothing, libc::MS_REC | libc::MS_PRIVATE, nothing.cast()) == 0
            && libc::mount(c"t".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), libc::MS_NOEXEC, nothing.cast()) == 0
    };
    if !mounted {
        return skipped("a file system mounted noexec", "cannot mount here");
    }
    let tool = file(directory, "tool", b"#!/bin/sh\n", 0o755);
    let message = format!("{tool}: permission denied: its file system is mounted noexec");
    check_exec(&[&tool], libc::EACCES, &message);
}

fn without_privilege() {
    if !is_root() {
        return without_privilege_inner();
    }
    let status = boot::run_inner("without_privilege", |command| {
        use std::os::unix::process::CommandExt;
        command.uid(4242).gid(4242);
    });
    assert!(status.success(), "{status}");
}

pub(crate) fn without_privilege_inner() {
    // SAFETY: geteuid cannot fail and touches no memory.
    let own = unsafe { libc::geteuid() };
    let refused = |process: &ProcessSpec, step, errno, message: &str| check(process, step, errno, message);
    let mut process = program(&["/bin/true"]);
    process.user = user("0", Some("0"));
    let message = "user \"0\": cannot take groups 0: not permitted: the daemon runs without privilege (CAP_SETGID)";
    refused(&process, SpawnStep::User, libc::EPERM, message);
    process.user = None;
    process.groups = Some(vec!["5".into()]);
    let message = "cannot take groups 5: not permitted: the daemon runs without privilege (CAP_SETGID)";
    refused(&process, SpawnStep::User, libc::EPERM, message);

    let mut process = program(&["/bin/true"]);
    process.nice = Some(-5);
    let message = "nice -5: needs privilege (CAP_SYS_NICE or a higher RLIMIT_NICE)";
    refused(&process, SpawnStep::Nice, libc::EACCES, message);
    process.nice = None;
    process.oom_score_adj = Some(-500);
    let message = "oom_score_adj -500: lowering it needs privilege (CAP_SYS_RESOURCE)";
    refused(&process, SpawnStep::OomScoreAdj, libc::EACCES, message);
    process.oom_score_adj = None;
    process.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: Some(1), hard: None }];
    let message = "rlimit nofile = unlimited: raising the hard limit needs privilege (CAP_SYS_RESOURCE) and ends at \
                   fs.nr_open";
    refused(&process, SpawnStep::Rlimit, libc::EPERM, message);

    // Its own user is allowed, with and without a group.
    let mut process = program(&["/usr/bin/id", "-u"]);
    for group in [None, Some(own.to_string())] {
        process.user = user(&own.to_string(), group.as_deref());
        assert_eq!(text(&mut spawner(), &process), format!("{own}\n"));
    }
}

fn without_descriptors() {
    let status = boot::run_inner("without_descriptors", |_| {});
    assert!(status.success(), "{status}");
}

pub(crate) fn without_descriptors_inner() {
    let mut spawner = spawner();
    assert_eq!(text(&mut spawner, &program(&["/bin/true"])), "");
    let hard = OriginalLimits::current().unwrap().nofile_hard;
    let few = libc::rlimit { rlim_cur: 64, rlim_max: hard };
    // SAFETY: `few` lives through the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) }, 0);
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let Err(error) = start(&mut spawner, &program(&["/bin/true"])) else { panic!("it was spawned") };
    assert_eq!((error.step, error.errno), (SpawnStep::Prepare, libc::EMFILE));
    assert!(error.message.ends_with(": too many open files in the daemon (RLIMIT_NOFILE)"), "{error}");
    drop(taken);
    assert_eq!(text(&mut spawner, &program(&["/bin/true"])), "");
}

fn without_processes() {
    let status = boot::run_inner("without_processes", |command| {
        use std::os::unix::process::CommandExt;
        if is_root() {
            command.uid(4243).gid(4243);
        }
    });
    assert!(status.success(), "{status}");
}

pub(crate) fn without_processes_inner() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` lives through the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &none) }, 0);
    for mechanism in MECHANISMS {
        let mut spawner = spawner();
        spawner.force_mechanism(mechanism);
        let Err(error) = start(&mut spawner, &program(&["/bin/true"])) else { panic!("it was spawned") };
        let message = "cannot make a process: the limit of processes is reached (pids cgroup, RLIMIT_NPROC or pid_max)";
        assert_eq!(error, SpawnError { step: SpawnStep::Fork, errno: libc::EAGAIN, message: message.to_owned() });
    }
}

fn secrets() {
    let fails_somehow = |change: &dyn Fn(&mut ProcessSpec)| {
        let mut process = program(&["/nowhere/tool"]);
        process.environment = vec![("PASSWORD".into(), "hunter2".into())];
        change(&mut process);
        process
    };
    let mut spawner: Spawner = spawner_with(vec![("TOKEN".into(), "hunter2".into())]);
    for process in [
        fails_somehow(&|_| {}),
        fails_somehow(&|process| process.command = vec!["tool".into()]),
        fails_somehow(&|process| process.directory = Some("/nowhere".into())),
        fails_somehow(&|process| process.environment[0].1.push('\0')),
        fails_somehow(&|process| process.environment.push(("BIG".into(), "hunter2".repeat(1 << 20)))),
        fails_somehow(&|process| process.user = user("nobodyy", None)),
    ] {
        let error = error(&mut spawner, &process);
        assert!(!error.message.contains("hunter2"), "{error}");
    }
}
