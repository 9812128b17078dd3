//! `musterctl shutdown`.

use muster_api::{Route, ShutdownBody};
use muster_spec::ShutdownBudget;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::span;

/// Stop everything in order and exit the daemon, and with it the container.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Returns as soon as the daemon has accepted the request. The daemon then exits with 0.

Examples:
  musterctl shutdown
  musterctl shutdown --timeout 5s")]
pub(crate) struct Args {
    /// The time budget, instead of the configured shutdown_timeout; `unlimited` gives every program its full stopwaitsecs.
    /// During a shutdown it applies only if it is less than what remains.
    #[arg(long, value_name = "SPAN", value_parser = budget)]
    timeout: Option<ShutdownBudget>,
}

fn budget(text: &str) -> Result<ShutdownBudget, String> {
    if text == "unlimited" { Ok(ShutdownBudget::Unlimited) } else { span::parse(text).map(ShutdownBudget::Within) }
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let body = ShutdownBody {
        timeout: args.timeout.and_then(ShutdownBudget::limit).map(|span| span.as_secs_f64()),
        unlimited: args.timeout == Some(ShutdownBudget::Unlimited),
    };
    let answer = session.client.ask_with(&Route::Shutdown, &body)?;
    answer.read::<muster_api::Info>(&[202])?;
    if session.json {
        session.raw_json(&answer.body);
    } else {
        session.line("musterd: shutting down");
    }
    Ok(Exit::Well)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Asked, Daemon, answer, info};

    #[test]
    fn the_budget_is_in_the_body() {
        for (line, body) in [
            ("shutdown", r#"{"timeout":null}"#),
            ("shutdown --timeout 500ms", r#"{"timeout":0.5}"#),
            ("shutdown --timeout unlimited", r#"{"timeout":null,"unlimited":true}"#),
        ] {
            let daemon = Daemon::answering([answer(202, &info())]);
            let ended = daemon.run(line);
            assert_eq!((ended.out.as_str(), ended.code), ("musterd: shutting down\n", 0));
            assert_eq!(daemon.asked(), [Asked { line: "POST /v1/shutdown".to_owned(), body: body.to_owned() }]);
        }
    }
}
