//! The rules of all listeners, and what a request may do by them.
//!
//! On a Unix socket the kernel says whose process a client is: root, the daemon's own user and those in `allow_users` have
//! every right, those in `readonly_users` may look. Before that, the socket's file mode decides which users can connect.
//! A server of supervisord's configuration grants access as the original does: to who has the password, or can connect if
//! there is none. Its clients reach everything through supervisord's interface, and `control` through musterd's own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use muster_spec::{Authentication, ControlSpec, IdentityName, ListenAddress, Principal, Role};

use crate::authorization::{self, Authorization};
use crate::browser::{self, Foreign, Names, Provenance};
use crate::client::{Client, Rank};
use crate::crypt::{Verification, Verified};
use crate::identity::{self, Identity};
use crate::proof::Proof;
use crate::secret::{Secret, same};

/// The process at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The listener that accepted it.
    pub listener: Arc<ListenAddress>,
    /// Its user id, on a Unix socket.
    pub uid: Option<u32>,
    /// Its process, on a Unix socket.
    pub pid: Option<i32>,
    /// Its address, on TCP.
    pub address: Option<IpAddr>,
    /// The protection of the connection.
    pub security: Security,
}

/// The protection of a connection.
#[derive(Clone, Debug)]
pub enum Security {
    /// Nothing, or the kernel on a Unix socket.
    Clear,
    /// TLS, and the client's certificate, whose key the client has.
    Tls(Option<Arc<Certificate>>),
}

/// The certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its names, if an authority vouches for them.
    pub names: Vec<String>,
}

fn scheme(peer: &Peer) -> &'static str {
    if peer.is_secure() { "https" } else { "http" }
}

impl Peer {
    /// Whether the connection is encrypted.
    pub fn is_secure(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    fn certificate(&self) -> Option<&Certificate> {
        match &self.security {
            Security::Tls(certificate) => certificate.as_deref(),
            Security::Clear => None,
        }
    }
}

/// The interface that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// musterd's own.
    Native,
    /// supervisord's.
    Supervisord,
}

/// A request that has no right login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whether it has a wrong one.
    pub is_wrong: bool,
    /// Whether its listener belongs to a configuration of supervisord.
    pub is_of_supervisord: bool,
}

/// Users of this machine, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// The daemon's own.
    pub own: u32,
    /// Those in `allow_users`.
    pub may_control: Vec<u32>,
    /// Those in `readonly_users`.
    pub may_look: Vec<u32>,
    /// Those of identities, by their names.
    pub identities: Vec<(String, u32)>,
}

/// The rules of one listener.
#[derive(Clone, Debug)]
struct Rules {
    cap: Role,
    anyone: Option<Role>,
    login: Login,
    hosts: Vec<String>,
}

#[derive(Clone, Debug)]
enum Login {
    Identities,
    Supervisord(Option<(String, Secret)>),
}

/// The rules of all listeners.
#[derive(Clone, Debug, Default)]
pub struct Access {
    users: Users,
    identities: Vec<Identity>,
    listeners: BTreeMap<ListenAddress, Rules>,
    names: Names,
}

impl Login {
    fn of(authentication: &Authentication) -> Login {
        match authentication {
            Authentication::Identities => Login::Identities,
            Authentication::Supervisord(login) => {
                // An empty name asks for no password, as there.
                let login = login.as_ref().filter(|login| !login.username.is_empty());
                let secret = |password: &str| Secret::of_supervisord(password);
                Login::Supervisord(login.map(|login| (login.username.clone(), secret(&login.password))))
            }
        }
    }
}

