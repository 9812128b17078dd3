//! Program output: whole lines on the console, unchanged bytes in files, and destinations that fail.
//!
//! The defaults are tested here; what must be configured is in the modules.

#[path = "../harness/mod.rs"]
mod harness;

mod bytes;
mod delivery;
mod formats;
mod original;
mod overflow;
mod own_syslog;
mod parts;
mod rotation;
mod syslog;

use std::fs;

use harness::{Daemon, Setting, can_enclose, is_root};

/// A oneshot that runs this script and writes to this destination.
fn script(name: &str, script: &str, logs: &str) -> String {
    format!("[program.{name}]\ntype = \"oneshot\"\ncommand = [\"sh\", \"-c\", '''{script}''']\nlogs = {{ {logs} }}\n")
}

/// The lines of one program on the console, without its name.
fn lines_of(output: &[u8], name: &str) -> Vec<Vec<u8>> {
    let prefix = format!("{name} | ").into_bytes();
    let lines = output.split_inclusive(|&byte| byte == b'\n');
    lines.filter_map(|line| line.strip_prefix(&*prefix).map(<[u8]>::to_vec)).collect()
}

fn wait_for_output(daemon: &Daemon, what: &str, is_there: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    harness::wait_for(what, || Some(daemon.output()).filter(|output| is_there(output)))
}

#[test]
fn lines_are_whole_and_have_their_programs_name() {
    let programs: String = (0..4)
        .map(|number| {
            let line = format!("{number}").repeat(3000);
            script(
                &format!("p{number}"),
                &format!("i=0; while [ $i -lt 200 ]; do echo {line}; i=$((i+1)); done; echo end"),
                "",
            )
        })
        .collect();
    let daemon = Setting::supervising(programs).start();
    let output = wait_for_output(&daemon, "all have written", |output| {
        (0..4).all(|n| lines_of(output, &format!("p{n}")).len() == 201)
    });
    for number in 0..4 {
        let line = format!("{}\n", format!("{number}").repeat(3000)).into_bytes();
        let lines = lines_of(&output, &format!("p{number}"));
        assert!(lines[..200].iter().all(|found| *found == line), "a line of p{number} was torn");
        assert_eq!(lines[200], b"end\n");
    }
}

#[test]
fn a_last_line_without_an_end_is_not_lost() {
    let daemon = Setting::supervising(script("web", "printf 'one\\ntwo'", "")).start();
    let output = wait_for_output(&daemon, "both are there", |output| lines_of(output, "web").len() == 2);
    assert_eq!(output, b"web | one\nweb | two\n");
}

#[test]
fn the_last_lines_of_the_last_program_are_written_before_the_daemon_exits() {
    let programs = script("web", "yes 0123456789012345678901234567890123456789 | head -1000; printf last", "");
    let mut daemon = Setting::supervising(programs).musterd("exit_when_done = true").launch();
    daemon.wait();
    let lines = lines_of(&daemon.output(), "web");
    assert_eq!((lines.len(), lines.last().map(Vec::as_slice)), (1001, Some(&b"last\n"[..])));
}

#[test]
fn output_for_memory_alone_is_remembered_and_shown_nowhere() {
    let quiet = script("quiet", "echo one; echo two >&2", "stdout = \"memory\", stderr = \"memory\"");
    let daemon = Setting::supervising(quiet + &script("loud", "echo three", "")).start();
    harness::wait_until("both lines are remembered", || daemon.ctl_well(&["logs", "quiet"]).lines().count() == 2);
    let output = wait_for_output(&daemon, "the other program is shown", |output| output.ends_with(b"three\n"));
    assert_eq!(output, b"loud | three\n");
}

#[test]
fn bytes_go_into_files_unchanged() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    // 20 MB of pseudorandom bytes.
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..20_000_000 / 8)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state ^ state >> 29).to_le_bytes()
        })
        .collect();
    let (source, sink) = (directory.path().join("source"), directory.path().join("sink"));
    fs::write(&source, &bytes).expect("the test directory is writable");
    let programs =
        format!("[program.cat]\ntype = \"oneshot\"\ncommand = [\"cat\", {source:?}]\nlogs = {{ stdout = {sink:?} }}\n");
    let mut daemon = Setting::supervising(programs).start();
    daemon.wait_for_state("cat", "EXITED");
    harness::wait_until("all is written", || fs::metadata(&sink).is_ok_and(|sink| sink.len() == bytes.len() as u64));
    assert!(fs::read(&sink).expect("it exists") == bytes, "the file differs");
    let peak = daemon.memory("VmHWM");
    assert!(peak < 64 * 1024, "20 MB went through and the daemon had {peak} kB");
    daemon.finish();
}

