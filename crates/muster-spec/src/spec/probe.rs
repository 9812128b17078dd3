//! How it is found out whether a run is ready and well: what is checked, how often, and what follows.
//!
//! Values only. [`crate::health`] counts the answers, the shell asks the questions.

use std::fmt;
use std::time::Duration;

use super::InstanceSpec;
use crate::address::{HostPort, Url};

/// How a run tells that it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadySpec {
    /// sd_notify(3): `READY=1` on `NOTIFY_SOCKET`.
    Notify,
    /// As in s6: a newline on this descriptor of the process.
    Fd(u32),
    /// A line of its output that matches this regular expression.
    Log(String),
    /// This check succeeds once.
    Check(CheckSpec),
}

/// Something that succeeds or fails.
#[derive(Clone, PartialEq, Eq)]
pub enum CheckSpec {
    /// A connection can be made.
    Tcp(HostPort),
    /// A GET is answered with 200 to 399.
    Http(HttpCheck),
    /// A command exits with 0, run as the program is.
    Exec(Vec<String>),
}

/// A GET.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Of what.
    pub url: Url,
    /// With which headers, besides the usual ones. `Host` replaces the one that follows from the address.
    pub headers: Vec<(String, String)>,
}

/// Arguments may be secrets, and inputs and effects are logged at the level `trace`.
impl fmt::Debug for CheckSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckSpec::Tcp(address) => f.debug_tuple("Tcp").field(&format_args!("{address}")).finish(),
            CheckSpec::Http(check) => f.debug_tuple("Http").field(check).finish(),
            CheckSpec::Exec(command) => f.debug_tuple("Exec").field(&command.first()).finish(),
        }
    }
}

/// The values of headers are secrets.
impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpCheck").field("url", &format_args!("{}", self.url)).field("headers", &names).finish()
    }
}

/// What a probe is for, as in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Whether it is still well.
    Liveness,
    /// Whether it can serve now. Never restarts anything.
    Readiness,
    /// Whether it has come up: the other kinds begin after that.
    Startup,
}

/// What follows when a probe has failed too often in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The run has failed: it is stopped, and the policy decides.
    Restart,
    /// It is stopped and stays down.
    Stop,
    /// Everything is stopped.
    Shutdown,
    /// It is shown as unhealthy.
    None,
}

/// A check that is repeated. The defaults are Kubernetes'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Its name in the configuration.
    pub name: String,
    /// What it is for.
    pub kind: ProbeKind,
    /// What is checked.
    pub check: CheckSpec,
    /// How often.
    pub period: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How long after its program was executed a run is first checked.
    pub initial_delay: Duration,
    /// So many successes in a row, and it is well again.
    pub success_threshold: u32,
    /// So many failures in a row, and it is not.
    pub failure_threshold: u32,
    /// What follows then.
    pub on_failure: OnFailure,
}

impl ProbeSpec {
    /// A probe with Kubernetes' defaults.
    pub fn new(name: impl Into<String>, kind: ProbeKind, check: CheckSpec) -> ProbeSpec {
        ProbeSpec {
            name: name.into(),
            kind,
            check,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            initial_delay: Duration::ZERO,
            success_threshold: 1,
            failure_threshold: 3,
            on_failure: if kind == ProbeKind::Readiness { OnFailure::None } else { OnFailure::Restart },
        }
    }
}

/// How long the check of a readiness rule may take.
pub const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// A check that the shell is to carry out, whatever it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueCheck<'a> {
    /// The probe's name, or `ready`.
    pub name: &'a str,
    /// What to check.
    pub check: &'a CheckSpec,
    /// After how long it has failed.
    pub timeout: Duration,
}

impl InstanceSpec {
    /// What is meant by the number of a probe: one of its probes or, after them, the check of its readiness rule.
    pub fn check(&self, probe: usize) -> Option<DueCheck<'_>> {
        match (self.probes.get(probe), &self.ready) {
            (Some(spec), _) => Some(DueCheck { name: &spec.name, check: &spec.check, timeout: spec.timeout }),
            (None, Some(ReadySpec::Check(check))) if probe == self.probes.len() => {
                Some(DueCheck { name: "ready", check, timeout: READY_CHECK_TIMEOUT })
            }
            _ => None,
        }
    }
}
