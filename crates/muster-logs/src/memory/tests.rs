//! The guarantees of an instance's memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::*;

use Source::{Stderr, Stdout};

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn text(batch: &Batch) -> String {
    String::from_utf8_lossy(&batch.bytes).into_owned()
}

fn last(memory: &Memory, run: u64) -> Vec<String> {
    let line =
        |line: LastLine| format!("{}{}", String::from_utf8_lossy(&line.text), if line.is_cut { "…" } else { "" });
    memory.last_lines(run).into_iter().map(line).collect()
}

#[test]
fn nothing_is_allocated_before_the_first_byte_and_little_after_it() {
    let memory = Memory::of_size(256 * 1024);
    assert!(memory.lock().is_none());
    memory.push(Stdout, 1, at(0), b"");
    memory.end(Stdout, 1, at(0));
    assert!(memory.lock().is_none());
    memory.push(Stdout, 1, at(0), b"hello\n");
    assert!(memory.lock().as_ref().unwrap().ring.allocated() <= 1024);
}

#[test]
fn a_size_of_0_remembers_nothing() {
    let memory = Memory::of_size(0);
    memory.push(Stdout, 1, at(0), b"hello\n");
    assert!(memory.lock().is_none() && memory.last_lines(1).is_empty());
}

#[test]
fn another_size_is_in_force_at_once() {
    let memory = Memory::of_size(64 * 1024);
    (0..100).for_each(|_| memory.push(Stdout, 1, at(0), &[b'x'; 1000]));
    memory.set_size(4096);
    assert!(memory.lock().as_ref().unwrap().ring.allocated() <= 4096);
    memory.set_size(64 * 1024);
    (0..100).for_each(|_| memory.push(Stdout, 1, at(0), &[b'x'; 1000]));
    assert!(memory.lock().as_ref().unwrap().ring.allocated() > 32 * 1024);
}

#[test]
fn the_last_lines_of_each_of_the_last_runs_are_remembered() {
    let memory = Memory::of_size(64 * 1024);
    for run in 1..=30_u64 {
        for line in 0..30 {
            let source = if line % 2 == 0 { Stdout } else { Stderr };
            memory.push(source, run, at(run), format!("run {run} line {line} {}\n", "x".repeat(80)).as_bytes());
        }
        memory.push(Stdout, run, at(run), b"no end");
    }
    for run in 11..=30 {
        let lines = last(&memory, run);
        assert_eq!(lines.len(), 20, "run {run}");
        assert!(lines[0].starts_with(&format!("run {run} line 11 ")), "{}", lines[0]);
        assert_eq!(lines[19], "no end");
    }
    assert!(last(&memory, 9).is_empty() && last(&memory, 31).is_empty());
}

#[test]
fn what_an_old_run_writes_late_is_remembered_as_its_own() {
    let memory = Memory::of_size(4096);
    memory.push(Stdout, 1, at(1), b"first\n");
    memory.push(Stdout, 2, at(2), b"of the second\n");
    memory.push(Stdout, 1, at(2), b"late");
    memory.end(Stdout, 1, at(2));
    for _ in 0..200 {
        memory.push(Stdout, 2, at(3), b"this drives everything older out of the ring\n");
    }
    assert_eq!(last(&memory, 1), ["first", "late"]);
}

#[test]
fn a_long_line_is_cut_and_says_so() {
    let memory = Memory::of_size(64 * 1024);
    memory.push(Stdout, 1, at(1), &[vec![b'x'; 5000], b"\nshort\n".to_vec()].concat());
    assert_eq!(last(&memory, 1), [format!("{}…", "x".repeat(1024)), "short".to_owned()]);
}

/// The content from the located beginning on, and how many of its lines exceed the request.
fn found(memory: &Memory, wanted: Wanted, lines: Option<u64>, since: Option<u64>) -> (String, u64, bool) {
    let Located { mut cursor, skip, end, is_satisfied, .. } = memory.locate(wanted, lines, since.map(at));
    let mut batch = Batch::default();
    memory.read(&mut cursor, wanted, end, &mut batch);
    assert_eq!(batch.missed, 0);
    (text(&batch), skip, is_satisfied)
}

#[test]
fn the_last_lines_and_those_since_a_moment_are_found() {
    let memory = Memory::of_size(4096);
    for second in 0..10 {
        memory.push(Stdout, 1, at(second), format!("{second}\n").as_bytes());
        memory.push(Stderr, 1, at(second), b"e\n");
    }
    let (only, both) = (Wanted::Only(Stdout), Wanted::Both);
    assert_eq!(found(&memory, only, Some(3), None), ("4\n5\n6\n7\n8\n9\n".to_owned(), 3, true));
    assert_eq!(found(&memory, only, None, Some(8)), ("8\n9\n".to_owned(), 0, true));
    assert_eq!(found(&memory, both, Some(1), Some(9)), ("9\ne\n".to_owned(), 1, true));
    assert_eq!(found(&memory, both, None, Some(10)), (String::new(), 0, true));
    assert_eq!(found(&memory, both, Some(0), None).1, 3, "not even a line");
    assert_eq!(found(&memory, both, None, None).0.len(), 40);
    assert!(!found(&memory, both, Some(21), None).2, "there may be older ones elsewhere");
    assert!(!found(&memory, both, None, Some(0)).2);
    memory.push(Stdout, 1, at(11), b"no end");
    assert_eq!(memory.locate(only, Some(2), None).lines, 2, "a line without an end is one");
}

