//! The environment of a child, which the documents call a clean slate.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use muster_spec::{Exit, Resource, Rlimit};
use muster_sys::fd;
use muster_sys::pty;
use muster_sys::signal::Pid;
use muster_sys::spawn::{Launch, Spawner, Stdio};

use crate::Test;
use crate::scene::*;

pub(crate) const TESTS: &[Test] = &[
    ("a_child_has_no_signal_blocked_and_none_ignored", no_signal_is_blocked_or_ignored),
    ("a_child_has_stdin_stdout_stderr_and_nothing_else", three_descriptors),
    ("stdin_is_empty", stdin_is_empty),
    ("stdout_and_stderr_may_be_swapped", stdout_and_stderr_may_be_swapped),
    ("a_child_leads_its_own_session_and_group", own_session),
    ("umask_directory_nice_and_oom_score_are_as_configured", settings),
    ("limits_are_as_configured_and_descriptors_as_they_were", limits),
    ("a_child_wears_the_mark_of_its_run_unless_it_is_configured_otherwise", tagged),
    ("a_child_gets_further_descriptors_under_their_numbers_and_no_others", passed_descriptors),
    ("a_child_finds_its_own_pid_in_its_environment", own_pid),
    ("the_daemon_keeps_its_own_settings", the_daemon_is_untouched),
    ("environment_layers_replace_each_other_and_bytes_pass_through", environment),
    ("arguments_pass_through_as_they_are", arguments),
    ("a_bare_command_is_found_in_the_programs_own_path", path_search),
    ("a_relative_command_is_relative_to_the_programs_directory", relative_command),
    ("a_user_gets_its_ids_groups_and_variables", user_and_groups),
    ("another_user_can_open_its_stdout", another_user_can_open_its_stdout),
    ("a_child_has_its_terminal_as_the_controlling_one", terminal),
];

fn each(check: impl Fn(&mut Spawner)) {
    for mechanism in MECHANISMS {
        let mut spawner = spawner();
        spawner.force_mechanism(mechanism);
        check(&mut spawner);
    }
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

fn no_signal_is_blocked_or_ignored() {
    each(|spawner| {
        let status = text(spawner, &program(&["/bin/cat", "/proc/self/status"]));
        for set in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
            assert_eq!(field(&status, set), "0000000000000000", "{set}");
        }
    });
}

fn three_descriptors() {
    each(|spawner| {
        let inherited = File::open("/dev/zero").unwrap();
        // A careless library might do this.
        // SAFETY: the descriptor is open; F_SETFD touches no memory.
        unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&inherited), libc::F_SETFD, 0) };
        let listed = text(spawner, &program(&["/bin/sh", "-c", "ls /proc/$$/fd; :"]));
        assert_eq!(listed, "0\n1\n2\n");
    });
}

fn stdin_is_empty() {
    each(|spawner| {
        assert_eq!(text(spawner, &program(&["/bin/cat"])), "");
        assert_eq!(text(spawner, &program(&["/usr/bin/readlink", "/proc/self/fd/0"])), "/dev/null\n");
    });
}

fn stdout_and_stderr_may_be_swapped() {
    // The daemon's own 1 and 2, crossed over.
    each(|spawner| {
        let process = program(&[
            "/bin/sh",
            "-c",
            "test \"$(readlink /proc/$$/fd/1)\" = \"$OWN_2\" && \
                                 test \"$(readlink /proc/$$/fd/2)\" = \"$OWN_1\"",
        ]);
        let own = |number: u32| std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        let (own_1, own_2) = (own(1), own(2));
        let markers = [("OWN_1", own_1.to_str().unwrap()), ("OWN_2", own_2.to_str().unwrap())];
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let (stdout, stderr) = (Stdio::Fd(stderr.as_fd()), Stdio::Fd(stdout.as_fd()));
        let launch = Launch { markers: &markers, stdout, stderr, ..launch(&process) };
        let spawning = spawner.spawn(&launch).unwrap();
        assert_eq!(wait_for(spawning.pid), Exit::Code(0));
    });
}

