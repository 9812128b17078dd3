//! Notes of what musterd does otherwise than the original on purpose, as far as a configuration meets it: each once, at the
//! first place that it is about, with the key that restores the original's way. And of output that containers do not show.
//!
//! `docs/how-to/come-from-supervisord.md` has the whole table.

use std::collections::HashMap;
use std::path::Path;

use muster_spec::{
    ExitStatus, InstanceSpec, ListenerMode, RpcDuringShutdown, ShutdownOrder, Signal, SignalSet, Spec, StopKill,
    descriptor_of,
};

use super::super::model::{Group, GroupKind, LogFile, Process, Stream};
use super::{Context, namespec};

/// A place: a section, and a key of it.
type At = (usize, Option<&'static str>);

/// The keys of a stream, and the stream of a process.
type StreamOf = (&'static str, &'static str, fn(&Process) -> &Stream);

/// Both.
const STREAMS: [StreamOf; 2] = [
    ("stdout_logfile", "stdout_capture_maxbytes", |process| &process.stdout),
    ("stderr_logfile", "stderr_capture_maxbytes", |process| &process.stderr),
];

/// Notes every difference that the configuration meets.
pub(super) fn note(context: &mut Context<'_>, spec: &Spec) {
    let configuration = context.configuration;
    let mut instances: HashMap<&str, &InstanceSpec> = HashMap::new();
    let mut kills: HashMap<&str, StopKill> = HashMap::new();
    for program in &spec.programs {
        kills.insert(&program.name, program.stop.kill);
        instances.extend(program.instances.first().map(|instance| (program.name.as_str(), &**instance)));
    }
    let mut found = Found::default();
    for group in &configuration.groups {
        for process in &group.processes {
            let name = namespec(&group.name, &process.name);
            if let (Some(instance), Some(kill)) = (instances.get(name.as_str()), kills.get(name.as_str())) {
                found.program(group, process, instance, *kill);
            }
        }
    }
    if spec.daemon.shutdown_order == ShutdownOrder::Parallel {
        found.parallel(&configuration.groups);
    }
    if spec.daemon.exit_status != ExitStatus::Failures {
        found.exit_status = None;
    }
    if spec.daemon.rpc_during_shutdown == RpcDuringShutdown::Answer {
        found.rpc = configuration.servers.first().map(|server| (server.section, None));
    }
    for (at, message, hint) in found.notes() {
        if let Some((section, key)) = at {
            context.note(section, key, message, hint);
        }
    }
}

/// The first place of each difference.
#[derive(Default)]
struct Found {
    tree: Option<At>,
    signals: Option<At>,
    parallel: Option<At>,
    exit_status: Option<At>,
    not_executed: Option<At>,
    console: Option<At>,
    pool: Option<At>,
    socket: Option<At>,
    capture: Option<At>,
    rpc: Option<At>,
    auto: Option<At>,
}

impl Found {
    fn program(&mut self, group: &Group, process: &Process, instance: &InstanceSpec, kill: StopKill) {
        let section = process.section;
        let is_listener = matches!(group.kind, GroupKind::Listener { .. });
        let first = |place: &mut Option<At>, key, is_met: bool| {
            // Groups are in the order in which they start.
            if is_met && place.is_none_or(|(earlier, _)| section < earlier) {
                *place = Some((section, key));
            }
        };
        first(&mut self.tree, Some("killasgroup"), kill == StopKill::Tree && !process.killasgroup);
        let originals = SignalSet::NONE.with(Signal::PIPE).with(Signal::XFSZ);
        first(&mut self.signals, None, instance.process.ignore_signals != originals);
        first(&mut self.exit_status, None, is_listener);
        first(&mut self.not_executed, Some("startsecs"), process.startsecs <= 0);
        let mode = instance.process.listener.as_ref().map(|listener| listener.mode);
        first(&mut self.pool, None, mode == Some(ListenerMode::Patient));
        first(&mut self.socket, Some("socket"), !instance.process.sockets.is_empty());
        first(&mut self.auto, Some("stdout_logfile"), process.stdout.logfile == LogFile::Auto && !is_listener);
        for (logfile, capture, stream) in STREAMS {
            let stream = stream(process);
            let is_console = matches!(&stream.logfile, LogFile::Path(path) if descriptor_of(Path::new(path)).is_some());
            first(&mut self.console, Some(logfile), is_console);
            first(&mut self.capture, Some(capture), stream.capture_maxbytes > 0);
        }
    }

    /// The second of two groups of one priority.
    fn parallel(&mut self, groups: &[Group]) {
        let mut priorities: HashMap<i64, ()> = HashMap::new();
        let second = groups.iter().filter(|group| !group.processes.is_empty());
        let second = second.into_iter().find(|group| priorities.insert(group.priority, ()).is_some());
        self.parallel = second.map(|group| (group.section, Some("priority")));
    }

    fn notes(self) -> [(Option<At>, &'static str, &'static str); 11] {
        [
            (
                self.tree,
                "a stop ends all processes of a program; supervisord's ends the first one only",
                "muster.kill = main restores that",
            ),
            (
                self.parallel,
                "groups of equal priority stop at the same time; supervisord stops one after another",
                "shutdown = serial in [musterd] restores that",
            ),
            (
                self.exit_status,
                "after a shutdown by one of the programs the exit code is that of the last failure; supervisord's is 0",
                "exit_status = zero in [musterd] restores that",
            ),
            (
                self.not_executed,
                "a command that cannot be executed is a failed start; supervisord restarts it forever with startsecs=0",
                "correct the command: the reason is in the status",
            ),
            (
                self.console,
                "the daemon's own output as a log file is never rotated, and supervisorctl tail shows it from memory",
                "under supervisord it needs maxbytes=0, and tail fails",
            ),
            (
                self.pool,
                "a pool keeps up to 1024 events until a listener is ready, and a rejected event comes again after 1 s",
                "muster.listener = exact restores supervisord's buffer and repetition",
            ),
            (
                self.signals,
                "programs start with SIGPIPE and SIGXFSZ at their default; supervisord's ignore both",
                "muster.ignore_signals = [\"PIPE\", \"XFSZ\"] restores that",
            ),
            (
                self.socket,
                "the socket stays open while any process is wanted up; supervisord closes it with the last one",
                "clients wait in its queue during a restart",
            ),
            (
                self.capture,
                "nothing of a captured stream is withheld or lost; supervisord loses the end",
                "text without its end token is logged when the stream ends",
            ),
            (
                self.auto,
                "output goes to a file with a random name in childlogdir, as under supervisord: docker logs does not show it",
                "write stdout_logfile=/dev/stdout and stdout_logfile_maxbytes=0 to see it there",
            ),
            (
                self.rpc,
                "while the daemon shuts down, XML-RPC that only reads is answered; supervisord answers with a fault",
                "rpc_during_shutdown = fault in [musterd] restores that",
            ),
        ]
    }
}
