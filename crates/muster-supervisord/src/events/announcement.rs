//! The events themselves: a type and a payload each.

use muster_spec::EventType;

use crate::python::bytes_repr;

/// An event for listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its type, never a family.
    pub kind: EventType,
    /// Its payload.
    pub payload: String,
}

/// A process and its group, as events name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker<'a> {
    /// The process, without its group.
    pub process: &'a str,
    /// Its group.
    pub group: &'a str,
    /// The pid of its run; 0 if there is none.
    pub pid: u32,
}

/// An output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Channel {
    fn name(self) -> &'static str {
        match self {
            Channel::Stdout => "stdout",
            Channel::Stderr => "stderr",
        }
    }
}

impl Announcement {
    /// The daemon is up.
    pub fn running() -> Announcement {
        Announcement { kind: EventType::SupervisorStateChangeRunning, payload: String::new() }
    }

    /// The daemon is shutting down.
    pub fn stopping() -> Announcement {
        Announcement { kind: EventType::SupervisorStateChangeStopping, payload: String::new() }
    }

    /// A group was added.
    pub fn group_added(group: &str) -> Announcement {
        Announcement { kind: EventType::ProcessGroupAdded, payload: format!("groupname:{group}\n") }
    }

    /// A group was removed.
    pub fn group_removed(group: &str) -> Announcement {
        Announcement { kind: EventType::ProcessGroupRemoved, payload: format!("groupname:{group}\n") }
    }

    /// A client sent something for listeners.
    pub fn remote(kind: &str, data: &str) -> Announcement {
        Announcement { kind: EventType::RemoteCommunication, payload: format!("type:{kind}\n{data}") }
    }

    /// A process wrote this.
    pub fn log(of: Speaker<'_>, channel: Channel, data: &[u8]) -> Announcement {
        let Speaker { process, group, pid } = of;
        let kind = match channel {
            Channel::Stdout => EventType::ProcessLogStdout,
            Channel::Stderr => EventType::ProcessLogStderr,
        };
        let (channel, data) = (channel.name(), text(data));
        let payload = format!("processname:{process} groupname:{group} pid:{pid} channel:{channel}\n{data}");
        Announcement { kind, payload }
    }

    /// A process wrote this between the tokens.
    pub fn communication(of: Speaker<'_>, channel: Channel, data: &[u8]) -> Announcement {
        let Speaker { process, group, pid } = of;
        let kind = match channel {
            Channel::Stdout => EventType::ProcessCommunicationStdout,
            Channel::Stderr => EventType::ProcessCommunicationStderr,
        };
        let data = text(data);
        Announcement { kind, payload: format!("processname:{process} groupname:{group} pid:{pid}\n{data}") }
    }
}

/// Output as text: a payload is counted in characters, so it must have some.
pub(super) fn text(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("Undecodable: {}", bytes_repr(data)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: Speaker<'_> = Speaker { process: "cat", group: "pets", pid: 7 };

    #[test]
    fn payloads_are_the_original_s() {
        let check = |announcement: Announcement, name: &str, payload: &str| {
            assert_eq!((announcement.kind.name(), announcement.payload.as_str()), (name, payload));
        };
        check(Announcement::running(), "SUPERVISOR_STATE_CHANGE_RUNNING", "");
        check(Announcement::stopping(), "SUPERVISOR_STATE_CHANGE_STOPPING", "");
        check(Announcement::group_added("pets"), "PROCESS_GROUP_ADDED", "groupname:pets\n");
        check(Announcement::group_removed("pets"), "PROCESS_GROUP_REMOVED", "groupname:pets\n");
        check(Announcement::remote("a", "b c"), "REMOTE_COMMUNICATION", "type:a\nb c");
        check(
            Announcement::log(CAT, Channel::Stderr, "méow\n".as_bytes()),
            "PROCESS_LOG_STDERR",
            "processname:cat groupname:pets pid:7 channel:stderr\nméow\n",
        );
        check(
            Announcement::log(CAT, Channel::Stdout, b"\x88'\n"),
            "PROCESS_LOG_STDOUT",
            "processname:cat groupname:pets pid:7 channel:stdout\nUndecodable: b\"\\x88'\\n\"",
        );
        check(
            Announcement::communication(CAT, Channel::Stdout, b"hello"),
            "PROCESS_COMMUNICATION_STDOUT",
            "processname:cat groupname:pets pid:7\nhello",
        );
        check(
            Announcement::communication(CAT, Channel::Stderr, b""),
            "PROCESS_COMMUNICATION_STDERR",
            "processname:cat groupname:pets pid:7\n",
        );
    }
}
