//! `musterctl restart`.

use muster_api::Verb;

use super::renew;
use crate::failure::{Exit, Failure};
use crate::report::{Request, act};
use crate::session::Session;

/// Stop programs if they are running, start them, and wait until they run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Programs that are not running are started. With --update all differences are applied as by `musterctl update`, and each of these \
programs is restarted once.

Examples:
  musterctl restart web
  musterctl restart --update web
  musterctl restart 'worker:*' db --timeout 1m
  musterctl restart all --no-wait")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,

    /// Reload the configuration first and apply the differences, as `update` does.
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    if args.update {
        return renew::restart_updated(&args.request, session);
    }
    act(Verb::Restart, &args.request, session)
}
