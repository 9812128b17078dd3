//! Unix sockets. Clients are identified by the credentials that the kernel reports (SO_PEERCRED, unix(7)).

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use muster_access::{Peer, Security};
use muster_listen::client_stream::ClientStream;
use muster_spec::ListenAddress;
use muster_sys::async_fd::Watched;
use muster_sys::release::Exposed;
use tokio::net::UnixListener;

use super::{let_close, recover};
use crate::connections::{Accepted, Pool};
use crate::gate::Daemon;

/// Accepts clients of a listener.
pub(super) async fn accept_for_ever<D: Daemon>(
    listener: UnixListener,
    address: Arc<ListenAddress>,
    shared: Rc<D>,
    pool: Pool<D>,
) {
    let listener = Exposed::new(listener);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let stream = ClientStream::from(stream);
                let Ok((uid, pid)) = stream.peer() else { continue };
                let hung_up = hung_up(&stream);
                let peer = Peer {
                    listener: Arc::clone(&address),
                    uid: Some(uid),
                    pid,
                    address: None,
                    security: Security::Clear,
                };
                pool.serve(Accepted { stream, peer, hung_up });
                let_close(&pool).await;
            }
            Err(error) => recover(error, &shared, &pool, &*address).await,
        }
    }
}

/// Ready when the client has closed both directions, which the kernel always reports (`EPOLLHUP`, epoll_ctl(2)).
/// Watches from the first poll on.
fn hung_up(stream: &ClientStream) -> impl Future<Output = ()> + use<> {
    let copy = stream.as_fd().try_clone_to_owned().map(Exposed::accepted);
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
