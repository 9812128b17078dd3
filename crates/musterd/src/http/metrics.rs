//! `GET /metrics`: the text format of Prometheus, version 0.0.4.
//!
//! Reading the usage of a thousand programs' trees from /proc takes milliseconds, so it is read for a few runs at a
//! time, and the loop gets its turn in between. Then the families of samples follow, each contiguous as the format
//! requires, also in slices. Nothing is counted here; `program_counters.rs` and the logs do that.

use muster_core::{Health, Instance, Readiness};
use muster_logs::Counts;
use muster_spec::{Hook, InstanceId, RunId};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use muster_api::METRICS;
use muster_sys::tree::{Measuring, Usage};

use super::samples::Samples;
use super::schedule_metrics;
use super::view;
use super::{source_metrics, state_metrics};
use crate::program_counters::{OUTCOMES, REASONS};
use crate::shared::Shared;
use muster_server::body::{Body, Pieces};
use muster_server::response::{self, Answer};
use muster_server::turns::{SLICE, Waiting};

/// The number of runs measured in one turn, which takes about a millisecond.
const RUNS_AT_ONCE: usize = 32;

/// The number of instances written between two looks at the clock.
const INSTANCES_AT_ONCE: usize = 16;

/// The approximate size of a piece, in bytes.
const ENOUGH: usize = 32 * 1024;

