//! A conversation with one member of etcd: login, the whole range, then a watch of its changes.
//!
//! After any doubt (a compaction, another cluster, a line that cannot be read, a member that is behind) the range is read
//! again, which can neither lose a change nor apply one twice: a version with the same texts is no new version.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use muster_probes::connect::Resolver;
use muster_spec::{HostPort, SourceAddress, SourceSpec};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use crate::dial::dial;
use crate::edition::{Edition, Failure, MOST_BYTES};
use crate::etcd::lines::Lines;
use crate::etcd::message::{self, Line};
use crate::etcd::mirror::{MOST_KEYS, Mirror};
use crate::exchange::{Answer, Question, ask};
use crate::secrets::Secrets;

/// How long a member may take to answer. Without a quorum etcd itself takes 7 s to say so.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest answer: all texts in base64.
const LARGEST: usize = 2 * MOST_BYTES + 256 * 1024;
/// Changes that come closer together than this become active together.
const SETTLE: Duration = Duration::from_millis(100);
/// The longest time that changes wait for further ones.
const LONGEST_SETTLE: Duration = Duration::from_secs(1);

/// Why a conversation ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Read the range again, from the same member.
    Again,
    /// Try another member.
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::Failed(failure)
    }
}

/// A conversation with one member.
pub(crate) struct Session<'a> {
    pub(crate) spec: &'a SourceSpec,
    pub(crate) resolver: &'a Resolver,
    pub(crate) secrets: &'a Secrets,
    pub(crate) member: usize,
    /// The token of the last login, which all members accept.
    pub(crate) token: &'a mut Option<String>,
}

