//! Throughput of program output: into files with rotation, and to the console with names, compared with bare loops in
//! C, and with supervisord and s6-log where they are installed.
//!
//! `MUSTER_BENCH_MB` is the amount written at once (default 400). Files go to the temporary directory (`TMPDIR`).

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::peers::{self, Peer};
use super::scene::{Running, Scene, compile, median, now_ns, report, signal};

const ROUNDS: usize = 5;
const LINES: usize = 2000;

/// Throughput and its cost.
#[derive(Clone, Copy)]
struct Speed {
    mb_per_second: f64,
    cpu_per_gb: f64,
}

impl Speed {
    fn of(bytes: u64, seconds: f64, cpu: f64) -> Speed {
        Speed { mb_per_second: bytes as f64 / 1e6 / seconds, cpu_per_gb: cpu / (bytes as f64 / 1e9) }
    }

    /// The fastest of several rounds: other work of the machine can only slow a round down.
    fn best(all: &[Speed]) -> Speed {
        *all.iter().max_by(|a, b| a.mb_per_second.total_cmp(&b.mb_per_second)).expect("there is a round")
    }
}

/// A load: a number of programs that write in the same manner.
struct Load {
    count: usize,
    bytes_each: u64,
    how: &'static str,
    /// The bytes of the whole load with `p0000 | ` in front of every line.
    shown: u64,
}

impl Load {
    fn new(pipes: &Path, count: usize, bytes_each: u64, how: &'static str) -> Load {
        let written = Command::new(pipes).args(["write", &bytes_each.to_string(), how]).output();
        let text = written.expect("it was compiled").stdout;
        // An incomplete last line is given a newline.
        let end = u64::from(!text.ends_with(b"\n"));
        let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64 + end;
        let shown = count as u64 * (bytes_each + end + "p0000 | ".len() as u64 * lines);
        Load { count, bytes_each, how, shown }
    }

    fn bytes(&self) -> u64 {
        self.bytes_each * self.count as u64
    }

    fn what(&self) -> String {
        let programs = if self.count == 1 { "one program".to_owned() } else { format!("{} programs", self.count) };
        format!("{programs}, a write per {}", if self.how == "line" { "line" } else { "64 KiB" })
    }
}

pub(crate) fn logs(scene: &Scene) {
    let pipes = compile(scene.directory.path(), "pipes");
    let megabytes: u64 = std::env::var("MUSTER_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    let bytes = megabytes * 1_000_000;
    let loads = [
        Load::new(&pipes, 1, bytes, "chunk"),
        Load::new(&pipes, 8, bytes / 8, "chunk"),
        Load::new(&pipes, 1, bytes / 4, "line"),
        Load::new(&pipes, 8, bytes / 16, "line"),
    ];
    for load in &loads {
        throughput(scene, &pipes, load);
    }
    latency(scene, &pipes);
    meanwhile(scene, &pipes);
}

fn throughput(scene: &Scene, pipes: &Path, load: &Load) {
    let [mut copy, mut splice, mut files, mut console] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        copy.push(bare_loop(scene, pipes, "copy", load));
        files.push(into_files(scene, pipes, load));
        splice.push(bare_loop(scene, pipes, "splice", load));
        console.push(to_console(scene, pipes, load));
    }
    let peers =
        peers::installed().map(|peer| (peer.name, peer_into_files(scene, pipes, load, &peer))).collect::<Vec<_>>();
    let [copy, splice, files, console] = [&copy, &splice, &files, &console].map(|speeds| Speed::best(speeds));
    let fastest = copy.mb_per_second.max(splice.mb_per_second);
    let cheapest = if copy.mb_per_second >= splice.mb_per_second { copy.cpu_per_gb } else { splice.cpu_per_gb };
    println!(
        "     {}: C read/write {:.0} MB/s {:.2} s/GB, C splice {:.0} MB/s {:.2} s/GB",
        load.what(),
        copy.mb_per_second,
        copy.cpu_per_gb,
        splice.mb_per_second,
        splice.cpu_per_gb
    );
    let (speed, cost) = (files.mb_per_second / fastest, files.cpu_per_gb / cheapest);
    let measured = format!("{:.0} MB/s: {speed:.2} ×, {:.2} s/GB: {cost:.2} ×", files.mb_per_second, files.cpu_per_gb);
    report("  into files, rotated at 50 MB", measured, "0.9 × the speed, 1.3 × the CPU", speed >= 0.9 && cost <= 1.3);
    let speed = console.mb_per_second / fastest;
    let measured = format!("{:.0} MB/s: {speed:.2} ×, {:.2} s/GB", console.mb_per_second, console.cpu_per_gb);
    report("  to the console with names", measured, "0.5 × the speed", speed >= 0.5);
    for (name, mb_per_second) in peers {
        println!("       {name} into files, rotated at 50 MB: {mb_per_second:.0} MB/s");
    }
}

