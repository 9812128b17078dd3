//! The end of a process in words.

use muster_spec::{Exit, Signal};

/// The end of a process as supervisord writes it.
pub fn message(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal { signal, core_dumped } => {
            format!("terminated by {}{}", signal_name(signal), if core_dumped { " (core dumped)" } else { "" })
        }
    }
}

/// The name that Python has for a signal.
pub fn signal_name(signal: Signal) -> String {
    const POLL: i32 = 29;
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    match signal.number() {
        POLL => "SIGPOLL".to_owned(),
        RTMIN => "SIGRTMIN".to_owned(),
        RTMAX => "SIGRTMAX".to_owned(),
        number @ 32..RTMAX => format!("signal {number}"),
        _ => signal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_the_words_of_python() {
        let by = |number, core_dumped| Exit::Signal { signal: Signal::from_number(number).unwrap(), core_dumped };
        for (exit, expected) in [
            (Exit::Code(3), "exit status 3"),
            (by(15, false), "terminated by SIGTERM"),
            (by(6, true), "terminated by SIGABRT (core dumped)"),
            (by(17, false), "terminated by SIGCHLD"),
            (by(29, false), "terminated by SIGPOLL"),
            (by(34, false), "terminated by SIGRTMIN"),
            (by(35, false), "terminated by signal 35"),
            (by(64, false), "terminated by SIGRTMAX"),
        ] {
            assert_eq!(message(exit), expected);
        }
    }
}
