//! The command line of `musterd simulate` and `musterd rehearse`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::scenario::{Ties, read_duration};

/// `musterd simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The configuration, as for supervising
    #[arg(short, long = "config", value_name = "FILE", conflicts_with = "scenario")]
    pub(crate) config: Vec<PathBuf>,
    /// A program to show, or PROGRAM=RUNS with the script of its runs
    #[arg(value_name = "PROGRAM[=RUNS]", conflicts_with = "scenario")]
    pub(crate) programs: Vec<String>,
    /// The script of the runs: of the one program that is named, or NAME=RUNS
    #[arg(long, value_name = "RUNS", conflicts_with = "scenario")]
    pub(crate) runs: Vec<String>,
    /// When the container gets SIGTERM
    #[arg(long, value_name = "TIME", value_parser = read_duration)]
    pub(crate) stop_at: Option<Duration>,
    /// When a client comes to a program that starts on a connection: NAME@TIME
    #[arg(long, value_name = "NAME@TIME", conflicts_with = "scenario")]
    pub(crate) connect: Vec<String>,
    /// When the simulation stops
    #[arg(long, value_name = "TIME", value_parser = read_duration)]
    pub(crate) until: Option<Duration>,
    /// The date and time at which it begins, for schedules: 2026-03-28T23:00+01:00
    #[arg(long, value_name = "TIME", value_parser = read_date)]
    pub(crate) from: Option<i64>,
    /// The random seed: the same seed gives the same jitter
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Which comes first when a deadline and the end of a run coincide: deadline, exit
    #[arg(long, value_name = "WHICH", value_parser = read_ties)]
    pub(crate) ties: Option<Ties>,
    /// Print the timeline as one object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the timeline into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Show the same runs under other systems' policies, side by side: docker, kubernetes, supervisord, systemd
    #[arg(long, value_name = "PRESET,…", value_delimiter = ',', conflicts_with_all = ["scenario", "svg"])]
    pub(crate) compare: Vec<String>,
    /// Check the expectations of these scenarios
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) scenario: Vec<PathBuf>,
    /// Make every decision of a recording of a daemon again, as GET /v1/debug/recording answers it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "programs", "runs", "stop_at", "connect", "until", "from", "seed", "ties", "svg", "compare", "scenario"])]
    pub(crate) replay: Option<PathBuf>,
    /// With --scenario: write a JUnit report to this file
    #[arg(long, value_name = "FILE", requires = "scenario")]
    pub(crate) junit: Option<PathBuf>,
    /// With --scenario: treat a scenario without expectations as a failure
    #[arg(long, requires = "scenario")]
    pub(crate) strict: bool,
    /// With --scenario: show every timeline, including those that are as expected
    #[arg(long, requires = "scenario")]
    pub(crate) verbose: bool,
}

/// `musterd rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The scenarios to rehearse
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) scenario: Vec<PathBuf>,
    /// Multiply every time by this factor, in addition to the scenario's own: 0.1 is ten times as fast
    #[arg(long, value_name = "FACTOR", value_parser = read_scale)]
    pub(crate) scale: Option<f64>,
    /// How late or early an event may be, relative to the event it follows from
    #[arg(long, value_name = "TIME", value_parser = read_duration, default_value = "50ms")]
    pub(crate) tolerance: Duration,
    /// How often a scenario that differed is played again, alone, since a busy machine is late
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    pub(crate) retries: u32,
    /// How many scenarios run in parallel
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub(crate) jobs: usize,
    /// Show every event, expected and actual
    #[arg(long)]
    pub(crate) verbose: bool,
}

fn read_ties(text: &str) -> Result<Ties, String> {
    let found = Ties::ALL.iter().find(|(name, _)| *name == text).map(|&(_, ties)| ties);
    found.ok_or_else(|| "deadline or exit".to_owned())
}

fn read_date(text: &str) -> Result<i64, String> {
    muster_schedule::seconds_of(text)
        .ok_or_else(|| "a date and a time with its offset: 2026-03-28T23:00+01:00".to_owned())
}

fn read_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.0001..=1.0).contains(scale));
    scale.ok_or_else(|| "a number from 0.0001 to 1".to_owned())
}
