//! Delivers notifications: a task for each notifier takes one after another, so their order is kept.
//!
//! A failed attempt is repeated after a pause, with the configuration and the secrets of then. Commands are started and
//! killed by the loop; everything else happens here. Nothing waits for a notifier but its own queue.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use muster_api::Notification;
use muster_load::secrets::mask;
use muster_notifiers::{Failure, Poster, pace};
use muster_spec::{Delivery, NotifierSpec, NotifyCommand, OwnVariables, ProcessSpec, Span};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::http::events;
use crate::messengers::{Begun, Messenger};
use crate::notifiers::{Letter, Notifier};
use crate::probes::{exec, late};
use crate::shared::{Order, Shared};
use muster_logging::limit::{DAEMON, Notice, unless_none};
use muster_server::turn_clock::spawn_beside;

/// Starts a task for each new notifier; never returns.
pub(crate) async fn follow(shared: Rc<Shared>) {
    loop {
        let adopted = shared.notifiers.adopted.notified();
        for notifier in shared.notifiers.unattended() {
            spawn_beside(&shared.loop_turns, attend(Rc::clone(&shared), notifier));
        }
        adopted.await;
    }
}

async fn attend(shared: Rc<Shared>, notifier: Rc<Notifier>) {
    let mut poster = Poster::default();
    loop {
        match notifier.take() {
            Some(letter) => {
                let is_sent = deliver(&shared, &notifier, &mut poster, &letter).await;
                notifier.delivered(is_sent);
                shared.notifiers.settled.notify_one();
            }
            None if notifier.is_removed() => return,
            None => notifier.changed.notified().await,
        }
    }
}

/// Delivers a notification, in several attempts if need be. Returns whether it was accepted.
async fn deliver(shared: &Rc<Shared>, notifier: &Notifier, poster: &mut Poster, letter: &Letter) -> bool {
    let notification = Notification {
        event: events::event(shared, letter.id, &letter.published),
        on: letter.on.name().to_owned(),
        held_back: letter.held_back,
        host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let body = serde_json::to_vec(&notification).expect("strings and numbers always make JSON, and memory takes it");
    let mut repetition = 0;
    loop {
        let spec = notifier.spec();
        let attempted = match &spec.delivery {
            Delivery::Webhook(webhook) => {
                let posted = timeout(spec.timeout, poster.post(webhook, letter.id, &body)).await;
                posted.unwrap_or_else(|_| Err(Failure::passing(format!("no answer within {}", Span(spec.timeout)))))
            }
            Delivery::Exec(command) => execute(shared, (&spec, command), letter, &body).await,
        };
        let Err(Failure { reason, is_final }) = attempted else { return true };
        let is_last = is_final || repetition >= spec.retries || notifier.is_removed() || shared.notifiers.is_ending();
        let (name, on, attempt, reason) = (&spec.name, letter.on.name(), repetition + 1, mask(&reason));
        if is_last {
            if let Some(suppressed) = shared.limits.pass(DAEMON, Notice::NotDelivered).map(unless_none) {
                let attempts = attempt;
                warn!(notifier = %name, on, attempts, reason, suppressed, "cannot deliver a notification");
            }
            return false;
        }
        debug!(notifier = %name, on, attempt, reason, "cannot deliver a notification, trying again");
        pause(shared, pace::delay(repetition)).await;
        if notifier.is_removed() {
            return false;
        }
        repetition += 1;
    }
}

/// Waits until a failed attempt is to be repeated. The end of the daemon cuts that short.
async fn pause(shared: &Shared, delay: Duration) {
    tokio::select! {
        () = sleep(delay) => {}
        () = shared.notifiers.ending.notified() => {}
    }
}

/// Has a command read the notification, and waits until nothing of its tree is left.
async fn execute(
    shared: &Shared,
    (spec, command): (&NotifierSpec, &NotifyCommand),
    letter: &Letter,
    body: &[u8],
) -> Result<(), Failure> {
    let deadline = Instant::now() + spec.timeout;
    let words = command.command.clone();
    let user = command.user.clone();
    let process = ProcessSpec { user, own_variables: OwnVariables::Run, ..ProcessSpec::of(words) };
    let mut variables = vec![
        ("MUSTER_EVENT", letter.on.name().to_owned()),
        ("MUSTER_EVENT_ID", letter.id.to_string()),
        ("MUSTER_NOTIFIER", spec.name.clone()),
    ];
    variables.extend(Some(&letter.program).filter(|name| !name.is_empty()).map(|it| ("MUSTER_PROGRAM", it.clone())));
    let (reply, replied) = oneshot::channel();
    let messenger = Messenger { notifier: spec.name.clone(), process, variables };
    let order = Order::Messenger { messenger: Box::new(messenger), reply };
    // The loop is gone only while the daemon exits.
    let gone = || Failure::passing("the daemon ends");
    shared.orders.send(order).await.map_err(|_| gone())?;
    let begun = replied.await.map_err(|_| gone())?;
    let Begun { serial, command, stdin, ended } = begun.map_err(|error| Failure::passing(error.message))?;
    let lacks = Cell::default();
    let mut checked = pin!(exec::check(command, (deadline, late(spec.timeout)), &lacks));
    let outcome = {
        let mut writing = pin!(async move {
            // A command that does not read has its reasons, and its exit status counts.
            let _ = stdin.write(body, spec.timeout).await;
            // It reads the end of its input.
            drop(stdin);
        });
        tokio::select! {
            biased;
            outcome = &mut checked => outcome,
            () = &mut writing => checked.await,
        }
    };
    if outcome.is_err() {
        let _ = shared.orders.send(Order::EndMessenger { serial }).await;
    }
    // Its tree is killed. At most one command of a notifier has processes.
    let _ = ended.await;
    outcome.map(drop).map_err(Failure::passing)
}