fn own_session() {
    each(|spawner| {
        let stat = text(spawner, &program(&["/bin/cat", "/proc/self/stat"]));
        let fields: Vec<&str> = stat.split_whitespace().collect();
        let [pid, parent, group, session] = [fields[0], fields[3], fields[4], fields[5]];
        assert_eq!((group, session), (pid, pid));
        assert_eq!(parent, Pid::this().to_string());
    });
}

fn settings() {
    each(|spawner| {
        let mut process = program(&["/bin/sh", "-c", "umask; pwd; cut -d' ' -f19 /proc/self/stat"]);
        process.umask = Some(0o077);
        process.directory = Some("/usr/bin".into());
        process.nice = Some(5);
        assert_eq!(text(spawner, &process), "0077\n/usr/bin\n5\n");
        process.umask = None;
        assert_eq!(text(spawner, &process), "0022\n/usr/bin\n5\n");
    });
    // Without a forced mechanism: this is one of the settings that choose it.
    let mut process = program(&["/bin/cat", "/proc/self/oom_score_adj"]);
    process.oom_score_adj = Some(321);
    assert_eq!(text(&mut spawner(), &process), "321\n");
}

fn limits() {
    each(|spawner| {
        let limit = |resource, soft, hard| Rlimit { resource, soft: Some(soft), hard: Some(hard) };
        let mut process = program(&["/bin/cat", "/proc/self/limits"]);
        let line = |limits: &str, name: &str| -> Vec<String> {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().take(2).map(str::to_owned).collect()
        };
        let inherited = muster_sys::limits::OriginalLimits::current().unwrap();
        let untouched = text(spawner, &process);
        assert_eq!(
            line(&untouched, "Max open files"),
            [inherited.nofile_soft, inherited.nofile_hard].map(|n| n.to_string())
        );
        process.rlimits = vec![
            limit(Resource::Nofile, 64, 128),
            limit(Resource::Core, 0, 0),
            limit(Resource::Stack, 1 << 20, 1 << 21),
            limit(Resource::Nproc, 500, 600),
        ];
        let limits = text(spawner, &process);
        assert_eq!(line(&limits, "Max open files"), ["64", "128"]);
        assert_eq!(line(&limits, "Max core file size"), ["0", "0"]);
        assert_eq!(line(&limits, "Max stack size"), ["1048576", "2097152"]);
        assert_eq!(line(&limits, "Max processes"), ["500", "600"]);
    });
}

fn tagged() {
    let mark = |value| Rlimit { resource: Resource::Locks, soft: Some(value), hard: Some(value) };
    each(|spawner| {
        let mut process = program(&["/bin/grep", "locks", "/proc/self/limits"]);
        for (own, expected) in [(None, "4711"), (Some(mark(5)), "5")] {
            process.rlimits = own.into_iter().collect();
            let file = tempfile::NamedTempFile::new().unwrap();
            let output = File::options().write(true).open(file.path()).unwrap();
            let stdout = Stdio::Fd(output.as_fd());
            let launch = Launch { tag: Some(mark(4711)), stdout, ..launch(&process) };
            let spawning = spawner.spawn(&launch).unwrap();
            assert_eq!(wait_for(spawning.pid), Exit::Code(0));
            let told = std::fs::read_to_string(file.path()).unwrap();
            let limits: Vec<&str> = told.lines().filter(|line| line.starts_with("Max file locks")).collect();
            assert_eq!(limits[0].split_whitespace().collect::<Vec<_>>()[3..5], [expected, expected]);
        }
    });
}

