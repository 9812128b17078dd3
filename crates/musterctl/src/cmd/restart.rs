//! `musterctl restart`.

use muster_api::Verb;

use super::report::{Request, act};
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Stop programs if they run, start them, and wait until they run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What does not run is started.

Examples:
  musterctl restart web
  musterctl restart 'worker:*' db --timeout 1m
  musterctl restart all --no-wait")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    act(Verb::Restart, &args.request, session)
}
