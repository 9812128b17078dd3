//! The syntax of a cron expression, checked field by field so that a mistake has its place.
//!
//! croner parses it again and computes with it; its own messages name no place. Accepted is what Vixie cron accepts, a field
//! for seconds before the others, and `L`, `W` and `#` for days.

use std::ops::Range;

use crate::Mistake;

/// A field of an expression.
struct Kind {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const DAY_OF_MONTH: usize = 3;
const DAY_OF_WEEK: usize = 5;

const KINDS: [Kind; 6] = [
    Kind { name: "second", low: 0, high: 59, names: &[] },
    Kind { name: "minute", low: 0, high: 59, names: &[] },
    Kind { name: "hour", low: 0, high: 23, names: &[] },
    Kind { name: "day of the month", low: 1, high: 31, names: &[] },
    Kind { name: "month", low: 1, high: 12, names: &MONTHS },
    Kind { name: "day of the week", low: 0, high: 7, names: &DAYS },
];

/// The short forms, and what each stands for.
pub(crate) const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The facts that croner needs besides the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Whether it begins with seconds.
    pub(crate) has_seconds: bool,
    /// Whether both fields of days must match, since one of them begins with `*`, as in Vixie cron. Otherwise one is
    /// enough.
    pub(crate) both_days: bool,
}

/// The fields of an expression; a nickname is replaced.
pub(crate) fn fields(text: &str) -> Result<(&str, Shape), Mistake> {
    if text.starts_with('@') {
        return nickname(text).map(|expression| (expression, Shape { has_seconds: false, both_days: true }));
    }
    let fields = split(text);
    let skipped = match fields.len() {
        5 => 1,
        6 => 0,
        0 => return Err(Mistake::new(0..text.len(), "is empty", "\"0 3 * * *\" is every day at 3:00")),
        number => {
            let message = format!("has {number} {}", if number == 1 { "field" } else { "fields" });
            let hint = "minute, hour, day of the month, month, day of the week; six fields begin with seconds";
            return Err(Mistake::new(0..text.len(), message, hint));
        }
    };
    for (index, range) in fields.iter().enumerate() {
        check_field(index + skipped, text, range.clone())?;
    }
    let begins_with_star = |index: usize| text[fields[index - skipped].clone()].starts_with(['*', '?']);
    let both_days = begins_with_star(DAY_OF_MONTH) || begins_with_star(DAY_OF_WEEK);
    Ok((text, Shape { has_seconds: skipped == 0, both_days }))
}

fn nickname(text: &str) -> Result<&'static str, Mistake> {
    let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, expression)| *expression).ok_or_else(|| {
        let hint = match text {
            "@reboot" => "run_on_start = true runs the job when it starts with the daemon".to_owned(),
            _ => "@every 90s, @hourly, @daily, @weekly, @monthly or @yearly".to_owned(),
        };
        Mistake::new(0..text.len(), format!("has no short form {text}"), hint)
    })
}

fn split(text: &str) -> Vec<Range<usize>> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_ascii_whitespace().map(|word| start(word)..start(word) + word.len()).collect()
}

fn check_field(index: usize, text: &str, range: Range<usize>) -> Result<(), Mistake> {
    let mut at = range.start;
    for item in text[range].split(',') {
        check_item(index, item).map_err(|(part, message, hint)| {
            Mistake::new(at + part.start..at + part.end.max(part.start + 1), message, hint)
        })?;
        at += item.len() + 1;
    }
    Ok(())
}

/// The part of an item, what is wrong with it, and what to do.
type Wrong = (Range<usize>, String, String);

fn check_item(index: usize, item: &str) -> Result<(), Wrong> {
    let kind = &KINDS[index];
    let whole = || 0..item.len();
    if item.is_empty() {
        return Err((whole(), format!("has an empty {}", kind.name), "* is each one".to_owned()));
    }
    if let Some((first, step)) = item.split_once('/') {
        return check_step(kind, item, first, step);
    }
    match item {
        "*" => return Ok(()),
        "?" if index == DAY_OF_MONTH || index == DAY_OF_WEEK => return Ok(()),
        _ => {}
    }
    let upper = item.to_ascii_uppercase();
    if index == DAY_OF_MONTH {
        if upper == "L" || upper == "LW" {
            return Ok(());
        }
        if let Some(day) = upper.strip_suffix('W') {
            return check_number(kind, day, 0);
        }
    }
    if index == DAY_OF_WEEK {
        if let Some((day, nth)) = upper.split_once('#') {
            check_number(kind, day, 0)?;
            return match nth.parse::<u32>() {
                Ok(1..=5) => Ok(()),
                _ => {
                    let part = day.len() + 1..item.len();
                    Err((part, format!("has no such day: {item}"), "MON#1 is the first Monday, up to #5".to_owned()))
                }
            };
        }
        if let Some(day) = upper.strip_suffix('L').filter(|day| !day.is_empty()) {
            return check_number(kind, day, 0);
        }
    }
    match item.split_once('-') {
        Some((first, last)) => check_range(kind, first, last),
        None => check_number(kind, item, 0),
    }
}

