//! `musterctl start`.

use muster_api::Verb;

use crate::failure::{Exit, Failure};
use crate::report::{Request, act};
use crate::session::Session;

/// Start programs that do not run, and wait until they do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starting what runs is no error.

Examples:
  musterctl start web
  musterctl start 'worker:*' db --timeout 1m
  musterctl start all --no-wait")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    act(Verb::Start, &args.request, session)
}
