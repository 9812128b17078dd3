//! Earlier output: from memory and from files, selected by lines, time and stream, exactly as it was written.

use std::fs;

use super::harness::{Setting, wait_until};
use super::log::script;

const NUMBERS: &str = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line number $i; done";

fn numbers(from: usize, to: usize) -> String {
    (from..=to).map(|number| format!("line number {number}\n")).collect()
}

#[test]
fn the_last_lines_come_from_memory() {
    let daemon = Setting::supervising(script("web", NUMBERS, "")).start();
    daemon.wait_for_state("web", "EXITED");
    assert_eq!(daemon.ctl_well(&["logs", "web"]), numbers(2901, 3000), "100 by default");
    for (lines, from) in [("1", 3000), ("250", 2751), ("3000", 1), ("99999", 1)] {
        assert_eq!(daemon.ctl_well(&["tail", "-n", lines, "web"]), numbers(from, 3000));
    }
    assert_eq!(daemon.ctl_well(&["logs", "web", "-n", "0"]), "");
    assert_eq!(
        daemon.client.get("/v1/programs/web/logs?lines=2").body.split("\r\n").nth(1),
        Some("line number 2999\nline number 3000\n")
    );
}

#[test]
fn older_lines_come_from_files_rotated_and_compressed() {
    let logs = "logs = { stdout = \"{here}/web.log\", max_size = \"4KB\", max_files = 50, compress = true }";
    let daemon = Setting::supervising(script("web", NUMBERS, logs)).start();
    daemon.wait_for_state("web", "EXITED");
    let compressed = || {
        let names = fs::read_dir(daemon.path("")).into_iter().flatten().flatten().map(|file| file.file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".gz")).count()
    };
    wait_until("files are compressed", || compressed() > 5);
    for lines in [10, 500, 1500, 2999, 3000] {
        let told = daemon.ctl_well(&["logs", "web", "-n", &lines.to_string()]);
        assert!(told == numbers(3001 - lines, 3000), "{lines} lines: {}", told.lines().count());
    }
    assert!(daemon.ctl_well(&["logs", "web", "--since", "1h"]) == numbers(1, 3000));
    assert_eq!(daemon.ctl_well(&["clear", "web"]), "web: cleared\n");
    assert_eq!(daemon.ctl_well(&["logs", "web"]), "");
    assert_eq!(fs::read(daemon.path("web.log")).expect("it exists"), b"");
}

#[test]
fn a_restarted_daemon_shows_the_log_of_its_predecessor() {
    let logs = "autostart = false\nlogs = { stdout = \"{here}/web.log\" }";
    let mut daemon = Setting::supervising(script("web", "echo once more", logs)).start();
    daemon.ctl_well(&["start", "web"]);
    daemon.kill_and_start_again();
    assert_eq!(daemon.ctl_well(&["logs", "web"]), "once more\n");
    daemon.ctl_well(&["start", "web"]);
    assert_eq!(daemon.ctl_well(&["logs", "web"]), "once more\nonce more\n");
}

#[test]
fn streams_and_moments_are_chosen() {
    let both = "echo out; echo err >&2; while [ ! -e {here}/go ]; do sleep 0.01; done; echo late";
    let daemon = Setting::supervising(script("web", both, "startsecs = 0")).start();
    let shown = |words: &[&str]| daemon.ctl_well(&[&["logs", "web"], words].concat());
    wait_until("both are there", || shown(&[]).lines().count() == 2);
    assert_eq!((shown(&["--stdout"]), shown(&["--stderr"])), ("out\n".into(), "err\n".into()));
    // A moment between the early lines and the late one, in the log's own timestamp format.
    std::thread::sleep(std::time::Duration::from_millis(5));
    fs::write(daemon.path("go"), "").expect("the test directory is writable");
    daemon.wait_for_state("web", "EXITED");
    let entries = shown(&["--json"]);
    let late = entries.lines().find(|line| line.contains("late")).expect("it was written");
    let entry: serde_json::Value = serde_json::from_str(late).expect("entries are JSON");
    assert_eq!(
        (&entry["kind"], &entry["program"], &entry["stream"]),
        (&"line".into(), &"web".into(), &"stdout".into())
    );
    let moment = entry["time"].as_str().expect("it has a time");
    assert_eq!(shown(&["--since", moment]), "late\n");
    assert_eq!(shown(&["--since", "1h", "-n", "1"]), "late\n");
    assert_eq!(shown(&["--since", "2030-01-01T00:00:00Z"]), "");
    assert!(shown(&["-t"]).ends_with(&format!("{moment} late\n")));
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
    let bytes: Vec<u8> = (0..=255).chain(*b"\ncaf\xc3\n\x1b[31mred\r\n\0\0\nhalf \xe2\x82").collect();
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    fs::write(directory.path().join("bytes"), &bytes).expect("the test directory is writable");
    let cat = format!("cat {}/bytes", directory.path().display());
    let daemon = Setting::supervising(script("web", &cat, "")).start();
    daemon.wait_for_state("web", "EXITED");
    let raw = daemon.ctl_command(&["logs", "web"]).output().expect("it can be executed");
    assert_eq!(raw.stdout, bytes);
    let entries = daemon.ctl_well(&["logs", "web", "--json"]);
    let last: serde_json::Value = serde_json::from_str(entries.lines().last().unwrap_or_default()).expect("it is JSON");
    assert_eq!(
        (&last["line"], &last["bytes"], &last["ended"]),
        (&"half \u{fffd}".into(), &"aGFsZiDigg==".into(), &false.into())
    );
}

