//! From a host and a port to a connection, without ever making the loop wait.
//!
//! Numbers and `localhost` are known at once. For any other name the C library is asked, which blocks: that happens on a
//! thread that lives as long as the question, one for each name however many ask, and what comes of it is not kept. A
//! name server that does not answer costs one thread, and the probes that wait for it fail when their time is up.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;

use muster_spec::is_shortage;
use muster_sys::spawn::reason;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// getaddrinfo(3) of every C library does with less.
const LOOKUP_STACK: usize = 512 * 1024;

/// At most so many names are looked up at a time; further ones fail at once.
const MOST_LOOKUPS: usize = 16;

type Found = Result<Vec<IpAddr>, String>;

/// Looks names up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    under_way: Rc<RefCell<HashMap<String, watch::Receiver<Option<Found>>>>>,
    /// Whether the daemon lacked what it needs to connect: descriptors, memory, threads.
    lacks: Rc<Cell<bool>>,
}

impl Resolver {
    /// The same resolver for another check, with a flag of its own.
    pub(super) fn for_a_check(&self) -> Resolver {
        Resolver { under_way: Rc::clone(&self.under_way), lacks: Rc::default() }
    }

    /// Tells later whether the daemon lacked what it needs.
    pub(super) fn lacks(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.lacks)
    }

    fn note(&self, error: &io::Error) {
        self.lacks.set(self.lacks.get() || error.raw_os_error().is_some_and(is_shortage));
    }

    /// Connects to the first address of the host that accepts.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let mut failure = None;
        for address in self.addresses(host).await? {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                // Where none accepts, the first is the one that was meant.
                Err(error) => {
                    self.note(&error);
                    failure.get_or_insert(error);
                }
            }
        }
        let why = failure.map_or_else(|| "it has no address".to_owned(), |error| words(&error));
        Err(format!("cannot connect to {host} port {port}: {why}"))
    }

    async fn addresses(&self, host: &str) -> Found {
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => self.look_up(host).await,
        }
    }

    async fn look_up(&self, host: &str) -> Found {
        let mut answer = self.ask(host)?;
        // A thread that ended without an answer has panicked, which getaddrinfo gives no reason to.
        let found = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        self.under_way.borrow_mut().remove(host);
        found.unwrap_or_else(|| Err(format!("cannot look up {host:?}")))
    }

    /// Joins the question that is under way, or asks it.
    fn ask(&self, host: &str) -> Result<watch::Receiver<Option<Found>>, String> {
        let mut under_way = self.under_way.borrow_mut();
        // Who asked may have lost patience before the answer came: it is too old by now.
        under_way.retain(|_, answer| answer.borrow().is_none() && answer.has_changed().is_ok());
        if let Some(answer) = under_way.get(host) {
            return Ok(answer.clone());
        }
        if under_way.len() == MOST_LOOKUPS {
            return Err(format!(
                "cannot look up {host:?}: the name server does not answer for {MOST_LOOKUPS} other names"
            ));
        }
        let (tell, answer) = watch::channel(None);
        let name = host.to_owned();
        let thread = std::thread::Builder::new().name("lookup".to_owned()).stack_size(LOOKUP_STACK);
        let started = thread.spawn(move || drop(tell.send(Some(look_up_blocking(&name)))));
        started
            .inspect_err(|error| self.note(error))
            .map_err(|error| format!("cannot look up {host:?}: {}", words(&error)))?;
        under_way.insert(host.to_owned(), answer.clone());
        Ok(answer)
    }
}

fn look_up_blocking(host: &str) -> Found {
    match (host, 0).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
        Err(error) => Err(format!("cannot look up {host:?}: {error}")),
    }
}

/// The plain words for an error.
pub(crate) fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::testing::in_runtime;

    #[test]
    fn numbers_and_localhost_need_no_thread() {
        in_runtime(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let resolver = Resolver::default();
            for host in ["127.0.0.1", "localhost", "LocalHost"] {
                assert!(resolver.connect(host, port).await.is_ok(), "{host}");
                assert!(resolver.under_way.borrow().is_empty(), "{host}");
            }
        });
    }

    #[test]
    fn other_names_are_looked_up_once_for_all_who_ask() {
        in_runtime(async {
            let resolver = Resolver::default();
            // Never a name (RFC 6761), so the answer is no; it is given to both.
            let name = "no-such-host.invalid";
            let (first, second) = (resolver.ask(name).unwrap(), resolver.ask(name).unwrap());
            assert!(first.same_channel(&second));
            let error = resolver.connect(name, 80).await.unwrap_err();
            assert!(error.starts_with(r#"cannot look up "no-such-host.invalid": "#), "{error}");
            assert!(resolver.under_way.borrow().is_empty());
        });
    }

    #[test]
    fn lookups_are_bounded() {
        in_runtime(async {
            let resolver = Resolver::default();
            let held: Vec<_> = (0..MOST_LOOKUPS).map(|_| watch::channel(None)).collect();
            for (number, (_, answer)) in held.iter().enumerate() {
                resolver.under_way.borrow_mut().insert(number.to_string(), answer.clone());
            }
            let error = resolver.connect("example.invalid", 80).await.unwrap_err();
            assert!(error.contains("does not answer for 16 other names"), "{error}");
        });
    }
}
