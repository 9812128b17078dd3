//! Finds secrets written in plain text: passwords in commands, addresses and other text, by how they are usually passed.
//!
//! `--password X`, `--password=X`, `-pX`, `NAME=value` and `"name": "value"` of a secret name, `user:password@`, headers, and
//! the parameters of an address. It errs on the side of hiding. Secrets from variables need no such guess, since their use is
//! tracked: see [`secrets`](crate::Secrets).

use muster_spec::arrange;
use std::ops::Range;

use crate::redact::{MASK, is_secret};

/// The words of a command with their secrets masked.
pub fn mask_words(words: &[String]) -> Vec<String> {
    let mut reader = Reader::default();
    words.iter().map(|word| masked(word, &reader.spans(word))).collect()
}

/// A text with its secrets masked: an address, a command line as one text, a message.
pub fn mask_text(text: &str) -> String {
    masked(text, &spans_in_text(text, &mut Reader::default()))
}

/// The secrets in a text.
pub(crate) fn secrets_in(text: &str) -> Vec<&str> {
    spans_in_text(text, &mut Reader::default()).into_iter().map(|span| &text[span]).collect()
}

fn masked(text: &str, spans: &[Range<usize>]) -> String {
    let mut copy = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        copy.push_str(&text[at..span.start]);
        copy.push_str(MASK);
        at = span.end;
    }
    copy.push_str(&text[at..]);
    copy
}

/// Puts spans in order and joins those that touch.
fn in_order(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.retain(|span| !span.is_empty());
    arrange::sort_by_key(&mut spans, |span| (span.start, span.end));
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}

/// How the previous word makes the next one to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Plain,
    /// It is a secret.
    Secret,
    /// A secret, unless it looks like a port or a path: after `-p`.
    PerhapsSecret,
    /// `user:password`, as after curl's `-u`.
    Login,
    /// The value of a header that is a secret: the scheme, and then the secret.
    Header,
}

/// Reads the words of a command one after another.
#[derive(Default)]
struct Reader {
    next: Next,
    /// The name of the program, without its directory.
    program: Option<String>,
}

impl Reader {
    /// The secrets in the next word.
    fn spans(&mut self, word: &str) -> Vec<Range<usize>> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => {
                let name = bare(word).rsplit('/').next().unwrap_or_default().to_owned();
                self.program.insert(name).clone()
            }
        };
        let whole = inner(word);
        match std::mem::take(&mut self.next) {
            Next::Secret => return vec![whole],
            Next::PerhapsSecret if !looks_like_port_or_path(bare(word)) => return vec![whole],
            Next::Login => return login(word, whole),
            Next::Header => {
                const SCHEMES: [&str; 6] = ["basic", "bearer", "digest", "negotiate", "token", "apikey"];
                if SCHEMES.contains(&bare(word).to_ascii_lowercase().as_str()) {
                    self.next = Next::Secret;
                    return Vec::new();
                }
                return vec![whole];
            }
            Next::Plain | Next::PerhapsSecret => {}
        }
        if word.contains(char::is_whitespace) {
            // A script for a shell, a header, or anything else that has words of its own.
            return spans_in_text(word, &mut Reader::default());
        }
        self.option(word, &program).unwrap_or_else(|| {
            let name = bare(word);
            if name.strip_suffix(':').is_some_and(is_secret_header) {
                self.next = Next::Header;
            }
            in_order(spans_within(word))
        })
    }

    /// The secret in an option; `None` if the option takes none.
    fn option(&mut self, word: &str, program: &str) -> Option<Vec<Range<usize>>> {
        let start = inner(word).start;
        let text = bare(word);
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        let offset = start + text.len() - name.len();
        if let Some((name, value)) = name.split_once('=') {
            let value_at = offset + name.len() + 1;
            let value_span = value_at..value_at + value.len();
            if is_secret(name) {
                return Some(vec![inner_of(word, value_span)]);
            }
            return match name {
                "u" | "user" | "proxy-user" => Some(login(word, value_span)),
                _ => None,
            };
        }
        if name.len() > 1 && is_secret(name) {
            self.next = Next::Secret;
            return Some(Vec::new());
        }
        if matches!(name, "u" | "user" | "proxy-user" | "U") {
            self.next = Next::Login;
            return Some(Vec::new());
        }
        if text.starts_with("--") {
            return None;
        }
        let takes_password = PASSWORD_OPTIONS.iter().find(|(prefix, _)| program.starts_with(prefix));
        let letter = takes_password.map_or('p', |&(_, letter)| letter);
        let rest = name.strip_prefix(letter)?;
        let is_certain = takes_password.is_some();
        if rest.is_empty() {
            self.next = if is_certain { Next::Secret } else { Next::PerhapsSecret };
            return Some(Vec::new());
        }
        // `-p8080` is a port, except for programs whose -p is known to take a password.
        let is_secret = is_certain || !rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        let value = offset + letter.len_utf8()..offset + name.len();
        is_secret.then(|| vec![value])
    }
}

