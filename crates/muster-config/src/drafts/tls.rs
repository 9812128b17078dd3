//! `tls_cert` and its companions, in `[http]` and in a table of `listen`: the TLS of a listener.
//!
//! Files are read here; a [`CertificateCheck`] judges them, since only the daemon has a library for that.

use muster_spec::{ClientCertificates, PemFile, TlsClientSpec, TlsFault, TlsPart, TlsSpec, TlsVersion};

use crate::diagnostic::{Place, Report, Severity};
use crate::field::{Field, Owner};
use crate::secret_files::Private;

/// Judges the files of a listener's TLS.
pub type CertificateCheck = dyn Fn(&TlsSpec) -> Vec<TlsFault>;

/// A [`CertificateCheck`] that finds no fault, for tools and tests.
pub fn any_certificate(_: &TlsSpec) -> Vec<TlsFault> {
    Vec::new()
}

/// A file as it was named: `None` if it is empty, which takes back what `[http]` says.
type Named = (Option<PemFile>, Place);

/// The keys of TLS while they are read.
#[derive(Clone, Default)]
pub(crate) struct TlsDraft {
    cert: Option<Named>,
    key: Option<Named>,
    min: Option<(TlsVersion, Place)>,
    client_ca: Option<Named>,
    client: Option<(ClientCertificates, Place)>,
    client_crl: Option<Named>,
    /// Whether one of the files cannot be read, which was reported.
    is_broken: bool,
}

impl TlsDraft {
    fn file(&mut self, field: &Field<'_>, private: Private) -> Option<Named> {
        // Never quoted: it may be a key.
        if field.value.as_str().is_some_and(|text| text.contains("-----BEGIN") || text.contains('\n')) {
            field.error_with_hint("is the path of a file, not its text", "tls_key = \"/run/secrets/tls.key\"");
            self.is_broken = true;
            return None;
        }
        let path = field.optional_path();
        self.is_broken |= path.is_none();
        let Some(path) = path? else { return Some((None, field.place())) };
        let Some(text) = field.around.env_files.read_secret(field, &path, private) else {
            self.is_broken = true;
            return None;
        };
        Some((Some(PemFile { path, text }), field.place()))
    }

    pub(crate) fn cert(&mut self, field: &Field<'_>) {
        self.cert = self.file(field, Private::No);
    }

    pub(crate) fn key(&mut self, field: &Field<'_>) {
        self.key = self.file(field, Private::Yes);
    }

    pub(crate) fn min(&mut self, field: &Field<'_>) {
        self.min = field.choice(&TlsVersion::ALL).map(|min| (min, field.place()));
    }

    pub(crate) fn client_ca(&mut self, field: &Field<'_>) {
        self.client_ca = self.file(field, Private::No);
    }

    pub(crate) fn client(&mut self, field: &Field<'_>) {
        self.client = field.choice(&ClientCertificates::ALL).map(|mode| (mode, field.place()));
    }

    pub(crate) fn client_crl(&mut self, field: &Field<'_>) {
        self.client_crl = self.file(field, Private::No);
    }

    /// Whether a certificate is named, so that addresses without a scheme are `https://`.
    pub(crate) fn has_certificate(&self) -> bool {
        self.is_broken || self.cert.as_ref().is_some_and(|(file, _)| file.is_some())
    }

    /// The first of its files.
    pub(crate) fn first(&self) -> Option<(&'static str, Place)> {
        let named = |name, named: &Option<Named>| {
            let (file, at) = named.as_ref()?;
            file.is_some().then_some((name, *at))
        };
        named("tls_cert", &self.cert)
            .or_else(|| named("tls_key", &self.key))
            .or_else(|| named("tls_client_ca", &self.client_ca))
            .or_else(|| named("tls_client_crl", &self.client_crl))
    }

    /// The keys of `[http]`, replaced by those of a listener.
    pub(crate) fn overridden_by(&self, own: &TlsDraft) -> TlsDraft {
        TlsDraft {
            cert: own.cert.clone().or_else(|| self.cert.clone()),
            key: own.key.clone().or_else(|| self.key.clone()),
            min: own.min.or(self.min),
            client_ca: own.client_ca.clone().or_else(|| self.client_ca.clone()),
            client: own.client.or(self.client),
            client_crl: own.client_crl.clone().or_else(|| self.client_crl.clone()),
            is_broken: own.is_broken || self.is_broken,
        }
    }

    /// The TLS of a listener at this place, if it is complete.
    pub(crate) fn finish(&self, listener: (&str, Place), check: &CertificateCheck, report: &Report) -> Option<TlsSpec> {
        let (address, at) = listener;
        let add = |severity, place: Place, message: &str, hint: &str| {
            let message = format!("listen {address}: {message}");
            report.add(Owner::Table("http").finding(severity, place, message).hint(hint));
        };
        let given = |named: &Option<Named>| named.clone().and_then(|(file, at)| Some((file?, at)));
        let (cert, key, ca, crl) =
            (given(&self.cert), given(&self.key), given(&self.client_ca), given(&self.client_crl));
        let example = "tls_cert = \"/run/secrets/tls.crt\", tls_key = \"/run/secrets/tls.key\"";
        let required = self.client.filter(|(mode, _)| *mode == ClientCertificates::Require);
        let required = required.map(|(_, at)| ("tls_client", at));
        if ca.is_none()
            && !self.is_broken
            && let Some((name, at)) = required.or(crl.as_ref().map(|(_, at)| ("tls_client_crl", *at)))
        {
            let message = format!("{name} needs tls_client_ca");
            add(Severity::Error, at, &message, "tls_client_ca = \"/run/secrets/clients-ca.crt\"");
        }
        let ((cert, cert_at), (key, key_at)) = match (cert, key) {
            (Some(cert), Some(key)) => (cert, key),
            _ if self.is_broken => return None,
            (None, None) => {
                add(Severity::Error, at, "https needs a certificate", example);
                return None;
            }
            (Some((_, at)), None) => {
                add(Severity::Error, at, "tls_cert needs tls_key", example);
                return None;
            }
            (None, Some((_, at))) => {
                add(Severity::Error, at, "tls_key needs tls_cert", example);
                return None;
            }
        };
        let (ca_at, crl_at) = (ca.as_ref().map(|(_, at)| *at), crl.as_ref().map(|(_, at)| *at));
        let mode = self.client.map(|(mode, _)| mode).unwrap_or_default();
        let client = ca.map(|(ca, _)| TlsClientSpec { ca, crl: crl.map(|(crl, _)| crl), mode });
        let min = self.min.map(|(min, _)| min).unwrap_or_default();
        let spec = TlsSpec { cert, key, min, client };
        for TlsFault { part, is_error, message, hint } in check(&spec) {
            let place = match part {
                TlsPart::Cert => cert_at,
                TlsPart::Key => key_at,
                TlsPart::ClientCa => ca_at.unwrap_or(cert_at),
                TlsPart::ClientCrl => crl_at.unwrap_or(cert_at),
            };
            let severity = if is_error { Severity::Error } else { Severity::Warning };
            add(severity, place, &format!("{}: {message}", part.key()), hint);
        }
        Some(spec)
    }
}
