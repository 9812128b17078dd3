//! Pools with listeners that are played.

use super::*;

const RUN: RunId = RunId(1);
const OTHER: RunId = RunId(2);

fn member(instance: &str, pool: &str, events: &[EventType], buffer_size: usize) -> Member {
    let (mode, results) = (ListenerMode::Patient, muster_spec::Results::Judge);
    let listener = ListenerSpec { pool: pool.to_owned(), events: events.to_vec(), buffer_size, mode, results };
    Member { instance: instance.to_owned(), process: instance.to_owned(), listener: Arc::new(listener) }
}

/// One pool `l` with two listeners, both started.
fn pool(events: &[EventType], buffer_size: usize) -> Exchange {
    let mut exchange = Exchange::new("supervisor".to_owned(), true);
    exchange.put_pool(vec![member("l0", "l", events, buffer_size), member("l1", "l", events, buffer_size)]);
    exchange.started("l0", RUN);
    exchange.started("l1", OTHER);
    exchange
}

fn remote(number: usize) -> Announcement {
    Announcement::remote("n", &number.to_string())
}

/// Whatever is dispatched now, all listeners being RUNNING and reading.
fn dispatched(exchange: &mut Exchange, now: Instant) -> Vec<(RunId, String)> {
    let mut written = Vec::new();
    exchange.dispatch(
        now,
        |_| true,
        |run, bytes| {
            written.push((run, String::from_utf8(bytes).unwrap()));
            true
        },
    );
    written
}

fn texts(exchange: &mut Exchange) -> Vec<String> {
    exchange.take_lines().into_iter().map(|line| line.text).collect()
}

/// The data of the events that were written.
fn data(written: &[(RunId, String)]) -> Vec<&str> {
    written.iter().map(|(_, text)| text.lines().last().unwrap_or_default()).collect()
}

#[test]
fn an_event_is_written_as_the_original_does() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    exchange.announce(Announcement::running());
    exchange.announce(Announcement::remote("a", "é€"));
    assert_eq!(dispatched(&mut exchange, now), []);
    exchange.heard(OTHER, b"READY\n", now);
    let expected = "ver:3.0 server:supervisor serial:0 pool:l poolserial:0 eventname:REMOTE_COMMUNICATION len:9\n\
                    type:a\né€";
    assert_eq!(dispatched(&mut exchange, now), [(OTHER, expected.to_owned())]);
    let expected = ["'l1' stdout output:\nb'READY\\n'", "l1: ACKNOWLEDGED -> READY", "event 0 sent to listener l1"]
        .map(str::to_owned);
    assert_eq!(texts(&mut exchange), expected);
    exchange.heard(OTHER, b"RESULT 2\nOK", now);
    assert_eq!(texts(&mut exchange)[1..], ["l1: event was processed", "l1: BUSY -> ACKNOWLEDGED"]);
}

#[test]
fn an_event_that_matches_twice_comes_twice_with_the_same_numbers() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::Tick, EventType::Tick5], 10);
    exchange.announce(Announcement { kind: EventType::Tick5, payload: "when:5".to_owned() });
    exchange.announce(Announcement { kind: EventType::Tick60, payload: "when:60".to_owned() });
    let mut headers = Vec::new();
    for _ in 0..3 {
        exchange.heard(RUN, b"READY\n", now);
        headers.extend(dispatched(&mut exchange, now).into_iter().map(|(_, text)| text));
        exchange.heard(RUN, b"RESULT 2\nOK", now);
    }
    assert_eq!(headers[0], headers[1]);
    assert!(headers[0].contains(" serial:0 pool:l poolserial:0 eventname:TICK_5 "), "{headers:?}");
    assert!(headers[2].contains(" serial:1 pool:l poolserial:1 eventname:TICK_60 "), "{headers:?}");
}

#[test]
fn pools_number_their_own_events_and_share_the_serial_number() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    exchange.put_pool(vec![member("m", "m", &[EventType::Event], 10)]);
    exchange.started("m", RunId(3));
    exchange.announce(Announcement::running());
    exchange.announce(remote(1));
    exchange.heard(RUN, b"READY\n", now);
    exchange.heard(RunId(3), b"READY\n", now);
    let written = dispatched(&mut exchange, now);
    assert!(written[0].1.contains(" serial:1 pool:l poolserial:0 "), "{written:?}");
    assert!(written[1].1.contains(" serial:0 pool:m poolserial:0 "), "{written:?}");
}

