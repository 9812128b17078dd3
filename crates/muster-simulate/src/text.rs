//! A timeline as text: a table of what happened and why, and a summary.
//!
//! Written for a reader who knows neither the configuration nor musterd: each line says what happened, what was decided,
//! and by which rule. Long repetitive timelines are abbreviated. Pure: a timeline in, text out.

mod account;

pub(crate) use self::account::account;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{Event, Health, ShutdownReason, Skipped, StepOutcome, Time, Verdict};
use muster_spec::{Exit, InstanceSpec, Kind, ProgramSpec, RunEnd, Signal, Span, State};

use crate::timeline::{Change, Lane, Moment, Timeline, What};

/// The programs of a configuration.
pub(crate) type Programs = [Arc<ProgramSpec>];

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) at: Time,
    /// The instance, or empty for the container.
    pub(crate) who: String,
    /// The new state, or what happens to the container.
    pub(crate) state: String,
    pub(crate) happened: String,
    pub(crate) decided: String,
}

/// After this many rounds of one instance that differ only in time, the rest is summarized in one line.
const ROUNDS: usize = 12;

/// Every moment as a line.
pub(crate) fn lines(timeline: &Timeline, programs: &Programs) -> Vec<Line> {
    timeline.moments.iter().map(|moment| line(moment, timeline, programs)).collect()
}

/// A moment as a line. Uses only the initial data of the timeline.
pub(super) fn line(moment: &Moment, timeline: &Timeline, programs: &Programs) -> Line {
    let at = moment.at;
    let of = |instance| timeline.lane(instance).name.clone();
    match &moment.what {
        What::Changed(change) => {
            let lane = timeline.lane(change.instance);
            let (happened, mut decided) = (happened(change, lane, programs), decided(change, lane, timeline.seed));
            if let Some(first) = change.tie {
                let separator = if decided.is_empty() { "" } else { "; " };
                decided.push_str(&format!("{separator}tie: {} first", first.name()));
            }
            Line { at, who: lane.name.clone(), state: change.to.to_string(), happened, decided }
        }
        What::Asked { instance, signal, nth, of: count, patience } => Line {
            at,
            who: of(*instance),
            state: "STOPPING".to_owned(),
            happened: format!("gets {signal} ({nth} of {count})"),
            decided: patience.map(|span| format!("waits up to {} more", Span(span))).unwrap_or_default(),
        },
        What::Killed { instance, waited, cut_short, asked, leftovers } => {
            let (state, whose, to) = match leftovers {
                Some(left) => (left.state.name(), format!("what run {} left behind ", left.run), "it"),
                None => ("STOPPING", String::new(), "its whole tree"),
            };
            let why = match leftovers.and_then(|left| left.wait) {
                _ if *cut_short => "the shutdown budget leaves it no more time",
                Some((_, true)) => "leftover_wait is over",
                Some((_, false)) | None => "stopwaitsecs is over",
            };
            let happened = format!("{whose}did not stop within {}{}", Span(*waited), in_turn(asked));
            described(at, of(*instance), state, happened, format!("SIGKILL to {to}: {why}"))
        }
        What::LeftBehind { instance, leftovers, signal } => {
            let happened = format!("run {} leaves a process behind", leftovers.run);
            let wait = leftovers.wait.map(|(wait, _)| format!(", waits up to {} for it", Span(wait)));
            let decided = format!("{signal} to it{}", wait.unwrap_or_default());
            described(at, of(*instance), leftovers.state.name(), happened, decided)
        }
        What::Event(event) => {
            let lane = event.instance().map(|instance| timeline.lane(instance));
            let (state, happened, decided) = event_in_words(event, lane.and_then(|lane| instance(programs, lane)));
            described(at, lane.map(|lane| lane.name.clone()).unwrap_or_default(), state, happened, decided)
        }
        What::Failing { instance, cause, signal } => {
            let signal = signal.map(|signal| format!("{signal} to it, and its end is a failure")).unwrap_or_default();
            described(at, of(*instance), "failing", cause.to_string(), signal)
        }
        What::Paused { span, lost } => {
            let decided = lost.map(|by| format!("no deadline counts that: each moves by {}", Span(by)));
            let happened = format!("musterd did not run for {}", Span(*span));
            described(at, String::new(), "paused", happened, decided.unwrap_or_default())
        }
        What::ShutdownBegan { reason, timeout, waits_in_vain } => Line {
            at,
            who: String::new(),
            state: "stopping".to_owned(),
            happened: began_because(reason, *waits_in_vain, timeline),
            decided: match timeout.limit() {
                Some(span) => format!("everything is stopped within shutdown_timeout {}", Span(span)),
                None => "everything is stopped, however long it takes".to_owned(),
            },
        },
        What::Exited(exit) => Line {
            at,
            who: String::new(),
            state: format!("exit {}", exit.code),
            happened: exit.words.clone(),
            decided: String::new(),
        },
    }
}

