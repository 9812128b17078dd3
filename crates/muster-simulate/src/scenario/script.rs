//! The script of a program's runs, one after another: `1@200ms ×5, sig:KILL@3s, spawn-error, 0@40s, ready@2s hang`.
//!
//! Runs are separated by commas, the words of a run by spaces. A run without a script continues indefinitely and ends at
//! once on a stop signal. Knows nothing of files: callers add the place of a script. The words are documented in
//! docs/reference/simulate.md and parsed in `grammar`.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use muster_spec::{Exit, Hook, Signal};

use super::grammar::parse_run;

/// The script of one program's runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    steps: Vec<(PlannedRun, Repeat)>,
}

/// The number of equal runs in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Times(u32),
    Forever,
}

/// The plan of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// How it ends by itself.
    pub outcome: Outcome,
    /// How long after its start it becomes ready, and reports that if it must; `None` is never.
    pub ready: Option<Duration>,
    /// How long after its start its probes start to fail, if they do.
    pub unhealthy: Option<Duration>,
    /// How long after its start it stops pinging the watchdog, if ever.
    pub silent: Option<Duration>,
    /// How long after its start it has had too much memory for too long, if ever.
    pub memory: Option<Duration>,
    /// Its reaction to a stop signal.
    pub on_stop: OnStop,
    /// Other signals that it ignores.
    pub ignored: Vec<Signal>,
    /// The process that outlives it, if one does.
    pub leftover: Option<Leftover>,
    /// The behaviour of its hooks, in the order of a run.
    pub hooks: [PlannedHook; 4],
}

/// The plan of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedHook {
    /// Its exit status; `None` if it does not exit by itself.
    pub code: Option<u8>,
    /// How long after its start it exits.
    pub after: Duration,
    /// Whether only SIGKILL ends it.
    pub ignores: bool,
}

impl PlannedHook {
    /// It succeeds at once.
    pub const DEFAULT: PlannedHook = PlannedHook { code: Some(0), after: Duration::ZERO, ignores: false };
}

/// The behaviour of a process that outlives the main process of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// It ends this long after its first stop signal.
    Ends {
        /// How long after.
        after: Duration,
    },
    /// It ignores every signal but SIGKILL.
    Ignores,
}

/// How a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its main process ends like this, this long after its start.
    Ends {
        /// How.
        exit: Exit,
        /// When.
        after: Duration,
    },
    /// The kernel kills its main process for lack of memory, this long after its start.
    OutOfMemory {
        /// When.
        after: Duration,
    },
    /// It cannot be spawned.
    SpawnError(Missing),
    /// It runs until it is stopped.
    Hangs,
}

/// Why a run cannot be spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The program is not there: exit code 127.
    NotFound,
    /// It is there and cannot be executed: exit code 126.
    NotExecutable,
}

/// The reaction of a run to a stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// The signal kills it, after this delay.
    Dies {
        /// How long after.
        after: Duration,
    },
    /// It exits by itself with this status, after this delay.
    Exits {
        /// The exit status.
        code: u8,
        /// How long after.
        after: Duration,
    },
    /// Nothing: only SIGKILL ends it.
    Ignores,
}

/// A mistake in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The bytes of the script it is about.
    pub at: Range<usize>,
    /// The message, with the offending text last.
    pub message: String,
    /// How to fix it.
    pub hint: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Default for PlannedRun {
    /// It is ready and healthy at once, runs indefinitely, and ends at once on the stop signal.
    fn default() -> PlannedRun {
        PlannedRun {
            outcome: Outcome::Hangs,
            ready: Some(Duration::ZERO),
            unhealthy: None,
            silent: None,
            memory: None,
            on_stop: OnStop::Dies { after: Duration::ZERO },
            ignored: Vec::new(),
            leftover: None,
            hooks: [PlannedHook::DEFAULT; 4],
        }
    }
}

