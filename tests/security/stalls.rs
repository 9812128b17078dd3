//! A stalled disk: it delays the programs that write to it, and no others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::{self, Daemon, Setting, is_root, skip};

/// An ext4 file system in a file, which can be frozen. Dropping it thaws and unmounts it.
struct Disk {
    directory: tempfile::TempDir,
}

fn run(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is ours")
}

impl Disk {
    /// `None`, with a message, if it cannot be set up.
    fn new() -> Option<Disk> {
        if !is_root() {
            skip("only root can mount and freeze a file system");
            return None;
        }
        let disk = Disk { directory: tempfile::tempdir().expect("a temporary directory can be created") };
        let (image, mount) = (disk.directory.path().join("image"), disk.mount());
        fs::create_dir(&mount).expect("the test directory is writable");
        let file = fs::File::create(&image).expect("the test directory is writable");
        file.set_len(64 << 20).expect("a sparse file takes no room");
        if run(&["mkfs.ext4", "-q", text(&image)])
            && run(&["mount", "-o", "loop", text(&image), text(&mount)])
            && run(&["fsfreeze", "-f", text(&mount)])
            && run(&["fsfreeze", "-u", text(&mount)])
        {
            return Some(disk);
        }
        skip("no file system can be made, mounted and frozen here");
        None
    }