/// The state, what happened and what was decided.
fn event_in_words(event: &Event, of: Option<&InstanceSpec>) -> (&'static str, String, String) {
    let name = |probe: usize| of.and_then(|of| of.check(probe)).map_or("", |check| check.name);
    match event {
        Event::Waiting { on, .. } => {
            let waits = format!("still waits for {}", on.join(" and "));
            ("WAITING", waits, "this will not come by itself".to_owned())
        }
        Event::Rolling(step) => {
            let decided = match &step.outcome {
                StepOutcome::Began => "it is restarted now".to_owned(),
                StepOutcome::Done => "the next one may follow".to_owned(),
                StepOutcome::Failed(why) => format!("the others keep their processes: {why}"),
                StepOutcome::Cancelled => "it is cancelled".to_owned(),
            };
            ("rolling", format!("rolling restart, {} of {}", step.step, step.of), decided)
        }
        Event::Skipped { why, .. } => {
            let happened = match why {
                Skipped::Running => "its time comes while it is running".to_owned(),
                Skipped::Queued => "its time comes, and another run follows already".to_owned(),
                Skipped::Waiting => "its time comes while it cannot start".to_owned(),
                Skipped::Missed { times: 1 } => "a time of it passed".to_owned(),
                Skipped::Missed { times } => format!("{times} times of it passed"),
            };
            ("skipped", happened, "it waits for the next time".to_owned())
        }
        Event::Hook(ended) => {
            let (hook, took) = (ended.hook.name(), Span(ended.took));
            let happened = match (&ended.failure, ended.was_called_off) {
                (Some(failure), _) => format!("{failure}, {took} after its start"),
                (None, true) => format!("ended {took} after its start: the run is to end"),
                (None, false) => format!("succeeds after {took}"),
            };
            let decided = match (&ended.failure, ended.counts) {
                (Some(_), true) => "the run has failed".to_owned(),
                (Some(_), false) => "nothing follows from it".to_owned(),
                (None, _) => String::new(),
            };
            (hook, happened, decided)
        }
        Event::Ready { is_ready: true, .. } => ("ready", String::new(), String::new()),
        Event::Ready { is_ready: false, .. } => ("not ready", String::new(), String::new()),
        Event::Health { health: Health::Unhealthy, probe, .. } => {
            ("unhealthy", format!("probe {:?} fails", name(*probe)), String::new())
        }
        Event::Health { .. } => ("healthy", "every probe passes".to_owned(), String::new()),
        Event::ProbeFailed { probe, failures, .. } => {
            let limit = of.and_then(|of| of.probes.get(*probe)).map(|probe| format!(" of {}", probe.failure_threshold));
            let limit = limit.unwrap_or_default();
            ("", format!("probe {:?} fails: {failures}{limit} in a row", name(*probe)), String::new())
        }
        _ => ("", String::new(), String::new()),
    }
}

