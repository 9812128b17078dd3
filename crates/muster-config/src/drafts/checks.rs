//! `tcp`, `http` and `exec`: what probes and `ready` check.

use muster_spec::{Authority, CheckSpec, HostPort, HttpCheck, Url};

use crate::drafts::command::read_command;
use crate::field::Field;
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The three kinds of checks.
pub(crate) const KINDS: [&str; 3] = ["http", "tcp", "exec"];

/// `"127.0.0.1:5432"`.
pub(crate) fn read_tcp(field: &Field<'_>) -> Option<CheckSpec> {
    if let Content::Integer(port) = &field.value.content {
        field.expected_with_hint("host:port", format!("tcp = \"127.0.0.1:{}\"", port.digits));
        return None;
    }
    let text = field.text()?;
    match HostPort::parse(&text.text) {
        Ok(address) => Some(CheckSpec::Tcp(address)),
        Err(problem) => {
            let shown = field.shown_text(&text);
            field.error_with_hint(format_args!("{}: {shown}", problem.message), problem.hint);
            None
        }
    }
}

/// A command, as for a program.
pub(crate) fn read_exec(field: &Field<'_>) -> Option<CheckSpec> {
    read_command(field, "exec = [\"pg_isready\", \"-q\"]").map(CheckSpec::Exec)
}

/// An address, or a table with headers.
pub(crate) fn read_http(field: &Field<'_>) -> Option<CheckSpec> {
    let mut draft = HttpDraft::default();
    match &field.value.content {
        Content::Table(entries) => {
            field.each_key(Table::HttpCheck, |key, child| {
                if let Reader::HttpCheck(read) = key.reader {
                    read(&mut draft, child);
                }
            });
            let is_misnamed = || field.around.report.was_misnamed(field.owner, &format!("{}.", field.path()), "url");
            if !entries.contains_key("url") && !is_misnamed() {
                field.error_with_hint("has no url", "http = { url = \"http://127.0.0.1:8000/healthz\" }");
            }
        }
        Content::Text(_) => draft.url(field),
        _ => field.expected_with_hint("an address or a table", "http = \"http://127.0.0.1:8000/healthz\""),
    }
    Some(CheckSpec::Http(HttpCheck { url: draft.url?, headers: draft.headers }))
}

/// The state of `http = { … }` while its keys are read.
#[derive(Default)]
pub(crate) struct HttpDraft {
    url: Option<Url>,
    headers: Vec<(String, String)>,
}

impl HttpDraft {
    pub(crate) fn url(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        match Url::parse_configured(&text.text) {
            Ok(url) => self.url = Some(url),
            // A password may be part of it.
            Err(problem) if text.text.contains('@') => field.error_with_hint(problem.message, problem.hint),
            Err(problem) => {
                let shown = field.shown_text(&text);
                field.error_with_hint(format_args!("{}: {shown}", problem.message), problem.hint);
            }
        }
    }

    pub(crate) fn headers(&mut self, field: &Field<'_>) {
        let Content::Table(entries) = &field.value.content else {
            field.expected_with_hint("a table of text", "headers = { Accept = \"text/plain\" }");
            return;
        };
        for (name, value) in entries {
            let header = field.child(name.as_str(), value);
            if !is_header_name(name.as_str()) {
                field.error(format_args!("has an invalid header name: {:?}", name.as_str()));
            } else if name.as_str().eq_ignore_ascii_case("host") {
                header.error_with_hint("has a key of its own", "host = \"…\", beside url and headers");
            } else if SENT.iter().any(|sent| name.as_str().eq_ignore_ascii_case(sent)) {
                header.error("is set by musterd itself");
            } else if let Some(value) = header_value(&header) {
                self.put(name.as_str(), value);
            }
        }
    }

    pub(crate) fn host(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        match Authority::parse(&text.text) {
            Ok(_) => self.put("Host", text.text.into_owned()),
            Err(problem) => {
                let shown = field.shown_text(&text);
                field.error_with_hint(format_args!("{}: {shown}", problem.message), problem.hint);
            }
        }
    }

    fn put(&mut self, name: &str, value: String) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }
}

/// Headers that frame a request, which musterd sets itself.
const SENT: [&str; 3] = ["Connection", "Content-Length", "Transfer-Encoding"];

/// A token: RFC 9110, section 5.6.2.
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

pub(crate) fn header_value(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    // A line end would start another header. The value may be a token, so the message omits it.
    if text.text.chars().any(|c| c.is_control() || !c.is_ascii()) {
        field.error("must be plain ASCII on one line");
        return None;
    }
    Some(text.text.trim().to_owned())
}
