//! Long tests of an HTTP source that print figures: every trouble and the way back, an hour of polls, and the start from
//! the kept version.

use std::time::{Duration, Instant};

use super::harness::{self, Daemon, Setting, in_time, wait_until};
use super::server::{Server, head, ok, program, source};
use super::troubles::troubles;
use super::{fleet, runs};

/// A poll after a failure comes after twice the period of 1 s, ± 10 %; parsing and starting are quick.
const NEXT_POLL: Duration = Duration::from_millis(2_200 + 800);

/// The source is in this state; the program still has its pid.
fn unchanged_but(daemon: &Daemon, what: &str, state: &str, web: u64) {
    wait_until(&format!("{what} is noticed"), || fleet(daemon)["state"] == state);
    assert_eq!(runs(daemon, "web"), web, "{what}");
}

/// The server is well again; no request asks the daemon to look. How long it takes until a new program runs.
fn back(daemon: &Daemon, server: &Server, what: &str, number: usize) -> Duration {
    let name = format!("back{number}");
    let began = Instant::now();
    server.say(ok(&format!("{}{}", program("web"), program(&name))));
    runs(daemon, &name);
    let took = began.elapsed();
    println!("{what}: applied {took:?} after the server was well again");
    took
}

#[test]
fn acceptance_of_every_trouble_of_a_server_and_the_way_back() {
    if !harness::is_acceptance() {
        return;
    }
    let server = Server::start(ok(&program("web")));
    let mut daemon = Setting::supervising(source(&server, "")).start();
    let web = runs(&daemon, "web");
    let mut number = 0;
    let mut check = |what: &str, state: &str, mend: &dyn Fn()| {
        unchanged_but(&daemon, what, state, web);
        mend();
        number += 1;
        let took = back(&daemon, &server, what, number);
        assert!(took < NEXT_POLL, "{what}: {took:?}");
        assert_eq!(runs(&daemon, "web"), web, "{what}");
    };
    for trouble in troubles() {
        server.say(trouble.answer);
        check(trouble.what, trouble.state, &|| {});
    }
    server.stop();
    check("down", "unreachable", &|| server.resume());
    // One that never completes its answer: the poll ends after 20 s.
    server.pace(1);
    check("one byte a second", "unreachable", &|| server.pace(0));
    daemon.finish();
}

#[test]
fn acceptance_of_an_hour_of_polls_without_a_change() {
    if !harness::is_acceptance() {
        return;
    }
    let text = program("web");
    let server = Server::start(head("200 OK", &format!("ETag: \"1\"\r\nContent-Length: {}\r\n", text.len()), &text));
    let mut daemon = Setting::supervising(source(&server, "")).start();
    let web = runs(&daemon, "web");
    server.say(head("304 Not Modified", "ETag: \"1\"\r\n", ""));
    // An hour has 180 polls of the default period; the first ones fill the allocator's pools.
    let poll = || {
        let before = server.requests().len();
        daemon.client.post("/v1/sources/fleet/refresh");
        wait_until("it asks", || server.requests().len() > before);
    };
    (0..30).for_each(|_| poll());
    let before = daemon.memory("RssAnon");
    (0..180).for_each(|_| poll());
    let now = daemon.memory("RssAnon");
    println!("180 polls: {before} kB before, {now} kB now");
    assert!(now <= before + 64, "{before} kB before, {now} kB now");
    assert_eq!(daemon.has_said("a new configuration is active").len(), 1);
    assert_eq!((&fleet(&daemon)["state"], runs(&daemon, "web")), (&serde_json::json!("active"), web));
    daemon.finish();
}

#[test]
fn acceptance_of_a_start_without_the_server() {
    if !harness::is_acceptance() {
        return;
    }
    let server = Server::start(ok(&program("web")));
    let place = tempfile::tempdir().expect("a directory");
    let state = place.path().join("state");
    let keeping = format!("exit_when_done = false\nstate_dir = \"{}\"", state.display());
    let supervising = |wait: &str| Setting::supervising(source(&server, &format!("wait = {wait:?}"))).musterd(&keeping);
    let mut daemon = supervising("1s").start();
    runs(&daemon, "web");
    wait_until("it is kept", || state.join("sources/fleet.json").exists());
    daemon.finish();
    server.stop();
    in_time(|| {
        let began = Instant::now();
        let mut daemon = supervising("1s").start();
        runs(&daemon, "web");
        let took = began.elapsed();
        daemon.finish();
        println!("the kept version runs {took:?} after the start, which waits 1 s");
        if took < Duration::from_secs(2) { Ok(()) } else { Err(format!("{took:?}")) }
    });
    // TERM while it waits: for a server that is down, and for one that accepts and says nothing.
    for is_silent in [false, true] {
        if is_silent {
            server.pace(1);
            server.resume();
        }
        in_time(|| {
            let mut daemon = supervising("30s").launch();
            daemon.wait_until_it_answers();
            assert_eq!(daemon.client.get("/v1/info").json()["state"], "starting");
            let took = daemon.finish();
            println!(
                "TERM while it waits for a server that is {}: {took:?}",
                ["down", "silent"][usize::from(is_silent)]
            );
            if took < Duration::from_millis(50) { Ok(()) } else { Err(format!("{took:?}")) }
        });
    }
}
