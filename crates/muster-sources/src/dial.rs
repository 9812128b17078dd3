//! Connects to a server, over TLS where its address says so.

use std::time::Duration;

use muster_probes::connect::Resolver;
use muster_spec::HostPort;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::edition::Failure;
use crate::secrets::Secrets;

/// How long connecting may take, with the handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Connects to a server.
pub async fn dial(
    resolver: &Resolver,
    secrets: &Secrets,
    (server, is_tls): (&HostPort, bool),
) -> Result<Box<dyn Stream>, Failure> {
    let dialing = async {
        let tcp = resolver.connect(&server.host, server.port).await?;
        // A request is one small packet; waiting for more gains nothing.
        let _ = tcp.set_nodelay(true);
        if is_tls { encrypted(tcp, secrets, server).await } else { Ok(Box::new(tcp) as Box<dyn Stream>) }
    };
    match timeout(CONNECT, dialing).await {
        Ok(dialed) => dialed.map_err(|reason: String| Failure::new(reason)),
        Err(_) => Err(Failure::new(format!("{server} does not answer within 5s"))),
    }
}

#[cfg(feature = "tls")]
async fn encrypted(tcp: TcpStream, secrets: &Secrets, server: &HostPort) -> Result<Box<dyn Stream>, String> {
    let Some(config) = &secrets.tls else { return Err("no certificates were read".to_owned()) };
    let name = muster_tls::server_name(&server.host)?;
    let connected = tokio_rustls::TlsConnector::from(std::sync::Arc::clone(config)).connect(name, tcp).await;
    let stream = connected.map_err(|error| format!("{server}: {}", muster_tls::describe(&error)))?;
    Ok(Box::new(stream))
}

#[cfg(not(feature = "tls"))]
async fn encrypted(_: TcpStream, _: &Secrets, _: &HostPort) -> Result<Box<dyn Stream>, String> {
    Err("this musterd was built without TLS".to_owned())
}
