//! The latency of API requests.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;

use super::scene::{Scene, is_whole, median, report};

pub(crate) fn status(scene: &Scene) {
    let _musterd = scene.start_musterd(&scene.configuration(1000, &["sleep", "100000"], "startsecs = 0"));
    scene.wait_until_ready();
    let status = |names: &[&str], lines: usize| {
        let began = Instant::now();
        let output = Command::new(&scene.musterctl).arg("-s").arg(scene.socket()).arg("status").args(names).output();
        let took = began.elapsed().as_secs_f64() * 1e3;
        let output = output.expect("musterctl was built");
        assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), lines);
        took
    };
    for (what, names, lines, promised) in
        [("one of 1 000 programs", &["p0003"][..], 1, 0.8), ("1 000 programs", &[], 1000, 3.0)]
    {
        let took = median((0..101).map(|_| status(names, lines)).collect());
        report(
            &format!("musterctl status of {what}"),
            format!("{took:.2} ms"),
            &format!("{promised} ms"),
            took <= promised,
        );
    }
}

/// The latency that `--via` adds to the command that it runs: here env(1), which stands for `docker exec`. Both are measured in turn.
pub(crate) fn via(scene: &Scene) {
    let _musterd = scene.start_musterd(&scene.configuration(10, &["sleep", "100000"], "startsecs = 0"));
    scene.wait_until_ready();
    let bin = scene.musterctl.parent().expect("it is in a directory");
    let environment = [format!("PATH={}", bin.display()), format!("MUSTER_SOCKET={}", scene.socket().display())];
    let timed = |command: &mut Command| {
        let began = Instant::now();
        let output = command.output().expect("it can be executed");
        assert!(output.status.success(), "{output:?}");
        began.elapsed().as_secs_f64() * 1e3
    };
    let through = format!("/usr/bin/env {} {}", environment[0], environment[1]);
    let (mut own, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..101 {
        own.push(timed(Command::new("/usr/bin/env").args(&environment).args(["musterctl", "version"])));
        whole.push(timed(Command::new(&scene.musterctl).args(["--via", &through, "version"])));
    }
    let (own, whole) = (median(own), median(whole));
    let figures = format!("{:.1} ms ({whole:.1} instead of {own:.1})", whole - own);
    report("musterctl --via beyond its command", figures, "5 ms", whole - own < 5.0);
}

pub(crate) fn requests(scene: &Scene) {
    let _musterd = scene.start_musterd(&scene.configuration(1000, &["sleep", "100000"], "startsecs = 0"));
    scene.wait_until_ready();
    for (what, target, times, promised) in [
        ("one program over the API", "/v1/programs/p0003", 5001, 0.02),
        ("one program, some fields", "/v1/programs?select=p0003&fields=name,state,pid,uptime,description", 5001, 0.02),
        ("a thousand programs", "/v1/programs", 501, 2.0),
        ("a thousand programs, some fields", "/v1/programs?fields=name,state,pid,uptime,description", 501, 0.5),
    ] {
        let took = latency(scene, target, times);
        report(what, format!("{took:.3} ms"), &format!("{promised} ms"), took <= promised);
    }
}

/// The median of a request on a connection that is kept, in milliseconds.
fn latency(scene: &Scene, target: &str, times: usize) -> f64 {
    // The daemon closes a connection after a thousand requests.
    const EACH: usize = 500;
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut buffer = vec![0; 1 << 20];
    let mut ask = |stream: &mut UnixStream| {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).expect("musterd reads");
        let mut read = 0;
        while !is_whole(&buffer[..read]) {
            let count = stream.read(&mut buffer[read..]).expect("musterd answers");
            assert!(count > 0, "musterd closed the connection");
            read += count;
        }
        began.elapsed().as_secs_f64() * 1e3
    };
    let mut took = Vec::new();
    while took.len() < times {
        let mut stream = UnixStream::connect(scene.socket()).expect("musterd is ready");
        took.extend((0..EACH.min(times - took.len())).map(|_| ask(&mut stream)));
    }
    median(took)
}