#[test]
fn console_lines_keep_their_text_and_colours_and_raw_ones_their_bytes() {
    let lines = r"printf 'a\000b\377\033[31mred\033[2J\r\n\n \n'";
    let daemon = Setting::supervising(script("text", lines, "")).start();
    let expected = b"text | a\\x00b\xff\x1b[31mred\\x1b[2J\r\ntext | \ntext |  \n";
    wait_for_output(&daemon, "the text is there", |output| output == expected);
    let daemon = Setting::supervising(script("raw", lines, "format = \"raw\"")).start();
    let expected = b"a\0b\xff\x1b[31mred\x1b[2J\r\n\n \n";
    wait_for_output(&daemon, "the bytes are there", |output| output == expected);
}

#[test]
fn a_line_without_end_goes_out_in_parts_and_costs_no_memory() {
    let daemon = Setting::supervising(script("long", "head -c 30000000 /dev/zero; echo", "")).start();
    daemon.wait_for_state("long", "EXITED");
    wait_for_output(&daemon, "the end is there", |output| output.ends_with(b"\n") && output.len() >= 1_000_000);
    let peak = daemon.memory("VmHWM");
    assert!(peak < 64 * 1024, "30 MB went through and the daemon had {peak} kB");
}

#[test]
fn each_stream_goes_where_it_shall() {
    let both = "echo out; echo err >&2";
    let programs = [
        script("console", both, ""),
        script("merged", both, "stderr = \"stdout\""),
        script("none", both, "stdout = \"none\", stderr = \"none\""),
        script("file", both, "stdout = \"{here}/file.log\", stderr = \"stdout\""),
        script("several", both, "stdout = [\"console\", \"{here}/a.log\", \"{here}/b.log\"], stderr = \"none\""),
        script("inherit", both, "stdout = \"inherit\", stderr = \"none\""),
    ]
    .concat();
    let mut daemon = Setting::supervising(programs).start();
    for name in ["console", "merged", "none", "file", "several", "inherit"] {
        daemon.wait_for_state(name, "EXITED");
    }
    daemon.finish();
    let output = String::from_utf8_lossy(&daemon.output()).into_owned();
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["console | out", "merged | err", "merged | out", "out", "several | out"]);
    let told: Vec<String> =
        daemon.log.text().lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect();
    assert_eq!(told, ["console | err"], "the daemon's stderr");
    let read = |name: &str| fs::read_to_string(daemon.path(name)).unwrap_or_default();
    assert_eq!((read("file.log"), read("a.log"), read("b.log")), ("out\nerr\n".into(), "out\n".into(), "out\n".into()));
}

#[test]
fn a_file_that_cannot_be_written_affects_no_program() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("the test directory is writable");
    let spam = "while :; do echo line; sleep 0.005; done";
    let places = [
        ("directory", directory.path().to_owned()),
        ("full", "/dev/full".into()),
        ("nowhere", "/proc/no/such/web.log".into()),
        ("fifo", fifo),
    ];
    let programs: String = places
        .iter()
        .map(|(name, path)| {
            format!("[program.{name}]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", \"{spam}\"]\nlogs = {{ stdout = {path:?} }}\n")
        })
        .collect();
    // A directory is refused; the other paths fail to open or write.
    let is_told =
        |message: &str| message.starts_with("cannot write a log file") || message.starts_with("a log file is refused");
    let mut daemon = Setting::supervising(programs).start();
    for (name, path) in &places {
        let pid = daemon.wait_for_running(name);
        let line =
            daemon.log.wait_for("it is logged", |line| line.field("file").as_deref() == Some(&path.to_string_lossy()));
        assert_eq!((line.level.as_str(), is_told(&line.message)), ("WARN", true));
        assert_eq!(daemon.pid_of(name), pid, "its program keeps running");
    }
    let warnings = daemon.log.lines().iter().filter(|line| is_told(&line.message)).count();
    assert_eq!(warnings, places.len(), "once for each, not for each line");
    daemon.finish();
}

