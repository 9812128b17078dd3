//! Entry points for the fuzz targets in `tests/fuzz`: each passes untrusted bytes to the code that parses them in the
//! daemon.
//!
//! Compiled only for fuzzing (`cfg(fuzzing)`), so that nothing else becomes public.

pub use muster_logs::fuzzing::{log_lines, old_log};
use muster_notify::Message;
pub use muster_server::fuzzing::http_request;

/// A datagram of sd_notify.
pub fn notification(bytes: &[u8]) {
    if let Some(message) = Message::parse(bytes) {
        let texts = [message.status, message.error];
        assert!(texts.iter().flatten().all(|text| !text.contains(char::is_control)));
    }
}

/// The response of a probed server.
pub fn probe_answer(bytes: &[u8]) {
    muster_probes::http::read_foreign(bytes);
}
