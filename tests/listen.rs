//! The API beyond its Unix socket: listeners, logins, roles, and what web pages may do.

#[path = "harness/mod.rs"]
mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use harness::{Daemon, Listener, Setting, ended, free_port, wait_until};

const TOKEN: &str = "0123456789abcdefghij";
const READER: &str = "reader-reader-reader";

/// Files with secrets, and a free port.
struct Scene {
    place: tempfile::TempDir,
    port: u16,
}

impl Scene {
    fn new() -> Scene {
        let place = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).expect("it is ours");
        write("token", &format!("# two, so that one can be replaced\n{TOKEN}\nother-other-other-other\n"));
        write("reader", READER);
        write("password", "p\n");
        Scene { place, port: free_port() }
    }

    /// Lines for `[http]`, in which `@` is the directory and `PORT` the port.
    fn http(&self, lines: &str) -> String {
        lines.replace('@', &self.place.path().display().to_string()).replace("PORT", &self.port.to_string())
    }

    fn setting(&self, lines: &str) -> Setting {
        Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\n").http(&self.http(lines))
    }

    fn start(&self, lines: &str) -> Daemon {
        self.setting(lines).start().listening()
    }

    fn raw(&self, request: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return String::new() };
        stream.set_read_timeout(Some(harness::PATIENCE)).expect("a socket has it");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// The answer to a request with these headers, which end in a line end each.
    fn ask(&self, request: &str, headers: &str) -> String {
        let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        self.raw(&format!("{request} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: 0\r\n{headers}\r\n"))
    }

    fn status(&self, request: &str, headers: &str) -> Option<u16> {
        self.ask(request, headers).split(' ').nth(1)?.parse().ok()
    }

    fn as_token(&self, request: &str, token: &str) -> Option<u16> {
        self.status(request, &format!("Authorization: Bearer {token}\r\n"))
    }
}

const USERS: &str = "listen = [\"http://127.0.0.1:PORT\"]\nuser.deploy = { role = \"control\", token_file = \"@/token\" }\n\
                     user.reader = { role = \"read\", token_file = \"@/reader\" }\n\
                     user.prom = { role = \"metrics\", password_file = \"@/password\" }\n";

#[test]
fn each_role_may_do_what_the_table_says() {
    let scene = Scene::new();
    let daemon = scene.start(USERS);
    let prom = "Authorization: Basic cHJvbTpw\r\n";
    let (deploy, reader) =
        (format!("Authorization: Bearer {TOKEN}\r\n"), format!("Authorization: Bearer {READER}\r\n"));
    // Without a login, and as prom, reader and deploy.
    for (request, statuses) in [
        ("GET /healthz", [200, 200, 200, 200]),
        ("GET /livez", [200, 200, 200, 200]),
        ("GET /metrics", [401, 200, 200, 200]),
        ("GET /v1/programs", [401, 403, 200, 200]),
        ("GET /v1/config", [401, 403, 200, 200]),
        ("GET /openapi.json", [401, 403, 200, 200]),
        ("GET /logtail/nosuch", [401, 403, 404, 404]),
        ("POST /v1/programs/web/stop?wait=5", [401, 403, 403, 200]),
        ("POST /v1/programs/web/start", [401, 403, 403, 202]),
        ("POST /v1/config/check", [401, 403, 403, 200]),
        ("POST /v1/shutdown", [401, 403, 403, 403]),
    ] {
        let logins = ["", prom, &reader, &deploy];
        assert_eq!(logins.map(|login| scene.status(request, login).unwrap_or(0)), statuses, "{request}");
    }
    let missing = scene.ask("GET /v1/programs", "");
    assert!(missing.contains("www-authenticate: Bearer"), "{missing}");
    for answer in [&missing, &scene.ask("GET /v1/programs", &reader), &scene.ask("GET /metrics", &reader)] {
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
        assert!(answer.contains("cache-control: no-store"), "a browser keeps no copy: {answer}");
    }
    for path in ["/", "/RPC2", "/nosuch"] {
        let answer = scene.ask(&format!("GET {path}"), "");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}: {answer}");
    }
    let refused = scene.ask("POST /v1/shutdown", &deploy);
    assert!(
        refused.contains("deploy may not") && refused.contains("admin") && refused.contains("control"),
        "{refused}"
    );
    let why = daemon.client.request("GET", "/v1/programs/web/why", "").body;
    assert!(why.contains("deploy"), "the name is shown: {why}");
    let info = daemon.client.request("GET", "/v1/info", "").json();
    assert_eq!(info["listeners"][0]["address"], format!("http://127.0.0.1:{}", scene.port));
    assert_eq!(info["listeners"][0]["is_listening"], true);
    let metrics = daemon.client.request("GET", "/metrics", "").body;
    assert!(metrics.contains(&format!("muster_listener_up{{listener=\"http://127.0.0.1:{}\"}} 1", scene.port)));
}

