//! `POST /v1/programs/{name}/terminal`: the connection becomes the terminal of a program.

use std::rc::Rc;

use hyper::header::HeaderMap;
use muster_access::Client;
use muster_api::{Problem, TerminalSize};
use muster_exec::relay;
use muster_server::response::Answer;
use muster_server::{Seat, TakeOver, request_body};

use super::exec;
use crate::operations;
use crate::shared::Shared;

/// Connects the client. Nothing that it does then ends the program by itself, and signals are not passed on.
pub(super) async fn upgrade(
    shared: &Rc<Shared>,
    (client, seat): (Client, &Seat),
    headers: &HeaderMap,
    name: &str,
    body: &[u8],
) -> Result<Answer, Problem> {
    exec::check_upgrade(headers, "use terminals", "`musterctl fg` sends them")?;
    let size: Option<Option<TerminalSize>> = request_body::parse(body)?;
    let (connected, command) = operations::terminal::connect(shared, client, name, size.flatten())?;
    let take_over: TakeOver = Box::new(move |stream, early| {
        Box::pin(async move {
            // An error is of the descriptors; the client is then disconnected.
            let _ = relay::serve(stream, &early, command, async |_| {}).await;
            drop(connected);
        })
    });
    Ok(exec::switch(seat, take_over))
}
