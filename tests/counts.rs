//! The guard of `benches/counts` fails where it should. It counts only where its tools are; how it compares is tested here.

// Each of the two uses a part of it.
#[path = "../benches/counts/judge.rs"]
#[allow(dead_code)]
mod judge;
#[path = "../benches/counts/trace.rs"]
#[allow(dead_code)]
mod trace;

use judge::{Basis, Circumstances, Figure, Record, Verdict, difference};
use trace::Trace;

fn recorded() -> Record {
    let recorded_with = Circumstances {
        architecture: "x86_64".to_owned(),
        compiler: "rustc 1.95.0".to_owned(),
        executable: "static, optimised".to_owned(),
        ..Circumstances::default()
    };
    let counts = [("calls", 100.0), ("none", 0.0)].map(|(name, count)| (name.to_owned(), count));
    Record { recorded_with, counts: counts.into() }
}

fn verdict(name: &str, measured: f64) -> Verdict {
    let record = recorded();
    record.verdict(&Figure::new(name, measured, Basis::Build), &record.recorded_with)
}

#[test]
fn four_per_cent_more_are_refused_and_two_are_not() {
    for (measured, expected) in [
        (104.0, Verdict::More),
        (103.1, Verdict::More),
        (102.0, Verdict::Same),
        (100.0, Verdict::Same),
        (98.0, Verdict::Same),
        (96.0, Verdict::Less),
        (0.0, Verdict::Less),
    ] {
        assert_eq!(verdict("calls", measured), expected, "{measured}");
    }
    assert_eq!(verdict("none", 0.0), Verdict::Same);
    assert_eq!(verdict("none", 1.0), Verdict::More, "an idle daemon that does anything");
    assert_eq!(verdict("other", 1.0), Verdict::New);
    let record = recorded();
    let woken = |value| Figure { slack: 0.5, ..Figure::new("calls", value, Basis::Kind) };
    let verdicts = [103.4, 104.0, 96.6].map(|value| record.verdict(&woken(value), &record.recorded_with));
    assert_eq!(verdicts, [Verdict::Same, Verdict::More, Verdict::Same]);
    assert_eq!([difference(100.0, 104.0), difference(0.0, 1.0)], ["+4.0 %", "from none"]);
}

#[test]
fn only_what_is_comparable_is_judged() {
    let record = recorded();
    let judged = |basis, change: &dyn Fn(&mut Circumstances)| {
        let mut now = record.recorded_with.clone();
        change(&mut now);
        record.verdict(&Figure::new("calls", 200.0, basis), &now) == Verdict::More
    };
    let all = [Basis::Kind, Basis::Compiler, Basis::Build];
    let which = |change: &dyn Fn(&mut Circumstances)| all.map(|basis| judged(basis, change));
    assert_eq!(which(&|now| now.kernel = "7.0".to_owned()), [true, true, true]);
    assert_eq!(which(&|now| now.executable = "dynamic, optimised".to_owned()), [false, true, false]);
    assert_eq!(which(&|now| now.compiler = "rustc 1.96.0".to_owned()), [true, false, false]);
    assert_eq!(which(&|now| now.architecture = "aarch64".to_owned()), [false, false, false]);
}

#[test]
fn the_file_of_counts_is_as_it_is_written() {
    let record = recorded();
    assert_eq!(Record::parse(&record.render()), Ok(record));
    let text = include_str!("../benches/counts/expected.toml");
    let record = Record::parse(text).expect("the file is valid");
    assert_eq!(record.render(), text);
    // Each kind of count is there.
    for kind in
        ["system calls", "bytes written", "wake-ups", "instructions", "allocations", "executable: bytes", "idle"]
    {
        assert!(record.counts.keys().any(|name| name.contains(kind)), "no count of {kind} is recorded");
    }
}

/// As strace writes it: a thread (11), a new process (12) until it has executed its program, and a call that is interrupted by
/// another thread's.
const TRACE: &str = r#"10    1.000000 execve("musterd", ["musterd"], 0x7f /* 9 vars */) = 0
10    1.100000 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD, parent_tid=[11]) = 11
11    1.200000 futex(0x7f, FUTEX_WAIT, 0, NULL <unfinished ...>
10    2.000000 clone(child_stack=0x7f, flags=CLONE_VM|SIGCHLD <unfinished ...>
12    2.100000 setsid() = 12
10    2.200000 <... clone resumed>) = 12
12    2.300000 execve("/bin/cat", ["cat"], 0x7f) = 0
12    2.400000 write(1, "not the daemon's", 16) = 16
10    2.500000 write(2, "started pid=12 of 120\n", 22) = 22
10    2.600000 epoll_wait(3, [], 1024, 1500) = 0
10    2.700000 epoll_wait(3,  <unfinished ...>
12    2.900000 +++ exited with 0 +++
10    3.000000 <... epoll_wait resumed>[{events=EPOLLIN}], 1024, -1) = 1
10    3.100000 write(2, "exited", 6) = -1 EAGAIN (Resource temporarily unavailable)
10    3.120000 timer_settime(0, 0, {it_value={tv_sec=1, tv_nsec=0}}, NULL) = 0
10    3.200000 timer_settime(0, 0, {it_value={tv_sec=0, tv_nsec=0}}, NULL) = 0
"#;

#[test]
fn a_trace_is_counted() {
    let trace = Trace::parse(TRACE, 10);
    let counts = trace.during(&[(2.0, 2.55), (2.55, 3.0)]);
    assert_eq!(trace::parts(&counts.daemon), "epoll_wait 2, clone 1, write 1");
    assert_eq!(trace::parts(&counts.children), "execve 1, setsid 1");
    // The pid is counted with five digits.
    assert_eq!(counts.bytes, 25.0);
    let each = trace.during(&[(0.0, 9.0)]).beyond(&counts, 2);
    assert_eq!((each.daemon["write"], each.daemon["futex"], each.bytes), (0.5, 0.5, 0.0));
    assert_eq!(trace.pending(2.95), Vec::<String>::new());
    assert_eq!(trace.pending(2.65), ["epoll_wait(3, [], 1024, 1500"]);
    assert_eq!(trace.pending(3.15), ["timer_settime(0, 0, {it_value={tv_sec=1, tv_nsec=0}}, NULL"]);
    assert_eq!(trace.pending(3.25), Vec::<String>::new());
}
