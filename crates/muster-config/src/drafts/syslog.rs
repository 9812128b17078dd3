//! `[musterd] syslog`: `unix:///path`, `udp://host:port`, `tcp://host:port`.

use std::path::PathBuf;

use muster_spec::{Authority, SyslogAddress};

use crate::diagnostic::Problem;
use crate::field::{Field, Text};

/// RFC 5426, section 3.3. TCP has no registered port; RFC 6587, section 3.3, notes that this one is in use.
const PORT: u16 = 514;

/// The longest path in a socket address, without the final NUL: unix(7).
const LONGEST_PATH: usize = 107;

const EXAMPLES: &str = "\"unix:///dev/log\", \"udp://127.0.0.1:514\", \"tcp://logs.example:514\"";

/// Reads the address of a receiver.
pub(crate) fn read_address(field: &Field<'_>) -> Option<SyslogAddress> {
    let text = field.text()?;
    match parse(&text.text) {
        Ok(address) => Some(address),
        Err(problem) => {
            tell(field, &text, problem);
            None
        }
    }
}

/// Reports an invalid address. It is not shown if it may hold a password.
fn tell(field: &Field<'_>, text: &Text<'_>, problem: Problem) {
    match text.text.contains('@') {
        true => field.error_with_hint(problem.message, problem.hint),
        false => field.error_with_hint(format_args!("{}: {}", problem.message, field.shown_text(text)), problem.hint),
    }
}

fn problem(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { message: message.into(), hint: hint.into() }
}

fn parse(text: &str) -> Result<SyslogAddress, Problem> {
    match text.split_once("://") {
        Some(("unix", path)) => unix(path),
        Some(("udp", authority)) => host_and_port(authority).map(|(host, port)| SyslogAddress::Udp(host, port)),
        Some(("tcp", authority)) => host_and_port(authority).map(|(host, port)| SyslogAddress::Tcp(host, port)),
        Some(("tls" | "ssl" | "tcp+tls" | "relp", _)) => {
            Err(problem("must be unix://, udp:// or tcp://", "a relay on this host can encrypt: rsyslog, syslog-ng"))
        }
        Some(_) => Err(problem("must be unix://, udp:// or tcp://", EXAMPLES)),
        None if text.starts_with('/') => {
            Err(problem("must begin with unix://, udp:// or tcp://", format!("\"unix://{text}\"")))
        }
        None => Err(problem("must begin with unix://, udp:// or tcp://", EXAMPLES)),
    }
}

fn unix(path: &str) -> Result<SyslogAddress, Problem> {
    if !path.starts_with('/') {
        return Err(problem("must have an absolute path", format!("\"unix:///{path}\"")));
    }
    if path.len() > LONGEST_PATH {
        return Err(problem(
            format!("has a path of more than {LONGEST_PATH} bytes, too long for a socket"),
            "choose a shorter path",
        ));
    }
    Ok(SyslogAddress::Unix(PathBuf::from(path)))
}

fn host_and_port(authority: &str) -> Result<(String, u16), Problem> {
    let Authority { host, port } = Authority::parse(authority).map_err(|found| problem(found.message, EXAMPLES))?;
    Ok((host, port.unwrap_or(PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_the_port_may_be_left_out() {
        for (text, shown) in [
            ("unix:///dev/log", "unix:///dev/log"),
            ("udp://127.0.0.1", "udp://127.0.0.1:514"),
            ("udp://[::1]", "udp://[::1]:514"),
            ("tcp://[fe80::1]:601", "tcp://[fe80::1]:601"),
            ("tcp://logs.example:6514", "tcp://logs.example:6514"),
        ] {
            assert_eq!(
                parse(text).map(|address| address.to_string()).map_err(|problem| problem.message),
                Ok(shown.to_owned())
            );
        }
    }
}
