//! The operations behind supervisord's methods: what [`muster_supervisord::methods`] asks of the daemon.
//!
//! `view` shows instances in supervisord's terms, `commands` looks for what a start would execute. Groups are read, added
//! and removed by [`crate::reload::groups`].

mod commands;
mod view;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_access::Client;
use muster_api::{MAX_WAIT, Problem, ProblemKind};
use muster_core::{Failure, Verb};
use muster_logs::{FilePart, PartialLog, Source};
use muster_spec::{InstanceSpec, RpcDuringShutdown, Signal, SignalScope, State, descriptor_of};
use muster_supervisord::faults::Code;
use muster_supervisord::methods::{
    Changes, Channel, Daemon, Log, Member, NotRead, NotStarted, NotWritten, Part, Piece,
};
use muster_supervisord::status::{DaemonState, ProcessInfo, ProcessState};
use muster_supervisord::xmlrpc::{Fault, Value};

use super::command::{Commanded, command, end};
use super::{logs, stdin};
use crate::access::reader;
use crate::listeners;
use crate::reload::{self, How, Origin, groups};
use crate::shared::Shared;
use muster_server::tickets::Desk;
use muster_server::turns::SLICE;

/// How long a start that is not waited for may take until there is a process, or none.
const SPAWNING: Duration = Duration::from_millis(100);

/// The interval in which that is looked at.
const GLANCE: Duration = Duration::from_millis(1);

/// The daemon's own name of the process that a client calls `NAME` or `GROUP:NAME`.
pub(crate) fn key_of(shared: &Shared, name: &str) -> Option<String> {
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    let supervisor = shared.supervisor.borrow();
    let mut members = supervisor.snapshot().iter().filter(|instance| !instance.is_leaving()).map(view::member);
    members.find(|member| member.group == group && member.name == process).map(|member| member.key)
}

/// The daemon as one client uses it.
pub(crate) struct Supervisord<'a> {
    pub(crate) shared: &'a Rc<Shared>,
    pub(crate) desk: &'a Desk,
    pub(crate) client: Client,
}

