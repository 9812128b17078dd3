//! Measures that reading takes time linear in a file's size: half a megabyte of errors of one kind.
//!
//! Included by path in the tests of the crates that read configurations and scenarios.

use std::fmt::Write;
use std::fs;

use muster_config::Diagnostic;

/// Processor seconds for one case, without optimisation. A quadratic algorithm takes half a minute and more.
const ENOUGH: f64 = 10.0;

const SIZE: usize = 1 << 19;

/// That many bytes of lines.
pub(crate) fn lines(line: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(SIZE + 100);
    for number in 0.. {
        if text.len() >= SIZE {
            break;
        }
        writeln!(text, "{}", line(number)).unwrap();
    }
    text
}

/// The processor time of this thread, independent of the machine's load.
fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

pub(crate) fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let before = processor_seconds();
    let answer = work();
    let spent = processor_seconds() - before;
    assert!(spent < ENOUGH, "{name}: {spent:.2} s of processor time");
    answer
}

/// Checks that the errors are reported, and only as many as a person reads.
pub(crate) fn check(name: &str, diagnostics: &[Diagnostic], message: &str) {
    let first = diagnostics.first().unwrap_or_else(|| panic!("{name}: no mistake"));
    assert!(first.message.contains(message), "{name}: {}", first.message);
    assert!((2..=300).contains(&diagnostics.len()), "{name}: {}", diagnostics.len());
    assert!(diagnostics.iter().any(|found| found.message.contains(" more ")), "{name}: the others are not counted");
    assert!(diagnostics.iter().all(|found| found.text().len() < 10_000), "{name}: an error message is too long");
}
