//! The body of an answer: whole, or made piece by piece as the client takes it.
//!
//! A piece is made only when the connection has room for it, so a client that does not read costs one piece. Pieces hold
//! parts of [`crate::shared::Shared`], and never a borrow of it.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::tickets::Ticket;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// How much of a whole body is handed over at a time. The rest waits here and not in the connection's buffer, so that it is
/// known whether the client takes it.
const AT_ONCE: usize = 32 * 1024;

/// Makes the pieces of a body, one when asked.
pub(super) trait Pieces {
    /// The next piece; `None` ends the answer.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// The body of an answer.
pub(super) enum Body {
    Whole { rest: Bytes, held: Held },
    Stream { pieces: Box<dyn Pieces>, is_endless: bool, held: Held },
}

/// What is given back when the body is sent or the client is gone.
#[derive(Default)]
pub(super) struct Held {
    busy: Option<Busy>,
    tickets: Vec<Ticket>,
}

/// The connection is busy as long as this is there.
pub(super) struct Busy(Rc<Cell<bool>>);

impl Busy {
    pub(super) fn mark(is_busy: &Rc<Cell<bool>>) -> Busy {
        is_busy.set(true);
        Busy(Rc::clone(is_busy))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Body {
    /// Is there already.
    pub(super) fn whole(text: impl Into<Bytes>) -> Body {
        Body::Whole { rest: text.into(), held: Held::default() }
    }

    /// Goes on until the client goes away. Whoever makes one bounds how many there are.
    pub(super) fn streaming(pieces: impl Pieces + 'static) -> Body {
        Body::Stream { pieces: Box::new(pieces), is_endless: true, held: Held::default() }
    }

    /// Comes to an end by itself, and is too large to be made at once.
    pub(super) fn in_pieces(pieces: impl Pieces + 'static) -> Body {
        Body::Stream { pieces: Box::new(pieces), is_endless: false, held: Held::default() }
    }

    pub(super) fn is_endless(&self) -> bool {
        matches!(self, Body::Stream { is_endless: true, .. })
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Body::Stream { .. })
    }

    /// A stream keeps its connection busy to its end, and so does what is large. What is small is as good as sent.
    pub(super) fn holding(mut self, busy: Busy) -> Body {
        let is_small = matches!(&self, Body::Whole { rest, .. } if rest.len() <= AT_ONCE);
        if !is_small {
            self.held().busy = Some(busy);
        }
        self
    }

    /// Gives the ticket back when it is sent.
    pub(super) fn with_ticket(mut self, ticket: Ticket) -> Body {
        self.held().tickets.push(ticket);
        self
    }

    fn held(&mut self) -> &mut Held {
        match self {
            Body::Whole { held, .. } | Body::Stream { held, .. } => held,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Body::Whole { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Body::Whole { rest, .. } => {
                let some = rest.split_to(rest.len().min(AT_ONCE));
                Poll::Ready(Some(Ok(Frame::data(some))))
            }
            Body::Stream { pieces, .. } => pieces.poll_piece(context).map(|piece| Some(Ok(Frame::data(piece?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole { rest, .. } => rest.is_empty(),
            Body::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Body::Stream { .. } => SizeHint::default(),
        }
    }
}
