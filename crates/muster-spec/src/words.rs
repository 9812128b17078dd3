//! Keywords of the configuration: for each enum that is written as one word, its only list of words.

use crate::listen::{ExecAt, Role};
use crate::restart::{Exceeded, ExitAction, Forget, Preset, RestartWhen, StartFailures};
use crate::spec::{
    DependencyCondition, ExitStatus, FeedKind, Hook, Kind, Leftovers, LineFormat, ListenerMode, LogFormat, LogLevel,
    NotifyOn, OnFailure, Overflow, ProbeKind, RollingWait, RpcDuringShutdown, SecondSignal, ShutdownOrder, SocketKeep,
    StartOn, Stdin, StopKill, StopScope, SyslogFormat,
};
use crate::tls::{ClientCertificates, TlsVersion};

macro_rules! words {
    ($($kind:ident { $($word:literal => $variant:ident),+ $(,)? })+) => {
        $(impl $kind {
            /// The words, in the order in which messages list them.
            pub const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            /// Each word with its value.
            pub const ALL: [(&'static str, $kind); [$($word),+].len()] = [$(($word, $kind::$variant)),+];

            /// Its word in the configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $($kind::$variant => $word),+
                }
            }
        })+
    };
}

words! {
    RestartWhen { "no" => Never, "on-failure" => OnFailure, "always" => Always, "unless-stopped" => UnlessStopped }
    Preset { "docker" => Docker, "kubernetes" => Kubernetes, "supervisord" => Supervisord, "systemd" => Systemd }
    Forget { "with-delay" => WithDelay, "never" => Never }
    StartFailures { "policy" => Policy, "retry" => Retry, "final" => Final }
    ExitAction {
        "success" => Success, "failure" => Failure, "restart" => Restart, "restart-now" => RestartNow, "stop" => Stop,
        "fatal" => Fatal, "exit" => Exit, "restart-all" => RestartAll
    }
    Exceeded { "fatal" => Fatal, "wait" => WaitOut }
    Kind { "service" => Service, "oneshot" => Oneshot }
    SocketKeep { "wanted" => Wanted, "always" => Always }
    StartOn { "boot" => Boot, "connection" => Connection }
    StopScope { "main" => Main, "group" => Group }
    ShutdownOrder { "parallel" => Parallel, "serial" => Serial }
    RpcDuringShutdown { "answer" => Answer, "fault" => Fault }
    ListenerMode { "patient" => Patient, "exact" => Exact }
    ExitStatus { "cause" => Cause, "failures" => Failures, "zero" => Zero }
    ExecAt { "off" => Off, "unix" => Unix, "everywhere" => Everywhere }
    SecondSignal { "hurry" => Hurry, "interrupt" => Interrupt, "ignore" => Ignore }
    StopKill { "main" => Main, "group" => Group, "tree" => Tree }
    Leftovers { "stop" => Stop, "keep" => Keep }
    Hook { "pre_start" => PreStart, "post_start" => PostStart, "pre_stop" => PreStop, "post_stop" => PostStop }
    Stdin { "none" => Nothing, "pipe" => Pipe, "events" => Feed, "supervisor-events" => Events, "fifo" => Fifo, "file" => File }
    DependencyCondition {
        "started" => Started, "ready" => Ready, "healthy" => Healthy, "completed" => Completed, "exited" => Exited
    }
    ProbeKind { "liveness" => Liveness, "readiness" => Readiness, "startup" => Startup }
    OnFailure { "restart" => Restart, "stop" => Stop, "shutdown" => Shutdown, "none" => None }
    RollingWait { "ready" => Ready, "healthy" => Healthy, "running" => Running }
    FeedKind {
        "state" => State, "ended" => Ended, "retry" => Retry, "final" => Final, "ready" => Ready, "health" => Health,
        "failing" => Failing, "hook" => Hook, "rolling" => Rolling, "waiting" => Waiting, "skipped" => Skipped,
        "configured" => Configured, "source" => Source, "listener" => Listener, "killed" => Killed,
        "left_behind" => LeftBehind, "stuck" => Stuck, "shutdown" => Shutdown, "shutdown_hurried" => ShutdownHurried,
        "exiting" => Exiting
    }
    NotifyOn {
        "fatal" => Fatal, "exit" => Exit, "unhealthy" => Unhealthy, "oom" => Oom, "killed" => Killed, "restart" => Restart,
        "source" => Source, "shutdown" => Shutdown
    }
    LogLevel { "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace }
    LogFormat { "text" => Text, "json" => Json, "supervisord" => Supervisord }
    LineFormat { "text" => Text, "json" => Json, "raw" => Raw }
    Overflow { "drop" => Drop, "block" => Block }
    Role { "health" => Health, "metrics" => Metrics, "read" => Read, "control" => Control, "admin" => Admin }
    TlsVersion { "1.3" => Tls13, "1.2" => Tls12 }
    ClientCertificates { "request" => Request, "require" => Require }
    SyslogFormat { "rfc5424" => Rfc5424, "local" => Local }
}
