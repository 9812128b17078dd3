//! The format of messages, and batches of messages.
//!
//! The header comes from `syslog_fmt`, which only writes RFC 5424 into a buffer. The text is the unchanged
//! line. RFC 5424, section 6.4, requires a byte order mark before text that is known to be UTF-8; the encoding of
//! program output is not known.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;
use muster_spec::{SyslogAddress, SyslogFormat, SyslogSpec};
use syslog_fmt::v5424::{self, Config, Formatter, Timestamp};
use syslog_fmt::{Facility, Severity};

use super::outage::Loss;
use crate::Source;
use crate::counters::Counters;

/// RFC 5424, section 6.2.5.
const LONGEST_APP_NAME: usize = 48;

/// Maximum length of a message. Over UDP the size that RFC 5424, section 6.1, requires every receiver to accept; otherwise slightly
/// less than the 8096 bytes that rsyslog accepts by default.
const LONGEST_DATAGRAM: usize = 2048;
const LONGEST: usize = 8000;

/// The maximum length of a message to this address.
pub(super) fn longest(address: &SyslogAddress) -> usize {
    match address {
        SyslogAddress::Udp(..) => LONGEST_DATAGRAM,
        SyslogAddress::Unix(_) | SyslogAddress::Tcp(..) => LONGEST,
    }
}

/// The sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author<'a> {
    pub(super) host: &'a str,
    pub(super) instance: &'a str,
    pub(super) source: Source,
    pub(super) pid: Option<u32>,
    /// Whether it is the daemon itself.
    pub(super) is_daemon: bool,
}

/// The name under which supervisord sends everything.
const SUPERVISORD: &str = "supervisord";

/// The part before the text of a stream's messages.
#[derive(Debug)]
pub(super) struct Head {
    form: Form,
    source: Source,
    severity: Severity,
    /// The beginning of every text.
    prefix: String,
}

#[derive(Debug)]
enum Form {
    Rfc5424(Formatter),
    Local(String),
}

impl Head {
    pub(super) fn of(author: Author<'_>, spec: &SyslogSpec) -> Head {
        let (mut author, mut severity, mut prefix) = (author, severity(author.source), String::new());
        if spec.as_supervisord {
            // The name of a process alone, without its group.
            let name = author.instance.split_once(':').map_or(author.instance, |(_, name)| name);
            prefix = if author.is_daemon { prefix } else { format!("{name} ") };
            (author.instance, author.pid, severity) = (SUPERVISORD, None, Severity::Info);
        }
        let pid = author.pid.map(|pid| pid.to_string());
        let form = match spec.format() {
            SyslogFormat::Rfc5424 => Form::Rfc5424(formatter(author, pid.as_deref(), spec)),
            SyslogFormat::Local => {
                let priority = spec.facility.code() << 3 | severity as u8;
                let pid = pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
                Form::Local(format!("<{priority}>{}{pid}:", author.instance))
            }
        };
        Head { form, source: author.source, severity, prefix }
    }

    /// The header of a message, up to its text. The parts of a line after the first are marked.
    pub(super) fn at(&self, time: &str, is_continued: bool) -> Vec<u8> {
        let mut head = Vec::with_capacity(128);
        match &self.form {
            Form::Rfc5424(formatter) => {
                let id = match (self.source, is_continued) {
                    (Source::Stdout, false) => "stdout",
                    (Source::Stdout, true) => "stdout+",
                    (Source::Stderr, false) => "stderr",
                    (Source::Stderr, true) => "stderr+",
                };
                let time = Timestamp::PreformattedStr(time);
                // Writing into a Vec cannot fail.
                let _ = formatter.write_header(&mut head, self.severity, time, Some(id));
                let _ = v5424::write_nil_value(&mut head);
            }
            Form::Local(tag) => {
                head.extend_from_slice(tag.as_bytes());
                head.extend_from_slice(if is_continued { b" +" } else { b"" });
            }
        }
        head.push(b' ');
        head.extend_from_slice(self.prefix.as_bytes());
        head
    }
}

