//! Incomplete lines: how their beginnings are handled, whatever else is written meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::harness::{Daemon, Setting, wait_until};
use super::wait_for_output;

/// A program that keeps running until it is stopped. `$` is for the shell.
fn program(name: &str, script: &str, more: &str) -> String {
    let script = script.replace('$', "$$");
    format!("[program.{name}]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n")
}

/// A program that writes a line every few milliseconds to this destination.
fn busy(logs: &str) -> String {
    program("busy", "while :; do echo busy; sleep 0.02; done", &format!("logs = {{ {logs} }}"))
}

/// A program that writes the beginning of a line, and the rest when signalled.
fn halting(rest: &str, logs: &str) -> String {
    let script = format!("printf half; until [ -e {{here}}/go ]; do sleep 0.02; done; {rest}; sleep 1000");
    program("web", &script, &format!("logs = {{ {logs} }}"))
}

fn go(daemon: &Daemon) {
    fs::write(daemon.path("go"), "").expect("the test directory is writable");
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn contains(output: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(output).contains(text)
}

/// How often each line occurs that is not one of the busy program's.
fn others(text: &str, busy: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| *line != busy) {
        *found.entry(line.to_owned()).or_default() += 1;
    }
    found
}

fn once(lines: &[&str]) -> BTreeMap<String, usize> {
    lines.iter().map(|line| ((*line).to_owned(), 1)).collect()
}

/// A busy neighbour starved the idle second without limit, and what was held was lost with the daemon.
#[test]
fn a_file_of_one_program_has_every_byte_beside_a_busy_one_and_after_sigkill_of_the_daemon() {
    let programs = halting("echo ' a line'; printf more", "stdout = \"{here}/web.log\"") + &busy("");
    let mut daemon = Setting::supervising(programs).start();
    let log = daemon.path("web.log");
    wait_until("the beginning is there", || read(&log) == "half");
    go(&daemon);
    wait_until("the rest is there", || read(&log) == "half a line\nmore");
    daemon.signal(9);
    daemon.wait();
    assert_eq!(read(&log), "half a line\nmore");
}

#[test]
fn a_file_that_two_programs_share_has_the_beginning_of_a_line_on_a_line_of_its_own() {
    let cases = [("echo ' a line'; echo end", &["half", " a line", "end"][..]), ("echo; echo end", &["half", "end"])];
    for (rest, expected) in cases {
        let logs = "stdout = \"{here}/shared.log\"";
        let mut daemon = Setting::supervising(halting(rest, logs) + &busy(logs)).start();
        let log = daemon.path("shared.log");
        wait_until("something follows it", || read(&log).contains("half\nbusy\n"));
        go(&daemon);
        wait_until("the rest is there", || read(&log).contains("end\nbusy\n"));
        daemon.finish();
        assert_eq!(others(&read(&log), "busy"), once(expected), "lines are whole and none is empty");
    }
}

#[test]
fn the_console_shows_the_beginning_of_a_line_and_its_rest_behind_it_or_below() {
    let daemon = Setting::supervising(halting("echo ' a line'", "")).start();
    wait_for_output(&daemon, "the beginning", |output| output == b"web | half");
    go(&daemon);
    wait_for_output(&daemon, "the rest", |output| output == b"web | half a line\n");

    for (rest, expected) in [
        ("echo ' a line'; echo end", &["web | half", "web +  a line", "web | end"][..]),
        ("echo; echo end", &["web | half", "web | end"]),
    ] {
        let mut daemon = Setting::supervising(halting(rest, "") + &busy("")).start();
        wait_for_output(&daemon, "something follows it", |output| contains(output, "web | half\nbusy | busy\n"));
        go(&daemon);
        wait_for_output(&daemon, "the rest", |output| contains(output, "web | end\nbusy | busy\n"));
        daemon.finish();
        let output = String::from_utf8(daemon.output()).expect("it is text");
        assert_eq!(others(&output, "busy | busy"), once(expected), "lines are whole and none is empty");
    }
}

#[test]
fn json_on_the_console_marks_parts_of_lines() {
    let json = "format = \"json\"";
    let daemon = Setting::supervising(halting("echo ' a line'", json) + &busy(json)).start();
    let parts = |output: &[u8]| -> Vec<(Value, Value, Value)> {
        let text = String::from_utf8_lossy(output).into_owned();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let objects = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is an object"));
        let objects = objects.filter(|object| object["program"] == "web");
        objects.map(|object| (object["line"].clone(), object["part"].clone(), object["last"].clone())).collect()
    };
    let first = ("half".into(), 1.into(), Value::Null);
    wait_for_output(&daemon, "the beginning", |output| parts(output) == [first.clone()]);
    go(&daemon);
    let last = (" a line".into(), 2.into(), true.into());
    wait_for_output(&daemon, "the rest", |output| parts(output) == [first.clone(), last.clone()]);
}