impl Access {
    /// The rules of this configuration, on the machine of this name.
    pub fn new(spec: &ControlSpec, users: Users, hostname: &str) -> Access {
        let socket = spec.socket.iter().map(|path| {
            let rules =
                Rules { cap: Role::Admin, anyone: None, login: Login::of(&spec.authentication), hosts: Vec::new() };
            (ListenAddress::Unix(path.clone()), rules)
        });
        let others = spec.listeners.iter().map(|listener| {
            let login = Login::of(&listener.authentication);
            (
                listener.address.clone(),
                Rules { cap: listener.role, anyone: listener.anyone, login, hosts: listener.allow_hosts.clone() },
            )
        });
        let uid = |name: &str| users.identities.iter().find(|(of, _)| of == name).map(|(_, uid)| *uid);
        let identities = spec.identities.iter().map(|identity| Identity::new(identity, uid(&identity.name))).collect();
        let own = hostname.to_ascii_lowercase();
        let names = Names { own, hosts: spec.allow_hosts.clone(), origins: spec.allow_origins.clone() };
        Access { users, identities, listeners: socket.chain(others).collect(), names }
    }

    /// The client of a new connection, before its first request.
    pub fn newcomer(&self, peer: &Peer) -> Client {
        let principal = peer.uid.map_or(Principal::Anyone, Principal::Uid);
        let by_certificate = self.listeners.get(&*peer.listener).and_then(|rules| self.by_certificate(peer, rules));
        by_certificate.unwrap_or_else(|| {
            let client = Client::new(principal, None, peer.uid.is_some_and(|uid| self.is_root(uid)));
            Client { may_log_in: peer.uid.is_none(), ..client }
        })
    }

    /// The client as its certificate has it, if that belongs to an identity.
    fn by_certificate(&self, peer: &Peer, rules: &Rules) -> Option<Client> {
        let certificate = peer.certificate().filter(|_| matches!(rules.login, Login::Identities))?;
        let identity = self.identities.iter().find(|identity| identity.has(certificate))?;
        Some(Client::new(Principal::Identity(identity.name), Some(identity.role.min(rules.cap)), false))
    }

    /// Whether the logins of this peer matter. If not, every one is admitted, and none of them is right.
    pub fn heeds_logins(&self, peer: &Peer) -> bool {
        self.listeners.get(&*peer.listener).is_some_and(|rules| {
            self.by_certificate(peer, rules).is_none() && !matches!(rules.login, Login::Supervisord(None))
        })
    }

    /// Whether the listener of this peer belongs to a configuration of supervisord.
    pub fn is_of_supervisord(&self, peer: &Peer) -> bool {
        let rules = self.listeners.get(&*peer.listener);
        rules.is_some_and(|rules| matches!(rules.login, Login::Supervisord(_)))
    }

    /// The comparison that decides about a login that [`admit`](Access::admit) has refused. `None` if it is wrong without one.
    pub fn to_verify(&self, peer: &Peer, header: &[u8]) -> Option<Verification> {
        let rules = self.listeners.get(&*peer.listener)?;
        let Authorization::Basic { username, password } = authorization::parse(header)? else { return None };
        matches!(rules.login, Login::Identities).then(|| Verification::of(&self.identities, &username, password))?
    }

    /// The client whose password was verified, unless its user has another one by now.
    pub fn admit_verified(&self, peer: &Peer, verified: &Verified) -> Option<Client> {
        let rules = self.listeners.get(&*peer.listener).filter(|rules| matches!(rules.login, Login::Identities))?;
        let identity = self.identities.iter().find(|identity| verified.is_of(identity))?;
        Some(Client::new(Principal::Identity(identity.name), Some(identity.role.min(rules.cap)), false))
    }

    /// The login in this header, which was right, for a session. `verified` is the result of its comparison with a hash.
    pub fn proof(&self, peer: &Peer, header: &[u8], verified: Option<&Verified>) -> Option<Proof> {
        let (rules, sent) = (self.listeners.get(&*peer.listener)?, authorization::parse(header)?);
        match &rules.login {
            Login::Identities => {
                let of_verified = |verified: &Verified| {
                    let identity = self.identities.iter().find(|identity| verified.is_of(identity))?;
                    Some(Proof::of_verified(identity, verified))
                };
                let plain = identity::find(&self.identities, &sent);
                plain.map(|identity| Proof::of_identity(identity, &sent)).or_else(|| of_verified(verified?))
            }
            Login::Supervisord(Some((name, password))) => Some(Proof::of_supervisord(name, password)),
            Login::Supervisord(None) => None,
        }
    }

