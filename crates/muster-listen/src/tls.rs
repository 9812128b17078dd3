//! TLS on a listener's connections: handshakes with a deadline, and the certificates of all listeners.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{ControlSpec, ListenAddress};
use muster_tls::server::{ClientCertificate, Server};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// The TLS of all listeners that have it.
#[derive(Debug, Default)]
pub struct Servers(BTreeMap<ListenAddress, Server>);

impl Servers {
    /// That of this configuration, whose files were judged.
    pub fn of(control: &ControlSpec) -> Result<Servers, String> {
        let listed = || control.identities.iter().filter_map(|identity| identity.cert_sha256.as_deref());
        let all = control.listeners.iter().filter_map(|listener| {
            let server = Server::new(listener.tls.as_ref()?, listed());
            let named = |error| format!("listen {}: {error}", listener.address);
            Some(server.map(|server| (listener.address.clone(), server)).map_err(named))
        });
        all.collect::<Result<_, _>>().map(Servers)
    }

    /// The TLS of a listener.
    pub fn get(&self, address: &ListenAddress) -> Option<&Server> {
        self.0.get(address)
    }

    /// The last second of the validity of a listener's certificate, in Unix time.
    pub fn not_after(&self, address: &ListenAddress) -> Option<i64> {
        self.get(address).map(|server| server.not_after)
    }
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client was too slow.
    Slow,
    /// Its certificate was refused, for this reason.
    Certificate(String),
    /// Anything else.
    Other(String),
}

/// A connection after its handshake.
pub type Connected = (TlsStream<TcpStream>, Option<ClientCertificate>);

/// Shakes hands with a client, within its patience. `server` is what the listener had when it accepted the client.
pub async fn handshake(
    stream: TcpStream,
    servers: Arc<Servers>,
    address: &ListenAddress,
) -> Result<Connected, Failure> {
    let Some(server) = servers.get(address) else { return Err(Failure::Other("the listener is gone".to_owned())) };
    let accepting = TlsAcceptor::from(Arc::clone(&server.config)).accept(stream);
    match tokio::time::timeout(PATIENCE, accepting).await {
        Err(_) => Err(Failure::Slow),
        Ok(Err(error)) => Err(match muster_tls::describe_client(&error) {
            (reason, true) => Failure::Certificate(reason),
            (reason, false) => Failure::Other(reason),
        }),
        Ok(Ok(stream)) => {
            let certificate = server.client_certificate(stream.get_ref().1.peer_certificates());
            Ok((stream, certificate))
        }
    }
}
