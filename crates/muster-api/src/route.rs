//! Requests: one enum that formats a path for a client and parses it for the server.
//!
//! A failed parse says exactly why: the path does not exist (404), it has other methods (405), or which parameter is
//! invalid (400). Selectors are passed on as text; only the supervisor knows what they select.

use std::fmt;
use std::time::Duration;

use crate::endpoint::{ENDPOINTS, Endpoint, Method};
use crate::log::LogQuery;
use crate::percent;
use crate::query::{Query, bad};

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
}

/// An action on instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Set the goal to up.
    Start,
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
    pub const ALL: [Verb; 5] = [Verb::Start, Verb::Stop, Verb::Restart, Verb::Reload, Verb::Signal];

    /// The last segment of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Signal => "signal",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Verb::Start => "startPrograms",
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
            RouteError::NotFound => f.write_str("nothing is at this path"),
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
        let is_there = !others.is_empty();
        Err(if is_there {
            RouteError::MethodNotAllowed { allow: Method::allow(&others) }
        } else {
            RouteError::NotFound
        })
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
            Route::DaemonLog { .. } => "readDaemonLog",
            Route::Processes => "listProcesses",
            Route::Why { .. } => "explainProgram",
            Route::Events => "followEvents",
            Route::Config => "getConfig",
            Route::CheckConfig => "checkConfig",
            Route::Reload { .. } => "reloadConfig",
            Route::Shutdown => "shutDown",
            Route::Healthz => "getHealth",
            Route::Livez => "getLiveness",
            Route::Readyz => "getReadiness",
            Route::Metrics => "getMetrics",
            Route::OpenApi => "getOpenApi",
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
                percent::encode(&mut path, self.captured());
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
            | Route::Stdin { name } => name,
            Route::Action { select, .. } | Route::Wait { select, .. } | Route::ProgramProcesses { select } => select,
            _ => "",
        }
    }

    fn write_query(&self, path: &mut String) {
        match self {
            Route::Programs { select: Some(select) } => {
                path.push_str("?select=");
                percent::encode(path, select);
            }
            Route::Reload { dry_run: true } => path.push_str("?dry_run=true"),
            Route::Action { wait, .. } if !wait.is_zero() => {
                path.push_str(&format!("?wait={}", wait.as_secs_f64()));
            }
            Route::Wait { until, timeout, .. } => {
                path.push_str(&format!("?for={}&timeout={}", until.name(), timeout.as_secs_f64()));
            }
            Route::Logs { query, .. } | Route::DaemonLog { query } => query.write(path),
            _ => {}
        }
    }
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
mod tests {
    use super::*;
    use crate::log::{LogFormat, LogStream, Since};

    /// One route for every entry of the registry, with all fields set.
    fn examples() -> Vec<Route> {
        let select = "web,db:*".to_owned();
        let second = Duration::from_secs(1);
        let action = |verb| Route::Action { verb, select: select.clone(), wait: second };
        let mut routes = vec![
            Route::Info,
            Route::Programs { select: Some(select.clone()) },
            Route::Program { name: "web:0".to_owned() },
            Route::Wait { select: select.clone(), until: WaitFor::Exited, timeout: second },
            Route::ProgramProcesses { select: select.clone() },
            Route::Logs { name: "web:0".to_owned(), query: log_query(LogStream::Stderr) },
            Route::ClearLogs { name: "web:0".to_owned() },
            Route::Stdin { name: "web:0".to_owned() },
            Route::DaemonLog { query: log_query(LogStream::Both) },
            Route::Processes,
            Route::Why { name: "web:0".to_owned() },
            Route::Events,
            Route::Config,
            Route::CheckConfig,
            Route::Reload { dry_run: true },
            Route::Shutdown,
            Route::Healthz,
            Route::Livez,
            Route::Readyz,
            Route::Metrics,
            Route::OpenApi,
        ];
        routes.extend(Verb::ALL.map(action));
        routes
    }

    fn log_query(stream: LogStream) -> LogQuery {
        let since = Some(Since::Ago(Duration::from_secs(300)));
        LogQuery { stream, lines: Some(7), since, follow: true, format: LogFormat::Json }
    }

    fn parse_back(route: &Route) -> Result<Route, RouteError> {
        Route::parse(route.method().name(), &route.path())
    }