/// Reads everything once, from the first member that answers.
pub(crate) async fn once(spec: &SourceSpec, resolver: &Resolver, secrets: &Secrets) -> Result<Edition, Failure> {
    let SourceAddress::Etcd { members, .. } = &spec.address else { return Err(Failure::new("not etcd")) };
    let (mut token, mut last) = (None, Failure::new("no member"));
    for member in 0..members.len() {
        let mut session = Session { spec, resolver, secrets, member, token: &mut token };
        match session.range().await {
            Ok(mirror) => return mirror.edition(),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

impl Session<'_> {
    fn server(&self) -> Result<(&HostPort, bool, &str), Failure> {
        match &self.spec.address {
            SourceAddress::Etcd { members, is_tls, prefix } => {
                Ok((&members[self.member % members.len()], *is_tls, prefix))
            }
            SourceAddress::Http { .. } => Err(Failure::new("not etcd")),
        }
    }

    async fn post(&self, path: &str, body: &Value, token: Option<&str>) -> Result<Answer, Failure> {
        let (server, is_tls, _) = self.server()?;
        let asking = async {
            let stream = dial(self.resolver, self.secrets, (server, is_tls)).await?;
            let mut headers = vec![("Content-Type", "application/json".to_owned())];
            headers.extend(token.map(|token| ("Authorization", token.to_owned())));
            // A member that is cut off from its quorum then ends the stream instead of hanging.
            headers.push(("Grpc-Metadata-hasleader", "true".to_owned()));
            let body = Bytes::from(body.to_string());
            ask(
                stream,
                (server, if is_tls { 443 } else { 80 }),
                Question { method: Method::POST, target: path, headers, body },
            )
            .await
        };
        timeout(ANSWER, asking)
            .await
            .unwrap_or_else(|_| Err(Failure::new(format!("{server} does not answer within 5s"))))
    }

    async fn whole(&self, answer: Answer) -> Result<Vec<u8>, Failure> {
        let reading = answer.whole(LARGEST);
        timeout(ANSWER, reading).await.unwrap_or_else(|_| Err(Failure::new("the answer takes longer than 5s")))
    }

    async fn log_in(&mut self) -> Result<(), Failure> {
        let Some((user, password)) = &self.secrets.login else { return Ok(()) };
        let answer = self.post("/v3/auth/authenticate", &json!({ "name": user, "password": password }), None).await?;
        let status = answer.status.as_u16();
        let body = self.whole(answer).await?;
        // Without authentication there is nothing to log in to.
        if status == 400 && String::from_utf8_lossy(&body).contains("authentication is not enabled") {
            return Ok(());
        }
        if status != 200 {
            return Err(Failure::new(message::refusal(status, &body)));
        }
        *self.token = Some(message::token(&body)?);
        Ok(())
    }

    /// Asks with the token, and logs in again once if it is no longer valid.
    async fn request(&mut self, path: &str, body: &Value) -> Result<Vec<u8>, Failure> {
        for is_second in [false, true] {
            if self.token.is_none() {
                self.log_in().await?;
            }
            let answer = self.post(path, body, self.token.as_deref()).await?;
            let status = answer.status.as_u16();
            let text = self.whole(answer).await?;
            if status == 200 {
                return Ok(text);
            }
            if is_second || self.secrets.login.is_none() || !message::is_stale_token(status, &text) {
                return Err(Failure::new(message::refusal(status, &text)));
            }
            *self.token = None;
        }
        Err(Failure::new("etcd no longer accepts the login"))
    }

    /// All keys with the prefix.
    pub(crate) async fn range(&mut self) -> Result<Mirror, Failure> {
        let prefix = self.server()?.2.to_owned();
        let body = self.request("/v3/kv/range", &message::range_request(&prefix, MOST_KEYS + 1)).await?;
        Mirror::of(&prefix, message::range(&body)?)
    }

    /// Whether the store has changes in the prefix that the watch has not reported.
    async fn is_behind(&mut self, mirror: &Mirror) -> Result<bool, Failure> {
        let prefix = self.server()?.2.to_owned();
        let body = self.request("/v3/kv/range", &message::newest_request(&prefix)).await?;
        let newest = message::range(&body)?;
        let changed = newest.pairs.first().map_or(0, |pair| pair.changed);
        let is_other = newest.header.cluster != mirror.header().cluster;
        Ok(is_other || changed > mirror.header().revision || newest.count != mirror.len() as u64)
    }

    /// Watches until something is wrong, and reports every version that has settled, and `None` for a look that found no other.
    pub(crate) async fn watch(&mut self, mirror: &mut Mirror, mut report: impl FnMut(Option<&Mirror>)) -> Ended {
        match self.watching(mirror, &mut report).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn watching(
        &mut self,
        mirror: &mut Mirror,
        report: &mut impl FnMut(Option<&Mirror>),
    ) -> Result<std::convert::Infallible, Ended> {
        let from = mirror.header().revision + 1;
        let prefix = self.server()?.2.to_owned();
        let mut answer = self.post("/v3/watch", &message::watch_request(&prefix, from), self.token.as_deref()).await?;
        if answer.status != 200 {
            let status = answer.status.as_u16();
            let text = self.whole(answer).await?;
            if message::is_stale_token(status, &text) {
                *self.token = None;
                return Err(Ended::Again);
            }
            return Err(Failure::new(message::refusal(status, &text)).into());
        }
        let mut lines = Lines::default();
        let (mut is_created, begun) = (false, Instant::now());
        let (mut settles, mut settles_at_last): (Option<Instant>, Option<Instant>) = (None, None);
        let (mut next_look, mut was_behind) = (Instant::now() + self.spec.resync, false);
        loop {
            let due = settles.unwrap_or(next_look).min(next_look);
            let due = if is_created { due } else { due.min(begun + ANSWER) };
            tokio::select! {
                piece = answer.piece() => {
                    let Some(piece) = piece? else { return Err(Failure::new("the watch ended").into()) };
                    lines.push(&piece).map_err(Failure::new)?;
                }
                () = sleep_until(due) => {}
            }
            while let Some(line) = lines.next_line() {
                match message::line(&line).map_err(Failure::new)? {
                    // A restored backup is behind, and would say nothing until it has caught up.
                    Line::Created(header)
                        if header.cluster != mirror.header().cluster || header.revision < from - 1 =>
                    {
                        return Err(Ended::Again);
                    }
                    Line::Created(_) => is_created = true,
                    Line::Canceled { compacted, .. } if compacted > 0 => return Err(Ended::Again),
                    Line::Canceled { reason, .. } if reason.contains("invalid auth token") => {
                        *self.token = None;
                        return Err(Ended::Again);
                    }
                    Line::Canceled { reason, .. } => {
                        return Err(Failure::new(format!("etcd refuses the watch: {reason}")).into());
                    }
                    Line::Failed(reason) => return Err(Failure::new(format!("the watch failed: {reason}")).into()),
                    Line::Changes(header, changes) => {
                        let has_changes = !changes.is_empty();
                        mirror.apply(header, changes)?;
                        if has_changes {
                            let now = Instant::now();
                            let last = *settles_at_last.get_or_insert(now + LONGEST_SETTLE);
                            settles = Some((now + SETTLE).min(last));
                        }
                    }
                }
            }
            let now = Instant::now();
            if !is_created && now >= begun + ANSWER {
                return Err(Failure::new("the watch does not begin within 5s").into());
            }
            if settles.is_some_and(|at| at <= now) {
                (settles, settles_at_last) = (None, None);
                report(Some(mirror));
            }
            if now >= next_look {
                // The watch goes on meanwhile: what it sends waits in its socket.
                let is_behind = self.is_behind(mirror).await?;
                if is_behind && was_behind {
                    return Err(Ended::Again);
                }
                if !is_behind {
                    report(None);
                }
                was_behind = is_behind;
                let pause = if is_behind { Duration::from_secs(1).min(self.spec.resync) } else { self.spec.resync };
                next_look = Instant::now() + pause;
            }
        }
    }
}
