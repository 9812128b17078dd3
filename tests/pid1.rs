//! PID 1 or not: orphans, signals, and what a careless parent passes on to the daemon.

mod harness;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Daemon, End, Place, Setting, both_places, can_enclose, is_root};
use nix::sys::signal::Signal;

const WEB: &str = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = { delay = 0 }\n";

/// Checks basic function: a killed program is restarted, and TERM ends everything.
fn check_supervision(daemon: &mut Daemon) {
    let web = daemon.wait_for_running("web");
    harness::send(web, 9);
    harness::wait_until("it is back", || {
        let program = daemon.program("web");
        program["state"] == "RUNNING" && program["exit"]["signal"] == "SIGKILL"
    });
    daemon.finish();
}

#[test]
fn twenty_thousand_orphans_leave_no_zombie_and_hide_no_exit() {
    // Each of 200 shells has 100 children and exits without waiting for them, some of which exit before it and some
    // after. Shells are added until enough children have ended concurrently.
    let storm = "[program.storm]\nrestart = \"no\"\n\
                 command = [\"sh\", \"-c\", '''i=0; until [ $i -ge 200 -a -e {here}/enough ]; do \
                 (j=0; while [ $j -lt 100 ]; do : & j=$((j+1)); done); i=$((i+1)); done; exit 7''']\n";
    let tick = "[program.tick]\ncommand = \"true\"\nrestart = \"always\"\nstartretries = \"unlimited\"\nstartsecs = 0\n\
                backoff = { delay = \"1ms\", max = \"1ms\" }\n";
    for place in both_places() {
        let mut daemon = Setting::supervising([storm, tick].concat()).musterd("loglevel = \"debug\"").at(place).start();
        daemon.log.wait_for_many(50, "tick", "starting");
        std::fs::write(daemon.path("enough"), "").expect("the test directory is writable");
        // That many forks take a while on a busy machine.
        daemon.ctl_well(&["wait", "storm", "--for", "exited", "--timeout", "300s"]);
        assert_eq!(daemon.program("storm")["exit"]["code"], 7);
        daemon.ctl_well(&["stop", "tick"]);
        harness::wait_until("all zombies are reaped", || daemon.processes().is_empty());
        let lines = daemon.settled_log();
        let told = |line: &&harness::Line| line.level != "DEBUG";
        let count = |message: &str| lines.iter().filter(told).filter(|line| line.says("tick", message)).count();
        let started = count("starting");
        // The last one may have ended because it was stopped, which is a single line in the log.
        let stopped = lines.iter().filter(|line| line.says("tick", "stopped") && line.field("end").is_some()).count();
        assert_eq!(count("ended") + count("ended unexpectedly") + stopped, started, "an exit was missed");
        daemon.finish();
    }
}

#[test]
fn real_time_signals_are_ends_like_others() {
    let programs = format!(
        "{WEB}[program.rt]\nrestart = \"no\"\n\
         command = [\"sh\", \"-c\", '(sleep 1000 & kill -40 $!); kill -50 $$$$']\n"
    );
    for place in both_places() {
        let mut daemon = Setting::supervising(&*programs).at(place).start();
        assert_eq!(daemon.wait_for_state("rt", "EXITED")["exit"]["signal"], "SIGRTMIN+16");
        harness::wait_until("the orphan is reaped", || daemon.processes().len() == 1);
        let web = daemon.wait_for_running("web");
        harness::send(web, 40);
        harness::wait_until("it is back", || daemon.program("web")["exit"]["signal"] == "SIGRTMIN+6");
        check_supervision(&mut daemon);
    }
}

#[test]
fn signals_that_the_parent_ignored_or_blocked_still_work() {
    for place in both_places() {
        check_supervision(&mut Setting::supervising(WEB).at(place).after_shell("trap '' CHLD").start());
        let all = "trap '' HUP INT QUIT USR1 USR2 PIPE ALRM TERM CHLD TSTP TTIN TTOU";
        for signal in [2, 3, 15] {
            let mut daemon = Setting::supervising(WEB).at(place).after_shell(all).start();
            daemon.signal(signal);
            assert_eq!(daemon.wait(), End::Code(0), "signal {signal} {place:?}");
            daemon.assert_nothing_is_left();
        }
    }
    check_supervision(&mut Setting::supervising(WEB).with_signals_blocked().start());
}

