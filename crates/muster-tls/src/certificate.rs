//! The facts of a certificate that a person needs: owner, issuer, validity and fingerprint.
//!
//! Only for messages: whether a certificate is trusted is never decided here.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;

use crate::date;
use crate::der::{BIT_STRING, Elements, GENERALIZED_TIME, INTEGER, OBJECT, SEQUENCE, UTC_TIME, VERSION};

/// rsaEncryption, 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Names longer than this are cut: a server chooses them.
const MOST_CHARACTERS: usize = 120;

/// The facts of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The name of the owner, as `CN=shop, O=Example`.
    pub subject: String,
    /// The name of the issuer.
    pub issuer: String,
    /// The first second of its validity, in Unix time.
    pub not_before: i64,
    /// The last second of its validity, in Unix time.
    pub not_after: i64,
}

impl Facts {
    /// Reads a certificate, or returns `None` if it is not one.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Facts> {
        let mut fields = fields(certificate)?;
        let issuer = name(fields.expect_tag(SEQUENCE)?);
        let mut validity = Elements(fields.expect_tag(SEQUENCE)?);
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        let subject = name(fields.expect_tag(SEQUENCE)?);
        Some(Facts { subject, issuer, not_before, not_after })
    }

    /// Both dates of its validity, in words.
    pub fn validity(&self) -> String {
        format!("valid from {} to {}", date::date(self.not_before), date::date(self.not_after))
    }
}

/// The fields of a certificate from the issuer on: issuer, validity, subject, public key, and extensions.
pub(crate) fn fields<'a>(certificate: &'a CertificateDer<'_>) -> Option<Elements<'a>> {
    let mut signed = Elements(Elements(certificate).expect_tag(SEQUENCE)?);
    let mut fields = Elements(signed.expect_tag(SEQUENCE)?);
    let first = fields.next()?;
    if first.tag == VERSION {
        // The serial number.
        fields.next()?;
    }
    // The algorithm of the signature.
    fields.expect_tag(SEQUENCE)?;
    Some(fields)
}

/// The length of a certificate's RSA key in bits; `None` for other keys.
pub(crate) fn rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let mut fields = fields(certificate)?;
    for _ in ["issuer", "validity", "subject"] {
        fields.expect_tag(SEQUENCE)?;
    }
    let mut info = Elements(fields.expect_tag(SEQUENCE)?);
    if Elements(info.expect_tag(SEQUENCE)?).expect_tag(OBJECT)? != RSA_ENCRYPTION {
        return None;
    }
    // The number of unused bits comes first: none.
    let (_, key) = info.expect_tag(BIT_STRING)?.split_first()?;
    let modulus = Elements(Elements(key).expect_tag(SEQUENCE)?).expect_tag(INTEGER)?;
    let leading = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(leading)?;
    Some((modulus.len() - leading) * 8 - first.leading_zeros() as usize)
}

/// The SHA-256 of a certificate, as a pin names it: `sha256:` and hexadecimal digits.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    format!("sha256:{}", sha256(certificate))
}

/// The SHA-256 of a certificate in hexadecimal.
pub(crate) fn sha256(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A distinguished name: the parts that people know, in their order.
fn name(parts: &[u8]) -> String {
    let mut known = Vec::new();
    for set in Elements(parts) {
        for part in Elements(set.content) {
            let mut pair = Elements(part.content);
            let (Some(kind), Some(value)) = (pair.expect_tag(OBJECT), pair.next()) else { continue };
            if let Some(kind) = attribute(kind) {
                known.push(format!("{kind}={}", String::from_utf8_lossy(value.content)));
            }
        }
    }
    if known.is_empty() { "(no name)".to_owned() } else { printable(&known.join(", ")) }
}

fn attribute(kind: &[u8]) -> Option<&'static str> {
    match kind {
        [0x55, 0x04, 0x03] => Some("CN"),
        [0x55, 0x04, 0x06] => Some("C"),
        [0x55, 0x04, 0x0a] => Some("O"),
        [0x55, 0x04, 0x0b] => Some("OU"),
        _ => None,
    }
}

/// Text of a server: without control characters, and not too long.
pub(crate) fn printable(text: &str) -> String {
    let shown: String = text
        .chars()
        .take(MOST_CHARACTERS)
        .map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })
        .collect();
    if text.chars().nth(MOST_CHARACTERS).is_some() { format!("{shown}…") } else { shown }
}

/// `YYMMDDhhmmssZ`, or the same with a year of four digits.
fn time(elements: &mut Elements<'_>) -> Option<i64> {
    let element = elements.next()?;
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match element.tag {
        UTC_TIME if text.len() == 12 => {
            let year: i64 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        GENERALIZED_TIME if text.len() == 14 => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    date::seconds(year, two(0)?, two(2)?, [two(4)?, two(6)?, two(8)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_server_cannot_control_a_terminal() {
        assert_eq!(printable("CN=a\x1b[2Jb"), "CN=a\u{fffd}[2Jb");
        assert_eq!(printable(&"x".repeat(500)).chars().count(), MOST_CHARACTERS + 1);
    }

    #[test]
    fn anything_that_is_no_certificate_has_no_facts() {
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80\x00\x00", &[0x30; 4096]] {
            assert_eq!(Facts::of(&CertificateDer::from(bytes)), None);
        }
    }
}