/// Programs whose short option takes a password, by how their names begin.
const PASSWORD_OPTIONS: [(&str, char); 8] = [
    ("mysql", 'p'),
    ("mariadb", 'p'),
    ("mongo", 'p'),
    ("sshpass", 'p'),
    ("redis-", 'a'),
    ("valkey-", 'a'),
    ("ldap", 'w'),
    ("docker", 'p'),
];

fn looks_like_port_or_path(word: &str) -> bool {
    word.starts_with(['/', '.', '-', '$']) || word.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
}

fn is_secret_header(name: &str) -> bool {
    is_secret(name) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The range of a word without the quotes around it.
fn inner(word: &str) -> Range<usize> {
    let start = word.len() - word.trim_start_matches(QUOTES).len();
    let end = word.trim_end_matches(QUOTES).len();
    start..end.max(start)
}

fn inner_of(word: &str, span: Range<usize>) -> Range<usize> {
    let within = inner(&word[span.clone()]);
    span.start + within.start..span.start + within.end
}

fn bare(word: &str) -> &str {
    &word[inner(word)]
}

const QUOTES: [char; 3] = ['"', '\'', '`'];

/// The password in `user:password` or `user%password`, but not in `uid:gid` or an address.
fn login(word: &str, span: Range<usize>) -> Vec<Range<usize>> {
    let text = &word[span.clone()];
    let Some(at) = text.find([':', '%']).filter(|&at| !text[at..].starts_with("://")) else {
        return in_order(spans_within(word));
    };
    let is_ids = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    if is_ids { Vec::new() } else { vec![inner_of(word, span.start + at + 1..span.end)] }
}

/// The secrets in a text of several words.
fn spans_in_text(text: &str, reader: &mut Reader) -> Vec<Range<usize>> {
    let mut spans = spans_within(text);
    let mut at = 0;
    for word in text.split(|c: char| c.is_whitespace() || c == '\0') {
        if !word.is_empty() {
            spans.extend(reader.spans(word).into_iter().map(|span| at + span.start..at + span.end));
        }
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    in_order(spans)
}

/// The secrets recognizable without context: assignments and addresses.
fn spans_within(text: &str) -> Vec<Range<usize>> {
    let mut spans = logins(text);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|&&byte| is_name(byte)).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let name = &text[at..at + length];
        at += length;
        if is_secret(name)
            && let Some(value) = value_after(text, at)
        {
            at = at.max(value.end);
            spans.push(value);
        }
    }
    spans
}

/// The value after a name (`=value`, `: value`, `": "value"`), up to its closing quote, a blank or a separator.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let skip = |from: usize, of: &[u8]| from + bytes[from..].iter().take_while(|byte| of.contains(byte)).count();
    let sign = skip(skip(at, b"\"'\\]"), b" ");
    let is_assigned = match bytes.get(sign)? {
        b'=' => true,
        // `key:value`; `Token: value` is left to the reader of words where a scheme may follow.
        b':' => bytes.get(sign + 1).is_some_and(|byte| !b"/".contains(byte)) && !is_header(text, sign),
        b'%' => bytes[sign..].get(..3).is_some_and(|code| code.eq_ignore_ascii_case(b"%3d")),
        _ => false,
    };
    if !is_assigned {
        return None;
    }
    let from = skip(if bytes[sign] == b'%' { sign + 3 } else { sign + 1 }, b" =>\\");
    match bytes.get(from)? {
        quote @ (b'"' | b'\'') => {
            let end = bytes[from + 1..].iter().position(|byte| byte == quote).map_or(text.len(), |end| from + 1 + end);
            Some(from + 1..end)
        }
        _ => {
            let end = bytes[from..].iter().take_while(|byte| !b" \t\r\n\0&;,'\"`#)}>|".contains(byte)).count();
            Some(from..from + end)
        }
    }
}

/// Whether a scheme such as `Bearer` follows the colon.
fn is_header(text: &str, colon: usize) -> bool {
    text[colon + 1..].starts_with(' ') && text[colon + 1..].trim_start().starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The passwords of `user:password@host`, with or without a scheme in front.
fn logins(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | '\0')) {
        spans.extend(login_of(word).map(|span| at + span.start..at + span.end));
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    spans
}

