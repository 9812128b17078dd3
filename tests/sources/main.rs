//! Configuration from servers: an HTTP server is polled, and whatever it does, the programs that run go on.

#[path = "../harness/mod.rs"]
mod harness;

mod acceptance;
mod server;
mod troubles;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Daemon, End, Setting, free_port, wait_for, wait_until};
use server::{Server, head, ok, program, source};
use troubles::{Trouble, troubles};

fn states(daemon: &Daemon) -> BTreeMap<String, (String, u64)> {
    let all = daemon.client.get("/v1/programs").json();
    let of = |one: &serde_json::Value| {
        let state = one["state"].as_str()?.to_owned();
        Some((one["name"].as_str()?.to_owned(), (state, one["pid"].as_u64().unwrap_or(0))))
    };
    all.as_array().expect("a list").iter().filter_map(of).collect()
}

fn runs(daemon: &Daemon, name: &str) -> u64 {
    wait_for(&format!("{name} runs"), || {
        states(daemon).get(name).filter(|(state, _)| state == "RUNNING").map(|(_, pid)| *pid)
    })
}

fn fleet(daemon: &Daemon) -> serde_json::Value {
    daemon.client.get("/v1/sources").json()[0].clone()
}

#[test]
fn a_version_becomes_active_at_the_next_poll_and_the_same_text_is_no_reload() {
    let server = Server::start(ok(&program("web")));
    let local = format!("{}{}", source(&server, ""), program("local"));
    let mut daemon = Setting::supervising(local).start();
    let (web, own) = (runs(&daemon, "web"), runs(&daemon, "local"));
    assert_eq!(fleet(&daemon)["state"], "active");
    let asked = server.requests().len();
    wait_until("it was asked twice more", || server.requests().len() >= asked + 2);
    server.say(ok(&format!("{}{}", program("web"), program("new"))));
    runs(&daemon, "new");
    assert_eq!((runs(&daemon, "web"), runs(&daemon, "local")), (web, own));
    // Back to the first: the new one is gone.
    server.say(ok(&program("web")));
    wait_until("it is gone", || !states(&daemon).contains_key("new"));
    assert_eq!(runs(&daemon, "web"), web);
    let metrics = daemon.client.get("/metrics").body;
    assert!(metrics.contains("muster_source_up{source=\"fleet\"} 1"), "{metrics}");
    assert!(metrics.contains("muster_source_applies_total{source=\"fleet\",result=\"applied\"} 3"), "{metrics}");
    daemon.finish();
}

#[test]
fn a_server_with_validators_is_asked_conditionally_and_304_is_no_reload() {
    let text = program("web");
    let headers = format!("ETag: \"v1\"\r\nContent-Length: {}\r\n", text.len());
    let server = Server::start(head("200 OK", &headers, &text));
    let mut daemon = Setting::supervising(source(&server, "")).start();
    let web = runs(&daemon, "web");
    assert_eq!(fleet(&daemon)["revision"], "\"v1\"");
    server.say(head("304 Not Modified", "ETag: \"v1\"\r\n", ""));
    let asked = server.requests().len();
    wait_until("it was asked three times more", || server.requests().len() >= asked + 3);
    let last = server.requests().pop().expect("there are some").to_ascii_lowercase();
    assert!(last.contains("if-none-match: \"v1\""), "{last}");
    assert_eq!((&fleet(&daemon)["state"], runs(&daemon, "web")), (&serde_json::json!("active"), web));
    assert_eq!(daemon.has_said("a new configuration is active").len(), 1);
    daemon.finish();
}

