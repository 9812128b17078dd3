//! The faults of supervisord's methods.

use crate::xmlrpc::Fault;

/// Defines the codes once, with their numbers and names.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $number:literal $name:literal,)*) => {
        /// The reason of a fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $code = $number,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: &[Code] = &[$(Code::$code),*];

            /// Its name, such as `BAD_NAME`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$code => $name,)*
                }
            }
        }
    };
}

codes! {
    /// There is no such method.
    UnknownMethod = 1 "UNKNOWN_METHOD",
    /// The number or the type of the arguments is wrong.
    IncorrectParameters = 2 "INCORRECT_PARAMETERS",
    /// The value of an argument is wrong.
    BadArguments = 3 "BAD_ARGUMENTS",
    /// `system.methodHelp` and `system.methodSignature` know no such method.
    SignatureUnsupported = 4 "SIGNATURE_UNSUPPORTED",
    /// The daemon is shutting down.
    ShutdownState = 6 "SHUTDOWN_STATE",
    /// There is no process or group of this name.
    BadName = 10 "BAD_NAME",
    /// There is no such signal.
    BadSignal = 11 "BAD_SIGNAL",
    /// There is no such file.
    NoFile = 20 "NO_FILE",
    /// The command cannot be executed.
    NotExecutable = 21 "NOT_EXECUTABLE",
    /// The operation failed.
    Failed = 30 "FAILED",
    /// The process ended while it was to be started.
    AbnormalTermination = 40 "ABNORMAL_TERMINATION",
    /// The process could not be started.
    SpawnError = 50 "SPAWN_ERROR",
    /// The process runs already.
    AlreadyStarted = 60 "ALREADY_STARTED",
    /// The process does not run.
    NotRunning = 70 "NOT_RUNNING",
    /// No fault: the status of a process for which an operation succeeded.
    Success = 80 "SUCCESS",
    /// The group is active already.
    AlreadyAdded = 90 "ALREADY_ADDED",
    /// The group has processes that run.
    StillRunning = 91 "STILL_RUNNING",
    /// The configuration cannot be read.
    CantReread = 92 "CANT_REREAD",
}

impl Code {
    /// Its number on the wire.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The code with this number.
    pub fn from_number(number: i64) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The fault without a detail.
    pub fn fault(self) -> Fault {
        Fault { code: self.number(), string: self.name().to_owned() }
    }

    /// The fault with a detail, such as the name that is wrong.
    pub fn with(self, detail: impl std::fmt::Display) -> Fault {
        Fault { code: self.number(), string: format!("{}: {detail}", self.name()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_the_original_s() {
        assert_eq!(Code::BadName.with("web"), Fault { code: 10, string: "BAD_NAME: web".to_owned() });
        assert_eq!(Code::ShutdownState.fault(), Fault { code: 6, string: "SHUTDOWN_STATE".to_owned() });
        assert_eq!(Code::from_number(92), Some(Code::CantReread));
        assert_eq!(Code::from_number(5), None);
    }
}
