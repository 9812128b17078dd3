//! The original's clients, each loaded once by `tests/clients/loaded.py`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use serde_json::json;

use crate::harness::{clients, wait_for};
use crate::places::{Answer, ORIGINAL_CLIENT};

/// Debian's.
pub(crate) static DEBIAN: LazyLock<Loaded> = LazyLock::new(|| Loaded::start(Path::new("/usr/bin/python3")));

/// The newest release, if it is installed.
pub(crate) static NEWEST: LazyLock<Option<Loaded>> =
    LazyLock::new(|| clients().map(|clients| Loaded::start(&clients.join("venv/bin/python"))));

/// A client that waits for requests. It ends with this process, whose end closes its input.
pub(crate) struct Loaded {
    place: tempfile::TempDir,
    _process: Child,
}

impl Loaded {
    fn start(python: &Path) -> Loaded {
        let place = tempfile::tempdir().expect("a temporary directory can be created");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/loaded.py");
        let mut command = Command::new(python);
        command.arg(script).arg(place.path().join("socket")).stdin(Stdio::piped());
        command.env("PYTHONWARNINGS", "ignore").env("LC_ALL", "C.UTF-8").env_remove("TZ");
        let process = command.spawn().expect("Python is there");
        Loaded { place, _process: process }
    }

    /// Runs it in a directory with these words and this input.
    pub(crate) fn run(&self, directory: &Path, words: Vec<String>, input: &str) -> Answer {
        let place = tempfile::tempdir_in(self.place.path()).expect("it is ours");
        let file = |name: &str| place.path().join(name);
        fs::write(file("in"), input).expect("it is ours");
        let words: Vec<String> = std::iter::once(ORIGINAL_CLIENT.to_owned()).chain(words).collect();
        let request = json!({
            "directory": directory, "words": words, "in": file("in"), "out": file("out"), "err": file("err"),
        });
        let socket = self.place.path().join("socket");
        let mut stream = wait_for("the client is loaded", || UnixStream::connect(&socket).ok());
        stream.write_all(format!("{request}\n").as_bytes()).expect("it reads");
        let mut code = String::new();
        BufReader::new(stream).read_line(&mut code).expect("it answers");
        let text = |name| String::from_utf8_lossy(&fs::read(file(name)).unwrap_or_default()).into_owned();
        Answer { code: code.trim().parse().ok(), out: text("out"), err: text("err") }
    }
}
