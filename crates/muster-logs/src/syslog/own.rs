//! The daemon's own messages for syslog.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use muster_api::Timestamp;
use muster_spec::SyslogSpec;

use super::Syslog;
use super::encoder::{LEAST_ROOM, cut};
use super::message::{Author, Batch, Head, longest};
use crate::Source;
use crate::counters::Counters;

/// The daemon's own messages, with a queue and a connection of their own: programs that flood the receiver push none of them
/// out. Clones share it. Never waits for the receiver.
#[derive(Clone, Debug)]
pub struct OwnSyslog(Arc<Own>);

#[derive(Debug)]
struct Own {
    syslog: Syslog,
    counters: Arc<Counters>,
    head: Head,
    longest: usize,
}

impl OwnSyslog {
    /// The module whose messages report losses and outages of the receiver; they must go elsewhere.
    pub const REPORTS: &str = "muster_logs::syslog";

    /// Starts the thread that sends.
    pub fn start(spec: &SyslogSpec) -> io::Result<OwnSyslog> {
        Ok(OwnSyslog::of(Syslog::start(spec)?, spec))
    }

    fn of(syslog: Syslog, spec: &SyslogSpec) -> OwnSyslog {
        let host = nix::unistd::gethostname().unwrap_or_default();
        let (source, pid) = (Source::Stdout, Some(std::process::id()));
        let author = Author { host: &host.to_string_lossy(), instance: "musterd", source, pid, is_daemon: true };
        let (counters, head, longest) = (Arc::default(), Head::of(author, spec), longest(&spec.address));
        OwnSyslog(Arc::new(Own { syslog, counters, head, longest }))
    }

    /// Sends each line of a message.
    pub fn append(&self, message: &[u8]) {
        let Own { syslog, counters, head, longest } = &*self.0;
        let time = Timestamp::from(SystemTime::now()).to_string();
        let mut batch = Batch::new(Arc::clone(counters));
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        for mut line in message.split(|&byte| byte == b'\n') {
            let mut is_continued = false;
            loop {
                let head = head.at(&time, is_continued);
                let room = longest.saturating_sub(head.len()).max(LEAST_ROOM);
                let end = if line.len() > room { cut(line, room) } else { line.len() };
                batch.put(&head, &line[..end], !is_continued);
                line = &line[end..];
                if line.is_empty() {
                    break;
                }
                is_continued = true;
            }
        }
        syslog.push(batch);
    }

    /// Sends what is queued, for at most this long, and ends.
    pub fn finish(&self, patience: Duration) {
        self.0.syslog.finish(Instant::now() + patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::{SyslogAddress, SyslogFormat};

    fn sent(as_supervisord: bool, message: &str) -> Vec<String> {
        let address = SyslogAddress::Unix("/run/log".into());
        let spec = SyslogSpec { address, format: Some(SyslogFormat::Local), as_supervisord, ..SyslogSpec::default() };
        let syslog = Syslog::to(&spec);
        OwnSyslog::of(syslog.clone(), &spec).append(message.as_bytes());
        let batches: Vec<Batch> = std::iter::from_fn(|| syslog.0.lock().spool.pop()).collect();
        let messages = batches.iter().flat_map(|batch| (0..batch.len()).map(|number| batch.message(number)));
        messages.map(|message| String::from_utf8_lossy(message).into_owned()).collect()
    }

    #[test]
    fn a_message_goes_out_line_by_line_under_the_daemons_name() {
        let pid = std::process::id();
        let expected = [format!("<30>musterd[{pid}]: one"), format!("<30>musterd[{pid}]: two")];
        assert_eq!(sent(false, "one\ntwo\n"), expected);
        assert_eq!(sent(true, "one\n"), ["<30>supervisord: one"]);
    }

    #[test]
    fn a_long_line_goes_out_in_marked_parts() {
        let parts = sent(true, &"x".repeat(20_000));
        assert_eq!(parts.len(), 3);
        assert!(
            parts.iter().all(|part| part.len() <= 8000) && parts[1].starts_with("<30>supervisord: + x"),
            "{parts:?}"
        );
    }
}
