//! A console that is not read: supervision continues, memory is bounded, the loss is marked and counted.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::harness::{self, Daemon, End, Setting};

/// A FIFO as the daemon's stdout. It is writable once this exists, and is read only when the test reads.
struct Reader {
    _directory: tempfile::TempDir,
    path: PathBuf,
    file: File,
}

impl Reader {
    fn new() -> Reader {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let path = directory.path().join("stdout");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("the test directory is writable");
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).expect("it was just created");
        Reader { _directory: directory, path, file }
    }

    /// Reads until `is_enough` holds for what was read.
    fn read_until(&mut self, what: &str, is_enough: impl Fn(&str) -> bool) -> String {
        let (mut read, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        harness::wait_for(what, || {
            while let Ok(count @ 1..) = self.file.read(&mut piece) {
                read.extend_from_slice(&piece[..count]);
            }
            let text = String::from_utf8_lossy(&read);
            is_enough(&text).then(|| text.into_owned())
        })
    }

    /// Takes up to that many bytes at each tick of 10 ms, until the text read ends with this.
    fn read_steadily(&mut self, at_once: usize, until: &str) -> String {
        let (mut read, mut piece, began) = (Vec::new(), vec![0; at_once], Instant::now());
        for tick in 1.. {
            let mut left = at_once;
            while left > 0
                && let Ok(count @ 1..) = self.file.read(&mut piece[..left])
            {
                read.extend_from_slice(&piece[..count]);
                left -= count;
            }
            if read.ends_with(until.as_bytes()) {
                break;
            }
            assert!(began.elapsed() < harness::PATIENCE, "only {} bytes came", read.len());
            std::thread::sleep((tick * TICK).saturating_sub(began.elapsed()));
        }
        String::from_utf8(read).expect("it is text")
    }
}

const TICK: Duration = Duration::from_millis(10);

/// A oneshot that writes 5 MB at once: numbers from one to two million and a bit, a line each.
fn burst(name: &str, logs: &str) -> String {
    let command = "command = [\"seq\", \"1000001\", \"1625000\"]";
    format!("[program.{name}]\ntype = \"oneshot\"\nautostart = false\n{command}\nlogs = {{ {logs} }}\n")
}

const FIRST: usize = 1_000_001;
const LAST: usize = 1_625_000;

