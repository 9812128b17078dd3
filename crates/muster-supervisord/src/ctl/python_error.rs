//! Exceptions as Python writes them.

use std::fmt;

use super::Failure;
use crate::python::repr;
use crate::xmlrpc::Fault;

/// `str(fault)`.
pub(super) fn fault_text(fault: &Fault) -> String {
    format!("<Fault {}: {}>", fault.code, repr(&fault.string))
}

/// The class and the text, as in the line that the original prints for an exception that no command expects.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, text) = match self {
            Failure::Fault(fault) => ("xmlrpc.client.Fault", fault_text(fault)),
            Failure::Protocol { status, reason } => {
                ("xmlrpc.client.ProtocolError", format!("<ProtocolError for 127.0.0.1/RPC2: {status} {reason}>"))
            }
            Failure::Refused => ("ConnectionRefusedError", "[Errno 111] Connection refused".to_owned()),
            Failure::Missing => ("FileNotFoundError", "[Errno 2] No such file or directory".to_owned()),
            Failure::Other { class, text } => (*class, text.clone()),
            Failure::Interrupted => ("KeyboardInterrupt", String::new()),
        };
        write!(f, "<class '{class}'>, {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_written_as_python_does() {
        let fault = Fault { code: 10, string: "BAD_NAME: it's".to_owned() };
        for (failure, expected) in [
            (Failure::Fault(fault), "<class 'xmlrpc.client.Fault'>, <Fault 10: \"BAD_NAME: it's\">"),
            (
                Failure::Protocol { status: 401, reason: "Unauthorized".to_owned() },
                "<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 401 Unauthorized>",
            ),
            (Failure::other("ValueError", "x"), "<class 'ValueError'>, x"),
        ] {
            assert_eq!(failure.to_string(), expected);
        }
    }
}
