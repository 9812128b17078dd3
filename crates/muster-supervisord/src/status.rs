//! What supervisord says about itself and its processes: states, and the description with uptime.

use crate::xmlrpc::Value;

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessState {
    /// Stopped by request, or never started.
    Stopped = 0,
    /// Started, and not up for `startsecs` yet.
    Starting = 10,
    /// Up.
    Running = 20,
    /// A start failed, and the next one waits.
    Backoff = 30,
    /// Has its stop signal.
    Stopping = 40,
    /// Ended by itself.
    Exited = 100,
    /// Could not be started.
    Fatal = 200,
    /// The original's state of a process that it has lost. The daemon never reports it; other servers may.
    Unknown = 1000,
}

impl ProcessState {
    /// All of them, by number.
    pub const ALL: [ProcessState; 8] = [
        ProcessState::Stopped,
        ProcessState::Starting,
        ProcessState::Running,
        ProcessState::Backoff,
        ProcessState::Stopping,
        ProcessState::Exited,
        ProcessState::Fatal,
        ProcessState::Unknown,
    ];

    /// Its number on the wire.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The state with this number.
    pub fn from_number(number: i64) -> Option<ProcessState> {
        ProcessState::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Its name, such as `RUNNING`.
    pub fn name(self) -> &'static str {
        match self {
            ProcessState::Stopped => "STOPPED",
            ProcessState::Starting => "STARTING",
            ProcessState::Running => "RUNNING",
            ProcessState::Backoff => "BACKOFF",
            ProcessState::Stopping => "STOPPING",
            ProcessState::Exited => "EXITED",
            ProcessState::Fatal => "FATAL",
            ProcessState::Unknown => "UNKNOWN",
        }
    }

    /// Whether a process in this state counts as started: it can be stopped, and not be started.
    pub fn is_up(self) -> bool {
        matches!(self, ProcessState::Starting | ProcessState::Running | ProcessState::Backoff)
    }

    /// Whether a process in this state has ended: its group can be removed.
    pub fn is_down(self) -> bool {
        matches!(self, ProcessState::Stopped | ProcessState::Exited | ProcessState::Fatal | ProcessState::Unknown)
    }

    /// Whether a process in this state can be signalled.
    pub fn is_signallable(self) -> bool {
        matches!(self, ProcessState::Starting | ProcessState::Running | ProcessState::Stopping)
    }
}

/// The state of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonState {
    /// Stops all programs, and starts again with a configuration read from scratch.
    Restarting = 0,
    /// Supervises.
    Running = 1,
    /// Stops all programs, and exits.
    Shutdown = -1,
}

impl DaemonState {
    /// The answer of `getState`.
    pub fn to_value(self) -> Value {
        let name = match self {
            DaemonState::Restarting => "RESTARTING",
            DaemonState::Running => "RUNNING",
            DaemonState::Shutdown => "SHUTDOWN",
        };
        Value::structure([("statecode", Value::Int(self as i64)), ("statename", name.into())])
    }
}

/// A moment in the local time of the machine, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMinute {
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
}

/// A process as `getProcessInfo` answers. Times are seconds since 1970, 0 for never; texts are empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its name within its group.
    pub name: String,
    /// Its group.
    pub group: String,
    /// When it was last started.
    pub start: i64,
    /// When it last ended.
    pub stop: i64,
    /// The present time.
    pub now: i64,
    /// Its state.
    pub state: ProcessState,
    /// Why it could not be started or ended unexpectedly.
    pub spawnerr: String,
    /// Its exit status; -1 after a signal.
    pub exitstatus: i64,
    /// The file of its standard output.
    pub stdout_logfile: String,
    /// The file of its standard error.
    pub stderr_logfile: String,
    /// Its process id, 0 if it does not run.
    pub pid: i64,
    /// The state in words: see [`ProcessInfo::describe`].
    pub description: String,
}

impl ProcessInfo {
    /// The description of its state. `local` converts seconds since 1970.
    pub fn describe(&self, local: impl FnOnce(i64) -> LocalMinute) -> String {
        match self.state {
            ProcessState::Running => format!("pid {}, uptime {}", self.pid, uptime(self.now - self.start)),
            ProcessState::Fatal | ProcessState::Backoff if self.spawnerr.is_empty() => {
                format!("unknown error (try \"tail {}\")", self.name)
            }
            ProcessState::Fatal | ProcessState::Backoff => self.spawnerr.clone(),
            ProcessState::Stopped | ProcessState::Exited if self.start == 0 => "Not started".to_owned(),
            ProcessState::Stopped | ProcessState::Exited => clock_text(local(self.stop)),
            ProcessState::Starting | ProcessState::Stopping | ProcessState::Unknown => String::new(),
        }
    }

