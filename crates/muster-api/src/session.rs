//! Sessions of browsers: `/v1/session`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// A login for a session: a token, or a user name with its password.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionBody {
    /// The token.
    pub token: Option<String>,
    /// The name of a user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
}

impl fmt::Debug for SessionBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBody").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The client as the daemon knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its identity.
    pub by: String,
    /// Its role; `null` if it has none.
    pub role: Option<String>,
    /// Whether a session makes it this.
    pub is_session: bool,
    /// Whether a login would give it another role.
    pub may_log_in: bool,
    /// Whether the connection is encrypted, or cannot leave this machine.
    pub is_encrypted: bool,
    /// When the session ends, unless there are further requests.
    pub expires_at: Option<Timestamp>,
}