fn instance<'s>(programs: &'s Programs, lane: &Lane) -> Option<&'s InstanceSpec> {
    let program = programs.iter().find(|program| program.name == lane.program)?;
    program.instances.iter().find(|instance| instance.name == lane.name).map(|instance| &**instance)
}

fn described(at: Time, who: String, state: &str, happened: String, decided: String) -> Line {
    Line { at, who, state: state.to_owned(), happened, decided }
}

fn began_because(reason: &ShutdownReason, waits_in_vain: bool, timeline: &Timeline) -> String {
    match reason {
        ShutdownReason::Signal(signal) => format!("the container gets {signal}"),
        ShutdownReason::Program { signal: Some(signal), .. } => format!("a program sends {signal} to the daemon"),
        ShutdownReason::Program { signal: None, .. } => "a program requests a shutdown".to_owned(),
        ShutdownReason::Command(_) => "musterctl shutdown".to_owned(),
        ShutdownReason::Essential(id) => {
            format!("{:?} is essential and has ended for good", timeline.lane(*id).name)
        }
        ShutdownReason::OnExit(id) => format!("{:?} has ended, and its on_exit ends all", timeline.lane(*id).name),
        ShutdownReason::Probe(id) => format!("a probe of {:?} failed for good", timeline.lane(*id).name),
        ShutdownReason::Memory(id) => format!("{:?} had too much memory", timeline.lane(*id).name),
        ShutdownReason::Done if waits_in_vain => {
            "every autostarted program has ended for good or waits in vain".to_owned()
        }
        ShutdownReason::Done => "every autostarted program has ended for good".to_owned(),
    }
}

fn happened(change: &Change, lane: &Lane, programs: &Programs) -> String {
    if let Some((end, uptime)) = &change.ended {
        return match end {
            RunEnd::NotSpawned(_) => format!("run {}: {end}", change.run),
            RunEnd::Exited(_) | RunEnd::MainLost => format!("run {}: {end} after {}", change.run, Span(*uptime)),
        };
    }
    let program = || programs.iter().find(|program| program.name == lane.program);
    match change.to {
        State::Starting => format!("run {} begins", change.run),
        State::Running => program().map_or_else(String::new, |program| came_up(program)),
        State::Stopping => match change.signal {
            Some(signal) if change.signals > 1 => format!("gets {signal} (1 of {})", change.signals),
            Some(signal) => format!("gets {signal}"),
            None => "its turn to stop has come".to_owned(),
        },
        State::Stopped => "nothing of it is left".to_owned(),
        State::Waiting if change.waits_for.is_empty() => "waits".to_owned(),
        State::Waiting => format!("waits for {}", change.waits_for.join(" and ")),
        State::Backoff | State::Exited | State::Fatal => String::new(),
    }
}

/// Why it became RUNNING.
fn came_up(program: &ProgramSpec) -> String {
    let must_say = program.instances.first().is_some_and(|instance| instance.ready.is_some());
    // A oneshot is RUNNING as it runs.
    let startsecs = if program.kind == Kind::Oneshot { Duration::ZERO } else { program.startsecs };
    match (must_say, startsecs) {
        (false, Duration::ZERO) => "executed".to_owned(),
        (true, Duration::ZERO) => "ready".to_owned(),
        (false, startsecs) => format!("up for startsecs {}", Span(startsecs)),
        (true, startsecs) => format!("ready, and up for startsecs {}", Span(startsecs)),
    }
}

/// A list of stop signals.
fn in_turn(asked: &[Signal]) -> String {
    let names: Vec<String> = asked.iter().map(|signal| signal.to_string().replacen("SIG", "", 1)).collect();
    if names.len() > 1 { format!(" ({})", names.join(", ")) } else { String::new() }
}

/// A verdict, with the seed if jitter is involved.
fn judged(verdict: &Verdict, seed: Option<u64>) -> String {
    let words = verdict.to_string();
    match (verdict, seed) {
        (Verdict::Again(again), Some(seed)) if again.is_random() => {
            let here = format!("here {}", Span(again.delay));
            words.replacen(&here, &format!("{here} (seed {seed})"), 1)
        }
        _ => words,
    }
}