#[test]
fn whatever_the_server_does_the_programs_go_on() {
    let server = Server::start(ok(&program("web")));
    let mut daemon = Setting::supervising(source(&server, "")).start();
    let mut events = harness::Listener::of(&daemon, None);
    let web = runs(&daemon, "web");
    for Trouble { what, answer, state, words } in troubles() {
        server.say(answer);
        daemon.client.post("/v1/sources/fleet/refresh");
        let found = wait_for(what, || {
            let fleet = fleet(&daemon);
            let reason = fleet["reason"].as_str().unwrap_or_default().to_owned();
            (fleet["state"] == state && reason.contains(words)).then_some(reason)
        });
        assert!(!found.is_empty(), "{what}");
        assert_eq!(runs(&daemon, "web"), web, "{what}");
        // An event says the same.
        let is_told = |event: &serde_json::Value| event["kind"] == "source" && event["state"] == state;
        let told = events.until(is_told).pop().expect("it is the last one");
        assert_eq!((told["name"].as_str(), told["reason"].as_str()), (Some("fleet"), Some(found.as_str())), "{what}");
        server.say(ok(&program("web")));
        daemon.client.post("/v1/sources/fleet/refresh");
        wait_until(&format!("it is well again after {what}"), || fleet(&daemon)["state"] == "active");
    }
    // Ready all the while, and it says who is in trouble.
    server.say(ok("nonsense"));
    daemon.client.post("/v1/sources/fleet/refresh");
    wait_until("it is refused", || fleet(&daemon)["state"] == "refused");
    let ready = daemon.client.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.json()["sources"][0].as_str().is_some_and(|said| said.starts_with("fleet: refused: ")));
    let listed = daemon.ctl(&["sources"]);
    assert_eq!(listed.code, Some(3), "{listed:?}");
    assert!(listed.out.contains("refused"), "{listed:?}");
    assert_eq!(runs(&daemon, "web"), web);
    daemon.finish();
}

#[test]
fn a_server_that_is_down_changes_nothing_and_is_asked_again_by_itself() {
    let server = Server::start(ok(&program("web")));
    let mut daemon = Setting::supervising(source(&server, "")).start();
    let web = runs(&daemon, "web");
    server.stop();
    wait_until("it is unreachable", || fleet(&daemon)["state"] == "unreachable");
    assert_eq!(runs(&daemon, "web"), web);
    server.say(ok(&format!("{}{}", program("web"), program("new"))));
    server.resume();
    runs(&daemon, "new");
    assert_eq!((&fleet(&daemon)["state"], runs(&daemon, "web")), (&serde_json::json!("active"), web));
    daemon.finish();
}

#[test]
fn a_slow_server_delays_nothing_and_the_daemon_stops_at_once() {
    let server = Server::start(ok(&program("web")));
    server.pace(1);
    let mut daemon = Setting::supervising(source(&server, "")).launch();
    daemon.wait_until_it_answers();
    wait_until("it waits for the server", || !server.requests().is_empty());
    let info = daemon.client.get("/v1/info").json();
    assert_eq!(info["state"], "starting");
    let ready = daemon.client.get("/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &serde_json::json!(false)));
    let began = Instant::now();
    daemon.finish();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn without_its_server_the_daemon_starts_with_the_kept_version_or_not_at_all() {
    let server = Server::start(ok(&program("web")));
    let place = tempfile::tempdir().expect("a directory");
    let state = place.path().join("state");
    let keeping = format!("exit_when_done = false\nstate_dir = \"{}\"", state.display());
    let supervising = |more: &str| Setting::supervising(source(&server, more)).musterd(&keeping);
    let mut daemon = supervising("wait = \"200ms\"").start();
    runs(&daemon, "web");
    let kept = state.join("sources/fleet.json");
    wait_until("it is kept", || kept.exists());
    daemon.finish();
    server.say(head("503 Down", "Content-Length: 0\r\n", ""));
    let mut daemon = supervising("wait = \"200ms\"").start();
    runs(&daemon, "web");
    assert_eq!(fleet(&daemon)["state"], "unreachable");
    daemon.finish();
    // A file that others could have written is not trusted.
    std::fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("it is ours");
    let mut daemon = supervising("wait = \"200ms\"").launch();
    assert_eq!(daemon.wait(), End::Code(2), "{}", daemon.story());
    let log = daemon.log.text();
    assert!(log.contains("is required and was not read") && log.contains("503"), "{log}");
    // One that is not required is left out.
    let optional = format!("wait = 0\nrequired = false\n{}", program("local"));
    let mut daemon = supervising(&optional).start();
    runs(&daemon, "local");
    daemon.finish();
}

#[test]
fn a_held_source_stays_as_it_is() {
    let server = Server::start(ok(&program("web")));
    let mut daemon = Setting::supervising(source(&server, "")).start();
    runs(&daemon, "web");
    let held = daemon.ctl_well(&["source", "hold", "fleet", "--for", "1h"]);
    assert!(held.contains("held"), "{held}");
    server.say(ok(&format!("{}{}", program("web"), program("new"))));
    wait_until("the version waits", || fleet(&daemon)["is_pending"] == true);
    daemon.ctl_well(&["update"]);
    assert!(!states(&daemon).contains_key("new"));
    daemon.ctl_well(&["source", "release", "fleet"]);
    runs(&daemon, "new");
    assert_eq!(daemon.ctl(&["source", "hold", "none"]).code, Some(4));
    let listed = daemon.ctl_well(&["sources"]);
    assert!(listed.contains("fleet") && listed.contains("active"), "{listed}");
    daemon.finish();
}

#[test]
fn check_reads_the_server_of_an_address() {
    let server = Server::start(ok(&program("web")));
    let check = |more: &[&str]| {
        let mut command = Command::new(harness::musterd());
        harness::ended(command.args(["check", "-c", &server.url()]).args(more))
    };
    let well = check(&[]);
    assert_eq!((well.code, well.out.as_str()), (Some(0), "1 file, 1 program, 0 errors, 0 warnings\n"), "{well:?}");
    assert!(server.requests()[0].to_ascii_lowercase().contains("accept: application/toml, text/plain"));
    server.say(ok("[program.web]\ncommand = \"x\"\nstopwaitsecs = -1\n"));
    let wrong = check(&[]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("http://…/url/fleet.toml:3:16"), "{}", wrong.err);
    server.say(head("404 No", "Content-Length: 0\r\n", ""));
    let missing = check(&[]);
    assert!(missing.code == Some(2) && missing.err.contains("404"), "{missing:?}");
    assert_eq!(check(&["--offline"]).code, Some(0));
}

/// Runs openssl in a directory; false, with a notice, if there is none.
fn openssl(directory: &std::path::Path, line: &str) -> bool {
    let arguments: Vec<&str> = line.split(' ').collect();
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "openssl {line}");
            true
        }
        Err(_) => {
            harness::skip("needs openssl");
            false
        }
    }
}

