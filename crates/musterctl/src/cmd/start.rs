//! `musterctl start`.

use muster_api::Verb;

use crate::failure::{Exit, Failure};
use crate::report::{Request, act};
use crate::session::Session;

/// Start programs that are not running, and wait until they run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starting a running program is not an error.

Examples:
  musterctl start web
  musterctl start 'worker:*' db --timeout 1m
  musterctl start all --no-wait
  musterctl start backup --later")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,

    /// Only have programs with a schedule start at their times, and not now.
    #[arg(long)]
    later: bool,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    act(if args.later { Verb::Arm } else { Verb::Start }, &args.request, session)
}