fn decided(change: &Change, lane: &Lane, seed: Option<u64>) -> String {
    let Some(verdict) = change.verdict else {
        return change.patience.map(|patience| format!("waits up to {} for it", Span(patience))).unwrap_or_default();
    };
    match (&change.ended, change.to) {
        // A success is shown with the statuses that count as one.
        (Some((RunEnd::Exited(Exit::Code(code)), _)), State::Exited)
            if lane.exit_codes.contains(code) && matches!(verdict, Verdict::Final { by: None, .. }) =>
        {
            let codes: Vec<String> = lane.exit_codes.iter().map(u8::to_string).collect();
            format!("{verdict}; {code} is in exitcodes [{}]", codes.join(", "))
        }
        _ => judged(&verdict, seed),
    }
}

/// Omits the middle of a repetitive timeline: instance, state and decision repeat.
fn shortened(lines: Vec<Line>) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let rounds = rounds_at(&lines[index..]);
        match rounds {
            Some((length, count)) if count > ROUNDS => {
                let kept = 2 * length;
                shown.extend(lines[index..index + kept].iter().cloned().map(Shown::Line));
                let last = &lines[index + length * count - 1];
                shown.push(Shown::Rounds { count: count - 2, until: last.at });
                index += length * count;
            }
            _ => {
                shown.push(Shown::Line(lines[index].clone()));
                index += 1;
            }
        }
    }
    shown
}

enum Shown {
    Line(Line),
    /// The number of further identical rounds.
    Rounds {
        count: usize,
        until: Time,
    },
}

/// The length of a round that begins here, at most four lines, and the number of repetitions.
fn rounds_at(lines: &[Line]) -> Option<(usize, usize)> {
    let same = |a: &Line, b: &Line| {
        a.who == b.who
            && a.state == b.state
            && shape(&a.happened) == shape(&b.happened)
            && shape(&a.decided) == shape(&b.decided)
    };
    let count = |length: usize| {
        let (first, rest) = lines.split_at_checked(length)?;
        let repeats = rest.chunks_exact(length).take_while(|round| round.iter().zip(first).all(|(a, b)| same(a, b)));
        Some((length, repeats.count() + 1))
    };
    (1..=4).filter_map(count).find(|(_, count)| *count > ROUNDS)
}

/// The text without the numbers that count runs and attempts.
fn shape(words: &str) -> String {
    let mut shape = String::new();
    for word in words.split(' ') {
        let is_counted = shape.ends_with("run ") || shape.ends_with("attempt ") || word.contains('^');
        shape.push_str(if is_counted { "#" } else { word });
        shape.push(' ');
    }
    shape
}

/// The whole timeline as a table. With `only`, just these programs and the container.
pub(crate) fn table(timeline: &Timeline, programs: &Programs, only: &[String]) -> String {
    table_with_marks(timeline, programs, only, &[])
}

/// Readiness is shown together with RUNNING if both happen at once.
fn is_told_before(line: &Line, before: Option<&Line>) -> bool {
    let is_same = |before: &Line| before.who == line.who && before.at == line.at && before.state == "RUNNING";
    line.state == "ready" && before.is_some_and(is_same)
}

