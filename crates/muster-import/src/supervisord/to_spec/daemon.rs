//! `[supervisord]` and the servers: the daemon itself, and its control socket.

use std::path::{Path, PathBuf};

use muster_spec::{
    AutoLogSpec, DaemonSpec, ExitStatus, LogFormat, LogLevel, Resource, Rotation, RpcDuringShutdown, SecondSignal,
    ShutdownBudget, ShutdownOrder, SyslogFacility, SyslogSpec, descriptor_of,
};

use super::super::model::{Configuration, Level, Settings};
use super::super::world::Account;
use super::Context;

const SECTION: &str = "supervisord";

/// The daemon.
pub(super) fn daemon(context: &mut Context<'_>) -> DaemonSpec {
    let settings = &context.configuration.supervisord;
    unsupported(context);
    DaemonSpec {
        log_level: log_level(settings.loglevel),
        log_format: LogFormat::Text,
        log_to_syslog: is_logfile_set(context.configuration) && settings.logfile == "syslog",
        log_file: log_file(context, settings),
        log_to_stdout: false,
        log_rotation: Rotation {
            max_size: u64::try_from(settings.logfile_maxbytes).unwrap_or(0),
            max_files: u32::try_from(settings.logfile_backups.max(0)).unwrap_or(u32::MAX),
            compress: false,
        },
        // Programs get all the time they ask for.
        shutdown_timeout: ShutdownBudget::Unlimited,
        shutdown_order: if context.is_exact { ShutdownOrder::Serial } else { ShutdownOrder::Parallel },
        exit_status: if context.is_exact { ExitStatus::Zero } else { ExitStatus::Failures },
        second_signal: if context.is_exact { SecondSignal::Ignore } else { SecondSignal::Interrupt },
        rpc_during_shutdown: if context.is_exact { RpcDuringShutdown::Fault } else { RpcDuringShutdown::Answer },
        least_limits: least_limits(context, settings),
        exit_when_done: false,
        max_parallel_starts: 0,
        // It has become the user already.
        user: None,
        pidfile: Some(PathBuf::from(&settings.pidfile)),
        // `umask` and `directory` are for a daemon in the background.
        umask: context.inherited.umask,
        directory: None,
        watch: false,
        state_dir: None,
        timezone: "UTC".to_owned(),
        syslog: SyslogSpec { facility: facility(), as_supervisord: true, ..SyslogSpec::default() },
        auto_logs: Some(AutoLogSpec {
            directory: PathBuf::from(&settings.childlogdir),
            identifier: settings.identifier.clone(),
            keep_old: settings.nocleanup,
        }),
    }
}

/// Zero and less ask for nothing. The daemon refuses to start where it cannot raise a limit, as the original does.
fn least_limits(context: &mut Context<'_>, settings: &Settings) -> Vec<(Resource, u64)> {
    let mut limits = Vec::new();
    for (resource, key, least) in
        [(Resource::Nofile, "minfds", settings.minfds), (Resource::Nproc, "minprocs", settings.minprocs)]
    {
        let Some(least) = u64::try_from(least).ok().filter(|least| *least > 0) else { continue };
        limits.push((resource, least));
        let most = context.world.most(resource);
        if let Some(section) = section(context.configuration).filter(|_| least > most) {
            let message = format!("{key}={least} is more than the {most} that this daemon may have: it will not start");
            let hint = format!("write {key}={most}, or start it with a higher limit: docker run --ulimit");
            context.warn(section, Some(key), message, &hint);
        }
    }
    limits
}

fn facility() -> SyslogFacility {
    let user = SyslogFacility::ALL.into_iter().find(|(name, _)| *name == "user");
    user.map_or(SyslogFacility::DAEMON, |(_, facility)| facility)
}

fn log_level(level: Level) -> LogLevel {
    match level {
        Level::Critical | Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace | Level::Blather => LogLevel::Trace,
    }
}

/// The position of `[supervisord]`.
fn section(configuration: &Configuration) -> Option<usize> {
    configuration.sections.iter().position(|section| section.name == SECTION)
}

fn is_logfile_set(configuration: &Configuration) -> bool {
    section(configuration).is_some_and(|section| configuration.sections[section].entry("logfile").is_some())
}

/// A log file that the section names; otherwise messages go to standard error, which a container shows.
fn log_file(context: &Context<'_>, settings: &Settings) -> Option<PathBuf> {
    match settings.logfile.as_str() {
        _ if !is_logfile_set(context.configuration) => None,
        "syslog" => None,
        path if matches!(descriptor_of(Path::new(path)), Some(1 | 2)) => None,
        path => Some(PathBuf::from(path)),
    }
}

/// Settings that are not honoured yet, if they were made.
fn unsupported(context: &mut Context<'_>) {
    let configuration = context.configuration;
    let Some(section) = section(configuration) else { return };
    if common_user(context).is_some() {
        let message = "the daemon keeps its user; programs without one of their own run as this user";
        context.warn(section, Some("user"), message, "start musterd as this user to have it run so itself");
    }
}

/// The user of `[supervisord]`, if the daemon would have to change to become it.
pub(super) fn common_user(context: &Context<'_>) -> Option<String> {
    if context.inherited.becomes_user {
        return None;
    }
    let (configuration, world) = (context.configuration, context.world);
    let name = configuration.supervisord.user.as_deref()?;
    let by_number = || world.user(Account::Id(name.parse().ok()?));
    let user = world.user(Account::Name(name)).or_else(by_number);
    match user {
        Some(user) if user.id == world.uid() => None,
        Some(user) => Some(user.name),
        None => Some(name.to_owned()),
    }
}
