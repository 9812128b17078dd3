//! The command line of `musterd simulate` and `musterd rehearse`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use muster_config::scenario::{Ties, read_duration};

/// `musterd simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Configuration files to read instead of the default ones
    #[arg(short, long = "config", value_name = "FILE", conflicts_with = "scenario")]
    pub(crate) config: Vec<PathBuf>,
    /// A program to report on, or PROGRAM=RUNS with how its runs end
    #[arg(value_name = "PROGRAM[=RUNS]", conflicts_with = "scenario")]
    pub(crate) programs: Vec<String>,
    /// How runs end: of the only program named, or NAME=RUNS
    #[arg(long, value_name = "RUNS", conflicts_with = "scenario")]
    pub(crate) runs: Vec<String>,
    /// When the container gets SIGTERM
    #[arg(long, value_name = "TIME", value_parser = read_duration)]
    pub(crate) stop_at: Option<Duration>,
    /// When the simulation ends
    #[arg(long, value_name = "TIME", value_parser = read_duration)]
    pub(crate) until: Option<Duration>,
    /// Seed of the random numbers: the same seed gives the same jitter
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// What comes first if a deadline and the end of a run fall on the same time: deadline, exit
    #[arg(long, value_name = "WHICH", value_parser = read_ties)]
    pub(crate) ties: Option<Ties>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the timeline as an SVG picture to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Compare with other systems' policies, side by side: docker, kubernetes, supervisord, systemd
    #[arg(long, value_name = "PRESET,…", value_delimiter = ',', conflicts_with_all = ["scenario", "svg"])]
    pub(crate) compare: Vec<String>,
    /// Check the expectations of these scenarios
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) scenario: Vec<PathBuf>,
    /// With --scenario: write a JUnit report to this file
    #[arg(long, value_name = "FILE", requires = "scenario")]
    pub(crate) junit: Option<PathBuf>,
    /// With --scenario: fail scenarios without expectations
    #[arg(long, requires = "scenario")]
    pub(crate) strict: bool,
    /// With --scenario: print the timeline of every scenario, not only of failed ones
    #[arg(long, requires = "scenario")]
    pub(crate) verbose: bool,
}

/// `musterd rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// Scenarios to rehearse
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) scenario: Vec<PathBuf>,
    /// Multiply all times by this factor, in addition to the scenario's own: 0.1 is ten times as fast
    #[arg(long, value_name = "FACTOR", value_parser = read_scale)]
    pub(crate) scale: Option<f64>,
    /// How late or early an event may be relative to its cause
    #[arg(long, value_name = "TIME", value_parser = read_duration, default_value = "50ms")]
    pub(crate) tolerance: Duration,
    /// How often to repeat a scenario that differed, by itself: a busy machine is late
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    pub(crate) retries: u32,
    /// How many scenarios to rehearse at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub(crate) jobs: usize,
    /// Print every event, expected and found
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
