//! Tells when something has changed at the daemon, for views that show it as it is.
//!
//! A thread reads the events; what comes of it is one wake-up for however many there were, so a view that is slower than the
//! daemon skips and never lags. The view asks the daemon anew only when it was woken.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::events::Events;
use crate::failure::Failure;

/// How long to gather events before a view is drawn anew: faster than eyes are.
const GATHERING: Duration = Duration::from_millis(100);

/// What came.
#[derive(Debug)]
pub(crate) enum News {
    /// Something has changed.
    Changed,
    /// The daemon has ended, or the connection to it.
    Ended(Option<io::Error>),
    /// Nothing for as long as was waited.
    Nothing,
}

/// Follows the daemon.
#[derive(Debug)]
pub(crate) struct Live {
    news: Receiver<News>,
}

impl Live {
    /// Follows from now on: whatever is asked after this is not older than the first event. `ring` is called from another
    /// thread after each piece of news.
    pub(crate) fn follow(client: &Client, ring: impl Fn() + Send + 'static) -> Result<Live, Failure> {
        let events = Events::follow(client)?;
        let (tell, news) = sync_channel(1);
        std::thread::spawn(move || read(events, &tell, &ring));
        Ok(Live { news })
    }

    /// Waits for news, and a moment longer for what comes with it.
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
            // Waits until the last wake-up was taken: this is the last word.
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