    /// The client that makes a request of a session, unless its login is no longer right. `None` also for a client that is known
    /// by its certificate.
    pub fn admit_session(&self, peer: &Peer, proof: &Proof) -> Option<Client> {
        let rules = self.listeners.get(&*peer.listener)?;
        let role = match &rules.login {
            _ if self.by_certificate(peer, rules).is_some() => return None,
            Login::Identities => self.identities.iter().find(|identity| proof.is_of(identity))?.role,
            Login::Supervisord(Some((name, password))) if proof.is_of_supervisord(name, password) => Role::Control,
            Login::Supervisord(_) => return None,
        };
        Some(Client::new(Principal::Identity(proof.name()), Some(role.min(rules.cap)), false))
    }

    /// Whether the login of a session is right at any listener.
    pub fn knows(&self, proof: &Proof) -> bool {
        let is_of = |rules: &Rules| match &rules.login {
            Login::Identities => self.identities.iter().any(|identity| proof.is_of(identity)),
            Login::Supervisord(login) => {
                login.as_ref().is_some_and(|(name, password)| proof.is_of_supervisord(name, password))
            }
        };
        self.listeners.values().any(is_of)
    }

    /// The client that makes a request. `authorization` are the values of all headers of this name.
    pub fn admit<'h>(
        &self,
        peer: &Peer,
        surface: Surface,
        authorization: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Client, Refusal> {
        // The listener is being closed.
        let Some(rules) = self.listeners.get(&*peer.listener) else { return Ok(self.newcomer(peer)) };
        if let Some(client) = self.by_certificate(peer, rules) {
            return Ok(client);
        }
        let mut headers = authorization.into_iter();
        let header = headers.next();
        let is_of_supervisord = matches!(rules.login, Login::Supervisord(_));
        if headers.next().is_some() {
            return Err(Refusal { is_wrong: true, is_of_supervisord });
        }
        match &rules.login {
            Login::Identities => match header {
                // A wrong login is refused even where none is needed: a broken client must hear of it.
                Some(header) => {
                    let found = authorization::parse(header);
                    let found = found.as_ref().and_then(|sent| identity::find(&self.identities, sent));
                    let identity = found.ok_or(Refusal { is_wrong: true, is_of_supervisord })?;
                    Ok(Client::new(Principal::Identity(identity.name), Some(identity.role.min(rules.cap)), false))
                }
                None => Ok(self.by_user(peer, rules)),
            },
            Login::Supervisord(login) => self.at_server(peer, surface, (login.as_ref(), header), rules.cap),
        }
    }

    /// Checks that no web page of another origin makes this request. Browsers do not reach Unix sockets.
    pub fn check_browser(&self, peer: &Peer, request: &Provenance<'_>) -> Result<(), Foreign> {
        let Some(rules) = self.listeners.get(&*peer.listener).filter(|_| peer.uid.is_none()) else { return Ok(()) };
        let mut names = self.names.clone();
        names.hosts.extend(rules.hosts.iter().cloned());
        // A page that only calls itself as this host has no password of supervisord, and clients use any name of it.
        if !matches!(rules.login, Login::Supervisord(Some(_))) {
            browser::check_host(request, &names)?;
        }
        browser::check_origin(request, scheme(peer), &names)
    }

    /// Whether a browser makes this request for a page of this listener, as far as it says: a request of a session that changes
    /// something must say so.
    pub fn is_of_own_page(&self, peer: &Peer, request: &Provenance<'_>) -> bool {
        browser::is_of_own_page(request, scheme(peer))
    }