#[test]
fn a_server_is_asked_over_tls_if_its_certificate_is_trusted() {
    const MAKE: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -addext \
                        subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let certificate = |name: &str| {
        let line = format!("{MAKE} -subj /CN={name} -keyout {name}.key -out {name}.pem");
        openssl(at, &line)
    };
    if !certificate("shop") {
        return;
    }
    certificate("other");
    // The whole answer stands in the file.
    let answer = |bytes: Vec<u8>| {
        std::fs::write(at.join("new"), bytes).expect("it is ours");
        std::fs::rename(at.join("new"), at.join("fleet.toml")).expect("it is ours");
    };
    answer(ok(&program("web")));
    let port = free_port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-HTTP", "-quiet", "-cert", "shop.pem", "-key", "shop.key", "-accept"]);
    server.arg(format!("127.0.0.1:{port}")).current_dir(at).stdin(Stdio::null()).stdout(Stdio::null());
    let mut server = server.stderr(Stdio::null()).spawn().expect("it ran above");
    wait_until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let source = |ca: &str| {
        let ca = at.join(ca);
        format!(
            "[source.fleet]\nurl = \"https://127.0.0.1:{port}/fleet.toml\"\ncacert = \"{}\"\nwait = \"3s\"\n",
            ca.display()
        )
    };
    let mut daemon = Setting::supervising(source("shop.pem")).start();
    let web = runs(&daemon, "web");
    // A redirect never leads to a place without TLS.
    let clear = Server::start(ok(&program("other")));
    answer(head("302 Found", &format!("Location: {}\r\nContent-Length: 0\r\n", clear.url()), ""));
    daemon.client.post("/v1/sources/fleet/refresh");
    wait_until("it is unreachable", || {
        fleet(&daemon)["reason"].as_str().is_some_and(|said| said.contains("an address that is not encrypted"))
    });
    assert_eq!((clear.requests().len(), runs(&daemon, "web")), (0, web));
    answer(ok(&format!("{}{}", program("web"), program("new"))));
    daemon.client.post("/v1/sources/fleet/refresh");
    runs(&daemon, "new");
    assert_eq!(runs(&daemon, "web"), web);
    daemon.finish();
    let mut daemon = Setting::supervising(source("other.pem")).launch();
    assert_eq!(daemon.wait(), End::Code(2), "{}", daemon.story());
    let log = daemon.log.text();
    assert!(
        log.contains("certificate is self-signed, and not trusted; it is of CN=shop, issued by CN=shop, valid from 20"),
        "{log}"
    );
    let _ = server.kill();
    let _ = server.wait();
}

