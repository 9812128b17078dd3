//! `musterctl sources`: the servers that parts of the configuration come from.

use muster_api::{Route, Source, SourceState};

use crate::failure::{Exit, Failure};
use crate::output::{BAD, Cell, printable, table};
use crate::session::Session;
use crate::span;

/// Show the servers that parts of the configuration come from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 3 if a source is refused or unreachable.

Examples:
  musterctl sources
  musterctl sources --json | jq '.[] | {name, state, reason}'")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.ask(&Route::Sources)?;
    let sources: Vec<Source> = answer.read(&[200])?;
    if session.json {
        session.raw_json(&answer.body);
    } else {
        show(&sources, session);
    }
    let is_bad = |source: &Source| matches!(source.state, SourceState::Refused | SourceState::Unreachable);
    Ok(if sources.iter().any(is_bad) { Exit::NotRunning } else { Exit::Well })
}

pub(super) fn show(sources: &[Source], session: &mut Session) {
    if sources.is_empty() {
        session.line("no sources");
        return;
    }
    let row = |source: &Source| {
        let state = match source.state {
            SourceState::Refused | SourceState::Unreachable => Cell::styled(source.state.name(), BAD),
            state => Cell::plain(state.name()),
        };
        [
            Cell::plain(&source.name),
            state,
            Cell::plain(source.revision.as_deref().unwrap_or("-")),
            Cell::plain(source.active_for.map_or_else(|| "-".to_owned(), span::format_uptime)),
            Cell::plain(source.texts.len().to_string()),
            Cell::plain(&source.url),
        ]
    };
    let rows: Vec<[Cell; 6]> = sources.iter().map(row).collect();
    let text = table(["NAME", "STATE", "REVISION", "AGE", "TEXTS", "URL"], &rows, session.coloured);
    session.out.push_str(&text);
    for source in sources {
        if let Some(reason) = &source.reason {
            session.line(format!("{}: {}", source.name, printable(reason)));
        }
    }
}

/// A line for each source with a refused version, for the end of `status`.
pub(crate) fn refused(sources: &[Source]) -> Vec<String> {
    let line = |source: &Source| {
        let since = source.refused_for.map(span::format_uptime)?;
        let reason = printable(source.reason.as_deref().unwrap_or("refused"));
        Some(format!("source {}: refused since {since}: {reason} (musterctl sources)", source.name))
    };
    sources.iter().filter(|source| source.state == SourceState::Refused).filter_map(line).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::{Daemon, answer};

    pub(crate) fn source(name: &str, state: SourceState) -> Source {
        Source {
            name: name.to_owned(),
            url: "https://host/a.toml".to_owned(),
            state,
            revision: Some("\"v1\"".to_owned()),
            texts: vec!["a.toml".to_owned()],
            active_for: Some(3600.0),
            refused_for: (state == SourceState::Refused).then_some(180.0),
            reason: (state == SourceState::Refused).then(|| "2 errors".to_owned()),
            is_pending: false,
            is_held: state == SourceState::Held,
            is_up: true,
            last_contact: None,
        }
    }

    #[test]
    fn a_refused_source_says_why_and_is_a_failure() {
        let sources = [source("a", SourceState::Active), source("b", SourceState::Refused)];
        let ended = Daemon::answering([answer(200, &sources.to_vec())]).run("sources");
        let expected = "NAME  STATE    REVISION  AGE      TEXTS  URL\n\
                        a     active   \"v1\"      1:00:00  1      https://host/a.toml\n\
                        b     refused  \"v1\"      1:00:00  1      https://host/a.toml\n\
                        b: 2 errors\n";
        assert_eq!((ended.out.as_str(), ended.code), (expected, 3));
        assert_eq!(refused(&sources), ["source b: refused since 0:03:00: 2 errors (musterctl sources)"]);
        let ended = Daemon::answering([answer(200, &Vec::<Source>::new())]).run("sources");
        assert_eq!((ended.out.as_str(), ended.code), ("no sources\n", 0));
    }
}
