//! Certificates and keys in PEM files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// Where systems keep the certificates that they trust, most common first.
pub(crate) const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The largest PEM file that is read. The bundles of systems have about 220 KiB.
const LARGEST: u64 = 8 << 20;

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let problem = |error: io::Error| format!("cannot read {}: {}", path.display(), error.kind());
    // Opening a FIFO would wait for its writer.
    if !fs::metadata(path).map_err(problem)?.is_file() {
        return Err(format!("cannot read {}: not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(problem)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("cannot read {}: larger than 8 MiB", path.display()));
    }
    Ok(bytes)
}

/// All certificates of a file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates_in(&read(path)?, path)
}

/// All certificates of a text; errors name the path that it came from.
pub(crate) fn certificates_in(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(bytes).collect();
    match all {
        Ok(all) if all.is_empty() => Err(format!("no certificate in PEM in {}", path.display())),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("not valid PEM: {}: {error}", path.display())),
    }
}

/// The private key of a file: PKCS#8, PKCS#1 or SEC1.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    key_in(&read(path)?, path)
}

/// The private key of a text.
pub(crate) fn key_in(bytes: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if bytes.windows(9).any(|window| window == b"ENCRYPTED") => {
            format!("the private key is encrypted, and there is no terminal for its passphrase: {}", path.display())
        }
        pem::Error::NoItemsFound => format!("no private key in PEM in {}", path.display()),
        error => format!("not valid PEM: {}: {error}", path.display()),
    })
}

/// The roots in one file. Each of its certificates must be usable.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, String> {
    roots_in(&read(path)?, path)
}

/// The roots in a text. Each of its certificates must be usable.
pub(crate) fn roots_in(bytes: &[u8], path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(bytes, path)? {
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate of {} cannot be a root: {error}", path.display()))?;
    }
    Ok(roots)
}

/// The lists of revoked certificates in a text.
pub(crate) fn revocations_in(bytes: &[u8], path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let all: Result<Vec<_>, pem::Error> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    match all {
        Ok(all) if all.is_empty() => Err(format!("no revocation list in PEM in {}", path.display())),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("not valid PEM: {}: {error}", path.display())),
    }
}

/// The roots of this system: of `SSL_CERT_FILE`, or else of the first bundle that exists. Certificates of a bundle that
/// cannot be used are skipped.
pub(crate) fn system_roots(variables: &dyn Fn(&str) -> Option<String>) -> Result<RootCertStore, String> {
    if let Some(path) = variables("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        return roots(Path::new(&path)).map_err(|error| format!("SSL_CERT_FILE: {error}"));
    }
    system_roots_in(&BUNDLES.map(PathBuf::from))
}

fn system_roots_in(bundles: &[PathBuf]) -> Result<RootCertStore, String> {
    let Some(bundle) = bundles.iter().find(|path| path.is_file()) else {
        let tried: Vec<String> = bundles.iter().map(|path| path.display().to_string()).collect();
        return Err(format!(
            "no certificates to trust: install ca-certificates, or name a file with cacert or SSL_CERT_FILE; tried {}",
            tried.join(", ")
        ));
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(bundle)?);
    if added == 0 { Err(format!("no usable certificate in {}", bundle.display())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_roots_says_where_they_were_expected() {
        let directory = tempfile::tempdir().unwrap();
        let error = system_roots_in(&[directory.path().join("a.pem"), directory.path().join("b.pem")]).unwrap_err();
        assert!(error.contains("ca-certificates") && error.ends_with("b.pem"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_pem_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pem");
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
            fs::write(&path, text).unwrap();
            assert!(certificates(&path).unwrap_err().contains("x.pem"), "{text:?}");
            assert!(key(&path).unwrap_err().contains("x.pem"), "{text:?}");
        }
        fs::write(&path, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").unwrap();
        assert!(key(&path).unwrap_err().contains("is encrypted"));
        assert!(certificates(directory.path()).unwrap_err().ends_with("not a regular file"));
        let variables = |_: &str| Some("/no/such.pem".to_owned());
        assert!(system_roots(&variables).unwrap_err().starts_with("SSL_CERT_FILE: cannot read /no/such.pem"));
    }
}
