//! musterd under the names of supervisord and the small tools beside it.
//!
//! [`start`] does in the original's order what comes before the daemon.

mod pidproxy;
mod privileges;
mod start;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use muster_sys::say::say;

/// A program of the original that musterd replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The daemon.
    Supervisord,
    /// `echo_supervisord_conf`, which prints a sample of a configuration.
    Sample,
    /// `pidproxy`, which forwards signals to the process that a pid file names.
    Pidproxy,
}

impl Program {
    /// The program of this name, with or without a path.
    pub(crate) fn called(name: &OsStr) -> Option<Program> {
        match Path::new(name).file_name()?.to_str()? {
            "supervisord" => Some(Program::Supervisord),
            "echo_supervisord_conf" => Some(Program::Sample),
            "pidproxy" => Some(Program::Pidproxy),
            _ => None,
        }
    }

    /// The program by whose name this executable was started: that of the file, or else the first argument.
    pub(crate) fn of_this_process(argv0: &OsStr) -> Option<Program> {
        let executed = muster_sys::boot::executed_as();
        executed.as_deref().and_then(Program::called).or_else(|| Program::called(argv0))
    }

    /// Runs it; `argv` begins with its name. Returns the exit code.
    pub(crate) fn run(self, argv: &[OsString]) -> u8 {
        let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        match self {
            Program::Supervisord => start::main(&words),
            Program::Sample => {
                say(muster_supervisord::SAMPLE.trim_end());
                0
            }
            Program::Pidproxy => pidproxy::main(argv),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_recognized_by_their_file_name() {
        assert_eq!(Program::called(OsStr::new("/usr/local/bin/supervisord")), Some(Program::Supervisord));
        assert_eq!(Program::called(OsStr::new("pidproxy")), Some(Program::Pidproxy));
        for other in ["musterd", "supervisord/", "supervisord/musterd", "", "/", "supervisord.py"] {
            let expected = (other == "supervisord/").then_some(Program::Supervisord);
            assert_eq!(Program::called(OsStr::new(other)), expected, "{other}");
        }
    }
}
