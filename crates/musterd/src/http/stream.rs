//! The body of an answer: whole, or made piece by piece as the client takes it.
//!
//! A piece is made only when the connection has room for it, so a client that does not read costs one piece. Pieces hold
//! parts of [`crate::shared::Shared`], and never a borrow of it.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};

/// Makes the pieces of a body, one when asked.
pub(super) trait Pieces {
    /// The next piece; `None` ends the answer.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// The body of an answer.
pub(super) enum Body {
    Whole(Full<Bytes>),
    Stream { pieces: Box<dyn Pieces>, is_endless: bool, _busy: Option<Busy> },
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
    /// Goes on until the client goes away. Whoever makes one bounds how many there are.
    pub(super) fn streaming(pieces: impl Pieces + 'static) -> Body {
        Body::Stream { pieces: Box::new(pieces), is_endless: true, _busy: None }
    }

    /// Comes to an end by itself, and is too large to be made at once.
    pub(super) fn in_pieces(pieces: impl Pieces + 'static) -> Body {
        Body::Stream { pieces: Box::new(pieces), is_endless: false, _busy: None }
    }

    pub(super) fn is_endless(&self) -> bool {
        matches!(self, Body::Stream { is_endless: true, .. })
    }

    /// A stream keeps its connection busy to its end. What is whole is as good as sent.
    pub(super) fn holding(self, busy: Busy) -> Body {
        match self {
            Body::Whole(body) => Body::Whole(body),
            Body::Stream { pieces, is_endless, .. } => Body::Stream { pieces, is_endless, _busy: Some(busy) },
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
            Body::Whole(body) => Pin::new(body).poll_frame(context),
            Body::Stream { pieces, .. } => pieces.poll_piece(context).map(|piece| Some(Ok(Frame::data(piece?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(body) => body.is_end_stream(),
            Body::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(body) => body.size_hint(),
            Body::Stream { .. } => SizeHint::default(),
        }
    }
}