#[test]
fn a_token_that_cannot_be_read_again_is_an_event_and_the_one_before_stays() {
    let scene = Scene::new();
    let daemon = scene.start(USERS);
    let mut events = Listener::of(&daemon, None);
    let mut told =
        || events.until(|event| event["kind"] == "listener").pop().expect("it is the last")["reason"].clone();
    let failures = || daemon.client.get("/metrics").body.contains("muster_secret_reload_failures_total 1\n");
    let token = scene.place.path().join("token");
    assert!(!failures());
    fs::write(&token, "short").expect("it is ours");
    let reason = told();
    assert!(reason.as_str().is_some_and(|why| why.contains("token") && !why.contains("short\"")), "{reason}");
    daemon.log.wait_for("the message", |line| line.message.contains("secrets of the API have changed, but"));
    assert!(failures());
    assert_eq!(scene.as_token("GET /v1/info", TOKEN), Some(200));
    fs::write(&token, "a-new-token-that-is-good").expect("it is ours");
    assert_eq!(told(), serde_json::Value::Null);
    assert_eq!(scene.as_token("GET /v1/info", "a-new-token-that-is-good"), Some(200));
    assert_eq!(scene.as_token("GET /v1/info", TOKEN), Some(401));
}

#[test]
fn a_listener_caps_the_role_of_its_clients() {
    let scene = Scene::new();
    let lines = "listen = [{ address = \"http://127.0.0.1:PORT\", role = \"read\", anyone = \"metrics\" }, \
                 { address = \"unix://@/ro.sock\", mode = \"0666\", anyone = \"read\", role = \"read\" }]\ntoken_file = \"@/token\"\n";
    let _daemon = scene.start(lines);
    assert_eq!(scene.as_token("GET /v1/programs", TOKEN), Some(200));
    assert_eq!(scene.as_token("POST /v1/programs/web/stop", TOKEN), Some(403));
    assert_eq!(scene.status("GET /metrics", ""), Some(200), "anyone may");
    assert_eq!(scene.as_token("GET /metrics", "wrong-wrong-wrong-wrong"), Some(401), "a wrong login is refused");
    let mut stream = UnixStream::connect(scene.place.path().join("ro.sock")).expect("it listens");
    stream.write_all(b"POST /v1/programs/web/stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "root, too: {answer}");
}

#[test]
fn too_many_wrong_logins_have_to_wait_and_right_ones_do_not() {
    let scene = Scene::new();
    let daemon = scene.start(USERS);
    assert_eq!(scene.as_token("GET /v1/info", TOKEN), Some(200));
    let statuses: Vec<_> = (0..12).filter_map(|_| scene.as_token("GET /v1/info", "wrong-wrong-wrong-wrong")).collect();
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    let told = scene.ask("GET /v1/info", "Authorization: Bearer wrong\r\n");
    assert!(told.contains("retry-after: "), "{told}");
    assert_eq!(scene.as_token("GET /v1/info", TOKEN), Some(200), "this one was right before");
    assert_eq!(scene.as_token("GET /v1/info", READER), Some(429), "this one could be a guess");
    assert_eq!(scene.status("GET /healthz", ""), Some(200), "no login, no wait");
    wait_until("it is logged", || daemon.log.text().contains("a login failed"));
}

#[test]
fn a_web_page_of_another_origin_is_refused() {
    let scene = Scene::new();
    let _daemon = scene.start(&format!(
        "allow_hosts = [\"shop.example.org\"]\nallow_origins = [\"https://ops.example.org\"]\n{USERS}"
    ));
    let login = format!("Authorization: Bearer {TOKEN}\r\n");
    let status = |request: &str, headers: &str| scene.status(request, &format!("{headers}{login}"));
    for host in ["127.0.0.1", "localhost", "[::1]", "shop.example.org", "a.localhost"] {
        assert_eq!(status("GET /v1/info", &format!("Host: {host}:{}\r\n", scene.port)), Some(200), "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b"] {
        assert_eq!(status("GET /v1/info", &format!("Host: {host}\r\n")), Some(421), "{host}");
        assert_eq!(status("POST /RPC2", &format!("Host: {host}\r\n")), Some(421), "{host}");
        assert_eq!(scene.status("GET /healthz", &format!("Host: {host}\r\n")), Some(421), "{host}: before the login");
    }
    assert_eq!(status("GET /v1/info", "Host: localhost\r\nHost: evil.example\r\n"), Some(421), "two");
    for foreign in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_eq!(status("GET /v1/info", foreign), Some(403), "{foreign}");
        assert_eq!(status("POST /v1/programs/web/stop", foreign), Some(403), "{foreign}");
        assert_eq!(status("POST /RPC2", foreign), Some(403), "{foreign}");
    }
    assert_eq!(status("GET /v1/info", "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n"), Some(200));
    assert_eq!(status("GET /v1/info", "Origin: https://ops.example.org\r\nSec-Fetch-Site: cross-site\r\n"), Some(200));
    let form = scene.raw(&format!(
        "POST /v1/shutdown HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Type: text/plain\r\n\
         Content-Length: 2\r\nConnection: close\r\n{login}\r\n{{}}"
    ));
    assert!(form.starts_with("HTTP/1.1 415"), "{form}");
}

#[test]
fn a_reload_opens_and_closes_listeners_and_refuses_what_cannot_be_opened() {
    let (scene, other) = (Scene::new(), Scene::new());
    let daemon = scene.start(USERS);
    let mut kept = TcpStream::connect(("127.0.0.1", scene.port)).expect("it listens");
    let second = USERS.replace("\"]", &format!("\", \"http://127.0.0.1:{}\"]", other.port));
    let taken = TcpListener::bind(("127.0.0.1", other.port)).expect("it is free");
    daemon.rewrite(&scene.setting(&second));
    let refused = daemon.client.request("POST", "/v1/config/reload", "");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("address already in use") || refused.body.contains("in use"), "{}", refused.body);
    drop(taken);
    assert_eq!(daemon.client.request("POST", "/v1/config/reload", "").status, 200);
    wait_until("the new listener answers", || other.as_token("GET /v1/info", TOKEN) == Some(200));
    // The connection of the unchanged listener is still there.
    kept.write_all(
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
            .as_bytes(),
    )
    .expect("it reads");
    let mut answer = String::new();
    kept.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A token that is taken away is wrong at once, and so is a listener that is gone.
    fs::write(scene.place.path().join("token"), "another-another-another").expect("it is ours");
    daemon.rewrite(&scene.setting(USERS));
    assert_eq!(daemon.client.request("POST", "/v1/config/reload", "").status, 200);
    assert_eq!(scene.as_token("GET /v1/info", TOKEN), Some(401));
    assert_eq!(scene.as_token("GET /v1/info", "another-another-another"), Some(200));
    wait_until("the other one is closed", || TcpStream::connect(("127.0.0.1", other.port)).is_err());
}

