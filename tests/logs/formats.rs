//! How lines look on the console.

use nix::pty::openpty;
use serde_json::{Value, json};

use super::harness::{self, Setting, wait_until};
use super::{script, wait_for_output};

#[test]
fn json_is_an_object_a_line_with_objects_nested_and_bytes_kept() {
    let lines = r#"echo plain; echo "{\"level\": \"info\", \"n\": 1.0}"; printf "\377\000\033[1m\r\n"; printf last"#;
    let daemon = Setting::supervising(script("web", lines, "format = \"json\"")).start();
    let output = wait_for_output(&daemon, "four lines", |output| output.iter().filter(|&&b| b == b'\n').count() == 4);
    let objects: Vec<Value> = String::from_utf8(output)
        .expect("JSON is UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let lines: Vec<&Value> = objects.iter().map(|object| &object["line"]).collect();
    let nested = json!({ "level": "info", "n": 1.0 });
    assert_eq!(lines, [&json!("plain"), &nested, &json!("\u{fffd}\0\u{1b}[1m\r"), &json!("last")]);
    assert_eq!(objects[3]["part"], Value::Null, "the last line is whole");
    assert_eq!(objects[2]["bytes"], json!("/wAbWzFtDQ=="));
    for object in &objects {
        assert_eq!(
            (&object["program"], &object["stream"], &object["run"]),
            (&json!("web"), &json!("stdout"), &json!(1))
        );
        let time = object["time"].as_str().unwrap_or_default();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{object}");
    }
}

#[test]
fn lines_begin_with_the_time_if_configured() {
    let daemon = Setting::supervising(script("web", "echo one", "timestamps = true")).start();
    let output = wait_for_output(&daemon, "the line is there", |output| output.ends_with(b"\n"));
    let output = String::from_utf8(output).expect("it is text");
    let (time, rest) = output.split_once(' ').expect("it has a time");
    assert_eq!((time.len(), rest), ("2026-11-23T12:00:00.120Z".len(), "web | one\n"));
}

#[test]
fn raw_output_is_unchanged_in_whole_lines() {
    let raw = "format = \"raw\"";
    let one =
        script("one", r"i=0; while [ $i -lt 300 ]; do printf 'a\000'; printf 'b\033[0m\r\n'; i=$((i+1)); done", raw);
    let two =
        script("two", r"i=0; while [ $i -lt 300 ]; do printf 'c\377'; printf 'd\n'; i=$((i+1)); done; printf end", raw);
    let daemon = Setting::supervising(one + &two).start();
    let output = wait_for_output(&daemon, "601 lines", |output| output.iter().filter(|&&b| b == b'\n').count() == 601);
    let (mut ones, mut twos) = (0, 0);
    for line in output.split_inclusive(|&byte| byte == b'\n') {
        match line {
            b"a\0b\x1b[0m\r\n" => ones += 1,
            b"c\xffd\n" => twos += 1,
            line => assert_eq!(line, b"end\n", "a torn line"),
        }
    }
    assert_eq!((ones, twos), (300, 300));
}

#[test]
fn names_have_a_colour_on_a_terminal_unless_disabled() {
    for (no_color, expected) in [(false, &b"\x1b[0;3"[..]), (true, b"web | hello")] {
        let pty = openpty(None, None).expect("there are terminals");
        let slave = nix::unistd::ttyname(&pty.slave).expect("it has a name");
        let setting = Setting::supervising(script("web", "echo hello", "")).stdout(slave);
        let _daemon = if no_color { setting.env("NO_COLOR", "1") } else { setting }.start();
        let mut read = Vec::new();
        harness::wait_until("the line is there", || {
            let mut piece = [0; 256];
            let count = nix::unistd::read(&pty.master, &mut piece).unwrap_or(0);
            read.extend_from_slice(&piece[..count]);
            read.ends_with(b"hello\r\n")
        });
        assert!(read.starts_with(expected), "{}", String::from_utf8_lossy(&read));
    }
}

#[test]
fn lines_beyond_the_rate_limit_are_left_out_counted_and_marked() {
    // One write(2) of 500 lines: the limit is per second, so on a busy machine a writer that takes longer would lose
    // fewer.
    let spam = "seq 500; sleep 1.2; echo after";
    let logs = "stdout = [\"console\", \"{here}/web.log\"], rate_limit = \"100/s\"";
    let daemon = Setting::supervising(script("web", spam, logs)).start();
    let output = wait_for_output(&daemon, "the last line", |output| output.ends_with(b"web | after\n"));
    let output = String::from_utf8(output).expect("it is text");
    let kept = output.lines().filter(|line| line.starts_with("web | ")).count();
    let lost: usize = output
        .lines()
        .filter_map(|line| line.strip_prefix("musterd | web: ")?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(kept + lost, 501, "{output}");
    assert!((100..200).contains(&kept), "{kept} were kept");
    let file = std::fs::read_to_string(daemon.path("web.log")).expect("it exists");
    assert_eq!(file.lines().count(), kept, "the file has the same lines without a mark");
}

#[test]
fn timestamps_are_in_local_time_where_tz_is_set() {
    for (zone, ending) in [("XYZ-5:30", "+05:30"), ("UTC0", "Z"), ("", "Z")] {
        let programs = "[program.web]\ncommand = \"echo hello\"\nlogs = { timestamps = true }\n";
        let daemon = Setting::supervising(programs)
            .musterd("logformat = \"text\"\nexit_when_done = false")
            .env("TZ", zone)
            .start();
        wait_until("the line is there", || String::from_utf8_lossy(&daemon.output()).contains("hello"));
        wait_until("the log has a line", || daemon.log.text().contains('\n'));
        for text in [String::from_utf8_lossy(&daemon.output()).into_owned(), daemon.log.text()] {
            let stamp = text.split_whitespace().next().unwrap_or_default();
            assert!(stamp.starts_with("20") && stamp.ends_with(ending), "{zone}: {text}");
        }
    }
}