    /// Whether web pages of some other origin may read answers to this peer. Browsers do not reach Unix sockets.
    pub fn has_origins(&self, peer: &Peer) -> bool {
        peer.uid.is_none() && !self.names.origins.is_empty()
    }

    /// Whether web pages of this origin may read answers.
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        str::from_utf8(origin).is_ok_and(|origin| self.names.allow(origin))
    }

    /// Whether a client that an earlier configuration let in has kept its role and its priority.
    pub fn still_admits(&self, peer: &Peer, client: &Client) -> bool {
        let Some(rules) = self.listeners.get(&*peer.listener) else { return false };
        let now = match (&rules.login, client.principal) {
            (Login::Identities, Principal::Identity(name)) => {
                let Some(identity) = self.identities.iter().find(|identity| identity.name == name) else {
                    return false;
                };
                Client::new(client.principal, Some(identity.role.min(rules.cap)), false)
            }
            (Login::Identities, _) => self.by_user(peer, rules),
            (Login::Supervisord(login), principal) => {
                let name = login.as_ref().map(|(name, _)| Principal::Identity(IdentityName::of(name)));
                let is_user = peer.uid.map(Principal::Uid) == Some(principal) && client.rank == Rank::Root;
                if name.is_some_and(|name| name != principal) && !is_user {
                    return false;
                }
                *client
            }
        };
        now.role >= client.role && now.rank >= client.rank
    }

    fn is_root(&self, uid: u32) -> bool {
        uid == 0 || uid == self.users.own
    }

    /// The client as its user id has it.
    fn by_user(&self, peer: &Peer, rules: &Rules) -> Client {
        let Some(uid) = peer.uid else {
            let client = Client::new(Principal::Anyone, rules.anyone.map(|role| role.min(rules.cap)), false);
            return Client { may_log_in: true, ..client };
        };
        let identity = self.identities.iter().find(|identity| identity.uid == Some(uid));
        let own = match uid {
            _ if self.is_root(uid) || self.users.may_control.contains(&uid) => Some(Role::Admin),
            _ => {
                let look = self.users.may_look.contains(&uid).then_some(Role::Read);
                look.max(identity.map(|identity| identity.role)).max(rules.anyone)
            }
        };
        Client::new(Principal::Uid(uid), own.map(|role| role.min(rules.cap)), self.is_root(uid))
    }

    /// The client of a server of supervisord's configuration.
    fn at_server(
        &self,
        peer: &Peer,
        surface: Surface,
        (login, header): (Option<&(String, Secret)>, Option<&[u8]>),
        cap: Role,
    ) -> Result<Client, Refusal> {
        let user = peer.uid.map(|uid| {
            (uid, self.by_user(peer, &Rules { cap, anyone: None, login: Login::Identities, hosts: Vec::new() }))
        });
        let own = user.and_then(|(_, client)| client.role);
        let is_root = user.is_some_and(|(uid, _)| self.is_root(uid));
        let granted = match surface {
            Surface::Supervisord => Role::Admin,
            Surface::Native => Role::Control,
        };
        let Some((name, password)) = login else {
            let principal = peer.uid.map_or(Principal::Anyone, Principal::Uid);
            return Ok(Client::new(principal, own.max(Some(granted.min(cap))), is_root));
        };
        if let (None, Surface::Native, Some((_, client))) = (header, surface, user)
            && client.role.is_some()
        {
            return Ok(client);
        }
        let refusal = Refusal { is_wrong: header.is_some(), is_of_supervisord: true };
        let sent = header.and_then(authorization::parse).ok_or(refusal)?;
        let Authorization::Basic { username, password: sent } = sent else { return Err(refusal) };
        if !bool::from(same(name, &username) & password.matches(&sent)) {
            return Err(refusal);
        }
        let principal = Principal::Identity(IdentityName::of(name));
        Ok(Client::new(principal, own.max(Some(granted.min(cap))), is_root))
    }
}

#[cfg(test)]
mod tests;
