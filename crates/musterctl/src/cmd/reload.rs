//! `musterctl reload`.

use muster_api::Verb;

use crate::failure::{Exit, Failure};
use crate::report::{Request, act};
use crate::session::Session;

/// Make programs reload their own configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each gets its `reloadsignal`, HUP by default; a program without one is restarted. \
To reload the configuration of musterd itself, use `musterctl update`.

Examples:
  musterctl reload nginx
  musterctl reload 'web:*' --timeout 1m")]
pub(crate) struct Args {
    #[command(flatten)]
    request: Request,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    act(Verb::Reload, &args.request, session)
}

#[cfg(test)]
mod tests {
    use muster_api::{Outcome, State};

    use crate::testing::{Daemon, report};

    #[test]
    fn each_line_says_whether_it_was_signalled_or_restarted() {
        let results = [
            ("nginx", Outcome::Signalled, State::Running, None),
            ("off", Outcome::NotRunning, State::Stopped, None),
            ("web", Outcome::Restarted, State::Running, None),
        ];
        let daemon = Daemon::answering([report(200, &results)]);
        let ended = daemon.run("reload nginx off web");
        assert_eq!((ended.out.as_str(), ended.code), ("nginx: signalled\noff: not running\nweb: restarted\n", 0));
        assert_eq!(daemon.asked_lines(), ["POST /v1/programs/nginx,off,web/reload?wait=30"]);
    }
}
