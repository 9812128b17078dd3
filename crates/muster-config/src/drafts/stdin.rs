//! `stdin`: a word, or a path behind one; and `events`, whose names belong to one of the words.

use std::path::PathBuf;

use muster_spec::{EventType, FeedKind, Stdin};

use crate::field::Field;

/// The values that name no path.
const WORDS: [(&str, Stdin); 4] =
    [("none", Stdin::Nothing), ("pipe", Stdin::Pipe), ("events", Stdin::Feed), ("supervisor-events", Stdin::Events)];

/// The words in front of a path.
const WITH_PATH: [(&str, Stdin); 2] = [("fifo", Stdin::Fifo), ("file", Stdin::File)];

/// A word, `fifo:PATH` or `file:PATH`.
pub(crate) fn read_stdin(field: &Field<'_>) -> Option<(Stdin, Option<PathBuf>)> {
    let text = field.text()?;
    let (word, path) = text.text.split_once(':').unwrap_or((&text.text, ""));
    let Some((word, stdin)) = WITH_PATH.iter().find(|(known, _)| *known == word) else {
        return field.choice(&WORDS).map(|stdin| (stdin, None));
    };
    if path.is_empty() {
        field.error_with_hint(format_args!("{word} needs a path"), format!("stdin = \"{word}:/run/web.in\""));
        return None;
    }
    Some((*stdin, Some(field.resolved(path)?)))
}

/// The names of `events`: types of supervisord's events, and kinds of the API's.
#[derive(Clone, Copy)]
enum Named {
    Pool(EventType),
    Feed(FeedKind),
}

/// Types of supervisord's events, and kinds of the API's. Sorted, each once.
pub(crate) fn read_events(field: &Field<'_>) -> (Vec<EventType>, Vec<FeedKind>) {
    let pool = EventType::ALL.iter().map(|kind| (kind.name(), Named::Pool(*kind)));
    let known: Vec<(&'static str, Named)> =
        pool.chain(FeedKind::ALL.map(|(name, kind)| (name, Named::Feed(kind)))).collect();
    let (mut events, mut feed) = (Vec::new(), Vec::new());
    for item in field.items() {
        match item.choice(&known) {
            Some(Named::Pool(kind)) => events.push(kind),
            Some(Named::Feed(kind)) => feed.push(kind),
            None => {}
        }
    }
    events.sort_unstable();
    events.dedup();
    feed.sort_unstable();
    feed.dedup();
    (events, feed)
}
