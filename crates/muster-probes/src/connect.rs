//! Connects to a host and port without ever blocking the loop.
//!
//! IP addresses and `localhost` need no lookup. Other names are resolved by the C library, which blocks, so that runs
//! on a thread of its own for the duration of the lookup. Concurrent lookups of one name share a thread, and results
//! are not cached. A name server that does not respond costs one thread, and the probes that wait for it time out.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;

use muster_spec::is_shortage;
use muster_sys::spawn::reason;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Stack size of a lookup thread; getaddrinfo(3) of every C library needs less.
const LOOKUP_STACK: usize = 512 * 1024;

/// Maximum number of concurrent lookups; further ones fail at once.
const MOST_LOOKUPS: usize = 16;

type Found = Result<Vec<IpAddr>, String>;

/// Resolves names and connects.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    under_way: Rc<RefCell<HashMap<String, watch::Receiver<Option<Found>>>>>,
    /// Whether the daemon lacked a resource needed to connect: descriptors, memory, threads.
    lacks: Rc<Cell<bool>>,
}

impl Resolver {
    /// The same resolver for another check, with its own `lacks` flag.
    pub fn for_a_check(&self) -> Resolver {
        Resolver { under_way: Rc::clone(&self.under_way), lacks: Rc::default() }
    }

    /// The flag that is set if the daemon lacks a resource.
    pub fn lacks(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.lacks)
    }

    fn note(&self, error: &io::Error) {
        self.lacks.set(self.lacks.get() || error.raw_os_error().is_some_and(is_shortage));
    }

    /// Connects to the first address of the host that accepts.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let mut failure = None;
        for address in self.addresses(host).await? {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                // If no address accepts, the error of the first, preferred one is reported.
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
        // A thread that ended without a result has panicked, which getaddrinfo gives no reason to.
        let found = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        self.under_way.borrow_mut().remove(host);
        found.unwrap_or_else(|| Err(format!("cannot look up {host:?}")))
    }

    /// Joins a running lookup of this name, or starts one.
    fn ask(&self, host: &str) -> Result<watch::Receiver<Option<Found>>, String> {
        let mut under_way = self.under_way.borrow_mut();
        // The check that started a lookup may have timed out before it finished: such a result is stale.
        under_way.retain(|_, answer| answer.borrow().is_none() && answer.has_changed().is_ok());
        if let Some(answer) = under_way.get(host) {
            return Ok(answer.clone());
        }
        if under_way.len() == MOST_LOOKUPS {
            return Err(format!(
                "cannot look up {host:?}: {MOST_LOOKUPS} other lookups are waiting for the name server"
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

/// The system's short description of an error.
pub fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_runtime;

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
    fn concurrent_lookups_of_a_name_are_shared() {
        in_runtime(async {
            let resolver = Resolver::default();
            // One that is under way as long as this test wants.
            let (_held, answer) = watch::channel(None);
            resolver.under_way.borrow_mut().insert("slow.invalid".to_owned(), answer.clone());
            assert!(resolver.ask("slow.invalid").unwrap().same_channel(&answer));
            resolver.under_way.borrow_mut().clear();
            // Never a valid name (RFC 6761).
            let name = "no-such-host.invalid";
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
            assert!(error.contains("16 other lookups are waiting for the name server"), "{error}");
        });
    }
}
