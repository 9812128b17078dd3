//! The control socket, byte for byte: routes, refusals, waiting, and ownership of the socket's path.

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Daemon, End, Setting, both_places, wait_until};
use serde_json::Value;

const WEB: &str = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
const SLOW: &str = "[program.slow]\ncommand = [\"sh\", \"-c\", \"trap 'sleep 1; exit' TERM; echo up; while :; do sleep 0.02; done\"]\nstartsecs = 0\n";

fn is_problem(answer: &harness::Answer, status: u16, kind: &str) {
    let problem = answer.json();
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(problem["type"], format!("urn:muster:{kind}"));
    assert_eq!(problem["status"], status);
    for text in ["title", "detail"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
    }
}

#[test]
fn every_route_answers() {
    for place in both_places() {
        let daemon = Setting::supervising(WEB).at(place).start();
        daemon.wait_for_running("web");
        for (path, key) in [
            ("/v1/info", "version"),
            ("/v1/programs/web", "runs"),
            ("/v1/programs/web/processes", "programs"),
            ("/v1/processes", "strays"),
            ("/v1/programs/web/wait?for=running&timeout=5", "results"),
            ("/healthz", "alive"),
            ("/livez", "alive"),
            ("/readyz", "ready"),
            ("/openapi.json", "openapi"),
        ] {
            let answer = daemon.client.get(path);
            assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"), "{path}");
            assert!(!answer.json()[key].is_null(), "{path} has no {key}: {answer:?}");
            let head = daemon.client.request("HEAD", path, "");
            assert_eq!((head.status, head.body.as_str()), (200, ""), "HEAD {path}");
            assert!(head.headers.contains_key("content-length"), "HEAD {path}: {head:?}");
        }
        let info = daemon.client.get("/v1/info").json();
        assert_eq!(info["is_pid1"], place == harness::Place::Pid1);
        assert_eq!(info["state"], "running");
        assert_eq!(info["goals"]["up"], 1);
    }
}

#[test]
fn every_field_of_a_program_is_there() {
    let daemon =
        Setting::supervising(WEB.to_owned() + "[program.idle]\ncommand = \"true\"\nautostart = false\n").start();
    daemon.wait_for_running("web");
    let list = daemon.client.get("/v1/programs").json();
    let names: Vec<&Value> =
        list.as_array().map(|all| all.iter().map(|one| &one["name"]).collect()).unwrap_or_default();
    assert_eq!(names, ["idle", "web"]);
    for program in list.as_array().into_iter().flatten() {
        for key in [
            "name",
            "program",
            "group",
            "goal",
            "state",
            "code",
            "ready",
            "health",
            "status",
            "pid",
            "run",
            "started_at",
            "uptime",
            "failures",
            "startretries",
            "next_start_at",
            "exit",
            "waiting_for",
            "description",
        ] {
            assert!(program.get(key).is_some(), "{key} is missing: {program}");
        }
    }
}

/// Each field alone has the value that it has among all.
#[test]
fn only_the_fields_that_are_asked_for_are_sent() {
    let config = format!("{WEB}[program.gone]\ncommand = \"false\"\nrestart = \"no\"\nstartsecs = 0\n");
    let mut daemon = Setting::supervising(config).start();
    daemon.wait_for_running("web");
    daemon.ctl_well(&["wait", "gone", "--for", "exited", "--timeout", "30s"]);
    let whole = daemon.client.get("/v1/programs").json();
    let names: Vec<String> = whole[0].as_object().expect("an object").keys().cloned().collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names.iter().filter(|name| !["uptime", "description"].contains(&name.as_str())) {
        let part = daemon.client.get(&format!("/v1/programs?fields={name}")).json();
        let expected: Vec<Value> = [0, 1].map(|at| serde_json::json!({ name: whole[at][name] })).to_vec();
        assert_eq!(part, Value::Array(expected));
    }
    let of_web = daemon.client.get("/v1/programs?fields=uptime,description,uptime&select=web").json();
    assert!(of_web[0]["uptime"].as_f64().is_some_and(|uptime| uptime > 0.0), "{of_web}");
    assert!(of_web[0]["description"].as_str().is_some_and(|text| text.starts_with("pid ")), "{of_web}");
    assert_eq!((of_web.as_array().map(Vec::len), of_web[0].as_object().map(|fields| fields.len())), (Some(1), Some(2)));
    for wrong in ["", "nmae", "name,", "name,%20state"] {
        is_problem(&daemon.client.get(&format!("/v1/programs?fields={wrong}")), 400, "bad-parameter");
    }
    daemon.finish();
}

