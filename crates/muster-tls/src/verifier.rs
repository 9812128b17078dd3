//! Verifies a server's certificate by rustls' own rules, or by a pin, and keeps the facts of one that is refused.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use crate::certificate::{Facts, fingerprint, printable};
use crate::date;
use crate::pin::Pin;

/// The certificates that a client trusts.
#[derive(Debug)]
pub(crate) enum Trust {
    Roots(Arc<WebPkiServerVerifier>),
    Pin(Pin),
}

#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(crate) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Verifier {
        Verifier { trust, algorithms }
    }
}

/// Why a server's certificate was refused, and the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// The reason, in words.
    pub reason: String,
    /// Whether that is an unknown issuer, so that another root would make it trusted.
    pub needs_root: bool,
    /// The facts of the certificate, if it could be read.
    pub facts: Option<Facts>,
    /// Its fingerprint, for a pin.
    pub fingerprint: String,
}

impl fmt::Display for Distrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.reason)?;
        if let Some(facts) = &self.facts {
            let validity = facts.validity();
            write!(formatter, "; it is of {}, issued by {}, {validity}", facts.subject, facts.issuer)?;
        }
        write!(formatter, ", {}", self.fingerprint)
    }
}

impl std::error::Error for Distrust {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (reason, needs_root) = match &self.trust {
            Trust::Pin(pin) if pin.is_of(end_entity) => return Ok(ServerCertVerified::assertion()),
            Trust::Pin(pin) => (format!("the server's certificate is not the pinned one, {}", pin.as_str()), false),
            Trust::Roots(roots) => {
                match roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                    Ok(verified) => return Ok(verified),
                    Err(error) => {
                        let needs_root = error == Error::InvalidCertificate(CertificateError::UnknownIssuer);
                        (reason(&error, end_entity), needs_root)
                    }
                }
            }
        };
        let (facts, fingerprint) = (Facts::of(end_entity), fingerprint(end_entity));
        let distrust = Distrust { reason, needs_root, facts, fingerprint };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust)))))
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

fn reason(error: &Error, certificate: &CertificateDer<'_>) -> String {
    let is_self_signed = Facts::of(certificate).is_some_and(|facts| facts.subject == facts.issuer);
    let Error::InvalidCertificate(error) = error else { return format!("the server's certificate: {error}") };
    match error {
        CertificateError::UnknownIssuer if is_self_signed => {
            "the server's certificate is self-signed, and not trusted".to_owned()
        }
        CertificateError::UnknownIssuer => "the server's certificate has an issuer that is not trusted".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired at {}", at(*not_after))
        }
        CertificateError::Expired => "the server's certificate expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is not valid before {}", at(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for {}, but for {}",
            expected.to_str(),
            if presented.is_empty() { "no name at all".to_owned() } else { printable(&presented.join(", ")) }
        ),
        CertificateError::Revoked => "the server's certificate was revoked".to_owned(),
        CertificateError::BadEncoding => "the server's certificate cannot be read".to_owned(),
        other if is_self_signed && format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is self-signed with CA:TRUE, and only a pin can trust one: make it with CA:FALSE, or let an \
             authority issue another"
                .to_owned()
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is one of a CA (CA:TRUE), which cannot be a server's own".to_owned()
        }
        other => format!("the server's certificate is not acceptable: {}", printable(&other.to_string())),
    }
}

/// A date of a certificate.
pub(crate) fn at(time: UnixTime) -> String {
    date::date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 2))
}
