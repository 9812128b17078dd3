//! `musterctl stop`.

use muster_api::Verb;

use crate::failure::{Exit, Failure};
use crate::report::{Request, act};
use crate::session::Session;

/// Stop programs with all their processes, and wait until they have exited.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stopping a program that is not running is not an error. A stopped program stays down until it is started.

Examples:
  musterctl stop web
  musterctl stop 'worker:*' db --timeout 1m
  musterctl stop all --no-wait")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    act(Verb::Stop, &args.request, session)
}
