//! Files that are read before a process starts: on a thread, since a disk or a FIFO may be slow, and within a time.

use std::borrow::Cow;
use std::time::Duration;

use muster_secrets::{Prepared, Progress, RunDirectory, Wanted, prepare};
use muster_spec::{CredentialSpec, ProcessSpec, SpawnError, SpawnStep};
use muster_sys::trusted::Identity;
use tokio::sync::{Semaphore, oneshot};

use super::Children;
use crate::thread_limit::ThreadLimit;

/// Maximum number of processes whose files are read at the same time; the others wait.
const AT_ONCE: usize = 16;

/// Maximum number of threads, those included that were given up while they hung.
const MOST_THREADS: usize = 64;

/// How much longer than its patience a thread may take that does not hang.
const SLACK: Duration = Duration::from_millis(100);

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
static THREADS: ThreadLimit = ThreadLimit::at_most(MOST_THREADS);

/// Reads what a process needs, within its patience.
pub(crate) async fn read(wanted: Wanted, patience: Duration) -> Result<Prepared, SpawnError> {
    let _turn = TURNS.acquire().await;
    let (done, awaited) = oneshot::channel();
    let progress = Progress::default();
    let Some(counted) = THREADS.count() else {
        return Err(cannot(format!("cannot read secrets: {MOST_THREADS} earlier reads have not returned"), 0));
    };
    let thread = std::thread::Builder::new().name("secrets".to_owned()).stack_size(256 * 1024);
    let begun = thread.spawn({
        let progress = progress.clone();
        move || {
            let _counted = counted;
            // If it comes too late, dropping it removes everything.
            let _ = done.send(prepare(&wanted, patience, &progress));
        }
    });
    begun.map_err(|error| {
        cannot(format!("cannot start a thread to read secrets: {error}"), error.raw_os_error().unwrap_or(0))
    })?;
    match tokio::time::timeout(patience + SLACK, awaited).await {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(_)) => Err(cannot("cannot read secrets: internal error, see the log".to_owned(), 0)),
        Err(_) => Err(progress.too_slow(patience)),
    }
}

fn cannot(message: String, errno: i32) -> SpawnError {
    SpawnError { step: SpawnStep::Secret, errno, message }
}

impl Children {
    /// The files to read before this process starts; `None` if there are none.
    pub(crate) fn wanted(&mut self, process: &ProcessSpec) -> Result<Option<Wanted>, SpawnError> {
        if !process.reads_files() || process.refusal.is_some() {
            return Ok(None);
        }
        let user = self.other_user(process)?;
        Ok(Some(Wanted::of(process, user, &self.credentials_home)))
    }

    /// The user of a process; `None` if it is the daemon's.
    pub(crate) fn other_user(&mut self, process: &ProcessSpec) -> Result<Option<Identity>, SpawnError> {
        let own_gid = nix::unistd::getegid().as_raw();
        let account = process.user.as_ref().map(|user| self.spawner.accounts().account(user, own_gid)).transpose();
        let account =
            account.map_err(|error| SpawnError { step: SpawnStep::User, errno: 0, message: error.to_string() })?;
        let user = account.as_ref().map(Identity::from);
        Ok(user.filter(|user| user.uid != nix::unistd::geteuid().as_raw()))
    }

    /// The same for a command that runs beside a run of its program: variables, but no copies of its own.
    pub(crate) fn wanted_beside(&mut self, process: &ProcessSpec) -> Result<Option<Wanted>, SpawnError> {
        match process.secrets.is_empty() {
            true => Ok(None),
            false => Ok(self.wanted(process)?.map(Wanted::without_copies)),
        }
    }

    /// Keeps the copies of a process as long as its tree lives.
    pub(super) fn keep_credentials(&mut self, id: muster_spec::RunId, prepared: Prepared) {
        self.credentials.extend(prepared.directory.map(|directory| (id, directory)));
    }
}

/// A process with the directory of its copies in place of the word that stands for it.
pub(super) fn with_directory<'a>(process: &'a ProcessSpec, directory: Option<&RunDirectory>) -> Cow<'a, ProcessSpec> {
    let names_it = |word: &String| word.contains(CredentialSpec::PLACEHOLDER);
    let Some(directory) = directory.filter(|_| process.command.iter().any(names_it)) else {
        return Cow::Borrowed(process);
    };
    let command = process.command.iter().map(|word| word.replace(CredentialSpec::PLACEHOLDER, directory.text()));
    Cow::Owned(ProcessSpec { command: command.collect(), ..process.clone() })
}

/// The variable with that directory.
pub(super) fn variable(directory: Option<&RunDirectory>) -> Option<(&'static str, &str)> {
    directory.map(|directory| (CredentialSpec::VARIABLE, directory.text()))
}
