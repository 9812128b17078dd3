//! Executing a command in the context of a program.

use std::rc::Rc;

use muster_access::{Client, Peer};
use muster_api::{ExecBody, Problem, ProblemKind};
use muster_core::Principal;
use muster_exec::relay::Command;
use muster_secrets::{PATIENCE, Prepared};
use muster_spec::{ExecAt, InstanceSpec, ProcessSpec, SecretSpec, Signal, SpawnError, UserSpec};
use muster_sys::pty;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::oneshot;

use super::select;
use crate::children::secrets;
use crate::execs::{Ask, MOST, NotStarted};
use crate::shared::{Order, Shared};

/// The connection of a command's client. Dropping it hangs up.
pub(crate) struct Attached {
    serial: u64,
    shared: Rc<Shared>,
    /// The place of the hangup in the queue of orders: it must not have to wait for one.
    hangup: Option<OwnedPermit<Order>>,
}

impl Attached {
    /// Sends a signal to the command.
    pub(crate) async fn signal(&self, signal: Signal) {
        // The loop is gone only while the daemon exits.
        let _ = self.shared.orders.send(Order::SignalExec { serial: self.serial, signal }).await;
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.execs.borrow_mut().detach();
        if let Some(hangup) = self.hangup.take() {
            hangup.send(Order::HangUp { serial: self.serial });
        }
    }
}

/// Starts a command for a client.
pub(crate) async fn begin(
    shared: &Rc<Shared>,
    (client, peer): (Client, &Peer),
    name: &str,
    body: ExecBody,
) -> Result<(Attached, Command), Problem> {
    check_place(shared, peer)?;
    if body.command.first().is_none_or(String::is_empty) {
        return Err(Problem::new(ProblemKind::BadBody, "the command is empty"));
    }
    let spec = std::sync::Arc::clone(select::one(&shared.supervisor.borrow(), name)?.spec());
    let user = body.user.as_deref().map(|user| check_user(user, &spec, (client, peer))).transpose()?;
    let terminal = body.terminal.map(|size| pty::Size { rows: size.rows, columns: size.columns });
    let stdin = body.stdin;
    let process = process(&spec, body, user);
    let closed = || Problem::new(ProblemKind::ShuttingDown, "the daemon is shutting down");
    let too_many = || {
        let problem = Problem::new(ProblemKind::Busy, format!("{MOST} commands are being executed already"));
        problem.with_hint("`musterctl ps` shows them")
    };
    let serial = shared.execs.borrow_mut().attach().ok_or_else(too_many)?;
    let mut attached = Attached { serial, shared: Rc::clone(shared), hangup: None };
    let hangup = shared.orders.clone().reserve_owned().await.map_err(|_| closed())?;
    attached.hangup = Some(hangup);
    let prepared = read_files(shared, &process).await.map_err(cannot_execute)?;
    let ask = Ask { process, spec, terminal, stdin, by: client.principal, prepared };
    let (reply, replied) = oneshot::channel();
    shared.orders.send(Order::Exec { serial, ask: Box::new(ask), reply }).await.map_err(|_| closed())?;
    match replied.await {
        Ok(Ok(command)) => Ok((attached, command)),
        Ok(Err(NotStarted::Failed(error))) => Err(cannot_execute(error)),
        Ok(Err(NotStarted::TooMany)) => Err(too_many()),
        Ok(Err(NotStarted::ShuttingDown)) | Err(_) => Err(closed()),
    }
}

fn cannot_execute(error: SpawnError) -> Problem {
    Problem::new(ProblemKind::CannotExecute, error.message)
}

/// Reads the program's secrets as they are now, and copies its credentials for the command.
async fn read_files(shared: &Shared, process: &ProcessSpec) -> Result<Prepared, SpawnError> {
    let wanted = shared.children.borrow_mut().wanted(process)?;
    match wanted {
        Some(wanted) => secrets::read(wanted, PATIENCE).await,
        None => Ok(Prepared::default()),
    }
}

/// Whether commands may be executed at this listener.
fn check_place(shared: &Shared, peer: &Peer) -> Result<(), Problem> {
    let exec = shared.configuration.in_force().control.exec;
    let is_allowed = match exec {
        ExecAt::Off => false,
        ExecAt::Unix => peer.uid.is_some(),
        ExecAt::Everywhere => true,
    };
    if is_allowed {
        return Ok(());
    }
    let detail = format!("commands may not be executed here: [http] exec = \"{}\"", exec.name());
    let problem = Problem::new(ProblemKind::NotAllowed, detail);
    Err(match exec {
        ExecAt::Off => problem.with_hint("`exec = \"unix\"` in [http] of the configuration allows it on Unix sockets"),
        _ => problem.with_hint("connect to a Unix socket, or use `musterctl --via`"),
    })
}

/// Another user than the program's is for root alone: an administrator of the programs is none of the machine.
fn check_user(user: &str, spec: &InstanceSpec, (client, peer): (Client, &Peer)) -> Result<UserSpec, Problem> {
    let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group.to_owned())));
    let asked = UserSpec { user: name.to_owned(), group };
    if name.is_empty() || asked.group.as_deref() == Some("") {
        return Err(Problem::new(ProblemKind::BadBody, format!("not a user: {user:?}")));
    }
    let is_root = peer.uid == Some(0) && client.principal == Principal::Uid(0);
    if is_root || spec.process.user.as_ref() == Some(&asked) {
        return Ok(asked);
    }
    let own = spec.process.user.as_ref().map_or("the daemon's own", |user| &user.user);
    let detail = format!("{} may not choose the user of a command; {}'s is {own}", client.principal, spec.name);
    Err(Problem::new(ProblemKind::NotAllowed, detail).with_hint("root may, on a Unix socket and without another login"))
}

/// The context of the next run, with this command.
fn process(spec: &InstanceSpec, body: ExecBody, user: Option<UserSpec>) -> ProcessSpec {
    // Its standard input is the client's, or none.
    let mut process = ProcessSpec { command: body.command, stdin_path: None, ..ProcessSpec::clone(&spec.process) };
    process.environment.retain(|(name, _)| !body.environment.contains_key(name));
    // The client's variables are over all others.
    let is_left = |spec: &&SecretSpec| !body.environment.contains_key(&spec.name);
    process.secrets = process.secrets.iter().filter(is_left).cloned().collect();
    process.environment.extend(body.environment);
    if let Some(user) = user.filter(|user| process.user.as_ref() != Some(user)) {
        process.user = Some(user);
        // Groups are the program's user's.
        process.groups = None;
    }
    process
}