#[test]
fn an_address_in_use_is_tried_again() {
    let scene = Scene::new();
    let taken = TcpListener::bind(("127.0.0.1", scene.port)).expect("it is free");
    let daemon = scene.setting(USERS).start();
    wait_until("it is logged", || daemon.log.text().contains("cannot listen"));
    let info = daemon.client.request("GET", "/v1/info", "").json();
    assert_eq!(info["listeners"][0]["is_listening"], false);
    drop(taken);
    wait_until("it listens", || scene.as_token("GET /v1/info", TOKEN) == Some(200));
    wait_until("that is logged, too", || daemon.log.text().contains("accepting connections now"));
}

/// Of "geheim", made by `openssl passwd -5 -salt abcdefgh` and `openssl passwd -6 -salt 'rounds=50000$saltsaltsaltsalt'`.
const HASHES: [(&str, &str); 2] = [
    ("hashed", "$5$abcdefgh$azU9PNNJw9essBuwq5yihWY9lFXM0dF54Ph4sAxX.YB\n"),
    (
        "costly",
        "$6$rounds=50000$saltsaltsaltsalt$\
         mfrhKykkuGC/h36CZPztDOfP3PnzSxa.bADOpEfhBjmW56wT7x6yMtC9IC/xF1eDxucsFLnbO9I7zgcbmIEsg0\n",
    ),
];