fn passed_descriptors() {
    // Enough that every descriptor the spawn itself opens has the number of some target.
    const TARGETS: std::ops::Range<u32> = 3..60;
    each(|spawner| {
        let directory = tempfile::tempdir().unwrap();
        let file = |number: u32| {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, format!("{number}\n")).unwrap();
            File::open(path).unwrap()
        };
        let files: Vec<File> = TARGETS.map(file).collect();
        let passed: Vec<_> = files.iter().rev().zip(TARGETS).map(|(file, target)| (file.as_fd(), target)).collect();
        // Without a pipe, whose ends the shell itself would briefly hold.
        let script = "ls /proc/$$/fd; for n in 3 31 59; do cat /proc/$$/fd/$n; done";
        for (command, outcome) in [(vec!["/bin/sh", "-c", script], true), (vec!["/no/such/program"], false)] {
            let output = tempfile::NamedTempFile::new().unwrap();
            let writing = File::options().write(true).open(output.path()).unwrap();
            let stdout = Stdio::Fd(writing.as_fd());
            let process = program(&command);
            let launch = Launch { stdout, passed: &passed, ..launch(&process) };
            let mut spawning = spawner.spawn(&launch).unwrap();
            wait_for(spawning.pid);
            assert_eq!(spawning.outcome_after_exit().is_ok(), outcome);
            let told = std::fs::read_to_string(output.path()).unwrap();
            let told: Vec<u32> = told.lines().map(|line| line.parse().unwrap()).collect();
            let (numbers, contents) = told.split_at(told.len().min(60));
            let expected: Vec<u32> = if outcome { (0..60).collect() } else { Vec::new() };
            assert_eq!(
                numbers.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
                expected
            );
            assert_eq!(contents, if outcome { &[59, 31, 3][..] } else { &[] });
        }
    });
    let (reader, _writer) = muster_sys::fd::output_pipe().unwrap();
    let process = program(&["/bin/true"]);
    let passed = &[(reader.as_fd(), u32::MAX)];
    let launch = Launch { passed, ..launch(&process) };
    let error = spawner().spawn(&launch).err().unwrap();
    assert_eq!(error.message, "cannot pass descriptor 4294967295: invalid argument");
}

fn own_pid() {
    each(|spawner| {
        let process = program(&["/bin/sh", "-c", "test \"$WATCHDOG_PID\" = $$ && echo $WATCHDOG_PID"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let output = File::options().write(true).open(file.path()).unwrap();
        let launch = Launch {
            process: &process,
            secrets: &[],
            markers: &[],
            own_pid: [Some("WATCHDOG_PID"), Some("LISTEN_PID")],
            tag: None,
            stdout: Stdio::Fd(output.as_fd()),
            stderr: Stdio::Null,
            passed: &[],
        };
        let spawning = spawner.spawn(&launch).unwrap();
        let pid = spawning.pid;
        assert_eq!(wait_for(pid), Exit::Code(0));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), format!("{pid}\n"));
        let mut process = program(&["/bin/sh", "-c", "test \"$WATCHDOG_PID\" = $$"]);
        process.environment = vec![("WATCHDOG_PID".to_owned(), "another".to_owned())];
        let spawning = spawner.spawn(&Launch { process: &process, ..launch }).unwrap();
        assert_eq!(wait_for(spawning.pid), Exit::Code(0), "it is set higher than configured");
    });
}

fn the_daemon_is_untouched() {
    let own = || -> Vec<String> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        let about = |name| field(&read("status"), name);
        let cwd = std::fs::read_link("/proc/self/cwd").unwrap().to_str().unwrap().to_owned();
        let ids = ["Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", "Pid"].map(about);
        [vec![read("oom_score_adj"), read("limits"), cwd], ids.to_vec()].concat()
    };
    let before = own();
    let mut process = program(&["/bin/true"]);
    process.umask = Some(0o777);
    process.directory = Some("/usr".into());
    process.nice = Some(7);
    process.rlimits = vec![Rlimit { resource: Resource::Core, soft: Some(0), hard: Some(0) }];
    each(|spawner| assert_eq!(text(spawner, &process), ""));
    process.oom_score_adj = Some(77);
    process.user = is_root().then(|| user("65534", Some("65534"))).flatten();
    assert_eq!(text(&mut spawner(), &process), "");
    assert_eq!(own(), before);
    // SAFETY: getpriority touches no memory.
    assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, 0);
}

