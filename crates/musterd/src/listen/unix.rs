//! The control socket: a Unix socket. Clients are identified by the credentials that the kernel reports (SO_PEERCRED,
//! unix(7)).

pub(crate) mod socket;
mod stream;

use std::os::fd::AsFd;
use std::rc::Rc;

use muster_sys::async_fd::Watched;
use muster_sys::release::Exposed;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tracing::warn;

use self::socket::{BoundPath, Socket};
use self::stream::ClientStream;
use crate::access::Access;
use crate::http::server::{ACCEPT_PAUSE, Accepted, Server};
use crate::shared::Shared;
use crate::turn_clock::beside;
use muster_logging::limit::{DAEMON, Notice, unless_none};

/// The control socket while it accepts clients.
pub(crate) struct Listening {
    accepting: AbortHandle,
    place: BoundPath,
}

impl Listening {
    /// Starts accepting. Must be called within a local runtime.
    pub(crate) fn start(socket: Socket, shared: &Rc<Shared>, server: &Server) -> Listening {
        let (listener, place) = socket.into_parts();
        let accepting = accept_for_ever(Exposed::new(listener), Rc::clone(shared), server.clone());
        let accepting = tokio::task::spawn_local(beside(Rc::clone(&shared.loop_turns), accepting));
        Listening { accepting: accepting.abort_handle(), place }
    }

    /// Stops accepting clients. The daemon keeps the name of the socket until the result is dropped.
    pub(crate) fn stop(self) -> BoundPath {
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
                // In a burst, closed connections must be gone before the next one is accepted: their descriptors stay
                // open until their tasks have run. And a new client must be served before it can be closed. If there
                // is room for more, the next client is accepted at once, however much work the loop does per turn.
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

/// Ready when the client has closed both directions, which the kernel always reports (`EPOLLHUP`, epoll_ctl(2)).
/// Watches from the first poll on.
fn hung_up(stream: &ClientStream) -> impl Future<Output = ()> + use<> {
    let copy = stream.as_fd().try_clone_to_owned().map(Exposed::new);
    async move {
        // Without a descriptor for this, a disconnect is only noticed when sending.
        let Ok(watched) = copy.and_then(Watched::for_hanging_up) else {
            return std::future::pending().await;
        };
        if watched.hung_up().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
