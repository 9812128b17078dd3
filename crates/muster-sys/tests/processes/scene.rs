//! Shared by the tests: a spawner, programs to run, and waiting with a timeout.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_spec::{Exit, ProcessSpec, SpawnError, UserSpec};
use muster_sys::limits::OriginalLimits;
use muster_sys::reap::reap_next;
use muster_sys::signal::Pid;
use muster_sys::spawn::{Launch, Mechanism, Spawner, Spawning, Stdio};

/// The timeout for anything to happen before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Both mechanisms by which the daemon creates processes.
pub(crate) const MECHANISMS: [Mechanism; 2] = [Mechanism::Copied, Mechanism::Shared];

pub(crate) fn spawner() -> Spawner {
    spawner_with(std::env::vars_os().collect())
}

pub(crate) fn spawner_with(environment: Vec<(OsString, OsString)>) -> Spawner {
    Spawner::new(environment, OriginalLimits::current().unwrap(), 0o022).unwrap()
}

/// A program with nothing configured but its command.
pub(crate) fn program(command: &[&str]) -> ProcessSpec {
    ProcessSpec::of(command.iter().map(|&word| word.to_owned()).collect())
}

pub(crate) fn user(user: &str, group: Option<&str>) -> Option<UserSpec> {
    Some(UserSpec { user: user.to_owned(), group: group.map(str::to_owned) })
}

/// A launch that ignores output and adds nothing to the program.
pub(crate) fn launch(process: &ProcessSpec) -> Launch<'_> {
    Launch {
        process,
        secrets: &[],
        markers: &[],
        own_pid: [None; 2],
        tag: None,
        stdout: Stdio::Null,
        stderr: Stdio::Null,
        passed: &[],
    }
}

/// Starts a program and ignores its output.
pub(crate) fn start(spawner: &mut Spawner, process: &ProcessSpec) -> Result<Spawning, SpawnError> {
    spawner.spawn(&launch(process))
}

/// Runs a program until it exits: its output, and its exit.
pub(crate) fn run(spawner: &mut Spawner, process: &ProcessSpec) -> Result<(Vec<u8>, Exit), SpawnError> {
    run_with_markers(spawner, process, &[])
}

pub(crate) fn run_with_markers(
    spawner: &mut Spawner,
    process: &ProcessSpec,
    markers: &[(&str, &str)],
) -> Result<(Vec<u8>, Exit), SpawnError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = File::options().write(true).open(file.path()).unwrap();
    let stdout = Stdio::Fd(output.as_fd());
    let mut spawning = spawner.spawn(&Launch { markers, stdout, ..launch(process) })?;
    let exit = wait_for(spawning.pid);
    spawning.outcome_after_exit()?;
    assert_eq!(spawning.outcome(), Some(Ok(())));
    Ok((fs::read(file.path()).unwrap(), exit))
}

/// The output of a program, as text.
pub(crate) fn text(spawner: &mut Spawner, process: &ProcessSpec) -> String {
    let (output, exit) = run(spawner, process).unwrap_or_else(|error| panic!("{:?}: {error}", process.command));
    assert_eq!(exit, Exit::Code(0), "{:?}", process.command);
    String::from_utf8(output).unwrap()
}

/// The error of a program that cannot be spawned.
pub(crate) fn error(spawner: &mut Spawner, process: &ProcessSpec) -> SpawnError {
    match run(spawner, process) {
        Err(error) => error,
        Ok((_, exit)) => panic!("{:?} was executed: {exit}", process.command),
    }
}

/// Waits for the exit of this child, the only one.
pub(crate) fn wait_for(pid: Pid) -> Exit {
    let reaped = until("a child ends", || reap_next().unwrap());
    assert_eq!(reaped.pid, pid);
    reaped.exit
}

/// Polls until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(crate) fn assert_no_children() {
    assert_eq!(reap_next().unwrap(), None, "a test left a zombie");
    let children = format!("/proc/self/task/{}/children", std::process::id());
    assert_eq!(fs::read_to_string(children).unwrap_or_default(), "", "a test left children");
}

/// Reports that something was not checked here: written past the test runner's capture.
pub(crate) fn skipped(what: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {reason}");
}

pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid cannot fail and touches no memory.
    unsafe { libc::geteuid() == 0 }
}

/// A directory that every user may enter.
pub(crate) fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Writes a file with this mode.
pub(crate) fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A program of a few bytes that exits immediately with 42.
pub(crate) fn instant(directory: &Path) -> PathBuf {
    PathBuf::from(file(directory, "instant", &instant_bytes(), 0o755))
}

fn instant_bytes() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    #[cfg(target_arch = "x86_64")]
    // mov edi, 42; mov eax, 60; syscall
    const CODE: (u16, &[u8]) = (62, b"\xbf\x2a\0\0\0\xb8\x3c\0\0\0\x0f\x05");
    #[cfg(target_arch = "aarch64")]
    // mov x0, #42; mov x8, #93; svc #0
    const CODE: (u16, &[u8]) = (183, b"\x40\x05\x80\xd2\xa8\x0b\x80\xd2\x01\0\0\xd4");
    let (machine, code) = CODE;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    // Entry, program headers, section headers.
    [BASE + HEADERS, 64, 0].iter().for_each(|number| file.extend(number.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    [64_u16, 56, 1, 0, 0, 0].iter().for_each(|number| file.extend(number.to_le_bytes()));
    // One segment: loadable, readable and executable, the whole file.
    [1_u32, 5].iter().for_each(|number| file.extend(number.to_le_bytes()));
    let size = HEADERS + code.len() as u64;
    [0, BASE, BASE, size, size, 0x1000].iter().for_each(|number: &u64| file.extend(number.to_le_bytes()));
    file.extend_from_slice(code);
    file
}
