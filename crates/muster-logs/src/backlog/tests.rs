//! Tests of the module above.

use muster_spec::Rotation;

use super::super::progress::{ENOUGH, PATIENCE};
use super::*;

fn origin(bound: usize, is_blocking: bool) -> Origin {
    Origin { counters: Arc::default(), bound, is_blocking, spare: None }
}

/// The backlog of a file that has taken nothing for longer than programs wait.
fn stuck(in_hand: usize, is_at_end_of_line: bool) -> Backlog {
    let began = Instant::now().checked_sub(2 * PATIENCE).unwrap();
    let state = State { in_hand, is_at_end_of_line, ..State::default() };
    Backlog { path: "x".into(), device: None, began, state: Mutex::new(state), changed: Condvar::new() }
}

fn taken(backlog: &Backlog) -> String {
    let mut state = backlog.lock();
    let mut text = Vec::new();
    while let Some((piece, _)) = state.take() {
        text.extend(piece.bytes);
    }
    assert_eq!(state.queued, 0);
    String::from_utf8(text).unwrap()
}

#[test]
fn bytes_come_in_the_order_in_which_they_came() {
    let (backlog, one, two) = (Backlog::new("x".into(), 0, true, None), origin(1000, false), origin(1000, true));
    [(&one, "a"), (&one, "b\n"), (&two, "c\n"), (&one, "d\n")]
        .iter()
        .for_each(|(origin, text)| assert!(backlog.push(&[text.as_bytes()], origin)));
    assert_eq!(taken(&backlog), "ab\nc\nd\n");
}

#[test]
fn the_oldest_bytes_go_up_to_the_end_of_a_line_and_are_counted() {
    let (backlog, web) = (stuck(10, false), origin(2 * TOGETHER, false));
    let piece = |letter: &str| letter.repeat(TOGETHER - 2);
    backlog.push(&[piece("a").as_bytes()], &web);
    backlog.push(&[format!("aa\nb{}", piece("b")).as_bytes()], &web);
    backlog.push(&[format!("{}\n", piece("c")).as_bytes()], &web);
    let counts = web.counters.counts();
    assert_eq!((counts.dropped_lines, counts.dropped_bytes), (1, TOGETHER as u64 + 1));
    assert!(taken(&backlog) == format!("\nb{}{}\n", piece("b"), piece("c")));
}

#[test]
fn nothing_of_a_program_that_waits_is_dropped_and_it_is_told_when_there_is_room() {
    let (backlog, web, db) = (stuck(1, true), origin(TOGETHER, true), origin(TOGETHER, false));
    let (told, news) = std::sync::mpsc::channel();
    let waiter = || -> Waiter { Box::new(move || told.send(()).unwrap()) };
    backlog.push(&[&[b'w'; TOGETHER]], &web);
    let line = [vec![b'd'; TOGETHER - 1], vec![b'\n']].concat();
    (0..4).for_each(|_| assert!(backlog.push(&[&line], &db)));
    assert_eq!(backlog.room(&web, waiter), Room::None);
    assert_eq!(backlog.room(&db, || unreachable!()), Room::Some, "its oldest lines go instead");
    assert_eq!((web.counters.counts().dropped_bytes, db.counters.counts().dropped_bytes), (0, 3 * TOGETHER as u64));
    let mut state = backlog.lock();
    assert!(state.take().unwrap().1.is_empty());
    assert_eq!(state.take().unwrap().1.len(), 1);
    assert!(news.try_recv().is_err());
}

#[test]
fn a_program_that_does_not_wait_for_ever_is_slowed_first() {
    let (backlog, web) = (Backlog::new("x".into(), 1, true, None), origin(TOGETHER, false));
    (0..5).for_each(|_| assert!(backlog.push(&[&[b'w'; TOGETHER]], &web)));
    let room = backlog.room(&web, || Box::new(|| {}));
    assert_eq!(room, Room::NoneUntil(backlog.began + PATIENCE));
    assert_eq!(web.counters.counts().dropped_bytes, 0);
    (0..16).for_each(|_| assert!(backlog.push(&[&[b'w'; TOGETHER]], &web)));
    assert!(backlog.lock().queued <= 2 * web.bound + SPARE, "it is bounded all the same");
}

#[test]
fn a_file_is_given_back_when_everything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.log");
    let rotation = Rotation { max_size: 0, max_files: 0, compress: false };
    let file = Box::new(LogFile::at(&path, rotation, &Arc::default()));
    let (backlog, web) = (Backlog::new(path.clone(), 4, true, None), origin(1000, false));
    backlog.push(&[b"two\n"], &web);
    let now = Instant::now();
    assert_eq!(backlog.wait(now, now), 8);
    backlog.serve(file, &Waiting::new(b"one\n", &web), false);
    assert_eq!((backlog.wait(now, now), std::fs::read_to_string(&path).unwrap()), (0, "one\ntwo\n".into()));
    assert!(backlog.take_back().is_some() && backlog.take_back().is_none());
}

#[test]
fn what_comes_at_the_last_moment_is_written_before_the_file_goes_back() {
    let rotation = Rotation { max_size: 0, max_files: 0, compress: false };
    let file = || Box::new(LogFile::at(Path::new("x"), rotation, &Arc::default()));
    let (backlog, web) = (Backlog::new("x".into(), 0, true, None), origin(1000, false));
    assert!(backlog.next(false).is_none());
    backlog.push(&[b"one\n"], &web);
    assert!(backlog.give_back(file()).is_some() && backlog.take_back().is_none());
    assert_eq!(taken(&backlog), "one\n");
    assert!(backlog.give_back(file()).is_none());
    assert!(!backlog.push(&[b"two\n"], &web), "nothing is queued for a file that is back");
    assert!(backlog.take_back().is_some());
}

#[test]
fn a_file_that_was_late_goes_back_only_after_a_write_in_time() {
    let (backlog, web) = (Backlog::new("x".into(), 0, true, None), origin(1000, false));
    backlog.push(&[b"two\n"], &web);
    assert!(matches!(backlog.next(true), Some(Next::Write(_))));
    assert!(backlog.next(false).is_none());
    backlog.leave(true);
    assert!(backlog.next(true).is_none(), "nothing more comes");
}

#[test]
fn a_file_that_takes_next_to_nothing_is_waited_for_no_longer_than_one_that_takes_nothing() {
    let (backlog, web) = (stuck(ENOUGH, true), origin(TOGETHER, false));
    (0..2).for_each(|_| assert!(backlog.push(&[&[b'w'; TOGETHER]], &web)));
    backlog.lock().has_left(ENOUGH - 1, backlog.began);
    assert_eq!(backlog.room(&web, || unreachable!()), Room::Some, "one byte changes nothing");
    backlog.lock().has_left(0, backlog.began);
    assert!(backlog.push(&[&[b'w'; TOGETHER]], &web));
    assert!(matches!(backlog.room(&web, || Box::new(|| {})), Room::NoneUntil(until) if until > Instant::now()));
}