#[test]
fn an_unknown_path_or_name_is_404_and_lists_the_known_ones() {
    let daemon = Setting::supervising(WEB).start();
    for path in ["/page", "/v1", "/v1/program", "/v1/programs/web/nothing", "/v1/programs/web/start/x", "/metrics/x"] {
        is_problem(&daemon.client.get(path), 404, "no-such-route");
    }
    for path in ["/v1/programs/wbe", "/v1/programs/wbe/processes", "/v1/programs?select=wbe"] {
        let answer = daemon.client.get(path);
        is_problem(&answer, 404, "no-such-program");
        assert_eq!(answer.json()["names"][0], "wbe");
    }
    for verb in ["start", "stop", "restart"] {
        is_problem(&daemon.client.post(&format!("/v1/programs/web,wbe/{verb}")), 404, "no-such-program");
    }
    daemon.wait_for_running("web");
}

#[test]
fn a_wrong_method_is_405_with_the_right_one() {
    let daemon = Setting::supervising(WEB).start();
    for (method, path, allow) in [
        ("POST", "/v1/programs", "GET, HEAD"),
        ("DELETE", "/v1/info", "GET, HEAD"),
        ("GET", "/v1/programs/web/stop", "POST"),
        ("PUT", "/v1/shutdown", "POST"),
    ] {
        let answer = daemon.client.request(method, path, "");
        is_problem(&answer, 405, "method-not-allowed");
        assert_eq!(answer.headers["allow"], allow, "{method} {path}");
    }
}

