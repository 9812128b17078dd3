//! The control socket: a Unix socket, whose clients are known by the credentials that the kernel vouches for
//! (SO_PEERCRED, unix(7)).

pub(crate) mod socket;
mod stream;

use std::os::fd::AsFd;
use std::rc::Rc;

use muster_sys::async_fd::Watched;
use muster_sys::release::Exposed;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tracing::warn;

use self::socket::{Place, Socket};
use self::stream::ClientStream;
use crate::access::Access;
use crate::http::server::{ACCEPT_PAUSE, Accepted, Server};
use crate::limit::{DAEMON, Notice, unless_none};
use crate::shared::Shared;
use crate::turn_clock::beside;

/// The control socket while clients are accepted.
pub(crate) struct Listening {
    accepting: AbortHandle,
    place: Place,
}

impl Listening {
    /// Accepts from now on. Must be called within a local runtime.
    pub(crate) fn start(socket: Socket, shared: &Rc<Shared>, server: &Server) -> Listening {
        let (listener, place) = socket.into_parts();
        let accepting = accept_for_ever(Exposed::new(listener), Rc::clone(shared), server.clone());
        let accepting = tokio::task::spawn_local(beside(Rc::clone(&shared.loop_turns), accepting));
        Listening { accepting: accepting.abort_handle(), place }
    }

    /// Accepts no more clients. The place is the daemon's until it is dropped.
    pub(crate) fn stop(self) -> Place {
        self.accepting.abort();
        self.place
    }
}

async fn accept_for_ever(listener: Exposed<UnixListener>, shared: Rc<Shared>, server: Server) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let stream = ClientStream::from(stream);
                let Ok(uid) = stream.uid() else { continue };
                let hung_up = hung_up(&stream);
                server.serve(Accepted { stream, principal: Access::identify(uid), hung_up });
                // In a burst, those that were closed must go before the next one is taken: until their tasks have had
                // their turn their descriptors are open. And a client that has just come is heard before it can be
                // closed. Where there is room for more the next is taken at once, however much others make the loop do
                // in a turn.
                if server.is_nearly_full() {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                if let Some(suppressed) = shared.limits.pass(DAEMON, Notice::Accepting).map(unless_none) {
                    warn!(%error, suppressed, "cannot accept a connection on the control socket");
                }
                server.make_descriptor_free();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Ready when the client has closed both directions, which the kernel reports (`EPOLLHUP`, epoll_ctl(2)) also where nothing
/// else is asked for. Watches from the first poll on.
fn hung_up(stream: &ClientStream) -> impl Future<Output = ()> + use<> {
    let copy = stream.as_fd().try_clone_to_owned().map(Exposed::new);
    async move {
        // Where there is no descriptor for this it is noticed when something is sent.
        let Ok(watched) = copy.and_then(Watched::for_hanging_up) else {
            return std::future::pending().await;
        };
        if watched.hung_up().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
