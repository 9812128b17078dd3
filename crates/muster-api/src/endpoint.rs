//! The registry of routes: one entry for each method and path template.
//!
//! Parsing, formatting, `Allow` and the OpenAPI document are all derived from it. To add a route: a variant of
//! [`Route`](crate::Route), an entry here with the function that builds it, its case in `Route::endpoint`, and a
//! section in `docs/reference/api.md`; tests name whatever is missing.

mod problems;

use self::problems::{
    ACTED, LOGGED_IN, READ, RELOADED, RESTARTED, SCALED, SELECTED, SHUT_DOWN, SIGNALLED, SIMULATED, WAITED, WRITTEN,
};
use crate::JSON;
use crate::METRICS;
use crate::compatible::HTML;
use crate::debug::{self, DebugPart};
use crate::event::EVENT_STREAM;
use crate::log::{JSON_LINES, LogQuery, take_since};
pub use crate::parameter::Parameter;
use crate::parameter::{
    DRY_RUN, FIELDS, FOLLOW, FOR, FORMAT, HOLD_FOR, LINES, RESET_SCALE, ROLLING, RUNS_SINCE, SECONDS, SELECT, SINCE,
    STREAM, TIMEOUT, TIMES, TURN, WAIT,
};
use crate::problem::ProblemKind;
use crate::program_field::ProgramFields;
use crate::query::{Query, bad};
use crate::right::Right;
use crate::route::{Route, RouteError, Verb, WaitFor};
use crate::schedule::MOST_TIMES;
use crate::source::SourceVerb;

/// The methods of routes. `HEAD` is accepted wherever `GET` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Act.
    Post,
    /// Remove.
    Delete,
}

impl Method {
    /// Its name in the request line.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }

    /// The `Allow` header of a path with these methods.
    pub(crate) fn allow(methods: &[Method]) -> &'static str {
        let has = |method| methods.contains(&method);
        match (has(Method::Get), has(Method::Post), has(Method::Delete)) {
            (true, true, true) => "GET, HEAD, POST, DELETE",
            (true, true, false) => "GET, HEAD, POST",
            (true, false, true) => "GET, HEAD, DELETE",
            (true, false, false) => "GET, HEAD",
            (false, true, true) => "POST, DELETE",
            (false, true, false) => "POST",
            (false, false, true) => "DELETE",
            (false, false, false) => "",
        }
    }

    /// Whether a request with the method `word` matches this one.
    pub(crate) fn is_asked_by(self, word: &str) -> bool {
        word == self.name() || (self == Method::Get && word == "HEAD")
    }
}

/// One route of the API.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its unique name; generated clients name their functions after it.
    pub operation: &'static str,
    /// Its method.
    pub method: Method,
    /// The right that a client needs for it.
    pub needs: Right,
    /// Its path, with at most one parameter in braces.
    pub path: &'static str,
    /// A one-line summary.
    pub summary: &'static str,
    /// The parameters of its query.
    pub query: &'static [Parameter],
    /// The schema of its request body, and whether it is required; a body of bytes has the schema `Bytes`.
    pub body: Option<(&'static str, bool)>,
    /// Its successful answers: status and schema.
    pub answers: &'static [(u16, &'static str)],
    /// The media type of these answers.
    pub media_type: &'static str,
    /// The errors it may answer with, besides [`COMMON_PROBLEMS`](crate::COMMON_PROBLEMS).
    pub problems: &'static [ProblemKind],
    pub(crate) build: fn(String, &mut Query) -> Result<Route, RouteError>,
}

/// A route that reads, and the defaults of all others.
pub(crate) const LOOK: Endpoint = Endpoint {
    operation: "",
    method: Method::Get,
    needs: Right::Read,
    path: "",
    summary: "",
    query: &[],
    body: None,
    answers: &[],
    media_type: JSON,
    problems: &[],
    build: |_, _| Err(RouteError::NotFound),
};
const CONTROL: Endpoint = Endpoint { method: Method::Post, needs: Right::Control, ..LOOK };
const ACT: Endpoint =
    Endpoint { query: &[WAIT], answers: &[(200, "ActionReport"), (202, "ActionReport")], problems: ACTED, ..CONTROL };
const PAGE: Endpoint =
    Endpoint { needs: Right::None, media_type: HTML, answers: &[(200, "Text"), (304, "Nothing")], ..LOOK };
