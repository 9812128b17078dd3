//! Divides the limit of descriptors among classes of work.
//!
//! Supervision comes first: the descriptors that the daemon itself, its programs, their probes and log files need are
//! set aside. The rest is divided among clients, so that all of them together never take a descriptor that a program
//! or probe needs. The budget is computed at the start, and again when a reload changes the programs.

use muster_spec::{CheckSpec, InstanceSpec, OutputSpec, ProcessSpec, ReadySpec, Sink, Stdin, Target};

/// Descriptors of the daemon itself, including those open for a moment: /proc, the configuration, a rotation, a
/// lookup.
const OWN: usize = 32;

/// Descriptors needed while an instance is being started.
const STARTING: usize = 3;

/// Descriptors of a connection: its socket, and a duplicate that detects disconnects.
const CONNECTION: usize = 2;

/// Descriptors of a search through log files: the directory, the file, and the next file.
const SEARCH: usize = 3;

/// Maximum number of connections. Each costs about 10 KB while it is open.
const MOST_CONNECTIONS: usize = 256;

/// Number of connections even if programs leave no descriptors: it must be possible to stop them.
const FEWEST_CONNECTIONS: usize = 4;

/// Maximum number of clients that follow logs, in addition. Each costs some 40 KB more while it does not read.
const MOST_FOLLOWERS: usize = 512;

/// Maximum number of clients that follow events. Each may hold one unsent snapshot of all programs.
const MOST_LISTENERS: usize = 64;

/// Maximum number of concurrent responses whose size grows with the number of programs.
const MOST_ANSWERS: usize = 32;

/// Descriptors of a terminal: the daemon's end to read and to write, and the program's.
const TERMINAL: usize = 3;

/// Maximum number of clients that are connected to terminals.
pub const MOST_SHOWN: usize = 16;

/// Descriptors of such a client, besides its connection: both ends of a pipe, and the terminal.
const SHOWN: usize = 3;

/// The resources of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Connections of one listener that do not follow.
    pub connections: usize,
    /// Clients that follow logs.
    pub followers: usize,
    /// Clients that follow events.
    pub listeners: usize,
    /// Searches through log files, each with a thread.
    pub searches: usize,
    /// Large responses. They need no descriptors beyond those of their connections.
    pub answers: usize,
}

impl Budget {
    /// Divides `limit` descriptors, of which these instances need their part. The control socket and each of the other
    /// `listeners` get the same number of connections.
    pub fn of<'a>(limit: u64, instances: impl IntoIterator<Item = &'a InstanceSpec>, listeners: usize) -> Budget {
        let needed = needed(instances) + muster_sys::spawn::reserved(limit);
        let rest = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(needed);
        let share = |part: usize, each: usize, fewest: usize, most: usize| (rest / part / each).clamp(fewest, most);
        Budget {
            connections: share(2 * (1 + listeners), CONNECTION, FEWEST_CONNECTIONS, MOST_CONNECTIONS),
            followers: share(4, CONNECTION, 1, MOST_FOLLOWERS),
            listeners: share(8, CONNECTION, 1, MOST_LISTENERS),
            searches: share(8, SEARCH, 1, muster_logs::MOST_SEARCHES),
            answers: MOST_ANSWERS,
        }
    }
}

/// The number of descriptors that these instances and the daemon need, at most.
pub fn needed<'a>(instances: impl IntoIterator<Item = &'a InstanceSpec>) -> usize {
    let mut has_terminal = false;
    let mut note = |instance: &InstanceSpec| has_terminal |= instance.process.terminal.is_some();
    let of_instances: usize = instances.into_iter().inspect(|instance| note(instance)).map(needed_by).sum();
    OWN + of_instances + if has_terminal { MOST_SHOWN * SHOWN } else { 0 }
}

/// The number of descriptors that one instance needs, at most.
fn needed_by(spec: &InstanceSpec) -> usize {
    let ready = match &spec.ready {
        Some(ReadySpec::Check(check)) => of_check(check),
        Some(_) => 1,
        None => 0,
    };
    let probes: usize = spec.probes.iter().map(|probe| of_check(&probe.check)).sum();
    let stdin = usize::from(matches!(spec.process.stdin, Stdin::Pipe | Stdin::Feed | Stdin::Events));
    let terminal = if spec.process.terminal.is_some() { TERMINAL } else { 0 };
    STARTING + terminal + of_output(&spec.output) + stdin + of_sockets(&spec.process) + ready + probes
}

/// A socket is shared by all instances. A start copies it for a moment, and so does a change of its path's owner or mode.
fn of_sockets(process: &ProcessSpec) -> usize {
    2 * process.sockets.len()
}

/// A command has a pipe, whose other end is open for a moment, and a descriptor for the result of spawning.
fn of_check(check: &CheckSpec) -> usize {
    match check {
        CheckSpec::Exec(_) => 3,
        CheckSpec::Http(_) | CheckSpec::Tcp(_) => 1,
    }
}

/// One pipe per stream; a log file also keeps its directory open.
fn of_output(output: &OutputSpec) -> usize {
    let of_target = |target: &Target| match target {
        Target::Capture(sinks) => {
            1 + 2 * sinks.iter().filter(|sink| matches!(sink, Sink::File(_) | Sink::Auto(_))).count()
        }
        _ => 0,
    };
    of_target(&output.stdout) + output.stderr.as_ref().map_or(0, of_target)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Budget {
        /// The maximum number of descriptors that clients can have.
        fn descriptors(&self) -> usize {
            CONNECTION * (self.connections + self.followers + self.listeners) + SEARCH * self.searches
        }
    }

    #[test]
    fn clients_get_what_supervision_leaves() {
        for limit in [64, 120, 150, 200, 1024, 4096] {
            let budget = Budget::of(limit, [], 0);
            let own = OWN + muster_sys::spawn::reserved(limit);
            assert!(own + budget.descriptors() <= limit as usize, "{limit}: {budget:?}");
        }
        let most = Budget { connections: 256, followers: 512, listeners: 64, searches: 8, answers: 32 };
        assert_eq!(Budget::of(1 << 20, [], 0), most);
        assert_eq!(Budget::of(u64::MAX, [], 0), most);
    }

    #[test]
    fn terminals_and_their_clients_are_counted() {
        let spec = |terminal| {
            InstanceSpec::of("web".to_owned(), ProcessSpec { terminal, ..ProcessSpec::of(vec!["true".to_owned()]) })
        };
        let (without, with) = (spec(None), spec(Some(muster_spec::TerminalSpec::default())));
        assert_eq!(needed([&with, &with]) - needed([&without, &without]), 2 * TERMINAL + MOST_SHOWN * SHOWN);
    }

    #[test]
    fn somebody_can_always_connect() {
        let fewest = Budget { connections: 4, followers: 1, listeners: 1, searches: 1, answers: 32 };
        assert_eq!(Budget::of(0, [], 0), fewest);
    }
}
