//! `pidproxy PIDFILE COMMAND [ARGUMENT…]`: starts a command and forwards signals to the process that a pid file names.
//!
//! For a program that puts itself into the background: the supervisor watches `pidproxy` in its place.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use muster_spec::Signal;
use muster_sys::foreground::{BlockedSignals, Dispositions, Launch, Onward, Placement, launch};
use muster_sys::reap::reap_next;
use muster_sys::say::{complain, say};
use muster_sys::signal::{Pid, send};

/// Signals that are forwarded; the first three also end this program.
const FORWARDED: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2];

/// Signals after which this program exits.
const LAST: usize = 3;

/// Exit code of a command that could not be executed.
const NOT_EXECUTED: u8 = 127;

/// Runs it; returns the exit code.
pub(super) fn main(argv: &[OsString]) -> u8 {
    let held = BlockedSignals::all();
    let [name, pidfile, command @ ..] = argv else { return usage(argv.first()) };
    let Some(program) = command.first() else { return usage(Some(name)) };
    // Like the original: relative to the working directory, not found by PATH.
    let program = std::path::absolute(program).map_or_else(|_| program.clone(), OsString::from);
    let command: Vec<OsString> = [program].into_iter().chain(command.iter().skip(1).cloned()).collect();
    let plan = Launch {
        command: &command,
        place: Placement::Here,
        dispositions: Dispositions::Inherited,
        passes_sockets: false,
    };
    let child = match launch(&plan, &|_, error| if error == 0 { Onward::Continue } else { Onward::Exit(NOT_EXECUTED) })
    {
        Ok(child) => child,
        Err(error) => {
            complain(&format!("pidproxy: cannot start {}: {error}", command[0].display()));
            return 1;
        }
    };
    attend(child, Path::new(pidfile), held)
}

/// Forwards signals until one of them ends this program, or the command has exited.
fn attend(child: Pid, pidfile: &Path, held: BlockedSignals) -> u8 {
    loop {
        let Some(signal) = held.wait(None) else { continue };
        if signal == Signal::CHLD {
            while let Ok(Some(reaped)) = reap_next() {
                if reaped.pid == child {
                    return 0;
                }
            }
            continue;
        }
        let Some(at) = FORWARDED.iter().position(|forwarded| *forwarded == signal) else { continue };
        match read(pidfile) {
            Err(_) => {
                say(&format!("Can't read child pidfile {}!", pidfile.display()));
                continue;
            }
            Ok(pid) => {
                if let Err(error) = send(pid, signal) {
                    complain(&format!("pidproxy: cannot send {signal} to {pid}: {error}"));
                    return 1;
                }
            }
        }
        if at < LAST {
            return 0;
        }
    }
}

/// The pid in the file. Numbers that stand for a group or for every process are refused.
fn read(pidfile: &Path) -> io::Result<Pid> {
    let mut text = String::new();
    File::open(pidfile)?.take(64).read_to_string(&mut text)?;
    let number: i32 = text.trim().parse().map_err(io::Error::other)?;
    if number > 0 { Ok(Pid(number)) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn usage(name: Option<&OsString>) -> u8 {
    let name = name.map_or_else(|| "pidproxy".into(), |name| name.to_string_lossy());
    say(&format!(
        "pidproxy -- run a command and forward signals to the process that a pid file names.\n\n\
         Usage: {name} <pidfile name> <command> [<cmdarg1> ...]"
    ));
    1
}
