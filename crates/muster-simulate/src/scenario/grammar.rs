//! The words of a script: text to runs, each mistake with its place and what to write instead.

use std::ops::Range;
use std::time::Duration;

use muster_config::reading::nearest;
use muster_spec::{Exit, Hook, NotASpan, Signal, Span};

use super::script::{Leftover, Missing, OnStop, Outcome, PlannedHook, PlannedRun, Repeat, ScriptError};

/// One run between commas, at these bytes of the whole script.
pub(super) fn parse_run(text: &str, range: Range<usize>) -> Result<(PlannedRun, Repeat), ScriptError> {
    let mut planned = PlannedRun::default();
    let (mut outcome, mut repeat) = (None, Repeat::Times(1));
    let mut is_empty = true;
    for (at, word) in words(&text[range.clone()], range.start) {
        is_empty = false;
        // `1@200ms×5` is `1@200ms ×5`.
        let (word, times) = match word.find('×') {
            Some(cross) if cross > 0 => (&word[..cross], Some(&word[cross..])),
            _ => (word, None),
        };
        let here = at..at + word.len();
        match Word::parse(word, here.clone())? {
            Word::Outcome(found) if outcome.is_none() => outcome = Some(found),
            Word::Outcome(_) => {
                let hint = "separate runs by commas: \"1@200ms, 0@5s\"";
                return Err(wrong(here, "a run ends once", word, hint));
            }
            Word::Ready(after) => planned.ready = after,
            Word::Unhealthy(after) => planned.unhealthy = Some(after),
            Word::Silent(after) => planned.silent = Some(after),
            Word::Memory(after) => planned.memory = Some(after),
            Word::OnStop(on_stop) => planned.on_stop = on_stop,
            Word::Ignored(signal) => planned.ignored.push(signal),
            Word::Hook(hook, does) => planned.hooks[hook as usize] = does,
            Word::Leftover(leftover) => planned.leftover = Some(leftover),
            Word::Repeat(found) => repeat = found,
        }
        if let Some(times) = times {
            let here = here.end..here.end + times.len();
            match Word::parse(times, here.clone())? {
                Word::Repeat(found) => repeat = found,
                _ => return Err(unknown(here, times)),
            }
        }
    }
    if is_empty {
        let hint = "a script is runs separated by commas: \"1@200ms ×5, 0@40s, hang\"";
        return Err(wrong(range, "there is no run", text, hint));
    }
    planned.outcome = outcome.unwrap_or(Outcome::Hangs);
    Ok((planned, repeat))
}

fn words(text: &str, offset: usize) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |word| (offset + (word.as_ptr() as usize - text.as_ptr() as usize), word))
}

enum Word {
    Outcome(Outcome),
    Ready(Option<Duration>),
    Unhealthy(Duration),
    Silent(Duration),
    Memory(Duration),
    OnStop(OnStop),
    Ignored(Signal),
    Leftover(Leftover),
    Hook(Hook, PlannedHook),
    Repeat(Repeat),
}

const WORDS: [&str; 18] = [
    "sig:KILL@1s",
    "spawn-error",
    "ready@1s",
    "hang",
    "ignore-term",
    "ignore:",
    "stop@1s",
    "stop:0@1s",
    "never-ready",
    "unhealthy@5s",
    "silent@5s",
    "memory@30s",
    "oom@5s",
    "leftover@3s",
    "pre_start@2s",
    "post_start:1@2s",
    "pre_stop:hang",
    "post_stop@2s",
];

