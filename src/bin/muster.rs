//! All programs of the project in one executable, selected by the name it is called by. Images ship this file.
//!
//! The names are `musterd`, `musterctl`, the inits that `musterd run` replaces, and supervisord's programs. Called as `muster`, it takes the
//! name as its first argument.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
muster is musterd and musterctl in one file: link it under these names, or give the name as the first argument.

  ln -s muster musterd; ln -s muster musterctl
  muster musterd --help
  muster musterctl --help

Called tini, docker-init, podman-init, catatonit or dumb-init, it is a replacement for these. Called supervisord,
supervisorctl, echo_supervisord_conf or pidproxy, it has their command lines.
";

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let own_name = arguments.first().map(base_name).unwrap_or_default();
    if own_name == "muster" && arguments.len() > 1 {
        arguments.remove(0);
    }
    let name = arguments.first().map(base_name).unwrap_or_default();
    match name.as_str() {
        "musterctl" => run_musterctl(arguments),
        _ if arguments.first().is_some_and(|first| musterctl::is_supervisorctl(first)) => run_musterctl(arguments),
        "muster" => {
            let _ = std::io::stderr().write_all(USAGE.as_bytes());
            ExitCode::from(2)
        }
        _ => musterd::run_with(arguments),
    }
}

/// It may have been started as PID 1, which blocks all signals before `main`.
fn run_musterctl(arguments: Vec<OsString>) -> ExitCode {
    musterd::restore_blocked_signals();
    musterctl::run(arguments)
}

fn base_name(path: &OsString) -> String {
    Path::new(path).file_name().unwrap_or(path).to_string_lossy().into_owned()
}
