//! The list of all processes over XML-RPC, and supervisorctl's status, beside the original of both.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::scene::{Running, Scene, median, report};

const MANY: usize = 1000;
const ORIGINAL: &str = "/usr/bin/supervisord";
const ORIGINAL_CLIENT: &str = "/usr/bin/supervisorctl";

const REQUEST: &str = "<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.getAllProcessInfo</methodName>\n\
     <params>\n</params>\n</methodCall>\n";

pub(crate) fn list_of_a_thousand(scene: &Scene) {
    let ours = measure(&scene.musterd, &scene.musterctl, 51);
    let is_there = Path::new(ORIGINAL).exists() && Path::new(ORIGINAL_CLIENT).exists();
    let theirs = is_there.then(|| measure(Path::new(ORIGINAL), Path::new(ORIGINAL_CLIENT), 5));
    let both = |ours: f64, theirs: Option<f64>| match theirs {
        Some(theirs) => format!("{ours:.1} ms, supervisord 4.2.5 {theirs:.0} ms"),
        None => format!("{ours:.1} ms"),
    };
    let (list, status) = ours;
    report("getAllProcessInfo, 1 000 programs", both(list, theirs.map(|it| it.0)), "10 ms", list < 10.0);
    report("supervisorctl status of 1 000 programs", both(status, theirs.map(|it| it.1)), "10 ms", status < 10.0);
}

/// Milliseconds of a request and of a status.
fn measure(daemon: &Path, client: &Path, rounds: usize) -> (f64, f64) {
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let file = configuration(place.path());
    let mut command = Command::new(daemon);
    command.arg0("supervisord").args(["-n", "-c"]).arg(&file).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().expect("it can be executed"));
    let status = || {
        let mut command = Command::new(client);
        command.arg0("supervisorctl").arg("-c").arg(&file).arg("status").env("PYTHONWARNINGS", "ignore");
        command.output().expect("it can be executed").stdout
    };
    let patience = Instant::now() + Duration::from_secs(120);
    while String::from_utf8_lossy(&status()).matches(" RUNNING ").count() < MANY {
        assert!(Instant::now() < patience, "not all programs run");
        std::thread::sleep(Duration::from_millis(50));
    }
    let socket = place.path().join("socket");
    let timed = |action: &dyn Fn()| {
        let began = Instant::now();
        action();
        began.elapsed().as_secs_f64() * 1e3
    };
    let list = median((0..rounds).map(|_| timed(&|| list(&socket))).collect());
    (list, median((0..rounds).map(|_| timed(&|| drop(status()))).collect()))
}

fn configuration(place: &Path) -> PathBuf {
    let mut text = format!(
        "[supervisord]\nlogfile={0}/main.log\npidfile={0}/main.pid\nchildlogdir={0}\nminfds=8000\n\
         [unix_http_server]\nfile={0}/socket\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{0}/socket\n",
        place.display()
    );
    for number in 0..MANY {
        text.push_str(&format!("[program:p{number:04}]\ncommand=/bin/sleep 100000\nstartsecs=0\n"));
    }
    let file = place.join("supervisord.conf");
    fs::write(&file, text).expect("the test directory is writable");
    file
}

/// One request, up to the end of the answer.
fn list(socket: &Path) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let head = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        REQUEST.len()
    );
    stream.write_all((head + REQUEST).as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    assert!(answer.ends_with(b"</methodResponse>\n"), "the answer is incomplete");
}