#[test]
fn several_programs_are_in_the_order_of_time() {
    // Each line is written in reply to the other program's previous one.
    let player = |word: &str, other: &str, lead: u8| {
        let wait = format!("until [ -e {{here}}/{other}$(($i - {lead})) ]; do sleep 0.01; done");
        let turn = format!("{wait}; echo {word} $i; touch {{here}}/{word}$i");
        script(word, &format!("touch {{here}}/{word}0; for i in 1 2 3 4 5 6 7 8 9; do {turn}; done"), "")
    };
    let daemon = Setting::supervising([player("ping", "pong", 1), player("pong", "ping", 0)].concat()).start();
    daemon.wait_for_state("ping", "EXITED");
    daemon.wait_for_state("pong", "EXITED");
    let told = daemon.ctl_well(&["logs", "all", "-t"]);
    let times: Vec<&str> = told.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(times.len(), 18, "{told}");
    assert!(times.is_sorted(), "{told}");
    let without_times: Vec<&str> = told.lines().filter_map(|line| line.split_once(' ')).map(|(_, line)| line).collect();
    for word in ["ping", "pong"] {
        let of_one: Vec<&str> =
            without_times.iter().filter_map(|line| line.strip_prefix(&format!("{word} | "))).collect();
        assert_eq!(of_one, (1..=9).map(|number| format!("{word} {number}")).collect::<Vec<_>>());
    }
    let first_pong = without_times.iter().position(|line| line.starts_with("pong")).expect("it exists");
    assert!(first_pong < 9, "they take turns: {told}");
}

/// More than the number of files that the daemon reads at once.
#[test]
fn a_dozen_programs_with_files_are_shown_at_once() {
    let logs = |name: &str| format!("logs = {{ stdout = \"{{here}}/{name}.log\", memory = \"4KB\" }}");
    let names: Vec<String> = (0..12).map(|number| format!("web{number}")).collect();
    let short = NUMBERS.replace("3000", "400");
    let programs: String = names.iter().map(|name| script(name, &short, &logs(name))).collect();
    let daemon = Setting::supervising(programs).start();
    names.iter().for_each(|name| drop(daemon.wait_for_state(name, "EXITED")));
    let told = daemon.ctl_well(&["logs", "all", "-n", "400"]);
    for name in &names {
        let prefix = format!("{name} | ");
        let lines: String =
            told.lines().filter_map(|line| line.strip_prefix(&prefix)).map(|line| format!("{line}\n")).collect();
        assert!(lines == numbers(1, 400), "{name}: {} lines", lines.lines().count());
    }
}

#[test]
fn the_daemons_own_messages_are_remembered() {
    let daemon = Setting::supervising(script("web", "true", "")).start();
    daemon.wait_for_state("web", "EXITED");
    let told = daemon.ctl_well(&["maintail"]);
    assert!(told.contains("musterd is up") && told.lines().all(|line| line.starts_with('{')), "{told}");
    assert_eq!(daemon.ctl_well(&["maintail", "-n", "1"]).lines().count(), 1);
}

#[test]
fn a_name_that_is_none_and_a_reader_that_has_seen_enough_have_their_exit_codes() {
    let daemon = Setting::supervising(script("web", NUMBERS, "")).start();
    daemon.wait_for_state("web", "EXITED");
    assert_eq!(daemon.ctl(&["logs", "wbe"]).code, Some(4));
    assert_eq!(daemon.ctl(&["clear", "wbe"]).code, Some(4));
    let ctl = crate::harness::musterctl();
    let line = format!("{{ '{ctl}' -s {} logs web -n 3000; echo $? >&2; }} | head -1", daemon.socket().display());
    let output = std::process::Command::new("sh").args(["-c", &line]).output().expect("sh is installed");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "line number 1\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n", "it exits without a message");
}
