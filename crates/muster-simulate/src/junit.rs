//! Scenario results as a JUnit report, which every CI system reads: one test case per scenario.

use std::fmt::Write;

use crate::svg::escaped;

/// The result of one scenario.
pub(crate) struct Case {
    /// Its file.
    pub(crate) file: String,
    /// Its title.
    pub(crate) title: String,
    /// How long checking it took.
    pub(crate) seconds: f64,
    /// The expectations that do not hold, with the timeline; empty if all hold.
    pub(crate) failure: String,
}

/// The report.
pub(crate) fn report(suite: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| !case.failure.is_empty()).count();
    let total: f64 = cases.iter().map(|case| case.seconds).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" time=\"{total:.3}\"", cases.len());
    let _ = writeln!(text, "<testsuites {counts}>\n  <testsuite name=\"{suite}\" {counts}>");
    for case in cases {
        let name = if case.title.is_empty() { &case.file } else { &case.title };
        let _ = write!(
            text,
            "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" time=\"{:.3}\"",
            escaped(name),
            escaped(&case.file),
            escaped(&case.file),
            case.seconds
        );
        if case.failure.is_empty() {
            let _ = writeln!(text, "/>");
        } else {
            let message = case.failure.lines().next().unwrap_or_default();
            let _ = writeln!(
                text,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escaped(message),
                escaped(&case.failure)
            );
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}
