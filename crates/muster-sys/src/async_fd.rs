//! Waiting for a descriptor under tokio, without `unsafe` at the call site.
//!
//! tokio's own `AsyncFd` requires its users to guarantee that the descriptor stays the same and stays open. That guarantee is
//! given here, once for each type, by [`Steady`]; and [`Watched`] returns only shared references, so the descriptor cannot
//! be swapped under the reactor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::pollset::PollSet;
use crate::release::Exposed;
use crate::signal::Signals;
use crate::wall_timer::WallTimer;

/// A type whose descriptor is one and the same while the value lives and is not mutably borrowed.
///
/// # Safety
/// `as_fd` must return the same open descriptor at every call, until the value is dropped or changed through `&mut`.
pub unsafe trait Steady: AsFd + 'static {}

// SAFETY: each owns one descriptor, opened when the value was made and closed when it is dropped.
unsafe impl Steady for OwnedFd {}
// SAFETY: as above; what is inside is only taken out to be dropped.
unsafe impl Steady for Exposed<OwnedFd> {}
// SAFETY: as above.
unsafe impl Steady for File {}
// SAFETY: as above.
unsafe impl Steady for UnixStream {}
// SAFETY: as above.
unsafe impl Steady for UnixListener {}
// SAFETY: as above.
unsafe impl Steady for UnixDatagram {}
// SAFETY: as above.
unsafe impl Steady for io::PipeReader {}
// SAFETY: as above.
unsafe impl Steady for io::PipeWriter {}
// SAFETY: as above, and only its queue of unread signals changes.
unsafe impl Steady for Signals {}
// SAFETY: as above.
unsafe impl Steady for WallTimer {}
// SAFETY: as above.
unsafe impl Steady for PollSet {}

struct Raw<T>(T);

impl<T: Steady> AsRawFd for Raw<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A non-blocking descriptor that tokio watches.
pub struct Watched<T: Steady>(AsyncFd<Raw<T>>);

impl<T: Steady> Watched<T> {
    /// Watches for something to read.
    pub fn for_reading(inner: T) -> io::Result<Watched<T>> {
        Watched::register(inner, Interest::READABLE)
    }

    /// Watches for room to write.
    pub fn for_writing(inner: T) -> io::Result<Watched<T>> {
        Watched::register(inner, Interest::WRITABLE)
    }

    /// Watches only for the other end to be closed completely: see [`Watched::hung_up`].
    pub fn for_hanging_up(inner: T) -> io::Result<Watched<T>> {
        Watched::register(inner, Interest::PRIORITY)
    }

    /// Waits until the other end has been closed completely: `EPOLLHUP`, which the kernel reports regardless of the requested events. A
    /// socket whose other end has only finished writing does not count.
    pub async fn hung_up(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await.map(drop)
    }

    fn register(inner: T, interest: Interest) -> io::Result<Watched<T>> {
        // SAFETY: `Steady` promises one descriptor, open as long as `inner` lives; it is moved in here and given out
        // by shared reference only, and `into_inner` deregisters before it gives it back.
        let registered = unsafe { AsyncFd::register_with_interest(Raw(inner), interest) };
        Ok(Watched(registered.map_err(|error| error.into_parts().1)?))
    }

    /// Waits until `operation` returns something other than `WouldBlock`. Safe to cancel.
    pub async fn read_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.0.async_io(Interest::READABLE, |raw| operation(&raw.0)).await
    }

    /// Like [`Watched::read_with`], for writing.
    pub async fn write_with<R>(&self, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.0.async_io(Interest::WRITABLE, |raw| operation(&raw.0)).await
    }

    /// Like [`Watched::read_with`], for polling.
    pub fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let mut guard = match self.0.poll_read_ready(cx) {
                Poll::Ready(guard) => guard?,
                Poll::Pending => return Poll::Pending,
            };
            if let Ok(result) = guard.try_io(|registered| operation(&registered.get_ref().0)) {
                return Poll::Ready(result);
            }
        }
    }

    /// The watched value.
    pub fn get_ref(&self) -> &T {
        &self.0.get_ref().0
    }

    /// Stops watching.
    pub fn into_inner(self) -> T {
        self.0.into_inner().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd;
    use std::io::Write;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap()
    }

    #[test]
    fn hanging_up_is_told_from_having_finished() {
        runtime().block_on(async {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            let watched = Watched::for_hanging_up(ours.try_clone().unwrap()).unwrap();
            let mut hung_up = std::pin::pin!(watched.hung_up());
            ours.write_all(b"not read").unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            tokio::select! {
                biased;
                _ = &mut hung_up => panic!("it has only finished"),
                () = tokio::task::yield_now() => {}
            }
            drop(theirs);
            hung_up.await.unwrap();
        });
    }

    #[test]
    fn a_read_waits_for_bytes_and_then_for_the_end() {
        runtime().block_on(async {
            let (reader, writer) = fd::output_pipe().unwrap();
            let watched = Watched::for_reading(reader).unwrap();
            let read = |fd: &OwnedFd| {
                let mut buffer = [0; 16];
                fd::read(fd.as_fd(), &mut buffer).map(|count| buffer[..count].to_vec())
            };
            let mut writer = File::from(writer);
            let (got, ()) = tokio::join!(watched.read_with(read), async { writer.write_all(b"hello").unwrap() });
            assert_eq!(got.unwrap(), b"hello");
            drop(writer);
            assert_eq!(watched.read_with(read).await.unwrap(), b"");
            assert_eq!(read(&watched.into_inner()).unwrap(), b"");
        });
    }
}
