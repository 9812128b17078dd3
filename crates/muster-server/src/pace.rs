//! How long a connection waits for its client: to log in, for the head of a request, for the next one, and for the client
//! to take what it is sent.
//!
//! No timer runs while a request is being answered and the client takes the answer. Bodies of requests have a time of their
//! own, in [`crate::request_body`].

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long each of these may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A client that is unknown until it logs in, to do so.
    login: Duration,
    /// The head of a request, to arrive.
    head: Duration,
    /// The next request, to begin.
    pause: Duration,
    /// The client, to take some of what it is sent.
    taking: Duration,
}

impl Patience {
    pub(crate) const USUAL: Patience = Patience {
        login: Duration::from_secs(10),
        head: Duration::from_secs(10),
        pause: Duration::from_secs(60),
        taking: Duration::from_secs(30),
    };
}

/// The activity of a connection, as serving its requests shows.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Patience,
    /// Whether a request is being answered.
    pub(crate) is_busy: Rc<Cell<bool>>,
    /// Whether the last answer has no end.
    pub(crate) is_following: Rc<Cell<bool>>,
    /// Whether the client is a process of this machine. One that follows something may then stop reading for as long as
    /// it wants, such as a pager does: it costs one piece.
    pub(crate) is_local: bool,
    /// Whether another protocol has taken the connection over, which has its own notion of silence.
    is_handed_over: Cell<bool>,
    /// When it must have logged in.
    login: Cell<Option<Instant>>,
    /// When the head that is arriving must be complete.
    head: Cell<Option<Instant>>,
}

impl Pace {
    /// A connection that was accepted now.
    pub(crate) fn new(patience: Patience, is_local: bool) -> Pace {
        let now = Instant::now();
        let login = Cell::new((!is_local).then(|| now + patience.login));
        let head = Cell::new(Some(now + patience.head));
        Pace {
            patience,
            is_busy: Rc::default(),
            is_following: Rc::default(),
            is_local,
            is_handed_over: Cell::default(),
            login,
            head,
        }
    }

    /// The head of a request has arrived.
    pub(crate) fn begin(&self) {
        self.head.set(None);
    }

    /// The client has logged in, or need not.
    pub(crate) fn knows(&self) {
        self.login.set(None);
    }

    /// Another protocol takes the connection over.
    pub(crate) fn hand_over(&self) {
        self.is_handed_over.set(true);
    }

    /// Whether the client should have logged in by now.
    pub(crate) fn is_overdue(&self) -> bool {
        self.login.get().is_some_and(|until| until <= Instant::now())
    }

    /// Bytes have arrived.
    fn received(&self) {
        if !self.is_busy.get() && self.head.get().is_none() {
            self.head.set(Some(Instant::now() + self.patience.head));
        }
    }

    /// How long to wait for bytes, when a pause began at `pause`.
    fn until(&self, pause: Instant) -> Option<Instant> {
        if self.is_busy.get() || self.is_handed_over.get() {
            return None;
        }
        let head = self.head.get().unwrap_or(pause + self.patience.pause);
        Some(self.login.get().map_or(head, |login| login.min(head)))
    }
}

