//! The keys of a program that may differ between instances: command, user, environment, output and the like.

use muster_spec::arrange::Gather;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{
    EventType, FeedKind, Hook, InstanceSpec, ListenerMode, ListenerSpec, MemoryLimit, OutputSpec, OwnVariables,
    PerStream, ProbeSpec, ProcessSpec, ReadySpec, Results, Rlimit, Scheduling, Signal, SignalSet, SocketSpec, Stdin,
    StreamEvents, Target, UserSpec, list,
};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::command::read_command;
use crate::drafts::environment::read_environment;
use crate::drafts::hooks::HookDrafts;
use crate::drafts::logs::OutputDraft;
use crate::drafts::memory::read_memory_max;
use crate::drafts::privileges::PrivilegesDraft;
use crate::drafts::probes::{ProbeDraft, read_probes};
use crate::drafts::program::read_signal;
use crate::drafts::ready::ReadyDraft;
use crate::drafts::rlimits::read_rlimits;
use crate::drafts::secrets::SecretsDraft;
use crate::drafts::shared::Shared;
use crate::drafts::sockets::{self, SocketDraft, read_sockets};
use crate::drafts::stdin::{read_events, read_stdin};
use crate::drafts::terminal::TerminalDraft;
use crate::drafts::users::{read_user, read_user_name};
use crate::env_dir;
use crate::env_file::{self, Entries, named};
use crate::field::{Field, Owner};

/// The state of an instance while its keys are read.
#[derive(Default)]
pub(crate) struct Parts {
    command: Vec<String>,
    pub(crate) user: Option<UserSpec>,
    pub(crate) groups: Option<Vec<String>>,
    directory: Option<PathBuf>,
    umask: Option<u32>,
    nice: Option<i32>,
    oom_score_adj: Option<i32>,
    rlimits: Vec<Rlimit>,
    pub(crate) scheduling: Scheduling,
    pub(crate) privileges: PrivilegesDraft,
    pub(crate) secrets: SecretsDraft,
    memory_max: Option<MemoryLimit>,
    stdin: Stdin,
    stdin_path: Option<PathBuf>,
    stdin_at: Option<Place>,
    terminal: TerminalDraft,
    events: Vec<EventType>,
    feed: Vec<FeedKind>,
    events_at: Option<Place>,
    event_buffer_size: Option<usize>,
    event_buffer_at: Option<Place>,
    listener_mode: ListenerMode,
    listener_mode_at: Option<Place>,
    sockets: Vec<SocketDraft>,
    /// The sockets it begins with, unless `sockets` has others.
    given_sockets: Arc<[SocketSpec]>,
    ignore_signals: SignalSet,
    environment: BTreeMap<String, (String, bool)>,
    files: Vec<Rc<Entries>>,
    /// The same of directories, each a variable.
    directories: Vec<Rc<Entries>>,
    /// The paths of both.
    variable_files: Vec<PathBuf>,
    clean_environment: bool,
    /// `login_environment = false`: the default is true.
    keeps_login: bool,
    pub(crate) output: OutputDraft,
    ready: ReadyDraft,
    start_timeout: Option<Duration>,
    /// The place of start_timeout, if the program itself sets it to another value than the default.
    start_timeout_at: Option<Place>,
    watchdog: Option<Duration>,
    probes: Vec<ProbeDraft>,
    pub(crate) hooks: HookDrafts,
    pub(crate) command_at: Option<Place>,
    pub(crate) user_at: Option<Place>,
    pub(crate) groups_at: Option<Place>,
    pub(crate) directory_at: Option<Place>,
}

impl Parts {
    /// Begins with a user alone.
    pub(crate) fn running_as(user: Option<UserSpec>) -> Parts {
        Parts { user, ..Parts::default() }
    }

