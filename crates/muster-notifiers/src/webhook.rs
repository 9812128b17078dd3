//! One attempt to deliver a notification to a web server.
//!
//! A request on a connection of its own, without redirects; the body of the answer is not read. The address, the secret and the
//! certificates may be in files: those are read for each attempt, on a thread, so that a rotated secret counts from the next
//! attempt on and a slow disk delays nothing else. There is at most one such thread at a time.

use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use muster_probes::connect::Resolver;
use muster_sources::dial::dial;
use muster_sources::exchange::{Question, ask};
use muster_sources::secrets::{Secrets, first_line, of_server};
use muster_spec::{Webhook, WebhookAddress, WebhookUrl};
use tokio::sync::oneshot;

use crate::signature::signature;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason. Contains no secret.
    pub reason: String,
    /// Whether another attempt would end the same way.
    pub is_final: bool,
}

impl Failure {
    /// A failure that may not last.
    pub fn passing(reason: impl Into<String>) -> Failure {
        Failure { reason: reason.into(), is_final: false }
    }
}

/// The content of the files that an attempt needs.
struct Ready {
    address: WebhookAddress,
    key: Option<String>,
    secrets: Secrets,
}

type Reading = oneshot::Receiver<Result<Ready, String>>;

/// Sends notifications to one server after another.
#[derive(Default)]
pub struct Poster {
    resolver: Resolver,
    /// The certificates that were read last, and for whom.
    kept: Option<(Webhook, Secrets)>,
    /// A thread that reads files, and for whom: a disk may hang for longer than an attempt.
    reading: Option<(Webhook, Reading)>,
}

impl Poster {
    /// Sends a notification with this id.
    pub async fn post(&mut self, webhook: &Webhook, id: u64, body: &[u8]) -> Result<(), Failure> {
        let Ready { address, key, secrets } = self.ready(webhook).await.map_err(Failure::passing)?;
        let sent = send(&self.resolver, (webhook, &address, &secrets), key.as_deref(), (id, body)).await;
        self.kept = Some((webhook.clone(), secrets));
        sent
    }

    async fn ready(&mut self, webhook: &Webhook) -> Result<Ready, String> {
        if !reads_files(webhook) {
            return read(webhook, Secrets::default());
        }
        loop {
            let (of, reading) = match &mut self.reading {
                Some(reading) => reading,
                None => {
                    let earlier = self.kept.take().filter(|(of, _)| of == webhook).map(|(_, secrets)| secrets);
                    let reading = begin(webhook.clone(), earlier.unwrap_or_default())?;
                    self.reading.insert((webhook.clone(), reading))
                }
            };
            let is_right = of == webhook;
            let read = reading.await.unwrap_or_else(|_| Err("cannot read its files".to_owned()));
            self.reading = None;
            if is_right {
                return read;
            }
        }
    }
}

/// Whether an attempt needs anything from a file; TLS needs certificates.
fn reads_files(webhook: &Webhook) -> bool {
    let is_plain = matches!(&webhook.url, WebhookUrl::Given(address) if !address.is_tls);
    !is_plain || webhook.secret_file.is_some()
}

fn begin(webhook: Webhook, earlier: Secrets) -> Result<Reading, String> {
    let (done, reading) = oneshot::channel();
    let thread = std::thread::Builder::new().name("secrets".to_owned());
    thread
        .spawn(move || drop(done.send(read(&webhook, earlier))))
        .map_err(|error| format!("cannot start a thread: {}", error.kind()))?;
    Ok(reading)
}

fn read(webhook: &Webhook, earlier: Secrets) -> Result<Ready, String> {
    let address = match &webhook.url {
        WebhookUrl::Given(address) => address.clone(),
        WebhookUrl::File(path) => address_in(path)?,
    };
    if address.is_exposed() && !webhook.insecure {
        return Err(format!("{address} is not encrypted, and insecure is not set"));
    }
    let key = webhook.secret_file.as_deref().map(first_line).transpose()?;
    let secrets = of_server(address.is_tls, webhook.cacert.as_deref(), earlier)?;
    Ok(Ready { address, key, secrets })
}

fn address_in(path: &Path) -> Result<WebhookAddress, String> {
    let line = first_line(path)?;
    // The line is a secret.
    WebhookAddress::parse(&line).map_err(|error| format!("the address in {} {}", path.display(), error.message))
}

async fn send(
    resolver: &Resolver,
    (webhook, address, secrets): (&Webhook, &WebhookAddress, &Secrets),
    key: Option<&str>,
    (id, body): (u64, &[u8]),
) -> Result<(), Failure> {
    let stream = dial(resolver, secrets, (&address.server, address.is_tls)).await;
    let stream = stream.map_err(|failure| Failure::passing(failure.reason))?;
    let mut headers: Vec<(&str, String)> =
        vec![("Content-Type", "application/json".to_owned()), ("Idempotency-Key", id.to_string())];
    headers.extend(key.map(|key| ("X-Muster-Signature", signature(key.as_bytes(), body))));
    headers.extend(webhook.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let body = Bytes::copy_from_slice(body);
    let question = Question { method: Method::POST, target: &address.target, headers, body };
    let answer = ask(stream, (&address.server, address.usual_port()), question).await;
    let status = answer.map_err(|failure| Failure::passing(failure.reason))?.status;
    if status.is_success() {
        return Ok(());
    }
    // The server is overloaded, restarting, or asks for patience; other errors are those of the request.
    let is_passing = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    let words = status.canonical_reason().unwrap_or("unknown status");
    let redirect = if status.is_redirection() { "; redirects are not followed" } else { "" };
    Err(Failure { reason: format!("{}: {words}{redirect}", status.as_u16()), is_final: !is_passing })
}

#[cfg(test)]
mod tests;
