//! Clients of supervisord, as released: `tests/clients/install` puts them there.

use std::path::{Path, PathBuf};

use super::skip;

/// The directory of the clients; `None` if they are not installed, which is reported.
pub fn clients() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    if place.join("installed").exists() {
        return Some(place);
    }
    skip("supervisord's clients are not installed (tests/clients/install)");
    None
}
