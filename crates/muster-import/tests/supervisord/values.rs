//! Values of one key of a program, as supervisor 4.2.5 and 4.3.0 read them on Python 3.11.

use muster_import::supervisord::{LogFile, Process};

use crate::cases::{program, program_on};
use crate::machine::Machine;

/// Checks values of one key: the field, or the error.
#[track_caller]
pub(crate) fn values<const N: usize>(key: &str, field: impl Fn(&Process) -> String, cases: [(&str, &str); N]) {
    for (value, expected) in cases {
        program_on(Machine::small(), &format!("command=x\n{key}={value}"), &field, expected);
    }
}

#[test]
fn sizes() {
    let not_whole = "Error: invalid literal for int() with base 10:";
    values(
        "stdout_logfile_maxbytes",
        |process| process.stdout.maxbytes.to_string(),
        [
            ("1KB", "1024"),
            ("1 kb", "1024"),
            ("2GB", "2147483648"),
            ("-1", "-1"),
            (" 7 ", "7"),
            ("1_000", "1000"),
            ("1K", &format!("{not_whole} '1k'")),
            ("1.5MB", &format!("{not_whole} '1.5'")),
            ("1e3", &format!("{not_whole} '1e3'")),
            ("0x10", &format!("{not_whole} '0x10'")),
            ("MB", &format!("{not_whole} ''")),
            ("1tb", &format!("{not_whole} '1tb'")),
        ],
    );
}

#[test]
fn whole_numbers() {
    let not_whole = "Error: invalid literal for int() with base 10:";
    values(
        "startsecs",
        |process| process.startsecs.to_string(),
        [
            ("1_0", "10"),
            ("+5", "5"),
            ("-3", "-3"),
            ("010", "10"),
            ("\u{663}", "3"),
            ("\n  4", "4"),
            ("0.5", &format!("{not_whole} '0.5'")),
            ("", &format!("{not_whole} ''")),
            ("0o10", &format!("{not_whole} '0o10'")),
        ],
    );
}

#[test]
fn signals() {
    let wrong = |value: &str, what: &str| format!("Error: value '{value}' is not a valid signal {what}");
    values(
        "stopsignal",
        |process| process.stopsignal.0.to_string(),
        [
            ("TERM", "15"),
            ("sigterm", "15"),
            (" Int ", "2"),
            ("15", "15"),
            ("0", "0"),
            ("_IGN", "1"),
            ("sig_block", "0"),
            ("34", "34"),
            ("64", "64"),
            ("RTMIN", "34"),
            // Real-time signals by offset are ours.
            ("SIGRTMIN+1", "35"),
            ("RTMAX-2", "62"),
            ("CHLD", "17"),
            ("POLL", "29"),
            ("STKFLT", "16"),
            ("35", &wrong("35", "number")),
            ("99", &wrong("99", "number")),
            ("-1", &wrong("-1", "number")),
            ("NOPE", &wrong("NOPE", "name")),
            ("", &wrong("", "name")),
        ],
    );
}

#[test]
fn exit_codes() {
    let wrong = |value: &str| format!("Error: not a valid list of exit codes: '{value}'");
    values(
        "exitcodes",
        |process| format!("{:?}", process.exitcodes),
        [
            ("0", "[0]"),
            ("0,2", "[0, 2]"),
            (" 1 , 2 ", "[1, 2]"),
            ("", "[]"),
            ("256", &wrong("256")),
            ("-1", &wrong("-1")),
            ("a", &wrong("a")),
            ("0,,1", &wrong("0,,1")),
        ],
    );
}

#[test]
fn booleans() {
    let wrong = |value: &str| format!("Error: not a valid boolean value: '{value}'");
    values(
        "autostart",
        |process| process.autostart.to_string(),
        [
            ("TRUE", "true"),
            ("On", "true"),
            ("no", "false"),
            ("y", &wrong("y")),
            ("2", &wrong("2")),
            ("", &wrong("")),
            ("\n  true", &wrong("\\ntrue")),
        ],
    );
    let never = "Error: invalid 'autorestart' value 'never'";
    values(
        "autorestart",
        |process| format!("{:?}", process.autorestart),
        [
            ("true", "Always"),
            ("on", "Always"),
            ("UNEXPECTED", "Unexpected"),
            ("0", "Never"),
            ("False", "Never"),
            ("Never", never),
            ("", "Error: invalid 'autorestart' value ''"),
        ],
    );
    let both = |process: &Process| format!("{} {}", process.stopasgroup, process.killasgroup);
    values("stopasgroup", both, [("true", "true true"), ("false", "false false")]);
    program(
        "command=x\nstopasgroup=true\nkillasgroup=false",
        "Error: Cannot set stopasgroup=true and killasgroup=false",
    );
}

#[test]
fn octal_numbers() {
    let wrong = |value: &str| format!("Error: {value} can not be converted to an octal type");
    values(
        "umask",
        |process| format!("{:?}", process.umask.unwrap()),
        [
            ("022", "18"),
            ("22", "18"),
            ("0o22", "18"),
            ("-1", "-1"),
            ("01777", "1023"),
            ("9", &wrong("9")),
            ("0x1", &wrong("0x1")),
        ],
    );
}

#[test]
fn log_files() {
    let both = |process: &Process| match &process.stdout.logfile {
        LogFile::Path(path) => format!("{path:?} {}", process.stdout.syslog),
        other => format!("{other:?} {}", process.stdout.syslog),
    };
    values(
        "stdout_logfile",
        both,
        [
            ("AUTO", "Auto false"),
            ("auto", "Auto false"),
            ("NONE", "None false"),
            ("off", "None false"),
            ("", "\"\" false"),
            ("syslog", "None true"),
            ("Syslog", "None true"),
            ("rel.log", "\"rel.log\" false"),
            ("~/x.log", "\"/root/x.log\" false"),
            ("/nonexist/x", "Error: The directory named as part of the path /nonexist/x does not exist"),
        ],
    );
}

#[test]
fn users_and_commands() {
    program("", "Error: program section program:a does not specify a command");
    program("command=", "");
    program("command=x\nuser=nosuchuser", "Error: Invalid user name nosuchuser");
    program("command=x\nuser=12345", "Error: Invalid user id 12345");
    program("command=x\nuser=-1", "Error: Invalid user id -1");
    program("command=x\nuser=root:root", "Error: Invalid user name root:root");
    values("user", |process| process.user.as_ref().unwrap().name.clone(), [("root", "root"), ("0", "root")]);
}

#[test]
fn variables() {
    let shown = |process: &Process| {
        process.environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
    };
    values(
        "environment",
        shown,
        [
            ("A=\"x\",B='y',C=z", "A=x|B=y|C=z"),
            ("A=\"x\" ; c", "A=x"),
            ("A=\"a;b\"", "A=a;b"),
            ("A=\"%(process_num)d\"", "A=0"),
            ("A=", "Error: Unexpected end of key/value pairs in value 'A='"),
            ("A=\"1\"\n B=\"2\"", "Error: Unexpected end of key/value pairs in value 'A=\"1\"\nB=\"2\"'"),
            ("A=\"x", "Error: No closing quotation"),
        ],
    );
}
