//! Rolling restarts and `recycle_after`: a service of several instances is restarted, and its clients do not notice.

mod harness;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{Client, Daemon, Listener, Setting, free_port, is_acceptance, wait_until};
use serde_json::Value;

/// Accepts on descriptor 3, says that it is ready, and answers each client with its pid. After SIGTERM it answers those that
/// it has accepted, and exits.
const SERVER: &str = r#"
import os, signal, socket, sys, threading
listener = socket.socket(fileno=3)
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
pid = str(os.getpid()).encode()
listener.settimeout(0.005)
where = os.environ.get("NOTIFY_SOCKET")
if where:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.connect("\0" + where[1:] if where[0] == chr(64) else where)
    told.send(b"READY=1")
while not over.is_set():
    try:
        client = listener.accept()[0]
    except (TimeoutError, BlockingIOError):
        continue
    client.settimeout(20)
    client.recv(1)
    client.sendall(pid)
    client.close()
"#;

/// Four instances on one socket, with further keys.
fn four(port: u16, keys: &str) -> Setting {
    Setting::supervising(format!(
        "[program.web]\ncommand = [\"python3\", \"-c\", '''{SERVER}''']\nnumprocs = 4\nready = \"notify\"\n\
         startsecs = 0\nsockets = [\"tcp://127.0.0.1:{port}\"]\nbackoff = {{ delay = \"60s\" }}\n{keys}\n"
    ))
}

fn is_python_here() -> bool {
    std::process::Command::new("python3").arg("--version").output().is_ok()
}

/// The pid of each instance, once all of them are ready.
fn all_ready(daemon: &Daemon) -> BTreeMap<String, u64> {
    wait_until("all instances are ready", || {
        daemon.ctl(&["wait", "--for", "ready", "--timeout", "1s", "web"]).code == Some(0)
    });
    pids(daemon)
}

fn pids(daemon: &Daemon) -> BTreeMap<String, u64> {
    let all = daemon.client.get("/v1/programs").json();
    let pid = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["pid"].as_u64()?));
    all.as_array().expect("a list").iter().filter_map(pid).collect()
}

/// One request: the pid of the server.
fn ask(port: u16) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"?")?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.parse().map_err(|_| std::io::Error::other(format!("no pid: {text:?}")))
}

/// Clients that send one request after another until the end of the test.
struct Load {
    ends: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(port: u16) -> Load {
        Load::asking(port, ask)
    }

    fn asking(port: u16, ask: fn(u16) -> std::io::Result<u64>) -> Load {
        let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (ends, asked) = (Arc::clone(&ends), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    match ask(port) {
                        Ok(_) => drop(asked.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                failed
            })
        };
        let clients = (0..8).map(client).collect();
        Load { ends, asked, clients }
    }

    /// The number of requests that were answered, and the errors of the others.
    fn end(self) -> (u64, Vec<String>) {
        self.ends.store(true, Ordering::Relaxed);
        let failed =
            self.clients.into_iter().flat_map(|client| client.join().expect("a client does not panic")).collect();
        (self.asked.load(Ordering::Relaxed), failed)
    }
}

/// Counts the ready ones of four instances all the time.
struct Sampler {
    ends: Arc<AtomicBool>,
    samples: std::thread::JoinHandle<(usize, usize)>,
}

impl Sampler {
    fn of(daemon: &Daemon) -> Sampler {
        const EACH: Duration = Duration::from_millis(5);
        let (ends, client) = (Arc::new(AtomicBool::new(false)), Client::of(&daemon.socket()));
        let is_over = Arc::clone(&ends);
        let samples = std::thread::spawn(move || {
            let (mut least, mut count) = (usize::MAX, 0);
            while !is_over.load(Ordering::Relaxed) {
                // A list of programs is no picture of one moment; which are missing is.
                let missing = client.get("/readyz").json()["missing"].as_array().map_or(0, Vec::len);
                (least, count) = (least.min(4 - missing), count + 1);
                std::thread::sleep(EACH);
            }
            (least, count)
        });
        Sampler { ends, samples }
    }

    /// The least number of ready instances, and the number of samples.
    fn end(self) -> (usize, usize) {
        self.ends.store(true, Ordering::Relaxed);
        self.samples.join().expect("the daemon answers")
    }
}

fn rolls_of(events: &[Value]) -> Vec<String> {
    let steps = events.iter().filter(|event| event["kind"] == "rolling");
    let word = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}/{} {}", text("name"), event["step"], event["of"], text("outcome"))
    };
    steps.map(word).collect()
}