#[test]
fn a_program_gets_a_clean_slate() {
    let program = "[program.look]\ntype = \"oneshot\"\nlogs = { stdout = \"{here}/look\" }\n\
                   command = [\"sh\", \"-c\", 'grep Sig /proc/self/status; ls -l /proc/self/fd; umask; ulimit -n']\n";
    let dirty = "trap '' HUP USR1 PIPE CHLD TERM; umask 077; exec 5</dev/zero 9</dev/zero; ulimit -Sn 256";
    let clean = Setting::supervising(program).after_shell("ulimit -Sn 256").start();
    let mut dirty = Setting::supervising(program).with_signals_blocked().after_shell(dirty).start();
    for daemon in [&clean, &dirty] {
        daemon.wait_for_state("look", "EXITED");
        harness::wait_until("it has printed everything", || look(daemon).ends_with("256\n"));
        let look = look(daemon);
        for mask in ["SigPnd", "SigBlk", "SigIgn"] {
            assert!(look.contains(&format!("{mask}:\t0000000000000000\n")), "{look}");
        }
        assert!(!look.contains("/dev/zero"), "a stray descriptor is inherited: {look}");
        assert!(look.contains("/dev/null") && look.ends_with("0022\n256\n"), "{look}");
    }
    let links = |daemon: &Daemon| look(daemon).lines().filter(|line| line.contains(" -> ")).count();
    assert_eq!(links(&dirty), 4, "stdin, stdout, stderr and the directory that ls reads: {}", look(&dirty));
    let open = harness::find(dirty.pid()).map(|process| process.descriptors()).unwrap_or_default();
    assert!(open.len() > 5);
    dirty.finish();
}

fn look(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.path("look")).unwrap_or_default()
}

#[test]
fn without_stdin_stdout_and_stderr_no_file_takes_their_numbers() {
    for place in both_places() {
        let mut daemon = Setting::supervising(WEB).at(place).after_shell("exec <&- >&- 2>&-").start();
        let descriptors = harness::find(daemon.pid()).map(|process| process.descriptors()).unwrap_or_default();
        let first: Vec<&str> = (0..3).filter_map(|number| descriptors.get(&number).map(String::as_str)).collect();
        assert_eq!(first, ["/dev/null"; 3], "{descriptors:?}");
        check_supervision(&mut daemon);
    }
}

#[test]
fn a_stderr_that_cannot_be_written_ends_nothing() {
    let noisy = format!(
        "{WEB}[program.noisy]\ncommand = [\"sh\", \"-c\", 'while :; do echo out; echo err >&2; sleep 0.01; done']\n"
    );
    // A FIFO whose only reader has closed it is a closed pipe.
    let closed = "f=$(mktemp -u); mkfifo $f; : <$f & exec 2>$f; wait; rm $f; exec >&2";
    for place in both_places() {
        check_supervision(&mut Setting::supervising(&*noisy).at(place).after_shell(closed).start());
        check_supervision(&mut Setting::supervising(&*noisy).at(place).stdout("/dev/full").stderr("/dev/full").start());
    }
}

#[test]
fn an_unread_output_blocks_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let spam = format!(
        "{WEB}[program.spam]\ncommand = \"yes\"\n[program.spam-err]\ncommand = [\"sh\", \"-c\", \"yes >&2\"]\n"
    );
    for (number, place) in both_places().into_iter().enumerate() {
        let fifo = directory.path().join(number.to_string());
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("the test directory is writable");
        // The process that passes it to the daemon also opened it for reading and never reads.
        let mut daemon = Setting::supervising(&*spam).at(place).stdout(&fifo).stderr(&fifo).start();
        daemon.wait_for_running("spam");
        let status = (0..20).map(|_| answer_time(&daemon)).min().unwrap_or_default();
        assert!(status < Duration::from_millis(100), "an answer takes {status:?}");
        check_supervision(&mut daemon);
    }
}

fn answer_time(daemon: &Daemon) -> Duration {
    let asked = Instant::now();
    assert_eq!(daemon.client.get("/v1/programs").status, 200);
    asked.elapsed()
}

#[test]
fn no_signal_but_the_documented_ones_does_anything() {
    // The signals that end it (TERM, INT, QUIT, PWR, RTMIN+3) are tested with the exit codes; KILL and STOP are up to
    // the kernel.
    let mut harmless: Vec<i32> =
        (1..=64).filter(|number| ![2, 3, 9, 15, 19, 30, 32, 33, 37].contains(number)).collect();
    // 32 and 33 belong to glibc, and 34 as well to musl, which other executables may be linked with: it cannot be blocked.
    if std::env::var_os("MUSTER_BIN_DIR").is_some() {
        harmless.retain(|&number| number != 34);
    }
    let numbers: Vec<String> = harmless.iter().map(i32::to_string).collect();
    let insider = format!("for n in {0} {0}; do kill -$n $PPID; done; exec sleep 1000", numbers.join(" "));
    let programs = format!("{WEB}[program.insider]\ncommand = [\"bash\", \"-c\", {insider:?}]\nstartsecs = 0\n");
    for place in both_places() {
        let mut daemon = Setting::supervising(&*programs).at(place).start();
        let (web, musterd) = (daemon.wait_for_running("web"), daemon.pid());
        harness::wait_until("all were sent", || daemon.processes().iter().filter(|it| it.comm == "sleep").count() == 2);
        // From outside a pid namespace, any other signal is how an engine stops the container.
        for number in [1, 10, 12, 13, 17, 18, 20, 21, 22, 23] {
            for _ in 0..2 {
                harness::send(musterd, number);
            }
            let answer = daemon.client.try_request("GET", "/livez", "");
            assert!(answer.is_ok(), "signal {number} {place:?}: {answer:?}\n{}", daemon.story());
        }
        assert_eq!(daemon.ended(), None);
        assert_eq!(daemon.pid_of("web"), web);
        daemon.log.wait_for("USR1 writes the status", |line| line.says("web", "status"));
        daemon.log.wait_for("USR2 reopens log files", |line| line.message == "reopened log files");
        daemon.log.wait_for("HUP", |line| line.message.contains("reload"));
        daemon.finish();
    }
}

