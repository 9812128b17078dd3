//! Event listeners: the types of events that supervisord's protocol has, and what a listener asks for.

/// A type of event. Abstract ones stand for all that they include, and no event has such a type itself.
macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident $name:literal in $parent:ident),* $(,)?) => {
        /// A type of event, or a family of types.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType { $($(#[$doc])* $variant),* }

        impl EventType {
            /// Every type and family, in the original's order.
            pub const ALL: &[EventType] = &[$(EventType::$variant),*];

            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name in a configuration and in the header of an event.
            pub const fn name(self) -> &'static str {
                match self { $(EventType::$variant => $name),* }
            }

            /// The family it belongs to; its own for [`EventType::Event`].
            pub const fn parent(self) -> EventType {
                match self { $(EventType::$variant => EventType::$parent),* }
            }
        }
    };
}

event_types! {
    /// All events.
    Event "EVENT" in Event,
    /// All changes of a process's state.
    ProcessState "PROCESS_STATE" in Event,
    /// A process stopped on request.
    ProcessStateStopped "PROCESS_STATE_STOPPED" in ProcessState,
    /// A process exited by itself.
    ProcessStateExited "PROCESS_STATE_EXITED" in ProcessState,
    /// A process is being started.
    ProcessStateStarting "PROCESS_STATE_STARTING" in ProcessState,
    /// A process is being stopped.
    ProcessStateStopping "PROCESS_STATE_STOPPING" in ProcessState,
    /// A start failed and will be repeated.
    ProcessStateBackoff "PROCESS_STATE_BACKOFF" in ProcessState,
    /// No further start is attempted.
    ProcessStateFatal "PROCESS_STATE_FATAL" in ProcessState,
    /// A process is up.
    ProcessStateRunning "PROCESS_STATE_RUNNING" in ProcessState,
    /// Never sent.
    ProcessStateUnknown "PROCESS_STATE_UNKNOWN" in ProcessState,
    /// Captured output.
    ProcessCommunication "PROCESS_COMMUNICATION" in Event,
    /// Captured from standard output.
    ProcessCommunicationStdout "PROCESS_COMMUNICATION_STDOUT" in ProcessCommunication,
    /// Captured from standard error.
    ProcessCommunicationStderr "PROCESS_COMMUNICATION_STDERR" in ProcessCommunication,
    /// Output.
    ProcessLog "PROCESS_LOG" in Event,
    /// Standard output.
    ProcessLogStdout "PROCESS_LOG_STDOUT" in ProcessLog,
    /// Standard error.
    ProcessLogStderr "PROCESS_LOG_STDERR" in ProcessLog,
    /// Sent by a client.
    RemoteCommunication "REMOTE_COMMUNICATION" in Event,
    /// The daemon itself.
    SupervisorStateChange "SUPERVISOR_STATE_CHANGE" in Event,
    /// The daemon is up.
    SupervisorStateChangeRunning "SUPERVISOR_STATE_CHANGE_RUNNING" in SupervisorStateChange,
    /// The daemon is shutting down.
    SupervisorStateChangeStopping "SUPERVISOR_STATE_CHANGE_STOPPING" in SupervisorStateChange,
    /// Points in time.
    Tick "TICK" in Event,
    /// Every five seconds.
    Tick5 "TICK_5" in Tick,
    /// Every minute.
    Tick60 "TICK_60" in Tick,
    /// Every hour.
    Tick3600 "TICK_3600" in Tick,
    /// Groups of processes.
    ProcessGroup "PROCESS_GROUP" in Event,
    /// A group was added.
    ProcessGroupAdded "PROCESS_GROUP_ADDED" in ProcessGroup,
    /// A group was removed.
    ProcessGroupRemoved "PROCESS_GROUP_REMOVED" in ProcessGroup,
}

impl EventType {
    /// The type or family of this name.
    pub fn parse(name: &str) -> Option<EventType> {
        EventType::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether a subscription to this includes events of that type.
    pub fn includes(self, other: EventType) -> bool {
        self == EventType::Event || self == other || self == other.parent()
    }
}

/// A pool of event listeners: all instances of a program share its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// The pool's name.
    pub pool: String,
    /// The subscriptions, each once. An event that several of them include comes several times.
    pub events: Vec<EventType>,
    /// Number of events that wait for a listener; the oldest of more is dropped.
    pub buffer_size: usize,
    /// How patient the pool is with its listeners.
    pub mode: ListenerMode,
    /// The use of its results.
    pub results: Results,
}

/// How patient a pool is with its listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenerMode {
    /// It keeps more events until one of them is ready for the first time, and pauses after a rejected event.
    #[default]
    Patient,
    /// As in supervisord: the buffer has its size from the start, and a rejected event comes again at once.
    Exact,
}

/// The use of a listener's results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Results {
    /// `OK` accepts the event, and everything else rejects it.
    #[default]
    Judge,
    /// They are output of programs for the daemon's standard output, as the package supervisor-stdout prints it.
    Print,
}

impl ListenerSpec {
    /// Number of events that wait for a listener unless configured.
    pub const BUFFER_SIZE: usize = 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_includes_its_family_and_nothing_else() {
        for &kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.name()), Some(kind));
            assert!(kind.includes(kind) && EventType::Event.includes(kind));
            // The name of a family begins those of its members, which the table could contradict.
            for &other in EventType::ALL {
                let begins = other.name().starts_with(&format!("{}_", kind.name()));
                assert_eq!(
                    kind.includes(other),
                    kind == EventType::Event || kind == other || begins,
                    "{kind:?} {other:?}"
                );
            }
        }
        assert_eq!(EventType::parse("process_state"), None);
    }
}