#[test]
fn the_edge_is_at_the_first_whole_line() {
    let memory = Memory::of_size(300);
    memory.push(Stdout, 1, at(1), &[b'x'; 200]);
    memory.push(Stdout, 1, at(2), &[vec![b'y'; 100], b"\nfirst\n".to_vec()].concat());
    memory.push(Stderr, 1, at(3), b"error\n");
    memory.push(Stdout, 1, at(4), b"second\nbegun");
    let edge = memory.edge(Wanted::Only(Stdout), None);
    assert_eq!((edge.bytes, edge.needle.as_slice(), edge.before), (18, b"first\nsecond\nbegun".as_slice(), None));
    assert_eq!(memory.edge(Wanted::Only(Stdout), Some(at(0))).before, Some(301));
    assert_eq!(Memory::of_size(300).edge(Wanted::Both, Some(at(0))), Edge { before: Some(0), ..Edge::default() });
}

#[test]
fn a_reader_goes_on_where_it_was_and_is_told_what_it_missed() {
    let memory = Memory::of_size(4096);
    memory.push(Stdout, 1, at(0), b"before\n");
    let (mut both, mut errors) = (memory.locate(Wanted::Both, Some(0), None).cursor, Cursor::default());
    (both.position, both.passed[0]) = (memory.locate(Wanted::Both, None, None).end, 7);
    let mut batch = Batch::default();
    memory.push(Stdout, 1, at(0), b"one\n");
    memory.push(Stderr, 1, at(0), b"two\n");
    memory.read(&mut both, Wanted::Both, u64::MAX, &mut batch);
    assert_eq!((text(&batch).as_str(), batch.missed), ("one\ntwo\n", 0));
    memory.read(&mut both, Wanted::Both, u64::MAX, &mut batch);
    assert!(batch == Batch::default());
    memory.read(&mut errors, Wanted::Only(Stderr), u64::MAX, &mut batch);
    assert_eq!((text(&batch).as_str(), batch.missed), ("two\n", 0));
    let line = [vec![b'x'; 99], b"\n".to_vec()].concat();
    (0..1000).for_each(|_| memory.push(Stdout, 1, at(0), &line));
    memory.push(Stdout, 1, at(0), &vec![b'y'; 10_000]);
    let (mut seen, mut missed) = (0, 0);
    loop {
        memory.read(&mut both, Wanted::Both, u64::MAX, &mut batch);
        if batch == Batch::default() {
            break;
        }
        (seen, missed) = (seen + batch.bytes.len() as u64, missed + batch.missed);
    }
    assert!(missed > 100_000, "{missed}");
    assert_eq!(seen + missed, 110_000);
    memory.read(&mut errors, Wanted::Only(Stderr), u64::MAX, &mut batch);
    assert!(batch == Batch::default(), "nothing of stderr was missed");
}

#[test]
fn clearing_forgets_what_was_written_and_not_what_comes() {
    let memory = Memory::of_size(4096);
    memory.push(Stdout, 1, at(0), b"secret\n");
    memory.push(Stdout, 2, at(0), b"secret\n");
    memory.clear();
    assert_eq!(found(&memory, Wanted::Both, None, None).0, "");
    assert!(memory.last_lines(1).is_empty() && memory.last_lines(2).is_empty());
    assert_eq!(memory.edge(Wanted::Both, None).before, Some(0), "nor what is in files");
    memory.push(Stdout, 2, at(0), b"new\n");
    assert_eq!(found(&memory, Wanted::Both, None, None).0, "new\n");
}

struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Counter>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn who_waits_is_woken_once_and_only_while_somebody_follows() {
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&counter));
    let mut context = Context::from_waker(&waker);
    let memory = Memory::of_size(0);
    memory.begin_following();
    assert!(memory.poll_beyond(0, &mut context).is_pending());
    memory.push(Stdout, 1, at(0), b"one\n");
    memory.push(Stdout, 1, at(0), b"two\n");
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(seen) = memory.poll_beyond(0, &mut context) else { panic!("there is more") };
    assert!(memory.poll_beyond(seen, &mut context).is_pending());
    memory.end_following();
    assert!(memory.lock().is_none(), "nothing is kept without followers");
}