#[test]
fn term_is_never_lost_once_main_has_begun() {
    for place in both_places() {
        for round in 0..25_u32 {
            let mut bare = Bare::start(place);
            let pid = bare.wait_until_main_has_begun();
            std::thread::sleep(Duration::from_micros(u64::from(round * 2_654_435 % 4_000)));
            assert!(harness::send_fast(pid, Signal::SIGTERM), "it must still be there");
            let status = harness::wait_for(&format!("TERM takes effect, round {round} {place:?}"), || {
                bare.child.try_wait().expect("it is a child of this process")
            });
            assert_eq!(status.code(), Some(0), "round {round} {place:?}: {status}");
            let left: Vec<_> = std::fs::read_dir(bare.directory.path()).expect("the test owns it").flatten().collect();
            assert_eq!(left.len(), 1, "only the configuration is left: {left:?}");
        }
    }
}

/// The kernel discards signals to PID 1 that it does not block. The runtime needs longer than the kernel to start a program.
#[test]
fn pid_1_blocks_signals_before_the_runtime_starts() {
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !can_enclose() || !has_strace {
        return harness::skip("a pid namespace and strace are needed");
    }
    let musterd = system_calls(&[harness::musterd(), "--version"]);
    let position = |call: &str| {
        let position = musterd.iter().position(|line| line.starts_with(call));
        position.unwrap_or_else(|| panic!("no {call} in {musterd:#?}"))
    };
    assert!(position("rt_sigprocmask(SIG_SETMASK, ~[PIPE") < position("sigaltstack("), "{musterd:#?}");
    // Other programs are not daemons, even as PID 1.
    let musterctl = system_calls(&[harness::muster(), "musterctl", "--version"]);
    let masks = musterctl.iter().filter(|line| line.starts_with("rt_sigprocmask(SIG_SETMASK, "));
    let masks: Vec<_> = masks.filter(|line| !line.contains("NULL")).collect();
    assert!(masks.len() == 2 && masks[1].starts_with("rt_sigprocmask(SIG_SETMASK, [],"), "{masks:#?}");
}

/// The system calls of a command as PID 1, from its execution on.
fn system_calls(command: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let trace = directory.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&trace)
        .args(enclosure())
        .args(command)
        .stdout(Stdio::null())
        .status()
        .expect("strace is installed");
    assert!(status.success(), "{command:?}: {status}");
    let text = std::fs::read_to_string(&trace).expect("strace writes it");
    let executed = format!(" execve(\"{}\"", command[0]);
    let lines = text.lines().skip_while(|line| !line.contains(&executed));
    lines.filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned())).collect()
}

/// The words that make a command PID 1.
fn enclosure() -> Vec<&'static str> {
    let words = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--"];
    if is_root() { [&words[..1], &words[3..]].concat() } else { words.to_vec() }
}

/// A daemon without the harness, which takes too long to find a pid.
struct Bare {
    child: Child,
    place: Place,
    directory: tempfile::TempDir,
}