fn formatter(author: Author<'_>, pid: Option<&str>, spec: &SyslogSpec) -> Formatter {
    let host: String = author.host.chars().filter(char::is_ascii_graphic).collect();
    let name = &author.instance[..author.instance.len().min(LONGEST_APP_NAME)];
    Config {
        facility: Facility::try_from(spec.facility.code()).unwrap_or(Facility::Daemon),
        hostname: Some(&*host).filter(|host| !host.is_empty()),
        app_name: Some(name),
        proc_id: pid,
    }
    .into_formatter()
}

/// The severities of Docker's own syslog driver.
fn severity(source: Source) -> Severity {
    match source {
        Source::Stdout => Severity::Info,
        Source::Stderr => Severity::Err,
    }
}

/// Messages of one instance that are sent together, each preceded by its length: RFC 6587, section 3.4.1.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) counters: Arc<Counters>,
    framed: Vec<u8>,
    ends: Vec<End>,
}

/// Where a message ends, and whether it begins a line: a line in parts counts once.
#[derive(Clone, Copy, Debug)]
struct End {
    at: usize,
    begins_line: bool,
}

impl Batch {
    pub(super) fn new(counters: Arc<Counters>) -> Batch {
        Batch { counters, framed: Vec::new(), ends: Vec::new() }
    }

    pub(super) fn put(&mut self, head: &[u8], text: &[u8], begins_line: bool) {
        // Writing into a Vec cannot fail.
        let _ = write!(self.framed, "{} ", head.len() + text.len());
        self.framed.extend_from_slice(head);
        self.framed.extend_from_slice(text);
        self.ends.push(End { at: self.framed.len(), begins_line });
    }

    pub(super) fn append(&mut self, other: &Batch) {
        let start = self.framed.len();
        self.framed.extend_from_slice(&other.framed);
        self.ends.extend(other.ends.iter().map(|end| End { at: start + end.at, ..*end }));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Its memory cost.
    pub(super) fn size(&self) -> usize {
        self.framed.len() + self.ends.len() * size_of::<End>()
    }

    /// The messages from this one on in the format of a stream.
    pub(super) fn framed_from(&self, first: usize) -> &[u8] {
        &self.framed[self.start(first)..]
    }

    /// The first message that is incomplete after this many bytes of those from `first` on.
    pub(super) fn after(&self, first: usize, bytes: usize) -> usize {
        let gone = self.start(first) + bytes;
        self.ends.partition_point(|end| end.at <= gone)
    }

    /// A message in the format of a datagram.
    pub(super) fn message(&self, number: usize) -> &[u8] {
        let framed = &self.framed[self.range(number)];
        &framed[memchr(b' ', framed).map_or(0, |end| end + 1)..]
    }

    fn start(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |before| self.ends[before].at)
    }

    fn range(&self, number: usize) -> Range<usize> {
        self.start(number)..self.ends[number].at
    }

    /// The loss of one message.
    pub(super) fn loss_of(&self, number: usize) -> Loss {
        Loss { lines: self.ends[number].begins_line.into(), bytes: self.range(number).len() as u64 }
    }

    /// The loss of all messages from this one on.
    pub(super) fn loss_from(&self, first: usize) -> Loss {
        let lines = self.ends[first..].iter().filter(|end| end.begins_line).count();
        Loss { lines: lines as u64, bytes: self.framed_from(first).len() as u64 }
    }

