//! Tests of the module above.

use super::*;
use std::io::Read;

use crate::drain::Drains;

const LONG: Duration = Duration::from_secs(10);

fn pipe() -> (File, OwnedFd) {
    let (reading, writing) = nix::unistd::pipe().unwrap();
    (File::from(reading), writing)
}

#[test]
fn what_was_appended_is_written_in_order() {
    let (mut reader, writing) = pipe();
    let console = Console::start("test", writing).unwrap();
    console.append(b"web | one\n");
    console.append(b"db | two\n");
    console.flush(LONG, LONG);
    let mut read = [0; 19];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"web | one\ndb | two\n");
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_never_blocks_the_writer() {
    let (mut reader, writing) = pipe();
    let console = Console::start("test", writing).unwrap();
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    for _ in 0..4096 {
        console.append(&line);
    }
    let (telling, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut read, mut piece) = (Vec::new(), [0; 65536]);
        while !read.windows(5).any(|bytes| bytes == b"last\n") {
            let count = reader.read(&mut piece).unwrap();
            read.extend_from_slice(&piece[..count]);
        }
        telling.send(read).unwrap();
    });
    console.flush(LONG, LONG);
    console.append(b"last\n");
    let read = String::from_utf8(told.recv_timeout(LONG).unwrap()).unwrap();
    let lines = read.lines().filter(|line| line.starts_with('x')).count() as u64;
    let gap = |line: &str| line.strip_prefix("musterd | musterd: ")?.split(' ').next()?.parse::<u64>().ok();
    let lost: u64 = read.lines().filter_map(gap).sum();
    assert_eq!(lines + lost, 4096, "every line is either there or counted");
    // At most 1 MiB waits, 256 KiB are being written, and a pipe takes 256 KiB.
    assert!(lost >= 2500, "lost {lost} of 4 MiB");
}

#[test]
fn a_reader_that_is_gone_ends_nothing() {
    let (reader, writing) = pipe();
    drop(reader);
    let console = Console::start("test", writing).unwrap();
    for _ in 0..3 {
        console.append(b"this is not read\n");
        console.flush(LONG, LONG);
    }
    assert!(console.shared.lock().queue.is_empty());
}

#[test]
fn the_daemons_lines_wait_for_what_a_run_has_left_behind_but_not_for_ever() {
    let (mut reader, writing) = pipe();
    let console = Console::start("test", writing).unwrap();
    let web = LaneSpec {
        gap: Gap::Text { name: "web".to_owned() },
        bound: 4096,
        full: Full::Drop,
        counters: None,
        is_verbatim: false,
    };
    let web = console.lane(None, web);
    console.await_drain(1);
    console.append(b"ended\n");
    console.await_drain(2);
    console.append(b"ended again\n");
    console.push(web, &mut b"last words\n".to_vec(), 1, None);
    console.drain_is_over(1);
    let mut read = [0; 17];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"last words\nended\n");
    // The second is never reported as complete.
    let mut read = [0; 12];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"ended again\n");
}

#[test]
fn a_notice_is_given_when_everything_before_it_is_written() {
    let (mut reader, writing) = pipe();
    let console = Console::start("test", writing).unwrap();
    let drains = Drains::new();
    console.notify(drains.begin());
    assert_eq!(drains.pending(), None, "nothing is before it");
    // More than the console's pipe holds, and at most what may be queued.
    let much = [b"x".repeat(599_999), b"\n".to_vec()].concat();
    console.append(&much);
    console.notify(drains.begin());
    assert_eq!(drains.pending(), Some(2));
    reader.read_exact(&mut vec![0; much.len()]).unwrap();
    console.flush(LONG, LONG);
    assert_eq!(drains.pending(), None);
}
