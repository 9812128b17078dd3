//! What a release consists of, as its users get it: installed into clean systems and used there.
//!
//! `packaging/release.sh` makes the artefacts, with any profile; `MUSTER_ARTEFACTS=1` tests those of this machine's
//! architecture, and `MUSTER_ARTEFACTS=all` (`packaging/test.sh`) everything: Debian 13 and aarch64 too. It needs root and
//! a Docker engine. The rules of the scripts themselves are in `scripts.rs` and always run.

// Other suites use the rest of these files.
#[allow(dead_code)]
#[path = "../docker/container.rs"]
mod container;
mod debian;
#[allow(dead_code)]
#[path = "../docker/engine.rs"]
mod engine;
mod files;
mod foreign;
mod images;
mod scripts;
mod small;

use std::path::PathBuf;
use std::process::Command;

/// How much of the suite is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Wanted {
    /// Artefacts for this machine, in the systems that are quick to make.
    Some,
    /// Everything.
    All,
}

/// Whether a test of this part runs. A skip is reported, so that it is never silent.
fn is_wanted(part: Wanted) -> bool {
    let wanted = match std::env::var("MUSTER_ARTEFACTS").as_deref() {
        Ok("1") => Some(Wanted::Some),
        Ok("all") => Some(Wanted::All),
        _ => None,
    };
    match wanted {
        None => {
            engine::skipped("MUSTER_ARTEFACTS=1 or all tests what packaging/release.sh made (docker and root needed)")
        }
        // With "1" this is what was asked for.
        Some(wanted) if wanted < part => println!("only with MUSTER_ARTEFACTS=all"),
        Some(_) => return true,
    }
    false
}

fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| engine::repository().join("target")).join("release-artifacts")
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An artefact of the current version; a missing one is a failure.
fn artefact(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(path.exists(), "{} is missing: packaging/release.sh makes it", path.display());
    path
}

fn machine() -> &'static str {
    std::env::consts::ARCH
}

/// The same in Debian's words.
fn debian_machine() -> &'static str {
    match machine() {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

/// Runs a command, and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, engine::text(&output));
    engine::text(&output)
}

/// The tarball, unpacked as its user does.
fn unpacked(arch: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let file = artefact(&format!("muster-{VERSION}-{arch}-linux.tar.gz"));
    run(Command::new("tar").arg("-xzf").arg(file).arg("--strip-components=1").arg("-C").arg(directory.path()));
    directory
}
