//! Probes: what they check, how often, and the consequences. They follow Kubernetes where it has an equivalent.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use harness::{Daemon, Line, Server, Setting, everyone, is_root, skip, wait_for, wait_until};

/// A program that does nothing, with one probe.
fn probed(probe: &str) -> Setting {
    with("", probe)
}

fn with(program: &str, probe: &str) -> Setting {
    let period = if probe.contains("period") { "" } else { "period = \"30ms\"\n" };
    // The default is a second, which an answer may exceed on a busy machine.
    let timeout = if probe.contains("timeout") { "" } else { "timeout = \"20s\"\n" };
    Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nbackoff = {{ delay = \"10ms\" }}\n{program}\n\
         [program.web.probes.check]\n{period}{timeout}{probe}\n"
    ))
}

fn health_of(daemon: &Daemon) -> String {
    daemon.program("web")["health"].as_str().unwrap_or("none").to_owned()
}

fn wait_for_health(daemon: &Daemon, health: &str) {
    wait_until(&format!("web is {health}\n{}", daemon.story()), || health_of(daemon) == health);
}

fn readyz(daemon: &Daemon) -> (u16, String) {
    let answer = daemon.client.get("/readyz");
    (answer.status, answer.body)
}

fn cause(line: &Line) -> String {
    line.field("cause").unwrap_or_default()
}

#[test]
fn a_failed_liveness_probe_restarts_the_program_and_is_reported() {
    let server = Server::answering(200);
    let daemon = probed(&format!("http = \"{}\"\nfailure_threshold = 2", server.url("/health?deep"))).start();
    wait_for_health(&daemon, "healthy");
    let request = server.last_request();
    assert!(request.starts_with("GET /health?deep HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: 127.0.0.1:{}\r\n", server.port)), "{request}");

    let first = daemon.wait_for_running("web");
    server.answer(503);
    let failed = daemon.log.wait_for_program("web", "failed, stopping it");
    let told = cause(&failed);
    assert!(told.contains("check") && told.contains("503 Told: this is 503"), "{told}");
    assert_eq!(failed.level, "WARN");
    server.answer(200);
    wait_until("web runs again", || daemon.state("web") == "RUNNING" && daemon.pid_of("web") != first);
    let detail = daemon.program("web");
    assert_eq!(detail["failures"], 1, "{detail}");
    assert_eq!(detail["exit"]["success"], false, "a run that was stopped for a probe has failed: {detail}");
}

#[test]
fn a_readiness_probe_makes_ready_and_unready_and_restarts_nothing() {
    let server = Server::answering(500);
    let daemon =
        probed(&format!("http = \"{}\"\nkind = \"readiness\"\nfailure_threshold = 1", server.url("/"))).start();
    let pid = daemon.wait_for_running("web");
    let answer = wait_for("the probe has failed", || (server.hits() > 3).then(|| readyz(&daemon)));
    assert_eq!(answer.0, 503, "{answer:?}");
    assert!(answer.1.contains("\"web\"") && answer.1.contains("not ready"), "{answer:?}");
    assert_eq!(daemon.program("web")["ready"], false);

    server.answer(204);
    wait_until("web is ready", || daemon.program("web")["ready"] == true);
    assert_eq!(readyz(&daemon).0, 200);
    assert!(daemon.ctl_well(&["health"]).is_empty() || readyz(&daemon).0 == 200);

    server.answer(404);
    wait_until("web is no longer ready", || daemon.program("web")["ready"] == false);
    assert_eq!(daemon.pid_of("web"), pid, "it was restarted");
}

#[test]
fn a_startup_probe_holds_the_others_back() {
    let (slow, live) = (Server::answering(503), Server::answering(503));
    let daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 1000\"\n\
         [program.web.probes.up]\nkind = \"startup\"\nhttp = \"{}\"\nperiod = \"20ms\"\nfailure_threshold = 10000\n\
         [program.web.probes.live]\nhttp = \"{}\"\nperiod = \"20ms\"\non_failure = \"none\"\n",
        slow.url("/"),
        live.url("/")
    ))
    .start();
    wait_until("the startup probe ran", || slow.hits() > 5);
    assert_eq!(live.hits(), 0, "no liveness probe before it is up");
    slow.answer(200);
    wait_until("the liveness probe runs", || live.hits() > 3);
    let asked = slow.hits();
    wait_until("more probes run", || live.hits() > 10);
    assert_eq!(slow.hits(), asked, "a startup probe stops once it has passed");
    daemon.wait_for_running("web");
}

