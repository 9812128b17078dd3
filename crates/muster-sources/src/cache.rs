//! The last good version of each source, for a start without its server.
//!
//! One file for each source in the state directory, readable by the daemon alone: texts may hold secrets. It is written
//! whole and renamed. A file that another user could have written is not read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_spec::SourceSpec;
use serde::{Deserialize, Serialize};

use crate::edition::{Edition, MOST_BYTES};

/// Larger than any file that is written here: texts as JSON, with escapes.
const LARGEST: u64 = 8 * MOST_BYTES as u64;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The address it was read from: another one has other texts.
    url: String,
    /// When it became active, in Unix time.
    saved_at: u64,
    edition: Edition,
}

fn place(state: &Path, name: &str) -> PathBuf {
    state.join("sources").join(format!("{name}.json"))
}

/// Keeps a version.
pub fn write(state: &Path, spec: &SourceSpec, edition: &Edition) -> io::Result<()> {
    let path = place(state, &spec.name);
    let directory = path.parent().unwrap_or(state);
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let saved_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
    let kept = Kept { url: spec.address.to_string(), saved_at, edition: edition.clone() };
    let text = serde_json::to_vec(&kept).map_err(io::Error::other)?;
    let new = path.with_extension("json.new");
    // A leftover of an earlier attempt, or a link that was put there.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, &path)
}

/// The version that was kept, and its age.
pub fn read(state: &Path, spec: &SourceSpec) -> Option<(Edition, Duration)> {
    let path = place(state, &spec.name);
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let about = file.metadata().ok()?;
    let own = nix::unistd::geteuid().as_raw();
    let is_trusted = about.is_file() && (about.uid() == own || about.uid() == 0) && about.mode() & 0o022 == 0;
    if !is_trusted || about.len() > LARGEST {
        return None;
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text).ok()?;
    let kept: Kept = serde_json::from_slice(&text).ok()?;
    let saved = UNIX_EPOCH.checked_add(Duration::from_secs(kept.saved_at))?;
    let age = SystemTime::now().duration_since(saved).unwrap_or_default();
    (kept.url == spec.address.to_string()).then_some((kept.edition, age))
}
