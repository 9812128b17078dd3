//! The daemon: the shell around `muster-core`.
//!
//! The main parts: [`boot`] sets everything up, [`event_loop`] waits and passes what happened to the core,
//! [`children`] spawns and tracks processes, `logs` moves their output. [`http`] serves `musterctl`. Nothing in this
//! crate decides what to do with a program; that is the core's job.

#![forbid(unsafe_code)]

mod access;
mod announced;
mod boot;
mod children;
mod cli;
mod clock;
mod configuration;
mod core_dumps;
mod describe;
mod event_loop;
mod execs;
mod exit_evidence;
mod feeds;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod inspection;
mod listeners;
mod log_events;
mod main_log_events;
mod messengers;
mod notifiers;
mod notifying;
mod opened_again;
mod opening;
mod operations;
mod pidfile;
mod pools;
mod probes;
mod program_counters;
mod publish;
mod reload;
mod shared;
mod state;
mod supervisord;
mod thread_limit;
mod watches;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use muster_config::{Diagnostic, Loaded, RemoteText, Severity};
use muster_load::check::{self, Beside};
use muster_load::{config_files, doctor};
use muster_simulate::Host;
use muster_spec::{SourceSpec, Spec};
use muster_sys::say::{complain, say};

use cli::{Cli, Command};
use configuration::Sources;
use opening::Opening;
use supervisord::Program;

/// The parts of the daemon that simulations and rehearsals use.
const HOST: Host = Host {
    load: |paths| Ok(check::load_whole(&check::find(paths)?, &config_files::open, &fetch)),
    open: config_files::open,
    report: |loaded| check::write_diagnostics(&loaded.diagnostics),
    mask: muster_load::secrets::mask,
    supervise: |spec| boot::supervise(spec, Sources::default(), Opening::default()),
};

pub use muster_sys::boot::restore_blocked_signals;

/// The program `musterd`.
pub fn main() -> ExitCode {
    run_with(std::env::args_os())
}

/// Runs `musterd` with these arguments, the program's name first.
///
/// It first blocks signals, before it looks at anything else: PID 1 would lose them (pid_namespaces(7)), and any other
/// process would be killed by them.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    muster_sys::boot::take_signals();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // `musterd run` parses its own options, and shares nothing with the rest.
    if let Some(compat) = arguments.first().and_then(|name| muster_init::Compat::called(name)) {
        return ExitCode::from(muster_init::main_as(compat, &arguments));
    }
    if let Some(program) = arguments.first().and_then(|name| Program::of_this_process(name)) {
        return ExitCode::from(program.run(&arguments));
    }
    if arguments.get(1).is_some_and(|first| first == "run") {
        return ExitCode::from(muster_init::main(&arguments[2..]));
    }
    if let Some(code) = muster_simulate::part(HOST, &arguments) {
        return ExitCode::from(code);
    }
    muster_sys::boot::seal_inherited_descriptors();
    let first = arguments.get(1).cloned().unwrap_or_default();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // `docker run IMAGE bash`: the command takes the place of the daemon's arguments.
        Err(message) if is_a_command(&message, &first) => {
            let command = first.display();
            complain(&format!(
                "musterd: not a command of musterd: {first:?}\n\
                 hint: docker run --entrypoint {command} IMAGE runs it instead of musterd, musterd run -- {command} below it"
            ));
            return ExitCode::from(2);
        }
        Err(message) => {
            // Help goes to stdout and an error to stderr; a failed write does not matter.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2));
        }
    };
    if matches!(
        cli.command,
        Some(Command::Check { .. } | Command::Config { .. } | Command::Convert(_) | Command::Doctor { .. })
    ) {
        // They supervise nothing: Ctrl-C must end them.
        muster_sys::boot::give_signals_back();
    }
    ExitCode::from(match cli.command {
        None => supervise(&cli.config),
        Some(Command::Check { config, format, strict, offline }) => {
            check::check(&config, format, strict, if offline { None } else { Some(&fetch) })
        }
        Some(Command::Config { config, format }) => muster_load::config(&config, format),
        Some(Command::Convert(arguments)) => muster_load::convert(&arguments),
        Some(Command::Doctor { json }) => doctor::doctor(json),
        Some(Command::Schema) => {
            say(muster_config::json_schema().trim_end());
            0
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "musterd", &mut std::io::stdout());
            0
        }
        Some(Command::Man(arguments)) => muster_load::man(&arguments, Cli::command(), muster_init::HELP),
        Some(Command::Simulate(arguments)) => muster_simulate::simulate_command(HOST, &arguments),
        Some(Command::Rehearse(arguments)) => muster_simulate::rehearse_command(HOST, &arguments),
        Some(Command::Run { arguments }) => muster_init::main(&arguments),
    })
}

/// Reads each source once.
fn fetch(sources: &[SourceSpec]) -> Vec<Result<Vec<RemoteText>, String>> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let fetched = muster_sources::fetch_once(sources, &host.to_string_lossy());
    sources.iter().zip(fetched).map(|(source, fetched)| Ok(fetched?.texts_of(source))).collect()
}

/// Whether the first argument is probably a program that is to be run, and not a misspelt command.
fn is_a_command(error: &clap::Error, first: &OsString) -> bool {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let is_unknown = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
    let is_misspelt = error.get(ContextKind::SuggestedSubcommand).is_some();
    // And not an option of an existing command.
    let meant = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter().find_map(|kind| error.get(kind));
    let is_it = matches!(meant, Some(ContextValue::String(word)) if *word == first.to_string_lossy());
    is_unknown && is_it && !is_misspelt && !first.is_empty() && !first.to_string_lossy().starts_with('-')
}

/// The configuration with the numbers of instances that were chosen in an earlier life of the daemon. With sources, they count when
/// the first versions are read.
fn with_kept_scales(paths: &[std::path::PathBuf], loaded: Loaded) -> Loaded {
    let Some(spec) = loaded.spec.as_ref().filter(|spec| spec.sources.is_empty()) else { return loaded };
    let Some(directory) = spec.daemon.state_dir.as_deref().filter(|path| path.is_absolute()) else { return loaded };
    let kept = state::scales(muster_state::scales_in(directory));
    if kept.is_empty() {
        return loaded;
    }
    let beside = Beside { texts: &[], scales: Some(&kept) };
    let scaled = check::load_beside(paths, &config_files::open_again, beside);
    if scaled.spec.is_some() { scaled } else { loaded }
}

fn supervise(config: &[std::path::PathBuf]) -> u8 {
    match prepare(config) {
        Some((spec, sources, opening)) => boot::supervise(spec, sources, opening),
        None => 2,
    }
}

/// Reads the configuration and reports its mistakes.
fn prepare(config: &[std::path::PathBuf]) -> Option<(Spec, Sources, Opening)> {
    let paths = check::find(config).map_err(|message| complain(&message)).ok()?;
    let loaded = check::compactly(|| with_kept_scales(&paths, check::load(&paths, &config_files::open)));
    let is_note = |found: &Diagnostic| found.severity == Severity::Note;
    let (notes, findings): (Vec<_>, Vec<_>) = loaded.diagnostics.into_iter().partition(is_note);
    check::write_diagnostics(&findings);
    let opening = Opening::noting(notes.iter().map(Diagnostic::headline).collect());
    let sources = Sources::absolute(paths, loaded.files, loaded.looked_at).disguised_by(loaded.disguises);
    Some((loaded.spec?, sources, opening))
}