#[test]
fn with_on_failure_none_a_failed_probe_makes_unhealthy_and_restarts_nothing() {
    let server = Server::answering(200);
    let daemon = probed(&format!("tcp = \"localhost:{}\"\non_failure = \"none\"", server.port)).start();
    wait_for_health(&daemon, "healthy");
    let pid = daemon.pid_of("web");
    // No process listens on port 1.
    let daemon_2 = probed("tcp = \"127.0.0.1:1\"\non_failure = \"none\"\nfailure_threshold = 1").start();
    wait_for_health(&daemon_2, "unhealthy");
    let told = daemon_2.log.wait_for_program("web", "unhealthy");
    assert_eq!(told.field("detail").as_deref(), Some("cannot connect to 127.0.0.1 port 1: connection refused"));
    assert_eq!(readyz(&daemon_2).0, 503);
    assert_eq!(daemon_2.state("web"), "RUNNING");
    assert_eq!(daemon.pid_of("web"), pid);
}

#[test]
fn an_exec_probe_runs_as_the_program_does() {
    if !is_root() {
        return skip("only root can run programs as others");
    }
    let directory = tempfile::tempdir().expect("a directory can be created");
    let out = directory.path().join("out");
    std::os::unix::fs::chown(directory.path(), Some(65534), Some(65534)).expect("root may");
    let daemon = with(
        "user = \"65534:65534\"\ndirectory = \"/usr/bin\"\numask = \"027\"\nenvironment = { SHOP = \"open\" }\n\
         ready = \"notify\"\nstart_timeout = \"1h\"",
        &format!(
            "exec = ['sh', '-c', 'echo $(id -u):$(id -g) $PWD $(umask) $SHOP $MUSTER_PROGRAM ${{NOTIFY_SOCKET:-none}} \
             > {0}.new && mv {0}.new {0}']",
            out.display()
        )
        .replace("$", "$$"),
    )
    .start();
    let told = wait_for("the probe has written", || fs::read_to_string(&out).ok());
    assert_eq!(told, "65534:65534 /usr/bin 0027 open web none\n", "{}", daemon.story());
}

#[test]
fn an_exec_probe_that_takes_too_long_is_killed_with_its_whole_tree() {
    let number = 4_000_000 + std::process::id();
    let daemon = probed(&format!(
        "exec = ['sh', '-c', 'echo waiting; setsid sleep {number} & sleep {number}']\ntimeout = \"3s\"\n\
         failure_threshold = 1\non_failure = \"none\"\nperiod = \"1h\""
    ))
    .start();
    let sleepers = || everyone().into_values().filter(|process| process.command.contains(&format!("sleep {number}")));
    wait_until("the probe runs", || sleepers().any(|process| process.comm == "sleep"));
    let told = daemon.log.wait_for_program("web", "unhealthy");
    assert_eq!(told.field("detail").as_deref(), Some("timed out after 3s: waiting"));
    wait_until("nothing of the probe is left", || sleepers().next().is_none());
    assert_eq!(
        daemon.processes().iter().filter(|process| !process.is_zombie()).count(),
        1,
        "the program is still running"
    );
}

#[test]
fn leftovers_of_a_passing_exec_probe_are_killed_and_probes_never_overlap() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let number = 5_000_000 + std::process::id();
    let (runs, overlaps) = (directory.path().join("runs"), directory.path().join("overlaps"));
    let script = format!(
        "mkdir {0}/lock || echo >> {1}; sleep 0.05; (setsid sleep {number} &); rmdir {0}/lock; echo >> {2}",
        directory.path().display(),
        overlaps.display(),
        runs.display()
    );
    let daemon = probed(&format!("exec = ['sh', '-c', '{script}']\nperiod = \"10ms\"\ntimeout = \"30s\"")).start();
    wait_until("it has run ten times", || fs::read(&runs).is_ok_and(|runs| runs.len() >= 10));
    assert!(!overlaps.exists(), "two probes at once\n{}", daemon.story());
    daemon.ctl_well(&["stop", "web"]);
    wait_until("nothing of the probes is left", || daemon.processes().iter().all(harness::Process::is_zombie));
}

