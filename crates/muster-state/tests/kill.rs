//! A process that writes documents is killed at random moments: none of them is ever lost or half, and each is at least as new as
//! the last one that was acknowledged.
//!
//! `MUSTER_ACCEPTANCE=1` kills a thousand times.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_state::{Directory, Memory};

/// The variable that makes this executable the writer, and has its directory.
const WRITER: &str = "MUSTER_TEST_STATE_WRITER";

/// Writes larger and larger documents, and says each number when it is written.
fn write_without_end(at: &Path) -> ! {
    let directory = Directory::open(at).expect("the directory is the test's own");
    for number in 1u64.. {
        let names = (0..number % 500).map(|name| format!("p{name:05}"));
        let names: Vec<String> = std::iter::once(format!("{number:020}")).chain(names).collect();
        let text = format!("{{\"v\":1,\"stopped\":{names:?}}}");
        directory.write("stopped.json", text.as_bytes()).expect("it can be written");
        println!("{number}");
    }
    unreachable!("there are enough numbers")
}

/// The number in the document.
fn number(memory: &Memory) -> Option<u64> {
    memory.stopped.iter().next()?.parse().ok()
}

#[test]
fn no_kill_loses_or_halves_a_document() {
    if let Some(at) = std::env::var_os(WRITER) {
        write_without_end(Path::new(&at));
    }
    let times = if std::env::var_os("MUSTER_ACCEPTANCE").is_some() { 1000 } else { 40 };
    let private = Permissions::from_mode(0o700);
    let place = tempfile::Builder::new().permissions(private).tempdir().expect("there is room");
    let mut seed = u64::from(std::process::id());
    let (mut leftovers, began) = (0, Instant::now());
    for kill in 0..times {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = "no_kill_loses_or_halves_a_document";
        let mut writer = Command::new(std::env::current_exe().expect("it is there"))
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(WRITER, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be executed");
        let mut said = BufReader::new(writer.stdout.take().expect("it is a pipe")).lines().map_while(Result::ok);
        let mut numbers = said.by_ref().filter_map(|line| line.trim().parse::<u64>().ok());
        let mut last = numbers.next().expect("it writes");
        // At any moment of the writes that follow.
        std::thread::sleep(Duration::from_micros((seed >> 33) % 3000));
        writer.kill().expect("it is running");
        last = numbers.last().unwrap_or(last);
        writer.wait().expect("it was killed");
        leftovers += u32::from(place.path().join("stopped.json.new").exists());
        let directory = Directory::open(place.path()).expect("its lock is gone with it");
        let memory = Memory::read(&directory);
        let found = number(&memory);
        assert!(found == Some(last) || found == Some(last + 1), "kill {kill}: {found:?} after {last}");
        assert!(!place.path().join("stopped.json.bad").exists(), "kill {kill}");
    }
    println!("{times} kills in {:?}, {leftovers} of them within a write", began.elapsed());
    assert!(leftovers > 0, "no kill came within a write");
}
