//! The comparison of measured counts with the recorded ones, and the file that records them. Measures nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

/// How far a count may exceed the recorded one.
pub(crate) const TOLERANCE: f64 = 0.03;

/// The circumstances that change a count without a change of the source, besides the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The kind of executable.
    Kind,
    /// The compiler.
    Compiler,
    /// Both.
    Build,
}

/// A measured count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) basis: Basis,
    /// How far it may differ besides: zero, except where the kernel's part in it is more than the tolerance.
    pub(crate) slack: f64,
    /// Its parts, for the reader of a difference.
    pub(crate) parts: String,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, basis: Basis) -> Figure {
        // A sum of nothing is negative.
        Figure { name: name.into(), value: value + 0.0, basis, slack: 0.0, parts: String::new() }
    }
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// More than the tolerance allows.
    More,
    /// Fewer by more than the tolerance: worth recording, or a later loss of the same size goes unnoticed.
    Less,
    /// Not recorded yet.
    New,
    /// Recorded with another compiler, another kind of executable or on another architecture.
    NotJudged,
}

/// The circumstances of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Circumstances {
    pub(crate) architecture: String,
    /// The compiler of the measured executable.
    pub(crate) compiler: String,
    /// The kind of executable: `static` or `dynamic`, `optimised` or `not optimised`.
    pub(crate) executable: String,
    /// For the reader: it is not compared.
    pub(crate) kernel: String,
    /// For the reader: it is not compared.
    pub(crate) valgrind: String,
}

/// The recorded counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) recorded_with: Circumstances,
    pub(crate) counts: BTreeMap<String, f64>,
}

impl Record {
    pub(crate) fn parse(text: &str) -> Result<Record, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    pub(crate) fn verdict(&self, figure: &Figure, now: &Circumstances) -> Verdict {
        let Some(&recorded) = self.counts.get(&figure.name) else { return Verdict::New };
        let then = &self.recorded_with;
        let is_comparable = then.architecture == now.architecture
            && (figure.basis == Basis::Kind || then.compiler == now.compiler)
            && (figure.basis == Basis::Compiler || then.executable == now.executable);
        if !is_comparable {
            Verdict::NotJudged
        } else if figure.value > recorded * (1.0 + TOLERANCE) + figure.slack {
            Verdict::More
        } else if figure.value < recorded * (1.0 - TOLERANCE) - figure.slack {
            Verdict::Less
        } else {
            Verdict::Same
        }
    }

    /// The file's text.
    pub(crate) fn render(&self) -> String {
        let with = &self.recorded_with;
        let mut text = String::from(
            "# The counts that benches/counts compares with. Generated: MUSTER_BLESS=1 benches/counts/run writes it.\n\n[recorded_with]\n",
        );
        for (key, value) in [
            ("architecture", &with.architecture),
            ("compiler", &with.compiler),
            ("executable", &with.executable),
            ("kernel", &with.kernel),
            ("valgrind", &with.valgrind),
        ] {
            let _ = writeln!(text, "{key} = {value:?}");
        }
        text.push_str("\n[counts]\n");
        for (name, value) in &self.counts {
            let _ = writeln!(text, "{name:?} = {}", number(*value));
        }
        text
    }
}

/// Two digits after the point where they say something.
pub(crate) fn number(value: f64) -> String {
    if value >= 1000.0 || value == value.trunc() { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The difference in per cent.
pub(crate) fn difference(recorded: f64, measured: f64) -> String {
    if recorded == 0.0 {
        return if measured == 0.0 { "+0.0 %".to_owned() } else { "from none".to_owned() };
    }
    format!("{:+.1} %", (measured / recorded - 1.0) * 100.0)
}
