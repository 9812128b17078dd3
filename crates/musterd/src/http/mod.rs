//! The control API over HTTP/1.1.
//!
//! [`muster_server`] accepts clients and bounds their connections, [`crate::access`] decides who may
//! do what, `router` finds the handler of a request. Handlers read [`crate::shared::Shared`] and send commands to the
//! event loop; none of them supervises programs itself.

mod action;
mod admission;
mod config;
mod core_dump;
mod cors;
mod debug;
pub(crate) mod events;
mod exec;
mod log_body;
mod logs;
mod logtail;
mod metrics;
mod notifier_metrics;
mod page;
mod processes;
mod queries;
mod router;
mod samples;
mod schedule;
mod schedule_metrics;
mod session;
mod simulate;
mod slices;
mod source_metrics;
mod state_metrics;
mod states;
mod stats;
mod terminal;
mod trace;
mod view;
mod web;
mod xmlrpc;

use std::rc::Rc;

use hyper::Request;
use hyper::body::Incoming;
use muster_server::response::Answer;
use muster_server::tickets::Desk;
use muster_server::{Daemon, Gate, Seat, Secrets};
use muster_spec::{ListenAddress, ListenSpec};

use crate::shared::Shared;

impl Daemon for Shared {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn control_address(&self) -> Option<ListenAddress> {
        self.configuration.in_force().control.socket.clone().map(ListenAddress::Unix)
    }

    fn listeners(&self) -> Vec<ListenSpec> {
        self.configuration.in_force().control.listeners.clone()
    }

    async fn answer(self: Rc<Self>, desk: Desk, seat: Seat, request: Request<Incoming>) -> Answer {
        router::answer(self, desk, seat, request).await
    }
}
