//! The fields of a request, from its query and from a form that was sent, as the original reads them.

use std::fmt::Write;

/// The fields that mean something. The first one of a name in the query counts, and over it the last one in the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    action: Option<String>,
    process: Option<String>,
    limit: Option<String>,
    message: Option<String>,
}

impl Form {
    /// Reads the query of a request, and its body. Fields without a value count as missing.
    pub fn read(query: &str, body: &[u8]) -> Form {
        let mut form = Form::default();
        for (name, value) in fields(query.as_bytes()) {
            if let Some(field) = form.field(&name).filter(|field| field.is_none()) {
                *field = Some(value);
            }
        }
        for (name, value) in fields(body) {
            if let Some(field) = form.field(&name) {
                *field = Some(value);
            }
        }
        form
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "action" => Some(&mut self.action),
            "processname" => Some(&mut self.process),
            "limit" => Some(&mut self.limit),
            "message" => Some(&mut self.message),
            _ => None,
        }
    }

    /// The requested action.
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    pub(super) fn process(&self) -> Option<&str> {
        self.process.as_deref()
    }

    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(super) fn limit(&self) -> Option<u64> {
        let limit = self.limit.as_deref().filter(|limit| limit.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(limit.parse().unwrap_or(u64::MAX))
    }
}

/// The fields with a value, in order.
fn fields(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    let pairs = text.split(|byte| *byte == b'&').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..at], &pair[at + 1..]))
    });
    pairs.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (unquoted(name), unquoted(value)))
}

/// The text behind `+` and `%XX`. Anything else that begins with `%` stays, and invalid UTF-8 is replaced.
fn unquoted(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = (*first == b'%').then(|| Some(digit(0)? * 16 + digit(1)?)).flatten();
        match escaped.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text as a value of a query: `urllib.parse.quote`.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(quoted, "%{byte:02X}");
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_the_original_reads_them() {
        let form = Form::read("action=stop&processname=a+b%3A%C3%B6&action=start&limit=&x=1&y", b"");
        assert_eq!((form.action(), form.process(), form.limit()), (Some("stop"), Some("a b:\u{f6}"), None));
        let form = Form::read("action=stop", b"action=a&action=start&processname=%zz%4");
        assert_eq!((form.action(), form.process()), (Some("start"), Some("%zz%4")));
        assert_eq!(Form::read("message=%ff%3Cb%3E", b"").message(), Some("\u{fffd}<b>"));
        for (text, limit) in [("5", Some(5)), ("-5", None), ("x", None), ("99999999999999999999999", Some(u64::MAX))] {
            assert_eq!(Form::read(&format!("limit={text}"), b"").limit(), limit);
        }
        assert_eq!(Form::read("", b""), Form::default());
    }

    #[test]
    fn messages_are_quoted_as_in_python() {
        assert_eq!(quoted("Process g:x/y \u{f6}~ 'stopped'"), "Process%20g%3Ax/y%20%C3%B6~%20%27stopped%27");
    }
}
