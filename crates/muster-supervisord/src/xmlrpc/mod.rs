//! XML-RPC as supervisord speaks it: values, calls, responses.
//!
//! Reads what Python's `xmlrpc.client` and supervisord's own reader accept, and writes the bytes that they write. Documents
//! come from strangers: no document type, no entities but the five of XML, bounds on depth, elements and size, and every
//! step is linear in the size of the document. `read` has the grammar, `plain` reads long responses faster, `write` the marshaller, `text` says which characters
//! a document may contain.

pub(crate) mod base64;
mod plain;
mod read;
mod text;
mod value;
mod write;

pub use read::{MAX_REQUEST, MAX_RESPONSE, Unreadable, parse_request, parse_response};
pub use value::Value;
pub use write::{write_request, write_response};

/// A call of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its full name, such as `supervisor.getState`.
    pub method: String,
    /// Its arguments.
    pub params: Vec<Value>,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number, one of [`crate::faults::Code`] where the server is a supervisord.
    pub code: i64,
    /// The text that belongs to it, such as `BAD_NAME: web`.
    pub string: String,
}
