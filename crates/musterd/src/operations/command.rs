//! Commands: they change something, so they are sent to the event loop as orders, and the loop replies.

use std::rc::Rc;
use std::time::Duration;

use muster_api::{Problem, ProblemKind};
use muster_core::{Done, Failure, Outcome, Principal, RequestId, Verb};
use muster_spec::InstanceId;
use tokio::sync::oneshot;

use super::select::{no_such_program, parse_selector};
use crate::shared::{Order, Shared};

/// What became of a command.
pub(crate) struct Commanded {
    /// Of each chosen instance.
    pub(crate) results: Vec<(InstanceId, Result<Done, Failure>)>,
    /// Whether the client waited for more than that the command was accepted.
    pub(crate) was_awaited: bool,
}

/// Has the loop carry something out, and waits for the reply no longer than `patience`. Without patience the reply comes as
/// soon as it is accepted.
pub(crate) async fn command(
    shared: &Rc<Shared>,
    by: Principal,
    select: &str,
    verb: Verb,
    patience: Duration,
) -> Result<Commanded, Problem> {
    let select = parse_selector(select)?;
    let request = shared.new_request();
    let (reply, mut replied) = oneshot::channel();
    let waits = !patience.is_zero();
    // A connection that is closed takes its request with it, however far that has come. A client that only hangs up is not
    // noticed while it waits: one that has finished sending looks the same, and gets its answer.
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

/// Has everything stopped, and the daemon exit after that.
pub(crate) async fn shut_down(shared: &Rc<Shared>, by: Principal, timeout: Option<Duration>) -> Result<(), Problem> {
    send(shared, Order::Shutdown { timeout, by }).await
}

async fn send(shared: &Rc<Shared>, order: Order) -> Result<(), Problem> {
    let gone = |_| Problem::new(ProblemKind::ShuttingDown, "the daemon is about to exit");
    shared.orders.send(order).await.map_err(gone)
}

/// Tells the loop, when it is dropped, that nobody waits for a reply any more. An expired request that was replied to is
/// nothing to the loop.
struct Abandon {
    shared: Rc<Shared>,
    request: RequestId,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        // Where the queue is full the request stays until its instances come to rest, which is bounded as well.
        let _ = self.shared.orders.try_send(Order::Expire { request: self.request });
    }
}
