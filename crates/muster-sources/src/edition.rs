//! A version of a source: its texts at one time.

use std::time::Duration;

use muster_config::{RemoteText, has_programs};
use muster_spec::SourceSpec;
use serde::{Deserialize, Serialize};

/// The most bytes that all texts of a source may have.
pub const MOST_BYTES: usize = 1 << 20;

/// One text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Its name within the source.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// The server's name for a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revision {
    /// Nothing.
    #[default]
    None,
    /// A revision of etcd.
    Etcd(i64),
    /// An entity tag.
    Tag(String),
}

impl Revision {
    /// The revision in words.
    pub fn words(&self) -> Option<String> {
        match self {
            Revision::None => None,
            Revision::Etcd(revision) => Some(revision.to_string()),
            Revision::Tag(tag) => Some(tag.clone()),
        }
    }
}

/// The texts of a source at one time, in order of precedence.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Edition {
    /// The texts.
    pub texts: Vec<Text>,
    /// The server's name for this version.
    pub revision: Revision,
}

/// Two editions with the same texts are the same, whatever the server calls them.
impl PartialEq for Edition {
    fn eq(&self, other: &Edition) -> bool {
        self.texts == other.texts
    }
}

impl Edition {
    /// Its texts, as parts of a configuration.
    pub fn texts_of(&self, spec: &SourceSpec) -> Vec<RemoteText> {
        let remote = |text: &Text| RemoteText {
            source: spec.name.clone(),
            shown: spec.shown(&text.name),
            text: text.text.clone(),
        };
        self.texts.iter().map(remote).collect()
    }

    /// Whether any text defines a program.
    pub fn has_programs(&self) -> bool {
        self.texts.iter().any(|text| has_programs(&text.text))
    }
}

/// Why a source has no new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason, in words.
    pub reason: String,
    /// The time after which the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure for this reason.
    pub fn new(reason: impl Into<String>) -> Failure {
        Failure { reason: reason.into(), retry_after: None }
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure::new(reason)
    }
}
