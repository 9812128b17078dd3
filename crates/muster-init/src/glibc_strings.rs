//! glibc's texts for signals and errors.
//!
//! tini and dumb-init print strsignal(3) and strerror(3). A static musl build has other texts, and
//! `std` formats errors differently, so glibc's are kept here. They are plain `&'static str`, usable between fork and
//! exec. An error without an entry, none that execve or a terminal can return, is `Unknown error`.

use std::fmt;

use muster_spec::Signal;

/// strsignal(3) in the C locale.
pub(super) struct SignalWords(pub(super) Signal);

impl fmt::Display for SignalWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIRST_REAL_TIME: usize = 34;
        let number = self.0.number() as usize;
        match SIGNALS.get(number - 1) {
            Some(words) => f.write_str(words),
            None if number >= FIRST_REAL_TIME => write!(f, "Real-time signal {}", number - FIRST_REAL_TIME),
            None => write!(f, "Unknown signal {number}"),
        }
    }
}

const SIGNALS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

/// strerror(3) in the C locale.
pub(super) fn error_words(number: i32) -> &'static str {
    ERRORS.iter().find(|(known, _)| *known == number).map_or("Unknown error", |(_, words)| words)
}

/// By Linux's generic numbers, the same on all supported architectures.
const ERRORS: [(i32, &str); 34] = [
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (3, "No such process"),
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (6, "No such device or address"),
    (7, "Argument list too long"),
    (8, "Exec format error"),
    (9, "Bad file descriptor"),
    (10, "No child processes"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (14, "Bad address"),
    (16, "Device or resource busy"),
    (19, "No such device"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (25, "Inappropriate ioctl for device"),
    (26, "Text file busy"),
    (27, "File too large"),
    (28, "No space left on device"),
    (30, "Read-only file system"),
    (36, "File name too long"),
    (38, "Function not implemented"),
    (40, "Too many levels of symbolic links"),
    (75, "Value too large for defined data type"),
    (80, "Accessing a corrupted shared library"),
    (95, "Operation not supported"),
    (110, "Connection timed out"),
    (116, "Stale file handle"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(number: i32) -> String {
        SignalWords(Signal::from_number(number).unwrap()).to_string()
    }

    #[test]
    fn signals_have_their_usual_names() {
        assert_eq!(words(15), "Terminated");
        assert_eq!(words(31), "Bad system call");
        assert_eq!(words(33), "Unknown signal 33");
        assert_eq!(words(40), "Real-time signal 6");
    }

    /// The standard library calls strerror, and adds the number.
    #[test]
    #[cfg(target_env = "gnu")]
    fn errors_are_what_this_c_library_says() {
        for (number, words) in ERRORS {
            let expected = std::io::Error::from_raw_os_error(number).to_string();
            assert_eq!(format!("{words} (os error {number})"), expected);
        }
    }
}
