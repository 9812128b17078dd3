//! Sockets that cannot be opened: the start fails and says why, and nothing else is affected.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::harness::{Setting, free_port, wait_until};
use crate::temporary;

fn with_socket(address: &str) -> String {
    format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nsockets = [\"{address}\"]\nbackoff = {{ delay = \"200ms\" }}\n\
         startretries = 100\n[program.other]\ncommand = \"sleep 1000\"\nstartsecs = 0\n"
    )
}

#[test]
fn a_port_in_use_is_a_failed_start_that_names_the_holder_and_is_retried() {
    let port = free_port();
    let text = format!("import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(1000)");
    let holder = format!("[program.holder]\ncommand = [\"python3\", \"-c\", \"{text}\"]\nstartsecs = 0\n");
    let program =
        with_socket(&format!("tcp://127.0.0.1:{port}")).replace("startsecs = 0\nsockets", "autostart = false\nsockets");
    let daemon = Setting::supervising(program + &holder).start();
    daemon.wait_for_running("other");
    wait_until("the holder listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    daemon.ctl(&["start", "web"]);
    let story = || daemon.ctl(&["why", "web"]).out;
    let expected = format!("cannot listen on tcp://127.0.0.1:{port}: address in use (held by python3");
    // The search for the holder has an end; on a busy machine another attempt finds it.
    wait_until("why names the holder", || story().contains(&expected));

    daemon.ctl_well(&["stop", "holder"]);
    daemon.wait_for_running("web");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

#[test]
fn a_live_socket_of_another_process_is_left_alone_and_a_stale_one_replaced() {
    let directory = temporary();
    let path = directory.path().join("app.sock");
    let live = UnixListener::bind(&path).expect("the directory is ours");
    let daemon = Setting::supervising(with_socket(&format!("unix://{}", path.display()))).start();
    wait_until("why says so", || daemon.ctl(&["why", "web"]).out.contains("a process listens on"));
    assert!(path.exists());
    drop(live);
    daemon.wait_for_running("web");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
}

#[test]
fn a_given_up_program_closes_its_socket_until_it_is_started() {
    let port = free_port();
    let daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"false\"\nstartretries = 0\nsockets = [\"tcp://127.0.0.1:{port}\"]\n"
    ))
    .start();
    daemon.wait_for_state("web", "FATAL");
    wait_until("it is closed", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn mistakes_name_the_place_and_what_to_do() {
    let directory = temporary();
    let path = directory.path().join("muster.toml");
    let long = "x".repeat(108);
    for (sockets, expected) in [
        ("sockets = [\"tcp://*:80\", \"tcp://*:80\"]", "two of its sockets have the same address"),
        (
            "sockets = { a = \"unix:///run/a\", b = \"unix-dgram:///run/a\" }",
            "two of its sockets have the same address",
        ),
        (&format!("sockets = [\"unix:///{long}\"]"), "more than 107 bytes"),
        ("sockets = [\"tcp://*:0\"]", "port"),
        ("sockets = [\"http://*:80\"]", "unix-seqpacket://"),
        ("sockets.a = { listen = \"unix:///run/a\", reuse_port = true }", "reuse_port, v6only and freebind are for"),
        ("sockets.a = { listen = \"udp://*:80\", nodelay = true }", "nodelay is for tcp://"),
        ("sockets.a = { listen = \"udp://*:80\", backlog = 7 }", "no queue of connections"),
        ("sockets.a = { listen = \"tcp://127.0.0.1:80\", v6only = true }", "v6only is for IPv6"),
        ("sockets.a = { listen = \"tcp://*:80\", keep = \"allways\" }", "always"),
        ("sockets.a = { listen = \"tcp://*:80\", reuseport = true }", "did you mean reuse_port?"),
        (
            "sockets.a = { listen = \"tcp://*:1\", stdin = true }\nsockets.b = { listen = \"tcp://*:2\", stdin = true }",
            "standard input",
        ),
        ("sockets = [\"fd://\"]", "must name a socket that the daemon inherits"),
        ("start_on = \"connection\"", "needs sockets"),
        ("start_on = \"conection\"", "connection"),
        (
            "start_on = \"connection\"\ntype = \"oneshot\"\nsockets = [\"tcp://*:80\"]",
            "a oneshot cannot start on a connection",
        ),
        (
            "sockets.http = \"tcp://*:80\"\nenvironment = { A = \"{socket:http}\" }",
            "is no command and cannot use {socket:http}",
        ),
        ("sockets.http = \"tcp://*:80\"\npre_start = \"x {socket:http}\"", "a hook has none"),
    ] {
        fs::write(&path, format!("[program.web]\ncommand = \"true\"\n{sockets}\n")).expect("the directory is ours");
        let mut check = std::process::Command::new(crate::harness::musterd());
        let refused = crate::harness::ended(check.args(["check", "-c"]).arg(&path));
        assert!(refused.code != Some(0), "{sockets}: {refused:?}");
        assert!(refused.err.contains(expected), "{sockets}: {}", refused.err);
        assert!(refused.err.contains("muster.toml:") && refused.err.contains("hint: "), "{sockets}: {}", refused.err);
    }
    let wrong = "[program.web]\ncommand = \"x --fd {socket:htp}\"\nsockets.http = \"tcp://*:80\"\n[program.b]\ncommand = \"x\"\nsockets = [\"tcp://*:80\"]\n";
    fs::write(&path, wrong).expect("the directory is ours");
    let mut check = std::process::Command::new(crate::harness::musterd());
    let refused = crate::harness::ended(check.args(["check", "-c"]).arg(&path)).err;
    assert!(refused.contains("did you mean {socket:http}?"), "{refused}");
    assert_eq!(refused.matches("listens on the same address: tcp://*:80").count(), 2, "both places: {refused}");
}