#[test]
fn rolls_under_load_fail_no_request_and_leave_three_ready() {
    if !is_python_here() {
        return harness::skip("python3 is not there");
    }
    let port = free_port();
    let mut daemon = four(port, "").start();
    let mut before = all_ready(&daemon);
    let (sampler, load) = (Sampler::of(&daemon), Load::on(port));
    let began = Instant::now();
    let rolls = if is_acceptance() { 20 } else { 4 };
    for _ in 0..rolls {
        let answer = daemon.ctl(&["restart", "--rolling", "web:*", "--timeout", "60s"]);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert_eq!(answer.out, "web:0: restarted\nweb:1: restarted\nweb:2: restarted\nweb:3: restarted\n");
        let after = pids(&daemon);
        assert!(after.iter().all(|(name, pid)| before[name] != *pid), "{before:?} {after:?}");
        before = after;
    }
    let took = began.elapsed();
    let (asked, failed) = load.end();
    assert!(failed.is_empty(), "{} of {asked} requests failed: {:?}", failed.len(), failed.first());
    assert!(asked > 100, "only {asked} requests");
    let (least, samples) = sampler.end();
    assert_eq!(least, 3, "in {samples} samples");
    println!(
        "{rolls} rolls in {took:?}, {asked} requests, 0 failed, never fewer than {least} ready in {samples} samples"
    );
    daemon.finish();
}

/// One request through nginx.
fn ask_over_http(port: u16) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let pid = body.parse().ok().filter(|_| head.starts_with("HTTP/1.1 200 "));
    pid.ok_or_else(|| std::io::Error::other(format!("no answer of a server: {text:?}")))
}

/// Answers on a port of its own, one client after another.
const UPSTREAM: &str = r#"
import os, signal, socket, sys
over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(1))
listener = socket.create_server(("127.0.0.1", int(open(sys.argv[1]).read())), backlog=64)
listener.settimeout(0.005)
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
where = os.environ["NOTIFY_SOCKET"]
told.connect("\0" + where[1:] if where[0] == chr(64) else where)
told.send(b"READY=1")
while not over:
    try:
        client = listener.accept()[0]
    except TimeoutError:
        continue
    client.settimeout(20)
    while not client.recv(4096).endswith(b"\r\n\r\n"):
        pass
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n%d" % os.getpid())
    client.close()
"#;

/// Puts an instance into the upstreams of nginx or takes it out, and returns when no worker of before is left: those may
/// still ask it.
const PROXY: &str = r#"
exec 9> lock
flock 9
case $1 in in) touch "in/$2" ;; out) rm "in/$2" ;; esac
{
    echo "upstream web {"
    for each in $(ls in); do echo "server 127.0.0.1:$(cat "port-$each") max_fails=0;"; done
    echo "}"
} > upstreams.new
mv upstreams.new upstreams
[ -s nginx.pid ] || exit 0
master=$(cat nginx.pid)
workers=$(cat "/proc/$master/task/$master/children")
kill -HUP "$master"
for each in $workers; do while kill -0 "$each" 2>/dev/null; do sleep 0.02; done; done
"#;

