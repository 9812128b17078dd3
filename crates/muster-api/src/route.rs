//! Requests: one enum that formats a path for a client and parses it for the server.
//!
//! A failed parse says exactly why: the path does not exist (404), it has other methods (405), or which parameter is
//! invalid (400). Selectors are passed on as text; only the supervisor knows what they select.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::debug::DebugPart;
use crate::endpoint::{ENDPOINTS, Endpoint, Method};
use crate::log::{LogQuery, Since};
use crate::percent;
use crate::program_field::ProgramFields;
use crate::query::{Query, bad};
use crate::source::SourceVerb;
use crate::version;

/// The longest time a request may wait for something: eleven and a half days.
pub const MAX_WAIT: Duration = Duration::from_secs(1_000_000);

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The daemon itself.
    Info,
    /// All instances, or the selected ones.
    Programs {
        /// The instances; `None` is all.
        select: Option<String>,
        /// The fields of each; `None` is all.
        fields: Option<ProgramFields>,
    },
    /// One instance with its configuration and its past runs.
    Program {
        /// The instance.
        name: String,
    },
    /// Act on instances.
    Action {
        /// The action.
        verb: Verb,
        /// The instances.
        select: String,
        /// How long to wait until it is done. Zero answers as soon as the request is accepted.
        wait: Duration,
        /// For a restart: how many instances of a program at a time; `None` is as configured.
        rolling: Option<NonZeroU32>,
    },
    /// Answer once a condition holds for all selected instances.
    Wait {
        /// The instances.
        select: String,
        /// The condition.
        until: WaitFor,
        /// How long to wait. Zero checks once.
        timeout: Duration,
    },
    /// The process trees of instances.
    ProgramProcesses {
        /// The instances.
        select: String,
    },
    /// The output of an instance.
    Logs {
        /// The instance.
        name: String,
        /// The wanted part of it.
        query: LogQuery,
    },
    /// Discard the output kept of an instance.
    ClearLogs {
        /// The instance.
        name: String,
    },
    /// Write to an instance's standard input.
    Stdin {
        /// The instance.
        name: String,
    },
    /// Run a command in an instance's context.
    Exec {
        /// The instance.
        name: String,
    },
    /// Connect to the terminal of an instance.
    Terminal {
        /// The instance.
        name: String,
    },
    /// Change the number of instances of a program.
    Scale {
        /// The program.
        name: String,
        /// How long to wait for a rolling restart of it that is under way. Zero is as long as it takes.
        wait: Duration,
    },
    /// The daemon's own log.
    DaemonLog {
        /// The wanted part of it.
        query: LogQuery,
    },
    /// All process trees, and the processes that belong to no program.
    Processes,
    /// Why an instance is in its state.
    Why {
        /// The instance.
        name: String,
    },
    /// The stream of events.
    Events,
    /// The active configuration.
    Config,
    /// The mistakes in the configuration files.
    CheckConfig,
    /// Read the configuration again and apply it.
    Reload {
        /// Only report what would change.
        dry_run: bool,
        /// Give scaled programs the number of instances that the configuration says.
        reset_scale: bool,
    },
    /// The programs that start by a schedule.
    Schedule {
        /// How many times of each; `None` is [`DEFAULT_TIMES`](crate::DEFAULT_TIMES).
        times: Option<usize>,
    },
    /// The servers that parts of the configuration are read from.
    Sources,
    /// Act on one of them.
    Source {
        /// The action.
        verb: SourceVerb,
        /// The source.
        name: String,
        /// How long to hold it; `None` is until it is released.
        span: Option<Duration>,
    },
    /// A part of the daemon.
    Debug {
        /// The part.
        part: DebugPart,
    },
    /// Every input and effect of the rules.
    Trace {
        /// How long.
        span: Duration,
    },
    /// Stop all programs and exit.
    Shutdown,
    /// Is the daemon alive?
    Healthz,
    /// Is the daemon alive?
    Livez,
    /// Is every program ready?
    Readyz,
    /// Metrics for Prometheus.
    Metrics,
    /// The description of this API.
    OpenApi,
    /// The client as the daemon knows it.
    Session,
    /// Begin a session.
    LogIn,
    /// End it.
    LogOut,
    /// The resources that instances use.
    Stats {
        /// The instances; `None` is all.
        select: Option<String>,
    },
    /// The runs of instances.
    Runs {
        /// The instances; `None` is all.
        select: Option<String>,
        /// Only runs that had not ended then; `None` is all that are known.
        since: Option<Since>,
    },
    /// Simulate the life of the daemon from now on.
    Simulate,
    /// The page for browsers.
    Page {
        /// Whether by its address beside supervisord's page, `/ui/`.
        is_beside: bool,
    },
    /// A file of the page.
    PageFile {
        /// Its name.
        file: String,
    },
}

