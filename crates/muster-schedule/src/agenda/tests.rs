//! Clocks that are set forward and back, around fixed times and others.

use super::*;
use crate::{local, seconds_of};

fn at(text: &str) -> i64 {
    seconds_of(text).expect("it is a time")
}

fn armed(texts: &[&str], now: i64) -> Agenda<u8> {
    let times = texts.iter().map(|text| crate::parse(text, "UTC").expect("it is good")).collect();
    let mut agenda = Agenda::default();
    agenda.arm(1, &ScheduleSpec::of(times), now).expect("it is good");
    agenda
}

/// Looks until there is no more, as the loop does turn by turn.
fn look(agenda: &mut Agenda<u8>, now: i64) -> Vec<Due<u8>> {
    let mut all = agenda.look(now, true);
    while agenda.has_more() {
        all.extend(agenda.look(now, false));
    }
    all
}

/// Sets the clock from one time to another, in one step: returns whether it is due, and how many times were missed.
fn step(texts: &[&str], from: &str, to: &str) -> (bool, u32) {
    let mut agenda = armed(texts, at(from));
    look(&mut agenda, at(to)).first().map_or((false, 0), |due| (due.is_due, due.missed))
}

const FIXED_AT_NOON: &[&str] = &["0 12 * * *"];
const EVERY_FIVE_MINUTES: &[&str] = &["*/5 * * * *"];

#[test]
fn a_time_is_due_when_it_comes_and_for_a_minute() {
    assert_eq!(step(FIXED_AT_NOON, "2026-05-01T11:00Z", "2026-05-01T11:59:59Z"), (false, 0));
    assert_eq!(step(FIXED_AT_NOON, "2026-05-01T11:00Z", "2026-05-01T12:00:00Z"), (true, 0));
    assert_eq!(step(EVERY_FIVE_MINUTES, "2026-05-01T11:58Z", "2026-05-01T12:00:00Z"), (true, 0));
    assert_eq!(step(EVERY_FIVE_MINUTES, "2026-05-01T11:58Z", "2026-05-01T12:01:00Z"), (true, 0));
    assert_eq!(step(EVERY_FIVE_MINUTES, "2026-05-01T11:58Z", "2026-05-01T12:01:01Z"), (false, 1));
}

#[test]
fn over_a_fixed_time_it_runs_once_within_three_hours() {
    assert_eq!(step(FIXED_AT_NOON, "2026-05-01T11:00Z", "2026-05-01T15:00:00Z"), (true, 0));
    assert_eq!(step(FIXED_AT_NOON, "2026-05-01T11:00Z", "2026-05-01T15:00:01Z"), (false, 1));
    assert_eq!(step(FIXED_AT_NOON, "2026-05-01T11:00Z", "2026-05-03T13:00:00Z"), (true, 2));
}

#[test]
fn over_many_times_at_most_the_last_one_is_due() {
    assert_eq!(step(EVERY_FIVE_MINUTES, "2026-05-01T11:58Z", "2026-05-01T12:58:00Z"), (false, 12));
    assert_eq!(step(EVERY_FIVE_MINUTES, "2026-05-01T11:58Z", "2026-05-01T13:00:30Z"), (true, 12));
    // A freeze of 30 s.
    assert_eq!(step(&["* * * * * *"], "2026-05-01T12:00:00Z", "2026-05-01T12:00:30Z"), (true, 29));
    // More than are counted one by one.
    assert_eq!(step(&["* * * * * *"], "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"), (true, 999));
    assert_eq!(step(&["0-30 * * * * *"], "2026-05-01T12:00:00Z", "2026-05-02T12:00:59Z"), (true, 999));
}

#[test]
fn a_clock_that_is_set_back_repeats_no_fixed_time_within_three_hours() {
    let noon = at("2026-05-01T12:00Z");
    for (texts, back, next) in [
        (FIXED_AT_NOON, 1, "2026-05-02T12:00:00Z"),
        (FIXED_AT_NOON, 10_800, "2026-05-02T12:00:00Z"),
        (FIXED_AT_NOON, 10_801, "2026-05-01T12:00:00Z"),
        (EVERY_FIVE_MINUTES, 1, "2026-05-01T12:05:00Z"),
        (EVERY_FIVE_MINUTES, 60, "2026-05-01T12:05:00Z"),
        (EVERY_FIVE_MINUTES, 61, "2026-05-01T12:00:00Z"),
        (EVERY_FIVE_MINUTES, 86_400, "2026-04-30T12:05:00Z"),
        (&["*/10 * * * * *"], 20, "2026-05-01T11:59:50Z"),
    ] {
        let mut agenda = armed(texts, noon - 30);
        assert!(look(&mut agenda, noon)[0].is_due);
        assert_eq!(look(&mut agenda, noon - back), []);
        assert_eq!(local(agenda.earliest().expect("there is one"), "UTC"), next, "{texts:?} {back}");
    }
}

