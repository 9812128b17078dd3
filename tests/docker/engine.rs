//! The Docker engine and the images under test.
//!
//! Images are built once per test run, by the same scripts that the README recommends. Without `MUSTER_DOCKER=1` every
//! test returns at once and reports that it was skipped; with it, a missing engine is a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The label that marks containers of this suite.
pub(crate) const LABEL: &str = "muster-test";

/// Tests that measure time hold it exclusively, the others share it: a starting container takes a processor for a
/// while.
static MACHINE: RwLock<()> = RwLock::new(());

/// Whether the tests of this suite are enabled.
pub(crate) fn is_wanted() -> bool {
    let wanted = std::env::var_os("MUSTER_DOCKER").is_some_and(|value| value == "1");
    if !wanted {
        skipped("MUSTER_DOCKER=1 runs the tests in containers (docker and root needed)");
    }
    wanted
}

/// Reports that the current test did not run. Not by a print macro: the test runner would capture it.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Held while a test runs concurrently with others.
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Held by a test that measures time.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The C library in the static executable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Libc {
    /// The choice of `docker/build.sh`: musl where available.
    Chosen,
    /// Always available, and with pitfalls: name lookups.
    Gnu,
}

/// The image with several services, based on Debian.
pub(crate) fn services() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    let name = "muster-services:test";
    BUILT.get_or_init(|| build(Libc::Chosen, "test", &["binary", "services"]));
    name
}

/// The image with nothing but the executable.
pub(crate) fn scratch(libc: Libc) -> &'static str {
    static CHOSEN: OnceLock<()> = OnceLock::new();
    static GNU: OnceLock<()> = OnceLock::new();
    let (built, tag, name) = match libc {
        Libc::Chosen => (&CHOSEN, "test", "muster-scratch:test"),
        Libc::Gnu => (&GNU, "test-gnu", "muster-scratch:test-gnu"),
    };
    built.get_or_init(|| build(libc, tag, &["binary", "scratch"]));
    name
}

/// The image with the original supervisord and programs to run under it, and the executable to put in its place.
pub(crate) fn supervisord() -> (&'static str, PathBuf) {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(Libc::Chosen, "test", &["binary", "supervisord"]));
    let built = |libc| repository().join("docker/build").join(libc).join("muster");
    let executable = Some(built("musl")).filter(|path| path.exists()).unwrap_or_else(|| built("gnu"));
    ("muster-supervisord:test", executable)
}

/// With `MUSTER_DOCKER_BUILT=1` the images of an earlier run are used.
fn build(libc: Libc, tag: &str, parts: &[&str]) {
    if std::env::var_os("MUSTER_DOCKER_BUILT").is_some_and(|value| value == "1") {
        return;
    }
    // Two builds at once would copy into the same context.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut command = Command::new(repository().join("docker/build.sh"));
    command.args(parts).env("MUSTER_TAG", tag);
    if std::env::var_os("MUSTER_BASE").is_none() {
        command.env("MUSTER_BASE", "bootstrap");
    }
    // Optimising across crates takes minutes for each C library, and changes nothing that is seen here.
    if std::env::var_os("MUSTER_PROFILE").is_none() {
        command.env("MUSTER_PROFILE", "dist-dev");
    }
    match libc {
        Libc::Chosen => command.env_remove("MUSTER_LIBC"),
        Libc::Gnu => command.env("MUSTER_LIBC", "gnu"),
    };
    let output = command.stdin(Stdio::null()).output().expect("docker/build.sh can be run");
    assert!(output.status.success(), "docker/build.sh {parts:?} failed:\n{}", text(&output));
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Runs the docker command until it exits.
pub(crate) fn docker<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().expect("docker is installed")
}

/// Runs the docker command, checks that it succeeds, and returns its output.
pub(crate) fn docker_ok<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> String {
    let arguments: Vec<_> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    let output = docker(&arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Both streams of a command, for messages and searches.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
