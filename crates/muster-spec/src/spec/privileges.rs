//! What a process may do beyond its user: capabilities, setuid programs, and what the kernel gives to root.

use std::fmt;

/// The privileges of a process. By default nothing is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// The only capabilities that it and its descendants may have; `None` leaves them alone.
    pub capabilities: Option<CapabilitySet>,
    /// Whether executing a file never gives it privileges: no setuid programs, no file capabilities.
    pub no_new_privileges: bool,
    /// Flags that are set in addition to those that the daemon has.
    pub securebits: Securebits,
}

impl Privileges {
    /// Whether nothing is changed.
    pub fn is_default(self) -> bool {
        self == Privileges::default()
    }
}

/// Capabilities by the kernel's numbers: capabilities(7).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// No capability.
    pub const NONE: CapabilitySet = CapabilitySet(0);

    /// Names in lowercase and without `CAP_`, at the places of their numbers.
    pub const NAMES: [&'static str; 41] = [
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "fsetid",
        "kill",
        "setgid",
        "setuid",
        "setpcap",
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
        "mac_override",
        "mac_admin",
        "syslog",
        "wake_alarm",
        "block_suspend",
        "audit_read",
        "perfmon",
        "bpf",
        "checkpoint_restore",
    ];

    /// The set with these bits, as in /proc/PID/status.
    pub const fn from_bits(bits: u64) -> CapabilitySet {
        CapabilitySet(bits)
    }

    /// A bit for each capability: 1 << number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of this one, by a name as in [`CapabilitySet::NAMES`]. `None` if there is none of this name.
    pub fn of(name: &str) -> Option<CapabilitySet> {
        CapabilitySet::NAMES.iter().position(|known| *known == name).map(|number| CapabilitySet(1 << number))
    }

    /// Those of both.
    pub const fn with(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 | other.0)
    }

    /// Those that the other does not have.
    pub const fn without(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & !other.0)
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, in the order of the numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CapabilitySet::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(number, _)| self.0 & (1 << number) != 0)
            .map(|it| it.1)
    }
}

/// As in capabilities(7): `CAP_CHOWN, CAP_KILL`, or `none`.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, name) in self.names().enumerate() {
            write!(f, "{}CAP_{}", if index > 0 { ", " } else { "" }, name.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Flags that take special treatment from root: capabilities(7), "The securebits flags".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Securebits(u32);

impl Securebits {
    /// The words of the configuration, each with its bits; a locked flag is set, and stays.
    pub const ALL: [(&'static str, Securebits); 6] = [
        ("noroot", Securebits(0b1)),
        ("noroot-locked", Securebits(0b11)),
        ("no-setuid-fixup", Securebits(0b100)),
        ("no-setuid-fixup-locked", Securebits(0b1100)),
        ("keep-caps", Securebits(0b1_0000)),
        ("keep-caps-locked", Securebits(0b11_0000)),
    ];

    /// The words alone.
    pub const WORDS: [&'static str; 6] = {
        let mut words = [""; 6];
        let mut index = 0;
        while index < words.len() {
            words[index] = Securebits::ALL[index].0;
            index += 1;
        }
        words
    };

    /// As prctl(2) takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The flags of both.
    pub const fn with(self, other: Securebits) -> Securebits {
        Securebits(self.0 | other.0)
    }

    /// Whether root gets no capabilities when it executes a file.
    pub const fn has_noroot(self) -> bool {
        self.0 & 0b1 != 0
    }

    /// The words: of each flag the longest that holds.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let holds = move |bits: u32| self.0 & bits == bits;
        Securebits::ALL
            .chunks(2)
            .filter_map(move |pair| pair.iter().rev().find(|(_, flag)| holds(flag.0)).map(|(name, _)| *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_are_the_kernel_s() {
        let set = CapabilitySet::of("net_bind_service").unwrap().with(CapabilitySet::of("chown").unwrap());
        assert_eq!(set.bits(), 1 << 10 | 1);
        assert_eq!(set.to_string(), "CAP_CHOWN, CAP_NET_BIND_SERVICE");
        assert_eq!(CapabilitySet::of("checkpoint_restore").unwrap().bits(), 1 << 40);
        assert_eq!(CapabilitySet::of("CHOWN"), None);
        assert_eq!(CapabilitySet::NONE.to_string(), "none");
    }

    #[test]
    fn a_locked_flag_is_set() {
        let [_, (_, locked), (_, fixup), ..] = Securebits::ALL;
        let both = locked.with(fixup);
        assert!(both.has_noroot());
        assert_eq!(both.names().collect::<Vec<_>>(), ["noroot-locked", "no-setuid-fixup"]);
        assert_eq!(Securebits::default().names().count(), 0);
    }
}