/// Of 200 lines, 66 were merged into a long one.
#[test]
fn long_lines_stay_apart_from_others_on_the_raw_console_and_in_a_shared_file() {
    const LENGTH: usize = 300_000;
    for (logs, is_file) in [("format = \"raw\"", false), ("stdout = \"{here}/shared.log\"", true)] {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let source = directory.path().join("source");
        fs::write(&source, "x".repeat(LENGTH / 6)).expect("the test directory is writable");
        let logs = format!("logs = {{ {logs}, overflow = \"block\" }}");
        let piece = format!("cat {}", source.display());
        let write = format!(
            "i=0; while [ $i -lt 20 ]; do {}; echo; i=$((i+1)); done; touch {{here}}/done; echo end; sleep 1000",
            [piece.as_str(); 6].join("; ")
        );
        let short = "until [ -e {here}/done ]; do echo short; done; echo end; sleep 1000";
        let mut daemon = Setting::supervising(program("long", &write, &logs) + &program("short", short, &logs)).start();
        let text = || match is_file {
            true => read(&daemon.path("shared.log")),
            false => String::from_utf8_lossy(&daemon.output()).into_owned(),
        };
        wait_until("all is written", || text().lines().filter(|line| *line == "end").count() == 2);
        let text = text();
        daemon.finish();
        let long: Vec<&str> = text.lines().filter(|line| line.contains('x')).collect();
        assert!(long.iter().all(|line| line.bytes().all(|byte| byte == b'x')), "other lines are merged in");
        assert_eq!(long.iter().map(|line| line.len()).sum::<usize>(), 20 * LENGTH);
        let known = text.lines().filter(|line| matches!(*line, "short" | "end")).count();
        assert_eq!(known + long.len(), text.lines().count(), "no line is empty or torn");
        // On a busy machine a line may seem idle and be written in parts.
        let whole = long.iter().filter(|line| line.len() == LENGTH).count();
        assert!(whole >= 15, "{whole} of 20 are whole");
    }
}

#[test]
fn a_line_without_end_beside_others_costs_no_memory_and_is_broken_at_a_newline_only() {
    let raw = "logs = { format = \"raw\", overflow = \"block\" }";
    let programs = program("long", "head -c 30000000 /dev/zero | tr '\\000' x; echo; echo end; sleep 1000", raw)
        + &program("short", "while :; do echo short; sleep 0.01; done", raw);
    let mut daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("long");
    wait_for_output(&daemon, "the end", |output| contains(&output[output.len().saturating_sub(10_000)..], "\nend\n"));
    let peak = daemon.memory("VmHWM");
    daemon.finish();
    let output = String::from_utf8(daemon.output()).expect("it is text");
    let is_long = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte == b'x');
    assert!(output.lines().all(|line| line == "short" || line == "end" || is_long(line)), "a line is mixed or empty");
    assert_eq!(output.bytes().filter(|&byte| byte == b'x').count(), 30_000_000);
    assert!(peak < 64 * 1024, "30 MB went through and the daemon had {peak} kB");
}

#[test]
fn progress_that_is_drawn_without_a_pause_is_shown() {
    let script = "i=0; while :; do i=$((i+1)); printf \"$i%%\\r\"; sleep 0.05; done";
    let daemon = Setting::supervising(program("web", script, "")).start();
    wait_for_output(&daemon, "progress", |output| output.starts_with(b"web | 1%\\r2%"));
}

#[test]
fn the_daemon_sleeps_while_lines_are_open() {
    let daemon = Setting::supervising(program("web", "printf half; printf more >&2; sleep 1000", "")).start();
    wait_for_output(&daemon, "the beginning", |output| contains(output, "web | half"));
    wait_until("the other", || daemon.log.text().contains("web | more"));
    let pump = || -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs").flatten();
        let of_pump = |status: &String| status.starts_with("Name:\tlogs\n");
        let status = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
        status.filter(of_pump).collect()
    };
    let switches = || -> u64 {
        let lines = pump().concat();
        let counts = lines.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        counts.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
    };
    assert_eq!(pump().len(), 1);
    // Memory is given back up to two seconds after the last line; nothing wakes the thread after that.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let before = switches();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(switches() - before, 0, "the thread woke up");
}