    fn mount(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    fn freeze(&self) {
        assert!(run(&["fsfreeze", "-f", text(&self.mount())]));
    }

    fn thaw(&self) {
        assert!(run(&["fsfreeze", "-u", text(&self.mount())]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(&["fsfreeze", "-u", text(&self.mount())]);
        run(&["umount", "-l", text(&self.mount())]);
    }
}

/// A oneshot that starts when `name.go` exists, writes that many numbers and then creates `name.done`.
fn counting(name: &str, count: usize, logs: &str) -> String {
    format!(
        "[program.{name}]\ntype = \"oneshot\"\ncommand = [\"sh\", \"-c\", '''echo begun; until [ -e {{here}}/{name}.go ]; do sleep 0.05; done; \
         i=0; while [ $i -lt {count} ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done; touch {{here}}/{name}.done''']\n\
         logs = {{ {logs} }}\n"
    )
}

fn go(daemon: &Daemon, name: &str) {
    fs::write(daemon.path(&format!("{name}.go")), "").expect("the test directory is writable");
}

/// The numbers in a file, in order.
fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(' ')?.0.parse().ok()).collect()
}

fn waits_in_its_write(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
}

#[test]
fn a_frozen_disk_stalls_only_the_programs_that_write_to_it() {
    let Some(disk) = Disk::new() else { return };
    let mount = disk.mount();
    let on_disk = |name: &str| mount.join(format!("{name}.log"));
    let to = |name: &str, more: &str| format!("stdout = \"{}\"{more}", on_disk(name).display());
    let programs = counting("waits", 100_000, &to("waits", ", overflow = \"block\", buffer_size = \"64KB\""))
        + &counting("drops", 100_000, &to("drops", ", buffer_size = \"256KB\""))
        + &counting("small", 10, &to("small", ""))
        + &counting("both", 10, &format!("stdout = [\"{}\", \"{{here}}/both.log\"]", on_disk("both").display()))
        + &counting("other", 100_000, "stdout = [\"console\", \"{here}/other.log\"]");
    let mut daemon = Setting::supervising(programs).start();
    for name in ["waits", "drops", "small", "both"] {
        harness::wait_until("the files are there", || {
            fs::read_to_string(on_disk(name)).is_ok_and(|text| text == "begun\n")
        });
    }
    let pid = daemon.pid_of("waits");
    disk.freeze();
    ["small", "waits", "drops", "both", "other"].iter().for_each(|name| go(&daemon, name));
    // Everything else still works: files, the console, supervision, exits reported after the last lines.
    harness::wait_until("the other's file has everything", || numbers(&daemon.path("other.log")).len() == 100_000);
    harness::wait_until("the console has everything", || {
        String::from_utf8_lossy(&daemon.output()).contains("other | 99999 ")
    });
    harness::wait_until("its other file has everything", || numbers(&daemon.path("both.log")).len() == 10);
    daemon.wait_for_state("other", "EXITED");
    daemon.wait_for_state("small", "EXITED");
    daemon.wait_for_state("both", "EXITED");
    // The program configured to drop lines continues, and the one configured to wait waits.
    harness::wait_until("it has written everything", || daemon.path("drops.done").exists());
    harness::wait_until("it waits in its write", || waits_in_its_write(pid));
    assert!(!daemon.path("waits.done").exists());
    daemon.log.wait_for("it is logged", |line| line.message == "a log file stands still, what comes for it waits");
    disk.thaw();
    // All queued lines arrive, in order.
    harness::wait_until("everything is written", || numbers(&on_disk("waits")).len() == 100_000);
    assert_eq!(numbers(&on_disk("waits")), (0..100_000).collect::<Vec<_>>());
    assert_eq!(numbers(&on_disk("small")), (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&on_disk("both")), (0..10).collect::<Vec<_>>());
    harness::wait_until("the newest are written", || numbers(&on_disk("drops")).last() == Some(&99_999));
    let kept = numbers(&on_disk("drops"));
    let lost = dropped(&daemon, "drops");
    assert_eq!(kept.len() + lost, 100_000, "every line is there or counted");
    assert!(kept.is_sorted() && lost > 0);
    assert_eq!(dropped(&daemon, "waits"), 0);
    harness::wait_until("their threads end", || late_threads(&daemon) == 0);
    daemon.finish();
}

/// How many lines of a program were dropped.
fn dropped(daemon: &Daemon, name: &str) -> usize {
    let metrics = daemon.client.get("/metrics").body;
    let of_program = |line: &&str| {
        line.starts_with("muster_program_log_dropped_lines_total{") && line.contains(&format!("\"{name}\""))
    };
    let line = metrics.lines().find(of_program).unwrap_or_else(|| panic!("no figure of {name} in\n{metrics}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The daemon's threads that write to one file each: all with the name of the thread that reads the pipes, except that
/// one.
fn late_threads(daemon: &Daemon) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon lives").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| matches!(name.trim_end(), "logs" | "logs-late")).count() - 1
}

#[test]
fn a_frozen_disk_does_not_keep_the_daemon_from_ending() {
    let Some(disk) = Disk::new() else { return };
    let logs = |name: &str| format!("stdout = \"{}\"", disk.mount().join(name).display());
    let programs: String = (0..4).map(|n| counting(&format!("p{n}"), 200_000, &logs(&format!("{n}.log")))).collect();
    let mut daemon =
        Setting::supervising(programs + "[program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n").start();
    for number in 0..4 {
        let path = disk.mount().join(format!("{number}.log"));
        harness::wait_until("the files are there", || fs::read_to_string(&path).is_ok_and(|text| text == "begun\n"));
    }
    let pid = daemon.pid();
    disk.freeze();
    (0..4).for_each(|number| go(&daemon, &format!("p{number}")));
    daemon.log.wait_for("it is logged", |line| line.message == "a log file stands still, what comes for it waits");
    let began = Instant::now();
    daemon.terminate();
    // A process exists, as a zombie, until the kernel releases its last thread: here, until the disk works again.
    harness::wait_until("the daemon has ended", || harness::find(pid).is_none_or(|process| process.is_zombie()));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "it took {took:?}");
    let told = daemon.log.saying("a log file still stands still, what waits for it is lost");
    assert!(!told.is_empty() && told.iter().all(|line| line.field("lost_bytes").is_some()), "{}", daemon.story());
    disk.thaw();
    assert_eq!(daemon.wait(), harness::End::Code(0));
    daemon.assert_nothing_is_left();
}
