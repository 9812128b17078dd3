//! `[supervisord]` and the servers: the daemon itself, and its control socket.

use std::path::{Path, PathBuf};

use muster_spec::{
    AutoLogSpec, ControlSpec, DaemonSpec, ExitStatus, LogFormat, LogLevel, Resource, Rotation, SecondSignal,
    ShutdownBudget, ShutdownOrder, SyslogFacility, SyslogSpec, UserSpec, descriptor_of,
};

use super::super::model::{Address, Configuration, Level, Owner, Settings};
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
        log_file: log_file(context, settings),
        log_to_stdout: false,
        log_rotation: Rotation {
            max_size: u64::try_from(settings.logfile_maxbytes).unwrap_or(0),
            max_files: u32::try_from(settings.logfile_backups.max(0)).unwrap_or(u32::MAX),
            compress: false,
        },
        // Programs get all the time they ask for.
        shutdown_timeout: ShutdownBudget::Unlimited,
        shutdown_order: ShutdownOrder::Parallel,
        exit_status: ExitStatus::Failures,
        second_signal: SecondSignal::Interrupt,
        least_limits: least_limits(settings),
        exit_when_done: false,
        pidfile: Some(PathBuf::from(&settings.pidfile)),
        // `umask` and `directory` are for a daemon in the background.
        umask: context.inherited.umask,
        directory: None,
        watch: false,
        syslog: SyslogSpec { facility: facility(), ..SyslogSpec::default() },
        auto_logs: Some(AutoLogSpec {
            directory: PathBuf::from(&settings.childlogdir),
            identifier: settings.identifier.clone(),
            keep_old: settings.nocleanup,
        }),
    }
}

/// Zero and less ask for nothing.
fn least_limits(settings: &Settings) -> Vec<(Resource, u64)> {
    let least = [(Resource::Nofile, settings.minfds), (Resource::Nproc, settings.minprocs)];
    let positive = |(resource, least)| Some((resource, u64::try_from(least).ok().filter(|least| *least > 0)?));
    least.into_iter().filter_map(positive).collect()
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

/// A log file that the section names; otherwise messages go to standard error, which a container shows.
fn log_file(context: &mut Context<'_>, settings: &Settings) -> Option<PathBuf> {
    let section = section(context.configuration)?;
    context.configuration.sections[section].entry("logfile")?;
    match settings.logfile.as_str() {
        "syslog" => {
            let message = "the main log goes to standard error, not to syslog yet";
            context.warn(section, Some("logfile"), message, "name a file, or leave logfile out");
            None
        }
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

/// The control socket: the first server on a Unix socket, or else musterd's own.
pub(super) fn control(context: &mut Context<'_>) -> ControlSpec {
    let mut control = ControlSpec {
        socket: Some(PathBuf::from(ControlSpec::DEFAULT_SOCKET)),
        mode: ControlSpec::DEFAULT_MODE,
        owner: None,
        allow_users: Vec::new(),
        readonly_users: Vec::new(),
    };
    let mut has_socket = false;
    for server in &context.configuration.servers {
        match &server.address {
            Address::Inet { .. } => {
                let message = "the daemon does not listen on TCP yet";
                context.warn(server.section, Some("port"), message, "musterctl uses the Unix socket");
            }
            Address::Unix { .. } if has_socket => {
                let message = "only the first Unix socket is served yet";
                context.warn(server.section, Some("file"), message, "leave this one out");
            }
            Address::Unix { file, chmod, chown } => {
                has_socket = true;
                control.socket = Some(PathBuf::from(file));
                // The lowest nine bits are permissions.
                control.mode = u32::try_from(chmod & 0o777).unwrap_or(ControlSpec::DEFAULT_MODE);
                control.owner = chown.as_ref().map(owner);
                if server.login.is_some() {
                    let message = "passwords are not checked yet: the user of the client counts";
                    context.warn(server.section, Some("password"), message, "root and the daemon's user have access");
                }
                if control.mode & 0o077 != 0 {
                    let message = "other users can connect, and are refused";
                    context.warn(server.section, Some("chmod"), message, "root and the daemon's user have access");
                }
            }
        }
    }
    control
}

fn owner(owner: &Owner) -> UserSpec {
    UserSpec { user: owner.user.name.clone(), group: owner.group.map(|group| group.to_string()) }
}
