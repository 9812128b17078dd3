//! Connections that another protocol takes over, after a response with the status 101.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::connections::Seat;

/// A stream of any kind.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// A function that takes over a connection, with the bytes received already.
pub type TakeOver = Box<dyn FnOnce(Box<dyn Duplex>, Vec<u8>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// Hands the connection over, or closes it.
pub(crate) async fn finish(seat: &Seat, mut stream: impl AsyncRead + AsyncWrite + Unpin + 'static, early: Vec<u8>) {
    let take_over = seat.take_over.borrow_mut().take();
    match take_over {
        Some(take_over) => take_over(Box::new(stream), early).await,
        // The client may be gone.
        None => drop(stream.shutdown().await),
    }
}
