//! Errors: problem details (RFC 9457) of a closed set of kinds.
//!
//! Programs rely on `type`, which is stable; `title`, `detail` and `hint` are for people and may change. To add a kind,
//! add a line to the table below: the OpenAPI document, the reference page's test and the status follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::ActionResult;
use crate::config::Diagnostic;
use crate::route::RouteError;

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
    /// The caller lacks the permission.
    NotAllowed "urn:muster:not-allowed" 403 "not allowed",
    /// There is no such path.
    NoSuchRoute "urn:muster:no-such-route" 404 "no such route",
    /// A name or pattern selects no program; `names` lists them.
    NoSuchProgram "urn:muster:no-such-program" 404 "no such program",
    /// The path exists, but not with this method; `Allow` lists its methods.
    MethodNotAllowed "urn:muster:method-not-allowed" 405 "method not allowed",
    /// The instance has no standard input that can be written to.
    NoStdin "urn:muster:no-stdin" 409 "no standard input to write to",
    /// The client did not send its request in time.
    RequestTimeout "urn:muster:request-timeout" 408 "the request took too long to arrive",
    /// The body is larger than a mebibyte.
    BodyTooLarge "urn:muster:body-too-large" 413 "request body too large",
    /// The configuration has errors, and nothing was changed; `diagnostics` lists them.
    BadConfiguration "urn:muster:bad-configuration" 422 "bad configuration",
    /// An internal error of the daemon.
    Internal "urn:muster:internal" 500 "internal error",
    /// Specified, but not implemented yet.
    NotSupported "urn:muster:not-supported-yet" 501 "not supported yet",
    /// The daemon is shutting down and starts nothing.
    ShuttingDown "urn:muster:shutting-down" 503 "shutting down",
    /// The program does not read its standard input; `written` is the number of bytes of the body written to the pipe.
    NotReading "urn:muster:not-reading" 503 "the program does not read",
    /// Too many concurrent requests.
    Busy "urn:muster:busy" 503 "busy",
    /// Not done when the wait ended; `results` has the progress so far.
    TimedOut "urn:muster:timed-out" 504 "timed out",
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
                Problem::new(ProblemKind::NoSuchRoute, detail).with_hint("GET /openapi.json lists every route")
            }
            RouteError::MethodNotAllowed { .. } => Problem::new(ProblemKind::MethodNotAllowed, detail),
            RouteError::BadParameter { .. } => Problem::new(ProblemKind::BadParameter, detail),
        }
    }
}

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
