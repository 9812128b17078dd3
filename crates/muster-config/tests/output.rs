//! The keys of a program's output.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::only;
use muster_spec::{LineFormat, OutputSpec, Overflow, PerStream, RateLimit, Rotation, Sink, Target, UserSpec};

#[test]
fn output_goes_where_it_is_sent() {
    let file = |path: &str| Sink::File(PathBuf::from(path));
    let console = || Target::Capture(vec![Sink::Console]);
    for (keys, stdout, stderr) in [
        ("logs.stdout = \"none\"", Target::Discard, Some(console())),
        ("logs.stdout = \"memory\"", Target::Capture(Vec::new()), Some(console())),
        ("logs.stdout = \"inherit\"", Target::Inherit, Some(console())),
        ("logs.stderr = \"stdout\"", console(), None),
        (
            "logs = { stdout = [\"console\", \"/a\"], stderr = \"/b\" }",
            Target::Capture(vec![Sink::Console, file("/a")]),
            Some(Target::Capture(vec![file("/b")])),
        ),
        (
            "logs = { stdout = [\"syslog\", \"/a\", \"console\"], stderr = \"syslog\" }",
            Target::Capture(vec![Sink::Syslog, file("/a"), Sink::Console]),
            Some(Target::Capture(vec![Sink::Syslog])),
        ),
    ] {
        let output = only(keys).instances[0].output.clone();
        assert_eq!((&output.stdout, &output.stderr), (&stdout, &stderr), "{keys}");
    }
}

#[test]
fn stderr_may_be_rotated_differently_in_whichever_order_the_keys_come() {
    let rotation = |max_size, max_files| Rotation { max_size, max_files, compress: true };
    let expected = PerStream { stdout: rotation(10 << 20, 3), stderr: rotation(1 << 20, 0) };
    for keys in [
        "logs = { max_size = \"10MB\", max_files = 3, compress = true, stderr_max_size = \"1MB\", stderr_max_files = 0 }",
        "logs = { stderr_max_files = 0, stderr_max_size = \"1MB\", compress = true, max_files = 3, max_size = \"10MB\" }",
    ] {
        assert_eq!(only(keys).instances[0].output.rotation, expected, "{keys}");
    }
    let output = only("logs = { stderr_max_files = 0, strip_ansi = true }").instances[0].output.clone();
    assert_eq!(output.rotation.stderr, Rotation { max_files: 0, ..Rotation::DEFAULT });
    assert_eq!(output.strip_ansi, PerStream::both(true));
}

#[test]
fn how_output_is_written_is_read() {
    let keys = "logs = { format = \"json\", timestamps = true, max_size = \"10MB\", max_files = 3, compress = true, \
                buffer_size = \"64KB\", overflow = \"block\", rate_limit = \"100 / m\", memory = 0, \
                mode = \"0640\", owner = \"web:adm\" }";
    let expected = OutputSpec {
        format: LineFormat::Json,
        timestamps: true,
        rotation: PerStream::both(Rotation { max_size: 10 << 20, max_files: 3, compress: true }),
        file_mode: 0o640,
        file_owner: Some(UserSpec { user: "web".to_owned(), group: Some("adm".to_owned()) }),
        buffer_size: 64 << 10,
        memory: Some(0),
        overflow: Overflow::Block,
        rate_limit: Some(RateLimit { lines: 100, per: Duration::from_secs(60) }),
        ..OutputSpec::default()
    };
    assert_eq!(*only(keys).instances[0].output, expected);
    assert_eq!(*only("").instances[0].output, OutputSpec::default());
}