#[test]
fn a_full_buffer_loses_the_oldest_event_once_a_listener_has_been_ready() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 3);
    (0..5).for_each(|number| exchange.announce(remote(number)));
    assert_eq!(texts(&mut exchange), Vec::<String>::new(), "nothing is lost while the listeners start");
    exchange.heard(RUN, b"READY\n", now);
    assert_eq!(data(&dispatched(&mut exchange, now)), ["0"]);
    exchange.take_lines();
    exchange.announce(remote(5));
    exchange.announce(remote(6));
    let lost = |serial| format!("pool l event buffer overflowed, discarding event {serial}");
    assert_eq!(texts(&mut exchange), [lost(1), lost(2)]);
    exchange.heard(OTHER, b"READY\n", now);
    assert_eq!(data(&dispatched(&mut exchange, now)), ["3"]);
}

#[test]
fn an_exact_pool_loses_events_from_the_start_and_sends_a_rejected_one_at_once() {
    let now = Instant::now();
    let mut exchange = Exchange::new("supervisor".to_owned(), true);
    let mut only = member("l0", "l", &[EventType::RemoteCommunication], 3);
    Arc::make_mut(&mut only.listener).mode = ListenerMode::Exact;
    exchange.put_pool(vec![only]);
    exchange.started("l0", RUN);
    (0..5).for_each(|number| exchange.announce(remote(number)));
    assert_eq!(texts(&mut exchange).len(), 2, "two are lost");
    exchange.heard(RUN, b"READY\n", now);
    assert_eq!(data(&dispatched(&mut exchange, now)), ["2"]);
    exchange.heard(RUN, b"RESULT 4\nFAILREADY\n", now);
    assert_eq!(exchange.due(), None);
    assert_eq!(data(&dispatched(&mut exchange, now)), ["2"]);
}

#[test]
fn many_bytes_fill_a_buffer_too() {
    let mut exchange = pool(&[EventType::RemoteCommunication], 1000);
    let large = "x".repeat(1 << 20);
    (0..20).for_each(|_| exchange.announce(Announcement::remote("n", &large)));
    let lines = texts(&mut exchange);
    assert_eq!(lines.len(), 5, "{lines:?}");
}

#[test]
fn a_rejected_event_comes_again_after_a_second_before_all_others() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    (0..2).for_each(|number| exchange.announce(remote(number)));
    exchange.heard(RUN, b"READY\n", now);
    assert_eq!(data(&dispatched(&mut exchange, now)), ["0"]);
    exchange.take_lines();
    exchange.heard(RUN, b"RESULT 4\nFAILREADY\n", now);
    let expected = [
        "l0: event was rejected",
        "l0: BUSY -> ACKNOWLEDGED",
        "l0: ACKNOWLEDGED -> READY",
        "rebuffering event 0 for pool l (buf size=1, max=10)",
    ];
    assert_eq!(texts(&mut exchange)[1..], expected);
    assert_eq!(dispatched(&mut exchange, now), []);
    assert_eq!(exchange.due(), Some(now + AGAIN));
    let later = now + AGAIN;
    assert_eq!(data(&dispatched(&mut exchange, later)), ["0"]);
    assert_eq!(exchange.due(), None);
}

#[test]
fn the_event_of_a_listener_that_ends_or_violates_the_protocol_is_for_another_one() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    exchange.announce(remote(0));
    exchange.heard(RUN, b"READY\n", now);
    assert_eq!(dispatched(&mut exchange, now).len(), 1);
    exchange.heard(RUN, b"garbage\n", now);
    let warned: Vec<Line> = exchange.take_lines().into_iter().filter(|line| line.level == Level::Warn).collect();
    assert_eq!(warned[0].text, "l0: bad result line: 'garbage'");
    assert!(warned[1].text.starts_with("l0: has entered the UNKNOWN state and will no longer receive events, "));
    exchange.heard(RUN, b"READY\n", now);
    exchange.heard(OTHER, b"READY\n", now);
    let written = dispatched(&mut exchange, now);
    assert_eq!((written[0].0, data(&written)), (OTHER, vec!["0"]));
    exchange.ended(OTHER);
    exchange.started("l1", RunId(3));
    exchange.heard(OTHER, b"READY\n", now);
    assert_eq!(dispatched(&mut exchange, now), [], "an ended run gets nothing");
    exchange.heard(RunId(3), b"READY\n", now);
    let written = dispatched(&mut exchange, now);
    assert_eq!((written[0].0, data(&written)), (RunId(3), vec!["0"]));
}

