//! The parameters of query strings.

/// A parameter of a query string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The name of its schema in the OpenAPI document.
    pub schema: &'static str,
    /// Whether it is required.
    pub required: bool,
    /// Its description in the OpenAPI document.
    pub description: &'static str,
}

pub(crate) const WAIT: Parameter = Parameter {
    name: "wait",
    schema: "Seconds",
    required: false,
    description: "How long to wait until it is done; 0, the default, answers as soon as the request is accepted.",
};
pub(crate) const TURN: Parameter = Parameter {
    name: "wait",
    schema: "Seconds",
    required: false,
    description: "How long to wait for a rolling restart of the program that is under way; 0, the default, is as long as it \
                  takes.",
};
pub(crate) const ROLLING: Parameter = Parameter {
    name: "rolling",
    schema: "Positive",
    required: false,
    description: "How many instances of a program to restart at a time, and the next ones when these are ready; by default \
                  as configured.",
};
pub(crate) const SELECT: Parameter = Parameter {
    name: "select",
    schema: "Selector",
    required: false,
    description: "Only these instances; all if omitted.",
};
pub(crate) const FIELDS: Parameter = Parameter {
    name: "fields",
    schema: "FieldNames",
    required: false,
    description: "Only these fields of each instance; all if omitted.",
};
pub(crate) const FOR: Parameter =
    Parameter { name: "for", schema: "WaitFor", required: true, description: "What to wait for." };
pub(crate) const TIMEOUT: Parameter = Parameter {
    name: "timeout",
    schema: "Seconds",
    required: false,
    description: "How long to wait; 0, the default, checks once.",
};

pub(crate) const TIMES: Parameter = Parameter {
    name: "times",
    schema: "Count",
    required: false,
    description: "How many times of each program, from 1, the default, to 20.",
};
pub(crate) const DRY_RUN: Parameter = Parameter {
    name: "dry_run",
    schema: "Flag",
    required: false,
    description: "Only report what would change; false if omitted.",
};
pub(crate) const RESET_SCALE: Parameter = Parameter {
    name: "reset_scale",
    schema: "Flag",
    required: false,
    description: "Give scaled programs the number of instances that the configuration says; false if omitted.",
};
pub(crate) const HOLD_FOR: Parameter = Parameter {
    name: "for",
    schema: "Seconds",
    required: false,
    description: "How long; 0, the default, holds until it is released.",
};
pub(crate) const SECONDS: Parameter = Parameter {
    name: "seconds",
    schema: "Seconds",
    required: false,
    description: "How long, at most 600; 0, the default, is 10.",
};
pub(crate) const STREAM: Parameter =
    Parameter { name: "stream", schema: "LogStream", required: false, description: "Which output; both if omitted." };
pub(crate) const LINES: Parameter = Parameter {
    name: "lines",
    schema: "Count",
    required: false,
    description: "The maximum number of past lines; if omitted 100, or unlimited with `since`.",
};
pub(crate) const SINCE: Parameter =
    Parameter { name: "since", schema: "Since", required: false, description: "Only output read since this time." };
pub(crate) const RUNS_SINCE: Parameter = Parameter {
    name: "since",
    schema: "Since",
    required: false,
    description: "Only runs that had not ended by this time; all that are known if omitted.",
};
pub(crate) const FOLLOW: Parameter = Parameter {
    name: "follow",
    schema: "Flag",
    required: false,
    description: "Whether to continue with new output until the client disconnects.",
};
pub(crate) const FORMAT: Parameter = Parameter {
    name: "format",
    schema: "LogFormat",
    required: false,
    description: "`raw`, the default, is the unmodified bytes; `json` is one entry per line.",
};
