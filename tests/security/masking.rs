//! Disclosure: secrets, and text that imitates other output.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::pty::Winsize;

use super::harness::{
    self, Daemon, Server, Setting, Terminal, ended, in_front_of, is_root, puppet, wait_for, wait_until,
};

/// May read, but not control.
const LOOKER: u32 = 12346;
/// May control.
const OPERATOR: u32 = 12345;

const USERS: &str = "mode = \"0666\"\nallow_users = [\"12345\"]\nreadonly_users = [\"12346\"]";

/// The API's answer to this user; `None` where the test cannot act as that user.
fn ask(daemon: &Daemon, uid: u32, path: &str) -> String {
    std::fs::set_permissions(daemon.path(""), Permissions::from_mode(0o755)).expect("the test directory is writable");
    let (uid, socket) = (uid.to_string(), daemon.socket());
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", "--reuid", &uid, "--regid", &uid, "--", "curl", "-sS", "--max-time", "20"]);
    command.arg("--unix-socket").arg(socket).arg(format!("http://localhost{path}"));
    let ended = ended(&mut command);
    assert!(!ended.out.is_empty(), "{path}: {ended:?}");
    ended.out
}

fn can_ask() -> bool {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !is_root() || !has_curl {
        harness::skip("only root can ask as another user, with curl");
    }
    is_root() && has_curl
}

/// The events that a listener receives within a moment: the snapshot and the kept events.
fn events(daemon: &Daemon, uid: u32) -> String {
    let (uid, socket) = (uid.to_string(), daemon.socket());
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", "--reuid", &uid, "--regid", &uid, "--", "curl", "-sS", "-N", "--max-time", "1"]);
    command.args(["-H", "Last-Event-ID: 1"]).arg("--unix-socket").arg(socket).arg("http://localhost/v1/events");
    ended(&mut command).out
}

