//! Notifies live views when the daemon reports a change.
//!
//! A thread reads the events and coalesces them into one wake-up, so a view that is slower than the
//! daemon skips events and never lags. The view queries the daemon only after a wake-up.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::events::Events;
use crate::failure::Failure;

/// How long to coalesce events before a view is redrawn.
const GATHERING: Duration = Duration::from_millis(100);

/// The result of waiting.
#[derive(Debug)]
pub(crate) enum News {
    /// The daemon reported a change.
    Changed,
    /// The daemon exited, or the connection was closed.
    Ended(Option<io::Error>),
    /// Nothing before the timeout.
    Nothing,
}

/// Follows the daemon's events.
#[derive(Debug)]
pub(crate) struct Live {
    news: Receiver<News>,
}

impl Live {
    /// Follows from now on: any later query is at least as recent as the first event. `ring` is called on another
    /// thread after each wake-up.
    pub(crate) fn follow(client: &Client, ring: impl Fn() + Send + 'static) -> Result<Live, Failure> {
        let events = Events::follow(client)?;
        let (tell, news) = sync_channel(1);
        std::thread::spawn(move || read(events, &tell, &ring));
        Ok(Live { news })
    }

    /// Waits for an event, and a moment longer for further ones.
    pub(crate) fn wait(&self, patience: Duration) -> News {
        let first = match self.news.recv_timeout(patience) {
            Ok(news) => news,
            Err(RecvTimeoutError::Timeout) => return News::Nothing,
            Err(RecvTimeoutError::Disconnected) => return News::Ended(None),
        };
        let until = Instant::now() + GATHERING;
        match first {
            News::Changed => loop {
                match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(News::Changed | News::Nothing) => {}
                    Ok(ended @ News::Ended(_)) => return ended,
                    Err(_) => return News::Changed,
                }
            },
            other => other,
        }
    }
}

fn read(mut events: Events, tell: &SyncSender<News>, ring: &dyn Fn()) {
    loop {
        let ended = match events.next() {
            Ok(Some(_)) => None,
            Ok(None) => Some(News::Ended(None)),
            Err(error) => Some(News::Ended(Some(error))),
        };
        match ended {
            // Waits until the last wake-up was taken; this is the final one.
            Some(ended) => {
                let _ = tell.send(ended);
                return ring();
            }
            None => match tell.try_send(News::Changed) {
                Ok(()) | Err(TrySendError::Full(_)) => ring(),
                Err(TrySendError::Disconnected(_)) => return,
            },
        }
    }
}