const SOURCE: Endpoint = Endpoint { answers: &[(200, "Sources")], problems: &[ProblemKind::NoSuchSource], ..CONTROL };

/// All routes.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        operation: "getInfo",
        path: "/v1/info",
        summary: "The daemon itself",
        answers: &[(200, "Info")],
        build: |_, _| Ok(Route::Info),
        ..LOOK
    },
    Endpoint {
        operation: "listPrograms",
        path: "/v1/programs",
        summary: "All instances, or the selected ones, by name",
        query: &[SELECT, FIELDS],
        answers: &[(200, "Programs")],
        problems: SELECTED,
        build: |_, query| {
            let expected = "must be names of a program's fields, separated by commas";
            let fields = query
                .take("fields")
                .map(|text| ProgramFields::parse(&text).ok_or_else(|| bad("fields", expected, &text)));
            Ok(Route::Programs { select: query.take("select"), fields: fields.transpose()? })
        },
        ..LOOK
    },
    Endpoint {
        operation: "getProgram",
        path: "/v1/programs/{name}",
        summary: "One instance with its configuration and its past runs",
        answers: &[(200, "ProgramDetail")],
        problems: SELECTED,
        build: |name, _| Ok(Route::Program { name }),
        ..LOOK
    },
    Endpoint {
        operation: "startPrograms",
        path: "/v1/programs/{select}/start",
        summary: "Start the selected instances that are not running",
        build: |select, query| action(Verb::Start, select, query),
        ..ACT
    },
    Endpoint {
        operation: "armPrograms",
        path: "/v1/programs/{select}/arm",
        summary: "Have the selected instances start at the times of their schedules, and not now",
        answers: &[(200, "ActionReport")],
        build: |select, query| action(Verb::Arm, select, query),
        ..ACT
    },
    Endpoint {
        operation: "stopPrograms",
        path: "/v1/programs/{select}/stop",
        summary: "Stop the selected instances, including all their processes",
        build: |select, query| action(Verb::Stop, select, query),
        ..ACT
    },
    Endpoint {
        operation: "restartPrograms",
        path: "/v1/programs/{select}/restart",
        summary: "Stop the selected instances that are running, then start all of them; with `rolling`, some at a time",
        query: &[WAIT, ROLLING],
        problems: RESTARTED,
        build: |select, query| {
            let wait = query.take_seconds("wait")?;
            let rolling = query.take_number("rolling", "must be a number, at least 1", |_| true)?;
            Ok(Route::Action { verb: Verb::Restart, select, wait, rolling })
        },
        ..ACT
    },
    Endpoint {
        operation: "reloadPrograms",
        path: "/v1/programs/{select}/reload",
        summary: "Send each instance its `reloadsignal`; restart those without one",
        build: |select, query| action(Verb::Reload, select, query),
        ..ACT
    },
    Endpoint {
        operation: "signalPrograms",
        path: "/v1/programs/{select}/signal",
        summary: "Send a signal to the selected instances that are running",
        body: Some(("SignalBody", true)),
        // The answer is sent after the signal; `wait` is accepted so that all verbs take the same parameters.
        answers: &[(200, "ActionReport")],
        problems: SIGNALLED,
        build: |select, query| action(Verb::Signal, select, query),
        ..ACT
    },
    Endpoint {
        operation: "scaleProgram",
        path: "/v1/programs/{name}/scale",
        summary: "Change the number of instances of a program",
        query: &[TURN],
        body: Some(("ScaleBody", true)),
        answers: &[(200, "ScaleReport")],
        problems: SCALED,
        build: |name, query| Ok(Route::Scale { name, wait: query.take_seconds("wait")? }),
        ..CONTROL
    },
    Endpoint {
        operation: "waitForPrograms",
        path: "/v1/programs/{select}/wait",
        summary: "Answer once the condition holds for all selected instances",
        query: &[FOR, TIMEOUT],
        answers: &[(200, "ActionReport")],
        problems: WAITED,
        build: |select, query| {
            let until = WaitFor::take(query)?;
            Ok(Route::Wait { select, until, timeout: query.take_seconds("timeout")? })
        },
        ..LOOK
    },
    Endpoint {
        operation: "listProgramProcesses",
        path: "/v1/programs/{select}/processes",
        summary: "The process trees of the selected instances",
        answers: &[(200, "Processes")],
        problems: SELECTED,
        build: |select, _| Ok(Route::ProgramProcesses { select }),
        ..LOOK
    },
    Endpoint {
        operation: "readLogs",
        path: "/v1/programs/{name}/logs",
        summary: "The recent output of an instance, optionally followed by new output",
        query: &[STREAM, LINES, SINCE, FOLLOW, FORMAT],
        answers: &[(200, "LogEntry")],
        media_type: JSON_LINES,
        problems: READ,
        build: |name, query| Ok(Route::Logs { name, query: LogQuery::take(query)? }),
        ..LOOK
    },
    Endpoint {
        operation: "clearLogs",
        method: Method::Delete,
        path: "/v1/programs/{name}/logs",
        summary: "Discard the output kept of an instance, and truncate its log files",
        answers: &[(204, "Nothing")],
        problems: SELECTED,
        build: |name, _| Ok(Route::ClearLogs { name }),
        ..CONTROL
    },
    Endpoint {
        operation: "writeStdin",
        path: "/v1/programs/{name}/stdin",
        summary: "Write to the standard input of an instance with `stdin = \"pipe\"` or `tty`",
        body: Some(("Bytes", true)),
        answers: &[(200, "StdinReport")],
        problems: WRITTEN,
        build: |name, _| Ok(Route::Stdin { name }),
        ..CONTROL
    },
    Endpoint {
        operation: "execInProgram",
        needs: Right::Admin,
        path: "/v1/programs/{name}/exec",
        summary: "Run a command in the context of an instance; `Upgrade: muster-exec/1` connects its streams",
        body: Some(("ExecBody", true)),
        answers: &[(101, "Nothing")],
        problems: ProblemKind::OF_EXEC,
        build: |name, _| Ok(Route::Exec { name }),
        ..CONTROL
    },
    Endpoint {
        operation: "connectTerminal",
        path: "/v1/programs/{name}/terminal",
        summary: "Connect to the terminal of an instance with `tty`; `Upgrade: muster-exec/1` carries its output and input",
        body: Some(("TerminalSize", false)),
        answers: &[(101, "Nothing")],
        problems: ProblemKind::OF_TERMINAL,
        build: |name, _| Ok(Route::Terminal { name }),
        ..CONTROL
    },
    Endpoint {
        operation: "readDaemonLog",
        path: "/v1/logs",
        summary: "The daemon's own log",
        query: &[LINES, SINCE, FOLLOW, FORMAT],
        answers: &[(200, "LogEntry")],
        media_type: JSON_LINES,
        problems: &[ProblemKind::Busy],
        build: |_, query| Ok(Route::DaemonLog { query: LogQuery::take_common(query)? }),
        ..LOOK
    },
    Endpoint {
        operation: "listProcesses",
        path: "/v1/processes",
        summary: "All process trees, and the processes that belong to no program",
        answers: &[(200, "Processes")],
        build: |_, _| Ok(Route::Processes),
        ..LOOK
    },
    Endpoint {
        operation: "explainProgram",
        path: "/v1/programs/{name}/why",
        summary: "Why an instance is in its state: what happened, what was decided, what comes next",
        answers: &[(200, "Why")],
        problems: SELECTED,
        build: |name, _| Ok(Route::Why { name }),
        ..LOOK
    },
    Endpoint {
        operation: "followEvents",
        path: "/v1/events",
        summary: "A snapshot, then a stream of events until the client disconnects; `Last-Event-ID` resumes",
        answers: &[(200, "Event")],
        media_type: EVENT_STREAM,
        build: |_, _| Ok(Route::Events),
        ..LOOK
    },
    Endpoint {
        operation: "getConfig",
        path: "/v1/config",
        summary: "The active configuration, without secrets",
        answers: &[(200, "Config")],
        build: |_, _| Ok(Route::Config),
        ..LOOK
    },
    Endpoint {
        operation: "checkConfig",
        path: "/v1/config/check",
        summary: "All mistakes in the current configuration files; nothing is changed",
        answers: &[(200, "ConfigReport")],
        build: |_, _| Ok(Route::CheckConfig),
        ..CONTROL
    },
    Endpoint {
        operation: "reloadConfig",
        path: "/v1/config/reload",
        summary: "Read the configuration again and apply the differences",
        query: &[DRY_RUN, RESET_SCALE],
        answers: &[(200, "ReloadReport")],
        problems: RELOADED,
        build: |_, query| {
            let (dry_run, reset_scale) = (query.take_flag("dry_run")?, query.take_flag("reset_scale")?);
            Ok(Route::Reload { dry_run, reset_scale })
        },
        ..CONTROL
    },
    Endpoint {
        operation: "listSchedule",
        path: "/v1/schedule",
        summary: "The programs that start by a schedule, and their next times",
        query: &[TIMES],
        answers: &[(200, "Schedule")],
        build: |_, query| {
            let fits = |times: &usize| (1..=MOST_TIMES).contains(times);
            Ok(Route::Schedule { times: query.take_number("times", "must be a whole number from 1 to 20", fits)? })
        },
        ..LOOK
    },
    Endpoint {
        operation: "listSources",
        path: "/v1/sources",
        summary: "The servers that parts of the configuration are read from",
        answers: &[(200, "Sources")],
        build: |_, _| Ok(Route::Sources),
        ..LOOK
    },
    Endpoint {
        operation: "holdSource",
        needs: Right::Admin,
        path: "/v1/sources/{name}/hold",
        summary: "Hold new versions of a source back",
        query: &[HOLD_FOR],
        build: |name, query| {
            let span = query.take_seconds("for")?;
            Ok(Route::Source { verb: SourceVerb::Hold, name, span: Some(span).filter(|span| !span.is_zero()) })
        },
        ..SOURCE
    },
    Endpoint {
        operation: "releaseSource",
        needs: Right::Admin,
        path: "/v1/sources/{name}/release",
        summary: "Let new versions of a source become active again",
        build: |name, _| Ok(Route::Source { verb: SourceVerb::Release, name, span: None }),
        ..SOURCE
    },
    Endpoint {
        operation: "refreshSource",
        path: "/v1/sources/{name}/refresh",
        summary: "Ask the server of a source now, and try a refused version again",
        build: |name, _| Ok(Route::Source { verb: SourceVerb::Refresh, name, span: None }),
        ..SOURCE
    },
    Endpoint {
        operation: "traceDaemon",
        needs: Right::Admin,
        path: "/v1/debug/trace",
        summary: "Every input and effect of the rules, as they happen, while `[http] debug` is on",
        query: &[SECONDS],
        answers: &[(200, "Debugging")],
        media_type: JSON_LINES,
        problems: &[ProblemKind::NoSuchRoute],
        build: |_, query| Ok(Route::Trace { span: debug::take_span(query)? }),
        ..LOOK
    },
    Endpoint {
        operation: "debugPart",
        needs: Right::Admin,
        path: "/v1/debug/{part}",
        summary: "A part of the daemon, while `[http] debug` is on; otherwise there is no such route",
        answers: &[(200, "Debugging")],
        problems: &[ProblemKind::NoSuchRoute],
        build: |part, _| {
            let part = DebugPart::named(&part).ok_or(RouteError::NotFound)?;
            Ok(Route::Debug { part })
        },
        ..LOOK
    },
    Endpoint {
        operation: "shutDown",
        needs: Right::Admin,
        path: "/v1/shutdown",
        summary: "Stop all programs in order and exit",
        body: Some(("ShutdownBody", false)),
        answers: &[(202, "Info")],
        problems: SHUT_DOWN,
        build: |_, _| Ok(Route::Shutdown),
        ..CONTROL
    },
    Endpoint {
        operation: "getHealth",
        needs: Right::Health,
        path: "/healthz",
        summary: "200 while the daemon's event loop runs",
        answers: &[(200, "Alive")],
        build: |_, _| Ok(Route::Healthz),
        ..LOOK
    },
    Endpoint {
        operation: "getLiveness",
        needs: Right::Health,
        path: "/livez",
        summary: "200 while the daemon's event loop runs",
        answers: &[(200, "Alive")],
        build: |_, _| Ok(Route::Livez),
        ..LOOK
    },
    Endpoint {
        operation: "getReadiness",
        needs: Right::Health,
        path: "/readyz",
        summary: "200 if every autostarted program is ready or has succeeded and none is unhealthy, otherwise 503",
        answers: &[(200, "Ready"), (503, "Ready")],
        build: |_, _| Ok(Route::Readyz),
        ..LOOK
    },
    Endpoint {
        operation: "getMetrics",
        needs: Right::Metrics,
        path: "/metrics",
        summary: "Metrics in the text format of Prometheus",
        answers: &[(200, "Metrics")],
        media_type: METRICS,
        build: |_, _| Ok(Route::Metrics),
        ..LOOK
    },
    Endpoint {
        operation: "getOpenApi",
        path: "/openapi.json",
        summary: "The OpenAPI 3.1 document of this API",
        answers: &[(200, "OpenApi")],
        build: |_, _| Ok(Route::OpenApi),
        ..LOOK
    },
    Endpoint {
        operation: "getStats",
        path: "/v1/stats",
        summary: "The processors and the memory that instances use",
        query: &[SELECT],
        answers: &[(200, "Stats")],
        problems: SELECTED,
        build: |_, query| Ok(Route::Stats { select: query.take("select") }),
        ..LOOK
    },
    Endpoint {
        operation: "listRuns",
        path: "/v1/runs",
        summary: "The runs of instances over time: when each began, when and how it ended",
        query: &[SELECT, RUNS_SINCE],
        answers: &[(200, "Runs")],
        problems: SELECTED,
        build: |_, query| Ok(Route::Runs { select: query.take("select"), since: take_since(query)? }),
        ..LOOK
    },
    Endpoint {
        operation: "simulate",
        method: Method::Post,
        path: "/v1/simulate",
        summary: "What would happen from now on, if runs ended as scripts say; nothing is changed",
        body: Some(("SimulateBody", true)),
        answers: &[(200, "Simulation")],
        problems: SIMULATED,
        build: |_, _| Ok(Route::Simulate),
        ..LOOK
    },
    Endpoint {
        operation: "getSession",
        path: "/v1/session",
        summary: "The client as the daemon knows it: its identity and its role",
        needs: Right::None,
        answers: &[(200, "Session")],
        build: |_, _| Ok(Route::Session),
        ..LOOK
    },
    Endpoint {
        operation: "logIn",
        method: Method::Post,
        path: "/v1/session",
        summary: "Begin a session: a cookie in place of a token or a password, for browsers",
        needs: Right::None,
        body: Some(("SessionBody", true)),
        answers: &[(200, "Session")],
        problems: LOGGED_IN,
        build: |_, _| Ok(Route::LogIn),
        ..LOOK
    },
    Endpoint {
        operation: "logOut",
        method: Method::Delete,
        path: "/v1/session",
        summary: "End the session of this request, if it has one",
        needs: Right::None,
        answers: &[(204, "Nothing")],
        build: |_, _| Ok(Route::LogOut),
        ..LOOK
    },
    Endpoint {
        operation: "showPage",
        path: "/",
        summary: "The page for browsers; without data, which it fetches with the rights of its user",
        build: |_, query| page(false, query),
        ..PAGE
    },
    Endpoint {
        operation: "showPageBeside",
        path: "/ui/",
        summary: "The same page, where `/` is supervisord's",
        build: |_, query| page(true, query),
        ..PAGE
    },
    Endpoint {
        operation: "getPageFile",
        path: "/ui/{file}",
        summary: "A file of the page",
        media_type: "*/*",
        problems: &[ProblemKind::NoSuchRoute],
        build: |file, query| {
            query.ignore();
            Ok(Route::PageFile { file })
        },
        ..PAGE
    },
];

