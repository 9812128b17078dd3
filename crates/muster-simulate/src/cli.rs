//! The words of `musterd simulate` and `musterd rehearse` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::scenario::{Ties, read_duration};

/// `musterd simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// What to read, as for supervising
    #[arg(short, long = "config", value_name = "FILE", conflicts_with = "scenario")]
    pub(crate) config: Vec<PathBuf>,
    /// A program to tell about, or PROGRAM=RUNS with what its runs come to
    #[arg(value_name = "PROGRAM[=RUNS]", conflicts_with = "scenario")]
    pub(crate) programs: Vec<String>,
    /// What the runs come to: of the one program that is named, or NAME=RUNS
    #[arg(long, value_name = "RUNS", conflicts_with = "scenario")]
    pub(crate) runs: Vec<String>,
    /// When the container is asked to stop (SIGTERM)
    #[arg(long, value_name = "TIME", value_parser = read_duration)]
    pub(crate) stop_at: Option<Duration>,
    /// When to look no further
    #[arg(long, value_name = "TIME", value_parser = read_duration)]
    pub(crate) until: Option<Duration>,
    /// Where chance begins: the same seed gives the same jitter
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// What comes first where a deadline and the end of a run fall on the same moment: deadline, exit
    #[arg(long, value_name = "WHICH", value_parser = read_ties)]
    pub(crate) ties: Option<Ties>,
    /// As one object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the timeline into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// The same runs under other systems' policies, side by side: docker, kubernetes, supervisord, systemd
    #[arg(long, value_name = "PRESET,…", value_delimiter = ',', conflicts_with_all = ["scenario", "svg"])]
    pub(crate) compare: Vec<String>,
    /// Check what these scenarios expect
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) scenario: Vec<PathBuf>,
    /// With --scenario: write a JUnit report there
    #[arg(long, value_name = "FILE", requires = "scenario")]
    pub(crate) junit: Option<PathBuf>,
    /// With --scenario: a scenario that expects nothing is a failure
    #[arg(long, requires = "scenario")]
    pub(crate) strict: bool,
    /// With --scenario: tell each story, also where all is as expected
    #[arg(long, requires = "scenario")]
    pub(crate) verbose: bool,
}

/// `musterd rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// What to rehearse
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) scenario: Vec<PathBuf>,
    /// Shorten every time by this factor, above what the scenario says: 0.1 is ten times as fast
    #[arg(long, value_name = "FACTOR", value_parser = read_scale)]
    pub(crate) scale: Option<f64>,
    /// How late or early an event may be after what it follows from
    #[arg(long, value_name = "TIME", value_parser = read_duration, default_value = "50ms")]
    pub(crate) tolerance: Duration,
    /// How often to play again, alone, what differed: a busy machine is late
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    pub(crate) retries: u32,
    /// How many scenarios at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub(crate) jobs: usize,
    /// Tell every event, expected and found
    #[arg(long)]
    pub(crate) verbose: bool,
}

fn read_ties(text: &str) -> Result<Ties, String> {
    let found = Ties::ALL.iter().find(|(name, _)| *name == text).map(|&(_, ties)| ties);
    found.ok_or_else(|| "deadline or exit".to_owned())
}

fn read_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.0001..=1.0).contains(scale));
    scale.ok_or_else(|| "a number from 0.0001 to 1".to_owned())
}
