//! Errors: problem details (RFC 9457) of a closed set of kinds.
//!
//! Programs rely on `type`, which is stable; `title`, `detail` and `hint` are for people and may change. To add a kind,
//! add a line to the table below: the OpenAPI document, the reference page's test and the status follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::ActionResult;
use crate::config::Diagnostic;
use crate::route::RouteError;
use crate::version::{API_VERSION, SUPPORTED};

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident $uri:literal $status:literal $title:literal,)*) => {
        /// The kind of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ProblemKind {
            $($(#[$doc])* #[serde(rename = $uri)] $variant,)*
            /// A kind added in a later version of the daemon.
            #[serde(other, rename = "about:blank")]
            Unknown,
        }

        impl ProblemKind {
            /// All kinds the daemon sends.
            pub const ALL: &[ProblemKind] = &[$(ProblemKind::$variant),*];

            /// Its stable name, the `type` in JSON.
            pub const fn uri(self) -> &'static str {
                match self { $(ProblemKind::$variant => $uri,)* ProblemKind::Unknown => "about:blank" }
            }

            /// The HTTP status it is sent with.
            pub const fn status(self) -> u16 {
                match self { $(ProblemKind::$variant => $status,)* ProblemKind::Unknown => 500 }
            }

            /// A short description.
            pub const fn title(self) -> &'static str {
                match self { $(ProblemKind::$variant => $title,)* ProblemKind::Unknown => "unknown error" }
            }
        }
    };
}

problems! {
    /// A parameter of the path or the query is invalid.
    BadParameter "urn:muster:bad-parameter" 400 "bad parameter",
    /// The body is missing, not JSON, or not the expected JSON.
    BadBody "urn:muster:bad-body" 400 "bad request body",
    /// The request needs a login, and has none or a wrong one.
    LoginRequired "urn:muster:login-required" 401 "login required",
    /// The caller lacks the permission.
    NotAllowed "urn:muster:not-allowed" 403 "not allowed",
    /// Too many failed logins from this address; `Retry-After` says when to try again.
    TooManyLogins "urn:muster:too-many-logins" 429 "too many failed logins",
    /// The `Host` header does not name this host.
    WrongHost "urn:muster:wrong-host" 421 "wrong host",
    /// A browser sent a body of a type that a form can send.
    WrongType "urn:muster:wrong-type" 415 "wrong content type",
    /// There is no such path.
    NoSuchRoute "urn:muster:no-such-route" 404 "no such route",
    /// The path is of a version of the API that does not exist; `supported` lists those that do.
    NoSuchVersion "urn:muster:no-such-version" 404 "no such version",
    /// A name or pattern selects no program; `names` lists them.
    NoSuchProgram "urn:muster:no-such-program" 404 "no such program",
    /// There is no source of this name.
    NoSuchSource "urn:muster:no-such-source" 404 "no such source",
    /// The path exists, but not with this method; `Allow` lists its methods.
    MethodNotAllowed "urn:muster:method-not-allowed" 405 "method not allowed",
    /// The program differs in its files from the active configuration.
    ConfigurationChanged "urn:muster:configuration-changed" 409 "configuration changed",
    /// A number is not between its bounds.
    OutOfBounds "urn:muster:out-of-bounds" 422 "out of bounds",
    /// The instance has no standard input that can be written to.
    NoStdin "urn:muster:no-stdin" 409 "no standard input to write to",
    /// The request needs `Connection: Upgrade` and `Upgrade: muster-exec/1`.
    UpgradeRequired "urn:muster:upgrade-required" 426 "upgrade required",
    /// No process for the command could be created.
    CannotExecute "urn:muster:cannot-execute" 409 "cannot execute the command",
    /// The client did not send its request in time.
    RequestTimeout "urn:muster:request-timeout" 408 "the request took too long to arrive",
    /// The body is larger than a mebibyte.
    BodyTooLarge "urn:muster:body-too-large" 413 "request body too large",
    /// The configuration has errors, and nothing was changed; `diagnostics` lists them.
    BadConfiguration "urn:muster:bad-configuration" 422 "bad configuration",
    /// A rolling restart has ended with an instance that failed; `results` says which instances were restarted.
    RollFailed "urn:muster:roll-failed" 500 "rolling restart failed",
    /// An internal error of the daemon.
    Internal "urn:muster:internal" 500 "internal error",
    /// Specified, but not implemented yet.
    NotSupported "urn:muster:not-supported-yet" 501 "not supported yet",
    /// The daemon is starting, and waits for its configuration.
    Starting "urn:muster:starting" 503 "starting",
    /// The daemon is shutting down and starts nothing.
    ShuttingDown "urn:muster:shutting-down" 503 "shutting down",
    /// The program does not read its standard input; `written` is the number of bytes of the body written to the pipe.
    NotReading "urn:muster:not-reading" 503 "the program does not read",
    /// Too many concurrent requests.
    Busy "urn:muster:busy" 503 "busy",
    /// A simulation has too many changes, or takes too long.
    TooLong "urn:muster:too-long" 503 "the simulation is too long",
    /// Not done when the wait ended; `results` has the progress so far.
    TimedOut "urn:muster:timed-out" 504 "timed out",
}

