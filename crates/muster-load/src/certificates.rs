//! Judges the certificates of listeners, where this build has TLS, and reads the secrets of `[http]` again.

use muster_config::{Opener, read_secrets_again};
use muster_spec::{ControlSpec, TlsFault, TlsSpec};

/// Every fault of a listener's files now.
#[cfg(feature = "tls")]
pub fn judge(spec: &TlsSpec) -> Vec<TlsFault> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 2));
    muster_tls::server::judge(spec, now)
}

/// Refuses every listener with TLS.
#[cfg(not(feature = "tls"))]
pub fn judge(_: &TlsSpec) -> Vec<TlsFault> {
    vec![TlsFault {
        part: muster_spec::TlsPart::Cert,
        is_error: true,
        message: "this build of musterd has no TLS".to_owned(),
        hint: "listen on http://127.0.0.1, or use a build with the feature tls",
    }]
}

/// The same configuration with the secrets that its files have now. An error says which file is wrong, and nothing may
/// change then.
pub fn again(control: &ControlSpec, open: &Opener) -> Result<ControlSpec, String> {
    let new = read_secrets_again(control, open)?;
    for listener in &new.listeners {
        let faults = listener.tls.as_ref().map(judge).unwrap_or_default();
        if let Some(fault) = faults.into_iter().find(|fault| fault.is_error) {
            return Err(format!("listen {}: {}: {}", listener.address, fault.part.key(), fault.message));
        }
    }
    Ok(new)
}
