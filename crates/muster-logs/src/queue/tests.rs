//! Tests of the module above.

use super::*;
use std::time::Duration;

fn lane(name: &str, bound: usize, full: Full) -> LaneSpec {
    LaneSpec { gap: Gap::Text { name: name.to_owned() }, bound, full, counters: None, is_verbatim: false }
}

fn queue() -> Queue {
    Queue::new(lane("musterd", 1 << 20, Full::Drop))
}

fn push(queue: &mut Queue, lane: LaneId, text: &str) {
    push_until(queue, lane, Instant::now(), text);
}

/// With programs that wait for the reader until then.
fn push_until(queue: &mut Queue, lane: LaneId, until: Instant, text: &str) {
    queue.push(lane, until, &mut text.as_bytes().to_vec(), memchr_iter(b'\n', text.as_bytes()).count() as u64, None);
}

fn taken(queue: &mut Queue) -> String {
    let mut batch = Vec::new();
    queue.take(usize::MAX, &mut batch);
    String::from_utf8(batch.concat()).unwrap()
}

#[test]
fn lines_of_all_lanes_come_in_the_order_in_which_they_came() {
    let mut queue = queue();
    let (web, db) = (queue.add_lane(lane("web", 4096, Full::Drop)), queue.add_lane(lane("db", 4096, Full::Drop)));
    for (lane, text) in [(web, "1\n"), (web, "2\n"), (db, "3\n"), (OWN, "4\n"), (web, "5\n")] {
        push(&mut queue, lane, text);
    }
    assert_eq!(taken(&mut queue), "1\n2\n3\n4\n5\n");
    assert!(queue.is_empty());
    assert_eq!(queue.total(), 0);
}

#[test]
fn the_oldest_lines_of_a_full_lane_go_and_the_gap_is_marked_where_it_is() {
    let mut queue = queue();
    let (web, db) = (queue.add_lane(lane("web", 40_000, Full::Drop)), queue.add_lane(lane("db", 40_000, Full::Drop)));
    let line = |number: usize| format!("{number:09999}\n");
    push(&mut queue, db, "first\n");
    for number in 0..10 {
        push(&mut queue, web, &line(number));
    }
    push(&mut queue, db, "last\n");
    let expected = format!(
        "first\nmusterd | web: 7 lines (70000 bytes) lost here: {UNREAD}\n{}{}{}last\n",
        line(7),
        line(8),
        line(9)
    );
    assert!(taken(&mut queue) == expected);
    push(&mut queue, web, "more\n");
    assert_eq!(taken(&mut queue), "more\n", "a gap is reported once");
}

#[test]
fn one_piece_that_is_larger_than_the_bound_is_kept() {
    let mut queue = queue();
    let web = queue.add_lane(lane("web", 4096, Full::Drop));
    let line = format!("{}\n", "x".repeat(60_000));
    push(&mut queue, web, &line);
    assert!(taken(&mut queue) == line);
}

#[test]
fn of_what_was_read_together_only_as_much_goes_as_must() {
    let mut queue = queue();
    let web = queue.add_lane(lane("web", 64 * 1024, Full::Drop));
    let lines = |numbers: std::ops::Range<usize>| numbers.map(|number| format!("{number:099}\n")).collect::<String>();
    push(&mut queue, web, &lines(0..650));
    push(&mut queue, web, &lines(650..700));
    let text = taken(&mut queue);
    let (gap, kept) = text.split_once('\n').unwrap();
    let lost: usize = gap.split(' ').nth(3).unwrap().parse().unwrap();
    assert!((50..100).contains(&lost), "{gap}");
    assert!(kept == lines(lost..700));
}

#[test]
fn all_lanes_together_have_a_bound() {
    let mut queue = queue();
    let piece = format!("{}\n", "x".repeat(99_999));
    for _ in 0..40 {
        let lane = queue.add_lane(lane("web", 1 << 20, Full::Drop));
        (0..10).for_each(|_| push(&mut queue, lane, &piece));
    }
    assert!(queue.total() <= TOTAL && queue.total() > TOTAL - 200_000, "{}", queue.total());
    let told = taken(&mut queue);
    let (kept, gaps) = (
        told.lines().filter(|line| line.starts_with('x')).count(),
        told.lines().filter(|line| line.contains("lost here")).count(),
    );
    let lost: usize = told.lines().filter_map(|line| line.split(' ').nth(3)?.parse::<usize>().ok()).sum();
    assert!(kept + lost == 400 && gaps > 20, "{kept} kept, {lost} lost, {gaps} gaps");
}

