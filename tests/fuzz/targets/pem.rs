//! The files of a listener's TLS: certificate, key, authority, revocations. Files without a fault make a server, and no message
//! shows the key.

#![no_main]

use muster_spec::{ClientCertificates, PemFile, TlsClientSpec, TlsSpec, TlsVersion};
use muster_tls::certificate::Facts;
use muster_tls::server::{Server, judge};

/// While the seeds are valid.
const NOW: i64 = 1_800_000_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else { return };
    let mut parts = bytes.splitn(4, |byte| *byte == 0);
    let mut file = |name: &str| PemFile {
        path: name.into(),
        text: String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned(),
    };
    let (cert, key, ca, crl) = (file("cert"), file("key"), file("ca"), file("crl"));
    let mode = if kind & 1 == 0 { ClientCertificates::Request } else { ClientCertificates::Require };
    let client = TlsClientSpec { ca, crl: (kind & 2 != 0).then_some(crl), mode };
    let min = if kind & 4 == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    let spec = TlsSpec { cert, key, min, client: (kind & 8 != 0).then_some(client) };
    let _ = Facts::of(&bytes.into());
    let faults = judge(&spec, NOW);
    let is_base64 = |line: &str| line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let secret = spec.key.text.lines().filter(|line| line.len() >= 40 && is_base64(line));
    for line in secret {
        assert!(faults.iter().all(|fault| !fault.message.contains(line)), "{line:?}");
    }
    let made = Server::new(&spec, []);
    if !faults.iter().any(|fault| fault.is_error) {
        assert!(made.is_ok(), "{made:?}");
    }
});
