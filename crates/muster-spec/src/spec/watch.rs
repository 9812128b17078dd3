//! Files whose changes restart a program.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::signal::Signal;

/// The files of a program that are watched, and the effect of a change. As data, it has only what the rules depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSpec {
    /// The files.
    #[serde(skip)]
    pub paths: Vec<WatchPath>,
    /// Patterns of files and directories among them that do not count.
    #[serde(skip)]
    pub exclude: Vec<String>,
    /// How long no file must change before it has an effect.
    pub debounce: Duration,
    /// The effect on a running instance.
    pub action: WatchAction,
    /// How often it has an effect.
    pub at_most: WatchRate,
    /// How often the files are looked at where the kernel reports no changes; `None` waits for its reports.
    pub poll: Option<Duration>,
}

impl WatchSpec {
    /// Default of `debounce`.
    pub const DEBOUNCE: Duration = Duration::from_millis(300);
    /// The shortest `poll`.
    pub const SHORTEST_POLL: Duration = Duration::from_millis(100);

    /// These files, with defaults for everything else.
    pub fn of(paths: Vec<WatchPath>) -> WatchSpec {
        WatchSpec {
            paths,
            exclude: Vec::new(),
            debounce: WatchSpec::DEBOUNCE,
            action: WatchAction::Restart,
            at_most: WatchRate::DEFAULT,
            poll: None,
        }
    }
}

/// Files of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchPath {
    /// Those that an absolute pattern matches.
    Pattern(String),
    /// Those of `secrets` and `credentials`.
    Secrets,
    /// Those of `env_file` and `env_dir`.
    EnvFile,
    /// The executable of `command`.
    Command,
}

impl WatchPath {
    /// Each word that stands for files of other keys.
    pub const WORDS: [(&'static str, WatchPath); 3] =
        [("@secrets", WatchPath::Secrets), ("@env_file", WatchPath::EnvFile), ("@command", WatchPath::Command)];

    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            WatchPath::Pattern(pattern) => pattern,
            WatchPath::Secrets => "@secrets",
            WatchPath::EnvFile => "@env_file",
            WatchPath::Command => "@command",
        }
    }
}

/// The effect of a change on a running instance. One that is starting is restarted in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchAction {
    /// A restart.
    Restart,
    /// As `musterctl reload NAME`: `reloadsignal`, or a restart without one.
    Reload,
    /// This signal.
    Signal(Signal),
}

/// How often a change may have an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRate {
    /// This many times.
    pub times: u32,
    /// In any span of this length.
    pub per: Duration,
}

impl WatchRate {
    /// Default of `at_most`.
    pub const DEFAULT: WatchRate = WatchRate { times: 10, per: Duration::from_secs(60) };
    /// The most `times`.
    pub const MOST: u32 = 1000;
}