#[test]
fn a_full_disk_costs_lines_and_recovers() {
    if !can_enclose() || !is_root() {
        return harness::skip("only root can mount a small disk in a mount namespace of its own");
    }
    let program = "[program.web]\nstartsecs = 0\nlogs = { stdout = \"/mnt/web.log\" }\n\
                   command = [\"sh\", \"-c\", \"while :; do echo 0123456789012345678901234567890123456789; done\"]\n\
                   [program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(program).after_shell("mount -t tmpfs -o size=1m tmpfs /mnt").start();
    let (web, other) = (daemon.wait_for_running("web"), daemon.wait_for_running("other"));
    let disk = format!("/proc/{}/root/mnt/web.log", daemon.pid());
    daemon.log.wait_for("it is logged", |line| line.message.starts_with("cannot write a log file"));
    let size = fs::metadata(&disk).map(|disk| disk.len()).unwrap_or_default();
    assert!((524_288..=1_048_576).contains(&size), "the disk is full with {size}");
    // With space freed, lines are written again and the loss is reported.
    fs::File::options().write(true).open(&disk).and_then(|file| file.set_len(0)).expect("it exists");
    let told = daemon.log.wait_for("it works again", |line| line.message == "a log file can be written again");
    assert!(told.field("lost_bytes").and_then(|bytes| bytes.parse::<u64>().ok()).is_some_and(|bytes| bytes > 0));
    assert_eq!((daemon.pid_of("web"), daemon.pid_of("other")), (web, other));
    daemon.finish();
}

#[test]
fn every_line_that_a_full_disk_did_not_take_is_counted() {
    if !can_enclose() || !is_root() {
        return harness::skip("only root can mount a small disk in a mount namespace of its own");
    }
    let line = "0123456789012345678901234567890123456789";
    let spam = format!("i=0; while [ $i -lt 60000 ]; do echo {line}; i=$((i+1)); done");
    let program = script("web", &spam, "stdout = \"/mnt/web.log\"");
    let mut daemon = Setting::supervising(program).after_shell("mount -t tmpfs -o size=1m tmpfs /mnt").start();
    let disk = format!("/proc/{}/root/mnt/web.log", daemon.pid());
    daemon.wait_for_state("web", "EXITED");
    let told = daemon.log.wait_for("the loss is logged", |told| told.message == "lines of a log file were lost");
    let lost: usize = told.field("lost_lines").and_then(|lines| lines.parse().ok()).expect("a number");
    let kept = fs::read(&disk).expect("it exists").iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(kept + lost, 60_000);
    assert!(kept > 20_000, "the disk took {kept}");
    daemon.finish();
}

#[test]
fn a_file_that_was_moved_away_is_reopened_on_request() {
    let program = "[program.web]\nstartsecs = 0\nlogs = { stdout = \"{here}/web.log\" }\n\
                   command = [\"sh\", \"-c\", \"i=0; while :; do echo $i; i=$((i+1)); sleep 0.005; done\"]\n";
    let daemon = Setting::supervising(program).start();
    let (log, old) = (daemon.path("web.log"), daemon.path("web.log.1"));
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    harness::wait_until("it writes", || read(&log).lines().count() > 3);
    fs::rename(&log, &old).expect("the test directory is writable");
    daemon.signal(12);
    harness::wait_until("it writes to a new file", || read(&log).lines().count() > 3);
    let numbers: Vec<usize> = (read(&old) + &read(&log)).lines().map_while(|line| line.parse().ok()).collect();
    assert!(numbers.iter().enumerate().all(|(place, &number)| place == number), "a line is missing: {numbers:?}");
}

#[test]
fn a_program_that_closes_its_output_keeps_running() {
    let program = "[program.web]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", \"exec >&- 2>&-; sleep 1000\"]\n";
    let daemon = Setting::supervising(program).start();
    let pid = daemon.wait_for_running("web");
    let before = daemon.wake_ups();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(daemon.wake_ups() - before < 20, "the daemon wakes up without work");
    assert_eq!(daemon.pid_of("web"), pid);
}
