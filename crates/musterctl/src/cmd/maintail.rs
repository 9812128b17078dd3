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
    /// Continue with new messages until Ctrl-C.
    #[arg(short, long)]
    follow: bool,

    /// Number of lines [default: 100].
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<u64>,

    /// supervisorctl's syntax: -1000.
    #[arg(value_name = "LAST", hide = true, allow_negative_numbers = true, conflicts_with = "lines")]
    last: Option<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let last = args.last.as_ref().map(|last| logs::parse_last(last.strip_prefix('-').unwrap_or(last))).transpose()?;
    let query =
        LogQuery { lines: args.lines.or(last), follow: args.follow, format: LogFormat::Json, ..LogQuery::default() };
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
        let daemon = Daemon::answering([answer(200, &entry)]);
        assert_eq!(daemon.run("maintail -5").code, 0);
        assert_eq!(daemon.asked_lines(), ["GET /v1/logs?lines=5&format=json"]);
    }
}