/// Addresses of pages are passed on with parameters of others, such as those of a search.
fn page(is_beside: bool, query: &mut Query) -> Result<Route, RouteError> {
    query.ignore();
    Ok(Route::Page { is_beside })
}

fn action(verb: Verb, select: String, query: &mut Query) -> Result<Route, RouteError> {
    Ok(Route::Action { verb, select, wait: query.take_seconds("wait")?, rolling: None })
}

impl Endpoint {
    /// The name of the parameter in its path, if there is one.
    pub fn path_parameter(&self) -> Option<&'static str> {
        let (_, rest) = self.path.split_once('{')?;
        Some(rest.split_once('}')?.0)
    }

    /// Whether `path` matches this template; if so, the part matched by its parameter, still encoded.
    pub(crate) fn captures<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some((before, rest)) = self.path.split_once('{') else {
            return (path == self.path).then_some("");
        };
        let (_, after) = rest.split_once('}')?;
        let captured = path.strip_prefix(before)?.strip_suffix(after)?;
        (!captured.is_empty() && !captured.contains('/')).then_some(captured)
    }

    /// The entry of this operation.
    pub(crate) fn named(operation: &str) -> &'static Endpoint {
        let found = ENDPOINTS.iter().find(|endpoint| endpoint.operation == operation);
        found.expect("every route's operation is in the registry, which a test checks")
    }
}

#[cfg(test)]
mod tests;
