//! Readiness rules and probes: what is checked, how often, and what a failure leads to.
//!
//! Values only. `muster_core::health` counts the results, `musterd` runs the checks.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::InstanceSpec;
use crate::address::{HostPort, Url};

/// How a run signals that it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadySpec {
    /// sd_notify(3): `READY=1` on `NOTIFY_SOCKET`.
    Notify,
    /// A newline on this descriptor of the process, as in s6.
    Fd(u32),
    /// A line of its output matches this regular expression.
    Log(#[serde(skip)] String),
    /// This check succeeds once.
    Check(#[serde(skip, default = "CheckSpec::unknown")] CheckSpec),
}

/// A check that succeeds or fails.
#[derive(Clone, PartialEq, Eq)]
pub enum CheckSpec {
    /// A connection can be established.
    Tcp(HostPort),
    /// A GET request returns a status from 200 to 399.
    Http(HttpCheck),
    /// A command, run with the program's user and environment, exits with 0.
    Exec(Vec<String>),
}

impl CheckSpec {
    /// Stands for a check whose contents are private.
    fn unknown() -> CheckSpec {
        CheckSpec::Exec(Vec::new())
    }
}

/// A GET request.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// The URL requested.
    pub url: Url,
    /// Headers in addition to the usual ones. `Host` replaces the default taken from the URL.
    pub headers: Vec<(String, String)>,
}

/// Arguments may be secrets; inputs and effects are logged at level `trace`.
impl fmt::Debug for CheckSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckSpec::Tcp(address) => f.debug_tuple("Tcp").field(&format_args!("{address}")).finish(),
            CheckSpec::Http(check) => f.debug_tuple("Http").field(check).finish(),
            CheckSpec::Exec(command) => f.debug_tuple("Exec").field(&command.first()).finish(),
        }
    }
}

/// Header values are secrets.
impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpCheck").field("url", &format_args!("{}", self.url)).field("headers", &names).finish()
    }
}

/// The kind of a probe, as in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Whether the run still works.
    Liveness,
    /// Whether it can serve requests now. Never causes a restart.
    Readiness,
    /// Whether it has come up; the other kinds start after that.
    Startup,
}

/// The action when a probe reaches its failure threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run has failed: it is stopped, and the restart policy decides.
    Restart,
    /// It is stopped and stays stopped.
    Stop,
    /// The daemon shuts down.
    Shutdown,
    /// It is only reported as unhealthy.
    None,
}

/// A check that is repeated. The defaults are those of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Its name in the configuration.
    pub name: String,
    /// The kind of probe.
    pub kind: ProbeKind,
    /// The check to run.
    #[serde(skip, default = "CheckSpec::unknown")]
    pub check: CheckSpec,
    /// Time between the starts of two checks.
    pub period: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Delay from the start of a run to its first check.
    pub initial_delay: Duration,
    /// Consecutive successes after which the run is healthy again.
    pub success_threshold: u32,
    /// Consecutive failures after which the run is unhealthy.
    pub failure_threshold: u32,
    /// The action when the failure threshold is reached.
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

/// Timeout of the check of a readiness rule.
pub const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// A check to be run, either of a probe or of the readiness rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueCheck<'a> {
    /// The probe's name, or `ready`.
    pub name: &'a str,
    /// The check to run.
    pub check: &'a CheckSpec,
    /// How long it may take before it counts as failed.
    pub timeout: Duration,
}

impl InstanceSpec {
    /// The check with this number: one of its probes or, after them, the check of its readiness rule.
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
