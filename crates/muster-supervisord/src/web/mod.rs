//! The addresses of the original's web page: a list of processes with buttons, the end of a log, and `ok.html`.
//!
//! [`answer`] makes an answer over a [`Daemon`]; `form` reads what was asked, `action` does it, `page` writes HTML, `origin`
//! keeps other sites from asking. Everything in a page is escaped, and no page has a script. Pure.

mod action;
mod form;
mod origin;
mod page;
#[cfg(test)]
mod tests;

pub use form::Form;
pub use origin::Sender;

use crate::methods::{self, Daemon};
use crate::xmlrpc::{Call, Fault, Value};

/// The fewest bytes of a log that a page shows.
const LEAST_SHOWN: u64 = 1024;

/// The most bytes of a log that a page shows: in HTML they can be five times as many.
const MOST_SHOWN: u64 = 256 * 1024;

/// What a page may do, for browsers: nothing but send its own forms.
pub const POLICY: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A page of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All processes, and actions.
    Status,
    /// The end of a log.
    Tail,
    /// A word that shows that there is an answer.
    Ok,
}

impl View {
    /// The page at this path.
    pub fn at(path: &str) -> Option<View> {
        match path.trim_start_matches('/') {
            "" | "index.html" => Some(View::Status),
            "tail.html" => Some(View::Tail),
            "ok.html" => Some(View::Ok),
            _ => None,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A page.
    Html(String),
    /// A word.
    Plain(&'static str),
    /// Something was done: the browser goes on to this address, which shows the message.
    Moved(String),
    /// There is no such action.
    BadRequest,
}

/// Answers a request. `host` is its header of that name, and `local` the time since 1970 in the machine's zone.
pub async fn answer(daemon: &impl Daemon, view: View, form: &Form, (host, local): (Option<&str>, i64)) -> Reply {
    match (view, form.action()) {
        (View::Ok, _) => Reply::Plain("OK"),
        (View::Tail, _) => tail(daemon, form).await,
        (View::Status, None) => status(daemon, form.message()).await,
        (View::Status, Some(action)) => match action::act(daemon, action, form.process(), local).await {
            Some(message) => Reply::Moved(location(host, &message)),
            None => Reply::BadRequest,
        },
    }
}

async fn call(daemon: &impl Daemon, method: &str, params: Vec<Value>) -> Result<Value, Fault> {
    methods::answer(daemon, Call { method: format!("supervisor.{method}"), params }).await
}

async fn status(daemon: &impl Daemon, message: Option<&str>) -> Reply {
    let infos = call(daemon, "getAllProcessInfo", Vec::new()).await;
    let infos = infos.ok().and_then(|infos| match infos {
        Value::Array(infos) => Some(infos),
        _ => None,
    });
    Reply::Html(page::status(&infos.unwrap_or_default(), message))
}

async fn tail(daemon: &impl Daemon, form: &Form) -> Reply {
    let Some(name) = form.process() else { return Reply::Html(page::tail(None, "No process name found")) };
    let limit = form.limit().unwrap_or(LEAST_SHOWN).clamp(LEAST_SHOWN, MOST_SHOWN);
    let offset = Value::Int(-i64::try_from(limit).unwrap_or(i64::MAX));
    let text = match call(daemon, "readProcessStdoutLog", vec![name.into(), offset, 0.into()]).await {
        Ok(text) => text.as_str().unwrap_or_default().to_owned(),
        Err(fault) if action::is_no_file(&fault) => format!("No file for {name}"),
        Err(fault) => format!("ERROR: {}", action::unexpected(&fault)),
    };
    Reply::Html(page::tail(Some((name, limit)), &text))
}

/// Where the message is shown. A host that cannot be one is left out: it comes from the client.
fn location(host: Option<&str>, message: &str) -> String {
    let is_host = |host: &&str| {
        let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b".-_:[]".contains(&c);
        !host.is_empty() && host.len() <= 255 && host.bytes().all(is_allowed)
    };
    let place = host.map(str::trim).filter(is_host).map(|host| {
        let host = host.strip_suffix(":80").unwrap_or(host);
        format!("http://{host}")
    });
    format!("{}/?message={}", place.unwrap_or_default(), form::quoted(message))
}