#[test]
fn who_fills_a_blocking_lane_waits_and_is_told_when_there_is_room() {
    let mut queue = queue();
    let web = queue.add_lane(lane("web", 50_000, Full::Block));
    let (told, news) = std::sync::mpsc::channel();
    let mut pushed = 0;
    let waiter = || -> Waiter {
        let told = told.clone();
        Box::new(move || told.send(()).unwrap())
    };
    while queue.room(web, Instant::now(), waiter) == Room::Some {
        push(&mut queue, web, &format!("{}\n", "x".repeat(9_999)));
        pushed += 1;
    }
    assert_eq!(pushed, 5);
    let mut batch = Vec::new();
    assert!(queue.take(10_000, &mut batch).is_empty(), "there is hardly room yet");
    let waiters = queue.take(20_000, &mut batch);
    assert_eq!(waiters.len(), 1);
    waiters.into_iter().for_each(|waiter| waiter());
    assert_eq!(news.try_iter().count(), 1);
}

#[test]
fn small_lines_of_many_lanes_are_charged_what_they_cost() {
    let mut queue = queue();
    let (web, db) = (queue.add_lane(lane("web", 100_000, Full::Drop)), queue.add_lane(lane("db", 100_000, Full::Drop)));
    for _ in 0..10_000 {
        push(&mut queue, web, "x\n");
        push(&mut queue, db, "x\n");
    }
    let kept = queue.chunks.values().map(|chunk| chunk.bytes.capacity() + OVERHEAD).sum::<usize>();
    assert!(kept <= 200_000, "{kept}");
}

#[test]
fn who_fills_a_lane_waits_as_long_as_the_reader_is_waited_for() {
    let mut queue = queue();
    let web = queue.add_lane(lane("web", 50_000, Full::Slow));
    let (soon, past) = (Instant::now() + Duration::from_secs(60), Instant::now());
    let piece = |number: usize| format!("{number:09999}\n");
    (0..8).for_each(|number| push_until(&mut queue, web, soon, &piece(number)));
    assert_eq!(queue.room(web, soon, || Box::new(|| {})), Room::NoneUntil(soon));
    assert_eq!(queue.room(web, past, || unreachable!()), Room::Some);
    push_until(&mut queue, web, past, &piece(8));
    let text = taken(&mut queue);
    assert!(text.starts_with("musterd | web: 5 lines"), "only now something is lost: {}", &text[..60]);
    assert!(text.ends_with(&piece(8)));
}

#[test]
fn all_who_are_slowed_wait_when_all_lanes_together_are_too_many() {
    let mut queue = queue();
    let soon = Instant::now() + Duration::from_secs(60);
    let piece = format!("{}\n", "x".repeat(99_999));
    let (told, news) = std::sync::mpsc::channel();
    for _ in 0..20 {
        let lane = queue.add_lane(lane("web", 1 << 20, Full::Slow));
        let waiter = || -> Waiter {
            let told = told.clone();
            Box::new(move || told.send(()).unwrap())
        };
        while queue.room(lane, soon, waiter) == Room::Some {
            push_until(&mut queue, lane, soon, &piece);
        }
    }
    assert!((CROWDED..CROWDED + 200_000).contains(&queue.total()), "{}", queue.total());
    assert_eq!(queue.room(OWN, soon, || unreachable!()), Room::Some, "the daemon itself never waits");
    let mut batch = Vec::new();
    queue.take(1 << 20, &mut batch).into_iter().for_each(|waiter| waiter());
    let first = news.try_iter().count();
    assert!(first <= 2, "{first} were notified, and only the first lanes have room");
    queue.take(CROWDED - UNCROWDED, &mut batch).into_iter().for_each(|waiter| waiter());
    assert!(first + news.try_iter().count() > 8, "all waiters are notified");
    assert!(!String::from_utf8(batch.concat()).unwrap().contains("lost"));
}

#[test]
fn what_waits_of_blocking_lanes_costs_others_nothing() {
    let mut queue = queue();
    let soon = Instant::now() + Duration::from_secs(60);
    let db = queue.add_lane(lane("db", 64 << 20, Full::Block));
    let web = queue.add_lane(lane("web", 1 << 20, Full::Slow));
    let piece = format!("{}\n", "x".repeat(999_999));
    push_until(&mut queue, web, soon, "first\n");
    (0..20).for_each(|_| push_until(&mut queue, db, soon, &piece));
    assert_eq!(queue.room(web, soon, || unreachable!()), Room::Some);
    // It comes after a run that did not block.
    queue.change_lane(db, lane("db", 64 << 20, Full::Slow));
    assert!(matches!(queue.room(web, soon, || Box::new(|| {})), Room::NoneUntil(_)));
    queue.change_lane(db, lane("db", 64 << 20, Full::Block));
    assert!(taken(&mut queue).starts_with("first\n"));
    assert_eq!((queue.total(), queue.losable), (0, 0));
}