#[test]
fn behind_nginx_rolls_fail_no_request_where_pre_stop_drains() {
    let has = |program: &str| std::process::Command::new(program).arg("-v").output().is_ok();
    if !is_python_here() || !has("nginx") {
        return harness::skip("python3 or nginx is not there");
    }
    let place = tempfile::tempdir().expect("the temporary directory is writable");
    let (path, port) = (place.path(), free_port());
    let shown = path.display();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("the directory is ours");
    std::fs::create_dir(path.join("in")).expect("the directory is ours");
    (0..4).for_each(|number| write(&format!("port-{number}"), &free_port().to_string()));
    write("server.py", UPSTREAM);
    write("proxy", PROXY);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|kind| format!("{kind}_temp_path {shown}/{kind};\n")).collect();
    write(
        "nginx.conf",
        &format!(
            "worker_processes 1;\npid {shown}/nginx.pid;\nerror_log {shown}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}include {shown}/upstreams;\nserver {{\nlisten 127.0.0.1:{port};\n\
             location / {{\nproxy_pass http://web;\n# A failure is to be seen.\nproxy_next_upstream off;\n}}\n}}\n}}\n"
        ),
    );
    let mut daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"python3 {shown}/server.py {shown}/port-{{instance}}\"\nnumprocs = 4\nready = \"notify\"\n\
         startsecs = 0\nrolling = 1\ndirectory = \"{shown}\"\n\
         pre_stop = {{ command = [\"sh\", \"proxy\", \"out\", \"{{instance}}\"], timeout = \"20s\" }}\n\
         post_start = [\"sh\", \"proxy\", \"in\", \"{{instance}}\"]\n\
         [program.nginx]\ncommand = [\"nginx\", \"-c\", \"{shown}/nginx.conf\", \"-e\", \"{shown}/error.log\", \"-g\", \"daemon off;\"]\n\
         depends_on = [\"web\"]\nstartsecs = 0\n"
    ))
    .start();
    wait_until("nginx answers", || ask_over_http(port).is_ok());
    let mut before = pids(&daemon);
    let load = Load::asking(port, ask_over_http);
    let began = Instant::now();
    let rolls = if is_acceptance() { 20 } else { 2 };
    for _ in 0..rolls {
        daemon.ctl_well(&["restart", "web", "--timeout", "100s"]);
        let after = pids(&daemon);
        assert!((0..4).map(|number| format!("web:{number}")).all(|name| before[&name] != after[&name]));
        before = after;
    }
    let took = began.elapsed();
    let (asked, failed) = load.end();
    assert!(failed.is_empty(), "{} of {asked} requests failed: {:?}", failed.len(), failed.first());
    assert!(asked > 100, "only {asked} requests");
    println!("{rolls} rolls behind nginx in {took:?}, {asked} requests, 0 failed");
    daemon.finish();
}

#[test]
fn a_reload_with_a_broken_version_reaches_one_instance() {
    let command = "[\"sh\", \"-c\", \"exec sleep 1000\"]";
    let setting = |command: &str| {
        Setting::supervising(format!(
            "[program.web]\ncommand = {command}\nnumprocs = 4\nrolling = 1\nstartsecs = 0.2\nbackoff = {{ delay = \"60s\" }}\n"
        ))
    };
    let mut daemon = setting(command).start();
    let before = all_ready(&daemon);
    let mut listener = Listener::of(&daemon, None);
    listener.next();
    daemon.rewrite(&setting("[\"sh\", \"-c\", \"echo broken; exit 3\"]"));
    daemon.ctl_well(&["update"]);
    let events = listener.until(|event| event["kind"] == "rolling" && event["outcome"] == "failed");
    assert_eq!(rolls_of(&events), ["web:0 1/4 began", "web:0 1/4 failed"]);
    assert_eq!(events.last().map(|event| event["error"].clone()), Some("exit status 3".into()));
    assert_eq!(daemon.state("web:0"), "BACKOFF");
    let after = pids(&daemon);
    assert!(["web:1", "web:2", "web:3"].iter().all(|name| before[*name] == after[*name]), "{before:?} {after:?}");
    let status = daemon.ctl(&["status"]).out;
    assert_eq!(status.matches(", old process\n").count(), 3, "{status}");
    let web = daemon.client.get("/v1/programs/web:1").json();
    assert_eq!((&web["old_process"], &web["rolling"]), (&true.into(), &Value::Null), "{web}");
    assert!(
        daemon.ctl(&["why", "web:1"]).out.contains("earlier configuration"),
        "{}",
        daemon.ctl(&["why", "web:1"]).out
    );
    // The mended version begins with the instance that failed; then nothing is old.
    daemon.rewrite(&setting("[\"sh\", \"-c\", \"exec sleep 1001\"]"));
    daemon.ctl_well(&["update"]);
    let events = listener.until(|event| event["kind"] == "rolling" && event["step"] == 4 && event["outcome"] == "done");
    assert_eq!(rolls_of(&events).len(), 8, "{events:?}");
    assert_eq!(daemon.ctl(&["status"]).out.matches("old process").count(), 0);
    daemon.finish();
}