/// The same with remarks at their places, which must be in order.
pub(crate) fn table_with_marks(
    timeline: &Timeline,
    programs: &Programs,
    only: &[String],
    marks: &[(Time, String)],
) -> String {
    let is_told = |line: &Line| {
        only.is_empty()
            || line.who.is_empty()
            || only.iter().any(|name| *name == line.who || is_instance(name, &line.who))
    };
    let mut described: Vec<Line> = Vec::new();
    for line in lines(timeline, programs).into_iter().filter(is_told) {
        if !is_told_before(&line, described.last()) {
            described.push(line);
        }
    }
    let width = |of: fn(&Line) -> usize, least: usize| described.iter().map(of).max().unwrap_or(0).max(least);
    let who = width(|line| line.who.chars().count(), "program".len());
    let state = width(|line| line.state.len(), "STARTING".len());
    let happened = width(|line| line.happened.chars().count(), 13);
    let mut text = String::new();
    let mut put = |at: &str, cells: [&str; 4]| {
        let line = format!("{at:>11}  {:<who$}  {:<state$}  {:<happened$}  {}", cells[0], cells[1], cells[2], cells[3]);
        let _ = writeln!(text, "{}", line.trim_end());
    };
    put("time", ["program", "state", "what happened", "what was decided, and why"]);
    let mut marks = marks.iter().peekable();
    for shown in shortened(described) {
        let at = match &shown {
            Shown::Line(line) => line.at,
            Shown::Rounds { until, .. } => *until,
        };
        while let Some((at, mark)) = marks.next_if(|(mark, _)| *mark < at) {
            put(&clock(*at), [mark, "", "", ""]);
        }
        match shown {
            Shown::Line(line) => put(&clock(line.at), [&line.who, &line.state, &line.happened, &line.decided]),
            Shown::Rounds { count, until } => {
                let words = format!("… {count} more rounds like these, until {}", clock(until).trim());
                put("", [&words, "", "", ""]);
            }
        }
    }
    for (at, mark) in marks {
        put(&clock(*at), [mark, "", "", ""]);
    }
    text
}

fn is_instance(program: &str, instance: &str) -> bool {
    instance.strip_prefix(program).is_some_and(|rest| rest.starts_with(':'))
}

/// The time of a moment: seconds with milliseconds, or hours if necessary.
pub(crate) fn clock(at: Time) -> String {
    let ms = (at.since_origin().as_nanos() + 500_000) / 1_000_000;
    let (hours, minutes, seconds, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    match (hours, ms / 1000) {
        (0, total) if total < 600 => format!("{total}.{rest:03}"),
        (0, _) => format!("{minutes}:{seconds:02}.{rest:03}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{rest:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ms: u64, state: &str, happened: &str, decided: &str) -> Line {
        let at = Time::from_origin(Duration::from_millis(ms));
        let text = |words: &str| words.to_owned();
        Line { at, who: text("web"), state: text(state), happened: text(happened), decided: text(decided) }
    }

    #[test]
    fn rounds_that_differ_in_their_numbers_only_are_told_in_short() {
        let mut lines = vec![line(0, "STARTING", "run 0 begins", "")];
        for n in 1..=20 {
            let (ended, decided) =
                (format!("run {n}: exit status 1"), format!("attempt {n}, next delay 1s × 2^{n}, capped"));
            lines.push(line(n, "BACKOFF", &ended, &decided));
            lines.push(line(n, "STARTING", &format!("run {n} begins"), ""));
        }
        let shown = shortened(lines);
        let rounds: Vec<(usize, Time)> = shown
            .iter()
            .filter_map(|shown| match shown {
                Shown::Rounds { count, until } => Some((*count, *until)),
                Shown::Line(_) => None,
            })
            .collect();
        assert_eq!(rounds, [(18, Time::from_origin(Duration::from_millis(20)))]);
        assert_eq!(shown.len(), 6, "the first, two rounds, and the rest in a line");
    }

    #[test]
    fn rounds_that_differ_are_told() {
        let lines: Vec<Line> = (0..40).map(|n| line(n, "BACKOFF", "ended", &format!("next delay {n}s"))).collect();
        assert_eq!(shortened(lines).len(), 40);
    }

    #[test]
    fn moments_are_written_to_the_millisecond() {
        for (ms, expected) in [
            (0, "0.000"),
            (15_500, "15.500"),
            (599_999, "599.999"),
            (600_000, "10:00.000"),
            (3_725_010, "1:02:05.010"),
            (86_400_000, "24:00:00.000"),
        ] {
            assert_eq!(clock(Time::from_origin(Duration::from_millis(ms))), expected);
        }
    }
}