fn with_hashes() -> Scene {
    let scene = Scene::new();
    for (name, hash) in HASHES {
        fs::write(scene.place.path().join(name), hash).expect("it is ours");
    }
    scene
}

#[test]
fn a_password_is_compared_with_its_hash_and_remembered() {
    let scene = with_hashes();
    let users = format!("{USERS}user.hashed = {{ role = \"read\", password_file = \"@/hashed\" }}\n");
    let daemon = scene.start(&users);
    // hashed:geheim, hashed:geheiM, nobody:geheim, prom:p.
    let (right, wrong) =
        ("Authorization: Basic aGFzaGVkOmdlaGVpbQ==\r\n", "Authorization: Basic aGFzaGVkOmdlaGVpTQ==\r\n");
    let (unknown, plain) = ("Authorization: Basic bm9ib2R5OmdlaGVpbQ==\r\n", "Authorization: Basic cHJvbTpw\r\n");
    assert_eq!(scene.status("GET /v1/programs", wrong), Some(401));
    assert_eq!(scene.status("GET /v1/programs", unknown), Some(401));
    assert_eq!(scene.status("GET /v1/programs", right), Some(200));
    assert_eq!(scene.status("POST /v1/programs/web/stop", right), Some(403), "its role is read");
    assert_eq!(scene.status("GET /metrics", plain), Some(200), "others need no hash");
    // Many at once from one address: few are looked at.
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..12).map(|_| scope.spawn(|| scene.status("GET /v1/programs", unknown))).collect();
        attempts.into_iter().filter_map(|attempt| attempt.join().ok().flatten()).collect()
    });
    assert_eq!(statuses.len(), 12);
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 401).count() < 6, "{statuses:?}");
    // More than ten, so nothing is compared again.
    for _ in 0..20 {
        assert_eq!(scene.status("GET /v1/programs", right), Some(200), "this one was right before");
    }
    let log = daemon.log.text();
    assert!(!log.contains("geheim") && !log.contains("$5$"), "{log}");
}

