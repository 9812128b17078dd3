//! Sources: servers that parts of the configuration are read from.

use serde::{Deserialize, Serialize};

/// `GET /v1/sources`: one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Its state.
    pub state: SourceState,
    /// The server's name for the active version: a revision of etcd, or an entity tag.
    pub revision: Option<String>,
    /// The names of its active texts, in order.
    pub texts: Vec<String>,
    /// How long its version has been active, in seconds; `null` if it has none.
    pub active_for: Option<f64>,
    /// How long ago a version was refused, in seconds; `null` if none is.
    pub refused_for: Option<f64>,
    /// Why a version was refused, or why the server cannot be read.
    pub reason: Option<String>,
    /// Whether a version waits to become active.
    pub is_pending: bool,
    /// Whether new versions are held back.
    pub is_held: bool,
    /// Whether the server answered the last time that it was asked.
    pub is_up: bool,
    /// When the server answered last, in seconds since 1970.
    pub last_contact: Option<f64>,
}

/// The state of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Its last version is active.
    Active,
    /// Its last version was refused; an earlier one is active.
    Refused,
    /// The server cannot be read; the last version is active.
    Unreachable,
    /// New versions are held back.
    Held,
    /// No version is active yet, or a new one waits to become active.
    Waiting,
}

impl SourceState {
    /// All states, in order.
    pub const ALL: [SourceState; 5] =
        [SourceState::Active, SourceState::Refused, SourceState::Unreachable, SourceState::Held, SourceState::Waiting];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            SourceState::Active => "active",
            SourceState::Refused => "refused",
            SourceState::Unreachable => "unreachable",
            SourceState::Held => "held",
            SourceState::Waiting => "waiting",
        }
    }
}

/// An action on a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceVerb {
    /// Hold new versions back.
    Hold,
    /// Let new versions become active again.
    Release,
    /// Ask the server now, and try a refused version again.
    Refresh,
}

impl SourceVerb {
    /// All verbs.
    pub const ALL: [SourceVerb; 3] = [SourceVerb::Hold, SourceVerb::Release, SourceVerb::Refresh];

    pub(crate) const fn operation(self) -> &'static str {
        match self {
            SourceVerb::Hold => "holdSource",
            SourceVerb::Release => "releaseSource",
            SourceVerb::Refresh => "refreshSource",
        }
    }
}
