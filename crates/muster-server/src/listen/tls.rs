//! Connections with TLS: each is accepted, shakes hands in a task of its own, and is then served like any other on TCP.
//!
//! Clients that are slow or many delay no others: [`Rates`] are their pace, and [`Handshakes`] their number.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_access::{Certificate, Peer, Security, Source};
use muster_listen::tls::{Failure, handshake};
use muster_spec::ListenAddress;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::handshakes::{Handshakes, Rates, Verdict};
use super::{let_close, recover};
use crate::connections::{Accepted, Pool};
use crate::gate::Daemon;
use crate::secrets::Outcome;
use crate::turn_clock::spawn_beside;
use muster_logging::limit::{DAEMON, Notice, unless_none};

/// How long to accept nothing after so many connections were refused: a flood costs little, and the queue of the
/// kernel, in which others wait, is empty within some tens of milliseconds.
const PAUSE: Duration = Duration::from_millis(1);
const REFUSALS: u32 = 32;

/// Accepts clients of a listener with TLS.
pub(super) async fn accept_for_ever<D: Daemon>(
    listener: Rc<TcpListener>,
    address: Arc<ListenAddress>,
    shared: Rc<D>,
    pool: Pool<D>,
) {
    let mut rates = Rates::default();
    let handshakes = Rc::new(RefCell::new(Handshakes::default()));
    let mut refused = 0_u32;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let (source, now) = (Source::from(from.ip().to_canonical()), Instant::now());
                let Verdict::After(wait) = rates.ask(source, now) else {
                    shared.secrets().count(Outcome::Limited);
                    drop(stream);
                    refused = refused.wrapping_add(1);
                    if refused.is_multiple_of(REFUSALS) {
                        tokio::time::sleep(PAUSE).await;
                    }
                    continue;
                };
                // The client may be gone already.
                let Ok(from) = muster_listen::tcp::prepare(&stream) else { continue };
                let (id, has_ended) = handshakes.borrow_mut().make_room();
                if has_ended {
                    shared.secrets().count(Outcome::Limited);
                }
                let shaking = shake(stream, from, wait, (Arc::clone(&address), Rc::clone(&shared), pool.clone()));
                let ended = {
                    let handshakes = Rc::downgrade(&handshakes);
                    move || {
                        if let Some(handshakes) = handshakes.upgrade() {
                            handshakes.borrow_mut().ended(id);
                        }
                    }
                };
                let task = spawn_beside(&shared.gate().loop_turns, async move {
                    shaking.await;
                    ended();
                });
                handshakes.borrow_mut().begun(id, source, task.abort_handle());
                tokio::time::sleep(rates.pause(now)).await;
            }
            Err(error) => recover(error, &shared, &pool, &*address).await,
        }
    }
}

/// Shakes hands with a client and serves it.
async fn shake<D: Daemon>(
    stream: TcpStream,
    from: IpAddr,
    wait: Duration,
    (listener, shared, pool): (Arc<ListenAddress>, Rc<D>, Pool<D>),
) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    // New handshakes use the certificate that is active when they begin.
    let servers = shared.secrets().servers();
    match handshake(stream, servers, &listener).await {
        Ok((stream, certificate)) => {
            shared.secrets().count(Outcome::Done);
            let certificate = certificate.map(|found| Certificate { sha256: found.sha256, names: found.names });
            let security = Security::Tls(certificate.map(Arc::new));
            let peer = Peer { listener, uid: None, pid: None, address: Some(from), security };
            pool.serve(Accepted { stream, peer, hung_up: std::future::pending() });
            let_close(&pool).await;
        }
        Err(failure) => note(&*shared, &listener, from, failure),
    }
}

/// Counts a failed handshake, and logs it: at warn if an operator may have to act.
fn note<D: Daemon>(shared: &D, listener: &ListenAddress, from: IpAddr, failure: Failure) {
    let (outcome, reason) = match failure {
        Failure::Certificate(reason) => (Outcome::Refused, reason),
        Failure::Slow => (Outcome::Slow, "the client was too slow".to_owned()),
        Failure::Other(reason) => (Outcome::Failed, reason),
    };
    shared.secrets().count(outcome);
    let notice = if outcome == Outcome::Refused { Notice::Certificate } else { Notice::Connection };
    let Some(suppressed) = shared.gate().limits.pass(DAEMON, notice).map(unless_none) else { return };
    if outcome == Outcome::Refused {
        warn!(%listener, %from, reason, suppressed, "a client certificate was refused");
    } else {
        debug!(%listener, %from, reason, suppressed, "a TLS handshake failed");
    }
}
