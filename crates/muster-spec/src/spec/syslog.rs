//! The syslog receiver, and the format of messages to it.

use std::fmt;
use std::path::PathBuf;

/// The receiver for the output of all programs: `[musterd] syslog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSpec {
    /// Address of the receiver.
    pub address: SyslogAddress,
    /// Message format; `None` chooses it by the address.
    pub format: Option<SyslogFormat>,
    /// Facility of the messages.
    pub facility: SyslogFacility,
    /// Whether messages are those of supervisord: all of severity `info` and from `supervisord`, with the name of the
    /// process before the text.
    pub as_supervisord: bool,
}

/// The local receiver, with facility `daemon`.
impl Default for SyslogSpec {
    fn default() -> SyslogSpec {
        let address = SyslogAddress::Unix(PathBuf::from(SyslogAddress::LOCAL));
        SyslogSpec { address, format: None, facility: SyslogFacility::DAEMON, as_supervisord: false }
    }
}

impl SyslogSpec {
    /// The configured format; by default RFC 5424 except for /dev/log: there rsyslog in its default configuration and
    /// journald expect the format of syslog(3), and treat an RFC 5424 header as text.
    pub fn format(&self) -> SyslogFormat {
        let is_local = matches!(&self.address, SyslogAddress::Unix(path) if path.as_os_str() == SyslogAddress::LOCAL);
        self.format.unwrap_or(if is_local { SyslogFormat::Local } else { SyslogFormat::Rfc5424 })
    }
}

/// The address of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A Unix socket, datagram or stream.
    Unix(PathBuf),
    /// A host and a port, one datagram per message.
    Udp(String, u16),
    /// A host and a port, octet-counted messages in a stream.
    Tcp(String, u16),
}

impl SyslogAddress {
    /// The socket syslog(3) writes to.
    pub const LOCAL: &str = "/dev/log";
}

/// In configuration syntax.
impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            SyslogAddress::Unix(path) => return write!(f, "unix://{}", path.display()),
            SyslogAddress::Udp(host, port) => ("udp", host, port),
            SyslogAddress::Tcp(host, port) => ("tcp", host, port),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// The format of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogFormat {
    /// `<30>1 2026-11-23T06:47:57.123Z host web 4711 stdout - line`.
    Rfc5424,
    /// `<30>web[4711]: line`.
    Local,
}

/// A syslog facility: its number in RFC 5424, section 6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogFacility(u8);

impl SyslogFacility {
    /// System daemons without a facility of their own.
    pub const DAEMON: SyslogFacility = SyslogFacility(3);

    /// All facilities with their names in the configuration, which are those of syslog.conf(5). `kern` is reserved for
    /// the kernel.
    pub const ALL: [(&str, SyslogFacility); 19] = [
        ("user", SyslogFacility(1)),
        ("mail", SyslogFacility(2)),
        ("daemon", SyslogFacility::DAEMON),
        ("auth", SyslogFacility(4)),
        ("syslog", SyslogFacility(5)),
        ("lpr", SyslogFacility(6)),
        ("news", SyslogFacility(7)),
        ("uucp", SyslogFacility(8)),
        ("cron", SyslogFacility(9)),
        ("authpriv", SyslogFacility(10)),
        ("ftp", SyslogFacility(11)),
        ("local0", SyslogFacility(16)),
        ("local1", SyslogFacility(17)),
        ("local2", SyslogFacility(18)),
        ("local3", SyslogFacility(19)),
        ("local4", SyslogFacility(20)),
        ("local5", SyslogFacility(21)),
        ("local6", SyslogFacility(22)),
        ("local7", SyslogFacility(23)),
    ];

    /// Its number.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        let found = SyslogFacility::ALL.iter().find(|(_, facility)| *facility == self);
        found.map_or("", |&(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_configured() {
        for (address, shown) in [
            (SyslogAddress::Unix("/dev/log".into()), "unix:///dev/log"),
            (SyslogAddress::Udp("logs.example".into(), 514), "udp://logs.example:514"),
            (SyslogAddress::Tcp("::1".into(), 601), "tcp://[::1]:601"),
        ] {
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn the_local_receiver_gets_what_it_reads_unless_told_otherwise() {
        let of = |path: &str, format| SyslogSpec {
            address: SyslogAddress::Unix(path.into()),
            format,
            ..SyslogSpec::default()
        };
        assert_eq!(SyslogSpec::default().format(), SyslogFormat::Local);
        assert_eq!(of("/run/other", None).format(), SyslogFormat::Rfc5424);
        assert_eq!(of("/dev/log", Some(SyslogFormat::Rfc5424)).format(), SyslogFormat::Rfc5424);
    }
}