fn environment() {
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let inherited = vec![
        (os(b"LATIN"), os(b"caf\xe9")),
        (os(b"\xff"), os(b"=odd=")),
        (os(b"LANG"), os(b"C")),
        (os(b"MUSTER_RUN"), os(b"outer")),
        (os(b"EMPTY"), os(b"")),
    ];
    for mechanism in MECHANISMS {
        let mut spawner = spawner_with(inherited.clone());
        spawner.force_mechanism(mechanism);
        let mut process = program(&["/bin/cat", "/proc/self/environ"]);
        process.environment = vec![("LANG".into(), "de_DE".into()), ("NEW".into(), "line 1\nline 2".into())];
        let markers = [("MUSTER_PROGRAM", "web"), ("MUSTER_RUN", "7")];
        let (environment, _) = run_with_markers(&mut spawner, &process, &markers).unwrap();
        let expected: &[u8] = b"LATIN=caf\xe9\0\xff==odd=\0LANG=de_DE\0MUSTER_RUN=7\0EMPTY=\0NEW=line 1\nline 2\0\
                                MUSTER_PROGRAM=web\0";
        assert_eq!(environment, expected);
        process.clean_environment = true;
        let (environment, _) = run_with_markers(&mut spawner, &process, &markers).unwrap();
        assert_eq!(environment, b"LANG=de_DE\0NEW=line 1\nline 2\0MUSTER_PROGRAM=web\0MUSTER_RUN=7\0");
    }
}

fn arguments() {
    let many: Vec<String> = (0..10_000).map(|number| format!("grün {number}\t")).collect();
    each(|spawner| {
        let mut command = vec!["/usr/bin/printf", "%s|", "", " ", "-n"];
        command.extend(many.iter().map(String::as_str));
        let expected: String = command[2..].iter().flat_map(|&word| [word, "|"]).collect();
        assert_eq!(text(spawner, &program(&command)), expected);
    });
}

fn path_search() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for name in ["denied", "found", "later"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    file(directory.path(), "denied/tool", b"#!/bin/sh\necho denied\n", 0o644);
    file(directory.path(), "found/tool", b"#!/bin/sh\necho found\n", 0o755);
    file(directory.path(), "later/tool", b"#!/bin/sh\necho later\n", 0o755);
    each(|spawner| {
        let mut process = program(&["tool"]);
        let search = [&path("nowhere"), &path("found/tool"), &path("denied"), &path("found"), &path("later")];
        let search = search.map(String::as_str).join(":");
        process.environment = vec![("PATH".into(), search)];
        assert_eq!(text(spawner, &process), "found\n");
        // An empty element is the program's directory.
        process.environment = vec![("PATH".into(), "/nowhere:".into())];
        process.directory = Some(path("later").into());
        assert_eq!(text(spawner, &process), "later\n");
        // Without PATH: the default directories.
        let mut process = program(&["true"]);
        process.clean_environment = true;
        assert_eq!(text(spawner, &process), "");
    });
}

fn relative_command() {
    let directory = directory();
    file(directory.path(), "run.sh", b"#!/bin/sh\npwd\n", 0o755);
    each(|spawner| {
        let mut process = program(&["./run.sh"]);
        process.directory = Some(directory.path().to_owned());
        assert_eq!(text(spawner, &process).trim_end(), directory.path().to_str().unwrap());
        assert_eq!(error(spawner, &program(&["./run.sh"])).message, "./run.sh: no such file");
    });
}

