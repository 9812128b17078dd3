//! Streams that are written faster than one thread reads them: a second one reads some, and nothing else changes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_logs::Source;
use muster_spec::{InstanceSpec, OutputSpec, PerStream, Rotation, RunId, Sink, Target};
use tempfile::TempDir;

use crate::scene::{Scene, instance};

const PATIENCE: Duration = Duration::from_secs(60);
const STREAMS: u64 = 4;

/// Threads are counted, so that there is one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Streams, each with a file of its own, some of which the second thread reads.
struct Floods {
    scene: Scene,
    directory: TempDir,
    writers: Vec<File>,
    /// The bytes that each of them has written.
    written: Vec<u64>,
    _turn: MutexGuard<'static, ()>,
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn has_second_thread() -> bool {
    let tasks = fs::read_dir("/proc/self/task").expect("it exists");
    let name = |task: PathBuf| fs::read_to_string(task.join("comm")).unwrap_or_default();
    tasks.filter_map(Result::ok).any(|task| name(task.path()) == "logs-second\n")
}

/// If no second thread comes, the disk is not filled.
const MOST_WRITTEN: u64 = 256 << 20;

/// The numbers of lines repeat after these: 1 MiB.
const CYCLE: u64 = 1 << 16;

/// Lines of 16 bytes, numbered from this one.
fn lines(first: u64, count: u64) -> Vec<u8> {
    (first..first + count).flat_map(|number| format!("{:015}\n", number % CYCLE).into_bytes()).collect()
}

/// Returns once it has been read.
fn write_alone(writer: &mut File, bytes: &[u8]) {
    writer.write_all(bytes).expect("it is read");
    wait_until("it is read", || muster_sys::fd::readable(writer.as_fd()).is_ok_and(|count| count == 0));
}

fn program(name: &str, files: &[PathBuf]) -> InstanceSpec {
    let unbounded = Rotation { max_size: 0, max_files: 1, compress: false };
    let output = OutputSpec {
        stdout: Target::Capture(files.iter().cloned().map(Sink::File).collect()),
        stderr: None,
        rotation: PerStream::both(unbounded),
        ..OutputSpec::default()
    };
    instance(name, output)
}

impl Floods {
    /// They write without a pause until there is a second thread. `None` where there is only one processor.
    fn begin() -> Option<Floods> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
            eprintln!("SKIPPED: there is only one processor");
            return None;
        }
        wait_until("the one before has ended", || !has_second_thread());
        let (scene, directory) = (Scene::new(), TempDir::new().expect("the directory of temporary files is writable"));
        let is_over = Arc::<AtomicBool>::default();
        let mut writers = Vec::new();
        for number in 0..STREAMS {
            let spec = program(&format!("p{number}"), &[directory.path().join(number.to_string())]);
            let (mut writer, is_over) = (scene.open(&spec, number, Source::Stdout), Arc::clone(&is_over));
            writers.push(std::thread::spawn(move || {
                let (mut written, bytes) = (0, lines(0, CYCLE));
                while !is_over.load(Ordering::Relaxed) && written < MOST_WRITTEN {
                    writer.write_all(&bytes).expect("it is read");
                    written += bytes.len() as u64;
                }
                (writer, written)
            }));
        }
        wait_until("a second thread reads", has_second_thread);
        is_over.store(true, Ordering::Relaxed);
        let ended =
            writers.into_iter().map(|thread: JoinHandle<(File, u64)>| thread.join().expect("it has written all"));
        let (writers, written) = ended.unzip();
        Some(Floods { scene, directory, writers, written, _turn: turn })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.path().join(number.to_string())
    }

    /// Everything that the runs wrote before is in the files when this returns.
    fn drain(&self, runs: impl IntoIterator<Item = u64>) {
        self.scene.logs.drain(runs.into_iter().map(RunId).collect());
        self.scene.logs.ring();
        // Without a pause: what is late is still late then.
        let began = Instant::now();
        while self.scene.logs.pending_drain().is_some() {
            assert!(began.elapsed() < PATIENCE, "the drain ends");
            std::thread::yield_now();
        }
    }

    /// A stream that writes to all files, so that all of them are the second thread's.
    fn open_all(&self, run: u64) -> File {
        let paths: Vec<PathBuf> = (0..STREAMS).map(|number| self.path(number)).collect();
        self.scene.open(&program("all", &paths), run, Source::Stdout)
    }

    fn size(&self, number: u64) -> u64 {
        fs::metadata(self.path(number)).map_or(0, |about| about.len())
    }
}