fn login_of(word: &str) -> Option<Range<usize>> {
    let (scheme, start) = match word.find("://") {
        Some(at) => (Some(&word[..at]), at + 3),
        None => (None, word.find('=').map_or(0, |at| at + 1)),
    };
    let rest = &word[start..];
    let first_part = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may hold every character of an address, unless what follows the colon is a port.
    let colon = rest.find(':');
    let is_port = colon.is_some_and(|colon| {
        let after = &first_part[(colon + 1).min(first_part.len())..];
        !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit())
    });
    let at = if is_port { first_part.rfind('@') } else { rest.rfind('@') }?;
    match colon.filter(|&colon| colon < at) {
        Some(colon) if scheme.is_some() || colon > 0 => Some(start + colon + 1..start + at),
        Some(_) => None,
        // A token alone, as in https://TOKEN@host.
        None => scheme
            .is_some_and(|scheme| scheme.to_ascii_lowercase().ends_with("http") || scheme.ends_with("https"))
            .then(|| first_part.rfind('@').map(|at| start..start + at))
            .flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &[&str]) -> String {
        mask_words(&command.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).join("|")
    }

    #[test]
    fn secrets_in_commands_are_masked() {
        for (command, expected) in [
            (&["app", "--password", "hunter2", "-v"][..], "app|--password|***|-v"),
            (&["app", "--password=hunter2"], "app|--password=***"),
            (&["app", "--db-password", "-x"], "app|--db-password|***"),
            (&["java", "-Dapi.key=abc", "-jar", "x.jar"], "java|-Dapi.key=***|-jar|x.jar"),
            (&["mysql", "-uroot", "-phunter2"], "mysql|-uroot|-p***"),
            (&["/usr/bin/mysqldump", "-p1234"], "/usr/bin/mysqldump|-p***"),
            (&["app", "-phunter2"], "app|-p***"),
            (&["app", "-p", "hunter2"], "app|-p|***"),
            (&["app", "-p", "8080"], "app|-p|8080"),
            (&["app", "-p8080"], "app|-p8080"),
            (&["mkdir", "-p", "/a/b"], "mkdir|-p|/a/b"),
            (&["sshpass", "-p", "1234", "ssh", "h"], "sshpass|-p|***|ssh|h"),
            (&["redis-cli", "-a", "pw", "ping"], "redis-cli|-a|***|ping"),
            (&["curl", "-u", "me:pw", "http://h/"], "curl|-u|me:***|http://h/"),
            (&["curl", "--user=me:pw"], "curl|--user=me:***"),
            (&["docker", "run", "-u", "1000:1000", "x"], "docker|run|-u|1000:1000|x"),
            (&["curl", "-H", "Authorization: Bearer abc.def", "u"], "curl|-H|Authorization: Bearer ***|u"),
            (&["curl", "-H", "X-Api-Key: abc"], "curl|-H|X-Api-Key: ***"),
            (&["curl", "-H", "X-Auth-Token:abc"], "curl|-H|X-Auth-Token:***"),
            (&["env", "DB_PASSWORD=x y", "app"], "env|DB_PASSWORD=*** y|app"),
            (&["sh", "-c", "app --password hunter2 | tee x"], "sh|-c|app --password *** | tee x"),
            (&["sh", "-c", "TOKEN='a b' app"], "sh|-c|TOKEN='***' app"),
            (&["app", "{\"password\": \"a b\", \"x\": 1}"], "app|{\"password\": \"***\", \"x\": 1}"),
            (&["psql", "host=h password=pw dbname=d"], "psql|host=h password=*** dbname=d"),
            (&["nginx", "-g", "daemon off;"], "nginx|-g|daemon off;"),
            (&["gunicorn", "-b", "0.0.0.0:8000", "app:wsgi"], "gunicorn|-b|0.0.0.0:8000|app:wsgi"),
        ] {
            assert_eq!(words(command), expected);
        }
    }

    #[test]
    fn secrets_in_addresses_and_text_are_masked() {
        for (text, expected) in [
            ("postgres://u:p@h/d", "postgres://u:***@h/d"),
            ("redis://:pw@h:6379", "redis://:***@h:6379"),
            ("amqp://u:p@ss/w#d@h/", "amqp://u:***@h/"),
            ("https://ghp_abc@github.com/x", "https://***@github.com/x"),
            ("http://h:80/@scope/x", "http://h:80/@scope/x"),
            ("DATABASE_URL=postgres://u:p@h", "DATABASE_URL=postgres://u:***@h"),
            ("u:p@tcp(h:3306)/d", "u:***@tcp(h:3306)/d"),
            ("http://h/x?token=abc&y=1#z", "http://h/x?token=***&y=1#z"),
            ("http://h/x?y=1&api_key=abc", "http://h/x?y=1&api_key=***"),
            ("http://h/x?access%5Ftoken%3Dabc", "http://h/x?access%5Ftoken%3D***"),
            ("curl -H \"Authorization: Basic abc\" u", "curl -H \"Authorization: Basic ***\" u"),
            ("http://h/healthz: 503 Away: no disk", "http://h/healthz: 503 Away: no disk"),
            ("connection refused", "connection refused"),
            ("key", "key"),
            ("", ""),
        ] {
            assert_eq!(mask_text(text), expected);
        }
    }

    #[test]
    fn what_is_no_sense_does_no_harm() {
        let pieces = ["--", "-p", "=", ":", "@", "://", "token", "\"", "'", " ", "ü", "%3d", "-u", "Authorization:"];
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..50_000 {
            let mut text = String::new();
            for _ in 0..8 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                text.push_str(pieces[(random >> 16) as usize % pieces.len()]);
            }
            let masked = mask_text(&text);
            assert!(masked.len() <= text.len() + 3 * text.len(), "{text:?}");
            words(&text.split(' ').collect::<Vec<_>>());
        }
    }
}
