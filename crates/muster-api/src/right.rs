//! The rights that requests need.

/// The right that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// See programs, their output and the daemon.
    Look,
    /// Change anything, or have the daemon work on what only those who may change it should see.
    Control,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{ENDPOINTS, Method};

    #[test]
    fn looking_takes_the_right_to_look_and_everything_else_the_right_to_control() {
        for endpoint in ENDPOINTS {
            let needs = if endpoint.method == Method::Get { Right::Look } else { Right::Control };
            assert_eq!(endpoint.needs, needs, "{}", endpoint.operation);
        }
    }
}
