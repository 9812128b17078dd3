//! The measured executable: its size, its compiler and how it was built.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::daemon::{Daemon, Output, Under};
use super::judge::{Basis, Circumstances, Figure};
use super::scene::Scene;

/// Until all threads rest.
const AT_REST: Duration = Duration::from_secs(2);

pub(crate) fn size(scene: &Scene) -> Vec<Figure> {
    let file = std::fs::metadata(&scene.musterd).expect("the executable is there");
    vec![Figure::new("executable: bytes", file.len() as f64, Basis::Build)]
}

/// The pages of the executable that a daemon keeps resident at rest, in KiB: code that is used together lies together.
pub(crate) fn resident(scene: &Scene) -> Vec<Figure> {
    let daemon = Daemon::start(scene, Under::Nothing, 10, Output::Captured);
    // The log threads have come to rest, too, and have released what they had brought back.
    std::thread::sleep(AT_REST);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the daemon is running");
    daemon.stop();
    let size = status.lines().find_map(|line| line.strip_prefix("RssFile:"));
    let size = size.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok()).expect("Linux tells it");
    let figure = Figure::new("idle with 10 programs: resident code and constants, KiB", size, Basis::Build);
    // The kernel maps 64 KiB at a time, and where these lie changes with every build.
    vec![Figure { slack: 128.0, ..figure }]
}

pub(crate) fn circumstances(executable: &Path) -> Circumstances {
    let bytes = std::fs::read(executable).unwrap_or_else(|error| panic!("{}: {error}", executable.display()));
    let first = |command: &str, arguments: &[&str]| {
        let output = Command::new(command).args(arguments).output();
        output.map_or("none".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Circumstances {
        architecture: std::env::consts::ARCH.to_owned(),
        compiler: compiler(&bytes).unwrap_or_else(|| "unknown".to_owned()),
        executable: kind(&bytes),
        kernel: first("uname", &["-r"]),
        valgrind: first("valgrind", &["--version"]),
    }
}

/// Whether calls of Rust's allocator can be recognized.
pub(crate) fn has_symbols(executable: &Path) -> bool {
    std::fs::read(executable).is_ok_and(|bytes| find(&bytes, b"___rust_alloc").is_some())
}

/// As the compiler wrote it into the section `.comment`, which stripping keeps.
fn compiler(bytes: &[u8]) -> Option<String> {
    let from = find(bytes, b"rustc version ")?;
    let text: Vec<u8> = bytes[from..].iter().copied().take_while(|&byte| byte != 0).collect();
    String::from_utf8(text).ok().map(|text| text.replace(" version", ""))
}

/// An executable that checks for overflow was not optimised. The name of the dynamic linker is at the beginning of a file that needs
/// one.
fn kind(bytes: &[u8]) -> String {
    let is_dynamic = find(&bytes[..bytes.len().min(4096)], b"/ld-").is_some();
    let is_checked = find(bytes, b"attempt to add with overflow").is_some();
    let linkage = if is_dynamic { "dynamic" } else { "static" };
    format!("{linkage}, {}", if is_checked { "not optimised" } else { "optimised" })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
