//! The setup of a measurement: a directory, the executables, and the FIFO on which programs report that they run.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) musterd: PathBuf,
    pub(crate) musterctl: PathBuf,
    pub(crate) baseline: PathBuf,
    pub(crate) sleeper: PathBuf,
}

/// A supervisor; dropping it stops it and everything it runs.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal(i64::from(self.0.id()), libc::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

/// The FIFO on which programs report their pid and when they reached main.
pub(crate) struct Fifo {
    file: File,
    pub(crate) path: PathBuf,
}

/// Nanoseconds of CLOCK_MONOTONIC, the clock that the C programs report.
pub(crate) fn now_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

pub(crate) fn signal(pid: i64, number: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid as libc::pid_t, number) };
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let executable = |name: &str, built: &str| match std::env::var_os("MUSTER_BIN_DIR") {
            Some(other) => PathBuf::from(other).join(name),
            None => PathBuf::from(built),
        };
        Scene {
            musterd: executable("musterd", env!("CARGO_BIN_EXE_musterd")),
            musterctl: executable("musterctl", env!("CARGO_BIN_EXE_musterctl")),
            baseline: compile(directory.path(), "baseline"),
            sleeper: compile_worker(directory.path(), "sleeper"),
            directory,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("muster.sock")
    }

    pub(crate) fn fifo(&self) -> Fifo {
        let path = self.directory.path().join("fifo");
        let _ = std::fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo is there");
        assert!(made.success());
        // Opened for writing as well, so that it neither blocks nor ends while no program has it open.
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(&path);
        Fifo { file: file.expect("it was just created"), path }
    }

    /// A configuration of `count` programs that run `command`, with further keys for each of them.
    pub(crate) fn configuration(&self, count: usize, command: &[&str], defaults: &str) -> PathBuf {
        let mut text = format!("[http]\nsocket = {:?}\n[defaults]\n{defaults}\n", self.socket());
        for number in 0..count {
            text.push_str(&format!("[program.p{number:04}]\ncommand = {command:?}\n"));
        }
        let path = self.directory.path().join("muster.toml");
        std::fs::write(&path, text).expect("the test directory is writable");
        path
    }

    pub(crate) fn start_musterd(&self, configuration: &Path) -> Running {
        let command = Command::new(&self.musterd)
            .arg("-c")
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Running(command.expect("musterd was built"))
    }

    pub(crate) fn start_baseline(&self, job: &str, count: usize, arguments: &[&str]) -> Running {
        let command = Command::new(&self.baseline).arg(job).arg(count.to_string()).args(arguments).spawn();
        Running(command.expect("it was compiled"))
    }

    /// Raises the limit of descriptors of this process, and of those it starts: as far as it may. Returns the limit.
    pub(crate) fn raise_descriptor_limit(&self) -> u64 {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointers are to a limit that outlives the calls.
        unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
            let more = libc::rlimit { rlim_cur: 65_536, rlim_max: limit.rlim_max.max(65_536) };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &more) == 0 {
                return more.rlim_cur;
            }
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
        limit.rlim_cur
    }

    /// Waits until musterd reports that every program is running.
    pub(crate) fn wait_until_ready(&self) {
        let patience = std::time::Instant::now() + Duration::from_secs(60);
        let is_ready = || {
            let health = Command::new(&self.musterctl).arg("-s").arg(self.socket()).arg("health").output();
            health.is_ok_and(|output| output.status.success())
        };
        while !is_ready() {
            assert!(std::time::Instant::now() < patience, "musterd did not become ready");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Linked statically against musl where that can be had: what the dynamic linker and glibc need at each start is nearly a third of
/// a boot, and hides the supervisor's part.
fn compile_worker(directory: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/promises").join(format!("{name}.c"));
    let executable = directory.join(name);
    let compiled = Command::new("musl-gcc").args(["-O2", "-static", "-o"]).arg(&executable).arg(source).status();
    if compiled.is_ok_and(|status| status.success()) { executable } else { compile(directory, name) }
}

pub(crate) fn compile(directory: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/promises").join(format!("{name}.c"));
    let executable = directory.join(name);
    let compiled = Command::new("cc").args(["-O2", "-o"]).arg(&executable).arg(source).status();
    assert!(compiled.expect("a C compiler is there").success());
    executable
}

impl Fifo {
    /// The next program that reports: its pid, and when it reached main.
    pub(crate) fn next(&mut self) -> (i64, i64) {
        let mut told = [0; 16];
        self.file.read_exact(&mut told).expect("the FIFO stays open");
        let number = |bytes: &[u8]| i64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        (number(&told[..8]), number(&told[8..]))
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A line of the report: the measurement beside the promise.
pub(crate) fn report(what: &str, measured: String, promised: &str, holds: bool) {
    println!("{} {what:<44} {measured:<44} promised: {promised}", if holds { "ok  " } else { "MISS" });
}

/// Whether the answer has the length that its head says.
pub(crate) fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| answer.len() - end - 4 >= length)
}

/// Whether all threads rest, and how often they have waited.
pub(crate) fn threads(pid: i64) -> (bool, u64) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon is running");
    // A thread may end meanwhile.
    let statuses = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let field = |status: &str, key: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().trim().to_owned()
    };
    statuses.fold((true, 0), |(are_resting, switches), status| {
        let own: u64 = field(&status, "voluntary_ctxt_switches:").parse().unwrap_or_default();
        (are_resting && field(&status, "State:").starts_with('S'), switches + own)
    })
}
