//! `musterctl source`: holds, releases or refreshes a source.

use std::time::Duration;

use muster_api::{Route, Source, SourceVerb};

use super::sources;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::span;

/// Hold new versions of a source back, release it, or ask its server now.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A held source keeps its active version, also over `update`, until it is released or the daemon restarts.

Examples:
  musterctl source hold fleet --for 1h
  musterctl source release fleet
  musterctl source refresh fleet")]
pub(crate) struct Args {
    /// The action.
    #[arg(value_enum, value_name = "VERB")]
    verb: Verb,

    /// The source: `musterctl sources` lists them.
    #[arg(value_name = "NAME")]
    name: String,

    /// How long to hold it: 30s, 10m, 1h.
    #[arg(long = "for", value_name = "TIME", value_parser = span::parse)]
    span: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Verb {
    /// Hold new versions back
    Hold,
    /// Let new versions become active again
    Release,
    /// Ask the server now, and try a refused version again
    Refresh,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let verb = match args.verb {
        Verb::Hold => SourceVerb::Hold,
        Verb::Release => SourceVerb::Release,
        Verb::Refresh => SourceVerb::Refresh,
    };
    let span = args.span.filter(|_| verb == SourceVerb::Hold);
    let answer = session.client.ask(&Route::Source { verb, name: args.name.clone(), span })?;
    let all: Vec<Source> = answer.read(&[200])?;
    if session.json {
        session.raw_json(&answer.body);
    } else {
        let of_name: Vec<Source> = all.into_iter().filter(|source| source.name == args.name).collect();
        sources::show(&of_name, session);
    }
    Ok(Exit::Well)
}

#[cfg(test)]
mod tests {
    use muster_api::{Problem, ProblemKind, SourceState};

    use crate::cmd::sources::tests::source;
    use crate::testing::{Daemon, answer, problem};

    #[test]
    fn each_verb_is_a_request_and_shows_the_source() {
        for (line, request) in [
            ("source hold b --for 1h", "POST /v1/sources/b/hold?for=3600"),
            ("source hold b", "POST /v1/sources/b/hold"),
            ("source release b", "POST /v1/sources/b/release"),
            ("source refresh b", "POST /v1/sources/b/refresh"),
        ] {
            let sources = vec![source("a", SourceState::Active), source("b", SourceState::Held)];
            let daemon = Daemon::answering([answer(200, &sources)]);
            let ended = daemon.run(line);
            assert!(ended.out.contains("held") && !ended.out.contains("\na "), "{}", ended.out);
            assert_eq!((daemon.asked_lines()[0].as_str(), ended.code), (request, 0));
        }
    }

    #[test]
    fn an_unknown_source_is_exit_code_4() {
        let unknown = Problem::new(ProblemKind::NoSuchSource, "no such source: \"x\"");
        let ended = Daemon::answering([problem(&unknown)]).run("source hold x");
        assert_eq!(ended.code, 4);
        assert!(ended.err.contains("musterctl sources"), "{}", ended.err);
    }
}
