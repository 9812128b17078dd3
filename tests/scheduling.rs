//! `ionice`, `sched` and `cpus`: the kernel has exactly what the keys say, and what cannot be had is a failed start with its
//! reason.

mod harness;

use std::process::Command;

use harness::{Daemon, Setting, is_root, skip};

/// As the tools of util-linux show it.
fn shown(tool: &str, arguments: &[&str], pid: i32) -> String {
    let output = Command::new(tool).args(arguments).arg(pid.to_string()).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}"));
    String::from_utf8(output.stdout).expect("text")
}

fn cpus(pid: i32) -> String {
    let list = harness::find(pid).and_then(|it| it.status("Cpus_allowed_list"));
    list.expect("it runs").trim().to_owned()
}

/// The highest number of a list of processors.
fn last(list: &str) -> u32 {
    let numbers = list.split([',', '-']).filter_map(|number| number.parse().ok());
    numbers.max().expect("a list of processors")
}

#[test]
fn the_kernel_has_what_the_keys_say() {
    let mut programs = String::from("[defaults]\nstartsecs = 0\ncommand = \"sleep 1000\"\n[program.plain]\n");
    let cases = [
        ("ionice", "idle", "idle"),
        ("ionice", "best-effort:7", "best-effort: prio 7"),
        ("ionice", "best-effort", "best-effort: prio 4"),
        ("ionice", "realtime:0", "realtime: prio 0"),
        ("sched", "other", "SCHED_OTHER"),
        ("sched", "batch", "SCHED_BATCH"),
        ("sched", "idle", "SCHED_IDLE"),
        ("sched", "fifo:10", "SCHED_FIFO"),
        ("sched", "rr:99", "SCHED_RR"),
    ];
    let needs_rights = |value: &str| ["realtime", "fifo", "rr"].iter().any(|word| value.starts_with(word));
    let cases = cases.iter().enumerate().filter(|(_, case)| is_root() || !needs_rights(case.1));
    for (index, (key, value, _)) in cases.clone() {
        programs += &format!("[program.p{index}]\n{key} = \"{value}\"\n");
    }
    programs += "[program.one]\ncpus = \"0\"\n";
    let mut daemon = Setting::supervising(programs).start();
    let plain = daemon.wait_for_running("plain");
    for (index, (key, value, expected)) in cases {
        let pid = daemon.wait_for_running(&format!("p{index}"));
        let shown = if *key == "ionice" { shown("ionice", &["-p"], pid) } else { shown("chrt", &["-p"], pid) };
        assert!(shown.contains(expected), "{key} = {value}: {shown}");
        if let Some((_, priority)) = value.split_once(':').filter(|_| *key == "sched") {
            assert!(shown.contains(&format!("priority: {priority}\n")), "{value}: {shown}");
        }
    }
    let one = daemon.wait_for_running("one");
    assert_eq!(cpus(one), "0");
    assert_eq!(cpus(plain), cpus(daemon.pid()), "the daemon's own share is unchanged");
    assert!(shown("chrt", &["-p"], daemon.pid()).contains("SCHED_OTHER"));
    daemon.finish();
}

#[test]
fn processors_that_are_not_here_fail_the_start() {
    let all = cpus(std::process::id().cast_signed());
    let beyond = last(&all) + 1;
    let programs = format!(
        "[defaults]\ncommand = \"sleep 1000\"\nstartretries = 0\n[program.none]\ncpus = \"1023\"\n[program.part]\ncpus = \"0-{beyond}\"\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    for name in ["none", "part"] {
        daemon.wait_for_state(name, "FATAL");
    }
    let why = |daemon: &Daemon, name: &str| daemon.ctl(&["why", name]).out;
    let none = why(&daemon, "none");
    assert!(none.contains("cpus 1023: none of these processors is here, or the cgroup denies all"), "{none}");
    let part = why(&daemon, "part");
    assert!(part.contains(&format!("cpus 0-{beyond}: there is no processor {beyond} here")), "{part}");
    daemon.finish();
    let warning =
        format!("cpus of \"none\" is 1023, and the daemon itself may use {all}: processor 1023 may not be there");
    assert_eq!(daemon.log.saying(&warning).len(), 1, "{}", daemon.log.text());
}

#[test]
fn what_needs_rights_says_which() {
    if !is_root() {
        return skip("only root can take rights away");
    }
    let programs = "[defaults]\ncommand = \"sleep 1000\"\nstartretries = 0\n[program.io]\nionice = \"realtime:1\"\n\
                    [program.cpu]\nsched = \"fifo:10\"\n";
    let launcher = ["setpriv", "--bounding-set", "-sys_nice,-sys_admin", "--inh-caps", "-sys_nice,-sys_admin", "--"];
    let mut daemon = Setting::supervising(programs).wrapped(&launcher).start();
    for name in ["io", "cpu"] {
        daemon.wait_for_state(name, "FATAL");
    }
    let why = |daemon: &Daemon, name: &str| daemon.ctl(&["why", name]).out;
    let io = why(&daemon, "io");
    assert!(io.contains("ionice realtime:1: realtime needs CAP_SYS_NICE"), "{io}");
    let cpu = why(&daemon, "cpu");
    let reason =
        "sched fifo:10: needs CAP_SYS_NICE, or RLIMIT_RTPRIO of 10 (docker run --cap-add SYS_NICE --ulimit rtprio=10)";
    assert!(cpu.contains(reason), "{cpu}");
    daemon.finish();
}