    #[test]
    fn every_entry_of_the_registry_is_a_route_and_every_route_an_entry() {
        let mut of_routes: Vec<&str> = examples().iter().map(|route| route.endpoint().operation).collect();
        let mut of_registry: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.operation).collect();
        of_routes.sort_unstable();
        of_registry.sort_unstable();
        assert_eq!(of_routes, of_registry);
    }

    #[test]
    fn every_route_is_read_back_from_its_path() {
        for route in examples() {
            assert_eq!(parse_back(&route), Ok(route));
        }
    }

    #[test]
    fn paths_are_what_the_reference_says() {
        let web = || "web".to_owned();
        for (route, path) in [
            (Route::Programs { select: None }, "/v1/programs"),
            (Route::Programs { select: Some("w?b".to_owned()) }, "/v1/programs?select=w%3Fb"),
            (Route::Program { name: "web:0".to_owned() }, "/v1/programs/web:0"),
            (Route::Action { verb: Verb::Start, select: web(), wait: Duration::ZERO }, "/v1/programs/web/start"),
            (
                Route::Action { verb: Verb::Stop, select: web(), wait: Duration::from_millis(1500) },
                "/v1/programs/web/stop?wait=1.5",
            ),
            (
                Route::Wait { select: web(), until: WaitFor::Running, timeout: Duration::from_secs(30) },
                "/v1/programs/web/wait?for=running&timeout=30",
            ),
            (Route::Logs { name: web(), query: LogQuery::default() }, "/v1/programs/web/logs"),
            (
                Route::DaemonLog { query: log_query(LogStream::Both) },
                "/v1/logs?lines=7&since=300000ms&follow=true&format=json",
            ),
        ] {
            assert_eq!(route.path(), path);
            assert_eq!(parse_back(&route), Ok(route));
        }
    }

    #[test]
    fn the_wrong_method_is_told_the_right_ones() {
        for (method, target, allow) in [
            ("POST", "/v1/info", "GET, HEAD"),
            ("TRACE", "/healthz", "GET, HEAD"),
            ("GET", "/v1/programs/web/start", "POST"),
            ("DELETE", "/v1/shutdown?x=%zz", "POST"),
            ("POST", "/v1/programs/web/logs", "GET, HEAD, DELETE"),
            ("get", "/v1/info", "GET, HEAD"),
        ] {
            assert_eq!(Route::parse(method, target), Err(RouteError::MethodNotAllowed { allow }), "{method} {target}");
        }
        assert_eq!(Route::parse("HEAD", "/readyz"), Ok(Route::Readyz));
    }

    #[test]
    fn unknown_paths_are_not_found_whatever_the_method() {
        for target in
            ["", "/", "*", "/v1", "/v1/", "/v1/infos", "/v1/info/", "//v1/info", "/v1/programs/", "/v1/programs/a/b/c"]
        {
            assert_eq!(Route::parse("GET", target), Err(RouteError::NotFound), "{target}");
            assert_eq!(Route::parse("BREW", target), Err(RouteError::NotFound), "{target}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (method, target, text) in [
            ("POST", "/v1/programs/web/start?wait=soon", r#""wait" must be a number of seconds: "soon""#),
            ("POST", "/v1/programs/web/start?wiat=5", r#""wiat" is not a parameter of this route: "5""#),
            ("GET", "/v1/programs/w%zz", r#""name" has a broken escape: "w%zz""#),
            ("GET", "/v1/info?verbose", r#""verbose" is not a parameter of this route"#),
            ("POST", "/v1/config/reload?dry_run=yes", r#""dry_run" must be true or false: "yes""#),
            ("GET", "/v1/programs/web/wait", r#""for" is missing"#),
            (
                "GET",
                "/v1/programs/web/wait?for=gone",
                r#""for" must be running, ready, healthy, stopped or exited: "gone""#,
            ),
            ("GET", "/v1/programs/web/logs?lines=all", r#""lines" must be a whole number: "all""#),
            ("GET", "/v1/programs/web/logs?stream=stdin", r#""stream" must be stdout, stderr or both: "stdin""#),
            ("GET", "/v1/logs?stream=stdout", r#""stream" is not a parameter of this route: "stdout""#),
            ("GET", "/v1/logs?follow=1", r#""follow" must be true or false: "1""#),
            (
                "GET",
                "/v1/logs?since=noon",
                r#""since" must be a time such as 2026-11-23T00:34:05Z or a span such as 5m: "noon""#,
            ),
        ] {
            assert_eq!(Route::parse(method, target).unwrap_err().to_string(), text);
        }
    }
}
