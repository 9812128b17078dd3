//! `watch` of programs: waits for the kernel's reports about their files, has threads look at directories, and tells the loop which
//! files have changed.
//!
//! [`muster_watch::Followers`] decides. This is one task for all programs, without a timer while nothing changes. How much it takes from
//! the kernel's queue at a time is bounded: what overflows is found by looking.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_server::turn_clock::spawn;
use muster_spec::{InstanceSpec, ProcessSpec, ProgramSpec, Span, SpawnError, WatchPath, WatchSpec};
use muster_sys::spawn::DEFAULT_PATH;
use muster_watch::{Change, Followers, Look, Looked, MOST_LOOKS, Patterns, Queue, Ready, Report, Source, Told};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::reload::watch::reload_for_files;
use crate::shared::{Order, Shared};
use crate::thread_limit::ThreadLimit;

/// A flood of reports is taken in pieces: this many reads, each of some hundred reports at most, in a period.
const READS: u32 = 16;
const PERIOD: Duration = Duration::from_millis(10);

static THREADS: ThreadLimit = ThreadLimit::at_most(MOST_LOOKS);

/// A look that has ended; without a result if its thread could not be started or has failed.
type Ended = (u64, Option<Looked>);

/// Sends the result of a look, whatever becomes of its thread.
struct Ending {
    number: u64,
    looked: Option<Looked>,
    tell: mpsc::UnboundedSender<Ended>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // The receiver is gone only while the daemon exits.
        let _ = self.tell.send((self.number, self.looked.take()));
    }
}

/// The events that it waits for.
enum Happened {
    Turned,
    Reports(Vec<Report>),
    Looked(Ended),
    Due,
}

/// The number of reads in the current period.
#[derive(Default)]
struct Pace {
    reads: u32,
    until: Option<Instant>,
}

impl Pace {
    /// Counts a read.
    fn count(&mut self, now: Instant) {
        if self.until.is_none_or(|until| until <= now) {
            *self = Pace { reads: 0, until: Some(now + PERIOD) };
        }
        self.reads += 1;
    }

    /// Until when nothing more is read.
    fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| self.reads >= READS && *until > now)
    }
}

/// Follows the files of all programs; never returns.
pub(crate) async fn follow(shared: Rc<Shared>) {
    let mut followers = Followers::default();
    let mut queue: Option<(Queue, Ready)> = None;
    // At most one message of each thread.
    let (tell, mut ended) = mpsc::unbounded_channel();
    let mut pace = Pace::default();
    adopt(&shared, &mut followers, &mut queue);
    loop {
        if queue.is_some() && followers.is_at_rest() {
            (followers, queue) = (Followers::default(), None);
        }
        let now = Instant::now();
        for (number, look) in followers.begin_looks(now, queue.as_ref().map(|(queue, _)| queue)) {
            begin(&shared, number, look, &tell);
        }
        followers.take_changes(now).into_iter().for_each(|change| apply(&shared, change));
        let rests_until = pace.rests_until(now);
        let due = followers.deadline().into_iter().chain(rests_until).min();
        let happened = tokio::select! {
            () = shared.configuration.programs_turned.notified() => Happened::Turned,
            ended = ended.recv() => ended.map_or(Happened::Due, Happened::Looked),
            reports = read(queue.as_ref().filter(|_| rests_until.is_none())) => Happened::Reports(reports),
            () = sleep_until(due) => Happened::Due,
        };
        let now = Instant::now();
        match happened {
            Happened::Turned => adopt(&shared, &mut followers, &mut queue),
            Happened::Reports(reports) => {
                pace.count(now);
                reports.iter().for_each(|report| followers.take(now, report));
            }
            Happened::Looked((number, looked)) => {
                let queue = queue.as_ref().map(|(queue, _)| queue);
                if let Some(Told { program, begins, problems }) = followers.end_look(now, number, looked, queue) {
                    if let Some(directories) = begins {
                        info!(program, directories, "watching files");
                    }
                    problems.iter().for_each(|problem| complain(&shared, &program, problem));
                }
            }
            Happened::Due => {}
        }
    }
}