#[test]
fn a_wrong_parameter_or_body_is_400_and_does_nothing() {
    let daemon = Setting::supervising(WEB).start();
    let web = daemon.wait_for_running("web");
    for path in [
        "/v1/programs/web/stop?wait=soon",
        "/v1/programs/web/stop?wait=-1",
        "/v1/programs/web/stop?wiat=1",
        "/v1/programs/w%zz/stop",
        "/v1/programs/w%00b/stop",
        "/v1/programs/,/stop",
    ] {
        is_problem(&daemon.client.post(path), 400, "bad-parameter");
    }
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"signal": 5}"#,
        r#"{"signal": "HOP"}"#,
        r#"{"signal": "HUP", "scope": "all"}"#,
        "\u{0}",
    ] {
        is_problem(&daemon.client.request("POST", "/v1/programs/web/signal", body), 400, "bad-body");
    }
    is_problem(&daemon.client.request("POST", "/v1/shutdown", r#"{"timeout": -1}"#), 400, "bad-body");
    is_problem(&daemon.client.request("POST", "/v1/shutdown", r#"{"timeout": 1e300}"#), 400, "bad-body");
    assert_eq!(daemon.pid_of("web"), web, "no program was signalled, stopped or restarted");
}

#[test]
fn a_body_that_is_too_large_is_413() {
    let daemon = Setting::supervising(WEB).start();
    let large = format!("{{\"signal\": \"{}\"}}", "x".repeat(1 << 20));
    is_problem(&daemon.client.request("POST", "/v1/programs/web/signal", &large), 413, "body-too-large");
    let chunked = b"POST /v1/shutdown HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let mut stream = daemon.client.connect().expect("it listens");
    stream.write_all(chunked).expect("it takes the head");
    // More than it accepts, in pieces, until it refuses or closes.
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    while stream.write_all(piece.as_bytes()).is_ok() {}
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    daemon.wait_for_running("web");
}

#[test]
fn without_waiting_it_is_202_and_with_waiting_200_or_504() {
    let daemon = Setting::supervising(SLOW).start();
    harness::wait_until("it is up", || daemon.output().ends_with(b"slow | up\n"));
    let accepted = daemon.client.post("/v1/programs/slow/stop");
    assert_eq!((accepted.status, &accepted.json()["results"][0]["outcome"]), (202, &Value::from("accepted")));
    let late = daemon.client.post("/v1/programs/slow/stop?wait=0.1");
    is_problem(&late, 504, "timed-out");
    assert_eq!(late.json()["results"][0]["outcome"], "pending");
    assert_eq!(late.json()["results"][0]["state"], "STOPPING");
    let done = daemon.client.post("/v1/programs/slow/stop?wait=30");
    assert_eq!((done.status, &done.json()["results"][0]["outcome"]), (200, &Value::from("stopped")));
    let again = daemon.client.post("/v1/programs/slow/stop?wait=30");
    assert_eq!((again.status, &again.json()["results"][0]["outcome"]), (200, &Value::from("not running")));
    is_problem(&daemon.client.get("/v1/programs/slow/wait?for=running&timeout=0.1"), 504, "timed-out");
}

#[test]
fn names_are_decoded_and_selected() {
    let programs = "[program.a]\ncommand = \"sleep 1000\"\nnumprocs = 3\n[program.\"b.1\"]\ncommand = \"sleep 1000\"\n\
                    [group.both]\nprograms = [\"a\", \"b.1\"]\n";
    let daemon = Setting::supervising(programs).start();
    for (select, count) in [
        ("a", 3),
        ("a:0", 1),
        ("%61%3A0", 1),
        ("a:*", 3),
        ("a%3a%2A", 3),
        ("b.1", 1),
        ("b%2e1", 1),
        ("both:*", 4),
        ("all", 4),
        ("*", 4),
        ("%3F:2", 1),
        ("a:0,b.1", 2),
        ("a:0%2Cb.1", 2),
        ("a:0,a", 3),
    ] {
        let list = daemon.client.get(&format!("/v1/programs?select={select}"));
        assert_eq!(list.json().as_array().map(Vec::len), Some(count), "{select}: {list:?}");
        let started = daemon.client.post(&format!("/v1/programs/{select}/start?wait=30"));
        assert_eq!(started.json()["results"].as_array().map(Vec::len), Some(count), "{select}: {started:?}");
    }
}

#[test]
fn a_signal_reaches_its_target() {
    let programs = "[program.web]\nstartsecs = 0\ncommand = [\"sh\", \"-c\", '''trap \"echo main\" USR1; \
                    sh -c \"trap \\\"echo child\\\" USR1; echo up; while :; do sleep 0.02; done\" & while :; do wait; done''']\n";
    let daemon = Setting::supervising(programs).start();
    let said = |line: &str| String::from_utf8_lossy(&daemon.output()).matches(line).count();
    harness::wait_until("both are up", || said("web | up\n") == 1);
    for (scope, mains, children) in [("main", 1, 0), ("group", 2, 1), ("tree", 3, 2)] {
        let body = format!("{{\"signal\": \"SIGUSR1\", \"scope\": \"{scope}\"}}");
        assert_eq!(daemon.client.request("POST", "/v1/programs/web/signal", &body).status, 200);
        harness::wait_until(scope, || (said("web | main\n"), said("web | child\n")) == (mains, children));
    }
    daemon.ctl_well(&["stop", "web"]);
    let body = r#"{"signal": "USR1"}"#;
    let answer = daemon.client.request("POST", "/v1/programs/web/signal", body);
    assert_eq!((answer.status, &answer.json()["results"][0]["outcome"]), (200, &Value::from("not running")));
}

#[test]
fn readiness_names_what_is_missing() {
    let programs = WEB.to_owned() + "[program.bad]\ncommand = \"false\"\nrestart = \"no\"\n";
    let daemon = Setting::supervising(programs).start();
    daemon.wait_for_state("bad", "EXITED");
    let answer = daemon.client.get("/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["missing"][0]["name"], "bad");
    assert_eq!(daemon.ctl(&["health"]).code, Some(1));
}

#[test]
fn while_it_stops_status_answers_and_starts_are_refused() {
    let mut daemon =
        Setting::supervising(SLOW.to_owned() + "[program.idle]\ncommand = \"sleep 1000\"\nautostart = false\n").start();
    harness::wait_until("it is up", || daemon.output().ends_with(b"slow | up\n"));
    daemon.terminate();
    daemon.wait_for_state("slow", "STOPPING");
    assert_eq!(daemon.client.get("/v1/info").json()["state"], "stopping");
    assert_eq!(daemon.client.get("/readyz").status, 503);
    let refused = daemon.client.post("/v1/programs/idle/start?wait=5");
    assert_eq!(refused.json()["results"][0]["error"], "the daemon is shutting down", "{refused:?}");
    assert_eq!(daemon.wait(), End::Code(0));
    daemon.assert_nothing_is_left();
}

#[test]
fn a_client_that_waits_hears_of_the_daemons_end() {
    let mut daemon = Setting::supervising(SLOW).start();
    harness::wait_until("it is up", || daemon.output().ends_with(b"slow | up\n"));
    let client = daemon.client.clone();
    let waiting =
        std::thread::spawn(move || client.try_request("GET", "/v1/programs/slow/wait?for=exited&timeout=1000", ""));
    // The wait has begun once the daemon has accepted that many connections.
    harness::wait_until("it waits", || {
        let open = harness::find(daemon.pid()).map(|process| process.descriptors()).unwrap_or_default();
        open.values().filter(|target| target.starts_with("socket:")).count() >= 2
    });
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    let answer = waiting.join().expect("the client did not panic").expect("an answer comes before the end");
    assert!([200, 503, 504].contains(&answer.status), "{answer:?}");
}

#[test]
fn connections_are_kept_and_requests_follow_each_other() {
    let daemon = Setting::supervising(WEB).start();
    let mut stream = daemon.client.connect().expect("it listens");
    let request = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = |stream: &mut std::os::unix::net::UnixStream, count: usize| {
        let mut read = Vec::new();
        let began = Instant::now();
        while String::from_utf8_lossy(&read).matches("{\"alive\":true}").count() < count {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).expect("it answers");
            assert!(length > 0 && began.elapsed() < Duration::from_secs(30));
            read.extend_from_slice(&piece[..length]);
        }
    };
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).expect("it is open");
        answer(&mut stream, 1);
    }
    stream.write_all(request.repeat(5).as_bytes()).expect("it is open");
    answer(&mut stream, 5);
}

#[test]
fn the_socket_has_its_mode_before_anybody_can_connect() {
    for (mode, expected) in [("", 0o600), ("mode = \"0666\"", 0o666), ("mode = \"0660\"", 0o660)] {
        let daemon = Setting::supervising(WEB).http(mode).start();
        let metadata = std::fs::metadata(daemon.socket()).expect("it exists");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.mode() & 0o7777, expected, "{mode}");
    }
}