/// A container that starts before its clock is right.
#[test]
fn a_clock_that_was_wrong_when_a_job_was_armed_passes_over_no_fixed_time() {
    let noon = at("2026-05-01T12:00Z");
    for (armed_at, back) in [(30, 31), (30, 60), (59, 7200), (7200, 10_000), (86_400, 90_000)] {
        let mut agenda = armed(FIXED_AT_NOON, noon + armed_at);
        let wall = noon + armed_at - back;
        assert_eq!(look(&mut agenda, wall), [], "{armed_at} {back}");
        assert_eq!(agenda.earliest(), Some(noon), "{armed_at} {back}");
        assert!(look(&mut agenda, noon)[0].is_due);
        // It has come now, and the next small step changes nothing.
        assert_eq!(look(&mut agenda, noon - 30), []);
        assert_eq!(agenda.earliest(), Some(noon + 86_400));
    }
    // One step after another, each of them small: a run is remembered for three hours.
    let mut agenda = armed(FIXED_AT_NOON, noon - 5);
    assert!(look(&mut agenda, noon)[0].is_due);
    for back in [3600, 7200, 10_800] {
        look(&mut agenda, noon - back);
        assert_eq!(agenda.earliest(), Some(noon + 86_400), "{back}");
    }
    look(&mut agenda, noon - 14_000);
    assert_eq!(agenda.earliest(), Some(noon));
}

/// Counting the missed times of a thousand jobs must not hold up anything else.
#[test]
fn a_step_of_years_is_looked_at_piece_by_piece() {
    let now = at("2026-05-01T11:58:30Z");
    let mut agenda: Agenda<u16> = Agenda::default();
    let each_minute = ScheduleSpec::of(vec![crate::parse("* * * * *", "Europe/Berlin").expect("it is good")]);
    for job in 0..1000 {
        agenda.arm(job, &each_minute, now).expect("it is good");
    }
    let later = now + 5 * 365 * 86_400 + 45;
    let (mut all, mut looks, mut longest) = (Vec::new(), 0, Duration::ZERO);
    while looks == 0 || agenda.has_more() {
        let began = std::time::Instant::now();
        all.extend(agenda.look(later, looks == 0));
        (looks, longest) = (looks + 1, longest.max(began.elapsed()));
    }
    println!("{looks} looks, the longest took {longest:?}");
    assert!(looks >= 1000 * COUNTED / MOST, "{looks} looks take many computations each");
    let next_in = Some(Duration::from_secs(45));
    let expected = (0..1000).map(|job| Due { job, is_due: true, missed: 999, next_in });
    assert!(all.into_iter().eq(expected), "each job is due once, and only once");
    assert_eq!((agenda.earliest(), agenda.look(later, false)), (Some(later + 45), vec![]));
}

#[test]
fn a_clock_that_is_set_again_during_a_look_is_looked_at_from_the_beginning() {
    let noon = at("2026-05-01T12:00Z");
    let fixed = ScheduleSpec::of(vec![crate::parse("0 12 * * *", "UTC").expect("it is good")]);
    let mut agenda: Agenda<u8> = Agenda::default();
    for job in 0..4 {
        agenda.arm(job, &fixed, noon - 60).expect("it is good");
    }
    // The first two are looked at by a clock that is ahead by days.
    let ahead = agenda.look_within(noon + 3 * 86_400, true, 9);
    assert_eq!(
        ahead.iter().map(|due| (due.job, due.is_due, due.missed)).collect::<Vec<_>>(),
        [(0, true, 3), (1, true, 3)]
    );
    assert!(agenda.has_more());
    let mut all = agenda.look_within(noon - 30, true, 9);
    while agenda.has_more() {
        all.extend(agenda.look_within(noon - 30, false, 9));
    }
    assert_eq!(all, []);
    // Whether they have run by the wrong clock or not, their next time is today.
    assert!((0..4).all(|job| agenda.next(job) == Some(noon)), "{agenda:?}");
}

/// Steps of every size at every second around a time: a fixed time comes once, unless the clock goes far back.
#[test]
fn no_small_step_loses_or_repeats_a_run() {
    for text in [FIXED_AT_NOON, EVERY_FIVE_MINUTES] {
        for step_at in -5..=5i64 {
            for step in [-60, -30, -2, -1, 1, 2, 30, 55] {
                let noon = at("2026-05-01T12:00Z");
                let mut agenda = armed(text, noon - 90);
                let (mut wall, mut runs) = (noon - 89, 0);
                for second in -89..=150i64 {
                    wall += 1 + if second == step_at { step } else { 0 };
                    runs += look(&mut agenda, wall).iter().filter(|due| due.is_due).count();
                }
                assert_eq!(runs, 1, "{text:?} {step_at} {step}");
            }
        }
    }
}