#[test]
fn a_command_that_fails_says_how_far_it_came() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let broken = directory.path().join("broken");
    let command = format!("[ {{instance}} = 1 ] && [ -e {} ] && exit 3; exec sleep 1000", broken.display());
    let mut daemon = Setting::supervising(format!(
        "[program.web]\ncommand = [\"sh\", \"-c\", \"{command}\"]\n\
         numprocs = 3\nstartsecs = 0.1\nbackoff = {{ delay = \"60s\" }}\n"
    ))
    .start();
    all_ready(&daemon);
    std::fs::write(&broken, "").expect("the test directory is writable");
    let answer = daemon.client.post("/v1/programs/web:*/restart?wait=20&rolling=1");
    assert_eq!(answer.status, 500, "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:muster:roll-failed");
    assert_eq!(problem["detail"], "rolled 1 of 3; web:1: exit status 3");
    assert_eq!(problem["results"][2]["error"], "not restarted, since the rolling restart ended: web:1: exit status 3");
    let ended = daemon.ctl(&["restart", "--rolling", "web:*"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.starts_with("error: rolled 1 of 3; web:1: exit status 3\n"), "{ended:?}");
    assert!(ended.out.starts_with("web:0: restarted\nweb:1: ERROR (exit status 3)\n"), "{ended:?}");
    for (query, status) in [("rolling=0", 400), ("rolling=x", 400), ("rolling=", 400)] {
        assert_eq!(daemon.client.post(&format!("/v1/programs/web/restart?{query}")).status, status, "{query}");
    }
    assert_eq!(daemon.client.post("/v1/programs/web/stop?rolling=1").status, 400);
    daemon.finish();
}

#[test]
fn a_restart_that_cannot_roll_says_so() {
    let mut daemon = Setting::supervising(
        "[program.one]\ncommand = \"sleep 1000\"\nstartsecs = 0\n\
         [program.two]\ncommand = \"sleep 1000\"\nstartsecs = 0\nnumprocs = 2\n",
    )
    .start();
    daemon.wait_for_running("one");
    daemon.wait_for_running("two:1");
    let said = |name: &str| daemon.ctl_well(&["restart", "--rolling", name]);
    assert_eq!(said("one"), "one: restarted (not rolling: no other instance of it is up)\n");
    assert_eq!(said("two:1"), "two:1: restarted (not rolling: it was to be restarted alone, or at once with others)\n");
    assert_eq!(said("two"), "two:0: restarted\ntwo:1: restarted\n");
    let answer = daemon.client.post("/v1/programs/one/restart?wait=20").json();
    assert_eq!(answer["results"][0]["note"], Value::Null, "it was not asked for: {answer}");
    daemon.finish();
}

#[test]
fn recycled_instances_take_turns_under_load() {
    if !is_python_here() {
        return harness::skip("python3 is not there");
    }
    let port = free_port();
    let mut daemon = four(port, "recycle_after = { after = \"2s\", jitter = \"500ms\" }").start();
    let before = all_ready(&daemon);
    let mut listener = Listener::of(&daemon, None);
    listener.next();
    let (sampler, load) = (Sampler::of(&daemon), Load::on(port));
    let mut done = 0;
    let events = std::iter::from_fn(|| {
        let event = (done < 8).then(|| listener.next())?;
        done += usize::from(event["kind"] == "rolling" && event["outcome"] == "done");
        Some(event)
    });
    let events: Vec<Value> = events.collect();
    let (asked, failed) = load.end();
    assert!(failed.is_empty(), "{} of {asked} requests failed: {:?}", failed.len(), failed.first());
    let (least, samples) = sampler.end();
    assert!(least >= 3, "{least} in {samples} samples");
    println!("8 recycled, {asked} requests, 0 failed, never fewer than {least} ready in {samples} samples");
    let after = pids(&daemon);
    assert!(after.iter().all(|(name, pid)| before[name] != *pid), "{before:?} {after:?}");
    let causes: Vec<&str> = events.iter().filter_map(|event| event["cause"].as_str()).collect();
    assert!(causes.len() >= 8 && causes.iter().all(|cause| cause.contains("recycle_after")), "{causes:?}");
    let web = daemon.client.get("/v1/programs/web:0").json();
    assert_eq!(web["failures"], 0, "{web}");
    daemon.finish();
}

#[test]
fn a_run_is_recycled_on_time() {
    let mut daemon =
        Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nrecycle_after = \"1s\"\n")
            .start();
    let mut listener = Listener::of(&daemon, None);
    let ends = (0..4).map(|_| listener.until(|event| event["kind"] == "ended").pop());
    let uptimes: Vec<f64> = ends.filter_map(|end| end?["uptime"].as_f64()).collect();
    assert_eq!(uptimes.len(), 4);
    println!("recycled after {uptimes:?}");
    assert!(uptimes.iter().all(|uptime| (1.0..2.0).contains(uptime)), "{uptimes:?}");
    daemon.finish();
}