/// The throughput of another supervisor, in MB per second, once it has started; the faster of two rounds. An incomplete
/// last line need not be written.
fn peer_into_files(scene: &Scene, pipes: &Path, load: &Load, peer: &Peer) -> f64 {
    let round = || {
        let directory = Place::new(scene, load.bytes());
        let writer = [&pipes.display().to_string(), "write", &load.bytes_each.to_string(), load.how];
        let _running = (peer.start)(&directory.0, load.count, &writer);
        wait_until(|| directory.size() > 0);
        let began = Instant::now();
        wait_until(|| directory.size() + 200 * load.count as u64 >= load.bytes());
        load.bytes() as f64 / 1e6 / began.elapsed().as_secs_f64()
    };
    round().max(round())
}

fn bare_loop(scene: &Scene, pipes: &Path, kind: &str, load: &Load) -> Speed {
    let directory = Place::new(scene, load.bytes());
    let output = Command::new(pipes)
        .args([kind, &load.count.to_string()])
        .arg(&directory.0)
        .args([&load.bytes_each.to_string(), load.how])
        .output()
        .expect("it was compiled");
    let told = String::from_utf8_lossy(&output.stdout);
    let mut numbers = told.split_whitespace().map(|number| number.parse::<f64>().expect("it prints two numbers"));
    let (seconds, cpu) = (numbers.next().expect("the first"), numbers.next().expect("the second"));
    assert_eq!(directory.size(), load.bytes(), "the loop lost bytes");
    Speed::of(load.bytes(), seconds, cpu)
}

fn into_files(scene: &Scene, pipes: &Path, load: &Load) -> Speed {
    let directory = Place::new(scene, load.bytes());
    let logs = format!("stdout = \"{}/{{name}}.log\", max_files = 100", directory.0.display());
    let configuration = programs(scene, pipes, load, &logs);
    let began = Instant::now();
    let musterd = scene.start_musterd(&configuration);
    wait_until(|| directory.size() == load.bytes());
    let seconds = began.elapsed().as_secs_f64();
    Speed::of(load.bytes(), seconds, cpu_seconds(&musterd))
}

fn to_console(scene: &Scene, pipes: &Path, load: &Load) -> Speed {
    let configuration = programs(scene, pipes, load, "stdout = \"console\", overflow = \"block\"");
    let mut command = Command::new(&scene.musterd);
    command.arg("-c").arg(configuration).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let began = Instant::now();
    let mut musterd = Running(command.spawn().expect("musterd was built"));
    let mut stdout = musterd.0.stdout.take().expect("it is piped");
    let (mut left, mut buffer) = (load.shown, vec![0; 1 << 18]);
    while left > 0 {
        let read = stdout.read(&mut buffer).expect("musterd writes");
        assert!(read > 0, "musterd ended {left} bytes before the end");
        left = left.checked_sub(read as u64).expect("it writes at most that many");
    }
    let seconds = began.elapsed().as_secs_f64();
    Speed::of(load.bytes(), seconds, cpu_seconds(&musterd))
}

fn programs(scene: &Scene, pipes: &Path, load: &Load, logs: &str) -> PathBuf {
    let (pipes, bytes) = (pipes.display().to_string(), load.bytes_each.to_string());
    // It keeps running when they are done, so that its threads' processor time can be read.
    let defaults = format!("type = \"oneshot\"\nlogs = {{ {logs} }}\n[musterd]\nexit_when_done = false");
    scene.configuration(load.count, &[&pipes, "write", &bytes, load.how], &defaults)
}