#[test]
fn a_stale_socket_is_taken_over_after_a_kill() {
    let mut daemon = Setting::supervising(WEB).start();
    let first = daemon.pid();
    assert!(daemon.socket().exists());
    daemon.kill_and_start_again();
    assert_ne!(daemon.pid(), first);
    daemon.wait_for_running("web");
    daemon.finish();
}

#[test]
fn a_killed_daemon_can_be_started_again_at_once_many_times() {
    let mut daemon = Setting::supervising(WEB).start();
    for _ in 0..5 {
        daemon.kill_and_start_again();
        assert_eq!(daemon.client.get("/livez").status, 200);
    }
    daemon.finish();
}

/// A child of a killed daemon has its daemon's lock until it executes its program. Here another process takes it over for a moment.
#[test]
fn a_lock_that_outlives_its_daemon_for_a_moment_is_waited_for() {
    let mut daemon = Setting::supervising(WEB).start();
    let mut heir = Command::new("flock").arg(daemon.path("sock.lock")).args(["sleep", "0.1"]).spawn().unwrap();
    wait_until("it waits for the lock", || {
        fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.lines().any(|line| line.contains("-> FLOCK")))
    });
    daemon.kill_and_start_again();
    assert!(heir.wait().unwrap().success());
    daemon.finish();
}

/// Setup for a test of the daemon's configuration as data.
fn configuration(daemon: &Daemon) -> Value {
    daemon.program("web")["configuration"].clone()
}

#[test]
fn secrets_are_never_shown() {
    let programs = "[program.web]\ncommand = \"sleep 1000\"\nenvironment = { DB_PASSWORD = \"hunter2\", API_TOKEN = \"t0ps3cret\", PLAIN = \"hidden too\" }\n";
    let daemon = Setting::supervising(programs).musterd("exit_when_done = false\nloglevel = \"trace\"").start();
    daemon.wait_for_running("web");
    let shown = configuration(&daemon).to_string();
    assert!(shown.contains("DB_PASSWORD") && shown.contains("***"), "{shown}");
    let everything =
        shown + &daemon.log.text() + &daemon.ctl_well(&["status", "--json"]) + &daemon.client.get("/v1/programs").body;
    for secret in ["hunter2", "t0ps3cret"] {
        assert!(!everything.contains(secret), "{secret} is shown in {everything}");
    }
}
