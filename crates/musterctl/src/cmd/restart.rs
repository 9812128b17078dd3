//! `musterctl restart`.

use std::num::NonZeroU32;

use muster_api::Verb;

use super::renew;
use crate::failure::{Exit, Failure};
use crate::report::{Request, act_rolling};
use crate::session::Session;

/// Stop programs if they are running, start them, and wait until they run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Programs that are not running are started. With --rolling, or where the program has the key `rolling`, one instance is restarted \
after another, each only while the others are as ready as before; the first that fails ends it, and the rest keeps its \
processes. With --update all differences are applied as by `musterctl update`, and each of these \
programs is restarted once.

Examples:
  musterctl restart web
  musterctl restart --update web
  musterctl restart 'worker:*' db --timeout 1m
  musterctl restart --rolling --parallel 2 web
  musterctl restart all --no-wait")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,

    /// Reload the configuration first and apply the differences, as `update` does.
    #[arg(long)]
    update: bool,

    /// Restart the instances of each program one after another.
    #[arg(long, conflicts_with = "update")]
    rolling: bool,

    /// With --rolling, how many instances at a time.
    #[arg(long, value_name = "NUMBER", default_value = "1", requires = "rolling")]
    parallel: NonZeroU32,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    if args.update {
        return renew::restart_updated(&args.request, session);
    }
    let rolling = args.rolling.then_some(args.parallel);
    act_rolling(Verb::Restart, rolling, &args.request, session)
}
