//! The names in a client's certificate: URIs, email addresses and DNS names, or the common name of one without any.
//!
//! Only for a certificate that was verified. A name counts only in the form that its kind has, so that one kind cannot be
//! taken for another: an authority may let clients choose some of them.

use rustls::pki_types::CertificateDer;

use crate::certificate::fields;
use crate::der::{BOOLEAN, EXTENSIONS, Elements, OBJECT, OCTET_STRING, SEQUENCE, SET};

/// subjectAltName, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The most names that are looked at.
const MOST: usize = 64;

/// rfc822Name, dNSName and uniformResourceIdentifier of RFC 5280, section 4.2.1.6.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;

/// The names of a certificate.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    match alternative(certificate) {
        Some(names) => names.take(MOST).filter_map(|(kind, name)| of_kind(kind, name)).collect(),
        None => common(certificate).into_iter().collect(),
    }
}

/// The alternative names, if the certificate has any.
fn alternative<'a>(certificate: &'a CertificateDer<'_>) -> Option<impl Iterator<Item = (u8, &'a [u8])> + use<'a>> {
    let extensions = fields(certificate)?.find(|field| field.tag == EXTENSIONS)?;
    for extension in Elements(Elements(extensions.content).expect_tag(SEQUENCE)?) {
        let mut parts = Elements(extension.content);
        if parts.expect_tag(OBJECT) != Some(ALTERNATIVE_NAMES) {
            continue;
        }
        let value = parts.find(|part| part.tag != BOOLEAN).filter(|part| part.tag == OCTET_STRING)?;
        let names = Elements(Elements(value.content).expect_tag(SEQUENCE)?);
        return Some(names.map(|name| (name.tag, name.content)));
    }
    None
}

fn of_kind(kind: u8, name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok().filter(|name| !name.chars().any(char::is_control))?;
    let is_of_dns = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    let is_right = match kind {
        EMAIL => name.contains('@') && !name.contains("://"),
        DNS => name.bytes().all(is_of_dns),
        URI => name.contains("://"),
        _ => false,
    };
    is_right.then(|| name.to_owned())
}

/// The last common name: the one that is most specific.
fn common(certificate: &CertificateDer<'_>) -> Option<String> {
    let mut fields = fields(certificate)?;
    for _ in ["issuer", "validity"] {
        fields.expect_tag(SEQUENCE)?;
    }
    let mut found = None;
    for set in Elements(fields.expect_tag(SEQUENCE)?).filter(|element| element.tag == SET) {
        for part in Elements(set.content) {
            let mut pair = Elements(part.content);
            if pair.expect_tag(OBJECT) == Some(COMMON_NAME) {
                found = pair.next().and_then(|value| str::from_utf8(value.content).ok());
            }
        }
    }
    found.filter(|name| !name.contains("://") && !name.chars().any(char::is_control)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_form_of_its_kind() {
        for (kind, name, is_right) in [
            (URI, "spiffe://example.org/deploy", true),
            (DNS, "spiffe://example.org/deploy", false),
            (EMAIL, "spiffe://a@example.org", false),
            (EMAIL, "ops@example.org", true),
            (DNS, "ops@example.org", false),
            (DNS, "shop.example.org", true),
            (URI, "shop.example.org", false),
            (DNS, "shop\0.example.org", false),
            (0x87, "abcd", false),
        ] {
            assert_eq!(of_kind(kind, name.as_bytes()).is_some(), is_right, "{kind:x} {name}");
        }
    }

    #[test]
    fn anything_that_is_no_certificate_has_no_names() {
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", &[0x30; 4096]] {
            assert!(names(&CertificateDer::from(bytes)).is_empty());
        }
    }
}
