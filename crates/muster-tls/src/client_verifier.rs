//! Verifies the certificates of clients: those of an authority by rustls' own rules, and those that are listed by their
//! fingerprint. Without an authority, others are accepted and mean nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::certificate::sha256;

#[derive(Debug)]
pub(crate) struct ClientVerifier {
    /// That of the authority.
    pub(crate) authority: Option<Arc<dyn ClientCertVerifier>>,
    /// Fingerprints in hexadecimal.
    pub(crate) listed: BTreeSet<String>,
    /// Whether a handshake without a certificate fails.
    pub(crate) is_required: bool,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// Whether the names of a certificate that was accepted are those that the authority vouches for.
    pub(crate) fn vouches_for(&self, sha256: &str) -> bool {
        self.authority.is_some() && !self.listed.contains(sha256)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.authority {
            // A client would keep a listed certificate of another issuer to itself.
            Some(authority) if self.listed.is_empty() => authority.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.authority {
            Some(authority) if !self.listed.contains(&sha256(end_entity)) => {
                authority.verify_client_cert(end_entity, intermediates, now)
            }
            // The signature of the handshake proves that the client has the key.
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