#[test]
fn several_expressions_at_one_time_are_one_run() {
    let now = at("2026-05-01T11:59:00Z");
    let mut agenda = armed(&["0 12 * * *", "*/5 * * * *", "@every 1h"], now);
    let due = look(&mut agenda, now + 60);
    let next_in = Some(Duration::from_secs(300));
    assert_eq!(due, [Due { job: 1, is_due: true, missed: 0, next_in }]);
    assert_eq!(agenda.next(1), Some(now + 360));
    agenda.disarm(1);
    assert_eq!((agenda.earliest(), agenda.next(1), look(&mut agenda, now + 3600)), (None, None, vec![]));
}

/// The examples of the documentation.
#[test]
fn daylight_saving_time_is_vixies() {
    let days = |text: &str, from: &str, number: usize| {
        let muster_spec::ScheduleTimes::Cron { expression, timezone } = crate::parse(text, "UTC").expect("it is good")
        else {
            panic!("{text} is no cron expression")
        };
        let cron = Cron::new(&expression, &timezone).expect("it is good");
        let times = std::iter::successors(cron.after(at(from)), |&at| cron.after(at)).take(number);
        times.map(|at| local(at, &timezone)).collect::<Vec<_>>()
    };
    let berlin = "TZ=Europe/Berlin ";
    // In spring 2:00 to 3:00 is left out.
    assert_eq!(
        days(&format!("{berlin}30 2 * * *"), "2026-03-28T12:00Z", 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(days("TZ=Australia/Lord_Howe 15 2 * * *", "2026-10-03T12:00Z", 1), ["2026-10-04T02:30:00+11:00"]);
    assert_eq!(days(&format!("{berlin}*/15 2 * * *"), "2026-03-28T12:00Z", 1), ["2026-03-30T02:00:00+02:00"]);
    // In autumn 2:00 to 3:00 comes twice.
    assert_eq!(
        days(&format!("{berlin}30 2 * * *"), "2026-10-24T12:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    assert_eq!(
        days(&format!("{berlin}30 * * * *"), "2026-10-25T00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
    );
}

/// The same with `missed = "once"`, for a job whose times were considered up to a certain time.
fn catches_up(texts: &[&str], seen: &str, now: &str) -> Option<(bool, u32)> {
    let times = texts.iter().map(|text| crate::parse(text, "UTC").expect("it is good")).collect();
    let mut agenda: Agenda<u8> = Agenda::default();
    let schedule = ScheduleSpec { missed: Missed::Once, ..ScheduleSpec::of(times) };
    agenda.arm(1, &schedule, at(now)).expect("it is good");
    assert_eq!(agenda.look(at(now), false), [], "nothing is due by arming it");
    agenda.recall(1, at(seen));
    let mut looked = agenda.look(at(now), false);
    // A look is bounded, and the next one goes on.
    while agenda.has_more() {
        looked.extend(agenda.look(at(now), false));
    }
    let due = looked.first().map(|due| (due.is_due, due.missed));
    assert!(looked.len() <= 1 && agenda.look(at(now), false).is_empty(), "it is due once");
    assert!(agenda.earliest().is_some_and(|next| next > at(now)));
    due
}

#[test]
fn with_missed_once_times_that_passed_are_one_run() {
    let now = "2026-05-03T13:00:00Z";
    assert_eq!(catches_up(FIXED_AT_NOON, "2026-05-03T12:00:00Z", now), None);
    assert_eq!(catches_up(FIXED_AT_NOON, "2026-05-03T11:59:59Z", now), Some((true, 0)));
    assert_eq!(catches_up(FIXED_AT_NOON, "2026-05-01T11:00Z", now), Some((true, 2)));
    assert_eq!(catches_up(EVERY_FIVE_MINUTES, "2026-05-03T12:00:00Z", now), Some((true, 11)));
    assert_eq!(catches_up(EVERY_FIVE_MINUTES, "1970-01-01T00:00Z", now).map(|(due, _)| due), Some(true));
    // A clock that was set back has no times in the future.
    assert_eq!(catches_up(FIXED_AT_NOON, "2027-01-01T00:00Z", now), None);
    let mut agenda = armed(EVERY_FIVE_MINUTES, at("2026-05-01T11:01Z"));
    assert_eq!(
        agenda.look(at("2026-05-01T12:02Z"), false).first().map(|due| due.is_due),
        Some(false),
        "the default skips"
    );
}
