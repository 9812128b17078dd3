//! Random tests of routes: parsing answers any input without a panic, and a route's path parses as that route. A
//! failure prints the seed of its round, which `MUSTER_SEED` repeats.

use std::num::NonZeroU32;
use std::time::Duration;

use muster_api::{
    DebugPart, ENDPOINTS, LogFormat, LogQuery, LogStream, MAX_WAIT, Method, ProgramField, ProgramFields, Route, Since,
    SourceVerb, Timestamp, Verb, WaitFor,
};

const ROUNDS: u64 = 50_000;

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Runs `story` once for each seed and prints the seed of the round that fails.
fn for_every_seed(story: impl Fn(&mut Random) + std::panic::RefUnwindSafe) {
    let only = std::env::var("MUSTER_SEED").ok().map(|seed| seed.parse::<u64>().expect("MUSTER_SEED is a number"));
    let seeds = only.map_or(1..=ROUNDS, |seed| seed..=seed);
    for seed in seeds {
        let told = std::panic::catch_unwind(|| story(&mut Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)));
        assert!(told.is_ok(), "failed with MUSTER_SEED={seed}");
    }
}

fn any_text(random: &mut Random) -> String {
    let length = 1 + random.below(12);
    (0..length)
        .map(|_| match random.below(4) {
            0 => char::from(random.below(128) as u8),
            1 => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('\u{fffd}'),
            _ => char::from(b"webdb0:*?,.-_/%& =#+"[random.below(20)]),
        })
        .collect()
}

fn any_span(random: &mut Random) -> Duration {
    match random.below(3) {
        0 => Duration::ZERO,
        1 => Duration::from_secs(random.next() % (MAX_WAIT.as_secs() + 1)),
        _ => Duration::from_nanos(random.next() % MAX_WAIT.as_nanos() as u64),
    }
}

fn any_log_query(random: &mut Random, has_stream: bool) -> LogQuery {
    let since = match random.below(3) {
        0 => None,
        1 => Some(Since::Ago(Duration::from_millis(random.next() >> 16))),
        _ => Some(Since::At(Timestamp::from_unix_ms((random.next() >> 20) as i64))),
    };
    LogQuery {
        stream: if has_stream { LogStream::ALL[random.below(3)] } else { LogStream::Both },
        lines: (random.below(2) == 0).then(|| random.next()),
        since,
        follow: random.below(2) == 0,
        format: LogFormat::ALL[random.below(2)],
    }
}

fn any_route(random: &mut Random) -> Route {
    match random.below(30) {
        0 => Route::Info,
        1 => {
            let some = [ProgramField::ALL[random.below(ProgramField::ALL.len())], ProgramField::Name];
            let fields = (random.below(2) == 0).then(|| ProgramFields::of(&some));
            Route::Programs { select: (random.below(2) == 0).then(|| any_text(random)), fields }
        }
        2 => Route::Program { name: any_text(random) },
        3 => Route::Wait {
            select: any_text(random),
            until: WaitFor::ALL[random.below(WaitFor::ALL.len())],
            timeout: any_span(random),
        },
        4 => Route::ProgramProcesses { select: any_text(random) },
        5 => Route::Processes,
        6 => Route::Shutdown,
        7 => Route::Healthz,
        8 => Route::Livez,
        9 => Route::Readyz,
        10 => Route::OpenApi,
        16 => Route::Why { name: any_text(random) },
        12 => Route::Logs { name: any_text(random), query: any_log_query(random, true) },
        13 => Route::ClearLogs { name: any_text(random) },
        14 => Route::Stdin { name: any_text(random) },
        15 => Route::DaemonLog { query: any_log_query(random, false) },
        11 => Route::Events,
        17 => Route::Metrics,
        18 => Route::Sources,
        23 => Route::Schedule { times: (random.below(2) == 0).then(|| 1 + random.below(20)) },
        21 => Route::Scale { name: any_text(random), wait: Duration::from_millis(random.next() % 600_000) },
        20 => Route::Debug { part: DebugPart::ALL[random.below(DebugPart::ALL.len())] },
        22 => Route::Trace { span: Duration::from_millis(1 + random.next() % 600_000) },
        24 => Route::Page { is_beside: random.below(2) == 0 },
        25 => Route::PageFile { file: any_text(random) },
        26 => Route::Stats { select: (random.below(2) == 0).then(|| any_text(random)) },
        27 => Route::Runs {
            select: (random.below(2) == 0).then(|| any_text(random)),
            since: any_log_query(random, false).since,
        },
        28 => Route::Terminal { name: any_text(random) },
        19 => Route::Source { verb: SourceVerb::ALL[random.below(3)], name: any_text(random), span: None },
        _ => {
            let verb = Verb::ALL[random.below(Verb::ALL.len())];
            let rolling = NonZeroU32::new(random.next() as u32 % 3).filter(|_| verb == Verb::Restart);
            Route::Action { verb, select: any_text(random), wait: any_span(random), rolling }
        }
    }
}

/// Pieces that look like requests, so that most of them pass the parser's first check.
fn any_target(random: &mut Random) -> String {
    let mut target = String::new();
    for _ in 0..random.below(8) {
        match random.below(4) {
            0 => target.push_str(ENDPOINTS[random.below(ENDPOINTS.len())].path),
            1 => target.push_str(random.pick(&[
                "/",
                "?",
                "&",
                "=",
                "%",
                "%2",
                "%zz",
                "wait=",
                "for=running",
                "timeout=1e9",
                "select=%",
                "lines=1",
                "since=5m",
                "follow=true",
            ])),
            _ => target.push_str(&any_text(random)),
        }
    }
    target
}

#[test]
fn every_route_is_read_back_from_its_path() {
    for_every_seed(|random| {
        let route = any_route(random);
        let path = route.path();
        assert!(path.is_ascii() && path.starts_with('/') && !path.contains(' '), "{path:?} is no request target");
        assert_eq!(Route::parse(route.method().name(), &path).as_ref(), Ok(&route), "{path}");
    });
}

#[test]
fn any_request_line_is_parsed_without_a_panic() {
    for_every_seed(|random| {
        let target = any_target(random);
        let any = any_text(random);
        let method = random.pick(&["GET", "POST", "HEAD", "DELETE", "", any.as_str()]);
        let parsed = Route::parse(method, &target);
        // A route that parses can be written, and means the same.
        if let Ok(route) = parsed {
            assert_eq!(Route::parse(route.method().name(), &route.path()), Ok(route), "{target}");
        }
    });
}

/// The tests above must reach the cases that they are for.
#[test]
fn the_random_targets_reach_every_answer() {
    let (mut routes, mut refused) = (0, 0);
    let mut random = Random(1);
    for _ in 0..ROUNDS {
        match Route::parse(Method::Get.name(), &any_target(&mut random)) {
            Ok(_) => routes += 1,
            Err(muster_api::RouteError::BadParameter { .. }) => refused += 1,
            Err(_) => {}
        }
    }
    assert!(routes > 100 && refused > 100, "{routes} routes, {refused} bad parameters");
}
