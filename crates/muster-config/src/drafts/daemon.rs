//! `[musterd]`: the daemon itself.

use std::collections::BTreeMap;

use muster_spec::{
    DaemonSpec, ExitStatus, LogFormat, LogLevel, Rotation, RpcDuringShutdown, SecondSignal, ShutdownBudget,
    ShutdownOrder, SyslogFacility, SyslogFormat, SyslogSpec,
};

use crate::diagnostic::Place;
use crate::drafts::environment::read_environment;
use crate::drafts::rotation;
use crate::drafts::schedule::read_timezone;
use crate::drafts::syslog::read_address;
use crate::drafts::users::read_user;
use crate::field::Field;

/// The state of `[musterd]` while its keys are read.
pub(crate) struct DaemonDraft {
    pub(crate) spec: DaemonSpec,
    /// The environment of every program, each value with whether it is a secret.
    pub(crate) environment: BTreeMap<String, (String, bool)>,
    /// The place of shutdown_timeout, if given.
    pub(crate) shutdown_timeout_at: Option<Place>,
}

impl Default for DaemonDraft {
    fn default() -> DaemonDraft {
        let spec = DaemonSpec {
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            log_file: None,
            log_to_syslog: false,
            log_to_stdout: false,
            log_rotation: Rotation::DEFAULT,
            shutdown_timeout: ShutdownBudget::DEFAULT,
            shutdown_order: ShutdownOrder::default(),
            exit_status: ExitStatus::default(),
            second_signal: SecondSignal::default(),
            rpc_during_shutdown: RpcDuringShutdown::default(),
            least_limits: Vec::new(),
            exit_when_done: true,
            max_parallel_starts: 0,
            user: None,
            pidfile: None,
            umask: 0o022,
            directory: None,
            watch: false,
            state_dir: None,
            timezone: "UTC".to_owned(),
            syslog: SyslogSpec::default(),
            auto_logs: None,
        };
        DaemonDraft { spec, environment: BTreeMap::new(), shutdown_timeout_at: None }
    }
}

/// The greatest `max_parallel_starts`.
pub(crate) const MOST_STARTS: i64 = 10_000;

/// Names of supervisord's levels that differ from ours.
const FOREIGN_LEVELS: [(&str, &str); 4] =
    [("warning", "warn"), ("critical", "error"), ("blather", "trace"), ("notice", "info")];

impl DaemonDraft {
    pub(crate) fn loglevel(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        let word = text.text.to_ascii_lowercase();
        if let Some(&(_, level)) = LogLevel::ALL.iter().find(|(name, _)| *name == word) {
            self.spec.log_level = level;
        } else if let Some((_, ours)) = FOREIGN_LEVELS.iter().find(|(name, _)| *name == word) {
            field.expected_with_hint("error, warn, info, debug or trace", format!("loglevel = {ours:?}"));
        } else if word.contains(['=', ',']) {
            field.error_with_hint(
                format_args!("does not support filters yet: {}", field.shown()),
                "one level for everything: error, warn, info, debug or trace",
            );
        } else {
            field.choice(&LogLevel::ALL);
        }
    }

    pub(crate) fn logformat(&mut self, field: &Field<'_>) {
        if let Some(format) = field.choice(&LogFormat::ALL) {
            self.spec.log_format = format;
        }
    }

    pub(crate) fn logfile(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        self.spec.log_to_syslog = text.text == "syslog";
        let is_file = !text.text.is_empty() && text.text != "-" && !self.spec.log_to_syslog;
        self.spec.log_file = if is_file { field.resolved(&text.text) } else { None };
    }

