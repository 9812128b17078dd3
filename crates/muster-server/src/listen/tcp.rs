//! Sockets on TCP. Clients are unknown until they log in.

use std::rc::Rc;
use std::sync::Arc;

use muster_access::{Peer, Security};
use muster_spec::ListenAddress;
use tokio::net::TcpListener;

use super::{let_close, recover};
use crate::connections::{Accepted, Pool};
use crate::gate::Daemon;

/// Accepts clients of a listener.
pub(super) async fn accept_for_ever<D: Daemon>(
    listener: Rc<TcpListener>,
    address: Arc<ListenAddress>,
    shared: Rc<D>,
    pool: Pool<D>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // The client may be gone already.
                let Ok(from) = muster_listen::tcp::prepare(&stream) else { continue };
                let peer = Peer {
                    listener: Arc::clone(&address),
                    uid: None,
                    pid: None,
                    address: Some(from),
                    security: Security::Clear,
                };
                // The end of what a client sends is its disconnect, which serving the connection shows.
                pool.serve(Accepted { stream, peer, hung_up: std::future::pending() });
                let_close(&pool).await;
            }
            Err(error) => recover(error, &shared, &pool, &*address).await,
        }
    }
}
