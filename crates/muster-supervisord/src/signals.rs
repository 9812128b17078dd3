//! Signals as Python knows them: names that its `signal` module has, and what a configuration or a client may write.

use crate::python::{self, repr, strip};

/// The constants of Python's `signal` module that begin with `SIG`.
const SIGNALS: [(&str, u8); 43] = [
    ("TERM", 15),
    ("INT", 2),
    ("QUIT", 3),
    ("KILL", 9),
    ("HUP", 1),
    ("USR1", 10),
    ("USR2", 12),
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("ILL", 4),
    ("IO", 29),
    ("PIPE", 13),
    ("PROF", 27),
    ("PWR", 30),
    ("RTMAX", 64),
    ("RTMIN", 34),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    // Aliases, and what is no signal at all.
    ("CLD", 17),
    ("IOT", 6),
    ("POLL", 29),
    ("_BLOCK", 0),
    ("_DFL", 0),
    ("_IGN", 1),
    ("_SETMASK", 2),
    ("_UNBLOCK", 1),
    ("RTMIN+0", 34),
    ("RTMAX-0", 64),
];

/// The name of a signal without `SIG`; `None` for 0 and for real-time signals between the first and the last.
pub fn name(number: u8) -> Option<&'static str> {
    SIGNALS.iter().find(|(name, own)| *own == number && !name.starts_with('_')).map(|(name, _)| *name)
}

/// The signal that a text names or numbers, as the original reads it. An error is its message.
pub fn parse(text: &str) -> Result<u8, String> {
    if let Some(number) = python::int(text) {
        let known = SIGNALS.iter().find(|(_, own)| i64::from(*own) == number);
        return match known {
            Some((_, number)) => Ok(*number),
            None => Err(format!("value {} is not a valid signal number", repr(text))),
        };
    }
    let upper = strip(text).to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = SIGNALS.iter().find(|(own, _)| *own == name).map(|(_, number)| *number);
    let number = known.or_else(|| real_time(name));
    number.ok_or_else(|| format!("value {} is not a valid signal name", repr(text)))
}

/// `RTMIN+n` and `RTMAX-n`, which the original does not know.
fn real_time(name: &str) -> Option<u8> {
    let offset = |text: &str| text.parse::<u8>().ok().filter(|offset| *offset <= 30);
    match name.strip_prefix("RTMIN+") {
        Some(rest) => Some(34 + offset(rest)?),
        None => Some(64 - offset(name.strip_prefix("RTMAX-")?)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_python_s_names() {
        assert_eq!(parse("_IGN"), Ok(1));
        assert_eq!(parse(" sighup"), Ok(1));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(name(1), Some("HUP"));
        assert_eq!(name(29), Some("IO"));
        assert_eq!(name(0), None);
        assert_eq!(parse("RTMIN+31"), Err("value 'RTMIN+31' is not a valid signal name".to_owned()));
        assert_eq!(parse("99"), Err("value '99' is not a valid signal number".to_owned()));
    }
}
