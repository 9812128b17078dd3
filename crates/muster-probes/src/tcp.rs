//! The TCP probe: passes if the port accepts a connection.
//!
//! The connection is closed and not reset: many servers treat a reset as an error and log one per check. A port in
//! TIME_WAIT for a minute is the lesser evil.

use muster_spec::HostPort;

use crate::connect::Resolver;

/// Connects to `host:port`, and closes the connection.
pub async fn check(resolver: &Resolver, address: &HostPort) -> Result<String, String> {
    let stream = resolver.connect(&address.host, address.port).await?;
    // Unread data from the server would turn the close into a reset.
    let _ = stream.try_read(&mut [0; 4096]);
    Ok(format!("{address} accepts connections"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_runtime;

    #[test]
    fn a_listener_passes_and_a_closed_port_fails_with_its_reason() {
        in_runtime(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let address = HostPort::parse(&address).expect("an address");
            let resolver = Resolver::default();
            assert_eq!(check(&resolver, &address).await, Ok(format!("{address} accepts connections")));
            let (mut accepted, _) = listener.accept().unwrap();
            assert_eq!(std::io::Read::read(&mut accepted, &mut [0]).unwrap(), 0, "an orderly end, not a reset");
            drop(listener);
            let error = check(&resolver, &address).await.unwrap_err();
            assert!(error.starts_with("cannot connect to 127.0.0.1 port "), "{error}");
            assert!(error.ends_with("connection refused"), "{error}");
        });
    }
}
