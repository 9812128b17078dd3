//! Not a byte is lost: the files, joined in order, hold exactly what was written.
//!
//! A little by default; `MUSTER_TEST_LOG_MB=1024` is 1 GiB for each of the 8 programs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::harness::{self, Setting};

const PROGRAMS: usize = 8;
const RUNS: usize = 4;

/// A simple generator; the same seed gives the same bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }
}

/// What one run writes: lines of random lengths, among them very long ones and binary junk.
fn write_source(path: &Path, seed: u64, size: usize) {
    let mut random = Random(seed);
    let mut file = std::io::BufWriter::new(File::create(path).expect("the test directory is writable"));
    let mut left = size;
    while left > 0 {
        let length = match random.next() % 100 {
            0 => random.next() % 200_000,
            1..10 => random.next() % 5000,
            _ => random.next() % 200,
        };
        let is_junk = random.next().is_multiple_of(4);
        let mut line: Vec<u8> = Vec::with_capacity(length as usize + 8);
        while line.len() < length as usize {
            let bytes = random.next().to_le_bytes();
            line.extend(bytes.iter().map(|&byte| if is_junk { byte } else { b'a' + byte % 26 }));
        }
        line.push(b'\n');
        line.truncate(left);
        file.write_all(&line).expect("there is room");
        left -= line.len();
    }
}

/// A checksum of the bytes of files in order (FNV-1a), and how many there are.
fn checksum(paths: impl Iterator<Item = PathBuf>) -> (u64, u64) {
    let (mut sum, mut count, mut buffer) = (0xcbf2_9ce4_8422_2325_u64, 0, vec![0; 1 << 20]);
    for path in paths {
        let mut file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        loop {
            let read = file.read(&mut buffer).expect("it can be read");
            if read == 0 {
                break;
            }
            count += read as u64;
            sum = buffer[..read].iter().fold(sum, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
    }
    (sum, count)
}

#[test]
fn eight_programs_lose_nothing_over_restarts_rotations_and_reopening() {
    let megabytes: usize = std::env::var("MUSTER_TEST_LOG_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let size = megabytes * (1 << 20) / RUNS;
    let sources = tempfile::tempdir().expect("a temporary directory can be created");
    let (last, reopened_often) = (RUNS - 1, sources.path().join("reopened-often"));
    let source = |program: usize, run: usize| sources.path().join(format!("{program}.{run}"));
    let mut programs = String::new();
    for program in 0..PROGRAMS {
        (0..RUNS).for_each(|run| write_source(&source(program, run), (program * 100 + run) as u64, size));
        // Each run writes its part and fails, so that the next one starts; the last does not fail, and waits until
        // files were reopened a few times.
        let state = sources.path().join(format!("{program}.next"));
        let (state, part) = (state.display(), sources.path().join(program.to_string()));
        let block = [4096, 65_536, 1_000_003, 777][program % 4];
        let script = format!(
            "n=$(cat {state} 2>/dev/null || echo 0); echo $((n+1)) > {state}; \
             until [ $n -lt {last} -o -e {} ]; do sleep 0.02; done; dd if={}.$n bs={block} status=none; [ $n -ge {last} ]",
            reopened_often.display(),
            part.display(),
        );
        programs.push_str(&format!(
            "[program.p{program}]\ntype = \"oneshot\"\nrestart = \"on-failure\"\nstartretries = 100\nbackoff = {{ delay = 0 }}\n\
             command = [\"sh\", \"-c\", '''{script}''']\n\
             logs = {{ stdout = \"{{here}}/p{program}.log\", max_size = \"{}KB\", max_files = 1000 }}\n",
            100 + size / 10_240
        ));
    }
    let mut daemon = Setting::supervising(programs).start();
    let mut reopened = 0;
    let began = Instant::now();
    let is_done = |program: usize| daemon.state(&format!("p{program}")) == "EXITED";
    while !(0..PROGRAMS).all(is_done) {
        assert!(began.elapsed() < harness::PATIENCE * (3 + megabytes as u32 / 100), "they do not end");
        daemon.signal(12);
        std::thread::sleep(Duration::from_millis(20));
        reopened += 1;
        if reopened == 3 {
            File::create(&reopened_often).expect("the test directory is writable");
        }
    }
    daemon.finish();
    for program in 0..PROGRAMS {
        let log = |number: usize| match number {
            0 => daemon.path(&format!("p{program}.log")),
            _ => daemon.path(&format!("p{program}.log.{number}")),
        };
        // If the last byte filled a file, no further file follows.
        let rotated = (1..).take_while(|&number| log(number).exists()).count();
        assert!(rotated >= 5, "{rotated} rotations");
        let files = (1..=rotated).rev().map(log).chain([log(0)].into_iter().filter(|path| path.exists()));
        let written = checksum((0..RUNS).map(|run| source(program, run)));
        assert_eq!(checksum(files), written, "what p{program} wrote");
        let torn = (1..=rotated).map(log).filter(|path| !fs::read(path).expect("it exists").ends_with(b"\n")).count();
        // Only a line over 64 KiB, or one that a run left unfinished, is split.
        assert!(torn <= RUNS + rotated / 2, "{torn} of {rotated} files end in the middle of a line");
    }
}

#[test]
fn output_written_before_sigkill_is_kept() {
    let script = "i=0; while :; do echo $$$$ $i; echo $$$$ $i >> {here}/progress; i=$((i+1)); done";
    let program = format!(
        "[program.web]\nstartsecs = 0\nrestart = \"always\"\nstartretries = \"unlimited\"\nbackoff = {{ delay = 0 }}\n\
         command = [\"sh\", \"-c\", '''{script}''']\nlogs = {{ stdout = \"{{here}}/web.log\" }}\n"
    );
    let mut daemon = Setting::supervising(program).start();
    let mut random = Random(Instant::now().elapsed().subsec_nanos().into());
    let mut pid = daemon.wait_for_running("web");
    let progress = daemon.path("progress");
    let said = || fs::metadata(&progress).map_or(0, |progress| progress.len());
    let mut before = 0;
    for _ in 0..6 {
        harness::wait_until("this run has written something", || said() > before);
        std::thread::sleep(Duration::from_micros(3000 + random.next() % 20_000));
        harness::send(pid, 9);
        let old = pid;
        // A dead run writes nothing more, so everything after this comes from the next one.
        harness::wait_until("it is dead", || harness::find(old).is_none_or(|process| process.is_zombie()));
        before = said();
        harness::wait_until("it runs again", || {
            pid = daemon.pid_of("web");
            pid != old
        });
    }
    daemon.finish();
    let read = |name: &str| fs::read_to_string(daemon.path(name)).expect("it exists");
    let (progress, log) = (read("progress"), read("web.log"));
    let mut pids: Vec<&str> = progress.lines().filter_map(|line| line.split(' ').next()).collect();
    pids.dedup();
    assert!(pids.len() >= 6, "{pids:?}");
    for pid in pids {
        let numbers = |text: &str| -> Vec<usize> {
            let of_pid = text.lines().filter_map(|line| line.split_once(' ')).filter(|(of, _)| *of == pid);
            of_pid.filter_map(|(_, number)| number.parse().ok()).collect()
        };
        let (said, logged) = (numbers(&progress), numbers(&log));
        assert_eq!(logged, (0..logged.len()).collect::<Vec<_>>(), "a line of run {pid} is missing");
        assert!((said.len()..=said.len() + 1).contains(&logged.len()), "{} of {} lines", logged.len(), said.len());
    }
}
