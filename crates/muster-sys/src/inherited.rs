//! Sockets that the daemon has inherited, by the protocol of sd_listen_fds(3): systemd, podman and systemd-socket-activate
//! pass them.

use std::os::fd::OwnedFd;

use crate::boot::inherited_descriptor;

/// The first descriptor that is passed.
const FIRST: u32 = 3;

/// The environment of the daemon, as far as it tells of descriptors.
#[derive(Debug, Default)]
struct Passed {
    pid: Option<u32>,
    count: u32,
    names: Vec<String>,
}

/// The numbers of all inherited descriptors, or of those with this name. An error if there are none.
pub fn numbers(name: Option<&str>) -> Result<Vec<u32>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let passed = Passed::of(variable("LISTEN_PID"), variable("LISTEN_FDS"), variable("LISTEN_FDNAMES"));
    passed.numbers(name, std::process::id())
}

/// A copy of the only inherited socket with this name.
pub(crate) fn socket(name: &str) -> Result<OwnedFd, String> {
    let number = match numbers(Some(name))?[..] {
        [number] => number,
        _ => return Err(format!("more than one socket was inherited as {name:?}: give each a name of its own")),
    };
    inherited_descriptor(number).map_err(|_| format!("the inherited descriptor {number} is not open"))
}

impl Passed {
    fn of(pid: Option<String>, count: Option<String>, names: Option<String>) -> Passed {
        let names = names.map(|names| names.split(':').map(str::to_owned).collect()).unwrap_or_default();
        let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
        Passed { pid: pid.and_then(|pid| pid.parse().ok()), count, names }
    }

    /// The descriptors of this name, or all.
    fn numbers(&self, name: Option<&str>, own: u32) -> Result<Vec<u32>, String> {
        match self.pid {
            None => return Err("no socket was inherited: LISTEN_PID is not set".to_owned()),
            Some(pid) if pid != own => {
                return Err(format!(
                    "the inherited sockets are for pid {pid}, and the daemon is {own}: start it with exec"
                ));
            }
            Some(_) => {}
        }
        let has_name =
            |index: u32| name.is_none_or(|name| self.names.get(index as usize).is_some_and(|own| own == name));
        // Higher numbers are indistinguishable from the daemon's own descriptors.
        let numbers: Vec<u32> = (0..self.count.min(u64::BITS - FIRST))
            .filter(|&index| has_name(index))
            .map(|index| FIRST + index)
            .collect();
        if numbers.is_empty() { Err("no socket of this name was inherited".to_owned()) } else { Ok(numbers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pid: &str, count: &str, names: &str, name: Option<&str>) -> Result<Vec<u32>, String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Passed::of(text(pid), text(count), text(names)).numbers(name, 7)
    }

    #[test]
    fn descriptors_have_the_names_they_were_passed_with() {
        assert_eq!(numbers("7", "3", "api:web:api", None), Ok(vec![3, 4, 5]));
        assert_eq!(numbers("7", "3", "api:web:api", Some("api")), Ok(vec![3, 5]));
        assert_eq!(numbers("7", "1", "", None), Ok(vec![3]));
        assert!(numbers("7", "1", "", Some("api")).is_err());
        assert!(numbers("7", "", "api", None).is_err());
        assert!(numbers("7", "-1", "api", None).is_err());
        assert!(numbers("", "1", "api", None).unwrap_err().contains("LISTEN_PID"));
        let other = numbers("8", "1", "api", None).unwrap_err();
        assert!(other.contains("pid 8") && other.contains("is 7"), "{other}");
        assert_eq!(numbers("7", "4000000000", "", None).map(|numbers| numbers.len()), Ok(61));
    }
}