    /// Begins with an instance, but for its environment, readiness, watchdog, probes and hooks.
    pub(crate) fn of(instance: &InstanceSpec) -> Parts {
        let process = &instance.process;
        Parts {
            command: process.command.clone(),
            user: process.user.clone(),
            groups: process.groups.clone(),
            directory: process.directory.clone(),
            umask: process.umask,
            nice: process.nice,
            oom_score_adj: process.oom_score_adj,
            rlimits: process.rlimits.clone(),
            scheduling: process.scheduling.clone(),
            privileges: PrivilegesDraft::of(process.privileges),
            memory_max: instance.memory_max,
            secrets: SecretsDraft::of(&process.secrets, &process.credentials),
            stdin: process.stdin,
            stdin_path: process.stdin_path.clone(),
            terminal: TerminalDraft::of(process.terminal.as_ref()),
            feed: process.feed.to_vec(),
            events: process.listener.as_ref().map_or_else(Vec::new, |listener| listener.events.clone()),
            listener_mode: process.listener.as_ref().map_or_else(ListenerMode::default, |listener| listener.mode),
            event_buffer_size: process.listener.as_ref().map(|listener| listener.buffer_size),
            given_sockets: Arc::clone(&process.sockets),
            ignore_signals: process.ignore_signals,
            clean_environment: process.clean_environment,
            keeps_login: !process.login_environment,
            output: OutputDraft::of(&instance.output),
            ..Parts::default()
        }
    }

    /// The process. The program's own environment overrides that of its files, which overrides the daemon's.
    pub(crate) fn process(&self, program: &str, daemons: &BTreeMap<String, (String, bool)>) -> ProcessSpec {
        let mut variables: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        variables.extend(daemons.iter().map(|(name, (value, _))| (name.as_str(), Some(value.as_str()))));
        variables.extend(self.terminal.spec.iter().map(|terminal| ("TERM", Some(terminal.term.as_str()))));
        for file in self.files.iter().chain(&self.directories) {
            variables.extend(file.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
        }
        variables.extend(self.environment.iter().map(|(name, (value, _))| (name.as_str(), Some(value.as_str()))));
        let unset = variables.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| (*name).to_owned()).gather();
        let environment = variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        ProcessSpec {
            command: sockets::with_numbers(&self.command, &self.sockets),
            refusal: None,
            environment: environment.gather(),
            unset,
            clean_environment: self.clean_environment,
            login_environment: !self.keeps_login,
            own_variables: OwnVariables::All,
            user: self.user.clone(),
            groups: self.groups.clone(),
            directory: self.directory.clone(),
            umask: self.umask,
            nice: self.nice,
            oom_score_adj: self.oom_score_adj,
            rlimits: self.rlimits.clone(),
            scheduling: self.scheduling.clone(),
            privileges: self.privileges.spec,
            stdin: self.stdin,
            stdin_path: self.stdin_path.clone(),
            terminal: self.terminal.spec.clone(),
            feed: list(if self.stdin == Stdin::Feed { &self.feed[..] } else { &[] }),
            listener: (self.stdin == Stdin::Events).then(|| self.listener(program).into()),
            sockets: self.socket_specs(),
            ignore_signals: self.ignore_signals,
            secrets: list(&self.secrets.specs().collect::<Vec<_>>()),
            credentials: list(&self.secrets.credentials),
        }
    }

    /// The instance, with readiness, watchdog, probes and hooks.
    pub(crate) fn instance(&self, name: String, index: u32, process: ProcessSpec, shared: &Shared) -> InstanceSpec {
        InstanceSpec {
            name,
            index,
            process: shared.process.share(Cow::Owned(process)),
            output: shared.output.share(self.output()),
            ready: self.ready.spec.clone(),
            start_timeout: self.start_timeout.unwrap_or(InstanceSpec::START_TIMEOUT),
            watchdog: self.watchdog.filter(|interval| !interval.is_zero()),
            probes: self.probes.iter().filter_map(ProbeDraft::spec).collect::<Vec<ProbeSpec>>(),
            hooks: self.hooks.spec(),
            memory_max: self.memory_max,
            variable_files: list(&self.variable_files),
        }
    }

