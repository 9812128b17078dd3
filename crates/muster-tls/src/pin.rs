//! A pin: the fingerprint of the one certificate that a client accepts.

use std::str::FromStr;

use rustls::pki_types::CertificateDer;

use crate::certificate::fingerprint;

/// The SHA-256 of a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// Whether the certificate is the pinned one. Fingerprints are public, so the time of a comparison reveals nothing.
    pub fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        fingerprint(certificate) == self.0
    }

    /// The pin as `sha256:HEX`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads `sha256:HEX`; colons between the digits, as `openssl x509 -fingerprint` writes them, are allowed.
impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Pin, String> {
        let hint = || format!("a pin is sha256: and 64 hexadecimal digits: {text:?}");
        let digits = text.strip_prefix("sha256:").ok_or_else(hint)?.replace(':', "").to_ascii_lowercase();
        let is_valid = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_valid { Ok(Pin(format!("sha256:{digits}"))) } else { Err(hint()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_openssl_and_we_write_it() {
        let plain = format!("sha256:{}", "0a".repeat(32));
        let colons = format!("sha256:{}", vec!["0A"; 32].join(":"));
        assert_eq!(plain.parse::<Pin>().unwrap(), colons.parse::<Pin>().unwrap());
        for wrong in ["", "sha256:", "sha1:00", &plain[..70], &format!("{plain}00"), &plain.replace('0', "g")] {
            assert!(wrong.parse::<Pin>().unwrap_err().ends_with(&format!("{wrong:?}")));
        }
    }
}
