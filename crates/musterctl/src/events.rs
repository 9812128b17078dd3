//! The daemon's events, parsed from server-sent events.

use std::io::{self, BufRead, BufReader};

use muster_api::Event;

use crate::client::{Client, Stream};
use crate::failure::Failure;

/// Maximum size of an event; a snapshot of ten thousand programs is 4 MB.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Follows the daemon's events.
#[derive(Debug)]
pub(crate) struct Events {
    lines: BufReader<Stream>,
}

impl Events {
    /// Follows from now on; a snapshot comes first.
    pub(crate) fn follow(client: &Client) -> Result<Events, Failure> {
        Ok(Events { lines: BufReader::new(client.follow(&muster_api::Route::Events)?) })
    }

    /// Returns the next event and its JSON as soon as it arrives. `None` when the daemon ends the stream. Skips comments and
    /// redundant fields.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Event, String)>> {
        loop {
            let mut line = String::new();
            if io::Read::take(&mut self.lines, LONGEST).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let Some(json) = line.strip_prefix("data:").map(str::trim) else { continue };
            let event = serde_json::from_str(json).map_err(io::Error::from)?;
            return Ok(Some((event, json.to_owned())));
        }
    }
}