impl Supervisord<'_> {
    fn spec(&self, member: &Member) -> Option<Arc<InstanceSpec>> {
        self.shared.supervisor.borrow().find(&member.key).map(|instance| Arc::clone(instance.spec()))
    }

    async fn command(&self, member: &Member, verb: Verb, patience: Duration) -> Result<Commanded, Problem> {
        command(self.shared, self.client.principal, &format!("={}", member.key), verb, patience).await
    }

    /// Waits until a process that is being started has been created, or could not be.
    async fn spawned(&self, member: &Member) -> Result<(), NotStarted> {
        let until = Instant::now() + SPAWNING;
        loop {
            {
                let supervisor = self.shared.supervisor.borrow();
                let Some(instance) = supervisor.find(&member.key) else { return Err(NotStarted::Ended) };
                match instance.state() {
                    State::Backoff | State::Fatal => return Err(NotStarted::Failed),
                    State::Starting if instance.run_began().is_none() && Instant::now() < until => {}
                    _ => return Ok(()),
                }
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Reads from a file; a path that does not exist is no log.
    async fn read_file(&self, file: FilePart, part: Part) -> Result<Piece, NotRead> {
        let _ticket = self.desk.searches.take(self.client, "read log files").map_err(|_| NotRead::Failed)?;
        let path = file.path().display().to_string();
        match file.read(move |size| part.range(size)).await {
            Ok(read) => Ok(Piece { bytes: read.bytes, size: read.size }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(NotRead::NoLog(Some(path))),
            Err(_) => Err(NotRead::Failed),
        }
    }

    /// The file of the main log, if it is one.
    fn main_file(&self) -> Option<FilePart> {
        let path = self.shared.configuration.in_force().daemon.log_file.clone()?;
        descriptor_of(&path).is_none().then(|| FilePart::own(&path))
    }
}

impl Daemon for Supervisord<'_> {
    fn identification(&self) -> String {
        let configuration = &self.shared.configuration;
        let (pending, in_force) = (configuration.pending.borrow(), configuration.in_force());
        // A new one counts as soon as it has been read.
        let daemon = pending.as_ref().map_or(&in_force.daemon, |pending| &pending.spec.daemon);
        daemon.auto_logs.as_ref().map_or("supervisor", |auto| &auto.identifier).to_owned()
    }

    fn pid(&self) -> i64 {
        std::process::id().into()
    }

    fn answers_while_ending(&self) -> bool {
        self.shared.configuration.in_force().daemon.rpc_during_shutdown == RpcDuringShutdown::Answer
    }

    fn state(&self) -> DaemonState {
        match self.shared.supervisor.borrow().is_shutting_down() {
            true => DaemonState::Shutdown,
            false => DaemonState::Running,
        }
    }

    fn members(&self) -> Vec<Member> {
        let supervisor = self.shared.supervisor.borrow();
        supervisor.snapshot().iter().filter(|instance| !instance.is_leaving()).map(view::member).collect()
    }

    fn info(&self, member: &Member) -> Option<ProcessInfo> {
        let supervisor = self.shared.supervisor.borrow();
        supervisor.find(&member.key).map(|instance| view::info(self.shared, instance))
    }

    async fn infos(&self, members: &[Member]) -> Vec<Value> {
        let mut infos = Vec::with_capacity(members.len());
        self.shared.turns.next().await;
        let mut began = Instant::now();
        for member in members {
            infos.extend(self.info(member).map(ProcessInfo::into_value));
            if began.elapsed() >= SLICE {
                self.shared.turns.next().await;
                began = Instant::now();
            }
        }
        infos
    }

    async fn unstartable(&self, member: &Member) -> Option<Fault> {
        let spec = self.spec(member)?;
        // One thread at a time, however many are asked for.
        let _turn = self.desk.walk.acquire().await;
        commands::unstartable(spec).await
    }

    async fn start(&self, member: &Member, wait: bool) -> Result<(), NotStarted> {
        let patience = if wait { MAX_WAIT } else { Duration::ZERO };
        let commanded = match self.command(member, Verb::Start, patience).await {
            Ok(commanded) => commanded,
            Err(problem) if problem.kind == ProblemKind::ShuttingDown => return Err(NotStarted::ShuttingDown),
            // A reload has removed it.
            Err(_) => return Err(NotStarted::Ended),
        };
        match commanded.results.into_iter().next() {
            Some((_, Ok(_))) => Ok(()),
            Some((_, Err(Failure::Pending | Failure::Waiting(_)))) if !wait => self.spawned(member).await,
            Some((_, Err(Failure::ShuttingDown))) => Err(NotStarted::ShuttingDown),
            Some((id, Err(Failure::Ended(_) | Failure::InVain(_)))) => {
                let supervisor = self.shared.supervisor.borrow();
                let state = supervisor.get(id).map(|instance| view::state(instance.state()));
                let has_failed = state.is_some_and(|state| state != ProcessState::Exited);
                Err(if has_failed { NotStarted::Failed } else { NotStarted::Ended })
            }
            _ => Err(NotStarted::Ended),
        }
    }

    async fn stop(&self, member: &Member, wait: bool) -> Result<(), Fault> {
        let patience = if wait { MAX_WAIT } else { Duration::ZERO };
        match self.command(member, Verb::Stop, patience).await {
            Err(problem) if problem.kind == ProblemKind::ShuttingDown => Err(Code::ShutdownState.fault()),
            // Stopped, started again by another client, or removed by a reload.
            _ => Ok(()),
        }
    }

    async fn signal(&self, member: &Member, signal: u8) -> bool {
        let Some(signal) = Signal::from_number(i32::from(signal)) else {
            // Signal 0 only asks whether there is a process.
            let supervisor = self.shared.supervisor.borrow();
            return supervisor.find(&member.key).is_some_and(|instance| instance.run_began().is_some());
        };
        let verb = Verb::Signal { signal, scope: SignalScope::Main };
        let commanded = self.command(member, verb, Duration::ZERO).await;
        commanded.is_ok_and(|commanded| commanded.results.iter().all(|(_, result)| result.is_ok()))
    }

    async fn read(&self, log: Log<'_>, part: Part) -> Result<Piece, NotRead> {
        let (memory, source) = match log {
            Log::Main => match self.main_file() {
                Some(file) => return self.read_file(file, part).await,
                None => (Arc::clone(&self.shared.own_log), Source::Stderr),
            },
            Log::Of(member, channel) => {
                let spec = self.spec(member).ok_or(NotRead::NoLog(None))?;
                let source = if channel == Channel::Stdout { Source::Stdout } else { Source::Stderr };
                match PartialLog::of(&spec, source) {
                    PartialLog::File(file) => return self.read_file(file, part).await,
                    PartialLog::Memory(source) => (self.shared.children.borrow().logs().memory_for(&spec), source),
                    PartialLog::None => return Err(NotRead::NoLog(None)),
                }
            }
        };
        let read = memory.read_part(source, |size| part.range(size));
        Ok(Piece { bytes: read.bytes, size: read.size })
    }

    async fn clear(&self, member: Option<&Member>) -> Result<(), Fault> {
        match (member, self.main_file()) {
            (Some(member), _) => {
                let cleared = logs::clear(self.shared, &member.key).await;
                cleared.map_err(|_| Code::Failed.with(member.namespec()))
            }
            (None, file) => {
                self.shared.own_log.clear();
                match file {
                    Some(file) => file.empty().await.map_err(|_| Code::Failed.fault()),
                    None => Ok(()),
                }
            }
        }
    }

    async fn write_stdin(&self, member: &Member, bytes: &[u8]) -> Result<(), NotWritten> {
        let has_process =
            self.shared.supervisor.borrow().find(&member.key).is_some_and(|instance| instance.run_began().is_some());
        if !has_process {
            return Err(NotWritten::NotRunning);
        }
        match stdin::write(self.shared, &member.key, bytes).await {
            Ok(_) => Ok(()),
            Err(problem) if problem.kind == ProblemKind::NotReading => Err(NotWritten::NotReading),
            Err(_) => Err(NotWritten::Closed),
        }
    }

    async fn reread(&self) -> Result<Changes, String> {
        groups::reread(self.shared).await
    }

    async fn add_group(&self, name: &str) -> Result<(), Fault> {
        groups::add(self.shared, self.client.principal, name).await
    }

    async fn remove_group(&self, name: &str) -> Result<(), Fault> {
        groups::remove(self.shared, self.client.principal, name).await
    }

    fn configuration(&self) -> Vec<Value> {
        view::configuration(self.shared, reader(self.client))
    }

    fn emit(&self, kind: &str, data: &str) {
        listeners::announce_remote(self.shared, kind, data);
    }

    async fn end(&self, state: DaemonState) -> Result<(), Fault> {
        let done = match state {
            DaemonState::Shutdown => end(self.shared, self.client).await,
            _ => reload::reload(self.shared, Origin::Restart(self.client.principal), How::default()).await.map(drop),
        };
        done.map_err(|problem| match problem.kind {
            ProblemKind::ShuttingDown => Code::ShutdownState.fault(),
            _ => Code::Failed.with(problem),
        })
    }
}