impl Bare {
    fn start(place: Place) -> Bare {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let config = directory.path().join("muster.toml");
        let socket = directory.path().join("sock");
        // Its program exits by itself in case the daemon does not stop it.
        let text = format!("[http]\nsocket = {socket:?}\n[program.web]\ncommand = \"sleep 60\"\n");
        std::fs::write(&config, text).expect("the test directory is writable");
        let mut words = ["setpriv", "--pdeathsig", "KILL", "--"].to_vec();
        if place == Place::Pid1 {
            words.extend(enclosure());
        }
        words.extend([harness::musterd(), "-c"]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Bare { child: command.spawn().expect("setpriv and unshare of util-linux are installed"), place, directory }
    }

    /// Waits until TERM is blocked, which is the first thing main does. Returns the daemon's pid.
    fn wait_until_main_has_begun(&self) -> i32 {
        let parent = self.child.id() as i32;
        let began = Instant::now();
        loop {
            let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
            let pid = match self.place {
                Place::Plain => Some(parent),
                Place::Pid1 => children.unwrap_or_default().trim().parse().ok(),
            };
            if let Some(process) = pid.and_then(harness::find).filter(|process| process.comm == "musterd")
                && process.blocks(15)
            {
                return process.pid;
            }
            assert!(began.elapsed() < harness::PATIENCE, "main never began");
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_proc_it_warns_and_supervises() {
    if !can_enclose() || !is_root() {
        return harness::skip("only root can cover /proc in a mount namespace of its own");
    }
    for place in both_places() {
        let mut daemon = Setting::supervising(WEB).at(place).after_shell("mount -t tmpfs none /proc").start();
        let warned = daemon.log.wait_for("a warning", |line| line.level == "WARN");
        assert!(warned.message.starts_with("no /proc"), "{}", warned.message);
        check_supervision(&mut daemon);
    }
}

#[test]
fn without_root_it_supervises() {
    if !is_root() {
        return harness::skip("the tests do not run as root, so all of them show this");
    }
    for place in both_places() {
        let mut daemon = Setting::supervising(WEB).at(place).owned_by(65534).start();
        let owner = harness::find(daemon.pid()).and_then(|process| process.status("Uid")).unwrap_or_default();
        assert!(owner.starts_with("65534\t65534"), "{owner}");
        check_supervision(&mut daemon);
    }
}

#[test]
fn an_unwritable_directory_costs_the_socket_and_is_reported() {
    let mut daemon = Setting::supervising(WEB).http("socket = \"/proc/no/such/sock\"").launch();
    let line = daemon.log.wait_for("it is logged", |line| line.message.contains("no control socket"));
    assert!(line.message.contains("/proc/no") && line.level == "WARN", "{}", line.message);
    daemon.log.wait_for_program("web", "running");
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
}

#[test]
fn a_stray_is_left_alone_until_the_end_and_then_gets_term_first() {
    if !can_enclose() || !is_root() {
        return harness::skip("only root can enter the daemon's pid namespace as docker exec does");
    }
    // A program that takes time to stop gives the stray time as well.
    let slow = "[program.slow]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", \"trap 'sleep 1; exit' TERM; echo up; while :; do sleep 0.02; done\"]\n";
    let mut daemon = Setting::supervising([WEB, slow].concat()).at(Place::Pid1).start();
    harness::wait_until("it is up", || daemon.output().ends_with(b"slow | up\n"));
    let told = daemon.path("told");
    let script =
        format!("trap 'echo TERM >>{0}; exit' TERM; echo up >>{0}; while :; do sleep 0.02; done", told.display());
    let mut stray = Command::new("nsenter");
    stray.args(["-t", &daemon.pid().to_string(), "--pid", "--mount", "sh", "-c", &script]);
    let mut stray = stray.spawn().expect("nsenter of util-linux is there");
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    harness::wait_until("the stray is up", || said() == "up\n");
    daemon.ctl_well(&["restart", "web"]);
    daemon.ctl_well(&["stop", "web"]);
    let strays = daemon.client.get("/v1/processes").json();
    let command = strays["strays"][0]["command"].as_str().unwrap_or_default().to_owned();
    assert!(command.contains("trap"), "{strays}");
    assert_eq!(said(), "up\n", "it got no signal");
    daemon.finish();
    assert_eq!(said(), "up\nTERM\n");
    let _ = stray.wait();
}

#[test]
fn the_environment_identifies_the_program() {
    let program = "[program.look]\ntype = \"oneshot\"\nlogs = { stdout = \"{here}/look\" }\ncommand = [\"sh\", \"-c\", 'env; echo end']\n\
                   environment = { OWN = \"1\" }\n";
    let daemon = Setting::supervising(program).env("INHERITED", "2").start();
    daemon.wait_for_state("look", "EXITED");
    harness::wait_until("it has printed everything", || look(&daemon).ends_with("end\n"));
    let text = look(&daemon);
    let environment: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [
        ("OWN", "1"),
        ("INHERITED", "2"),
        ("MUSTER_PROGRAM", "look"),
        ("MUSTER_INSTANCE", "0"),
        ("SUPERVISOR_ENABLED", "1"),
        ("SUPERVISOR_PROCESS_NAME", "look"),
        ("SUPERVISOR_GROUP_NAME", "look"),
    ] {
        assert_eq!(environment.get(name), Some(&value), "{text}");
    }
    assert!(environment["MUSTER_RUN"].contains(".1"), "{text}");
    assert_eq!(std::path::Path::new(environment["MUSTER_SOCKET"]), daemon.socket(), "{text}");
}
