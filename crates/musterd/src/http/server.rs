//! Accepting connections, with bounds on all of them.
//!
//! There are at most [`MOST`] connections, and fewer where programs need the descriptors. When one more comes, the one
//! that has been idle for longest is closed, so a flood of connections that say nothing keeps nobody out. A client that is
//! slow to send is closed by a timeout; a panic in one connection ends that connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_sys::limits::OriginalLimits;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::access::Access;
use super::answer;
use crate::shared::Shared;

/// How many connections there are at most. Each costs a descriptor and about 10 KB while it is open.
const MOST: usize = 256;

/// How many there are even where programs leave no descriptors: somebody must be able to stop them.
const FEWEST: usize = 4;

/// What is kept for the daemon itself, and for each instance: two pipes, and three more while it is being started.
const OWN_DESCRIPTORS: usize = 32;
const DESCRIPTORS_EACH: usize = 5;

/// How long a client may take to send a request's headers, and keep a connection open without a request.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// How long to leave the listener alone when no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// All open connections, by age.
#[derive(Clone)]
struct Connections {
    most: usize,
    open: Rc<RefCell<BTreeMap<u64, Connection>>>,
    next: Rc<Cell<u64>>,
}

struct Connection {
    task: AbortHandle,
    is_busy: Rc<Cell<bool>>,
}

/// The server of the control socket.
pub(crate) struct Server {
    connections: Connections,
    accepting: AbortHandle,
}

impl Server {
    /// Accepts from now on. Must be called within a local runtime.
    pub(crate) fn start(listener: UnixListener, shared: Rc<Shared>, access: Access) -> Server {
        let connections = Connections::at_most(spare_descriptors(shared.supervisor.borrow().snapshot().len()));
        let accepting =
            tokio::task::spawn_local(accept_for_ever(listener, shared, Rc::new(access), connections.clone()));
        Server { connections, accepting: accepting.abort_handle() }
    }

    /// Accepts nobody any more, and gives answers that are on their way a moment to be sent.
    pub(crate) async fn finish(self, patience: Duration) {
        self.accepting.abort();
        let all_idle = async {
            while self.connections.open.borrow().values().any(|connection| connection.is_busy.get()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Who does not take its answer in time goes without.
        let _ = tokio::time::timeout(patience, all_idle).await;
    }
}

async fn accept_for_ever(listener: UnixListener, shared: Rc<Shared>, access: Rc<Access>, connections: Connections) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.make_room();
                serve(stream, &shared, &access, &connections);
                // In a burst, those that were closed must go before the next one is taken: until their tasks have had
                // their turn their descriptors are open. And who has just come is heard before it can be closed.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection on the control socket");
                connections.close_idlest();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn serve(stream: UnixStream, shared: &Rc<Shared>, access: &Rc<Access>, connections: &Connections) {
    let Ok(uid) = stream.peer_cred().map(|peer| peer.uid()) else { return };
    let id = connections.new_id();
    let is_busy = Rc::new(Cell::new(false));
    let task = tokio::task::spawn_local({
        let (shared, access) = (Rc::clone(shared), Rc::clone(access));
        let closing = Closing { connections: connections.clone(), id };
        let is_busy = Rc::clone(&is_busy);
        async move {
            let _closing = closing;
            if let Err(error) = talk(stream, shared, access, uid, is_busy).await {
                debug!(%error, uid, "a connection to the control socket ended badly");
            }
        }
    });
    connections.open.borrow_mut().insert(id, Connection { task: task.abort_handle(), is_busy });
}

async fn talk(
    stream: UnixStream,
    shared: Rc<Shared>,
    access: Rc<Access>,
    uid: u32,
    is_busy: Rc<Cell<bool>>,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request| {
        let answering = answer::answer(Rc::clone(&shared), Rc::clone(&access), uid, request);
        let is_busy = Rc::clone(&is_busy);
        async move {
            is_busy.set(true);
            let answer = answering.await;
            is_busy.set(false);
            answer
        }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Takes a connection off the list, however its task ends.
struct Closing {
    connections: Connections,
    id: u64,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.id);
    }
}

/// How many connections leave enough descriptors for supervision: clients must not keep programs from being started.
fn spare_descriptors(instances: usize) -> usize {
    let limit = OriginalLimits::current().map_or(1024, |limits| limits.nofile_soft);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(OWN_DESCRIPTORS + DESCRIPTORS_EACH * instances)
}

impl Connections {
    fn at_most(wished: usize) -> Connections {
        Connections { most: wished.clamp(FEWEST, MOST), open: Rc::default(), next: Rc::default() }
    }

    fn new_id(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn make_room(&self) {
        if self.open.borrow().len() >= self.most {
            self.close_idlest();
        }
    }

    /// Closes the oldest connection that waits for a request, or the oldest of all.
    fn close_idlest(&self) {
        let mut open = self.open.borrow_mut();
        let idle = open.iter().find(|(_, connection)| !connection.is_busy.get());
        let Some(id) = idle.or_else(|| open.iter().next()).map(|(&id, _)| id) else { return };
        // It is off the list at once, so that a burst of connections closes as many others.
        if let Some(connection) = open.remove(&id) {
            connection.task.abort();
        }
    }
}
