//! Destinations of one stream: descriptors of the daemon, files whose names the daemon chose, and the removal of terminal
//! sequences.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_logs::{Console, Consoles, Logs, Source};
use muster_spec::{InstanceSpec, OutputSpec, PerStream, ProcessSpec, Rotation, RunId, Sink, SyslogSpec, Target};

fn to(path: &str) -> Target {
    Target::Capture(vec![Sink::Descriptor(PathBuf::from(path))])
}

fn instance(name: &str, output: OutputSpec) -> InstanceSpec {
    InstanceSpec {
        name: name.to_owned(),
        index: 0,
        process: ProcessSpec::of(vec!["true".to_owned()]),
        output: output.into(),
        ready: None,
        start_timeout: InstanceSpec::START_TIMEOUT,
        watchdog: None,
        memory_max: None,
        variable_files: std::sync::Arc::default(),
        probes: Vec::new(),
        hooks: muster_spec::Hooks::default(),
    }
}

/// The log threads, and the other ends of both descriptors.
struct Scene {
    logs: Logs,
    ends: [File; 2],
}

impl Scene {
    fn new() -> Scene {
        let console = |name| {
            let (reading, writing) = muster_sys::fd::output_pipe().expect("it works on every machine");
            (Console::start(name, writing).expect("it works on every machine"), File::from(reading))
        };
        let ((stdout, out), (stderr, err)) = (console("out"), console("err"));
        let logs = Logs::start(Consoles { stdout, stderr, own_log: None, own_syslog: None }, SyslogSpec::default())
            .expect("it works on every machine");
        Scene { logs, ends: [out, err] }
    }

    /// The writing end of a stream of a run.
    fn open(&self, spec: &InstanceSpec, run: u64, source: Source) -> File {
        let sinks = source.target(&spec.output).expect("it works on every machine").sinks();
        let pipe = self.logs.open_pipe(RunId(run), spec, source, sinks, None).expect("it works on every machine");
        self.logs.bind(pipe.reading, None);
        File::from(pipe.writing)
    }

    /// Waits until this was written to a descriptor, and nothing else.
    fn expect(&mut self, end: usize, expected: &[u8]) {
        let (mut read, began) = (Vec::new(), Instant::now());
        while read.len() < expected.len() {
            assert!(began.elapsed() < Duration::from_secs(40), "{:?}", String::from_utf8_lossy(&read));
            let mut buffer = vec![0; 4096];
            match self.ends[end].read(&mut buffer) {
                Ok(count) => read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
    }
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
    assert_eq!(muster_sys::fd::readable(std::os::fd::AsFd::as_fd(&reading)).unwrap(), 0);
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
