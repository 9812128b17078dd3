//! The keys about ends of runs: `on_exit` and `max_runtime`.

use muster_spec::{ExitAction, ExitMatch, ExitRule, ExitRules, Kind, Signal, Span};

use crate::diagnostic::{Report, Severity};
use crate::drafts::program::Rules;
use crate::field::{Field, Owner};
use crate::value::Content;
use crate::words::{nearest, nearest_in_case};

const EXAMPLE: &str = "on_exit = { 75 = \"restart-now\", \"78,100-109\" = \"fatal\", HUP = \"success\" }";

/// The classes of ends, by their word.
const CLASSES: [(&str, ExitMatch); 4] = [
    ("signal", ExitMatch::AnySignal),
    ("failure", ExitMatch::Failure),
    ("spawn-error", ExitMatch::SpawnError),
    ("oom", ExitMatch::OutOfMemory),
];

impl Rules {
    pub(crate) fn on_exit(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else {
            return field.expected_with_hint("a table", EXAMPLE);
        };
        let mut rules = ExitRules::default();
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            let then = child.choice(&ExitAction::ALL);
            for part in name.as_str().split(',').map(str::trim) {
                let on = read_match(&child, part);
                if let Some((on, then)) = on.zip(then) {
                    add(&child, &mut rules, ExitRule { on, then });
                }
            }
        }
        let has = |on| rules.iter().any(|rule| rule.on == on);
        if has(ExitMatch::OutOfMemory) && has(ExitMatch::Signal(Signal::KILL)) {
            let hint = "an OOM kill is a SIGKILL, and a signal is more specific: write signal instead of KILL";
            field.warning("has oom, which has no effect beside KILL", hint);
        }
        self.on_exit = rules;
    }

    pub(crate) fn max_runtime(&mut self, field: &Field<'_>) {
        if let Some(max) = field.duration() {
            self.max_runtime = (!max.is_zero()).then_some(max);
            self.max_runtime_at = Some(field.place());
        }
    }

    /// A run that may not last until it is RUNNING could only fail.
    pub(crate) fn check_max_runtime(&self, owner: Owner<'_>, report: &Report) {
        let Some((max, place)) = self.max_runtime.zip(self.max_runtime_at) else { return };
        if self.kind == Kind::Service && max <= self.startsecs {
            let (max, startsecs) = (Span(max), Span(self.startsecs));
            let message = format!("max_runtime must be longer than startsecs, {startsecs}: {max}");
            let hint = "a run is RUNNING after startsecs; a program that exits with success has type = \"oneshot\"";
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        }
    }
}

fn add(field: &Field<'_>, rules: &mut ExitRules, rule: ExitRule) {
    if rule.on == ExitMatch::SpawnError && rule.then == ExitAction::Success {
        let hint = "spawn-error = \"stop\" leaves it EXITED; \"restart\", \"fatal\" and \"exit\" are others";
        return field.error_with_hint("cannot be \"success\": nothing was executed", hint);
    }
    match rules.add(rule) {
        Ok(()) => {}
        Err(other) if other == rule.on => field.error_with_hint(format_args!("has {other} twice"), "keep one of them"),
        Err(other) => {
            let hint = "a single status is more specific than a range, two ranges are not";
            field.error_with_hint(format_args!("overlaps with {other}: {}", rule.on), hint);
        }
    }
}

/// A status, a range, a signal or a class of ends.
fn read_match(field: &Field<'_>, word: &str) -> Option<ExitMatch> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(word) {
        return read_status(field, word).map(ExitMatch::Status);
    }
    if let Some((first, last)) = word.split_once('-').map(|(first, last)| (first.trim(), last.trim()))
        && is_number(first)
        && is_number(last)
    {
        let (first, last) = (read_status(field, first)?, read_status(field, last)?);
        if first > last {
            let hint = format!("{last}-{first}");
            field.error_with_hint(format_args!("has a range that ends before it begins: {word:?}"), hint);
            return None;
        }
        return Some(ExitMatch::Range { first, last });
    }
    if let Some(&(_, class)) = CLASSES.iter().find(|(name, _)| *name == word) {
        return Some(class);
    }
    let signal = word.parse::<Signal>().ok();
    if signal.is_none() {
        const USUAL: [&str; 10] = ["HUP", "INT", "QUIT", "KILL", "TERM", "SEGV", "ABRT", "PIPE", "USR1", "USR2"];
        let shouted = word.to_ascii_uppercase();
        let close = nearest(&word.replace('_', "-"), CLASSES.iter().map(|(name, _)| *name))
            .or_else(|| nearest_in_case(shouted.strip_prefix("SIG").unwrap_or(&shouted), &USUAL));
        let hint = close.map_or(EXAMPLE.to_owned(), |name| format!("did you mean {name:?}?"));
        field.error_with_hint(
            format_args!("must name an exit status, a range, a signal, signal, failure, spawn-error or oom: {word:?}"),
            hint,
        );
    }
    signal.map(ExitMatch::Signal)
}

fn read_status(field: &Field<'_>, word: &str) -> Option<u8> {
    let status = word.parse().ok();
    if status.is_none() {
        field.error(format_args!("must have exit statuses from 0 to 255: {word}"));
    }
    status
}
