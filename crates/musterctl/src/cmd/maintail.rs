//! `musterctl maintail`: the daemon's own messages.

use muster_api::{LogFormat, LogQuery, Route};

use super::logs;
use crate::failure::{Exit, Failure};
use crate::logs::printer::Printer;
use crate::session::Session;

/// Show the daemon's own messages, the last 64 KiB of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  musterctl maintail
  musterctl maintail -f -n 20")]
pub(crate) struct Args {
    /// Go on with what is written from now on, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,

    /// How many of the last lines [default: 100].
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<u64>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let query = LogQuery { lines: args.lines, follow: args.follow, format: LogFormat::Json, ..LogQuery::default() };
    let printer = Printer::new(&[], false, session.out_is_terminal, session.coloured);
    logs::show(&[Route::DaemonLog { query }], printer, session)
}

#[cfg(test)]
mod tests {
    use muster_api::{EntryKind, LogEntry};

    use crate::testing::{Daemon, answer};

    #[test]
    fn messages_are_shown_as_they_are() {
        let entry = LogEntry::of(EntryKind::Line, "musterd").with_text(b"musterd is up");
        let daemon = Daemon::answering([answer(200, &entry)]);
        let ended = daemon.run("maintail -n 5");
        assert_eq!((ended.out.as_str(), ended.code), ("musterd is up\n", 0));
        assert_eq!(daemon.asked_lines(), ["GET /v1/logs?lines=5&format=json"]);
    }
}
