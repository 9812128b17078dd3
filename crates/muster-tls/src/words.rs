//! A failed connection, in words.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::certificate::printable;
use crate::verifier::at;

/// The error of a TLS stream in words. Errors that are not of TLS are described by their kind.
pub fn describe(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => tls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        None => error.kind().to_string(),
    }
}

fn tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.to_string(),
        Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        Error::AlertReceived(alert) => refusal(*alert),
        Error::PeerIncompatible(_) => "the server offers nothing of TLS 1.2 or 1.3 that is secure".to_owned(),
        error => error.to_string(),
    }
}

/// Why a client's handshake failed, in words, and whether its certificate was refused.
pub fn describe_client(error: &io::Error) -> (String, bool) {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the client closed the connection".to_owned(),
            kind => kind.to_string(),
        };
        return (reason, false);
    };
    match error {
        Error::InvalidCertificate(error) => (client_certificate(error), true),
        Error::NoCertificatesPresented => ("the client has no certificate".to_owned(), true),
        Error::InvalidMessage(_) => ("the client does not speak TLS".to_owned(), false),
        Error::PeerIncompatible(_) => ("the client offers no version or cipher that is allowed here".to_owned(), false),
        Error::AlertReceived(alert) => (format!("the client refused the handshake: {alert:?}"), false),
        error => (printable(&error.to_string()), false),
    }
}

fn client_certificate(error: &CertificateError) -> String {
    match error {
        // Another authority with the same name signed it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the client certificate has an issuer that is not trusted".to_owned()
        }
        CertificateError::Expired => "the client certificate expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the client certificate expired at {}", at(*not_after))
        }
        CertificateError::NotValidYet => "the client certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the client certificate is not valid before {}", at(*not_before))
        }
        CertificateError::Revoked => "the client certificate was revoked".to_owned(),
        CertificateError::BadEncoding => "the client certificate cannot be read".to_owned(),
        other => format!("the client certificate is not acceptable: {}", printable(&other.to_string())),
    }
}

/// The server's own reason for ending the handshake.
fn refusal(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the server requires a client certificate".to_owned(),
        AlertDescription::UnknownCA => "the server does not trust the issuer of the client certificate".to_owned(),
        AlertDescription::CertificateExpired => "the server says that the client certificate expired".to_owned(),
        AlertDescription::CertificateRevoked => "the server says that the client certificate was revoked".to_owned(),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "the server refused the client certificate".to_owned()
        }
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3".to_owned(),
        AlertDescription::UnrecognisedName => "the server has no certificate for this name".to_owned(),
        alert => format!("the server refused the handshake: {alert:?}"),
    }
}