#[test]
fn the_daemon_answers_while_a_costly_password_is_compared() {
    let scene = with_hashes();
    let user = |file: &str| {
        format!(
            "listen = [\"http://127.0.0.1:PORT\"]\nuser.costly = {{ role = \"read\", password_file = \"@/{file}\" }}\n"
        )
    };
    let daemon = scene.start(&user("costly"));
    // costly:geheim.
    let right = "Authorization: Basic Y29zdGx5OmdlaGVpbQ==\r\n";
    std::thread::scope(|scope| {
        let status = scope.spawn(|| scene.status("GET /v1/programs", right));
        let mut answers = 0;
        while !status.is_finished() {
            assert_eq!(daemon.client.request("GET", "/livez", "").status, 200);
            answers += 1;
        }
        assert_eq!(status.join().ok().flatten(), Some(200));
        assert!(answers > 1, "it answered meanwhile");
    });
    assert_eq!(scene.status("GET /v1/programs", right), Some(200));
    // Another password, and what was right is forgotten.
    fs::write(scene.place.path().join("password"), "another\n").expect("it is ours");
    daemon.rewrite(&scene.setting(&user("password")));
    assert_eq!(daemon.client.request("POST", "/v1/config/reload", "").status, 200);
    assert_eq!(scene.status("GET /v1/programs", right), Some(401));
}

/// Lines of `[http]`; the line of the mistake in the file, and a part of its message. `[http]` is line 1.
const NEVER_OPEN: &[(&str, u32, &str)] = &[
    ("listen = [\"http://127.0.0.1:PORT\"]", 2, "no user can log in here"),
    ("listen = [\"fd://api\"]", 2, "no user can log in here"),
    ("listen = [\"http://127.0.0.1:PORT\"]\nuser.a = { role = \"read\" }", 2, "no user can log in here"),
    ("listen = [\"http://127.0.0.1:PORT\"]\nuser.a = { uid = \"root\" }", 2, "no user can log in here"),
    ("listen = [\"http://0.0.0.0:PORT\"]\ntoken_file = \"@/token\"", 2, "clear text"),
    ("token_file = \"@/token\"\nlisten = [\"http://*:PORT\"]", 3, "clear text"),
    ("listen = [\"http://[::]:PORT\"]\ntoken_file = \"@/token\"", 2, "clear text"),
    ("listen = [\"tcp://10.1.2.3:PORT\"]\ntoken_file = \"@/token\"", 2, "clear text"),
    ("listen = [{ address = \"0.0.0.0:PORT\", insecure = false }]\ntoken_file = \"@/token\"", 2, "clear text"),
    ("listen = [{ address = \"127.0.0.1:PORT\", anyone = \"read\" }]\ntoken_file = \"@/token\"", 2, "at most metrics"),
    ("listen = [{ address = \"127.0.0.1:PORT\", anyone = \"admin\" }]\ntoken_file = \"@/token\"", 2, "at most metrics"),
    ("listen = [{ address = \"unix://@/x\", anyone = \"control\" }]", 2, "at most read"),
    ("listen = [\"127.0.0.1:PORT\"]\ntoken_file = \"@/nosuch\"", 3, "cannot be read"),
    ("listen = [\"127.0.0.1:PORT\"]\ntoken_file = \"@/empty\"", 3, "has no token"),
    ("listen = [\"127.0.0.1:PORT\"]\ntoken_file = \"@/short\"", 3, "fewer than 20 characters"),
    ("listen = [\"127.0.0.1:PORT\"]\nuser.a.token_file = \"@/same\"", 3, "one repeated character"),
    ("listen = [\"127.0.0.1:PORT\"]\nuser.a.token_file = \"@/many\"", 3, "more than 8 tokens"),
    ("listen = [\"127.0.0.1:PORT\"]\nusername = \"u\"\npassword_file = \"@/empty\"", 4, "is empty"),
    ("listen = [\"127.0.0.1:PORT\"]\nusername = \"u\"\npassword_file = \"@/rounds\"", 4, "outside 1000 to 50000"),
    ("listen = [\"127.0.0.1:PORT\"]\nuser.a.password_file = \"@/bcrypt\"", 3, "openssl passwd -6"),
    ("listen = [\"127.0.0.1:PORT\"]\nusername = \"u\"\ntoken_file = \"@/token\"", 3, "needs password_file"),
    ("listen = [\"127.0.0.1:PORT\"]\npassword_file = \"@/password\"", 3, "needs username"),
    ("listen = [\"127.0.0.1:0\"]\ntoken_file = \"@/token\"", 2, "port 0"),
    ("listen = [\"unix://@name\"]", 2, "absolute path"),
    ("listen = [\"unix://\\u0040name\"]", 2, "abstract socket"),
    ("listen = [\"vsock:2:1\"]\ntoken_file = \"@/token\"", 2, "not supported"),
    ("listen = [\"https://127.0.0.1:PORT\"]\ntoken_file = \"@/token\"", 2, "needs a certificate"),
    ("listen = [\"127.0.0.1:PORT\", \"http://127.0.0.1:PORT\"]\ntoken_file = \"@/token\"", 2, "two listeners"),
];