impl Word {
    fn parse(word: &str, at: Range<usize>) -> Result<Word, ScriptError> {
        if let Some(times) = word.strip_prefix('×').or_else(|| word.strip_prefix('x')) {
            return Ok(Word::Repeat(parse_repeat(times, word, at)?));
        }
        let (name, time) = word.split_once('@').map_or((word, None), |(name, time)| (name, Some(time)));
        let after = match time.map(str::parse) {
            None => Duration::ZERO,
            Some(Ok(Span(after))) => after,
            Some(Err(NotASpan)) => {
                let hint = "a number of seconds, or one with a unit: 200ms, 1.5s, 2m, 1h30m";
                return Err(wrong(at, "not a duration after @", word, hint));
            }
        };
        let untimed = |found: Word| match time {
            None => Ok(found),
            Some(_) => Err(wrong(at.clone(), "takes no time", word, &format!("write {name}"))),
        };
        if let Ok(number) = name.parse::<u32>() {
            let Ok(code) = u8::try_from(number) else {
                return Err(wrong(at, "an exit status is at most 255", word, "sig:KILL@3s is an end by a signal"));
            };
            return Ok(Word::Outcome(Outcome::Ends { exit: Exit::Code(code), after }));
        }
        if let Some(signal) = name.strip_prefix("sig:") {
            let exit = Exit::Signal { signal: parse_signal(signal, word, at)?, core_dumped: false };
            return Ok(Word::Outcome(Outcome::Ends { exit, after }));
        }
        if let Some(signal) = name.strip_prefix("ignore:") {
            let signal = parse_signal(signal, word, at.clone())?;
            if signal == Signal::KILL {
                return Err(wrong(
                    at,
                    "SIGKILL cannot be ignored",
                    word,
                    "ignore-term ignores every other stop signal",
                ));
            }
            return untimed(Word::Ignored(signal));
        }
        if let Some(code) = name.strip_prefix("stop:") {
            let Ok(code) = code.parse() else {
                return Err(wrong(at, "not an exit status", word, "stop:0@2s exits with 0, 2 s after the stop signal"));
            };
            return Ok(Word::OnStop(OnStop::Exits { code, after }));
        }
        if let Some(does) = name.strip_prefix("leftover:") {
            if does != "ignore" {
                let hint = "leftover@3s ends 3 s after the stop signal, leftover:ignore only by SIGKILL";
                return Err(wrong(at, "not what a leftover does", word, hint));
            }
            return untimed(Word::Leftover(Leftover::Ignores));
        }
        let (first, does) = name.split_once(':').map_or((name, None), |(first, does)| (first, Some(does)));
        if let Some(hook) = Hook::EVERY.into_iter().find(|hook| hook.name() == first) {
            let endless = |ignores| PlannedHook { code: None, ignores, ..PlannedHook::DEFAULT };
            let exits = |code| PlannedHook { code: Some(code), after, ignores: false };
            return match does {
                None => Ok(Word::Hook(hook, exits(0))),
                Some("hang") => untimed(Word::Hook(hook, endless(false))),
                Some("ignore") => untimed(Word::Hook(hook, endless(true))),
                Some(code) => code.parse().map(|code| Word::Hook(hook, exits(code))).map_err(|_| {
                    let hint = "pre_stop:1@2s exits with 1 after 2 s, pre_stop:hang not before SIGTERM, \
                                pre_stop:ignore not before SIGKILL";
                    wrong(at, "not what a hook does", word, hint)
                }),
            };
        }
        match name {
            "ready" => Ok(Word::Ready(Some(after))),
            "never-ready" => untimed(Word::Ready(None)),
            "unhealthy" => Ok(Word::Unhealthy(after)),
            "silent" => Ok(Word::Silent(after)),
            "memory" => Ok(Word::Memory(after)),
            "oom" => Ok(Word::Outcome(Outcome::OutOfMemory { after })),
            "stop" => Ok(Word::OnStop(OnStop::Dies { after })),
            "leftover" => Ok(Word::Leftover(Leftover::Ends { after })),
            "hang" => untimed(Word::Outcome(Outcome::Hangs)),
            "ignore-term" => untimed(Word::OnStop(OnStop::Ignores)),
            "spawn-error" | "spawn-error:not-found" => untimed(Word::Outcome(Outcome::SpawnError(Missing::NotFound))),
            "spawn-error:not-executable" => untimed(Word::Outcome(Outcome::SpawnError(Missing::NotExecutable))),
            _ => Err(unknown(at, word)),
        }
    }
}

fn parse_repeat(times: &str, word: &str, at: Range<usize>) -> Result<Repeat, ScriptError> {
    if times == "*" {
        return Ok(Repeat::Forever);
    }
    match times.parse() {
        Ok(times @ 1..) => Ok(Repeat::Times(times)),
        _ => Err(wrong(at, "not a number of times", word, "×5 repeats the run, ×* repeats it indefinitely")),
    }
}

fn parse_signal(signal: &str, word: &str, at: Range<usize>) -> Result<Signal, ScriptError> {
    signal.parse().map_err(|_| wrong(at, "not a signal", word, "a name or a number: sig:KILL@3s, sig:SIGTERM, sig:9"))
}

fn wrong(at: Range<usize>, what: &str, word: &str, hint: &str) -> ScriptError {
    ScriptError { at, message: format!("{what}: {word:?}"), hint: hint.to_owned() }
}

fn unknown(at: Range<usize>, word: &str) -> ScriptError {
    let name = word.split(['@', ':']).next().unwrap_or(word);
    let known = WORDS.iter().map(|known| known.split(['@', ':']).next().unwrap_or(known));
    let hint = match nearest(name, known).and_then(|found| WORDS.iter().find(|known| known.starts_with(found))) {
        Some(word) => format!("did you mean {word}?"),
        None => "a run is N@TIME (exit status), sig:NAME@TIME, spawn-error or hang".to_owned(),
    };
    wrong(at, "not a word of a run", word, &hint)
}
