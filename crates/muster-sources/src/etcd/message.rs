//! The answers of etcd's JSON gateway. Integers of 64 bits are text there, bytes are base64, and what is empty is missing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The revision of the store, and the cluster it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster.
    pub cluster: u64,
    /// The store's revision.
    pub revision: i64,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The revision of its last change.
    pub changed: i64,
}

/// The answer to a range request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Revision and cluster.
    pub header: Header,
    /// The keys.
    pub pairs: Vec<Pair>,
    /// The number of keys, those that were not sent included.
    pub count: u64,
}

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has a new value.
    Put(Pair),
    /// It was deleted.
    Delete(Vec<u8>),
}

/// A line of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The watch exists.
    Created(Header),
    /// The watch was refused or has ended.
    Canceled {
        /// The reason.
        reason: String,
        /// The oldest revision that exists, if older ones were asked for.
        compacted: i64,
    },
    /// Changes; none if it only tells the revision.
    Changes(Header, Vec<Change>),
    /// The member cannot go on.
    Failed(String),
}

/// The body of a range request for everything with this prefix.
pub fn range_request(prefix: &str, limit: usize) -> Value {
    json!({ "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(range_end(prefix)), "limit": limit })
}

/// The body of a request for the key that changed last.
pub fn newest_request(prefix: &str) -> Value {
    let mut request = range_request(prefix, 1);
    request["keys_only"] = true.into();
    request["sort_order"] = "DESCEND".into();
    request["sort_target"] = "MOD".into();
    request
}

/// The body of a watch request.
pub fn watch_request(prefix: &str, from: i64) -> Value {
    json!({ "create_request": {
        "key": STANDARD.encode(prefix),
        "range_end": STANDARD.encode(range_end(prefix)),
        "start_revision": from.to_string(),
        "progress_notify": true,
    }})
}

/// The first key behind all keys with this prefix. A prefix ends in a slash, so its last byte has a successor.
fn range_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

/// The token in the answer to a login.
pub fn token(body: &[u8]) -> Result<String, String> {
    let answer = parse(body)?;
    let token = answer["token"].as_str().filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.filter(|token| !token.is_empty()).map(str::to_owned).ok_or_else(|| "etcd sent no token".to_owned())
}

/// The answer to a range request.
pub fn range(body: &[u8]) -> Result<Range, String> {
    let answer = parse(body)?;
    let header = header(&answer)?;
    let pairs = list(&answer["kvs"]).iter().map(pair).collect::<Result<Vec<Pair>, String>>()?;
    let count = whole(&answer["count"]).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    Ok(Range { header, pairs, count })
}

/// A line of a watch.
pub fn line(line: &[u8]) -> Result<Line, String> {
    let line = parse(line)?;
    if let Some(error) = line.get("error") {
        let message = error["message"].as_str().or(error.as_str()).unwrap_or("unknown error");
        return Ok(Line::Failed(short(message)));
    }
    let result = &line["result"];
    if result["canceled"].as_bool() == Some(true) {
        let reason = short(result["cancel_reason"].as_str().unwrap_or_default());
        return Ok(Line::Canceled { reason, compacted: whole(&result["compact_revision"]).unwrap_or(0) });
    }
    let header = header(result)?;
    if result["created"].as_bool() == Some(true) {
        return Ok(Line::Created(header));
    }
    let changes = list(&result["events"]).iter().map(change).collect::<Result<Vec<Change>, String>>()?;
    Ok(Line::Changes(header, changes))
}

/// The reason in the answer to a request that failed.
pub fn refusal(status: u16, body: &[u8]) -> String {
    let answer = parse(body).unwrap_or_default();
    let message = answer["message"].as_str().or(answer["error"].as_str()).map(short);
    let code = whole(&answer["code"]);
    match (status, code, message) {
        (404, ..) => "it has no /v3 API: etcd 3.4 or later is needed".to_owned(),
        (_, Some(3), Some(message)) if message.contains("authentication failed") => {
            "etcd refuses the user name or the password".to_owned()
        }
        (_, Some(3), Some(message)) if message.contains("user name is empty") => {
            "etcd wants a login: username and password_file".to_owned()
        }
        (_, Some(7), _) => "the user's roles do not allow reading this prefix".to_owned(),
        (_, Some(16), _) => "etcd no longer accepts the login".to_owned(),
        (status, _, Some(message)) => format!("etcd answers {status}: {message}"),
        (status, ..) => format!("etcd answers {status}"),
    }
}

/// Whether a refusal says that the token is no longer valid.
pub fn is_stale_token(status: u16, body: &[u8]) -> bool {
    status == 401 && parse(body).is_ok_and(|answer| whole(&answer["code"]) == Some(16))
}

fn parse(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|_| "etcd's answer is not JSON".to_owned())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Text of a server, of a length that a line of a log can have.
fn short(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn header(answer: &Value) -> Result<Header, String> {
    let header = &answer["header"];
    let cluster = header["cluster_id"].as_str().and_then(|id| id.parse().ok()).or(header["cluster_id"].as_u64());
    match (cluster, whole(&header["revision"])) {
        (Some(cluster), Some(revision)) => Ok(Header { cluster, revision }),
        _ => Err("etcd's answer has no revision".to_owned()),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    let text = value.as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|_| "etcd's answer has invalid base64".to_owned())
}

fn pair(value: &Value) -> Result<Pair, String> {
    let (key, text) = (bytes(&value["key"])?, bytes(&value["value"])?);
    Ok(Pair { key, value: text, changed: whole(&value["mod_revision"]).unwrap_or(0) })
}

fn change(value: &Value) -> Result<Change, String> {
    let pair = pair(&value["kv"])?;
    match value["type"].as_str() {
        None | Some("PUT") => Ok(Change::Put(pair)),
        Some("DELETE") => Ok(Change::Delete(pair.key)),
        Some(_) => Err("etcd sent a change of an unknown kind".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_real_etcd_are_read() {
        // etcd 3.4.23, shortened.
        let head = r#""header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"7","raft_term":"2"}"#;
        let header = Header { cluster: 14_841_639_068_965_178_418, revision: 7 };
        let body = format!(
            r#"{{{head},"kvs":[{{"key":"YS9iLnRvbWw=","create_revision":"2","mod_revision":"7","version":"1","value":"eA=="}}],"count":"1"}}"#
        );
        let found = range(body.as_bytes()).unwrap();
        let pair = Pair { key: b"a/b.toml".to_vec(), value: b"x".to_vec(), changed: 7 };
        assert_eq!(found, Range { header, pairs: vec![pair.clone()], count: 1 });
        assert_eq!(range(format!("{{{head}}}").as_bytes()).unwrap().pairs, []);
        for (text, expected) in [
            (format!(r#"{{"result":{{{head},"created":true}}}}"#), Line::Created(header)),
            (
                format!(
                    r#"{{"result":{{{head},"events":[{{"kv":{{"key":"YS9iLnRvbWw=","mod_revision":"7","value":"eA=="}}}},{{"type":"DELETE","kv":{{"key":"YQ=="}}}}]}}}}"#
                ),
                Line::Changes(header, vec![Change::Put(pair), Change::Delete(b"a".to_vec())]),
            ),
            (format!(r#"{{"result":{{{head}}}}}"#), Line::Changes(header, vec![])),
            (
                format!(r#"{{"result":{{{head},"canceled":true,"compact_revision":"5"}}}}"#),
                Line::Canceled { reason: String::new(), compacted: 5 },
            ),
            (
                r#"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}"#.to_owned(),
                Line::Failed("etcdserver: no leader".to_owned()),
            ),
        ] {
            assert_eq!(line(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error_and_never_a_panic() {
        for text in ["", "null", "[]", "{}", "\"x\"", "{\"result\":null}", "{\"result\":{\"header\":5}}", "\u{0}", "{"]
        {
            assert!(line(text.as_bytes()).is_err(), "{text}");
            assert!(range(text.as_bytes()).is_err() && token(text.as_bytes()).is_err(), "{text}");
        }
        let header = r#""header":{"cluster_id":"1","revision":"2"}"#;
        for events in [r#"[{"kv":{"key":"!"}}]"#, r#"[{"type":"EXPIRE","kv":{}}]"#] {
            assert!(line(format!(r#"{{"result":{{{header},"events":{events}}}}}"#).as_bytes()).is_err(), "{events}");
        }
        // Deeper than a parser may recurse.
        assert!(line("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn three_refusals_have_three_messages() {
        let words = |status, text: &str| refusal(status, text.as_bytes());
        let wrong = r#"{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}"#;
        assert_eq!(words(400, wrong), "etcd refuses the user name or the password");
        let missing = r#"{"error":"etcdserver: user name is empty","code":3}"#;
        assert!(words(400, missing).contains("wants a login"));
        let denied = r#"{"error":"etcdserver: permission denied","code":7}"#;
        assert!(words(403, denied).contains("roles"));
        assert!(is_stale_token(401, br#"{"error":"etcdserver: invalid auth token","code":16}"#));
        assert!(words(404, "404 page not found").contains("3.4 or later"));
        assert_eq!(words(500, "<html>"), "etcd answers 500");
    }

    #[test]
    fn a_prefix_has_an_end() {
        assert_eq!(range_end("muster/web/"), b"muster/web0");
    }
}