#[test]
fn a_listener_gets_events_only_while_it_is_running_and_reads() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    (0..2).for_each(|number| exchange.announce(remote(number)));
    exchange.heard(RUN, b"READY\n", now);
    exchange.heard(OTHER, b"READY\n", now);
    exchange.dispatch(now, |_| false, |_, _| panic!("none is RUNNING"));
    let mut tried = Vec::new();
    exchange.dispatch(
        now,
        |_| true,
        |run, _| {
            tried.push(run);
            run == OTHER
        },
    );
    exchange.dispatch(now, |_| true, |_, _| panic!("one has closed its input, and the other is busy"));
    assert_eq!(tried, [RUN, OTHER]);
}

#[test]
fn a_reload_keeps_the_events_of_pools_that_stay_as_they_are() {
    let now = Instant::now();
    let events = [EventType::RemoteCommunication];
    let mut exchange = pool(&events, 10);
    exchange.announce(remote(0));
    exchange.put_pool(vec![member("l1", "l", &events, 10)]);
    exchange.heard(RUN, b"READY\n", now);
    assert_eq!(dispatched(&mut exchange, now), [], "it is no longer a member");
    exchange.heard(OTHER, b"READY\n", now);
    assert_eq!(data(&dispatched(&mut exchange, now)), ["0"]);
    exchange.announce(remote(1));
    exchange.put_pool(vec![member("l1", "l", &[EventType::Event], 10)]);
    exchange.started("l1", RUN);
    exchange.heard(RUN, b"READY\n", now);
    assert_eq!(dispatched(&mut exchange, now), [], "a changed pool begins without events");
    exchange.retain_pools(|_| false);
    assert!(exchange.is_empty() && !exchange.is_wanted(EventType::Tick5));
}

#[test]
fn a_listener_is_owed_events_until_it_has_answered_for_the_last() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    assert!(!exchange.is_owed(RUN) && exchange.may_listen(RUN) && !exchange.may_listen(RunId(9)));
    exchange.announce(remote(0));
    assert!(exchange.is_owed(RUN) && exchange.is_owed(OTHER), "either may become ready for it");
    exchange.heard(RUN, b"READY\n", now);
    dispatched(&mut exchange, now);
    assert!(exchange.is_owed(RUN) && !exchange.is_owed(OTHER));
    exchange.heard(RUN, b"RESULT 2\nOK", now);
    assert!(!exchange.is_owed(RUN));
    exchange.announce(remote(1));
    exchange.heard(OTHER, b"garbage", now);
    assert!(exchange.is_owed(RUN) && !exchange.is_owed(OTHER) && !exchange.may_listen(OTHER));
}

#[test]
fn a_new_beginning_forgets_events_and_counts_on() {
    let now = Instant::now();
    let mut exchange = pool(&[EventType::RemoteCommunication], 10);
    exchange.announce(remote(0));
    exchange.forget_pools();
    assert!(exchange.is_empty());
    exchange.put_pool(vec![member("l0", "l", &[EventType::RemoteCommunication], 10)]);
    exchange.started("l0", RUN);
    exchange.announce(remote(1));
    exchange.heard(RUN, b"READY\n", now);
    let written = dispatched(&mut exchange, now);
    assert!(written[0].1.contains(" serial:1 pool:l poolserial:0 "), "{written:?}");
}

#[test]
fn results_may_be_output_to_be_printed() {
    let now = Instant::now();
    let mut exchange = Exchange::new("supervisor".to_owned(), true);
    let listener = ListenerSpec {
        pool: "l".to_owned(),
        events: vec![EventType::RemoteCommunication],
        buffer_size: 10,
        mode: ListenerMode::Patient,
        results: muster_spec::Results::Print,
    };
    let (instance, process) = ("l".to_owned(), "l".to_owned());
    exchange.put_pool(vec![Member { instance, process, listener: Arc::new(listener) }]);
    exchange.started("l", RUN);
    let mut answer = |result: &str| {
        exchange.announce(remote(0));
        exchange.heard(RUN, b"READY\n", now);
        dispatched(&mut exchange, now);
        exchange.heard(RUN, format!("RESULT {}\n{result}", result.len()).as_bytes(), now);
        (String::from_utf8(exchange.take_printed()).unwrap(), exchange.due().is_some())
    };
    let header = "processname:web groupname:site pid:7 channel:stdout";
    assert_eq!(answer(&format!("{header}\nhello\n")), ("web | stdout | hello\n".to_owned(), false));
    assert_eq!(answer(&format!("{header}\na\nb")), ("web | stdout | a\nb\n".to_owned(), false));
    // Nothing to be printed: the event is rejected.
    assert_eq!(answer("OK"), (String::new(), true));
}
