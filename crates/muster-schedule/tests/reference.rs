//! Random expressions in time zones, compared with an independent implementation in Python: `reference.py`.
//!
//! The everyday part is short. With `MUSTER_ACCEPTANCE=1` there are 20 000 expressions, or `MUSTER_EXPRESSIONS` of them.

use std::io::Write;
use std::process::{Command, Stdio};

use muster_schedule::{Cron, local, seconds_of};

/// Berlin, New York, one that moves by half an hour, one that moves back for Ramadan, one that never moves.
const ZONES: [&str; 6] =
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "UTC"];

const DAY: i64 = 86_400;

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A field: a star, a number, a step, a range, a list.
    fn field(&mut self, low: u64, high: u64) -> String {
        match self.below(8) {
            0 | 1 => "*".to_owned(),
            2 => format!("*/{}", self.number(2, high / 2)),
            3 => {
                let first = self.number(low, high - 1);
                format!("{first}-{}", self.number(first + 1, high))
            }
            4 => {
                let first = self.number(low, high - 1);
                format!("{first}-{}/{}", self.number(first + 1, high), self.number(1, 7))
            }
            5 => format!("{},{}", self.number(low, high), self.number(low, high)),
            _ => self.number(low, high).to_string(),
        }
    }

    fn day_of_month(&mut self) -> String {
        match self.below(10) {
            0..=4 => "*".to_owned(),
            5 => self.one_of(&["L", "LW", "1W", "15W", "31W", "?"]).to_owned(),
            _ => self.field(1, 31),
        }
    }

    fn day_of_week(&mut self) -> String {
        match self.below(10) {
            0..=4 => "*".to_owned(),
            5 => self.one_of(&["MON#1", "5#5", "SUN#2", "5L", "SUNL", "0L", "7", "MON-FRI", "?"]).to_owned(),
            _ => self.field(0, 6),
        }
    }

    fn expression(&mut self) -> String {
        let month = if self.below(3) == 0 { self.field(1, 12) } else { "*".to_owned() };
        // Hours at which clocks are moved are the interesting ones.
        let hour = if self.below(3) == 0 { self.number(0, 4).to_string() } else { self.field(0, 23) };
        let (minute, day, week) = (self.field(0, 59), self.day_of_month(), self.day_of_week());
        let second = if self.below(6) == 0 { format!("{} ", self.field(0, 59)) } else { String::new() };
        format!("{second}{minute} {hour} {day} {month} {week}")
    }
}

/// A window of time in which an expression is evaluated.
struct Question {
    expression: String,
    zone: &'static str,
    from: i64,
    to: i64,
    most: usize,
}

/// The moments at which the clock of a zone is moved, from 2024 to 2030, to the hour.
fn moves(zone: &str) -> Vec<i64> {
    let shown = |at: i64| local(at, zone).split_off(19);
    let (begin, end) = (seconds_of("2024-01-01T00:00Z"), seconds_of("2031-01-01T00:00Z"));
    let days = (begin.expect("it is a time")..end.expect("it is a time")).step_by(DAY as usize);
    days.filter(|&at| shown(at) != shown(at + DAY)).collect()
}

fn questions(dice: &mut Dice, number: usize) -> Vec<Question> {
    let moves: Vec<Vec<i64>> = ZONES.iter().map(|zone| moves(zone)).collect();
    // How often Casablanca's clock is moved depends on the age of the database.
    assert!(moves[..4].iter().all(|moves| moves.len() >= 14) && moves[4..].iter().all(Vec::is_empty));
    let begin = seconds_of("2024-01-01T00:00Z").expect("it is a time");
    let mut all = Vec::new();
    for _ in 0..number {
        let expression = dice.expression();
        for (zone, moves) in ZONES.iter().zip(&moves) {
            let anywhere = begin + dice.below(6 * 365 * DAY as u64) as i64;
            let moved = moves.iter().map(|at| (at - DAY, at + 2 * DAY, 60));
            let windows = moved.chain([(anywhere, anywhere + 400 * DAY, 20)]);
            all.extend(windows.map(|(from, to, most)| Question {
                expression: expression.clone(),
                zone,
                from,
                to,
                most,
            }));
        }
    }
    all
}

fn python(questions: &[Question]) -> Option<Vec<String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference.py");
    let mut child = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let lines: String = questions
        .iter()
        .map(|it| format!("{}|{}|{}|{}|{}\n", it.expression.to_uppercase(), it.zone, it.from, it.to, it.most))
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("its output can be read");
    let _ = writer.join();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn ours(question: &Question) -> Option<String> {
    // Some never come, and are refused.
    let cron = Cron::new(&question.expression, question.zone).ok()?;
    let times = std::iter::successors(cron.after(question.from), |&at| cron.after(at));
    let times = times.take_while(|at| *at <= question.to).take(question.most);
    Some(times.map(|at| at.to_string()).collect::<Vec<_>>().join(" "))
}

/// Compares this number of expressions; returns how many times were compared, or `None` without Python or zones.
fn compare(number: usize, seed: u64) -> Option<usize> {
    let questions = questions(&mut Dice(seed), number);
    let answers = python(&questions)?;
    assert_eq!(answers.len(), questions.len());
    let mut compared = 0;
    for (question, theirs) in questions.iter().zip(&answers) {
        let ours = ours(question).unwrap_or_default();
        compared += ours.split(' ').filter(|at| !at.is_empty()).count();
        let Question { expression, zone, from, .. } = question;
        let shown = |times: &str| {
            times.split(' ').filter_map(|at| at.parse().ok()).map(|at| local(at, zone)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&ours), shown(theirs), "{expression:?} in {zone} after {}", local(*from, zone));
    }
    Some(compared)
}

fn seed() -> u64 {
    std::env::var("MUSTER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[test]
fn times_are_those_of_an_independent_implementation() {
    match compare(15, seed()) {
        Some(times) => println!("{times} times are equal"),
        None => println!("skipped: python3 with zoneinfo is missing"),
    }
}

#[test]
fn acceptance_times_of_20_000_expressions() {
    if std::env::var_os("MUSTER_ACCEPTANCE").is_none() {
        return;
    }
    let number = std::env::var("MUSTER_EXPRESSIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(20_000);
    let mut times = 0;
    for part in 0..(number as u64).div_ceil(500) {
        times += compare(500.min(number), seed() + 1000 + part).expect("python3 with zoneinfo is needed");
        println!("part {} of 500 expressions: {times} times are equal so far", part + 1);
    }
    println!("{number} expressions in {} zones: {times} times are equal", ZONES.len());
}