    /// The names of its fields, in the order in which they are written.
    pub const FIELDS: [&str; 14] = [
        "name",
        "group",
        "start",
        "stop",
        "now",
        "state",
        "statename",
        "spawnerr",
        "exitstatus",
        "logfile",
        "stdout_logfile",
        "stderr_logfile",
        "pid",
        "description",
    ];

    /// As it is written, in the original's order.
    pub fn into_value(self) -> Value {
        let values = [
            self.name.into(),
            self.group.into(),
            self.start.into(),
            self.stop.into(),
            self.now.into(),
            self.state.number().into(),
            self.state.name().into(),
            self.spawnerr.into(),
            self.exitstatus.into(),
            self.stdout_logfile.as_str().into(),
            self.stdout_logfile.into(),
            self.stderr_logfile.into(),
            self.pid.into(),
            self.description.into(),
        ];
        Value::structure(Self::FIELDS.into_iter().zip(values))
    }

    /// As a server wrote it. `None` if a field is missing or has another type, or the state is unheard of.
    pub fn from_value(value: &Value) -> Option<ProcessInfo> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let number = |field: &str| value.get(field).and_then(Value::as_int);
        Some(ProcessInfo {
            name: text("name")?,
            group: text("group")?,
            start: number("start")?,
            stop: number("stop")?,
            now: number("now")?,
            state: ProcessState::from_number(number("state")?)?,
            spawnerr: text("spawnerr")?,
            exitstatus: number("exitstatus")?,
            stdout_logfile: text("stdout_logfile")?,
            stderr_logfile: text("stderr_logfile")?,
            pid: number("pid")?,
            description: text("description")?,
        })
    }
}

/// `str(timedelta(seconds=…))`; 0 if the clock was set back.
fn uptime(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => time,
        1 => format!("1 day, {time}"),
        days => format!("{days} days, {time}"),
    }
}

/// `%b %d %I:%M %p` in the C locale.
fn clock_text(at: LocalMinute) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS[usize::from(at.month.clamp(1, 12) - 1)];
    let half = if at.hour < 12 { "AM" } else { "PM" };
    format!("{month} {:02} {:02}:{:02} {half}", at.day, (at.hour + 11) % 12 + 1, at.minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(state: ProcessState, change: impl FnOnce(&mut ProcessInfo)) -> String {
        let mut info = ProcessInfo {
            name: "web".to_owned(),
            group: "site".to_owned(),
            start: 1_000,
            stop: 2_000,
            now: 1_005,
            state,
            spawnerr: String::new(),
            exitstatus: 0,
            stdout_logfile: "/var/log/web".to_owned(),
            stderr_logfile: String::new(),
            pid: 7,
            description: String::new(),
        };
        change(&mut info);
        info.describe(|at| LocalMinute { month: 11, day: 8, hour: if at == 2_000 { 13 } else { 0 }, minute: 5 })
    }

    #[test]
    fn descriptions_are_the_original_s() {
        use ProcessState::*;
        let same = |_: &mut ProcessInfo| {};
        assert_eq!(described(Running, same), "pid 7, uptime 0:00:05");
        assert_eq!(described(Running, |it| it.now = 1_000 + 86_400 + 7_384), "pid 7, uptime 1 day, 2:03:04");
        assert_eq!(described(Running, |it| it.now = 1_000 + 30 * 86_400), "pid 7, uptime 30 days, 0:00:00");
        assert_eq!(described(Running, |it| it.now = 0), "pid 7, uptime 0:00:00");
        assert_eq!(described(Fatal, same), "unknown error (try \"tail web\")");
        assert_eq!(described(Backoff, |it| it.spawnerr = "no such file".to_owned()), "no such file");
        assert_eq!(described(Stopped, |it| it.start = 0), "Not started");
        assert_eq!(described(Exited, same), "Nov 08 01:05 PM");
        assert_eq!(described(Exited, |it| it.stop = 0), "Nov 08 12:05 AM");
        assert_eq!(described(Starting, same), "");
    }

    #[test]
    fn a_process_survives_a_round_trip() {
        let info = ProcessInfo {
            name: "a".to_owned(),
            group: "b".to_owned(),
            start: 1,
            stop: 2,
            now: 3,
            state: ProcessState::Exited,
            spawnerr: "Bad exit code -1".to_owned(),
            exitstatus: -1,
            stdout_logfile: "/x".to_owned(),
            stderr_logfile: "/y".to_owned(),
            pid: 0,
            description: "d".to_owned(),
        };
        assert_eq!(ProcessInfo::from_value(&info.clone().into_value()), Some(info));
    }
}
