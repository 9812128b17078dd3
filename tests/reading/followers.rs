//! Five hundred followers of the same program, half of which never read.

use std::io::Read;
use std::time::{Duration, Instant};

use super::harness::Setting;
use super::log::{Stream, script};

/// How much is written: far more than memory and sockets hold, and at most what a slow machine can read 250 times.
const LINES: u64 = 20_000;
const LINE: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678";

/// Reads up to the last line, and returns how many bytes arrived and how many were reported missed.
fn read_to_the_end(mut stream: Stream) -> (u64, u64) {
    let mut text = Vec::new();
    let mut piece = [0; 65536];
    while !text.ends_with(b"end\n") {
        let count = stream.read(&mut piece).expect("the stream continues");
        assert!(count > 0, "it ended early");
        text.extend_from_slice(&piece[..count]);
    }
    let text = String::from_utf8(text).expect("it is ASCII");
    let (mut came, mut missed) = (0, 0);
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\nmusterd | ") {
        let (number, after) =
            after.split_once(" bytes missed here: they were not read in time\n").expect("the gap is reported");
        came += before.len() as u64;
        missed += number.parse::<u64>().expect("it is a number");
        rest = after;
    }
    (came + rest.len() as u64, missed)
}

#[test]
fn five_hundred_followers_half_of_them_stalled_affect_no_other_client_and_every_byte_is_counted() {
    let write = format!("yes {LINE} | head -{LINES}; echo end; sleep 1000");
    let programs =
        script("web", &write, "autostart = false\nstartsecs = 0") + &script("other", "sleep 1000", "startsecs = 0");
    let daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("other");
    let before = daemon.memory("RssAnon");
    let follow = || Stream::of(&daemon, "/v1/programs/web/logs?follow=true&lines=0");
    let silent: Vec<Stream> = (0..250).map(|_| follow()).collect();
    let readers: Vec<_> = (0..250)
        .map(|_| {
            let stream = follow();
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || read_to_the_end(stream))
                .expect("threads can be had")
        })
        .collect();
    daemon.ctl_well(&["start", "web"]);
    // Meanwhile everything else works as usual.
    let mut slowest = Duration::ZERO;
    let (mut looks, mut peak) = (0, 0);
    while readers.iter().any(|reader| !reader.is_finished()) {
        let began = Instant::now();
        assert_eq!(daemon.client.get("/v1/programs/other").status, 200);
        slowest = slowest.max(began.elapsed());
        peak = peak.max(daemon.memory("RssAnon"));
        looks += 1;
    }
    daemon.ctl_well(&["restart", "other"]);
    // A follower that does not read holds its connection to the end.
    peak = peak.max(daemon.memory("RssAnon"));
    let written = LINES * 80 + 4;
    for reader in readers {
        let (came, missed) = reader.join().expect("a reader sees all of it");
        assert_eq!(came + missed, written);
    }
    // A follower that did not read learns how much it missed as soon as it reads.
    for stream in silent.into_iter().take(25) {
        let (came, missed) = read_to_the_end(stream);
        assert_eq!(came + missed, written);
        assert!(missed > 0, "no buffer holds that much for it");
    }
    assert!(peak < 40 * 1024, "the daemon had {peak} kB of its own");
    assert!(slowest < Duration::from_secs(5), "{slowest:?} in {looks} looks");
    eprintln!(
        "500 followers: {before} kB before, {peak} kB at the peak; the slowest of {looks} looks took {slowest:?}"
    );
}

/// Programs take precedence where descriptors are few.
#[test]
fn followers_leave_enough_descriptors_to_programs() {
    let programs = script("web", "sleep 1000", "startsecs = 0")
        + &script("late", "sleep 1000", "autostart = false\nstartsecs = 0");
    let daemon = Setting::supervising(programs).wrapped(&["prlimit", "--nofile=160", "--"]).start();
    daemon.wait_for_running("web");
    let path = "/v1/programs/web/logs?follow=true";
    // A quarter of what supervision leaves, two descriptors each.
    let _some: Vec<Stream> = (0..14).map(|_| Stream::of(&daemon, path)).collect();
    let answer = daemon.client.get(path);
    assert_eq!((answer.status, answer.json()["type"].clone()), (503, "urn:muster:busy".into()));
    daemon.ctl_well(&["start", "late"]);
}

#[test]
fn followers_are_limited_to_the_documented_number() {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("it can be read");
    if hard < 4096 {
        return super::harness::skip("so many followers need more descriptors than the hard limit allows");
    }
    let daemon = Setting::supervising(script("web", "sleep 1000", "startsecs = 0")).start();
    let path = "/v1/programs/web/logs?follow=true";
    let streams: Vec<Stream> = (0..512).map(|_| Stream::of(&daemon, path)).collect();
    let answer = daemon.client.get(path);
    assert_eq!((answer.status, answer.json()["type"].clone()), (503, "urn:muster:busy".into()));
    assert_eq!(daemon.client.get("/v1/programs/web/logs").status, 200, "reading is not following");
    assert_eq!(daemon.client.get("/v1/info").status, 200);
    drop(streams);
}
