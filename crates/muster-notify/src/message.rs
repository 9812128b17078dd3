//! Notifications: the assignments of sd_notify(3), one per line.
//!
//! The bytes are untrusted, and limited only by the size of the buffer. As in systemd, unknown and malformed
//! assignments are ignored.

use std::time::Duration;

/// The maximum length of `STATUS=` that is kept, in characters.
const LONGEST_STATUS: usize = 256;

/// A notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The program is ready.
    pub is_ready: bool,
    /// It begins to reload its configuration.
    pub is_reloading: bool,
    /// It begins to stop.
    pub is_stopping: bool,
    /// Its state, for people.
    pub status: Option<String>,
    /// The process named as the main one.
    pub main_pid: Option<i32>,
    /// How much to extend the current timeout by, from now.
    pub extend: Option<Duration>,
    /// The watchdog's part of it.
    pub watchdog: Option<Watchdog>,
    /// The new interval of watchdog pings.
    pub watchdog_interval: Option<Duration>,
    /// Why the program fails: the text of an error number, or a name from D-Bus or Varlink.
    pub error: Option<String>,
    /// Whether it asks to store descriptors.
    pub wants_store: bool,
}

/// A watchdog notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// The program works.
    Ping,
    /// The program asks to be treated as hung.
    Trigger,
}

impl Message {
    /// Parses a notification; returns `None` if it contains a NUL byte.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        // Some C programs send the terminating NUL of their string.
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        if bytes.contains(&0) {
            return None;
        }
        let mut message = Message::default();
        for line in bytes.split(|&byte| byte == b'\n') {
            if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
                message.take(&line[..equals], &line[equals + 1..]);
            }
        }
        Some(message)
    }

    fn take(&mut self, name: &[u8], value: &[u8]) {
        let text = || std::str::from_utf8(value).ok();
        let span = || text()?.parse().ok().map(Duration::from_micros);
        match (name, value) {
            (b"READY", b"1") => self.is_ready = true,
            (b"RELOADING", b"1") => self.is_reloading = true,
            (b"STOPPING", b"1") => self.is_stopping = true,
            (b"STATUS", _) => self.status = Some(shown(value)),
            (b"MAINPID", _) => self.main_pid = text().and_then(|text| text.parse().ok()).filter(|&pid| pid > 0),
            (b"EXTEND_TIMEOUT_USEC", _) => self.extend = span(),
            (b"WATCHDOG", b"1") => self.watchdog = Some(self.watchdog.unwrap_or(Watchdog::Ping)),
            (b"WATCHDOG", b"trigger") => self.watchdog = Some(Watchdog::Trigger),
            (b"WATCHDOG_USEC", _) => self.watchdog_interval = span(),
            (b"ERRNO", _) => {
                let number = text().and_then(|text| text.parse::<i32>().ok()).filter(|&number| number > 0);
                self.error = number.map(muster_sys::spawn::reason).or(self.error.take());
            }
            (b"BUSERROR" | b"VARLINKERROR", _) => self.error = Some(shown(value)),
            (b"FDSTORE", b"1") => self.wants_store = true,
            // Ignored: BARRIER=1, which only needs its descriptor closed; MONOTONIC_USEC, the time of RELOADING=1,
            // which nothing uses; FDSTOREREMOVE and the like, since no descriptors are stored.
            _ => {}
        }
    }
}

/// Text for display, on one line.
fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text: String = text.chars().map(clean).collect();
    text.trim().chars().take(LONGEST_STATUS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Message) {
        assert_eq!(Message::parse(bytes), Some(expected), "{}", bytes.escape_ascii());
    }

    #[test]
    fn assignments_are_read_line_by_line() {
        let nothing = Message::default;
        check(b"READY=1", Message { is_ready: true, ..nothing() });
        check(b"READY=1\n\0", Message { is_ready: true, ..nothing() });
        check(b"RELOADING=1\nMONOTONIC_USEC=123", Message { is_reloading: true, ..nothing() });
        check(
            b"STOPPING=1\nSTATUS=Bye \xe2\x9c\x93\n",
            Message { is_stopping: true, status: Some("Bye \u{2713}".to_owned()), ..nothing() },
        );
        check(b"MAINPID=4711\nFDSTORE=1", Message { main_pid: Some(4711), wants_store: true, ..nothing() });
        check(b"EXTEND_TIMEOUT_USEC=1500000", Message { extend: Some(Duration::from_millis(1500)), ..nothing() });
        check(b"WATCHDOG=1", Message { watchdog: Some(Watchdog::Ping), ..nothing() });
        check(b"WATCHDOG=trigger\nWATCHDOG=1", Message { watchdog: Some(Watchdog::Trigger), ..nothing() });
        check(b"WATCHDOG_USEC=0", Message { watchdog_interval: Some(Duration::ZERO), ..nothing() });
        check(b"ERRNO=2", Message { error: Some("no such file".to_owned()), ..nothing() });
        check(b"BUSERROR=org.example.Broken", Message { error: Some("org.example.Broken".to_owned()), ..nothing() });
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        for bytes in [
            &b""[..],
            b"READY",
            b"READY=2",
            b"ready=1",
            b" READY=1",
            b"MAINPID=0",
            b"MAINPID=-1",
            b"MAINPID=x",
            b"MAINPID=99999999999",
            b"EXTEND_TIMEOUT_USEC=",
            b"EXTEND_TIMEOUT_USEC=-1",
            b"WATCHDOG_USEC=99999999999999999999",
            b"WATCHDOG=0",
            b"ERRNO=0",
            b"=\n==\n\n=1",
            b"\xff\xfe=\xfd",
            b"BARRIER=1",
            b"X_OWN=1",
        ] {
            check(bytes, Message::default());
        }
        assert_eq!(Message::parse(b"READY=1\0STATUS=x"), None);
    }

    #[test]
    fn a_status_fits_on_a_line() {
        let status = |bytes: &[u8]| Message::parse(&[b"STATUS=", bytes].concat()).unwrap().status.unwrap();
        assert_eq!(status(b" \x1b[31mred\tand\xff "), "[31mred and\u{fffd}");
        assert_eq!(status(&vec![b'x'; 4000]).len(), LONGEST_STATUS);
        assert_eq!(status(b""), "");
    }

    /// Random bytes and random pieces of real notifications never cause a panic.
    #[test]
    fn garbage_does_no_harm() {
        const PIECES: [&[u8]; 8] =
            [b"READY=1", b"STATUS=", b"\n", b"\0", b"\xff", b"WATCHDOG_USEC=18446744073709551615", b"=", b"MAINPID=1"];
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..6 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                match random % 3 {
                    0 => bytes.push((random >> 8) as u8),
                    _ => bytes.extend_from_slice(PIECES[(random >> 16) as usize % PIECES.len()]),
                }
            }
            let message = Message::parse(&bytes);
            assert_eq!(message.is_none(), bytes[..bytes.len() - 1].contains(&0), "{}", bytes.escape_ascii());
        }
    }
}
