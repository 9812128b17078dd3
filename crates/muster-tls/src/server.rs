//! The configuration of a listener: its certificate, and the client certificates that it accepts.
//!
//! [`judge`] finds every fault of its files, and [`Server::new`] makes the configuration of files without one. The texts
//! come from the caller, so those that were judged are those that are used.

use muster_spec::arrange::Gather;
use std::collections::BTreeSet;
use std::sync::Arc;

use muster_spec::{ClientCertificates, TlsClientSpec, TlsFault, TlsPart, TlsSpec, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig};

use crate::certificate::{Facts, rsa_bits, sha256};
use crate::client_verifier::ClientVerifier;
use crate::names::names;
use crate::{date, files, provider};

/// Sessions that can be resumed.
const SESSIONS: usize = 32;

/// The shortest RSA key, in bits.
const LEAST_RSA: usize = 2048;

const DAY: i64 = 86_400;

/// A certificate that expires sooner is warned of.
const SOON: i64 = 14 * DAY;

/// The TLS of a listener.
#[derive(Debug)]
pub struct Server {
    /// The configuration for connections.
    pub config: Arc<ServerConfig>,
    /// The last second of its certificate's validity, in Unix time.
    pub not_after: i64,
    clients: Option<Arc<ClientVerifier>>,
}

/// The certificate of a client that has proved to have its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The names that the authority vouches for; empty for a certificate that none does.
    pub names: Vec<String>,
}

impl Server {
    /// The TLS of these files. `listed` are the fingerprints of client certificates that need no authority, in hexadecimal.
    pub fn new<'l>(spec: &TlsSpec, listed: impl IntoIterator<Item = &'l str>) -> Result<Server, String> {
        let provider = provider();
        let certified = certified(spec, &provider).map_err(|(_, message)| message)?;
        let facts = certified.cert.first().and_then(Facts::of).ok_or("the certificate cannot be read")?;
        let listed: BTreeSet<String> = listed.into_iter().map(str::to_owned).gather();
        let authority = match &spec.client {
            Some(client) => Some(authority(client, &provider).map_err(|(_, message)| message)?),
            None => None,
        };
        let clients = (authority.is_some() || !listed.is_empty()).then(|| {
            let is_required = spec.client.as_ref().is_some_and(|client| client.mode == ClientCertificates::Require);
            let algorithms = provider.signature_verification_algorithms;
            Arc::new(ClientVerifier { authority, listed, is_required, algorithms })
        });
        let versions = match spec.min {
            TlsVersion::Tls13 => &[&TLS13][..],
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as Arc<dyn ClientCertVerifier>),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // A session keeps what was verified at its beginning, which must not outlive a client's certificate.
        config.session_storage = match clients.is_some() {
            true => Arc::new(NoServerSessionStorage {}),
            false => ServerSessionMemoryCache::new(SESSIONS),
        };
        config.send_tls13_tickets = usize::from(clients.is_none());
        // With TLS 1.2, the strongest cipher that both sides have is used, whatever the client prefers.
        config.ignore_client_order = spec.min == TlsVersion::Tls12;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Server { config: Arc::new(config), not_after: facts.not_after, clients })
    }

    /// The certificate that a client sent in a handshake that succeeded.
    pub fn client_certificate(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<ClientCertificate> {
        let (clients, leaf) = (self.clients.as_ref()?, chain?.first()?);
        let sha256 = sha256(leaf);
        let names = if clients.vouches_for(&sha256) { names(leaf) } else { Vec::new() };
        Some(ClientCertificate { sha256, names })
    }
}

type Fault = (TlsPart, String);

/// Every fault of a listener's files, at this time in Unix time.
pub fn judge(spec: &TlsSpec, now: i64) -> Vec<TlsFault> {
    let provider = provider();
    let mut faults = Vec::new();
    let mut add = |(part, message): Fault, is_error: bool, hint| {
        faults.push(TlsFault { part, is_error, message, hint });
    };
    let leaf = files::certificates_in(spec.cert.text.as_bytes(), &spec.cert.path).ok();
    if let Some(facts) = leaf.as_ref().and_then(|chain| chain.first()).and_then(Facts::of) {
        let at = |second| date::date(second);
        let renewed = "renew the certificate; the daemon reads it again by itself";
        let cert = |message: String| (TlsPart::Cert, message);
        if facts.not_after < now {
            add(cert(format!("the certificate expired at {}", at(facts.not_after))), true, renewed);
        } else if facts.not_after - now < SOON {
            add(cert(format!("the certificate expires at {}", at(facts.not_after))), false, renewed);
        }
        // Clocks of machines differ.
        if facts.not_before - now > DAY {
            let message = format!("the certificate is not valid before {}", at(facts.not_before));
            add(cert(message), true, "is the clock of this machine right?");
        }
    }
    if let Err(fault) = certified(spec, &provider) {
        let hint = match fault.0 {
            TlsPart::Key => "the key that the certificate was made with: RSA from 2048 bits, P-256, P-384 or Ed25519",
            _ => "a PEM file with the certificate, followed by those of its issuers",
        };
        add(fault, true, hint);
    }
    if let Some(client) = &spec.client
        && let Err(fault) = authority(client, &provider)
    {
        add(fault, true, "a PEM file: certificates of an authority, or its revocation lists");
    }
    faults
}

/// The certificate with its key.
fn certified(spec: &TlsSpec, provider: &CryptoProvider) -> Result<CertifiedKey, Fault> {
    let of_cert = |message| (TlsPart::Cert, message);
    let of_key = |message| (TlsPart::Key, message);
    let chain = files::certificates_in(spec.cert.text.as_bytes(), &spec.cert.path).map_err(of_cert)?;
    let leaf = chain.first().ok_or_else(|| of_cert("has no certificate".to_owned()))?;
    if Facts::of(leaf).is_none() {
        return Err(of_cert(format!("the certificate cannot be read: {}", spec.cert.path.display())));
    }
    if let Some(bits) = rsa_bits(leaf).filter(|bits| *bits < LEAST_RSA) {
        return Err(of_cert(format!("the certificate has a weak key: RSA with {bits} bits")));
    }
    let key = files::key_in(spec.key.text.as_bytes(), &spec.key.path).map_err(of_key)?;
    let path = spec.key.path.display();
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| of_key(format!("the private key is of a kind that is not supported: {path}")))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            Err(of_key(format!("the private key does not belong to the certificate: {path}")))
        }
        Err(error) if format!("{error:?}").contains("UnsupportedCertVersion") => {
            Err(of_cert("the certificate is of X.509 version 1, and must be of version 3".to_owned()))
        }
        Err(error) => Err(of_cert(format!("the certificate cannot be used: {error}"))),
    }
}

/// The verifier for client certificates of an authority.
fn authority(client: &TlsClientSpec, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let of_ca = |message| (TlsPart::ClientCa, message);
    let of_crl = |message| (TlsPart::ClientCrl, message);
    let roots = files::roots_in(client.ca.text.as_bytes(), &client.ca.path).map_err(of_ca)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(crl) = &client.crl {
        let lists = files::revocations_in(crl.text.as_bytes(), &crl.path).map_err(of_crl)?;
        // A list of one authority says nothing of the certificates of another.
        builder = builder.with_crls(lists).allow_unknown_revocation_status();
    }
    builder.build().map_err(|error| match client.crl {
        Some(_) => of_crl(format!("the revocation list cannot be used: {error}")),
        None => of_ca(format!("the authority cannot be used: {error}")),
    })
}
