//! The one hidden command, `musterd __rehearse PART …`, by which a rehearsal starts its own parts: the daemon on its stage,
//! puppets, the processes that these leave behind, and probes. It is not meant to be typed.

use std::ffi::OsString;
use std::path::Path;

use muster_sys::say::complain;

use super::{puppet, stage};
use crate::Host;

/// The word that leads to all parts.
const DOOR: &str = "__rehearse";

/// The part of a process in a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The daemon: SCENARIO SCALE DIRECTORY.
    Stage,
    /// A run of a program: DIRECTORY NAME.
    Puppet,
    /// A process that a run leaves behind: DIRECTORY WHAT-IT-DOES.
    Leftover,
    /// A check of a probe: DIRECTORY NAME KIND.
    Ask,
    /// A hook of a run: DIRECTORY NAME HOOK.
    Hook,
}

impl Part {
    const ALL: [Part; 5] = [Part::Stage, Part::Puppet, Part::Leftover, Part::Ask, Part::Hook];

    /// The first arguments of a process that plays this part. The file `muster` is several programs, and takes a program's
    /// name as its first argument.
    pub(super) fn words(self, executable: &Path) -> Vec<&'static str> {
        let program = (executable.file_name() == Some("muster".as_ref())).then_some("musterd");
        program.into_iter().chain([DOOR, self.name()]).collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Part::Stage => "stage",
            Part::Puppet => "puppet",
            Part::Leftover => "leftover",
            Part::Ask => "ask",
            Part::Hook => "hook",
        }
    }
}

/// Plays a part of a rehearsal if the arguments ask for one, and gives the exit code.
pub fn part(host: Host, arguments: &[OsString]) -> Option<u8> {
    let (door, rest) = arguments.get(1..)?.split_first()?;
    if door != DOOR {
        return None;
    }
    let words: Vec<&str> = rest.iter().filter_map(|argument| argument.to_str()).collect();
    let (name, rest) = words.split_first().map_or(("", &words[..]), |(name, rest)| (*name, rest));
    let part = Part::ALL.into_iter().find(|part| part.name() == name);
    Some(match (part, rest) {
        (Some(Part::Stage), [scenario, scale, directory]) => {
            stage::supervise(host, scenario.as_ref(), scale.parse().unwrap_or(1.0), directory.as_ref())
        }
        (Some(Part::Puppet), [directory, name]) => puppet::play(directory.as_ref(), name),
        (Some(Part::Leftover), [_, does]) => puppet::outlive(does),
        (Some(Part::Ask), [directory, name, kind]) => puppet::ask(directory.as_ref(), name, kind),
        (Some(Part::Hook), [directory, name, hook]) => puppet::hook(directory.as_ref(), name, hook),
        _ => {
            complain("musterd: only musterd rehearse uses this command\nhint: musterd rehearse --help");
            2
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        load: |_| Err(String::new()),
        open: |_, _| Err(std::io::ErrorKind::NotFound.into()),
        report: |_| {},
        mask: str::to_owned,
        supervise: |_| 0,
    };

    #[test]
    fn parts_are_played_behind_the_door_only() {
        let played = |words: &[&str]| part(HOST, &words.iter().map(OsString::from).collect::<Vec<_>>());
        for outside in [&["musterd"][..], &["musterd", "stage"], &["musterd", "check", DOOR]] {
            assert_eq!(played(outside), None, "{outside:?}");
        }
        for incomplete in [&["musterd", DOOR][..], &["musterd", DOOR, "curtain"], &["musterd", DOOR, "puppet"]] {
            assert_eq!(played(incomplete), Some(2), "{incomplete:?}");
        }
    }
}
