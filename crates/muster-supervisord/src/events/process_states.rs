//! The states of processes as supervisord announces them, made of the core's.
//!
//! The two differ: supervisord goes from RUNNING to EXITED and from there to STARTING where the core waits in BACKOFF, from
//! BACKOFF to FATAL where the core gives up at once, and knows no WAITING. So each process has a state here that listeners
//! have seen, and a change of the core's is announced as the steps from that one.

use std::collections::HashMap;

use muster_spec::{EventType, InstanceId, State};

use super::{Announcement, Speaker};

/// A change of the core's state.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The instance.
    pub instance: InstanceId,
    /// The state it was in.
    pub from: State,
    /// The state it entered.
    pub to: State,
    /// Its names, and the pid of its current or last run.
    pub of: Speaker<'a>,
    /// Whether its last exit was one that the configuration expects.
    pub is_expected: bool,
    /// Whether the daemon is shutting down.
    pub is_shutting_down: bool,
}

/// The state of every process as listeners know it.
#[derive(Debug, Default)]
pub struct ProcessStates(HashMap<InstanceId, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    state: State,
    /// Failed starts in a row.
    tries: u32,
}

impl ProcessStates {
    /// Forgets unwanted instances.
    pub fn retain(&mut self, is_wanted: impl Fn(InstanceId) -> bool) {
        self.0.retain(|&instance, _| is_wanted(instance));
    }

    /// Resets all states: these instances are stopped.
    pub fn begin_again(&mut self, instances: impl IntoIterator<Item = InstanceId>) {
        let stopped = Seen { state: State::Stopped, tries: 0 };
        self.0 = instances.into_iter().map(|instance| (instance, stopped)).collect();
    }

    /// Announces a change, in as many steps as the original makes of it.
    pub fn announce(&mut self, change: Change<'_>) -> Vec<Announcement> {
        let known = |state| if state == State::Waiting { State::Starting } else { state };
        let seen = self.0.entry(change.instance).or_insert(Seen { state: known(change.from), tries: 0 });
        let mut steps = Steps { seen, change, announced: Vec::new() };
        steps.go();
        steps.announced
    }
}

struct Steps<'a> {
    seen: &'a mut Seen,
    change: Change<'a>,
    announced: Vec<Announcement>,
}

impl Steps<'_> {
    fn go(&mut self) {
        match self.change.to {
            State::Starting | State::Waiting => self.start(),
            State::Running => {
                self.seen.tries = 0;
                self.enter(State::Running);
            }
            State::Backoff => self.end(),
            State::Exited => self.exit(),
            State::Fatal => {
                self.end();
                self.seen.tries = 0;
                self.enter(State::Fatal);
            }
            State::Stopping => self.enter(State::Stopping),
            State::Stopped => self.stop(),
        }
    }

    fn start(&mut self) {
        match self.seen.state {
            // Started again as soon as it was stopped.
            State::Stopping => self.stop(),
            // Only a run that was announced as up ends here: the other is a wait whose end is no news.
            State::Running => self.end(),
            _ => {}
        }
        self.enter(State::Starting);
    }

    /// A run has ended by itself, and another is to follow.
    fn end(&mut self) {
        match self.seen.state {
            State::Running => self.exit(),
            State::Starting => {
                self.seen.tries = self.seen.tries.saturating_add(1);
                self.enter(State::Backoff);
            }
            _ => {}
        }
    }

    fn exit(&mut self) {
        self.seen.tries = 0;
        self.enter(State::Exited);
    }

    fn stop(&mut self) {
        self.seen.tries = 0;
        match self.seen.state {
            State::Backoff if self.change.is_shutting_down => self.enter(State::Fatal),
            // The original has nothing to stop.
            State::Exited | State::Fatal if self.change.is_shutting_down => {}
            _ => self.enter(State::Stopped),
        }
    }

    fn enter(&mut self, to: State) {
        let from = std::mem::replace(&mut self.seen.state, to);
        if from == to {
            return;
        }
        let Speaker { process, group, pid } = self.change.of;
        // Nothing of it lives.
        let pid = if from == State::Backoff || from == State::Exited { 0 } else { pid };
        let (kind, rest) = match to {
            State::Starting | State::Waiting => {
                (EventType::ProcessStateStarting, format!(" tries:{}", self.seen.tries))
            }
            State::Backoff => (EventType::ProcessStateBackoff, format!(" tries:{}", self.seen.tries)),
            State::Running => (EventType::ProcessStateRunning, format!(" pid:{pid}")),
            State::Stopping => (EventType::ProcessStateStopping, format!(" pid:{pid}")),
            State::Stopped => (EventType::ProcessStateStopped, format!(" pid:{pid}")),
            State::Exited => {
                let expected = u8::from(self.change.is_expected);
                (EventType::ProcessStateExited, format!(" expected:{expected} pid:{pid}"))
            }
            State::Fatal => (EventType::ProcessStateFatal, String::new()),
        };
        let payload = format!("processname:{process} groupname:{group} from_state:{from}{rest}");
        self.announced.push(Announcement { kind, payload });
    }
}