impl Drop for Floods {
    fn drop(&mut self) {
        self.scene.logs.finish(PATIENCE, PATIENCE);
    }
}

/// All streams write, round after round, and then once more before the end.
fn deliver(floods: &mut Floods) {
    let write_all = |floods: &mut Floods| {
        for (writer, written) in floods.writers.iter_mut().zip(&mut floods.written) {
            writer.write_all(&lines(*written / 16, 4096)).expect("it is read");
            *written += 65_536;
        }
    };
    let sizes = |floods: &Floods| (0..STREAMS).map(|number| floods.size(number)).collect::<Vec<u64>>();
    for round in 1..=20 {
        write_all(floods);
        floods.drain(0..STREAMS);
        assert_eq!(sizes(floods), floods.written, "round {round}");
    }
    write_all(floods);
    floods.scene.logs.finish(PATIENCE, PATIENCE);
    assert_eq!(sizes(floods), floods.written);
    let cycle = lines(0, CYCLE);
    for number in 0..STREAMS {
        let text = fs::read(floods.path(number)).expect("it was written");
        assert!(text.chunks(cycle.len()).all(|part| part == &cycle[..part.len()]), "stream {number}");
    }
    wait_until("it exits", || !has_second_thread());
}

#[test]
fn nothing_is_lost_where_each_thread_reads_some() {
    if let Some(mut floods) = Floods::begin() {
        deliver(&mut floods);
    }
}

#[test]
fn nothing_is_lost_where_the_second_thread_reads_everything() {
    if let Some(mut floods) = Floods::begin() {
        let _all = floods.open_all(20);
        deliver(&mut floods);
    }
}

#[test]
fn files_are_reopened_and_rotated_by_both_threads() {
    let Some(mut floods) = Floods::begin() else { return };
    floods.drain(0..STREAMS);
    for number in 0..STREAMS {
        fs::rename(floods.path(number), floods.path(number).with_extension("moved")).unwrap();
    }
    floods.scene.logs.reopen();
    floods.drain([]);
    for writer in &mut floods.writers {
        writer.write_all(b"after\n").unwrap();
    }
    floods.drain(0..STREAMS);
    for number in 0..STREAMS {
        assert_eq!(fs::read_to_string(floods.path(number)).unwrap(), "after\n");
    }
    // A new limit reaches the file where it is.
    for number in 0..STREAMS {
        let mut spec = program(&format!("p{number}"), &[floods.path(number)]);
        spec.output = Arc::new(OutputSpec {
            rotation: PerStream::both(Rotation { max_size: 10, max_files: 2, compress: false }),
            ..(*spec.output).clone()
        });
        floods.scene.logs.change_rotation(&spec);
    }
    floods.drain([]);
    for text in ["more than ten\n", "last\n"] {
        for writer in &mut floods.writers {
            writer.write_all(text.as_bytes()).unwrap();
        }
        floods.drain(0..STREAMS);
    }
    for number in 0..STREAMS {
        let rotated = floods.path(number).with_extension("1");
        assert_eq!(fs::read_to_string(rotated).unwrap(), "after\nmore than ten\n");
        assert_eq!(fs::read_to_string(floods.path(number)).unwrap(), "last\n");
    }
}

