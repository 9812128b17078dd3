//! Reading the configuration on a thread of its own, which ends with that.
//!
//! The result is ready to be applied and shown; the texts of the files are dropped with the thread.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use muster_api::{ConfigReport, Diagnostic, Problem, ProblemKind};
use muster_config::{Loaded, RemoteText, Severity};
use muster_listen::tls::Servers;
use muster_load::auto_logs::{AutoLogs, Choice};
use muster_load::check::{self, Beside};
use muster_load::config_files;
use muster_spec::Scales;
use muster_sys::user::Accounts;
use tokio::sync::oneshot;

use crate::access::rules;
use crate::configuration::New;
use crate::configuration::look::{Look, look};

/// Parsing recurses no deeper than TOML's own limit of nested tables.
const STACK: usize = 2 << 20;

/// The result of reading.
pub(crate) struct Reading {
    /// The configuration; `None` where there is any error.
    pub(crate) new: Option<New>,
    /// Every file and directory that it depends on, as it was.
    pub(crate) looks: Vec<Look>,
    /// Every mistake.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads the configuration to apply it, or with `dry_run` to plan that.
pub(super) async fn read(
    paths: Vec<PathBuf>,
    (texts, scales): (Vec<RemoteText>, Scales),
    auto_logs: Arc<Mutex<AutoLogs>>,
    dry_run: bool,
) -> Result<Reading, Problem> {
    let read = on_a_thread(move || {
        let beside = Beside { texts: &texts, scales: Some(&scales) };
        let mut loaded = check::compactly(|| check::load_beside(&paths, &config_files::open_again, beside));
        if let Some(spec) = &mut loaded.spec {
            let choice = if dry_run { Choice::Known } else { Choice::Create };
            let mut auto_logs = auto_logs.lock().unwrap_or_else(PoisonError::into_inner);
            auto_logs.choose(spec, &mut loaded.disguises, choice);
        }
        // Notes were logged at the start.
        let mut diagnostics = diagnostics(&loaded);
        diagnostics.retain(|found| found.severity != Severity::Note.name());
        let servers = loaded.spec.as_ref().map(|spec| Servers::of(&spec.control)).transpose()?;
        let servers = Arc::new(servers.unwrap_or_default());
        let new = loaded.spec.take().map(|spec| New {
            access: rules(&spec.control, &mut Accounts::default()),
            servers: Arc::clone(&servers),
            spec,
            files: loaded.files,
            disguises: loaded.disguises,
            scales,
            restarts_all: false,
        });
        Ok(Reading { new, looks: look(loaded.looked_at), diagnostics })
    });
    // A certificate that was valid a moment ago.
    read.await?
        .map_err(|error: String| Problem::new(ProblemKind::BadConfiguration, format!("{error}; nothing was changed")))
}

/// Reads the configuration to report every mistake, and also looks for its commands and directories.
pub(crate) async fn check(paths: Vec<PathBuf>, texts: Vec<RemoteText>) -> Result<ConfigReport, Problem> {
    on_a_thread(move || {
        let beside = Beside { texts: &texts, scales: None };
        let mut loaded = check::load_beside(&paths, &config_files::open_again, beside);
        check::look_at_machine(&mut loaded);
        let count = |severity| {
            let count = loaded.diagnostics.iter().filter(|found| found.severity == severity).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        ConfigReport {
            files: loaded.files.iter().map(|path| path.display().to_string()).collect(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            diagnostics: diagnostics(&loaded),
        }
    })
    .await
}

fn diagnostics(loaded: &Loaded) -> Vec<Diagnostic> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let diagnostic = |found: &muster_config::Diagnostic| Diagnostic {
        severity: found.severity.name().to_owned(),
        file: found.file.display().to_string(),
        line: number(found.line),
        column: number(found.column),
        message: found.message.clone(),
        hint: found.hint.clone(),
        program: found.program.clone(),
        text: found.text(),
    };
    loaded.diagnostics.iter().map(diagnostic).collect()
}

/// Runs this on a thread, and waits for it.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let (done, awaited) = oneshot::channel();
    let thread = std::thread::Builder::new().name("config".to_owned()).stack_size(STACK);
    let begun = thread.spawn(move || {
        // The receiver is gone when the daemon is about to exit.
        let _ = done.send(work());
    });
    let internal = |why: String| Problem::new(ProblemKind::Internal, format!("cannot read the configuration: {why}"));
    begun.map_err(|error| internal(error.to_string()))?;
    // A thread that ends without a result has panicked, and the log has the message.
    awaited.await.map_err(|_| internal("internal error, see the log".to_owned()))
}
