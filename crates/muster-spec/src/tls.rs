//! TLS of a listener: its certificate, and the client certificates that it asks for. Holds texts, and judges none of them.

use std::fmt;
use std::path::PathBuf;

/// The oldest version of TLS that a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.3 only.
    #[default]
    Tls13,
    /// TLS 1.2 as well, with forward secrecy and authenticated encryption.
    Tls12,
}

/// Whether a client must have a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// A client may have one.
    #[default]
    Request,
    /// A handshake without one fails.
    Require,
}

/// A PEM file and its text. The debug form hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Its path.
    pub path: PathBuf,
    /// Its text when it was read.
    pub text: String,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The certificate authority of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClientSpec {
    /// Its certificates.
    pub ca: PemFile,
    /// The certificates that it revoked.
    pub crl: Option<PemFile>,
    /// Whether a client must have one.
    pub mode: ClientCertificates,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSpec {
    /// Its certificate, followed by those of the issuers up to a root.
    pub cert: PemFile,
    /// The private key of the certificate.
    pub key: PemFile,
    /// The oldest version.
    pub min: TlsVersion,
    /// Client certificates of an authority; `None` accepts those that are named by their fingerprint.
    pub client: Option<TlsClientSpec>,
}

impl TlsSpec {
    /// Its files, to be read again.
    pub fn files_mut(&mut self) -> impl Iterator<Item = (TlsPart, &mut PemFile)> {
        let client = self.client.as_mut();
        let client = client.into_iter().flat_map(|client| {
            std::iter::once((TlsPart::ClientCa, &mut client.ca))
                .chain(client.crl.as_mut().map(|crl| (TlsPart::ClientCrl, crl)))
        });
        [(TlsPart::Cert, &mut self.cert), (TlsPart::Key, &mut self.key)].into_iter().chain(client)
    }
}

/// A file of a listener's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// Its certificate.
    Cert,
    /// The certificate's key.
    Key,
    /// The authority of client certificates.
    ClientCa,
    /// Its revocations.
    ClientCrl,
}

impl TlsPart {
    /// The key of the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            TlsPart::Cert => "tls_cert",
            TlsPart::Key => "tls_key",
            TlsPart::ClientCa => "tls_client_ca",
            TlsPart::ClientCrl => "tls_client_crl",
        }
    }
}

/// A mistake in a file of a listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// The file.
    pub part: TlsPart,
    /// Whether the listener cannot be opened with it.
    pub is_error: bool,
    /// The mistake. Quotes nothing of a key.
    pub message: String,
    /// How to mend it.
    pub hint: &'static str,
}
