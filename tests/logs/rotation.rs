//! Log files that are rotated, compressed, shared, moved and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{self, Setting};
use super::script;

/// Numbered lines from 0.
fn numbers(count: usize) -> String {
    format!("i=0; while [ $i -lt {count} ]; do echo \"$i 0123456789012345678901234567890123456789\"; i=$((i+1)); done")
}

/// A rotated file's text, decompressed if necessary.
fn text_of(path: &Path) -> Option<String> {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    if packed.exists() {
        let unpacked = Command::new("gzip").arg("-dc").arg(&packed).output().expect("gzip is there");
        assert!(unpacked.status.success(), "{} is no gzip file", packed.display());
        return String::from_utf8(unpacked.stdout).ok();
    }
    fs::read_to_string(path).ok()
}

/// All files of a log joined, the oldest first, and their number.
fn joined(path: &Path) -> (String, usize) {
    let rotated = |number: usize| text_of(&PathBuf::from(format!("{}.{number}", path.display())));
    let mut texts: Vec<String> = (1..).map_while(rotated).collect();
    texts.reverse();
    texts.extend(fs::read_to_string(path).ok());
    (texts.concat(), texts.len())
}

fn assert_numbers(text: &str, count: usize) {
    let found: Vec<Option<usize>> = text.lines().map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert_eq!(found, (0..count).map(Some).collect::<Vec<_>>());
}

#[test]
fn files_are_rotated_at_the_end_of_a_line_and_the_oldest_go() {
    let logs = "stdout = \"{here}/web.log\", max_size = \"10KB\", max_files = 3";
    let mut daemon = Setting::supervising(script("web", &numbers(2000), logs)).start();
    daemon.wait_for_state("web", "EXITED");
    daemon.finish();
    let path = daemon.path("web.log");
    let (text, files) = joined(&path);
    assert_eq!(files, 4);
    assert!(!daemon.path("web.log.4").exists());
    let last: Vec<usize> = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert_eq!(last, (2000 - last.len()..2000).collect::<Vec<_>>(), "whole lines without a gap, up to the last");
    for number in 1..4 {
        let rotated = fs::read(daemon.path(&format!("web.log.{number}"))).expect("it exists");
        assert!((10_240..10_300).contains(&rotated.len()) && rotated.ends_with(b"\n"), "{} bytes", rotated.len());
    }
}

#[test]
fn rotated_files_are_compressed_and_nothing_is_missing() {
    let logs = "stdout = \"{here}/web.log\", max_size = \"20KB\", max_files = 100, compress = true";
    let mut daemon = Setting::supervising(script("web", &numbers(3000), logs)).start();
    daemon.wait_for_state("web", "EXITED");
    let path = daemon.path("web.log");
    harness::wait_until("all are compressed", || {
        let is_plain = |number: usize| daemon.path(&format!("web.log.{number}")).exists();
        let is_whole = fs::read_to_string(&path).is_ok_and(|last| last.lines().any(|line| line.starts_with("2999 ")));
        is_whole && !(1..20).any(is_plain) && !daemon.path("web.log.gz.unfinished").exists()
    });
    assert!(daemon.path("web.log.1.gz").exists());
    let (text, files) = joined(&path);
    assert!(files > 5);
    assert_numbers(&text, 3000);
    daemon.finish();
}

#[test]
fn lines_of_programs_that_share_a_file_stay_whole() {
    let line = |name: &str| name.repeat(150);
    let programs: String = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let half = line(name);
            let script_text = format!("i=0; while [ $i -lt 200 ]; do printf {half}; echo {half}; i=$((i+1)); done");
            script(
                name,
                &script_text,
                "stdout = \"{here}/shared.log\", stderr = \"none\", max_size = \"30KB\", max_files = 99",
            )
        })
        .collect();
    let mut daemon = Setting::supervising(programs).start();
    ["a", "b", "c"].iter().for_each(|name| drop(daemon.wait_for_state(name, "EXITED")));
    daemon.finish();
    let (text, files) = joined(&daemon.path("shared.log"));
    assert!(files > 2);
    for name in ["a", "b", "c"] {
        let whole = line(name).repeat(2);
        assert_eq!(text.lines().filter(|found| *found == whole).count(), 200, "lines of {name}");
    }
    assert_eq!(text.lines().count(), 600);
}

#[test]
fn a_file_moved_away_by_another_process_is_recreated_without_a_request() {
    let program = "[program.web]\nstartsecs = 0\nlogs = { stdout = \"{here}/web.log\" }\n\
                   command = [\"sh\", \"-c\", \"i=0; while :; do echo $i; i=$((i+1)); sleep 0.005; done\"]\n";
    let daemon = Setting::supervising(program).start();
    let (log, old) = (daemon.path("web.log"), daemon.path("web.log.1"));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    harness::wait_until("it writes", || read(&log).lines().count() > 3);
    fs::rename(&log, &old).expect("the test directory is writable");
    harness::wait_until("it writes to a new file", || read(&log).lines().count() > 3);
    let both = read(&old) + &read(&log);
    assert_numbers(&both, both.lines().count());
}

#[test]
fn a_log_directory_that_is_removed_is_made_again() {
    let program = "[program.web]\nstartsecs = 0\nlogs = { stdout = \"{here}/log/web.log\" }\n\
                   command = [\"sh\", \"-c\", \"i=0; while :; do echo $i; i=$((i+1)); sleep 0.005; done\"]\n";
    let mut daemon = Setting::supervising(program).start();
    let pid = daemon.wait_for_running("web");
    let log = daemon.path("log/web.log");
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    harness::wait_until("it writes", || lines() > 3);
    fs::remove_dir_all(daemon.path("log")).expect("the test directory is writable");
    harness::wait_until("it writes again", || lines() > 3);
    assert_eq!(daemon.pid_of("web"), pid);
    daemon.finish();
}

#[test]
fn other_limits_of_rotation_need_no_other_process() {
    let logs = |size: &str| format!("logs = {{ stdout = \"{{here}}/web.log\", max_size = \"{size}\" }}\n");
    let program = format!(
        "[program.web]\nstartsecs = 0\n{}\
         command = [\"sh\", \"-c\", \"i=0; while :; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); sleep 0.002; done\"]\n",
        logs("100MB")
    );
    let daemon = Setting::supervising(program).start();
    let pid = daemon.wait_for_running("web");
    let configuration = daemon.path("muster.toml");
    let text = fs::read_to_string(&configuration).expect("it exists");
    fs::write(&configuration, text.replace("100MB", "1KB")).expect("the test directory is writable");
    let answer = daemon.client.post("/v1/config/reload");
    assert_eq!(answer.status, 200, "{answer:?}");
    harness::wait_until("it is rotated", || daemon.path("web.log.2").exists());
    assert_eq!(daemon.pid_of("web"), pid);
}