/// The subject of a family.
#[derive(Clone, Copy)]
enum Subject {
    Daemon(fn(&Shared, &mut Samples<'_>)),
    Instances(fn(&Shared, &Instance, &mut Samples<'_>)),
    /// A figure read from /proc.
    Usage(fn(&Usage) -> f64),
    /// A count of its output.
    Output(fn(&Counts) -> f64),
}

/// One family of samples.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
    subject: Subject,
}

const fn family(name: &'static str, kind: &'static str, help: &'static str, subject: Subject) -> Family {
    Family { name, kind, help, subject }
}

use Subject::{Daemon, Instances};

/// All families, in the order in which they are sent. A test compares them with `docs/reference/api.md`.
pub(crate) const FAMILIES: &[Family] = &[
    family(
        "muster_build_info",
        "gauge",
        "The version of the daemon; always 1.",
        Daemon(|_, samples| {
            samples.with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        }),
    ),
    family(
        "muster_listener_up",
        "gauge",
        "Whether a listener besides the control socket accepts connections.",
        Daemon(|shared, samples| {
            for listener in &shared.configuration.in_force().control.listeners {
                let is_up = !shared.gate.not_listening.borrow().contains_key(&listener.address);
                samples.with(&[("listener", &listener.address.to_string())], f64::from(u8::from(is_up)));
            }
        }),
    ),
    family(
        "muster_http_login_failures_total",
        "counter",
        "Clients of a listener that did not log in: wrong, throttled after too many wrong logins, or silent.",
        Daemon(|shared, samples| {
            for ((listener, why), count) in shared.gate.failures() {
                samples.with(&[("listener", &listener.to_string()), ("reason", why.name())], count as f64);
            }
        }),
    ),
    family(
        "muster_tls_certificate_not_after_seconds",
        "gauge",
        "When the certificate of a listener expires, in seconds since 1970.",
        Daemon(|shared, samples| {
            let servers = shared.secrets.servers();
            for listener in &shared.configuration.in_force().control.listeners {
                if let Some(second) = servers.not_after(&listener.address) {
                    samples.with(&[("listener", &listener.address.to_string())], second as f64);
                }
            }
        }),
    ),
    family(
        "muster_tls_handshakes_total",
        "counter",
        "TLS handshakes of clients by result: ok, certificate (of the client, refused), timeout, limited, failed.",
        Daemon(|shared, samples| {
            if shared.configuration.in_force().control.listeners.iter().any(|listener| listener.tls.is_some()) {
                shared
                    .secrets
                    .handshakes()
                    .each()
                    .for_each(|(result, n)| samples.with(&[("result", result)], n as f64));
            }
        }),
    ),
    family(
        "muster_secret_reload_failures_total",
        "counter",
        "How often changed secrets and certificates of the API could not be used.",
        Daemon(|shared, samples| {
            if !shared.configuration.in_force().control.secret_files.is_empty() {
                samples.plain(shared.secrets.failures() as f64);
            }
        }),
    ),
    family(
        "muster_start_time_seconds",
        "gauge",
        "When the daemon started, in seconds since 1970.",
        Daemon(|shared, samples| {
            samples.plain(seconds(view::date(shared, muster_core::Time::ZERO)));
        }),
    ),
    family(
        "muster_ready",
        "gauge",
        "Whether all programs are ready, as in /readyz.",
        Daemon(|shared, samples| {
            samples.plain(flag(shared.supervisor.borrow().is_ready()));
        }),
    ),
    family(
        "muster_event_listeners",
        "gauge",
        "Clients that follow events.",
        Daemon(|shared, samples| {
            samples.plain(shared.event_ring.borrow().listeners() as f64);
        }),
    ),
    family(
        "muster_loop_longest_turn_seconds",
        "gauge",
        "The longest time that the daemon was busy without checking for signals.",
        Daemon(|shared, samples| {
            samples.plain(shared.loop_turns.clock().longest().as_secs_f64());
        }),
    ),
    family(
        "muster_source_up",
        "gauge",
        "Whether the server of a source answered the last time.",
        Daemon(source_metrics::up),
    ),
    family(
        "muster_source_refused",
        "gauge",
        "Whether the last version of a source was refused.",
        Daemon(source_metrics::refused),
    ),
    family(
        "muster_source_last_contact_timestamp_seconds",
        "gauge",
        "When the server of a source answered last, in seconds since 1970.",
        Daemon(source_metrics::last_contact),
    ),
    family(
        "muster_source_active_revision",
        "gauge",
        "The revision of etcd of the active version.",
        Daemon(source_metrics::revision),
    ),
    family("muster_source_polls_total", "counter", "Answers of a source, by result.", Daemon(source_metrics::polls)),
    family(
        "muster_source_applies_total",
        "counter",
        "Versions of a source that became active or were refused.",
        Daemon(source_metrics::applies),
    ),
    family("muster_state_write_failures_total", "counter", "Failed writes of state.", Daemon(state_metrics::failures)),
    family(
        "process_cpu_seconds_total",
        "counter",
        "CPU time that the daemon itself has used.",
        Daemon(|shared, samples| {
            samples.maybe(own_usage(shared).map(|usage| usage.cpu_time.as_secs_f64()));
        }),
    ),
    family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the daemon itself.",
        Daemon(|shared, samples| {
            samples.maybe(own_usage(shared).map(|usage| usage.rss_bytes as f64));
        }),
    ),
    family(
        "muster_program_state",
        "gauge",
        "Its state as a number: 20 is RUNNING, 30 BACKOFF, 200 FATAL.",
        Instances(|_, instance, samples| {
            samples.plain(f64::from(instance.state().code()));
        }),
    ),
    family(
        "muster_program_up",
        "gauge",
        "Whether it is RUNNING.",
        Instances(|_, instance, samples| {
            samples.plain(flag(instance.state() == muster_spec::State::Running));
        }),
    ),
    family(
        "muster_program_ready",
        "gauge",
        "Whether it is ready, if known.",
        Instances(|_, instance, samples| {
            samples.maybe(match instance.ready() {
                Readiness::Unknown => None,
                Readiness::NotReady => Some(0.0),
                Readiness::Ready => Some(1.0),
            });
        }),
    ),
    family(
        "muster_program_healthy",
        "gauge",
        "Whether its probes pass, if known.",
        Instances(|_, instance, samples| {
            samples.maybe(match instance.health() {
                Health::Unknown => None,
                Health::Unhealthy => Some(0.0),
                Health::Healthy => Some(1.0),
            });
        }),
    ),
    family(
        "muster_program_restarts_total",
        "counter",
        "Runs started by the restart policy.",
        Instances(|shared, instance, samples| {
            samples.plain(shared.program_counters.borrow().of(instance.id()).restarts as f64);
        }),
    ),
    family(
        "muster_program_failures",
        "gauge",
        "Consecutive exits that led to a restart.",
        Instances(|shared, instance, samples| {
            samples.plain(f64::from(instance.failures(shared.clock.now())));
        }),
    ),
    family(
        "muster_program_hook_failures_total",
        "counter",
        "Hooks that failed or took too long.",
        Instances(|shared, instance, samples| {
            let failures = shared.program_counters.borrow().of(instance.id()).hook_failures;
            samples.counted("hook", Hook::EVERY.map(Hook::name).into_iter().zip(failures));
        }),
    ),
    family(
        "muster_program_schedule_next_timestamp_seconds",
        "gauge",
        "When the next time of the schedule comes, in seconds since 1970, while the program is armed.",
        Instances(schedule_metrics::next),
    ),
    family(
        "muster_program_schedule_last_success_timestamp_seconds",
        "gauge",
        "When the last successful run of a program with a schedule ended, in seconds since 1970.",
        Instances(schedule_metrics::last_success),
    ),
    family(
        "muster_program_schedule_skipped_total",
        "counter",
        "Scheduled times that started nothing, because the program was running or a dependency did not hold.",
        Instances(schedule_metrics::skipped),
    ),
    family(
        "muster_program_schedule_missed_total",
        "counter",
        "Scheduled times that passed because the clock was set or the daemon did not run.",
        Instances(schedule_metrics::missed),
    ),
    family(
        "muster_program_rolling_steps_total",
        "counter",
        "Turns in rolling restarts, by outcome.",
        Instances(|shared, instance, samples| {
            let steps = shared.program_counters.borrow().of(instance.id()).rolling_steps;
            samples.counted("outcome", OUTCOMES.into_iter().zip(steps));
        }),
    ),
    family(
        "muster_program_exits_total",
        "counter",
        "Runs that ended, by reason.",
        Instances(|shared, instance, samples| {
            let exits = shared.program_counters.borrow().of(instance.id()).exits;
            samples.counted("reason", REASONS.into_iter().zip(exits));
        }),
    ),
    family(
        "muster_program_start_time_seconds",
        "gauge",
        "When its current run started, in seconds since 1970.",
        Instances(|shared, instance, samples| {
            samples.maybe(instance.run_began().map(|at| seconds(view::date(shared, at))));
        }),
    ),
    family(
        "muster_program_processes",
        "gauge",
        "Processes of its current run.",
        Subject::Usage(|usage| usage.processes as f64),
    ),
    family(
        "muster_program_cpu_seconds",
        "gauge",
        "CPU time of the live processes of its current run.",
        Subject::Usage(|usage| usage.cpu_time.as_secs_f64()),
    ),
    family(
        "muster_program_memory_bytes",
        "gauge",
        "Resident memory of the processes of its current run.",
        Subject::Usage(|usage| usage.rss_bytes as f64),
    ),
    family(
        "muster_program_log_lines_total",
        "counter",
        "Lines read from its output.",
        Subject::Output(|counts| counts.lines as f64),
    ),
    family(
        "muster_program_log_bytes_total",
        "counter",
        "Bytes read from its output.",
        Subject::Output(|counts| counts.bytes as f64),
    ),
    family(
        "muster_program_log_dropped_lines_total",
        "counter",
        "Lines of its output that a destination did not get.",
        Subject::Output(|counts| counts.dropped_lines as f64),
    ),
    family(
        "muster_program_log_dropped_bytes_total",
        "counter",
        "Bytes of its output that a destination did not get.",
        Subject::Output(|counts| counts.dropped_bytes as f64),
    ),
];

fn own_usage(shared: &Shared) -> Option<Usage> {
    shared.children.borrow_mut().own_usage()
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

pub(super) fn seconds(at: muster_api::Timestamp) -> f64 {
    at.unix_ms() as f64 / 1000.0
}

pub(super) fn metrics(shared: &Rc<Shared>) -> Answer {
    let runs = shared.supervisor.borrow().snapshot().iter().filter_map(Instance::run).collect();
    shared.program_counters.borrow_mut().retain(|id| shared.supervisor.borrow().get(id).is_some());
    let instances = shared.supervisor.borrow().snapshot().iter().map(Instance::id).collect();
    let exposition = Exposition {
        shared: Rc::clone(shared),
        unread: runs,
        measuring: None,
        usage: HashMap::new(),
        instances,
        families: 0,
        next: 0,
        has_heading: false,
        turn: None,
    };
    response::streaming(METRICS, Body::in_pieces(exposition))
}

/// A response that is being written.
struct Exposition {
    shared: Rc<Shared>,
    /// Runs to be measured.
    unread: Vec<RunId>,
    /// Runs that are being measured.
    measuring: Option<Measuring>,
    usage: HashMap<RunId, Usage>,
    /// All instances at the time of the request.
    instances: Vec<InstanceId>,
    /// The number of families that have been sent.
    families: usize,
    /// The next instance of the current family, and whether the family's heading is written.
    next: usize,
    has_heading: bool,
    turn: Option<Waiting>,
}

impl Pieces for Exposition {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.families == FAMILIES.len() {
            return Poll::Ready(None);
        }
        loop {
            let turns = &self.shared.turns;
            let turn = self.turn.get_or_insert_with(|| turns.waiting());
            std::task::ready!(turn.as_mut().poll(context));
            self.turn = None;
            if self.unread.is_empty() && self.measuring.is_none() {
                return Poll::Ready(Some(Bytes::from(self.slice())));
            }
            self.measure();
        }
    }
}

impl Exposition {
    /// Measures processes for one turn.
    fn measure(&mut self) {
        let mut children = self.shared.children.borrow_mut();
        let mut measuring = self.measuring.take().unwrap_or_else(|| {
            let some = self.unread.split_off(self.unread.len().saturating_sub(RUNS_AT_ONCE));
            children.measure(&some)
        });
        match children.go_on_measuring(&mut measuring, Instant::now() + SLICE) {
            Some(usage) => self.usage.extend(usage),
            None => self.measuring = Some(measuring),
        }
    }

    /// The text that can be written in one turn.
    fn slice(&mut self) -> String {
        let mut text = String::new();
        let began = Instant::now();
        while let Some(family) = FAMILIES.get(self.families) {
            let whom = if let Subject::Daemon(_) = family.subject { 1 } else { self.instances.len() };
            while self.next < whom {
                if began.elapsed() >= SLICE || text.len() >= ENOUGH {
                    return text;
                }
                let to = whom.min(self.next + INSTANCES_AT_ONCE);
                self.write(family, self.next..to, &mut text);
                self.next = to;
            }
            (self.families, self.next, self.has_heading) = (self.families + 1, 0, false);
        }
        text
    }

    fn write(&mut self, family: &Family, which: Range<usize>, text: &mut String) {
        let supervisor = self.shared.supervisor.borrow();
        let mut samples = Samples { family, text, instance: None, has_heading: self.has_heading };
        if let Subject::Daemon(sample) = family.subject {
            sample(&self.shared, &mut samples);
        }
        // A reload may have removed some in the meantime.
        for instance in self.instances[which].iter().filter_map(|&id| supervisor.get(id)) {
            samples.instance = Some(instance);
            match family.subject {
                Subject::Daemon(_) => break,
                Subject::Instances(sample) => sample(&self.shared, instance, &mut samples),
                Subject::Usage(figure) => {
                    let usage = instance.run().and_then(|run| self.usage.get(&run));
                    samples.maybe(usage.map(figure));
                }
                Subject::Output(figure) => {
                    let counts = self.shared.children.borrow().logs().counters(instance.name());
                    samples.maybe(counts.as_ref().map(figure));
                }
            }
        }
        self.has_heading = samples.has_heading;
    }
}

#[cfg(test)]
mod tests;