fn check_step(kind: &Kind, item: &str, first: &str, step: &str) -> Result<(), Wrong> {
    let part = first.len() + 1..item.len();
    match step.parse::<u32>() {
        Ok(0) => return Err((part, format!("has a step of 0 for {}", kind.name), "*/1 is each one".to_owned())),
        Ok(step) if step <= kind.high => {}
        _ => {
            let message = format!("has no step for {}: {step}", kind.name);
            return Err((part, message, format!("a number from 1 to {}", kind.high)));
        }
    }
    match first.split_once('-') {
        Some((first, last)) => check_range(kind, first, last),
        None if first == "*" => Ok(()),
        None => {
            let high = if kind.names.len() == 7 { 6 } else { kind.high };
            let begin = if first.is_empty() { kind.low.to_string() } else { first.to_owned() };
            let hint = format!("{begin}-{high}/{step}, or */{step}");
            Err((0..item.len(), format!("has a step without a range: {item}"), hint))
        }
    }
}

fn check_range(kind: &Kind, first: &str, last: &str) -> Result<(), Wrong> {
    check_number(kind, first, 0)?;
    check_number(kind, last, first.len() + 1)?;
    let (from, to) = (number(kind, first), number(kind, last));
    // Sunday ends a range as 7.
    let to = if kind.names.len() == 7 && to == Some(0) && from != Some(0) { Some(7) } else { to };
    if from > to {
        let hint = format!("two ranges with a comma between them: {first}-{},{}-{last}", kind.high, kind.low);
        return Err((0..first.len() + 1 + last.len(), format!("has a range that ends early: {first}-{last}"), hint));
    }
    Ok(())
}

fn number(kind: &Kind, word: &str) -> Option<u32> {
    let named = kind.names.iter().position(|name| name.eq_ignore_ascii_case(word));
    match named {
        Some(place) => Some(place as u32 + kind.low),
        None if word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok(),
        None => None,
    }
}

fn check_number(kind: &Kind, word: &str, at: usize) -> Result<(), Wrong> {
    let known = number(kind, word);
    if known.is_some_and(|number| (kind.low..=kind.high).contains(&number)) {
        return Ok(());
    }
    let hint = match kind.names {
        [] => format!("a number from {} to {}", kind.low, kind.high),
        names => format!("a number from {} to {}, or {} to {}", kind.low, kind.high, names[0], names[names.len() - 1]),
    };
    Err((at..at + word.len(), format!("has no such {}: {word}", kind.name), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vixie_cron_knows_is_accepted() {
        let good = [
            "* * * * *",
            "*/5 * * * *",
            "0,15-30,45-59/2 0-23 1,15 JAN-mar mon-Fri",
            "0 0 * * 7",
            "0 0 L * *",
            "0 0 LW * *",
            "0 0 15W * *",
            "0 0 * * FRI#2",
            "0 0 * * 5L",
            "0 0 ? * SAT-SUN",
            "30 */2 * * * *",
            "@daily",
            "@Weekly",
        ];
        for text in good {
            assert!(fields(text).is_ok(), "{text}: {:?}", fields(text));
        }
        assert!(fields("0 0 */2 * 1").expect("it is good").1.both_days);
        assert!(!fields("0 0 1 * 1").expect("it is good").1.both_days);
    }

    fn check(text: &str, part: &str, message: &str) {
        let mistake = fields(text).expect_err(text);
        assert_eq!((&text[mistake.at.clone()], mistake.message.as_str()), (part, message), "{text}");
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        check("61 * * * *", "61", "has no such minute: 61");
        check("0 1,24 * * *", "24", "has no such hour: 24");
        check("0 0 0 * *", "0", "has no such day of the month: 0");
        check("0 0 1 13 *", "13", "has no such month: 13");
        check("0 0 * * 8", "8", "has no such day of the week: 8");
        check("0 0 * * MOM", "MOM", "has no such day of the week: MOM");
        check("0 0 * * MON#6", "6", "has no such day: MON#6");
        check("*/0 * * * *", "0", "has a step of 0 for minute");
        check("5/10 * * * *", "5/10", "has a step without a range: 5/10");
        check("30-10 * * * *", "30-10", "has a range that ends early: 30-10");
        check("0, * * * *", " ", "has an empty minute");
        check("* * * *", "* * * *", "has 4 fields");
        check("0 0 * * * * 2026", "0 0 * * * * 2026", "has 7 fields");
        check("", "", "is empty");
        check("@never", "@never", "has no short form @never");
        check("0 0 1 é *", "é", "has no such month: é");
    }
}