/// The daemon of a configuration that comes through a pipe, and reads it again with each version of a source.
#[test]
fn a_configuration_from_a_pipe_is_still_there_when_a_source_changes() {
    let server = Server::start(ok(&program("web")));
    let place = tempfile::tempdir().expect("a temporary directory");
    let socket = place.path().join("sock");
    let text = format!("{}\n[http]\nsocket = \"{}\"\n{}", source(&server, ""), socket.display(), program("local"));
    let file = place.path().join("text");
    std::fs::write(&file, text).expect("it is ours");
    let script = "cat \"$1\" | \"$2\" -c /dev/stdin";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&file).arg(harness::musterd());
    let log = std::fs::File::create(place.path().join("log")).expect("it is ours");
    command.stdin(std::process::Stdio::null()).stdout(log.try_clone().expect("it is open")).stderr(log);
    let mut shell = command.spawn().expect("a shell is installed");
    let ctl = |words: &[&str]| {
        let mut command = std::process::Command::new(harness::musterctl());
        harness::ended(command.arg("-s").arg(&socket).args(words))
    };
    let runs = |name: &str| {
        let status = ctl(&["status"]);
        status.out.lines().any(|line| line.starts_with(name) && line.contains("RUNNING"))
    };
    wait_until("both programs run", || runs("web") && runs("local"));
    server.say(ok(&format!("{}{}", program("web"), program("new"))));
    assert_eq!(ctl(&["source", "refresh", "fleet"]).code, Some(0));
    wait_until("the new one runs", || runs("new") && runs("local"));
    assert_eq!(ctl(&["update"]).code, Some(0));
    assert_eq!(ctl(&["shutdown"]).code, Some(0));
    wait_until("it has ended", || shell.try_wait().expect("it is a child").is_some());
    // A mistake of a local file is no reason to try without a pause.
    let lines = std::fs::read_to_string(place.path().join("log")).expect("it was written");
    assert!(!lines.contains("ERROR"), "{lines}");
}

#[test]
fn each_key_of_a_program_says_which_texts_it_came_from() {
    let server = Server::start(ok("[program.web]\nstartsecs = 0\nenvironment = { C = \"3\" }\n"));
    let local = "[program.web]\ncommand = \"sleep 1000\"\npriority = 7\nenvironment = { A = \"1\" }\n";
    let (main, more) = (source(&server, ""), "[defaults]\nautostart = false\n[program.web]\npriority = 8\n");
    let daemon = Setting::supervising(format!("{local}{main}")).start();
    runs(&daemon, "web");
    let path = daemon.path("muster.toml");
    let text = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(daemon.path("more.toml"), more).expect("the test owns it");
    std::fs::write(&path, format!("include = [\"more.toml\"]\n{text}")).expect("the test owns it");
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    let shown = daemon.client.get("/v1/config").json();
    let (first, second) = (path.display().to_string(), daemon.path("more.toml").display().to_string());
    let third = shown["files"].as_array().and_then(|files| files.last()).expect("there are three").clone();
    assert!(third.as_str().is_some_and(|name| name.starts_with("http://…/fleet/")), "{third}");
    let expected = serde_json::json!({
        "autostart": [second],
        "command": [first],
        "environment": [first, third],
        "priority": [second],
        "startsecs": [third],
    });
    assert_eq!(shown["programs"]["web"]["origin"], expected);
    // Without the daemon, and without the source.
    let mut command = Command::new(harness::musterd());
    let printed = harness::ended(command.args(["config", "--format", "json", "-c"]).arg(&path));
    let printed: serde_json::Value = serde_json::from_str(&printed.out).expect("it is JSON");
    let expected =
        serde_json::json!({"autostart": [second], "command": [first], "environment": [first], "priority": [second]});
    assert_eq!(printed["programs"]["web"]["origin"], expected);
}
