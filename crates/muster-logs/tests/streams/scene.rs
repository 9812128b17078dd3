//! The log threads of a daemon that does nothing else.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use muster_logs::{Console, Consoles, Logs, Source};
use muster_spec::{InstanceSpec, OutputSpec, ProcessSpec, RunId, SyslogSpec};

pub(crate) fn instance(name: &str, output: OutputSpec) -> InstanceSpec {
    InstanceSpec {
        output: output.into(),
        ..InstanceSpec::of(name.to_owned(), ProcessSpec::of(vec!["true".to_owned()]))
    }
}

/// The log threads, and the other ends of both descriptors.
pub(crate) struct Scene {
    pub(crate) logs: Logs,
    pub(crate) ends: [File; 2],
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let console = |name| {
            let (reading, writing) = muster_sys::fd::output_pipe().expect("it works on every machine");
            (Console::start(name, writing).expect("it works on every machine"), File::from(reading))
        };
        let ((stdout, out), (stderr, err)) = (console("out"), console("err"));
        let logs = Logs::start(Consoles { stdout, stderr, own_log: None, own_syslog: None }, SyslogSpec::default())
            .expect("it works on every machine");
        Scene { logs, ends: [out, err] }
    }

    /// The writing end of a stream of a run.
    pub(crate) fn open(&self, spec: &InstanceSpec, run: u64, source: Source) -> File {
        let sinks = source.target(&spec.output).expect("it works on every machine").sinks();
        let pipe = self.logs.open_pipe(RunId(run), spec, source, sinks, None).expect("it works on every machine");
        self.logs.bind(pipe.reading, None);
        self.logs.ring();
        File::from(pipe.writing)
    }

    /// Waits until this was written to a descriptor, and nothing else.
    pub(crate) fn expect(&mut self, end: usize, expected: &[u8]) {
        let (mut read, began) = (Vec::new(), Instant::now());
        while read.len() < expected.len() {
            assert!(began.elapsed() < Duration::from_secs(40), "{:?}", String::from_utf8_lossy(&read));
            let mut buffer = vec![0; 4096];
            match self.ends[end].read(&mut buffer) {
                Ok(count) => read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
    }
}