/// The numbers of this program that arrived.
fn numbers(text: &str, name: &str) -> Vec<usize> {
    let prefix = format!("{name} | ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect()
}

fn start(daemon: &Daemon, name: &str) {
    let started = daemon.client.request("POST", &format!("/v1/programs/{name}/start"), "");
    assert_eq!(started.status / 100, 2, "{started:?}");
}

/// The number of this program's lines that were marked as lost.
fn lost(text: &str, name: &str) -> usize {
    let mark = format!("musterd | {name}: ");
    text.lines().filter_map(|line| line.strip_prefix(&mark)?.split(' ').next()?.parse::<usize>().ok()).sum()
}

#[test]
fn a_stalled_reader_costs_the_oldest_lines_and_nothing_else() {
    let mut reader = Reader::new();
    let spam = |name: &str, logs: &str| {
        format!(
            "[program.{name}]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", \"i=0; while [ $i -lt 60000 ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done; touch {{here}}/{name}.done; exec sleep 1000\"]\n\
             logs = {{ {logs} }}\n"
        )
    };
    let programs = spam("web", "stdout = [\"console\", \"{here}/web.log\"]")
        + &spam("small", "buffer_size = \"64KB\"")
        + "[program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    // Measures what the daemon holds, not freed memory that glibc's allocator keeps.
    let mut daemon = Setting::supervising(programs)
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "65536")
        .stdout(&reader.path)
        .start();
    let idle = daemon.memory("RssAnon");
    harness::wait_until("they have written everything", || {
        daemon.path("web.done").exists() && daemon.path("small.done").exists()
    });
    // Supervision and files still work.
    let began = Instant::now();
    let restarted = daemon.client.request("POST", "/v1/programs/other/restart", "");
    assert_eq!(restarted.status / 100, 2, "{restarted:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "a restart took {:?}", began.elapsed());
    let path = daemon.path("web.log");
    harness::wait_until("the file has everything", || {
        std::fs::read_to_string(&path).unwrap_or_default().lines().count() == 60_000
    });
    // Output still in the program's pipe when reading resumes would not be among the newest queued lines.
    harness::wait_until("the other one's last line has been taken in", || {
        daemon.client.get("/v1/programs/small/logs?lines=1").body.contains("59999 ")
    });
    let full = daemon.memory("RssAnon");
    assert!(full < idle + 6 * 1024, "6 MB were written, of which 1 MB may wait: {full} kB after {idle} kB");
    // Reading resumes: the newest lines arrive, and the number of missing ones.
    let text =
        reader.read_until("the last lines", |text| text.contains("web | 59999 ") && text.contains("small | 59999 "));
    for (name, least, most) in [("web", 15_000, 40_000), ("small", 500, 16_000)] {
        let numbers: Vec<usize> = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{name} | "))?.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(numbers.len() + lost(&text, name), 60_000, "every line of {name} is there or counted");
        assert!((least..most).contains(&numbers.len()), "{} lines of {name} were kept", numbers.len());
        assert!(numbers.is_sorted(), "lines of {name} are out of order");
        let newest: Vec<usize> = numbers.iter().rev().take(least / 2).copied().collect();
        assert_eq!(newest, (60_000 - newest.len()..60_000).rev().collect::<Vec<_>>(), "the newest are kept");
    }
    harness::wait_until("the megabyte that waited is given back", || daemon.memory("RssAnon") + 1024 < full);
    daemon.finish();
}

#[test]
fn a_program_configured_to_wait_for_the_reader_loses_nothing() {
    let mut reader = Reader::new();
    let program = "[program.web]\ntype = \"oneshot\"\n\
                   command = [\"sh\", \"-c\", \"i=0; while [ $i -lt 200000 ]; do echo $i; i=$((i+1)); done\"]\n\
                   logs = { overflow = \"block\", buffer_size = \"16KB\" }\n\
                   [program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(program).stdout(&reader.path).start();
    let pid = daemon.pid_of("web");
    harness::wait_until("it waits in its write", || {
        std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
    });
    assert_eq!(daemon.client.request("POST", "/v1/programs/other/restart", "").status / 100, 2);
    let text = reader.read_until("everything", |text| text.contains("web | 199999\n"));
    let numbers: Vec<usize> = text.lines().filter_map(|line| line.strip_prefix("web | ")?.parse().ok()).collect();
    assert_eq!(numbers, (0..200_000).collect::<Vec<_>>());
    daemon.wait_for_state("web", "EXITED");
    daemon.finish();
}

#[test]
fn an_unread_console_does_not_keep_the_daemon_from_ending() {
    let reader = Reader::new();
    let program = "[program.web]\nstartsecs = 0\n\
                   command = [\"sh\", \"-c\", \"while :; do echo 0123456789012345678901234567890123456789; done\"]\n\
                   logs = { overflow = \"block\" }\n";
    let mut daemon = Setting::supervising(program).stdout(&reader.path).start();
    let pid = daemon.pid_of("web");
    harness::wait_until("it waits in its write", || {
        std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
    });
    let took = daemon.finish();
    assert!(took < Duration::from_secs(4), "it took {took:?}");
}

#[test]
fn a_fifo_is_a_slow_reader_and_not_a_broken_file() {
    let (mut waits, mut drops) = (Reader::new(), Reader::new());
    let program = |name: &str, reader: &Reader, more: &str| {
        format!(
            "[program.{name}]\ntype = \"oneshot\"\n\
             command = [\"sh\", \"-c\", \"i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done\"]\n\
             logs = {{ stdout = \"{}\", {more} }}\n",
            reader.path.display()
        )
    };
    let programs = program("waits", &waits, "overflow = \"block\", buffer_size = \"16KB\"")
        + &program("drops", &drops, "buffer_size = \"100KB\"")
        + "[program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(programs).start();
    let pid = daemon.pid_of("waits");
    harness::wait_until("it waits in its write", || {
        std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
    });
    daemon.wait_for_state("drops", "EXITED");
    assert_eq!(daemon.client.request("POST", "/v1/programs/other/restart", "").status / 100, 2);
    let numbers = |text: &str| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<usize>>();
    let text = waits.read_until("everything", |text| text.ends_with("\n99999\n"));
    assert_eq!(numbers(&text), (0..100_000).collect::<Vec<_>>());
    daemon.wait_for_state("waits", "EXITED");
    // The oldest queued lines are missing, and counted; the newest arrive.
    let text = drops.read_until("the newest", |text| text.ends_with("\n99999\n"));
    let told = daemon
        .log
        .wait_for("the loss is logged", |line| line.message == "a log file keeps up again, some lines were lost");
    let lost: usize = told.field("lost_lines").and_then(|number| number.parse().ok()).expect("a number");
    let kept = numbers(&text);
    assert!(kept.is_sorted() && kept.len() + lost == 100_000, "{} kept, {lost} lost", kept.len());
    daemon.finish();
}

#[test]
fn a_burst_loses_nothing_with_an_active_reader() {
    // 20 MB and 2 MB a second.
    for at_once in [200_000, 20_000] {
        let mut reader = Reader::new();
        let mut daemon = Setting::supervising(burst("web", "")).stdout(&reader.path).start();
        start(&daemon, "web");
        let text = reader.read_steadily(at_once, &format!("web | {LAST}\n"));
        let found = numbers(&text, "web");
        let lost = lost(&text, "web");
        assert!(found == (FIRST..=LAST).collect::<Vec<_>>(), "{} came, {lost} lost at {at_once}", found.len());
        daemon.finish();
    }
}

#[test]
fn many_bursts_at_once_lose_nothing_with_an_active_reader() {
    const COUNT: usize = 150_000;
    let mut reader = Reader::new();
    let names: Vec<String> = (0..24).map(|number| format!("p{number}")).collect();
    let command = format!("until [ -e {{here}}/go ]; do sleep 0.02; done; exec seq 10000001 {}", 10_000_000 + COUNT);
    let programs: String = names
        .iter()
        .map(|name| format!("[program.{name}]\ntype = \"oneshot\"\ncommand = [\"sh\", \"-c\", '''{command}''']\n"))
        .collect();
    let over = "[program.over]\nautostart = false\ntype = \"oneshot\"\ncommand = [\"echo\", \"all\"]\n";
    let mut daemon = Setting::supervising(programs + over).stdout(&reader.path).start();
    std::fs::write(daemon.path("go"), "").expect("the test directory is writable");
    let client = daemon.client.clone();
    let last = std::thread::spawn(move || {
        for name in names {
            let ended = client.request("GET", &format!("/v1/programs/{name}/wait?for=exited&timeout=30"), "");
            assert_eq!(ended.status, 200, "{ended:?}");
        }
        client.request("POST", "/v1/programs/over/start", "")
    });
    // 10 MB a second, of 50 MB in 24 queues.
    let text = reader.read_steadily(100_000, "over | all\n");
    assert_eq!(last.join().expect("they have ended").status / 100, 2);
    let mut lines: HashMap<&str, Vec<String>> = HashMap::new();
    for line in text.lines().filter(|line| *line != "over | all") {
        // On a busy machine a program may lose the processor in the middle of a line for so long that its beginning is
        // written.
        match line.split_once(" + ") {
            Some((name, rest)) => {
                lines.get_mut(name).and_then(|all| all.last_mut()).expect("it has begun").push_str(rest)
            }
            None => {
                let (name, number) = line.split_once(" | ").expect("it has a name");
                lines.entry(name).or_default().push(number.to_owned());
            }
        }
    }
    let mut last = HashMap::new();
    for (name, numbers) in lines {
        let last = last.entry(name).or_insert(10_000_000);
        for number in numbers {
            *last += 1;
            assert!(number.parse() == Ok(*last), "{number:?} in place of {last} of {name}");
        }
    }
    assert_eq!(last.len(), 24);
    assert!(last.values().all(|&last| last == 10_000_000 + COUNT), "{last:?}");
    daemon.finish();
}

#[test]
fn a_very_slow_reader_holds_no_program() {
    let mut reader = Reader::new();
    let quiet = "[program.quiet]\nautostart = false\ntype = \"oneshot\"\ncommand = [\"echo\", \"hello\"]\n\
                 logs = { stdout = [\"console\", \"{here}/quiet.log\"] }\n";
    let mut daemon = Setting::supervising(burst("web", "") + quiet).stdout(&reader.path).start();
    let began = Instant::now();
    start(&daemon, "web");
    let client = daemon.client.clone();
    let ended = std::thread::spawn(move || {
        client.request("GET", "/v1/programs/web/wait?for=exited&timeout=30", "");
        Instant::now()
    });
    // 40 kB a second: the 5 MB would take two minutes.
    let (mut piece, mut tick) = ([0; 400], 0);
    let mut read = Vec::new();
    while !ended.is_finished() {
        if let Ok(count) = reader.file.read(&mut piece) {
            read.extend_from_slice(&piece[..count]);
        }
        tick += 1;
        std::thread::sleep((tick * TICK).saturating_sub(began.elapsed()));
    }
    let took = ended.join().expect("it has ended") - began;
    assert!(took < Duration::from_secs(8), "the program was held for {took:?}");
    // Other programs are not held, and neither is supervision.
    start(&daemon, "quiet");
    harness::wait_until("another one's file has its line", || {
        std::fs::read_to_string(daemon.path("quiet.log")).is_ok_and(|text| text == "hello\n")
    });
    assert_eq!(daemon.client.get("/livez").status, 200);
    let rest = reader.read_until("the newest", |text| text.contains("quiet | hello\n"));
    let text = String::from_utf8(read).expect("it is text") + &rest;
    assert_eq!(numbers(&text, "web").len() + lost(&text, "web"), LAST - FIRST + 1, "every line is there or counted");
    daemon.finish();
}

#[test]
fn a_program_that_is_slowed_is_stopped_as_any_other() {
    let reader = Reader::new();
    let program = "[program.web]\nstartsecs = 0\nstopwaitsecs = 10\n\
                   command = [\"sh\", \"-c\", \"trap 'echo goodbye; exit 0' TERM; while :; do echo 0123456789012345678901234567890123456789; done\"]\n";
    let mut daemon = Setting::supervising(program).stdout(&reader.path).start();
    let pid = daemon.pid_of("web");
    harness::wait_until("it waits in its write", || {
        std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
    });
    let began = Instant::now();
    let stopped = daemon.client.request("POST", "/v1/programs/web/stop", "");
    assert_eq!(stopped.status / 100, 2, "{stopped:?}");
    assert!(began.elapsed() < Duration::from_secs(6), "stopping took {:?}", began.elapsed());
    assert_eq!(daemon.client.get("/livez").status, 200);
    daemon.finish();
}

#[test]
fn lines_queued_when_the_last_program_ends_reach_a_slow_reader() {
    let mut reader = Reader::new();
    let program = burst("web", "").replace("autostart = false\n", "");
    let mut daemon = Setting::supervising(program).musterd("").stdout(&reader.path).start();
    // 1 MB a second: a second's worth is queued when no program is left.
    let text = reader.read_steadily(10_000, &format!("web | {LAST}\n"));
    let (found, lost) = (numbers(&text, "web"), lost(&text, "web"));
    assert!(found == (FIRST..=LAST).collect::<Vec<_>>(), "{} came, {lost} lost", found.len());
    assert_eq!(daemon.wait(), End::Code(0));
}