#[cfg(test)]
mod tests {
    use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Waiting};

    use super::*;

    /// The events of a process that goes through these states of the core, without the names in each payload.
    fn told(states: &[State], is_shutting_down: bool) -> Vec<String> {
        let mut seen = ProcessStates::default();
        let of = Speaker { process: "p", group: "g", pid: 7 };
        let mut told = Vec::new();
        for two in states.windows(2) {
            let change =
                Change { instance: InstanceId(1), from: two[0], to: two[1], of, is_expected: false, is_shutting_down };
            told.extend(seen.announce(change).into_iter().map(|announcement| {
                let kind = announcement.kind.name().strip_prefix("PROCESS_STATE_").unwrap();
                let rest = announcement.payload.strip_prefix("processname:p groupname:g from_state:").unwrap();
                format!("{kind} {rest}")
            }));
        }
        told
    }

    #[test]
    fn the_steps_are_those_of_the_original() {
        let check = |states: &[State], expected: &[&str]| assert_eq!(told(states, false), expected, "{states:?}");
        check(&[Stopped, Starting, Running], &["STARTING STOPPED tries:0", "RUNNING STARTING pid:7"]);
        check(
            &[Stopped, Starting, Backoff, Starting, Backoff, Starting, Fatal],
            &[
                "STARTING STOPPED tries:0",
                "BACKOFF STARTING tries:1",
                "STARTING BACKOFF tries:1",
                "BACKOFF STARTING tries:2",
                "STARTING BACKOFF tries:2",
                "BACKOFF STARTING tries:3",
                "FATAL BACKOFF",
            ],
        );
        check(&[Starting, Fatal, Starting], &["BACKOFF STARTING tries:1", "FATAL BACKOFF", "STARTING FATAL tries:0"]);
        check(&[Running, Backoff, Starting], &["EXITED RUNNING expected:0 pid:7", "STARTING EXITED tries:0"]);
        check(&[Running, Exited], &["EXITED RUNNING expected:0 pid:7"]);
        check(&[Running, Stopping, Stopped], &["STOPPING RUNNING pid:7", "STOPPED STOPPING pid:7"]);
        check(
            &[Running, Stopping, Starting],
            &["STOPPING RUNNING pid:7", "STOPPED STOPPING pid:7", "STARTING STOPPED tries:0"],
        );
        check(&[Starting, Backoff, Stopped], &["BACKOFF STARTING tries:1", "STOPPED BACKOFF pid:0"]);
    }

    #[test]
    fn waiting_is_announced_as_starting() {
        let check = |states: &[State], expected: &[&str]| assert_eq!(told(states, false), expected, "{states:?}");
        check(&[Stopped, Waiting, Starting, Running], &["STARTING STOPPED tries:0", "RUNNING STARTING pid:7"]);
        check(&[Waiting, Starting, Running], &["RUNNING STARTING pid:7"]);
        check(&[Running, Waiting], &["EXITED RUNNING expected:0 pid:7", "STARTING EXITED tries:0"]);
    }

    #[test]
    fn a_shutdown_gives_up_what_is_between_two_starts() {
        assert_eq!(told(&[Starting, Backoff, Stopped], true), ["BACKOFF STARTING tries:1", "FATAL BACKOFF"]);
        assert_eq!(told(&[Running, Backoff, Stopped], true), ["EXITED RUNNING expected:0 pid:7"]);
        assert_eq!(told(&[Running, Stopping, Stopped], true), ["STOPPING RUNNING pid:7", "STOPPED STOPPING pid:7"]);
        assert_eq!(told(&[Fatal, Stopped], true), Vec::<String>::new());
    }

    #[test]
    fn after_a_restart_of_everything_all_begin_as_stopped() {
        let mut seen = ProcessStates::default();
        let of = Speaker { process: "p", group: "g", pid: 7 };
        let change =
            |from, to| Change { instance: InstanceId(1), from, to, of, is_expected: false, is_shutting_down: false };
        seen.announce(change(Stopped, Starting));
        seen.begin_again([InstanceId(1)]);
        let told = seen.announce(change(Waiting, Starting));
        assert_eq!(told[0].payload, "processname:p groupname:g from_state:STOPPED tries:0");
    }
}
