//! Commands: requests that change something. The event loop carries them out and replies.

use std::rc::Rc;
use std::time::Duration;

use muster_access::Client;
use muster_api::{Problem, ProblemKind};
use muster_core::{Done, Failure, Outcome, Principal, RequestId, Verb};
use muster_spec::{InstanceId, ShutdownBudget};
use tokio::sync::oneshot;

use super::select::{no_such_program, parse_selector};
use crate::reload;
use crate::shared::{Order, Shared};

/// The result of a command.
pub(crate) struct Commanded {
    /// The result for each selected instance.
    pub(crate) results: Vec<(InstanceId, Result<Done, Failure>)>,
    /// Whether the client waited for more than acceptance.
    pub(crate) was_awaited: bool,
}

/// Has the loop carry out a command, and waits for the reply at most for `patience`. If that is zero, the reply comes
/// once the command is accepted.
pub(crate) async fn command(
    shared: &Rc<Shared>,
    by: Principal,
    select: &str,
    verb: Verb,
    patience: Duration,
) -> Result<Commanded, Problem> {
    let patience = reload::started(shared, patience).await?;
    let select = parse_selector(&shared.supervisor.borrow(), select)?;
    let request = shared.new_request();
    let (reply, mut replied) = oneshot::channel();
    let waits = !patience.is_zero();
    // When a connection is closed, its request is dropped, whatever its progress. A client that only shuts down its
    // sending side looks like one that has finished sending, so it keeps its request and gets the response.
    let _abandoned = Abandon { shared: Rc::clone(shared), request };
    send(shared, Order::Command { request, select, verb, wait: waits, by, reply }).await?;
    let gone = |_| Problem::new(ProblemKind::ShuttingDown, "the daemon is about to exit");
    let outcome = match waits {
        false => replied.await.map_err(gone)?,
        true => match tokio::time::timeout(patience, &mut replied).await {
            Ok(outcome) => outcome.map_err(gone)?,
            Err(_) => {
                send(shared, Order::Expire { request }).await?;
                replied.await.map_err(gone)?
            }
        },
    };
    match outcome {
        Outcome::Reloaded(_) => Ok(Commanded { results: Vec::new(), was_awaited: waits }),
        Outcome::ShuttingDown => Err(Problem::new(ProblemKind::ShuttingDown, "the daemon is shutting down")),
        Outcome::NoSuchProgram(pattern) => Err(no_such_program(&shared.supervisor.borrow(), &pattern)),
        Outcome::Results(results) => Ok(Commanded { results, was_awaited: waits }),
    }
}

/// Stops all programs; the daemon exits after that.
pub(crate) async fn shut_down(
    shared: &Rc<Shared>,
    by: Principal,
    timeout: Option<ShutdownBudget>,
) -> Result<(), Problem> {
    send(shared, Order::Shutdown { timeout, by, pid: None }).await
}

/// The same for supervisord's method. If the client is a process of a program, failures may determine the exit code.
pub(crate) async fn end(shared: &Rc<Shared>, client: Client) -> Result<(), Problem> {
    send(shared, Order::Shutdown { timeout: None, by: client.principal, pid: client.pid }).await
}

async fn send(shared: &Rc<Shared>, order: Order) -> Result<(), Problem> {
    let gone = |_| Problem::new(ProblemKind::ShuttingDown, "the daemon is about to exit");
    shared.orders.send(order).await.map_err(gone)
}

/// Expires the request when dropped. The loop ignores that if it has already replied.
struct Abandon {
    shared: Rc<Shared>,
    request: RequestId,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        // If the queue is full, the request remains until its instances have come to rest, which is bounded as well.
        let _ = self.shared.orders.try_send(Order::Expire { request: self.request });
    }
}
