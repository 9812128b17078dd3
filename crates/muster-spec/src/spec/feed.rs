//! Events that a program reads from its standard input: `stdin = "events"`.

/// A kind of event of the API. A feed also tells gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is named as in the API, whose reference says what it is")]
pub enum FeedKind {
    State,
    Ended,
    Retry,
    Final,
    Ready,
    Health,
    Failing,
    Hook,
    Rolling,
    Waiting,
    Skipped,
    Configured,
    Source,
    Listener,
    Killed,
    LeftBehind,
    Stuck,
    Shutdown,
    ShutdownHurried,
    Exiting,
}