/// The age of a line when it becomes readable in the file.
fn latency(scene: &Scene, pipes: &Path) {
    let directory = Place::new(scene, 0);
    let (log, executable) = (directory.0.join("p0000.log"), pipes.display().to_string());
    let logs = format!("type = \"oneshot\"\nlogs = {{ stdout = {log:?} }}");
    let count = LINES.to_string();
    let _musterd = scene.start_musterd(&scene.configuration(1, &[&executable, "stamp", &count, "-"], &logs));
    let tail = Command::new(pipes).args(["tail", &count]).arg(&log).output().expect("it was compiled");
    let told = String::from_utf8_lossy(&tail.stdout);
    let ages: Vec<f64> = told.split_whitespace().filter_map(|ns| ns.parse::<f64>().ok()).map(|ns| ns / 1e3).collect();
    let measured = format!("{:.0} µs, p99 {:.0} µs", ages[0], ages[1]);
    report("a line's write to its being in the file", measured, "50 µs", ages[0] < 50.0);
}

/// Supervision while eight programs write as fast as they can.
fn meanwhile(scene: &Scene, pipes: &Path) {
    let directory = Place::new(scene, 0);
    let mut fifo = scene.fifo();
    let mut text = format!("[http]\nsocket = {:?}\n", scene.socket());
    for number in 0..8 {
        let log = directory.0.join(format!("{number}.log"));
        text.push_str(&format!(
            "[program.w{number}]\ncommand = [{pipes:?}, \"write\", \"0\", \"chunk\"]\n\
             logs = {{ stdout = {log:?}, max_files = 2 }}\n"
        ));
    }
    text.push_str(&format!(
        "[program.sleeper]\ncommand = [{:?}, {:?}]\nrestart = \"always\"\nstartretries = \"unlimited\"\n\
         backoff = {{ delay = 0 }}\n",
        scene.sleeper, fifo.path
    ));
    let configuration = scene.directory.path().join("muster.toml");
    fs::write(&configuration, text).expect("the test directory is writable");
    let _musterd = scene.start_musterd(&configuration);
    let (mut pid, _) = fifo.next();
    scene.wait_until_ready();
    let mut restarts = Vec::new();
    for _ in 0..200 {
        let killed_at = now_ns();
        signal(pid, libc::SIGKILL);
        let (next, reached_main_at) = fifo.next();
        restarts.push((reached_main_at - killed_at) as f64 / 1e6);
        pid = next;
    }
    let restart = median(restarts);
    report("meanwhile: death of a program to the next main", format!("{restart:.2} ms"), "5 ms", restart < 5.0);
    let mut took: Vec<f64> = (0..1000).map(|_| ask_status(scene)).collect();
    took.sort_by(f64::total_cmp);
    let (middle, p99) = (took[500], took[990]);
    report("meanwhile: status, p99", format!("{p99:.2} ms, median {middle:.2} ms"), "20 ms", p99 < 20.0);
}

fn ask_status(scene: &Scene) -> f64 {
    let began = Instant::now();
    let mut stream = UnixStream::connect(scene.socket()).expect("musterd is ready");
    let request = b"GET /v1/programs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("musterd reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("musterd answers");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    began.elapsed().as_secs_f64() * 1e3
}

/// A directory for log files; dropping it removes them.
struct Place(PathBuf);

impl Place {
    /// Excludes the kernel's pending work for the files of the previous run. Also excludes the time to get memory for
    /// that many bytes of files back from the host of a virtual machine, to which free memory was returned: it varies,
    /// and can make a run take three times as long.
    fn new(scene: &Scene, bytes: u64) -> Place {
        let path = scene.directory.path().join("logs");
        fs::create_dir(&path).expect("the one before was removed");
        nix::unistd::sync();
        drop(black_box(vec![1_u8; usize::try_from(bytes + bytes / 2).expect("it fits into memory")]));
        Place(path)
    }

    /// The total size of the logs here and in directories of logs.
    fn size(&self) -> u64 {
        Place::size_of(&self.0)
    }

    fn size_of(directory: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(directory) else { return 0 };
        let size = |entry: fs::DirEntry| match entry.metadata() {
            Ok(about) if about.is_dir() => Place::size_of(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        };
        entries.filter_map(Result::ok).map(size).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < patience, "musterd makes no progress");
        // Checking is work too, and there are few processors.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processor time of all threads of a process so far, in nanoseconds: the clock of proc_pid_stat(5) is too coarse.
fn cpu_seconds(running: &Running) -> f64 {
    // A running thread is only charged when it pauses.
    std::thread::sleep(Duration::from_millis(30));
    let tasks = fs::read_dir(format!("/proc/{}/task", running.0.id())).expect("it runs");
    let used = |task: PathBuf| fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok();
    tasks.filter_map(|task| used(task.ok()?.path())).sum::<f64>() / 1e9
}