#[test]
fn nothing_is_open_by_mistake() {
    let scene = Scene::new();
    let write = |name: &str, text: &str| fs::write(scene.place.path().join(name), text).expect("it is ours");
    write("empty", "\n");
    write("short", "0123456789abcdefghi\n");
    write("same", &"x".repeat(40));
    write("rounds", &format!("$6$rounds=50001$0123456789abcdef${}\n", "x".repeat(86)));
    write("bcrypt", "$2b$10$0123456789abcdefghijkl\n");
    write("many", &format!("{TOKEN}\n").repeat(9));
    let is_open = || TcpStream::connect(("127.0.0.1", scene.port)).is_ok();
    for (lines, line, message) in NEVER_OPEN {
        let lines = if lines.contains("unix://@name") { lines.replace("@name", "name") } else { scene.http(lines) };
        let path = scene.place.path().join("muster.toml");
        let socket = scene.place.path().join("sock");
        let text = format!("[http]\n{lines}\nsocket = {socket:?}\n[program.web]\ncommand = \"sleep 1000\"\n");
        fs::write(&path, text).expect("it is ours");
        let end = ended(Command::new(harness::musterd()).arg("-c").arg(&path));
        assert_eq!(end.code, Some(2), "{lines}: {}", end.err);
        assert!(end.err.contains(message), "{lines}: {}", end.err);
        assert!(end.err.contains(&format!("muster.toml:{line}:")), "{lines}: {}", end.err);
        assert!(!is_open() && !Path::exists(&socket), "{lines}: nothing is bound");
        assert!(!end.err.contains("0123456789abcdefghi"), "a secret is never quoted: {}", end.err);
    }
}

/// Passes a listening socket as systemd does, and executes the daemon.
const PASS: &str = "import os, socket, sys\n\
                    s = socket.create_server(('127.0.0.1', PORT))\n\
                    os.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\n\
                    os.environ.update(LISTEN_PID=str(os.getpid() + OFF), LISTEN_FDS='1', LISTEN_FDNAMES='api')\n\
                    os.execv(sys.argv[1], sys.argv[1:])";

#[test]
fn an_inherited_socket_is_served_unless_it_is_for_another_process() {
    if !Path::new("/usr/bin/python3").exists() {
        return harness::skip("python3 is not installed");
    }
    for (off, name, is_served) in [("0", "api", true), ("0", "", true), ("0", "web", false), ("1", "api", false)] {
        let scene = Scene::new();
        let script = PASS.replace("PORT", &scene.port.to_string()).replace("OFF", off);
        let lines = USERS.replace("http://127.0.0.1:PORT", &format!("fd://{name}"));
        let daemon = scene.setting(&lines).wrapped(&["/usr/bin/python3", "-c", &script]).start();
        if is_served {
            assert_eq!(scene.as_token("GET /v1/info", TOKEN), Some(200), "{off} {name}");
            assert_eq!(scene.status("GET /v1/info", ""), Some(401), "{off} {name}");
        } else {
            wait_until("it is logged", || daemon.log.text().contains("cannot listen"));
            let info = daemon.client.request("GET", "/v1/info", "").json();
            assert_eq!(info["listeners"][0]["is_listening"], false, "{off} {name}");
        }
    }
}
