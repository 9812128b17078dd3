//! The servers of a configuration: the first on a Unix socket is the control socket, or else musterd's own; all others are
//! listeners. Their clients are let in as the original lets them in.

use std::path::PathBuf;

use muster_spec::{Authentication, ControlSpec, HostPort, ListenAddress, ListenSpec, Login, UserSpec};

use super::super::model::{Address, Owner, Server};
use super::Context;

/// The control socket and the listeners. With `is_open`, a server on TCP needs no password anywhere.
pub(super) fn control(context: &mut Context<'_>, is_open: bool) -> ControlSpec {
    let mut control = ControlSpec::default();
    let mut has_socket = false;
    for server in &context.configuration.servers {
        let authentication = Authentication::Supervisord(login(server));
        match &server.address {
            Address::Inet { host, port } => {
                let host = if host.is_empty() { "*" } else { host.trim_matches(['[', ']']) };
                let address = ListenAddress::Http(HostPort { host: host.to_owned(), port: *port });
                // The reader has warned of one that will not be opened.
                if login(server).is_some() || address.is_loopback() || is_open {
                    let listener = ListenSpec { authentication, anyone: None, ..ListenSpec::at(address) };
                    add(context, server, &mut control, listener);
                }
            }
            Address::Unix { file, chmod, chown } => {
                // The lowest nine bits are permissions.
                let mode = u32::try_from(chmod & 0o777).unwrap_or(ControlSpec::DEFAULT_MODE);
                let owner = chown.as_ref().map(owner);
                if has_socket {
                    let address = ListenAddress::Unix(PathBuf::from(file));
                    let listener = ListenSpec { authentication, mode, owner, ..ListenSpec::at(address) };
                    add(context, server, &mut control, listener);
                } else {
                    has_socket = true;
                    control.socket = Some(PathBuf::from(file));
                    (control.mode, control.owner, control.authentication) = (mode, owner, authentication);
                }
            }
        }
    }
    control
}

/// Adds a listener, unless another one has its address, or there are too many.
fn add(context: &mut Context<'_>, server: &Server, control: &mut ControlSpec, listener: ListenSpec) {
    let key = if matches!(server.address, Address::Inet { .. }) { "port" } else { "file" };
    let socket = control.socket.clone().map(ListenAddress::Unix);
    let is_there = control.listeners.iter().any(|other| other.address == listener.address);
    if is_there || socket.as_ref() == Some(&listener.address) {
        let message = format!("another server has this address: {}", listener.address);
        return context.warn(server.section, Some(key), message, "leave one of them out");
    }
    if control.listeners.len() + 1 >= ListenSpec::MOST {
        let message = format!("more than {} servers: this one is not opened", ListenSpec::MOST);
        return context.warn(server.section, Some(key), message, "leave it out");
    }
    control.listeners.push(listener);
}

/// Name and password; an empty name asks for neither, as in the original.
fn login(server: &Server) -> Option<Login> {
    server.login.clone().filter(|login| !login.username.is_empty())
}

fn owner(owner: &Owner) -> UserSpec {
    UserSpec { user: owner.user.name.clone(), group: owner.group.map(|group| group.to_string()) }
}