#[test]
fn a_file_is_written_by_one_thread_whichever_streams_name_it() {
    let Some(mut floods) = Floods::begin() else { return };
    floods.drain(0..STREAMS);
    for number in 0..STREAMS {
        fs::write(floods.path(number), "").unwrap();
    }
    // Each program starts once more, while its old run still writes; and one writes to the files of both threads.
    let paths: Vec<PathBuf> = (0..STREAMS).map(|number| floods.path(number)).collect();
    let open = |name: &str, run, files: &[PathBuf]| floods.scene.open(&program(name, files), run, Source::Stdout);
    let mut next: Vec<File> =
        (0..STREAMS).map(|number| open(&format!("p{number}"), 10 + number, &[floods.path(number)])).collect();
    let mut all = floods.open_all(20);
    let runs = || (0..STREAMS).chain(10..10 + STREAMS).chain([20]);
    floods.drain(runs());
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds < 20 {
        assert!(began.elapsed() < PATIENCE, "the machine is too slow");
        paths.iter().for_each(|path| fs::write(path, "").unwrap());
        let round = Instant::now();
        // Half a line of the one must not end in a line of another.
        for writer in floods.writers.iter_mut().chain(&mut next).chain([&mut all]) {
            write_alone(writer, b"one ");
        }
        for writer in [&mut all].into_iter().chain(&mut next).chain(&mut floods.writers) {
            write_alone(writer, b"whole line\n");
        }
        // Half a line that waits for 0.2 s is written as it is.
        let is_in_time = round.elapsed() < Duration::from_millis(150);
        floods.drain(runs());
        for path in paths.iter().filter(|_| is_in_time) {
            assert_eq!(fs::read_to_string(path).unwrap(), "one whole line\n".repeat(3), "{path:?}, round {rounds}");
        }
        rounds += u32::from(is_in_time);
    }
    // They can be written to again when all have ended.
    drop((next, all, std::mem::take(&mut floods.writers)));
    let mut last = floods.open_all(30);
    last.write_all(b"end\n").unwrap();
    floods.drain([30]);
    for path in &paths {
        assert!(fs::read_to_string(path).unwrap().ends_with("end\n"), "{path:?}");
    }
}

#[test]
fn a_file_that_takes_nothing_keeps_its_order_when_it_moves_and_when_its_streams_end() {
    let Some(mut floods) = Floods::begin() else { return };
    floods.drain(0..STREAMS);
    let fifo = floods.directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut reader =
        File::options().read(true).write(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(&fifo).unwrap();
    let open = |name: &str, run, files: &[PathBuf]| floods.scene.open(&program(name, files), run, Source::Stdout);
    // More than it has room for, of a stream of the first thread that ends.
    let mut first = open("first", 20, std::slice::from_ref(&fifo));
    write_alone(&mut first, &lines(0, 20_000));
    drop(first);
    floods.drain([20]);
    // The next one also writes to a file of the second thread, and ends there.
    let paths: Vec<PathBuf> =
        [fifo.clone()].into_iter().chain((0..STREAMS).map(|number| floods.path(number))).collect();
    let mut second = open("second", 21, &paths);
    write_alone(&mut second, &lines(20_000, 100));
    drop(second);
    floods.drain([21]);
    // The one after that names only the file that still takes nothing.
    let mut third = open("third", 22, &[fifo]);
    write_alone(&mut third, &lines(20_100, 100));
    floods.drain([22]);
    let expected = lines(0, 20_200);
    let (length, taken) = (expected.len(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&taken);
    let reading = std::thread::spawn(move || {
        // As a reader that comes late.
        std::thread::sleep(Duration::from_millis(300));
        let (mut read, mut piece, began) = (Vec::new(), vec![0; 4096], Instant::now());
        while read.len() < length {
            assert!(began.elapsed() < PATIENCE, "only {} bytes came", read.len());
            // There may be no more for now, which is an error.
            let bytes = reader.read(&mut piece).unwrap_or(0);
            read.extend_from_slice(&piece[..bytes]);
            count.store(read.len(), Ordering::Relaxed);
        }
        read
    });
    // The end waits for it, too: no more is left than the FIFO itself holds.
    floods.scene.logs.finish(PATIENCE, PATIENCE);
    let left = length - taken.load(Ordering::Relaxed);
    assert!(left <= (64 << 10) + 4096, "{left} bytes were left");
    assert!(reading.join().unwrap() == expected, "lines are lost or not in their order");
    floods.writers.clear();
}