/// An action on instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Set the goal to up.
    Start,
    /// Set the goal to up, and start at the times of the schedule.
    Arm,
    /// Set the goal to down.
    Stop,
    /// Stop, then start.
    Restart,
    /// Send the configured reload signal, or restart a program that has none.
    Reload,
    /// Send the signal in the body.
    Signal,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Verb; 6] = [Verb::Start, Verb::Arm, Verb::Stop, Verb::Restart, Verb::Reload, Verb::Signal];

    /// The last segment of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Arm => "arm",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Signal => "signal",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Verb::Start => "startPrograms",
            Verb::Arm => "armPrograms",
            Verb::Stop => "stopPrograms",
            Verb::Restart => "restartPrograms",
            Verb::Reload => "reloadPrograms",
            Verb::Signal => "signalPrograms",
        }
    }
}

/// A condition that a client can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitFor {
    /// RUNNING, or EXITED with success.
    Running,
    /// Ready to serve: RUNNING and, with a readiness rule or probe, ready; or a oneshot that has succeeded.
    Ready,
    /// Its liveness and readiness probes have passed and are not failing; without any, ready.
    Healthy,
    /// Not running and not about to: STOPPED, EXITED or FATAL.
    Stopped,
    /// Ended by itself and not to be restarted: EXITED or FATAL.
    Exited,
}

impl WaitFor {
    /// All conditions.
    pub const ALL: [WaitFor; 5] =
        [WaitFor::Running, WaitFor::Ready, WaitFor::Healthy, WaitFor::Stopped, WaitFor::Exited];

    /// Its name in the query.
    pub const fn name(self) -> &'static str {
        match self {
            WaitFor::Running => "running",
            WaitFor::Ready => "ready",
            WaitFor::Healthy => "healthy",
            WaitFor::Stopped => "stopped",
            WaitFor::Exited => "exited",
        }
    }

    pub(crate) fn take(query: &mut Query) -> Result<WaitFor, RouteError> {
        let Some(word) = query.take("for") else { return Err(bad("for", "is missing", "")) };
        let known = WaitFor::ALL.into_iter().find(|until| until.name() == word);
        known.ok_or_else(|| bad("for", "must be running, ready, healthy, stopped or exited", &word))
    }
}

/// Why a request matches no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// There is no such path.
    NotFound,
    /// The path is of a version that does not exist.
    NoSuchVersion,
    /// The path lacks the version.
    Unversioned {
        /// The path with it.
        path: &'static str,
    },
    /// The path exists, but not with this method.
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// A parameter of the path or the query is invalid.
    BadParameter {
        /// The parameter.
        name: String,
        /// The reason, phrased to follow the name.
        reason: &'static str,
        /// The value given.
        value: String,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::NotFound | RouteError::Unversioned { .. } => f.write_str("nothing is at this path"),
            RouteError::NoSuchVersion => f.write_str("the API has no such version"),
            RouteError::MethodNotAllowed { allow } => write!(f, "this path takes only {allow}"),
            RouteError::BadParameter { name, reason, value } if value.is_empty() => write!(f, "{name:?} {reason}"),
            RouteError::BadParameter { name, reason, value } => write!(f, "{name:?} {reason}: {value:?}"),
        }
    }
}

impl std::error::Error for RouteError {}

