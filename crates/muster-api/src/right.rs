//! The rights that requests need.

/// The right that a request needs, each with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Get the page, which has no data, or log in: every client may.
    None,
    /// Ask whether the daemon is alive and ready.
    Health,
    /// Read the metrics.
    Metrics,
    /// See programs, their output and the daemon.
    Read,
    /// Change programs, or have the daemon work on what only those who may change it should see.
    Control,
    /// Change the daemon itself.
    Admin,
}

impl Right {
    /// The role that has it.
    pub const fn role(self) -> &'static str {
        match self {
            Right::None => "none",
            Right::Health => "health",
            Right::Metrics => "metrics",
            Right::Read => "read",
            Right::Control => "control",
            Right::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{ENDPOINTS, Endpoint, Method};

    #[test]
    fn looking_takes_the_right_to_read_at_most_and_everything_else_the_right_to_control_at_least() {
        let is_of_admin = |endpoint: &&Endpoint| endpoint.path.starts_with("/v1/debug/");
        // A session begins without any right, and a simulation changes nothing.
        let is_harmless = |endpoint: &&Endpoint| ["/v1/session", "/v1/simulate"].contains(&endpoint.path);
        for endpoint in ENDPOINTS.iter().filter(|it| !is_of_admin(it) && !is_harmless(it)) {
            let is_read = endpoint.method == Method::Get;
            assert_eq!(endpoint.needs <= Right::Read, is_read, "{}", endpoint.operation);
        }
        let least = |operation| ENDPOINTS.iter().find(|it| it.operation == operation).map(|it| it.needs);
        assert_eq!(least("getHealth"), Some(Right::Health));
        assert_eq!(least("getReadiness"), Some(Right::Health));
        assert_eq!(least("getMetrics"), Some(Right::Metrics));
        for operation in ["shutDown", "debugPart", "traceDaemon", "holdSource", "releaseSource"] {
            assert_eq!(least(operation), Some(Right::Admin), "{operation}");
        }
    }
}
