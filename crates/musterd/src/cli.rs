//! The command line of `musterd`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use muster_load::{ConfigFormat, ConvertArgs, Format, ManArgs};
use muster_simulate::{RehearseArgs, SimulateArgs};

/// The supervisor for containers that run more than one program.
#[derive(Debug, Parser)]
#[command(
    name = "musterd",
    version,
    about = "The supervisor for containers that run more than one program",
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  musterd                          supervise what /etc/muster/muster.toml lists
  musterd -c app.toml              supervise what this file lists
  musterd check -c app.toml        find every mistake in it, and start nothing
  musterd run -- nginx -g 'daemon off;'    be the init of one program

Without -c the first of these is read: $MUSTER_CONFIG, /etc/muster/muster.toml, /etc/muster.toml, ./muster.toml.

While it runs: TERM, INT or QUIT stop everything in order, twice at once; HUP reads the configuration again; USR1 \
writes the status to the log; USR2 reopens log files. musterctl does the rest.

Exit codes: 0 stopped as asked, or all programs ended well; the failed program's own code (128+n for signal n, 127 \
not found, 126 not executable) when an essential one ended or all ended; 1 the daemon could not go on; 2 usage or \
configuration; 3 another daemon serves the socket."
)]
pub(crate) struct Cli {
    /// A file, a directory of *.toml, or https:// and etcds://. May be repeated, later ones win
    #[arg(short, long = "config", value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Report every error and warning of a configuration, and start nothing
    #[command(after_help = "Exit codes: 0 no errors; 2 errors (with --strict: warnings, too).")]
    Check {
        /// A file or directory, as for supervising
        #[arg(short, long = "config", value_name = "FILE")]
        config: Vec<PathBuf>,
        /// The format of the report
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Count warnings as errors
        #[arg(long)]
        strict: bool,
        /// Leave sources out, and check the local files alone
        #[arg(long)]
        offline: bool,
    },
    /// Print the effective configuration of a file, as a running daemon would show it
    ///
    /// Defaults, includes and variables are resolved, and secrets from variables and files masked. Reads TOML and
    /// supervisord configurations.
    #[command(after_help = "Exit codes: 0 printed; 2 errors in the configuration.")]
    Config {
        /// A file or directory, as for supervising
        #[arg(short, long = "config", value_name = "FILE")]
        config: Vec<PathBuf>,
        /// The format
        #[arg(long, value_enum, default_value_t = ConfigFormat::Toml)]
        format: ConfigFormat,
    },
    /// Write a musterd configuration from one of supervisord or s6-overlay, or from a Procfile
    #[command(after_help = "\
Examples:
  musterd convert supervisord.conf                    print TOML, and the differences on stderr
  musterd convert /etc/supervisor/conf.d -o muster.toml
  musterd convert rootfs --from s6 --report differences.txt

Each line of the report is: same, differs, lost or check, FILE:LINE, what it did → what it does now; what to do.

Exit codes: 0 converted; 1 with --strict, something has no equivalent; 2 unreadable, or the output exists.")]
    Convert(ConvertArgs),
    /// Show what a configuration would do, when and why, under a virtual clock
    ///
    /// The daemon's own decisions with scripted programs: RUNS says how each run of a program behaves,
    /// one after another, separated by commas.
    ///
    ///   1@200ms        ends with exit status 1 after 200 ms
    ///   sig:KILL@3s    is killed by a signal after 3 s
    ///   spawn-error    no such file; spawn-error:not-executable
    ///   hang           runs until it is stopped, as every run that RUNS does not name
    ///   ×5, ×*         five such runs; all further runs. x5 is the same
    ///   stop@2s        is killed by the stop signal 2 s later; stop:0@2s exits with 0 then;
    ///                  ignore-term, ignore:INT: ignores it
    ///   ready@2s       is ready after 2 s instead of at once; never-ready
    ///   unhealthy@5s   its probes fail from then on; silent@5s: so does its watchdog
    #[command(
        verbatim_doc_comment,
        after_help = "\
Examples:
  musterd simulate -c app.toml web --runs \"1@200ms ×5, sig:KILL@3s, spawn-error, 0@40s\"
  musterd simulate -c app.toml web=\"1@1s ×*\" db=\"hang ignore-term\" --stop-at 30s
  musterd simulate -c app.toml web=\"1@1s ×*\" --compare docker,kubernetes,supervisord,systemd
  musterd simulate --scenario tests/*.toml --junit report.xml

Exit codes: 0 simulated, and every expectation holds; 1 an expectation does not hold; 2 usage, configuration or scenario."
    )]
    Simulate(SimulateArgs),
    /// Play scenarios with real processes and real time, and compare with what simulate says
    #[command(after_help = "\
The daemon is real, and in place of each command there is a program that does what the scenario says.

Exit codes: 0 everything happened as simulated, in time; 1 something did not; 2 usage or scenario.")]
    Rehearse(RehearseArgs),
    /// Be the init of one program: forward signals, reap zombies, exit with its code
    ///
    /// Takes the options of tini and of dumb-init; `musterd run --help` shows them.
    #[command(disable_help_flag = true)]
    Run {
        /// Options, the program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Show what this machine or container allows musterd to do, and the consequences
    Doctor {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the configuration, for editors
    #[command(after_help = "\
In an editor with a language server for TOML (taplo, Even Better TOML):
  musterd schema > muster.schema.json
and as the first line of the configuration:
  #:schema ./muster.schema.json")]
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    #[command(after_help = "\
Examples:
  musterd man | man -l -
  musterd man muster.toml | man -l -
  musterd man --output target/man")]
    Man(ManArgs),
}

#[cfg(test)]
#[path = "../../../tests/harness/help.rs"]
mod help;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_paragraph_of_the_help_is_broken_by_hand() {
        help::check(&Cli::command());
    }
}
