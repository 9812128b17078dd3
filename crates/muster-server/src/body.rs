//! The body of a response: whole, or produced piece by piece as the client takes it.
//!
//! A piece is produced only when the connection has room for it, so a client that does not read costs one piece.
//! Pieces hold parts of the daemon's state, and never borrow it across polls.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::tickets::Ticket;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// How many bytes of a whole body are passed on at a time. The rest is kept here and not in the connection's buffer,
/// which shows whether the client takes it.
const AT_ONCE: usize = 32 * 1024;

/// Produces the pieces of a body on demand.
pub trait Pieces {
    /// The next piece; `None` ends the body.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// The body of a response.
pub struct Body(Kind);

enum Kind {
    Whole { rest: Bytes, held: Held },
    Stream { pieces: Box<dyn Pieces>, is_endless: bool, held: Held },
}

/// Resources that are released when the body is sent or the client has disconnected.
#[derive(Default)]
struct Held {
    busy: Option<Busy>,
    tickets: Vec<Ticket>,
}

/// Marks the connection as busy while it exists.
pub(crate) struct Busy(Rc<Cell<bool>>);

impl Busy {
    pub(crate) fn mark(is_busy: &Rc<Cell<bool>>) -> Busy {
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
    /// A body that is complete.
    pub fn whole(text: impl Into<Bytes>) -> Body {
        Body(Kind::Whole { rest: text.into(), held: Held::default() })
    }

    /// A body without end; it stops when the client disconnects. The caller limits how many there are.
    pub fn streaming(pieces: impl Pieces + 'static) -> Body {
        Body(Kind::Stream { pieces: Box::new(pieces), is_endless: true, held: Held::default() })
    }

    /// A finite body that is too large to be produced at once.
    pub fn in_pieces(pieces: impl Pieces + 'static) -> Body {
        Body(Kind::Stream { pieces: Box::new(pieces), is_endless: false, held: Held::default() })
    }

    pub(crate) fn is_endless(&self) -> bool {
        matches!(self.0, Kind::Stream { is_endless: true, .. })
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Stream { .. })
    }

    /// A stream or a large body keeps its connection busy to its end. A small one counts as sent.
    pub(crate) fn holding(mut self, busy: Busy) -> Body {
        let is_small = matches!(&self.0, Kind::Whole { rest, .. } if rest.len() <= AT_ONCE);
        if !is_small {
            self.held().busy = Some(busy);
        }
        self
    }

    /// Releases the ticket when the body has been sent.
    pub fn with_ticket(mut self, ticket: Ticket) -> Body {
        self.held().tickets.push(ticket);
        self
    }

    fn held(&mut self) -> &mut Held {
        match &mut self.0 {
            Kind::Whole { held, .. } | Kind::Stream { held, .. } => held,
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
        match &mut self.0 {
            Kind::Whole { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Kind::Whole { rest, .. } => {
                let some = rest.split_to(rest.len().min(AT_ONCE));
                Poll::Ready(Some(Ok(Frame::data(some))))
            }
            Kind::Stream { pieces, .. } => pieces.poll_piece(context).map(|piece| Some(Ok(Frame::data(piece?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole { rest, .. } => rest.is_empty(),
            Kind::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Kind::Stream { .. } => SizeHint::default(),
        }
    }
}
