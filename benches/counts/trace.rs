//! Reads what `strace -f -ttt` wrote about a daemon: its own system calls, those of new processes until they have executed
//! their program, and the bytes that it wrote.

use std::collections::{BTreeMap, BTreeSet};

/// Calls whose result is a number of bytes that were written.
const WRITES: [&str; 9] =
    ["write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendfile", "splice"];

/// Calls in which a thread rests, with how a limited one is recognized: a timeout as the last argument that is not this,
/// or any timespec.
const RESTS: [&str; 9] =
    ["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "futex", "nanosleep", "clock_nanosleep", "pselect6"];

/// The digits that a pid is counted with, however many it has: a log line is as long on every machine.
const PID_DIGITS: f64 = 5.0;

/// A system call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pid: i64,
    /// When it began, in seconds.
    at: f64,
    /// The name and the arguments, without the last parenthesis.
    text: String,
    result: Option<i64>,
}

impl Call {
    fn name(&self) -> &str {
        self.text.split('(').next().unwrap_or_default()
    }

    /// Whether the thread would go on by itself.
    fn is_limited_rest(&self) -> bool {
        if !RESTS.contains(&self.name()) {
            return false;
        }
        let is_epoll = ["epoll_wait", "epoll_pwait", "poll"].contains(&self.name());
        if is_epoll { !self.text.split(", ").any(|argument| argument == "-1") } else { self.text.contains("tv_sec=") }
    }
}

/// Counts of a span, or their mean for each of several operations.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) daemon: BTreeMap<String, f64>,
    pub(crate) children: BTreeMap<String, f64>,
    pub(crate) bytes: f64,
}

impl Counts {
    /// The excess of `self` over `less`, for each of `times` operations.
    pub(crate) fn beyond(&self, less: &Counts, times: usize) -> Counts {
        let each = |more: &BTreeMap<String, f64>, less: &BTreeMap<String, f64>| {
            let names: BTreeSet<&String> = more.keys().chain(less.keys()).collect();
            let count = |of: &BTreeMap<String, f64>, name: &String| of.get(name).copied().unwrap_or_default();
            names
                .into_iter()
                .map(|name| (name.clone(), (count(more, name) - count(less, name)) / times as f64))
                .collect()
        };
        Counts {
            daemon: each(&self.daemon, &less.daemon),
            children: each(&self.children, &less.children),
            bytes: (self.bytes - less.bytes) / times as f64,
        }
    }
}

/// The names with their counts, the most frequent first.
pub(crate) fn parts(counts: &BTreeMap<String, f64>) -> String {
    let mut sorted: Vec<_> = counts.iter().filter(|(_, count)| count.abs() >= 0.005).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(a.1));
    let text: Vec<String> =
        sorted.iter().map(|(name, count)| format!("{name} {}", super::judge::number(**count))).collect();
    text.join(", ")
}

/// The calls of a daemon and of the processes that it made.
pub(crate) struct Trace {
    threads: BTreeSet<i64>,
    processes: BTreeSet<i64>,
    calls: Vec<Call>,
}

impl Trace {
    pub(crate) fn parse(text: &str, daemon: i64) -> Trace {
        let mut calls: Vec<Call> = Vec::new();
        let mut open: BTreeMap<i64, usize> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.splitn(2, ' ');
            let (Some(pid), Some(rest)) = (words.next().and_then(|pid| pid.parse().ok()), words.next()) else {
                continue;
            };
            let Some((at, rest)) = rest.trim_start().split_once(' ') else { continue };
            let Ok(at) = at.parse() else { continue };
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let Some(begun) = open.remove(&pid) else { continue };
                let end = resumed.split_once(" resumed>").map_or("", |(_, end)| end);
                let (end, result) = split_result(end);
                calls[begun].text.push_str(end);
                calls[begun].result = result;
            } else if rest.starts_with("+++") || rest.starts_with("---") {
                continue;
            } else if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                open.insert(pid, calls.len());
                calls.push(Call { pid, at, text: begun.trim_end().to_owned(), result: None });
            } else {
                let (text, result) = split_result(rest);
                calls.push(Call { pid, at, text: text.to_owned(), result });
            }
        }
        let mut trace = Trace { threads: BTreeSet::from([daemon]), processes: BTreeSet::new(), calls };
        trace.find_processes();
        trace
    }

    fn find_processes(&mut self) {
        for call in &self.calls {
            let is_new = ["clone", "clone3", "fork", "vfork"].contains(&call.name());
            if let (true, Some(new)) = (is_new && self.threads.contains(&call.pid), call.result) {
                let family = if call.text.contains("CLONE_THREAD") { &mut self.threads } else { &mut self.processes };
                family.insert(new);
            }
        }
    }

    /// The counts of the calls that began in one of these spans.
    pub(crate) fn during(&self, spans: &[(f64, f64)]) -> Counts {
        let mut counts = Counts::default();
        let mut executed = BTreeSet::new();
        for call in &self.calls {
            let is_daemon = self.threads.contains(&call.pid);
            if !is_daemon && executed.contains(&call.pid) {
                continue;
            }
            if !is_daemon && call.name().starts_with("execve") && call.result == Some(0) {
                executed.insert(call.pid);
            }
            if !spans.iter().any(|&(from, to)| (from..to).contains(&call.at)) {
                continue;
            }
            let family = if is_daemon { &mut counts.daemon } else { &mut counts.children };
            *family.entry(call.name().to_owned()).or_default() += 1.0;
            if is_daemon && WRITES.contains(&call.name()) {
                counts.bytes += self.written(call);
            }
        }
        counts
    }

    /// The bytes of a call, as if each pid in them had the same number of digits.
    fn written(&self, call: &Call) -> f64 {
        let bytes = call.result.unwrap_or_default().max(0) as f64;
        let numbers = call.text.split(|letter: char| !letter.is_ascii_digit());
        let pids = numbers.filter(|number| number.parse().is_ok_and(|number| self.processes.contains(&number)));
        bytes + pids.map(|pid| PID_DIGITS - pid.len() as f64).sum::<f64>()
    }

    /// The calls that will wake the daemon after this moment without an event: rests with a deadline, and timers.
    pub(crate) fn pending(&self, at: f64) -> Vec<String> {
        let before = || self.calls.iter().filter(|call| call.at < at);
        let mut last: BTreeMap<i64, &Call> = BTreeMap::new();
        let mut timers: BTreeMap<&str, &Call> = BTreeMap::new();
        for call in before().filter(|call| self.threads.contains(&call.pid)) {
            last.insert(call.pid, call);
            if let Some(timer) = call.text.strip_prefix("timer_settime(").and_then(|text| text.split(',').next()) {
                timers.insert(timer, call);
            }
        }
        let rests = last.values().filter(|call| call.is_limited_rest());
        let armed = timers.values().filter(|call| !call.text.contains("it_value={tv_sec=0, tv_nsec=0}"));
        rests.chain(armed).map(|call| call.text.clone()).collect()
    }
}

/// Name and arguments, and the result.
fn split_result(text: &str) -> (&str, Option<i64>) {
    let Some((call, result)) = text.rsplit_once(") = ") else { return (text, None) };
    (call, result.split(' ').next().and_then(|number| number.parse().ok()))
}
