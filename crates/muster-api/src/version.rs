//! The version of the API: `1.N`, where N counts additions. Nothing is removed within the first number.

/// The version of this build.
pub const API_VERSION: &str = "1.2";

/// The header of every answer with the daemon's [`API_VERSION`].
pub const API_HEADER: &str = "muster-api";

/// The first segments of paths that exist.
pub const SUPPORTED: &[&str] = &["v1"];

/// Whether a daemon is older or newer than this build, by its version of the API; `None` if that cannot be known. A daemon
/// that does not say it is from before there were versions.
pub fn compare_api(daemon: Option<&str>) -> Option<std::cmp::Ordering> {
    let parts = |version: &str| {
        let (first, second) = version.split_once('.')?;
        Some((first.parse::<u32>().ok()?, second.parse::<u32>().ok()?))
    };
    Some(parts(daemon.unwrap_or("1.0"))?.cmp(&parts(API_VERSION)?))
}

/// Whether a path is of another version.
pub(crate) fn is_of_another(path: &str) -> bool {
    let first = path.strip_prefix('/').and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let number = first.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && !SUPPORTED.contains(&first)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (daemon, expected) in [
            (None, Some(Less)),
            (Some("1.0"), Some(Less)),
            (Some(API_VERSION), Some(Equal)),
            (Some("1.100"), Some(Greater)),
            (Some("2.0"), Some(Greater)),
            (Some("1"), None),
            (Some("one.two"), None),
        ] {
            assert_eq!(compare_api(daemon), expected, "{daemon:?}");
        }
    }

    #[test]
    fn a_path_of_another_version_is_known_by_its_first_segment() {
        for path in ["/v2", "/v2/programs", "/v0/info", "/v10/x", "/v01/info"] {
            assert!(is_of_another(path), "{path}");
        }
        for path in ["/", "/v1", "/v1/v2", "/v", "/v/", "/vx/info", "/v2x", "v2/info", "/programs/v2", "//v2"] {
            assert!(!is_of_another(path), "{path}");
        }
    }
}
