//! The configuration of a client: the servers it trusts, and its own certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;

use crate::pin::Pin;
use crate::verifier::{Trust, Verifier};
use crate::{files, provider};

/// Sessions that can be resumed: those of the few servers that one client talks to.
const SESSIONS: usize = 16;

/// The settings of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The roots to trust instead of those of the system.
    pub cacert: Option<PathBuf>,
    /// The client's certificate, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The one certificate of the server that is accepted, from any issuer.
    pub pin: Option<Pin>,
}

/// The configuration of a client, for TLS 1.2 and 1.3 and HTTP/1.1. Reads files; an error names the one at fault.
pub fn client_config(client: &Client, variables: &dyn Fn(&str) -> Option<String>) -> Result<Arc<ClientConfig>, String> {
    let provider = provider();
    let trust = match &client.pin {
        Some(pin) => Trust::Pin(pin.clone()),
        None => {
            let roots = match &client.cacert {
                Some(path) => files::roots(path)?,
                None => files::system_roots(variables)?,
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            Trust::Roots(verifier.map_err(|error| error.to_string())?)
        }
    };
    let verifier = Arc::new(Verifier::new(trust, provider.signature_verification_algorithms));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // Not weaker than the default: it verifies, and adds the words of a failure.
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &client.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = files::certificates(certificate)?;
            builder.with_client_auth_cert(chain, files::key(key)?).map_err(|error| {
                format!("{} and {} cannot be used together: {error}", certificate.display(), key.display())
            })?
        }
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that a server's certificate must have: a host's name, or an IP address with or without brackets.
pub fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(plain.to_owned()).map_err(|_| format!("not the name of a host: {host:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for host in ["shop.example.org", "localhost", "127.0.0.1", "[::1]", "::1"] {
            assert!(server_name(host).is_ok(), "{host}");
        }
        for host in ["", "a b", "a/b", "[::1"] {
            assert!(server_name(host).is_err(), "{host}");
        }
    }
}
