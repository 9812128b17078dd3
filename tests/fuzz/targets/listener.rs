//! The answers of an event listener, in pieces. Whatever it writes, it has at most one event, and no event is lost.

#![no_main]

use std::sync::Arc;
use std::time::Instant;

use muster_spec::{EventType, ListenerMode, ListenerSpec, Results, RunId};
use muster_supervisord::events::{Announcement, Exchange, Member};

/// Few enough that none is dropped.
const EVENTS: usize = 5;

const RUN: RunId = RunId(1);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [size, bytes @ ..] = bytes else { return };
    let now = Instant::now();
    let mode = if size & 1 == 0 { ListenerMode::Patient } else { ListenerMode::Exact };
    let results = if size & 2 == 0 { Results::Judge } else { Results::Print };
    let events = vec![EventType::Event];
    let listener = ListenerSpec { pool: "l".to_owned(), events, buffer_size: EVENTS, mode, results };
    let mut exchange = Exchange::new("supervisor".to_owned(), true);
    exchange.put_pool(vec![Member { instance: "l".to_owned(), process: "l".to_owned(), listener: Arc::new(listener) }]);
    exchange.started("l", RUN);
    (0..EVENTS).for_each(|number| exchange.announce(Announcement::remote("n", &number.to_string())));
    let mut written = 0;
    for piece in bytes.chunks(usize::from(*size) + 1) {
        exchange.heard(RUN, piece, now);
        let before = written;
        exchange.dispatch(
            now,
            |_| true,
            |_, _| {
                written += 1;
                true
            },
        );
        assert!(written - before <= 1);
        let lines = exchange.take_lines();
        assert!(lines.iter().all(|line| !line.text.contains("overflowed") && line.text.len() < 8 << 10));
    }
    exchange.ended(RUN);
});