    /// Counts all of it as lost for the instance.
    pub(super) fn lose(&self) -> Loss {
        let lost = self.loss_from(0);
        self.counters.count_dropped(lost.lines, lost.bytes as usize);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_spec::SyslogFacility;

    const TIME: &str = "2026-11-23T06:47:57.123Z";

    fn head(format: SyslogFormat, facility: &str, author: Author<'_>, time: &str, is_continued: bool) -> String {
        let facility = SyslogFacility::ALL.into_iter().find(|(name, _)| *name == facility).expect("it is known").1;
        let spec = SyslogSpec { format: Some(format), facility, ..SyslogSpec::default() };
        String::from_utf8(Head::of(author, &spec).at(time, is_continued)).expect("it is ASCII")
    }

    const WEB: Author<'_> =
        Author { host: "shop-1", instance: "web:3", source: Source::Stdout, pid: Some(4711), is_daemon: false };

    #[test]
    fn a_header_has_the_fields_of_rfc_5424_in_their_order() {
        use SyslogFormat::Rfc5424;
        assert_eq!(head(Rfc5424, "daemon", WEB, TIME, false), format!("<30>1 {TIME} shop-1 web:3 4711 stdout - "));
        assert_eq!(head(Rfc5424, "daemon", WEB, TIME, true), format!("<30>1 {TIME} shop-1 web:3 4711 stdout+ - "));
        let stderr = Author { source: Source::Stderr, ..WEB };
        assert_eq!(head(Rfc5424, "local4", stderr, TIME, false), format!("<163>1 {TIME} shop-1 web:3 4711 stderr - "));
        let unknown = Author { host: "", pid: None, ..WEB };
        assert_eq!(head(Rfc5424, "user", unknown, TIME, false), format!("<14>1 {TIME} - web:3 - stdout - "));
    }

    /// RFC 5424, section 6.5, example 2, except for our MSGID, and severity informational instead of notice.
    #[test]
    fn the_example_of_rfc_5424_without_structured_data_comes_out() {
        let author =
            Author { host: "192.0.2.1", instance: "myproc", source: Source::Stdout, pid: Some(8710), is_daemon: false };
        let mut message = head(SyslogFormat::Rfc5424, "local4", author, "2003-08-24T05:14:15.000003-07:00", false);
        message.push_str("%% It's time to make the do-nuts.");
        let example =
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.";
        assert_eq!(message, example.replace("<165>", "<166>").replace("8710 - -", "8710 stdout -"));
    }

    #[test]
    fn fields_hold_nothing_that_rfc_5424_does_not_allow() {
        let name = "n".repeat(60);
        let author = Author { host: "a b\u{e4}\u{7f}c", instance: &name, ..WEB };
        let told = head(SyslogFormat::Rfc5424, "daemon", author, TIME, false);
        assert_eq!(told, format!("<30>1 {TIME} abc {} 4711 stdout - ", "n".repeat(48)));
    }

    #[test]
    fn the_local_form_is_that_of_syslog_3() {
        assert_eq!(head(SyslogFormat::Local, "daemon", WEB, TIME, false), "<30>web:3[4711]: ");
        assert_eq!(head(SyslogFormat::Local, "daemon", WEB, TIME, true), "<30>web:3[4711]: + ");
        let stderr = Author { source: Source::Stderr, pid: None, ..WEB };
        assert_eq!(head(SyslogFormat::Local, "local7", stderr, TIME, false), "<187>web:3: ");
    }

    #[test]
    fn messages_are_found_again_by_their_numbers_and_by_what_was_written() {
        let mut batch = Batch::new(Arc::default());
        batch.put(b"<30>1 ", b"one 1", true);
        batch.put(b"<30>1 ", b"", false);
        let mut more = Batch::new(Arc::default());
        more.put(b"<30>1 ", b"three", true);
        batch.append(&more);
        assert_eq!(batch.framed_from(0), b"11 <30>1 one 16 <30>1 11 <30>1 three");
        assert_eq!(batch.framed_from(2), b"11 <30>1 three");
        assert_eq!(
            [batch.message(0), batch.message(1), batch.message(2)],
            [&b"<30>1 one 1"[..], b"<30>1 ", b"<30>1 three"]
        );
        let complete: Vec<usize> = [0, 13, 14, 21, 22, 36].map(|bytes| batch.after(0, bytes)).to_vec();
        assert_eq!(complete, [0, 0, 1, 1, 2, 3]);
        assert_eq!([batch.after(1, 7), batch.after(1, 8)], [1, 2]);
        assert_eq!(batch.loss_from(0), Loss { lines: 2, bytes: 36 });
        assert_eq!(batch.loss_of(1), Loss { lines: 0, bytes: 8 });
    }
}