/// A stream that ends when its client takes too long.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Rc<Pace>,
    /// When waiting for bytes began.
    pause: Option<Instant>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, pace: Rc<Pace>) -> Paced<S> {
        Paced { stream, pace, pause: None, reading: None, writing: None }
    }

    /// Fails once the client has sent nothing for too long.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let Some(until) = self.pace.until(*self.pause.get_or_insert(now)) else {
            (self.pause, self.reading) = (None, None);
            return Poll::Pending;
        };
        let timer = self.reading.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer
            .as_mut()
            .poll(context)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent no request in time")))
    }

    /// Passes progress on, and fails once there has been none for too long.
    fn poll_taken(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() || (self.pace.is_local && self.pace.is_following.get()) || self.pace.is_handed_over.get() {
            self.writing = None;
            return wrote;
        }
        let taking = self.pace.patience.taking;
        let timer = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(taking)));
        timer.as_mut().poll(context).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    this.pace.received();
                }
                this.pause = None;
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_patience(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.poll_taken(context, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.poll_taken(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context).map_ok(|()| 0);
        this.poll_taken(context, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context).map_ok(|()| 0);
        this.poll_taken(context, shut).map_ok(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A hundredth of what is usual, and the pause a little longer than a busy machine takes for the others.
    const SHORT: Patience = Patience {
        login: Duration::from_millis(100),
        head: Duration::from_millis(100),
        pause: Duration::from_millis(600),
        taking: Duration::from_millis(300),
    };

    /// A paced stream, its pace, and the client's end.
    fn pair(is_local: bool) -> (Paced<DuplexStream>, Rc<Pace>, DuplexStream) {
        let (client, daemon) = duplex(64);
        let pace = Rc::new(Pace::new(SHORT, is_local));
        (Paced::new(daemon, Rc::clone(&pace)), pace, client)
    }

    fn run(story: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(story);
    }

    /// How long the client was waited for.
    async fn waited(paced: &mut Paced<DuplexStream>) -> Duration {
        let began = Instant::now();
        loop {
            match paced.read(&mut [0; 8]).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return began.elapsed();
                }
            }
        }
    }

    #[test]
    fn a_head_has_its_time_however_often_a_byte_comes() {
        run(async {
            let (mut paced, _pace, mut client) = pair(true);
            let dripping = async {
                while client.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(SHORT.head / 10).await;
                }
            };
            let waited = tokio::select! { () = dripping => Duration::ZERO, waited = waited(&mut paced) => waited };
            assert!(waited >= SHORT.head - SHORT.head / 10 && waited < SHORT.pause, "{waited:?}");
        });
    }

    #[test]
    fn between_requests_a_client_has_more_time_until_the_next_one_begins() {
        run(async {
            let (mut paced, pace, _client) = pair(true);
            pace.begin();
            assert!(waited(&mut paced).await >= SHORT.pause);
        });
        run(async {
            let (mut paced, pace, mut client) = pair(true);
            pace.begin();
            client.write_all(b"G").await.unwrap();
            paced.read_exact(&mut [0; 1]).await.unwrap();
            assert!(waited(&mut paced).await < SHORT.pause, "it has begun");
        });
    }

    #[test]
    fn a_stranger_must_log_in_however_many_requests_it_makes() {
        run(async {
            let (mut paced, pace, _client) = pair(false);
            pace.begin();
            assert!(waited(&mut paced).await < SHORT.pause);
            assert!(pace.is_overdue());
        });
        run(async {
            let (mut paced, pace, _client) = pair(false);
            pace.begin();
            pace.knows();
            assert!(waited(&mut paced).await >= SHORT.pause);
            assert!(!pace.is_overdue());
        });
    }

    #[test]
    fn a_request_that_is_being_answered_has_no_limit() {
        run(async {
            let (mut paced, pace, _client) = pair(false);
            pace.is_busy.set(true);
            let read = tokio::time::timeout(2 * SHORT.pause, paced.read(&mut [0; 8])).await;
            assert!(read.is_err(), "it waits for the answer");
        });
    }

    #[test]
    fn a_client_that_takes_nothing_is_closed_unless_it_is_local_and_follows() {
        for (is_local, follows) in [(false, false), (false, true), (true, false), (true, true)] {
            run(async move {
                let (mut paced, pace, _client) = pair(is_local);
                pace.is_following.set(follows);
                let written = tokio::time::timeout(2 * SHORT.taking, paced.write_all(&[0; 1000])).await;
                assert_eq!(written.is_err(), is_local && follows, "{is_local} {follows}: {written:?}");
                assert!(written.is_err() || written.is_ok_and(|written| written.is_err()));
            });
        }
    }

    #[test]
    fn a_client_that_takes_a_little_now_and_then_is_served() {
        run(async {
            let (mut paced, _pace, mut client) = pair(false);
            let writing = async { paced.write_all(&[0; 600]).await.expect("it goes on") };
            let taking = async {
                loop {
                    tokio::time::sleep(SHORT.taking / 4).await;
                    client.read_exact(&mut [0; 60]).await.expect("there is more");
                }
            };
            tokio::select! { () = writing => {}, () = taking => {} }
        });
    }
}
