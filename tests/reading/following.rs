//! Following: new output, across restarts and rotations, until either side ends it.

use std::io::Read;
use std::process::Stdio;

use super::harness::{Setting, wait_until};
use super::log::{Stream, script};

const ON_DEMAND: &str = "autostart = false\nstartsecs = 0\nrestart = \"always\"\nbackoff = { delay = \"0s\" }";

#[test]
fn following_continues_across_restarts_and_rotations() {
    let write = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo $i; done; while :; do sleep 1000; done";
    let logs = format!("{ON_DEMAND}\nlogs = {{ stdout = \"{{here}}/web.log\", max_size = \"1KB\", max_files = 2 }}");
    let program = script("web", write, &logs).replace("type = \"oneshot\"\n", "");
    let daemon = Setting::supervising(program).start();
    let mut stream = Stream::of(&daemon, "/v1/programs/web/logs?follow=true&format=json");
    stream.go_live();
    daemon.ctl_well(&["start", "web"]);
    for run in 0..3 {
        let numbers: Vec<String> = (0..500).map_while(|_| stream.line()).collect();
        assert_eq!(numbers, (1..=500).map(|number| number.to_string()).collect::<Vec<_>>(), "run {run}");
        wait_until("it is rotated", || daemon.path("web.log.1").exists());
        super::harness::send(daemon.pid_of("web"), 9);
    }
}

#[test]
fn an_incomplete_line_is_followed_beside_a_busy_stream_and_by_later_followers() {
    let write = "printf \"name? \"; until [ -e {here}/go ]; do echo busy >&2; sleep 0.02; done; echo hello; printf last; \
                 while :; do echo busy >&2; sleep 0.02; done";
    let daemon = Setting::supervising(script("web", write, "startsecs = 0")).start();
    daemon.wait_for_running("web");
    let follow = || Stream::of(&daemon, "/v1/programs/web/logs?stream=stdout&follow=true&format=json");
    let part = |stream: &mut Stream| loop {
        let entry = stream.entry().expect("the stream continues");
        if entry["kind"] == "line" {
            return (entry["line"].as_str().expect("text").to_owned(), entry["ended"] == true);
        }
    };
    let mut stream = follow();
    assert_eq!(part(&mut stream), ("name? ".to_owned(), false));
    let mut later = follow();
    assert_eq!(part(&mut later), ("name? ".to_owned(), false));
    std::fs::write(daemon.path("go"), "").expect("the test directory is writable");
    for mut stream in [stream, later] {
        assert_eq!(part(&mut stream), ("hello".to_owned(), true));
        assert_eq!(part(&mut stream), ("last".to_owned(), false));
    }
    let history = daemon.client.get("/v1/programs/web/logs?stream=stdout&format=json").body;
    assert!(history.contains("\"line\":\"name? hello\""), "output delivered in parts is one line: {history}");
}

#[test]
fn a_follower_gets_the_last_lines_and_a_regular_end() {
    let program = script("web", "trap \"echo last words; exit\" TERM; while :; do sleep 0.01; done", "startsecs = 0");
    let mut daemon = Setting::supervising(program).start();
    daemon.wait_for_running("web");
    let mut stream = Stream::of(&daemon, "/v1/programs/web/logs?follow=true");
    let mut own = Stream::of(&daemon, "/v1/logs?follow=true&lines=0");
    daemon.finish();
    let (mut said, mut told) = (String::new(), String::new());
    stream.read_to_string(&mut said).expect("it ends properly");
    own.read_to_string(&mut told).expect("it ends properly");
    assert_eq!(said, "last words\n");
    assert!(told.contains("\"exiting\"") || told.contains("stopped"), "{told}");
}

#[test]
fn musterctl_follows_several_programs_and_stops_with_its_reader() {
    let pace = |word: &str| {
        script(word, &format!("i=0; while :; do i=$((i+1)); echo {word} $i; sleep 0.01; done"), "startsecs = 0")
    };
    let daemon = Setting::supervising([pace("ping"), pace("pong")].concat()).start();
    let mut command = daemon.ctl_command(&["logs", "-f", "all", "-n", "1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it can be executed");
    let mut told = Vec::new();
    let mut out = child.stdout.take().expect("it is piped");
    wait_until("both have written", || {
        let mut piece = [0; 4096];
        let count = out.read(&mut piece).expect("the stream continues");
        told.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&told);
        let lines = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        lines("ping | ping") > 20 && lines("pong | pong") > 20
    });
    drop(out);
    assert_eq!(child.wait().expect("it is a child of this process").code(), Some(0), "its reader has seen enough");
}

#[test]
fn a_client_that_disconnects_is_noticed_without_output() {
    let daemon = Setting::supervising(script("web", "sleep 1000", "startsecs = 0")).start();
    daemon.wait_for_running("web");
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count);
    let before = descriptors();
    let streams: Vec<Stream> = (0..20).map(|_| Stream::of(&daemon, "/v1/programs/web/logs?follow=true")).collect();
    assert!(descriptors() >= before + 20);
    drop(streams);
    wait_until("they are let go", || descriptors() <= before + 2);
}