#[test]
fn a_secret_variable_is_shown_nowhere_wherever_it_went() {
    if !can_ask() {
        return;
    }
    let server = Server::answering(503);
    let programs = format!(
        "[program.web]
         command = [\"sh\", \"-c\", \"sleep 1000; :\", \"x\", \"--token\", \"${{APP_TOKEN}}\", \"pre${{APP_TOKEN}}post\", \"${{UNSET_PASSWORD:-d3fault}}\", \"${{PIN_KEY}}-\"]
         directory = \"{{here}}/${{APP_TOKEN}}\"
         environment = {{ OTHER = \"${{APP_TOKEN}}\", CHILD_SECRET = \"child-s3cret\" }}
         logs = {{ stdout = \"{{here}}/${{APP_TOKEN}}.log\" }}
         ready = {{ exec = [\"sh\", \"-c\", \"echo ready ${{APP_TOKEN}}; exit 1\"] }}
         start_timeout = 60
         [program.web.probes.http]
         http = {{ url = \"http://127.0.0.1:{port}/${{APP_TOKEN}}?a=${{APP_TOKEN}}\", headers = {{ X-A = \"${{APP_TOKEN}}\" }} }}
         kind = \"readiness\"
         period = 0.05
         [program.web.probes.exec]
         exec = \"sh -c 'echo told ${{APP_TOKEN}} ${{DATABASE_URL}}; exit 3'\"
         kind = \"readiness\"
         period = 0.05
         [program.web.probes.tcp]
         tcp = \"${{APP_TOKEN}}.invalid:1\"
         kind = \"readiness\"
         period = 0.05
         [program.bad]
         command = \"/nonexistent/${{APP_TOKEN}} ${{DATABASE_URL}}\"
         startretries = 1
         backoff = {{ delay = \"10ms\" }}
         [program.child]
         command = [\"sh\", \"-c\", \"sh -c 'sleep 1000; :' x $CHILD_SECRET $INHERITED_PASSWORD; :\"]
         environment = {{ CHILD_SECRET = \"child-s3cret\" }}
         [program.postgres]
         command = \"sleep 1000\"
         environment = {{ POSTGRES_PASSWORD = \"postgres\" }}
         ",
        port = server.port
    );
    let daemon = Setting::supervising(programs)
        .musterd("exit_when_done = false\nloglevel = \"trace\"")
        .http(USERS)
        .env("APP_TOKEN", "t0psecret")
        .env("PIN_KEY", "q9")
        .env("INHERITED_PASSWORD", "inher1ted")
        .env("DATABASE_URL", "postgres://app:url-pass@db/x")
        .wrapped(&["sh", "-c", "mkdir -p \"$(dirname \"$3\")/t0psecret\"; exec \"$@\"", "sh"])
        .start();
    daemon.wait_for_state("bad", "FATAL");
    wait_until("the probes have failed", || {
        let text = daemon.log.text();
        server.hits() > 1 && text.contains("told ***") && text.contains("invalid")
    });
    wait_until("the processes are there", || daemon.client.get("/v1/processes").body.matches("child").count() > 0);
    daemon.ctl(&["update"]);
    let mut shown = vec![("log", daemon.log.text())];
    for uid in [LOOKER, OPERATOR, 0] {
        for path in [
            "/v1/config",
            "/v1/programs",
            "/v1/programs/web",
            "/v1/programs/bad",
            "/v1/programs/web/why",
            "/v1/programs/bad/why",
            "/v1/processes",
            "/v1/programs/child/processes",
            "/v1/logs?lines=1000",
            "/readyz",
            "/metrics",
        ] {
            shown.push((path, ask(&daemon, uid, path)));
        }
        shown.push(("events", events(&daemon, uid)));
    }
    for words in [&["status"][..], &["status", "bad"], &["why", "bad"], &["ps"], &["health"], &["avail"], &["reread"]] {
        let ended = daemon.ctl(words);
        shown.push((words[0], ended.out + &ended.err));
    }
    for (place, text) in &shown {
        for secret in ["t0psecret", "d3fault", "q9-", "\"q9", "child-s3cret", "inher1ted", "url-pass"] {
            assert!(!text.contains(secret), "{place} shows {secret}: {text}");
        }
    }
    let of = |place: &str| shown.iter().find(|(at, _)| *at == place).map(|(_, text)| text.as_str()).unwrap_or_default();
    assert!(of("/v1/programs/web").contains("pre***post"), "only the secret is masked: {}", of("/v1/programs/web"));
    assert!(of("/v1/config").contains("postgres://app:***@db/x"), "{}", of("/v1/config"));
    assert!(of("events").contains("snapshot"), "{}", of("events"));
    assert!(of("/v1/programs").contains("\"postgres\""), "a program's name is no secret: {}", of("/v1/programs"));
}

#[test]
fn a_literal_secret_is_shown_only_with_control_access() {
    if !can_ask() {
        return;
    }
    let daemon = Setting::supervising(
        "[program.web]
         command = [\"sh\", \"-c\", \"sleep 1000; :\", \"x\", \"--password\", \"hunter2\", \"--api-key=hunter2\", \"redis://:hunter2@h/\"]
         [program.web.probes.live]
         http = \"http://127.0.0.1:1/?token=hunter2\"
         kind = \"readiness\"
         ",
    )
    .http(USERS)
    .start();
    daemon.wait_for_running("web");
    // Twice, since a text that was made for one client is kept for a while.
    for _ in 0..2 {
        for path in
            ["/v1/config", "/v1/programs/web", "/v1/processes", "/v1/programs/web/processes", "/v1/programs/web/why"]
        {
            let looked = ask(&daemon, LOOKER, path);
            assert!(!looked.contains("hunter2"), "{path}: {looked}");
        }
        for path in ["/v1/config", "/v1/programs/web", "/v1/processes"] {
            let seen = ask(&daemon, OPERATOR, path);
            assert!(seen.contains("hunter2"), "{path}: {seen}");
        }
    }
}

#[test]
fn a_text_that_becomes_a_secret_is_masked_from_then_on() {
    let setting = |word: &str| {
        let program = format!("[program.web]\ncommand = [\"sh\", \"-c\", \"sleep 1000; :\", \"x\", \"{word}\"]\n");
        Setting::supervising(program).env("APP_TOKEN", "t0psecret")
    };
    let daemon = setting("t0psecret").start();
    let pid = daemon.wait_for_running("web");
    let shown = || daemon.client.get("/v1/programs/web").body;
    assert_eq!([shown(), shown()].map(|body| body.contains("t0psecret")), [true; 2]);

    daemon.rewrite(&setting("${APP_TOKEN}"));
    assert_eq!(daemon.ctl(&["update"]).code, Some(0));
    let body = shown();
    assert!(body.contains("***") && !body.contains("t0psecret"), "{body}");
    assert_eq!(daemon.wait_for_running("web"), pid, "the program is the same");
}

/// Characters that a terminal interprets or does not show.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Every kind of character that could make one line look like another.
const FORGED: &str = "x\\n2026-01-01T00:00:00Z  INFO asked to stop signal=SIGTERM uid=0\\r\\033[2J\\033]0;t\\a\\302\\233\\342\\200\\256\\342\\201\\246\\342\\200\\250\\342\\200\\213";

#[test]
fn untrusted_text_cannot_forge_a_log_line() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let body = "x\nasked to stop signal=SIGTERM uid=0\u{1b}[2J\u{9b}\u{202e}\u{2028}\r\u{7f}";
            let _ = write!(stream, "HTTP/1.1 503 A\u{1b}[1m\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let (words, [(variable, value)]) = puppet::command(
        "teller [\"READY=1\\nSTATUS=x\\u001b[2J\\u202easked to stop\\u2028 signal=SIGTERM uid=0\\nERRNO=2\\nBUSERROR=x\\u202e=1\"]",
    );
    let programs = format!(
        "[program.web]\ncommand = \"sleep 1000\"\n[program.web.probes.exec]\nkind = \"readiness\"\nperiod = 0.05
         exec = ['sh', '-c', \"printf '{}'; exit 1\"]
         [program.web.probes.http]\nkind = \"readiness\"\nperiod = 0.05\nhttp = \"http://127.0.0.1:{port}/\"
         [program.told]\ncommand = {words:?}\nready = \"notify\"\nenvironment = {{ {variable} = {value:?} }}\n",
        FORGED.replace('\\', "\\\\")
    );
    let daemon = Setting::supervising(programs).musterd("logformat = \"text\"\nloglevel = \"trace\"").start();
    let unseen = |text: &str| text.chars().any(|c| c != '\n' && is_unseen(c));
    let log = wait_for("both probes are logged", || {
        let text = daemon.log.text();
        (text.contains("503") && text.contains("exit status 1: x")).then_some(text)
    });
    daemon.signal(10);
    wait_until("the status is logged", || daemon.log.text().contains("status"));
    let log = log + &daemon.log.text();
    assert!(!unseen(&log), "{:?}", log.lines().find(|line| unseen(line)));
    for line in log.lines() {
        let stamped = line.starts_with("20") && line.contains("Z ");
        assert!(stamped && !line.starts_with("2026-01-01"), "a forged line: {line:?}");
        let forged = line.find("signal=SIGTERM uid=0");
        assert!(
            forged.is_none_or(|at| line[..at].contains("=\"") || line[..at].contains("TRACE")),
            "a forged field: {line:?}"
        );
    }
}

#[test]
fn untrusted_text_cannot_control_a_terminal() {
    let script = format!(
        "printf '{FORGED}\\033[8mhidden\\033[0m\\033[31mred\\033[0m\\n' | tee /dev/stderr; exec -a \"$(printf '\\302\\233x\\342\\200\\256y')\" sleep 1000"
    );
    let daemon = Setting::supervising(format!("[program.web]\ncommand = ['bash', '-c', '''{script}''']\n")).start();
    daemon.wait_for_running("web");
    wait_until("it has written", || String::from_utf8_lossy(&daemon.output()).contains("hidden"));
    for words in
        [&["logs", "web"][..], &["logs", "--json", "web"], &["ps"], &["--json", "ps"], &["status"], &["why", "web"]]
    {
        let size = Winsize { ws_row: 40, ws_col: 300, ws_xpixel: 0, ws_ypixel: 0 };
        let (terminal, device) = Terminal::open(Some(&size));
        let mut child = in_front_of(&device, &[], &daemon.ctl_command(words)).spawn().expect("it runs");
        drop(device);
        child.wait().expect("it is a child of this process");
        // The test's own output comes after everything else.
        let text = wait_for("something is shown", || {
            Some(terminal.text()).filter(|text| text.contains("web") || text.contains("hidden"))
        });
        let plain = without_colours(&text);
        let odd = plain.chars().find(|&c| !matches!(c, '\r' | '\n' | '\t') && is_unseen(c));
        assert_eq!(odd, None, "{words:?}: {text:?}");
    }
    // Elsewhere, JSON stays the same JSON and a line keeps the program's bytes.
    assert!(daemon.ctl_well(&["logs", "web"]).contains("\u{1b}[8mhidden"));
    // The daemon's console keeps colours and no other control sequence.
    let console = String::from_utf8_lossy(&daemon.output()).into_owned();
    assert!(console.contains("\u{1b}[31mred"), "{console:?}");
    let odd = without_colours(&console).chars().find(|&c| c != '\n' && is_unseen(c));
    assert_eq!(odd, None, "{console:?}");
}

/// Strips `ESC [ numbers m`, unless one of them conceals text.
fn without_colours(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        let end =
            rest[at..].find('m').filter(|&end| rest[at + 1..at + end].chars().all(|c| "[0123456789;".contains(c)));
        let is_colour = end.is_some_and(|end| !rest[at..at + end].split(['[', ';']).any(|number| number == "8"));
        match end.filter(|_| is_colour) {
            Some(end) => rest = &rest[at + end + 1..],
            None => {
                plain.push('\u{1b}');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

#[test]
fn a_redirect_takes_the_configured_headers_nowhere_else() {
    let thief = Server::answering(200);
    let origin = Server::answering(200);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let (elsewhere, back) = (thief.port, origin.port);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let path = String::from_utf8_lossy(&request[..count]).into_owned();
            let to = if path.starts_with("GET /thief") { elsewhere } else { back };
            let _ =
                write!(stream, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{to}/x\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let probe = |name: &str, path: &str| {
        format!(
            "[program.web.probes.{name}]\nkind = \"readiness\"\nperiod = 0.05
             http = {{ url = \"http://127.0.0.1:{port}{path}\", host = \"inner\", headers = {{ Authorization = \"Bearer abc\", X-Key = \"k\" }} }}\n"
        )
    };
    let direct = format!(
        "[program.web.probes.direct]\nkind = \"readiness\"\nperiod = 0.05\nhttp = {{ url = \"{}\", headers = {{ X-Key = \"k\" }} }}\n",
        origin.url("/direct")
    );
    let programs = format!("[program.web]\ncommand = \"sleep 1000\"\n{}{direct}", probe("thief", "/thief"));
    let _daemon = Setting::supervising(programs).start();
    wait_until("the redirect was followed", || thief.hits() > 2);
    let stolen = thief.last_request().to_ascii_lowercase();
    assert!(stolen.starts_with("get /x "), "{stolen}");
    for header in ["authorization", "x-key", "inner"] {
        assert!(!stolen.contains(header), "{stolen}");
    }
    wait_until("the origin got a request", || origin.hits() > 0);
    assert!(origin.last_request().contains("X-Key: k"), "{}", origin.last_request());
}

#[test]
fn a_number_that_is_no_user_does_not_run_with_roots_group() {
    if !is_root() {
        return harness::skip("only root can start programs as other users");
    }
    let daemon = Setting::supervising(
        "[program.bare]\ncommand = \"sleep 1000\"\nuser = 54321\nstartretries = 0
         [program.grouped]\ncommand = \"sleep 1000\"\nuser = \"54321:54321\"
         [program.rooted]\ncommand = \"sleep 1000\"\nuser = \"54321:0\"
         [program.listed]\ncommand = \"sleep 1000\"\nuser = \"54321\"\ngroups = [\"5\"]\nstartretries = 0\n",
    )
    .start();
    for name in ["bare", "listed"] {
        daemon.wait_for_state(name, "FATAL");
        let why = daemon.ctl(&["why", name]).out;
        assert!(why.contains("54321:54321"), "{why}");
    }
    for (name, gid) in [("grouped", "54321"), ("rooted", "0")] {
        daemon.wait_for_running(name);
        let pid = daemon.program(name)["pid"].as_i64().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon_pid(&daemon, pid))).expect("it exists");
        let gids = status.lines().find_map(|line| line.strip_prefix("Gid:")).expect("there is such a line");
        assert_eq!(gids.split_whitespace().collect::<Vec<_>>(), [gid; 4], "{name}");
    }
    let checked = ended(Command::new(crate::harness::musterd()).args(["check", "-c"]).arg(daemon.path("muster.toml")));
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.err.contains("program \"bare\"") && checked.err.contains("54321:54321"), "{}", checked.err);
    assert!(!checked.err.contains("grouped") && !checked.err.contains("rooted"), "{}", checked.err);
}

/// The process with this pid in the daemon's namespace, by its pid as the test sees it.
fn daemon_pid(daemon: &Daemon, inner: i64) -> i64 {
    daemon.process(inner as i32).map_or(inner, |process| i64::from(process.pid))
}
