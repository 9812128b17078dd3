//! Destinations of one stream: descriptors of the daemon, files whose names the daemon chose, and the removal of terminal
//! sequences.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_logs::Source;
use muster_spec::{Hook, OutputSpec, PerStream, Rotation, RunId, Sink, Target};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::scene::{Scene, instance};

fn to(path: &str) -> Target {
    Target::Capture(vec![Sink::Descriptor(PathBuf::from(path))])
}

#[test]
fn each_stream_goes_as_it_is_to_the_descriptor_that_its_path_names() {
    let mut scene = Scene::new();
    let output = OutputSpec { stdout: to("/dev/stderr"), stderr: Some(to("/proc/self/fd/1")), ..OutputSpec::default() };
    let web = instance("web", output);
    let (mut stdout, mut stderr) = (scene.open(&web, 1, Source::Stdout), scene.open(&web, 1, Source::Stderr));
    // Each write is passed on without waiting for the end of its line, and nothing is added to it.
    for text in ["half", " a line\r", "\n\n\0\u{1b}[31m", "no end"] {
        stdout.write_all(text.as_bytes()).unwrap();
        scene.expect(1, text.as_bytes());
    }
    stderr.write_all(b"other\n").unwrap();
    scene.expect(0, b"other\n");
    drop((stdout, stderr));

    // The next run continues where the last one stopped; a program that changed its descriptor gets a place there.
    let mut stdout = scene.open(&web, 2, Source::Stdout);
    stdout.write_all(b"\nnext\n").unwrap();
    scene.expect(1, b"\nnext\n");
    let output = OutputSpec { stdout: to("/dev/fd/1"), stderr: None, ..OutputSpec::default() };
    let mut stdout = scene.open(&instance("web", output), 3, Source::Stdout);
    stdout.write_all(b"moved").unwrap();
    scene.expect(0, b"moved");
    assert_eq!(scene.logs.file_of(&web, muster_logs::Wanted::Both).map(|_| ()), None);
    let last = scene.logs.last_lines("web", RunId(2));
    assert!(last.iter().any(|line| *line.text == *b"next"), "memory has it, too: {last:?}");
}

#[test]
fn a_descriptor_that_was_not_inherited_is_not_written_to() {
    let mut scene = Scene::new();
    let (reading, writing) = muster_sys::fd::output_pipe().unwrap();
    let own = std::os::fd::AsRawFd::as_raw_fd(&writing);
    let output = OutputSpec { stdout: to(&format!("/dev/fd/{own}")), stderr: None, ..OutputSpec::default() };
    let web = instance("web", output);
    let mut stdout = scene.open(&web, 1, Source::Stdout);
    stdout.write_all(b"kept\n").unwrap();
    drop(stdout);
    let began = Instant::now();
    while scene.logs.last_lines("web", RunId(1)).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(40), "memory has it");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(muster_sys::fd::readable(reading.as_fd()).unwrap(), 0);
    let other = instance("other", OutputSpec { stdout: to("/dev/stdout"), stderr: None, ..OutputSpec::default() });
    scene.open(&other, 2, Source::Stdout).write_all(b"x").unwrap();
    scene.expect(0, b"x");
}

#[test]
fn sequences_are_removed_from_one_stream_before_anything_sees_them() {
    let mut scene = Scene::new();
    let output = OutputSpec {
        stdout: to("/dev/stdout"),
        stderr: Some(to("/dev/stderr")),
        strip_ansi: PerStream { stdout: true, stderr: false },
        ..OutputSpec::default()
    };
    let web = instance("web", output);
    let (mut stdout, mut stderr) = (scene.open(&web, 1, Source::Stdout), scene.open(&web, 1, Source::Stderr));
    stderr.write_all(b"\x1b[1mbold\n").unwrap();
    scene.expect(1, b"\x1b[1mbold\n");
    stdout.write_all(b"a\x1b[1").unwrap();
    scene.expect(0, b"a");
    stdout.write_all(b";31mred\n\x1b[0").unwrap();
    scene.expect(0, b"red\n");
    drop(stdout);
    scene.expect(0, b"\x1b[0");
}

#[test]
fn the_oldest_of_too_many_runs_is_no_longer_read_also_among_those_of_hooks() {
    let mut scene = Scene::new();
    let web = instance("web", OutputSpec { stdout: to("/dev/stdout"), stderr: None, ..OutputSpec::default() });
    // Other processes hold what the hooks of five runs wrote to. Their numbers are higher than that of any run.
    let numbers = (1..=5).map(|run| Hook::PostStop.output_of(RunId(run)).0);
    let left: Vec<File> = numbers.map(|number| scene.open(&web, number, Source::Stdout)).collect();
    let mut main = scene.open(&web, 6, Source::Stdout);
    let is_closed = |end: &File| {
        let mut polled = [PollFd::new(end.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).unwrap() == 1
    };
    let began = Instant::now();
    while !is_closed(&left[0]) {
        assert!(began.elapsed() < Duration::from_secs(40), "{:?}", left.iter().map(is_closed).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(2));
    }
    main.write_all(b"new").unwrap();
    scene.expect(0, b"new");
    assert!(!left[1..].iter().any(is_closed));
}

#[test]
fn an_automatic_file_is_private_and_rotated_with_its_streams_own_settings() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let automatic = |name: &str| Target::Capture(vec![Sink::Auto(Some(at(name)))]);
    let rotation = |max_size| Rotation { max_size, max_files: 2, compress: false };
    let output = OutputSpec {
        stdout: automatic("out.log"),
        stderr: Some(automatic("err.log")),
        rotation: PerStream { stdout: rotation(10), stderr: rotation(0) },
        ..OutputSpec::default()
    };
    let (scene, web) = (Scene::new(), instance("web", output));
    for source in Source::BOTH {
        scene.open(&web, 1, source).write_all(b"twelve bytes\nmore\n").unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
    let began = Instant::now();
    let expected = ["more\n", "twelve bytes\n", "twelve bytes\nmore\n", ""].map(str::to_owned);
    while ["out.log", "out.log.1", "err.log", "err.log.1"].map(read) != expected {
        assert!(began.elapsed() < Duration::from_secs(40), "{:?}", ["out.log", "out.log.1", "err.log"].map(read));
        std::thread::sleep(Duration::from_millis(2));
    }
    for name in ["out.log", "out.log.1", "err.log"] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(at(name)).unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    assert!(scene.logs.file_of(&web, muster_logs::Wanted::Both).is_some());

    // Without a file the output is in memory only.
    let output = OutputSpec { stdout: Target::Capture(vec![Sink::Auto(None)]), stderr: None, ..OutputSpec::default() };
    let other = instance("other", output);
    scene.open(&other, 2, Source::Stdout).write_all(b"kept\n").unwrap();
    while scene.logs.last_lines("other", RunId(2)).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(40), "memory has it");
        std::thread::sleep(Duration::from_millis(2));
    }
}