async fn read(queue: Option<&(Queue, Ready)>) -> Vec<Report> {
    let Some((queue, ready)) = queue else { return std::future::pending().await };
    match ready.read_with(|_| queue.read()).await {
        Ok(reports) => reports,
        // The queue cannot fail while it is open; if it does, changes are no longer noticed.
        Err(_) => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Follows the active configuration.
fn adopt(shared: &Shared, followers: &mut Followers, queue: &mut Option<(Queue, Ready)>) {
    let programs: Vec<_> = shared.supervisor.borrow().programs().to_vec();
    let mut watching = Vec::new();
    for program in &programs {
        let Some(spec) = &program.watch else { continue };
        match sources(shared, program, spec) {
            Ok(sources) => watching.push((program.name.clone(), WatchSpec::clone(spec), sources)),
            Err(error) => complain(shared, &program.name, &error.message),
        }
    }
    followers.adopt(Instant::now(), watching, queue.as_ref().map(|(queue, _)| queue));
    if followers.needs_queue() && queue.is_none() {
        match Queue::new() {
            Ok(new) => *queue = Some(new),
            Err(error) => {
                let hint = "is the limit fs.inotify.max_user_instances reached?";
                warn!(%error, hint, "cannot watch files of programs: changes are not noticed");
            }
        }
    }
}

/// The files of a program: those that its user looks at, and those that the daemon reads for it.
fn sources(shared: &Shared, program: &ProgramSpec, spec: &WatchSpec) -> Result<Vec<Source>, SpawnError> {
    let [mut own, mut secret, mut configuration] = [(); 3].map(|()| Patterns::default());
    spec.exclude.iter().for_each(|pattern| own.exclude(pattern));
    for path in &spec.paths {
        match path {
            WatchPath::Pattern(pattern) => own.add(pattern),
            WatchPath::Secrets => add(&mut secret, program, |it| secret_files(&it.process)),
            WatchPath::EnvFile => add(&mut configuration, program, |it| it.variable_files.to_vec()),
            WatchPath::Command => add(&mut own, program, |it| executables(&it.process)),
        }
    }
    let process = program.instances.first().map(|instance| &instance.process);
    let user = process.map(|process| shared.children.borrow_mut().other_user(process)).transpose()?.flatten();
    let mut sources = vec![Source { patterns: own, user, trusts_links: true, is_configuration: false }];
    sources.extend([(secret, false), (configuration, true)].map(|(patterns, is_configuration)| Source {
        patterns,
        user: None,
        trusts_links: false,
        is_configuration,
    }));
    sources.retain(|source| !source.patterns.is_empty());
    Ok(sources)
}

/// Adds paths of all instances, each once.
fn add(patterns: &mut Patterns, program: &ProgramSpec, paths: impl Fn(&InstanceSpec) -> Vec<PathBuf>) {
    let all: BTreeSet<PathBuf> = program.instances.iter().flat_map(|instance| paths(instance)).collect();
    all.iter().for_each(|path| patterns.add_path(path));
}

fn secret_files(process: &ProcessSpec) -> Vec<PathBuf> {
    let secrets = process.secrets.iter().map(|secret| secret.path.clone());
    secrets.chain(process.credentials.iter().map(|credential| credential.path.clone())).collect()
}

/// Where the executable of a command is, or may be: a search finds the first of these.
fn executables(process: &ProcessSpec) -> Vec<PathBuf> {
    let Some(command) = process.command.first() else { return Vec::new() };
    let within = |path: &Path| match &process.directory {
        Some(directory) => Some(directory.join(path)),
        None => std::path::absolute(path).ok(),
    };
    if command.contains('/') {
        return within(Path::new(command)).into_iter().collect();
    }
    let own = process.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.into());
    let is_inherited = !process.clean_environment && !process.unset.iter().any(|name| name == "PATH");
    let path = own.or_else(|| std::env::var_os("PATH").filter(|_| is_inherited));
    let path = path.unwrap_or_else(|| OsStr::from_bytes(DEFAULT_PATH).to_owned());
    std::env::split_paths(&path).filter_map(|directory| within(&directory.join(command))).collect()
}

/// Begins a look on a thread.
fn begin(shared: &Shared, number: u64, look: Look, tell: &mpsc::UnboundedSender<Ended>) {
    let ending = Ending { number, looked: None, tell: tell.clone() };
    let Some(counted) = THREADS.count() else {
        return complain(shared, DAEMON, &format!("{MOST_LOOKS} earlier looks at watched files have not returned"));
    };
    let thread = std::thread::Builder::new().name("watch".to_owned()).stack_size(256 * 1024);
    let begun = thread.spawn(move || {
        // As a whole: it is dropped by the thread, after the count, so that the next look has room.
        let mut ending = ending;
        let _counted = counted;
        ending.looked = Some(look.run());
    });
    if let Err(error) = begun {
        complain(shared, DAEMON, &format!("cannot start a thread to look at watched files: {error}"));
    }
}

fn complain(shared: &Shared, program: &str, problem: &str) {
    if let Some(suppressed) = shared.limits.pass(program, Notice::NotWatched).map(unless_none) {
        match program {
            DAEMON => warn!(suppressed, "cannot watch files of programs: {problem}"),
            program => warn!(program, suppressed, "cannot watch all files: {problem}"),
        }
    }
}

/// Tells the loop about a change, or the log that it is held.
fn apply(shared: &Rc<Shared>, change: Result<Change, (String, Duration)>) {
    let change = match change {
        Ok(change) => change,
        Err((program, left)) => {
            if let Some(suppressed) = shared.limits.pass(&program, Notice::Held).map(unless_none) {
                let left = Span(Duration::from_secs(left.as_secs() + 1)).to_string();
                warn!(%program, left, suppressed, "watched files change too often: held back, as at_most says");
            }
            return;
        }
    };
    if let Some(suppressed) = shared.limits.pass(&change.program, Notice::Watched).map(unless_none) {
        info!(program = %change.program, files = change.files, suppressed, "watched files have changed");
    }
    let shared = Rc::clone(shared);
    spawn(async move {
        // Variables from files are part of the configuration.
        let is_read = !change.of_configuration || reload_for_files(&shared).await;
        if is_read || change.of_others {
            let at = shared.clock.now() - change.at.elapsed();
            let order = Order::FilesChanged { program: change.program, files: change.files, at };
            // The loop is gone only while the daemon exits.
            let _ = shared.orders.send(order).await;
        }
    });
}