impl ProblemKind {
    /// The errors of executing a command.
    pub(crate) const OF_EXEC: &[ProblemKind] = &[
        ProblemKind::BadBody,
        ProblemKind::NoSuchProgram,
        ProblemKind::BodyTooLarge,
        ProblemKind::UpgradeRequired,
        ProblemKind::CannotExecute,
        ProblemKind::ShuttingDown,
    ];

    /// The errors of connecting to a terminal.
    pub(crate) const OF_TERMINAL: &[ProblemKind] = &[
        ProblemKind::BadBody,
        ProblemKind::NoSuchProgram,
        ProblemKind::BodyTooLarge,
        ProblemKind::UpgradeRequired,
        ProblemKind::NoStdin,
    ];
}

/// An error, sent with the media type [`PROBLEM_JSON`](crate::PROBLEM_JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of error.
    #[serde(rename = "type")]
    pub kind: ProblemKind,
    /// A short description of the kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The error in this case.
    pub detail: String,
    /// How to fix it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The names or patterns that select no program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The results so far, one per instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ActionResult>,
    /// The mistakes in the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// Number of bytes of the body written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// The versions of the API that exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported: Vec<String>,
    /// The daemon's version of the API, where the request may be of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

impl Problem {
    /// Creates an error of this kind; `detail` says what is wrong in this case.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            hint: None,
            names: Vec::new(),
            results: Vec::new(),
            diagnostics: Vec::new(),
            written: None,
            supported: Vec::new(),
            api: None,
        }
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the names or patterns that select no program.
    pub fn with_names(mut self, names: Vec<String>) -> Problem {
        self.names = names;
        self
    }

    /// Adds the results so far.
    pub fn with_results(mut self, results: Vec<ActionResult>) -> Problem {
        self.results = results;
        self
    }

    /// Adds the mistakes in the configuration.
    pub fn with_diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Problem {
        self.diagnostics = diagnostics;
        self
    }

    /// Adds the number of bytes written.
    pub fn with_written(mut self, written: u64) -> Problem {
        self.written = Some(written);
        self
    }

    /// Adds the daemon's version of the API.
    fn with_version(mut self) -> Problem {
        self.api = Some(API_VERSION.to_owned());
        self
    }

    /// The error for patterns of a selector that select nothing.
    pub fn no_such_program(names: Vec<String>) -> Problem {
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let detail = format!("no such program: {}", quoted.join(", "));
        Problem::new(ProblemKind::NoSuchProgram, detail).with_names(names)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Problem {
        let detail = error.to_string();
        match error {
            RouteError::NotFound => {
                let problem = Problem::new(ProblemKind::NoSuchRoute, detail);
                problem.with_hint("GET /openapi.json lists every route").with_version()
            }
            RouteError::Unversioned { path } => {
                Problem::new(ProblemKind::NoSuchRoute, detail).with_hint(path).with_version()
            }
            RouteError::NoSuchVersion => {
                let supported = SUPPORTED.iter().map(|&version| version.to_owned()).collect();
                Problem { supported, ..Problem::new(ProblemKind::NoSuchVersion, detail).with_version() }
            }
            RouteError::MethodNotAllowed { .. } => Problem::new(ProblemKind::MethodNotAllowed, detail),
            RouteError::BadParameter { .. } => Problem::new(ProblemKind::BadParameter, detail),
        }
    }
}

/// Errors that any route may answer with.
pub const COMMON_PROBLEMS: &[ProblemKind] = &[
    ProblemKind::BadParameter,
    ProblemKind::LoginRequired,
    ProblemKind::TooManyLogins,
    ProblemKind::WrongHost,
    ProblemKind::WrongType,
    ProblemKind::NotAllowed,
    ProblemKind::MethodNotAllowed,
    ProblemKind::RequestTimeout,
    ProblemKind::Internal,
    ProblemKind::Busy,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_keeps_it_on_the_wire() {
        for (place, &kind) in ProblemKind::ALL.iter().enumerate() {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.uri());
            assert!(ProblemKind::ALL[..place].iter().all(|other| other.uri() != kind.uri()), "{kind:?}");
            assert!((400..600).contains(&kind.status()), "{kind:?}");
        }
    }

    #[test]
    fn a_plain_problem_has_the_five_fields_of_the_standard_but_instance() {
        let json = serde_json::to_value(Problem::new(ProblemKind::BadBody, "no JSON")).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["detail", "status", "title", "type"]);
    }

    #[test]
    fn a_kind_of_a_later_version_is_still_a_problem() {
        let text = r#"{"type":"urn:muster:on-fire","title":"on fire","status":500,"detail":"smoke","extra":1}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!((problem.kind, problem.detail.as_str()), (ProblemKind::Unknown, "smoke"));
    }

    #[test]
    fn names_that_choose_nothing_are_quoted_in_the_text_and_listed() {
        let problem = Problem::no_such_program(vec!["nosuch".to_owned(), "x*".to_owned()]);
        assert_eq!(problem.detail, r#"no such program: "nosuch", "x*""#);
        assert_eq!(problem.names, ["nosuch", "x*"]);
        assert_eq!(problem.status, 404);
    }
}