impl Script {
    /// Parses a script; reports the first mistake.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let mut steps = Vec::new();
        let mut start = 0;
        for item in text.split(',') {
            steps.push(parse_run(text, start..start + item.len())?);
            start += item.len() + 1;
        }
        if let Some(position) = steps.iter().position(|(_, repeat)| *repeat == Repeat::Forever)
            && position + 1 < steps.len()
        {
            let at = text.find('*').unwrap_or(0);
            return Err(ScriptError {
                at: at..at + 1,
                message: "nothing can follow runs that are repeated indefinitely: \"×*\"".to_owned(),
                hint: "give a number: ×5".to_owned(),
            });
        }
        Ok(Script { steps })
    }

    /// The run of this number, from 0.
    pub fn run(&self, number: usize) -> PlannedRun {
        let mut first = 0;
        for (planned, repeat) in &self.steps {
            match repeat {
                Repeat::Forever => return planned.clone(),
                Repeat::Times(times) if number < first + *times as usize => return planned.clone(),
                Repeat::Times(times) => first += *times as usize,
            }
        }
        PlannedRun::default()
    }

    /// The same with every time multiplied.
    pub fn scaled(&self, factor: f64) -> Script {
        let scaled = |(planned, repeat): &(PlannedRun, Repeat)| (planned.scaled(factor), *repeat);
        Script { steps: self.steps.iter().map(scaled).collect() }
    }
}

impl PlannedRun {
    fn scaled(&self, factor: f64) -> PlannedRun {
        let scale = |span: Duration| span.mul_f64(factor);
        let outcome = match self.outcome {
            Outcome::Ends { exit, after } => Outcome::Ends { exit, after: scale(after) },
            Outcome::OutOfMemory { after } => Outcome::OutOfMemory { after: scale(after) },
            other => other,
        };
        let on_stop = match self.on_stop {
            OnStop::Dies { after } => OnStop::Dies { after: scale(after) },
            OnStop::Exits { code, after } => OnStop::Exits { code, after: scale(after) },
            OnStop::Ignores => OnStop::Ignores,
        };
        let (ready, unhealthy) = (self.ready.map(scale), self.unhealthy.map(scale));
        let leftover = self.leftover.map(|leftover| match leftover {
            Leftover::Ends { after } => Leftover::Ends { after: scale(after) },
            Leftover::Ignores => Leftover::Ignores,
        });
        let (silent, memory, ignored) = (self.silent.map(scale), self.memory.map(scale), self.ignored.clone());
        let hooks = self.hooks.map(|hook| PlannedHook { after: scale(hook.after), ..hook });
        PlannedRun { outcome, ready, unhealthy, silent, memory, on_stop, ignored, leftover, hooks }
    }

    /// Whether it is ready so long after its start.
    pub fn is_ready_after(&self, age: Duration) -> bool {
        self.ready.is_some_and(|ready| ready <= age)
    }

    /// Whether it is well so long after its start.
    pub fn is_well_after(&self, age: Duration) -> bool {
        self.unhealthy.is_none_or(|unhealthy| age < unhealthy)
    }

    /// Whether it still says that it lives so long after its start.
    pub fn lives_after(&self, age: Duration) -> bool {
        self.silent.is_none_or(|silent| age < silent)
    }

    /// What this signal does to it: how and when it ends of it, or nothing.
    pub fn reaction(&self, signal: Signal) -> Option<(Exit, Duration)> {
        let dies = Exit::Signal { signal, core_dumped: false };
        if signal == Signal::KILL {
            return Some((dies, Duration::ZERO));
        }
        if is_harmless(signal) || self.ignored.contains(&signal) {
            return None;
        }
        match self.on_stop {
            OnStop::Dies { after } => Some((dies, after)),
            OnStop::Exits { code, after } => Some((Exit::Code(code), after)),
            OnStop::Ignores => None,
        }
    }
}

/// Signals whose default is to do nothing or to stop and continue: signal(7).
fn is_harmless(signal: Signal) -> bool {
    ["CHLD", "CONT", "URG", "WINCH", "STOP", "TSTP", "TTIN", "TTOU"].iter().any(|name| name.parse() == Ok(signal))
}