impl Route {
    /// Parses the method and target (path and query) of a request.
    pub fn parse(method: &str, target: &str) -> Result<Route, RouteError> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut others = Vec::new();
        for endpoint in ENDPOINTS {
            let Some(captured) = endpoint.captures(path) else { continue };
            if endpoint.method.is_asked_by(method) {
                return build(endpoint, captured, query);
            }
            others.push(endpoint.method);
        }
        if !others.is_empty() {
            return Err(RouteError::MethodNotAllowed { allow: Method::allow(&others) });
        }
        Err(missing(path))
    }

    /// Its entry in the registry.
    pub fn endpoint(&self) -> &'static Endpoint {
        Endpoint::named(match self {
            Route::Info => "getInfo",
            Route::Programs { .. } => "listPrograms",
            Route::Program { .. } => "getProgram",
            Route::Action { verb, .. } => verb.operation(),
            Route::Wait { .. } => "waitForPrograms",
            Route::ProgramProcesses { .. } => "listProgramProcesses",
            Route::Logs { .. } => "readLogs",
            Route::ClearLogs { .. } => "clearLogs",
            Route::Stdin { .. } => "writeStdin",
            Route::Exec { .. } => "execInProgram",
            Route::Terminal { .. } => "connectTerminal",
            Route::Scale { .. } => "scaleProgram",
            Route::DaemonLog { .. } => "readDaemonLog",
            Route::Processes => "listProcesses",
            Route::Why { .. } => "explainProgram",
            Route::Events => "followEvents",
            Route::Config => "getConfig",
            Route::CheckConfig => "checkConfig",
            Route::Reload { .. } => "reloadConfig",
            Route::Schedule { .. } => "listSchedule",
            Route::Sources => "listSources",
            Route::Source { verb, .. } => verb.operation(),
            Route::Debug { .. } => "debugPart",
            Route::Trace { .. } => "traceDaemon",
            Route::Shutdown => "shutDown",
            Route::Healthz => "getHealth",
            Route::Livez => "getLiveness",
            Route::Readyz => "getReadiness",
            Route::Metrics => "getMetrics",
            Route::OpenApi => "getOpenApi",
            Route::Session => "getSession",
            Route::LogIn => "logIn",
            Route::LogOut => "logOut",
            Route::Stats { .. } => "getStats",
            Route::Runs { .. } => "listRuns",
            Route::Simulate => "simulate",
            Route::Page { is_beside: false } => "showPage",
            Route::Page { is_beside: true } => "showPageBeside",
            Route::PageFile { .. } => "getPageFile",
        })
    }

    /// The method of the request.
    pub fn method(&self) -> Method {
        self.endpoint().method
    }

    /// The path and query of the request.
    pub fn path(&self) -> String {
        let mut path = String::new();
        match self.endpoint().path.split_once('{') {
            None => path.push_str(self.endpoint().path),
            Some((before, rest)) => {
                path.push_str(before);
                // The instance without a name; a path has no empty part.
                let captured = Some(self.captured()).filter(|name| !name.is_empty()).unwrap_or("=");
                percent::encode(&mut path, captured);
                path.push_str(rest.split_once('}').map_or("", |(_, after)| after));
            }
        }
        self.write_query(&mut path);
        path
    }

    fn captured(&self) -> &str {
        match self {
            Route::Program { name }
            | Route::Why { name }
            | Route::Logs { name, .. }
            | Route::ClearLogs { name }
            | Route::Stdin { name }
            | Route::Exec { name }
            | Route::Terminal { name }
            | Route::Scale { name, .. }
            | Route::Source { name, .. } => name,
            Route::PageFile { file } => file,
            Route::Debug { part } => part.name(),
            Route::Action { select, .. } | Route::Wait { select, .. } | Route::ProgramProcesses { select } => select,
            _ => "",
        }
    }

    fn write_query(&self, path: &mut String) {
        match self {
            Route::Programs { select, fields } => {
                let fields = fields.map(|fields| format!("fields={fields}"));
                write_pairs(path, select.as_deref().map(selected).into_iter().chain(fields));
            }
            Route::Stats { select } => write_pairs(path, select.as_deref().map(selected).into_iter()),
            Route::Runs { select, since } => {
                let since = since.map(|since| format!("since={since}"));
                write_pairs(path, select.as_deref().map(selected).into_iter().chain(since));
            }
            Route::Source { span: Some(span), .. } => path.push_str(&format!("?for={}", span.as_secs_f64())),
            Route::Reload { dry_run, reset_scale } => {
                let given = [("dry_run", *dry_run), ("reset_scale", *reset_scale)]
                    .into_iter()
                    .filter(|(_, is_given)| *is_given);
                for (place, (name, _)) in given.enumerate() {
                    path.push_str(&format!("{}{name}=true", if place == 0 { '?' } else { '&' }));
                }
            }
            Route::Scale { wait, .. } if !wait.is_zero() => path.push_str(&format!("?wait={}", wait.as_secs_f64())),
            Route::Schedule { times: Some(times) } => path.push_str(&format!("?times={times}")),
            Route::Trace { span } => path.push_str(&format!("?seconds={}", span.as_secs_f64())),
            Route::Action { wait, rolling, .. } => {
                let wait = (!wait.is_zero()).then(|| format!("wait={}", wait.as_secs_f64()));
                let rolling = rolling.map(|rolling| format!("rolling={rolling}"));
                write_pairs(path, wait.into_iter().chain(rolling));
            }
            Route::Wait { until, timeout, .. } => {
                path.push_str(&format!("?for={}&timeout={}", until.name(), timeout.as_secs_f64()));
            }
            Route::Logs { query, .. } | Route::DaemonLog { query } => query.write(path),
            _ => {}
        }
    }
}

/// The parameter of a selection.
fn selected(select: &str) -> String {
    let mut encoded = "select=".to_owned();
    percent::encode(&mut encoded, select);
    encoded
}

/// Adds the parameters of a query, which are encoded.
fn write_pairs(path: &mut String, pairs: impl Iterator<Item = String>) {
    for (place, given) in pairs.enumerate() {
        path.push(if place == 0 { '?' } else { '&' });
        path.push_str(&given);
    }
}

/// Why there is nothing at this path.
fn missing(path: &str) -> RouteError {
    if version::is_of_another(path) {
        return RouteError::NoSuchVersion;
    }
    let versioned = format!("/v1{path}");
    let twin = ENDPOINTS.iter().find(|endpoint| endpoint.captures(&versioned).is_some());
    twin.map_or(RouteError::NotFound, |endpoint| RouteError::Unversioned { path: endpoint.path })
}

fn build(endpoint: &Endpoint, captured: &str, query: &str) -> Result<Route, RouteError> {
    let name = endpoint.path_parameter().unwrap_or("path");
    let captured = percent::decode(captured).ok_or_else(|| bad(name, "has a broken escape", captured))?;
    let mut query = Query::parse(query)?;
    let route = (endpoint.build)(captured, &mut query)?;
    query.finish()?;
    Ok(route)
}

#[cfg(test)]
mod tests;
