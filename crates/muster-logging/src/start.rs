//! The daemon's own messages: tracing, as text, JSON or supervisord's lines, to stderr or a file, and to stdout.
//!
//! The writer never blocks, never fails and never panics: messages go into a bounded queue, for a file too. Without that, a
//! broken or unread stderr would end or freeze PID 1.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use muster_api::{Timestamp, visible};
use muster_load::secrets;
use muster_logs::{Console, Consoles, Memory, OwnFile, OwnSyslog, Source};
use muster_spec::{DaemonSpec, LogFormat, LogLevel, descriptor_of};
use muster_sys::local_time;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::fields::Fields;
use crate::{main_log, supervisord_format};

/// How many bytes of its own messages the daemon keeps in memory.
const REMEMBERED: usize = 64 * 1024;

/// The destinations of messages: the log, and memory for later requests.
#[derive(Clone, Debug)]
struct Destination {
    /// Where the lines go, at most two places.
    consoles: Vec<Console>,
    syslog: Option<OwnSyslog>,
    /// Where messages about syslog itself go instead.
    stderr: Console,
    memory: Arc<Memory>,
    is_json: bool,
}

/// Starts logging as configured. Returns the memory of messages.
pub fn start(spec: &DaemonSpec, consoles: &mut Consoles) -> io::Result<Arc<Memory>> {
    let destinations = open(spec, consoles)?;
    let memory = Memory::of_size(REMEMBERED);
    let is_json = spec.log_format == LogFormat::Json;
    let (syslog, stderr) = (consoles.own_syslog.clone(), consoles.stderr.clone());
    let destination = Destination { consoles: destinations, syslog, stderr, memory: Arc::clone(&memory), is_json };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(destination)
        .fmt_fields(Fields)
        .with_timer(Clock { is_local: !is_json })
        .with_ansi(false)
        .with_target(false)
        // Its default is to print to stderr when writing fails, and that panics when stderr fails too.
        .log_internal_errors(false);
    let lines = match spec.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Supervisord => lines.event_format(supervisord_format::Lines).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(spec)));
    // Only a second call could fail, and there is none.
    let _ = subscriber.try_init();
    // The default hook prints to stderr itself, and would wait there for a reader that does not read.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "this is a bug of musterd, please report it")));
    Ok(memory)
}

/// The places of the log. Standard output and error may be named as files, which they are not.
fn open(spec: &DaemonSpec, consoles: &mut Consoles) -> io::Result<Vec<Console>> {
    let descriptor = spec.log_file.as_deref().and_then(descriptor_of);
    let mut places = match spec.log_file.as_deref() {
        None if spec.log_to_syslog => {
            consoles.own_syslog = Some(OwnSyslog::start(&spec.syslog)?);
            Vec::new()
        }
        None => vec![consoles.stderr.clone()],
        Some(_) if descriptor == Some(2) => vec![consoles.stderr.clone()],
        Some(_) if descriptor == Some(1) => return Ok(vec![consoles.stdout.clone()]),
        Some(path) if path == Path::new("/dev/null") => Vec::new(),
        Some(path) => {
            let opened = OwnFile::open(path, spec.log_rotation, consoles.stderr.clone());
            let unusable = |error: io::Error| {
                io::Error::new(error.kind(), format!("[musterd] logfile: {}: {error}", path.display()))
            };
            let console = Console::to_file(opened.map_err(unusable)?)?;
            consoles.own_log = Some(console.clone());
            vec![console]
        }
    };
    if spec.log_to_stdout {
        places.push(consoles.stdout.clone());
    }
    Ok(places)
}

/// In local time as text where `TZ` is set, otherwise in UTC.
struct Clock {
    is_local: bool,
}

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let now = Timestamp::from(SystemTime::now());
        match local_time::offset(now.unix_ms().div_euclid(1000)) {
            offset if self.is_local && offset != 0 => writer.write_str(&now.in_zone(offset)),
            _ => tracing_subscriber::fmt::time::SystemTime.format_time(writer),
        }
    }
}

/// `RUST_LOG` wins over the configuration, as in every Rust program: `debug`, or `warn,musterd::http=trace`.
fn filter(spec: &DaemonSpec) -> Targets {
    let from_environment = || std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    if spec.log_format == LogFormat::Supervisord {
        return from_environment().unwrap_or_else(|| supervisord_format::filter(spec.log_level));
    }
    let configured = || {
        Targets::new().with_default(match spec.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        })
    };
    // supervisord's lines repeat in its words what these formats say in theirs.
    from_environment().unwrap_or_else(configured).with_target(main_log::TARGET, LevelFilter::OFF)
}

impl<'a> MakeWriter<'a> for Destination {
    type Writer = Message<'a>;

    fn make_writer(&'a self) -> Message<'a> {
        Message { destination: self, is_about_syslog: false }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Message<'a> {
        Message { destination: self, is_about_syslog: about.target().starts_with(OwnSyslog::REPORTS) }
    }
}

/// One message being written; the formatter passes it as a whole.
struct Message<'a> {
    destination: &'a Destination,
    is_about_syslog: bool,
}

impl Write for Message<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // As text, `fields` has escaped everything; JSON itself does not escape all characters that a terminal would
        // interpret.
        let written = bytes.len();
        let mut line = Cow::Borrowed(bytes);
        if self.destination.is_json && line.iter().any(|&byte| byte >= 0x7f) {
            line = Cow::Owned(visible::json(&String::from_utf8_lossy(&line)).into_bytes());
        }
        if let Some(masked) = std::str::from_utf8(&line).ok().and_then(secrets::mask_line) {
            line = Cow::Owned(masked.into_bytes());
        }
        let bytes = &*line;
        self.destination.consoles.iter().for_each(|console| console.append(bytes));
        match &self.destination.syslog {
            None => {}
            // It would be lost as well, and cause the next report.
            Some(_) if self.is_about_syslog => self.destination.stderr.append(bytes),
            Some(syslog) => syslog.append(bytes),
        }
        self.destination.memory.push(Source::Stderr, 0, SystemTime::now(), bytes);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