/// Words as a script has them, so that a run can be handed to another process.
impl fmt::Display for PlannedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::Ends { exit: Exit::Code(code), after } => write!(f, "{code}@{}us", after.as_micros())?,
            Outcome::Ends { exit: Exit::Signal { signal, .. }, after } => {
                write!(f, "sig:{}@{}us", signal.number(), after.as_micros())?;
            }
            Outcome::OutOfMemory { after } => write!(f, "oom@{}us", after.as_micros())?,
            Outcome::SpawnError(Missing::NotFound) => f.write_str("spawn-error:not-found")?,
            Outcome::SpawnError(Missing::NotExecutable) => f.write_str("spawn-error:not-executable")?,
            Outcome::Hangs => f.write_str("hang")?,
        }
        match self.on_stop {
            OnStop::Dies { after } => write!(f, " stop@{}us", after.as_micros())?,
            OnStop::Exits { code, after } => write!(f, " stop:{code}@{}us", after.as_micros())?,
            OnStop::Ignores => f.write_str(" ignore-term")?,
        }
        match self.ready {
            Some(ready) => write!(f, " ready@{}us", ready.as_micros())?,
            None => f.write_str(" never-ready")?,
        }
        self.unhealthy.iter().try_for_each(|at| write!(f, " unhealthy@{}us", at.as_micros()))?;
        self.silent.iter().try_for_each(|at| write!(f, " silent@{}us", at.as_micros()))?;
        self.memory.iter().try_for_each(|at| write!(f, " memory@{}us", at.as_micros()))?;
        match self.leftover {
            Some(Leftover::Ends { after }) => write!(f, " leftover@{}us", after.as_micros())?,
            Some(Leftover::Ignores) => f.write_str(" leftover:ignore")?,
            None => {}
        }
        for (hook, planned) in Hook::EVERY.iter().zip(self.hooks).filter(|(_, it)| *it != PlannedHook::DEFAULT) {
            match planned.code {
                Some(code) => write!(f, " {}:{code}@{}us", hook.name(), planned.after.as_micros())?,
                None if planned.ignores => write!(f, " {}:ignore", hook.name())?,
                None => write!(f, " {}:hang", hook.name())?,
            }
        }
        self.ignored.iter().try_for_each(|signal| write!(f, " ignore:{}", signal.number()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(code: u8, ms: u64) -> Outcome {
        Outcome::Ends { exit: Exit::Code(code), after: Duration::from_millis(ms) }
    }

    #[test]
    fn runs_come_in_their_order_and_then_go_on_for_ever() {
        let script = Script::parse("1@200ms ×2, sig:KILL@3s, spawn-error, 0@40s, ready@2s hang").unwrap();
        let killed = Exit::Signal { signal: Signal::KILL, core_dumped: false };
        let outcomes: Vec<Outcome> = (0..8).map(|number| script.run(number).outcome).collect();
        let expected = [
            ends(1, 200),
            ends(1, 200),
            Outcome::Ends { exit: killed, after: Duration::from_secs(3) },
            Outcome::SpawnError(Missing::NotFound),
            ends(0, 40_000),
            Outcome::Hangs,
            Outcome::Hangs,
            Outcome::Hangs,
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(script.run(5).ready, Some(Duration::from_secs(2)));
        assert_eq!(script.run(6).ready, Some(Duration::ZERO));
    }

    #[test]
    fn a_number_of_times_is_written_in_several_ways() {
        for text in ["1@1s ×3, 0", "1@1s×3, 0", "1@1s x3,0", "×3 1@1s , 0@0"] {
            let script = Script::parse(text).unwrap();
            assert_eq!((script.run(2).outcome, script.run(3).outcome), (ends(1, 1000), ends(0, 0)), "{text}");
        }
        assert_eq!(Script::parse("7 ×*").unwrap().run(1_000_000).outcome, ends(7, 0));
    }

    #[test]
    fn a_stop_signal_does_what_the_script_says() {
        let of = |text: &str, signal: Signal| Script::parse(text).unwrap().run(0).reaction(signal);
        let by = |signal| Exit::Signal { signal, core_dumped: false };
        let second = Duration::from_secs(1);
        assert_eq!(of("hang", Signal::TERM), Some((by(Signal::TERM), Duration::ZERO)));
        assert_eq!(of("hang stop@1s", Signal::INT), Some((by(Signal::INT), second)));
        assert_eq!(of("hang stop:0@1s", Signal::TERM), Some((Exit::Code(0), second)));
        assert_eq!(of("hang ignore-term", Signal::TERM), None);
        assert_eq!(of("hang ignore-term", Signal::KILL), Some((by(Signal::KILL), Duration::ZERO)));
        assert_eq!(of("hang ignore:INT", Signal::INT), None);
        assert_eq!(of("hang ignore:INT", Signal::TERM), Some((by(Signal::TERM), Duration::ZERO)));
        assert_eq!(of("hang", Signal::CONT), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "1@200ms",
            "sig:KILL@3s ready@1s",
            "oom@4s",
            "spawn-error:not-executable",
            "hang stop:3@2s ignore:INT",
            "hang never-ready unhealthy@3s silent@1s memory@4s",
            "1@1s leftover@3s",
            "hang leftover:ignore",
            "hang pre_start:3@2s post_start@1s pre_stop:hang post_stop:ignore",
        ] {
            let planned = Script::parse(text).unwrap().run(0);
            assert_eq!(Script::parse(&planned.to_string()).unwrap().run(0), planned, "{planned}");
        }
    }

    #[test]
    fn no_text_is_too_much_for_it() {
        let pieces = [
            "1", "@", "×", "x", "*", ",", " ", "sig:", "KILL", "hang", "ready", "stop:", "leftover", "9", "ms", "ü",
            "ignore:", "-", ".",
        ];
        let mut random = muster_core::random::Random::seeded(7);
        let mut is_read = 0;
        for _ in 0..20_000 {
            let count = random.next_bits() % 12;
            let text: String =
                (0..count).map(|_| pieces[(random.next_bits() % pieces.len() as u64) as usize]).collect();
            match Script::parse(&text) {
                Ok(script) => {
                    let again = script.run(3).to_string();
                    assert_eq!(Script::parse(&again).unwrap().run(0), script.run(3), "{text:?}");
                    is_read += 1;
                }
                Err(error) => assert!(text.get(error.at.clone()).is_some(), "{text:?}: {error:?}"),
            }
        }
        assert!(is_read > 100, "{is_read}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at, message) in [
            ("1@1s, 300@1s", 6, "an exit status is at most 255: \"300@1s\""),
            ("1@soon", 0, "not a duration after @: \"1@soon\""),
            ("1, sig:KLL@1s", 3, "not a signal: \"sig:KLL@1s\""),
            ("1@1s 2@2s", 5, "a run ends once: \"2@2s\""),
            ("1@1s ×0", 5, "not a number of times: \"×0\""),
            ("1, hnag", 3, "not a word of a run: \"hnag\""),
            ("1,,2", 2, "there is no run: \"1,,2\""),
            ("hang@3s", 0, "takes no time: \"hang@3s\""),
            ("ignore:KILL", 0, "SIGKILL cannot be ignored: \"ignore:KILL\""),
            ("pre_stop:deaf", 0, "not what a hook does: \"pre_stop:deaf\""),
            ("pre_start:hang@2s", 0, "takes no time: \"pre_start:hang@2s\""),
            ("1@1s leftover:deaf", 5, "not what a leftover does: \"leftover:deaf\""),
            ("1 ×*, 2", 4, "nothing can follow runs that are repeated indefinitely: \"×*\""),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert_eq!((error.at.start, error.message.as_str()), (at, message), "{text}");
        }
        assert_eq!(Script::parse("hnag").unwrap_err().hint, "did you mean hang?");
    }
}
