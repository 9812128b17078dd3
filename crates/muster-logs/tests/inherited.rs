//! Output that goes to a descriptor that the daemon inherited. Alone in its process, since sealing concerns all descriptors.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use muster_logs::{Consoles, Logs, Source};
use muster_spec::{InstanceSpec, OutputSpec, ProcessSpec, RunId, Sink, SyslogSpec, Target};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

#[test]
fn an_inherited_descriptor_gets_the_bytes_as_they_come() {
    let (reading, writing) = std::io::pipe().unwrap();
    let inherited = fcntl(&writing, FcntlArg::F_DUPFD(40)).unwrap();
    assert!((40..64).contains(&inherited));
    muster_sys::boot::seal_inherited_descriptors();
    let sealed = fcntl(&writing, FcntlArg::F_GETFD).unwrap();
    assert!(FdFlag::from_bits_truncate(sealed).contains(FdFlag::FD_CLOEXEC));
    let logs = Logs::start(Consoles::start().unwrap(), SyslogSpec::default()).unwrap();
    let path = PathBuf::from(format!("/dev/fd/{inherited}"));
    let output =
        OutputSpec { stdout: Target::Capture(vec![Sink::Descriptor(path)]), stderr: None, ..OutputSpec::default() };
    let web = InstanceSpec {
        output: output.into(),
        ..InstanceSpec::of("web".to_owned(), ProcessSpec::of(vec!["true".to_owned()]))
    };
    let mut reading = File::from(OwnedFd::from(reading));
    for (run, text) in [(1, &b"half"[..]), (2, b" a line\n\x1b[1m")] {
        let pipe = logs.open_pipe(RunId(run), &web, Source::Stdout, web.output.stdout.sinks(), None).unwrap();
        logs.bind(pipe.reading, None);
        logs.ring();
        File::from(pipe.writing).write_all(text).unwrap();
        let mut read = vec![0; text.len()];
        reading.read_exact(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