    /// The output. That of a listener on its standard output is for its answers.
    fn output(&self) -> Cow<'_, OutputSpec> {
        let output = &self.output.spec;
        match self.stdin {
            Stdin::Events if output.events.stdout != StreamEvents::NONE => {
                let events = PerStream { stdout: StreamEvents::NONE, ..output.events };
                Cow::Owned(OutputSpec { events, ..output.clone() })
            }
            _ => self.terminal.output(output).map_or(Cow::Borrowed(output), Cow::Owned),
        }
    }

    /// Checks constraints between keys.
    pub(crate) fn check(&self, owner: Owner<'_>, report: &Report) {
        self.check_listener(owner, report);
        self.check_events(owner, report);
        self.terminal.check(self.stdin, &self.output, owner, report);
        self.privileges.check(&self.command, owner, report);
        self.secrets.check(|name| self.setter_of(name), (&self.command, self.command_at), owner, report);
        for (command, at) in self.hooks.commands() {
            self.secrets.check_command((command, at), owner, report);
            sockets::check_names(command, at, None, (owner, report));
        }
        sockets::check_names(&self.command, self.command_at, Some(&self.sockets), (owner, report));
        let has_input = self.stdin != Stdin::Nothing || self.terminal.spec.is_some();
        sockets::check(&self.sockets, self.ready.spec.as_ref(), has_input, (owner, report));
        for probe in &self.probes {
            probe.check(owner, report);
        }
        self.hooks.check(owner, report);
        if let (Some(ReadySpec::Log(_)), Some(place)) = (&self.ready.spec, self.ready.at)
            && !is_captured(&self.output.spec)
        {
            let message = "ready.log waits for a line, but no output is captured";
            report.add(owner.finding(Severity::Error, place, message).hint("logs.stdout = \"console\" captures it"));
        }
        if let Some(place) = self.start_timeout_at.filter(|_| self.ready.at.is_none()) {
            let message = "start_timeout has no effect without `ready`";
            let hint = "ready = \"notify\", { tcp = \"…\" } or the like says when it is ready";
            report.add(owner.finding(Severity::Warning, place, message).hint(hint));
        }
    }

    /// The key that sets a variable, besides `secrets`.
    fn setter_of(&self, name: &str) -> Option<&'static str> {
        if self.environment.contains_key(name) {
            return Some("environment");
        }
        let is_in = |files: &[Rc<Entries>]| files.iter().any(|file| file.iter().any(|(known, _)| known == name));
        let sources = [("env_dir", &self.directories), ("env_file", &self.files)];
        sources.into_iter().find(|(_, files)| is_in(files)).map(|(key, _)| key)
    }

    pub(crate) fn command(&mut self, field: &Field<'_>) {
        self.command_at = Some(field.place());
        if let Some(words) = read_command(field, "command = \"gunicorn app:wsgi\"") {
            self.command = words;
        }
    }

    pub(crate) fn user(&mut self, field: &Field<'_>) {
        self.user_at = Some(field.place());
        if let Some(user) = read_user(field) {
            self.user = user;
        }
    }

    pub(crate) fn groups(&mut self, field: &Field<'_>) {
        self.groups_at = Some(field.place());
        let groups: Vec<String> = field.items().iter().filter_map(read_user_name).collect();
        self.groups = (!groups.is_empty()).then_some(groups);
    }

    pub(crate) fn directory(&mut self, field: &Field<'_>) {
        self.directory_at = Some(field.place());
        if let Some(path) = field.optional_path() {
            self.directory = path;
        }
    }

    pub(crate) fn umask(&mut self, field: &Field<'_>) {
        let unset = field.value.literal() == Some("");
        self.umask = if unset { None } else { field.octal().map(|umask| umask & 0o777) };
    }

    pub(crate) fn nice(&mut self, field: &Field<'_>) {
        self.nice = field.integer(-20..=19).and_then(|n| i32::try_from(n).ok());
    }

    pub(crate) fn oom_score_adj(&mut self, field: &Field<'_>) {
        self.oom_score_adj = field.integer(-1000..=1000).and_then(|n| i32::try_from(n).ok());
    }

    pub(crate) fn stdin(&mut self, field: &Field<'_>) {
        if let Some((stdin, path)) = read_stdin(field) {
            (self.stdin, self.stdin_path) = (stdin, path);
            self.stdin_at = Some(field.place());
        }
    }

    pub(crate) fn tty(&mut self, field: &Field<'_>) {
        self.terminal.read(field);
    }

    pub(crate) fn events(&mut self, field: &Field<'_>) {
        (self.events, self.feed) = read_events(field);
        self.events_at = (!self.events.is_empty() || !self.feed.is_empty()).then(|| field.place());
    }

    pub(crate) fn event_buffer_size(&mut self, field: &Field<'_>) {
        if let Some(size) = field.integer(1..=100_000).and_then(|size| usize::try_from(size).ok()) {
            self.event_buffer_size = Some(size);
            let is_chosen = size != ListenerSpec::BUFFER_SIZE && field.owner.program().is_some();
            self.event_buffer_at = is_chosen.then(|| field.place());
        }
    }

    pub(crate) fn listener_mode(&mut self, field: &Field<'_>) {
        if let Some(mode) = field.choice(&ListenerMode::ALL) {
            self.listener_mode = mode;
            let is_chosen = mode != ListenerMode::default() && field.owner.program().is_some();
            self.listener_mode_at = is_chosen.then(|| field.place());
        }
    }

    fn socket_specs(&self) -> Arc<[SocketSpec]> {
        if self.sockets.is_empty() {
            return Arc::clone(&self.given_sockets);
        }
        self.sockets.iter().filter_map(|socket| socket.spec(self.user.as_ref())).collect()
    }

    fn listener(&self, program: &str) -> ListenerSpec {
        let buffer_size = self.event_buffer_size.unwrap_or(ListenerSpec::BUFFER_SIZE);
        ListenerSpec {
            pool: program.to_owned(),
            events: self.events.clone(),
            buffer_size,
            mode: self.listener_mode,
            results: Results::Judge,
        }
    }

    /// Events of a stream need its output.
    fn check_events(&self, owner: Owner<'_>, report: &Report) {
        let output = &self.output.spec;
        let is_listener = self.stdin == Stdin::Events;
        let targets = [Some(&output.stdout), output.stderr.as_ref()];
        for (index, (target, at)) in targets.into_iter().zip(self.output.events_at).enumerate() {
            let Some(place) = at else { continue };
            let (message, hint) = match target {
                _ if is_listener && index == 0 => {
                    let message = "standard output of an event listener is for its answers, and causes no events";
                    (message, "leave stdout_events and stdout_capture out")
                }
                None => ("standard error is part of standard output", "write stdout_events and stdout_capture"),
                Some(Target::Capture(_)) => continue,
                Some(_) => {
                    ("output that is not captured causes no events", "write \"memory\", which keeps it out of all logs")
                }
            };
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        }
    }

    /// A listener needs events, and its standard output for the answers.
    fn check_listener(&self, owner: Owner<'_>, report: &Report) {
        let (output, is_listener) = (&self.output.spec, self.stdin == Stdin::Events);
        let say = |severity, at: Option<Place>, message: &str, hint: &str| {
            if let Some(place) = at {
                report.add(owner.finding(severity, place, message).hint(hint));
            }
        };
        if !is_listener {
            let hint = "write stdin = \"supervisor-events\" to make it an event listener";
            let at = self.events_at.filter(|_| !self.events.is_empty());
            if self.stdin == Stdin::Feed {
                let hint = "write kinds of the API such as \"state\" and \"final\"";
                let message = "events has types of supervisord, which stdin = \"events\" does not have";
                return say(Severity::Error, at, message, hint);
            }
            let of_feed = self.events_at.filter(|_| self.events.is_empty() && !self.feed.is_empty());
            let message = "events has no effect without stdin = \"events\"";
            say(Severity::Error, of_feed, message, "write stdin = \"events\" to have it read them");
            say(Severity::Error, at, "events has no effect without stdin = \"supervisor-events\"", hint);
            let message = "event_buffer_size has no effect without stdin = \"supervisor-events\"";
            say(Severity::Warning, self.event_buffer_at, message, hint);
            let message = "listener has no effect without stdin = \"supervisor-events\"";
            return say(Severity::Warning, self.listener_mode_at, message, hint);
        }
        if !self.feed.is_empty() {
            let message = "events has kinds of the API, which event listeners do not have";
            say(Severity::Error, self.events_at, message, "write types such as \"PROCESS_STATE\"");
        }
        if self.events.is_empty() {
            say(
                Severity::Warning,
                self.stdin_at,
                "an event listener without events gets none",
                "events = [\"PROCESS_STATE\"], for example",
            );
        }
        if !matches!(output.stdout, Target::Capture(_)) || output.stderr.is_none() {
            let message = "standard output of an event listener is for its answers, and must be captured alone";
            say(Severity::Error, self.stdin_at, message, "leave logs.stdout and logs.stderr out, or write files");
        }
    }

    pub(crate) fn ignore_signals(&mut self, field: &Field<'_>) {
        let mut ignored = SignalSet::NONE;
        for item in field.items() {
            match read_signal(&item) {
                Some(Signal::KILL | Signal::STOP) => {
                    return field.error_with_hint("cannot contain KILL or STOP", "no program can ignore these two");
                }
                Some(signal) => ignored = ignored.with(signal),
                None => return,
            }
        }
        self.ignore_signals = ignored;
    }

    pub(crate) fn sockets(&mut self, field: &Field<'_>) {
        read_sockets(field, &mut self.sockets);
    }

    pub(crate) fn rlimits(&mut self, field: &Field<'_>) {
        read_rlimits(field, &mut self.rlimits);
    }

    pub(crate) fn environment(&mut self, field: &Field<'_>) {
        read_environment(field, &mut self.environment);
    }

    pub(crate) fn env_file(&mut self, field: &Field<'_>) {
        let items = field.items();
        self.note_files(&items, env_file::EXAMPLE);
        self.files = items.iter().filter_map(|item| item.around.env_files.read_for(item, self.user.as_ref())).collect();
    }

    pub(crate) fn env_dir(&mut self, field: &Field<'_>) {
        let items = field.items();
        self.note_files(&items, env_dir::EXAMPLE);
        let read = |item: &Field<'_>| item.around.env_files.read_directory_for(item, self.user.as_ref());
        self.directories = items.iter().flat_map(read).collect();
    }

    fn note_files(&mut self, items: &[Field<'_>], example: &str) {
        self.variable_files.extend(items.iter().filter_map(|item| Some(named(item, example)?.0)));
    }

    pub(crate) fn clean_environment(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.clean_environment = flag;
        }
    }

    pub(crate) fn login_environment(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.keeps_login = !flag;
        }
    }

    pub(crate) fn ready(&mut self, field: &Field<'_>) {
        self.ready.read(field);
    }

    pub(crate) fn start_timeout(&mut self, field: &Field<'_>) {
        if let Some(timeout) = field.duration_of_at_least(Duration::from_millis(1)) {
            let is_chosen = timeout != InstanceSpec::START_TIMEOUT && field.owner.program().is_some();
            self.start_timeout = Some(timeout);
            self.start_timeout_at = is_chosen.then(|| field.place());
        }
    }

    pub(crate) fn watchdog(&mut self, field: &Field<'_>) {
        self.watchdog = field.duration().or(self.watchdog);
    }

    pub(crate) fn memory_max(&mut self, field: &Field<'_>) {
        self.memory_max = read_memory_max(field).filter(|limit| limit.max > 0);
    }

    pub(crate) fn probes(&mut self, field: &Field<'_>) {
        read_probes(field, &mut self.probes);
    }

    pub(crate) fn pre_start(&mut self, field: &Field<'_>) {
        self.hooks.read(Hook::PreStart, field);
    }

    pub(crate) fn post_start(&mut self, field: &Field<'_>) {
        self.hooks.read(Hook::PostStart, field);
    }

    pub(crate) fn pre_stop(&mut self, field: &Field<'_>) {
        self.hooks.read(Hook::PreStop, field);
    }

    pub(crate) fn post_stop(&mut self, field: &Field<'_>) {
        self.hooks.read(Hook::PostStop, field);
    }

    pub(crate) fn logs(&mut self, field: &Field<'_>) {
        self.output.read(field);
    }
}

fn is_captured(output: &OutputSpec) -> bool {
    let streams = [Some(&output.stdout), output.stderr.as_ref()];
    streams.into_iter().flatten().any(|target| matches!(target, Target::Capture(_)))
}