#[test]
fn stopping_a_program_ends_its_probes() {
    let server = Server::answering(200);
    let mut daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 1000\"\n\
         [program.web.probes.http]\nhttp = \"{}\"\nperiod = \"10ms\"\n\
         [program.web.probes.exec]\nexec = \"sleep 1000\"\ntimeout = \"1h\"\n",
        server.url("/")
    ))
    .start();
    wait_until("both have begun", || server.hits() > 2 && daemon.processes().len() == 2);
    daemon.ctl_well(&["stop", "web"]);
    wait_until("the command of the probe is gone", || daemon.processes().is_empty());
    let asked = server.hits();
    let told = daemon.ctl_well(&["start", "web"]);
    assert_eq!(told, "web: started\n");
    wait_until("it is probed again", || server.hits() > asked);
    daemon.finish();
}

#[test]
fn a_probe_that_cannot_be_executed_fails_with_its_reason() {
    let daemon = probed("exec = \"/no/such/probe\"\nfailure_threshold = 1\non_failure = \"none\"").start();
    let told = daemon.log.wait_for_program("web", "unhealthy");
    assert_eq!(told.field("detail").as_deref(), Some("/no/such/probe: no such file"));
    let daemon =
        probed("exec = ['sh', '-c', 'echo no disk >&2; exit 3']\nfailure_threshold = 1\non_failure = \"none\"");
    let told = daemon.start().log.wait_for_program("web", "unhealthy");
    assert_eq!(told.field("detail").as_deref(), Some("exit status 3: no disk"));
}

#[test]
fn on_failure_stop_keeps_it_down_and_shutdown_ends_everything() {
    let failing = "exec = \"false\"\nfailure_threshold = 1\n";
    let daemon = probed(&format!("{failing}on_failure = \"stop\"")).start();
    let web = daemon.wait_for_state("web", "STOPPED");
    let description = web["description"].as_str().unwrap_or_default();
    assert!(description.starts_with("probe \"check\" failed: "), "{description}");
    assert!(description.contains("; stopped for it 0:00:0"), "{description}");
    let mut daemon = probed(&format!("{failing}on_failure = \"shutdown\"")).launch();
    daemon.wait();
    daemon.assert_nothing_is_left();
}

/// Connections to this port in TIME_WAIT, which lasts a minute on the side that closed first. proc(5) has the local and
/// the remote address, and the state, of which TIME_WAIT is 06. A connection is identified by both addresses.
fn waiting_connections_to(port: u16) -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/tcp").expect("it can be read");
    let remote = format!(":{port:04X}");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let waiting = fields.filter(|fields| fields.get(2).is_some_and(|to| to.ends_with(&remote)) && fields[3] == "06");
    waiting.map(|fields| fields[1..3].join(" to ")).collect()
}

#[test]
fn probes_leave_no_connections_behind() {
    let (server, tcp) = (Server::answering(200), Server::answering(200));
    // Another process's client may have had this port before, with that connection still in the table.
    let others = waiting_connections_to(server.port);
    let daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 1000\"\n\
         [program.web.probes.tcp]\ntcp = \"127.0.0.1:{}\"\nperiod = \"10ms\"\n\
         [program.web.probes.http]\nhttp = \"http://127.0.0.1:{}/\"\nperiod = \"10ms\"\n",
        tcp.port, server.port
    ))
    .start();
    wait_until("200 probes ran", || server.hits() >= 200);
    // After HTTP the server closes first and has the TIME_WAIT; none is on the daemon's side, where it would use up
    // ports. A TCP probe must close first: many servers would treat a reset as an error.
    let waiting = waiting_connections_to(server.port);
    assert_eq!(waiting.difference(&others).collect::<Vec<_>>(), [] as [&String; 0]);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count);
    let open = descriptors();
    wait_until("400 probes ran", || server.hits() >= 400);
    // One connection of each probe may be open during the check.
    wait_until("no descriptor is left over", || descriptors() <= open + 4);
}

#[test]
fn a_server_that_does_not_answer_costs_the_timeout_and_nothing_else() {
    // Its backlog accepts connections, but it never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    let daemon = probed(&format!(
        "http = \"http://127.0.0.1:{port}/\"\ntimeout = \"200ms\"\nfailure_threshold = 1\non_failure = \"none\""
    ))
    .start();
    let told = daemon.log.wait_for_program("web", "unhealthy");
    assert_eq!(told.field("detail").as_deref(), Some("timed out after 200ms"));
    let began = std::time::Instant::now();
    daemon.ctl_well(&["restart", "web"]);
    assert!(began.elapsed() < Duration::from_secs(10));
}
