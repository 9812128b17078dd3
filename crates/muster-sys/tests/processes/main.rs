//! Tests of the kernel interface with real processes: what a child inherits, how each failure is reported, that no exit
//! is lost, that nothing inherited does harm.
//!
//! Not libtest: signals must be blocked before any other thread exists, as in the daemon, and a test that waits for all
//! children cannot run concurrently with another. So `main` runs one test after the other. A test that needs to be
//! started differently (another user, SIGCHLD ignored) runs this executable again with `--inner NAME`.
#![allow(clippy::unwrap_used, missing_docs)]

mod background;
mod boot;
mod child;
mod failures;
mod hung;
mod reaping;
mod scene;

use std::panic;
use std::process::ExitCode;
use std::time::Instant;

/// A claim, and its check.
type Test = (&'static str, fn());

fn tests() -> Vec<Test> {
    [background::TESTS, child::TESTS, failures::TESTS, reaping::TESTS, hung::TESTS, boot::TESTS].concat()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((flag, inner)) = arguments.split_first()
        && flag == "--inner"
    {
        return boot::inner(inner);
    }
    muster_sys::boot::take_signals();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| {
        let fits = |filter: &&String| if has("--exact") { *filter == name } else { name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(fits)
    };
    // There are no ignored tests; cargo-nextest asks for them separately.
    let wanted = tests().into_iter().filter(|(name, _)| is_wanted(name) && !has("--ignored"));
    if has("--list") {
        wanted.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let failed: Vec<&str> = wanted.filter(|&test| !passes(test)).map(|(name, _)| name).collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nfailed: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn passes((name, test): Test) -> bool {
    let begin = Instant::now();
    let passed = panic::catch_unwind(test).and_then(|()| panic::catch_unwind(scene::assert_no_children)).is_ok();
    println!("test {name} ... {} ({:.2?})", if passed { "ok" } else { "FAILED" }, begin.elapsed());
    passed
}