    pub(crate) fn log_to_stdout(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.spec.log_to_stdout = flag;
        }
    }

    pub(crate) fn logfile_max_size(&mut self, field: &Field<'_>) {
        rotation::max_size(&mut self.spec.log_rotation, field);
    }

    pub(crate) fn logfile_max_files(&mut self, field: &Field<'_>) {
        rotation::max_files(&mut self.spec.log_rotation, field);
    }

    pub(crate) fn logfile_compress(&mut self, field: &Field<'_>) {
        rotation::compress(&mut self.spec.log_rotation, field);
    }

    pub(crate) fn shutdown_timeout(&mut self, field: &Field<'_>) {
        let budget = match field.value.literal() {
            Some("unlimited") => Some(ShutdownBudget::Unlimited),
            Some("none" | "infinity") => {
                field.expected_with_hint("a duration or \"unlimited\"", "shutdown_timeout = \"unlimited\"");
                None
            }
            _ => field.duration().map(ShutdownBudget::Within),
        };
        if let Some(budget) = budget {
            self.spec.shutdown_timeout = budget;
            self.shutdown_timeout_at = Some(field.place());
        }
    }

    pub(crate) fn shutdown(&mut self, field: &Field<'_>) {
        if let Some(order) = field.choice(&ShutdownOrder::ALL) {
            self.spec.shutdown_order = order;
        }
    }

    pub(crate) fn exit_status(&mut self, field: &Field<'_>) {
        if let Some(rule) = field.choice(&ExitStatus::ALL) {
            self.spec.exit_status = rule;
        }
    }

    pub(crate) fn rpc_during_shutdown(&mut self, field: &Field<'_>) {
        if let Some(answers) = field.choice(&RpcDuringShutdown::ALL) {
            self.spec.rpc_during_shutdown = answers;
        }
    }

    pub(crate) fn second_signal(&mut self, field: &Field<'_>) {
        if let Some(effect) = field.choice(&SecondSignal::ALL) {
            self.spec.second_signal = effect;
        }
    }

    pub(crate) fn exit_when_done(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.spec.exit_when_done = flag;
        }
    }

    pub(crate) fn max_parallel_starts(&mut self, field: &Field<'_>) {
        if let Some(most) = field.integer(0..=MOST_STARTS).and_then(|most| u32::try_from(most).ok()) {
            self.spec.max_parallel_starts = most;
        }
    }

    pub(crate) fn user(&mut self, field: &Field<'_>) {
        if let Some(user) = read_user(field) {
            self.spec.user = user;
        }
    }

    pub(crate) fn pidfile(&mut self, field: &Field<'_>) {
        if let Some(path) = field.optional_path() {
            self.spec.pidfile = path;
        }
    }

    pub(crate) fn umask(&mut self, field: &Field<'_>) {
        if let Some(umask) = field.octal() {
            self.spec.umask = umask & 0o777;
        }
    }

    pub(crate) fn directory(&mut self, field: &Field<'_>) {
        if let Some(path) = field.optional_path() {
            self.spec.directory = path;
        }
    }

    pub(crate) fn watch(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.spec.watch = flag;
        }
    }

    pub(crate) fn state_dir(&mut self, field: &Field<'_>) {
        if let Some(path) = field.optional_path() {
            self.spec.state_dir = path;
        }
    }

    pub(crate) fn timezone(&mut self, field: &Field<'_>) {
        if let Some(zone) = read_timezone(field) {
            self.spec.timezone = zone;
        }
    }

    pub(crate) fn syslog(&mut self, field: &Field<'_>) {
        if let Some(address) = read_address(field) {
            self.spec.syslog.address = address;
        }
    }

    pub(crate) fn syslog_format(&mut self, field: &Field<'_>) {
        if let Some(format) = field.choice(&SyslogFormat::ALL) {
            self.spec.syslog.format = Some(format);
        }
    }

    pub(crate) fn syslog_facility(&mut self, field: &Field<'_>) {
        if let Some(facility) = field.choice(&SyslogFacility::ALL) {
            self.spec.syslog.facility = facility;
        }
    }

    pub(crate) fn environment(&mut self, field: &Field<'_>) {
        read_environment(field, &mut self.environment);
    }
}