fn user_and_groups() {
    if !is_root() {
        return skipped("becoming another user", "needs root");
    }
    let mut spawner = spawner();
    let mut process = program(&["/bin/sh", "-c", "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL"]);
    process.user = user("4242", Some("4343"));
    assert_eq!(text(&mut spawner, &process), "4242\n4343\n4343\n/ 4242 4242 /bin/sh\n");
    process.login_environment = false;
    let daemons = ["HOME", "USER", "LOGNAME", "SHELL"].map(|name| std::env::var(name).unwrap_or_default()).join(" ");
    let kept = text(&mut spawner, &process);
    let kept: Vec<&str> = kept.lines().last().unwrap_or_default().split_whitespace().collect();
    // A shell sets SHELL itself if it is unset.
    assert!(kept.iter().all(|word| *word == "/bin/sh" || daemons.contains(word)), "{kept:?}");
    process.login_environment = true;
    process.groups = Some(vec!["7".into(), "9".into()]);
    process.environment = vec![("HOME".into(), "/own".into())];
    assert_eq!(text(&mut spawner, &process), "4242\n4343\n4343 7 9\n/own 4242 4242 /bin/sh\n");
    let (nobody, named) = (program(&["/bin/cat", "/proc/self/status"]), text_of_passwd("nobody"));
    let mut nobody = nobody;
    nobody.user = user("nobody", None);
    let status = text(&mut spawner, &nobody);
    let ids = |id: &str| [id; 4].join("\t");
    assert_eq!((field(&status, "Uid"), field(&status, "Gid")), (ids(&named[2]), ids(&named[3])));
    // Root's privileges are dropped, and the daemon's own memory was never shared with that user.
    assert_eq!(field(&status, "CapEff"), "0000000000000000");
    let mut groups_only = program(&["/bin/sh", "-c", "id -u; id -G"]);
    groups_only.groups = Some(vec!["12".into()]);
    assert_eq!(text(&mut spawner, &groups_only), "0\n0 12\n");
}

fn text_of_passwd(name: &str) -> Vec<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    line.split(':').map(str::to_owned).collect()
}

fn another_user_can_open_its_stdout() {
    if !is_root() {
        return skipped("/dev/stdout of another user", "needs root");
    }
    let (reader, writer) = fd::output_pipe().unwrap();
    let mut process = program(&["/bin/sh", "-c", "echo hello >/dev/stdout"]);
    process.user = user("65534", Some("65534"));
    let stdout = Stdio::Fd(writer.as_fd());
    let launch = Launch { stdout, stderr: stdout, ..launch(&process) };
    let spawning = spawner().spawn(&launch).unwrap();
    assert_eq!(wait_for(spawning.pid), Exit::Code(0));
    let mut buffer = [0; 16];
    let count = fd::read(reader.as_fd(), &mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"hello\n");
}

fn terminal() {
    let Ok((ours, theirs)) = pty::open(pty::Size { rows: 30, columns: 90 }) else {
        return skipped("a terminal", "needs /dev/ptmx");
    };
    let script = "test -t 0 -a -t 1 -a -t 2 && stty size && echo tty >/dev/tty && echo name >\"$(tty)\" && id -u";
    let mut process = program(&["/bin/sh", "-c", script]);
    if is_root() {
        process.user = user("65534", Some("65534"));
    }
    let mut spawning = spawner().spawn_on_terminal(&launch(&process), theirs.as_fd()).unwrap();
    drop(theirs);
    assert_eq!(wait_for(spawning.pid), Exit::Code(0));
    assert_eq!(spawning.outcome_after_exit(), Ok(()));
    let mut text = Vec::new();
    let mut buffer = [0; 256];
    until("the terminal is closed", || match fd::read(ours.as_fd(), &mut buffer) {
        Ok(count) => {
            text.extend_from_slice(&buffer[..count]);
            None
        }
        Err(error) => (error.kind() != std::io::ErrorKind::WouldBlock).then_some(()),
    });
    let text = String::from_utf8_lossy(&text);
    assert!(text.starts_with("30 90\r\ntty\r\nname\r\n"), "{text:?}");
    assert!(!is_root() || text.ends_with("65534\r\n"), "{text:?}");
}
