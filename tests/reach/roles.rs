//! Every route, and every method of XML-RPC, for each role on each kind of listener: exactly what the table says.

use std::fmt;

use serde_json::Value;

use crate::harness::Daemon;
use crate::scene::{ROLES, Scene, head_of, login, status};

/// A request of the API, and the place of the role that it needs.
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) needs: usize,
    pub(crate) body: String,
    /// A client that may do this must not do so here, for it ends the daemon.
    pub(crate) is_fatal: bool,
    /// The method of XML-RPC.
    method: Option<String>,
}

impl fmt::Display for Asked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.line, self.method.as_deref().unwrap_or_default())
    }
}

fn rank(role: &str) -> usize {
    // Each client may get the page, and log in.
    if role == "none" {
        return 0;
    }
    ROLES.iter().position(|one| *one == role).expect("it is a role")
}

/// The requests of the daemon's own description.
pub(crate) fn requests(daemon: &Daemon) -> Vec<Asked> {
    let document = daemon.client.get("/openapi.json").json();
    let mut asked = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("there are paths") {
        for (method, operation) in operations.as_object().expect("there are methods") {
            let needs = operation["security"][1]["bearer"][0].as_str().expect("each names its role");
            let path = path.replace("{name}", "web").replace("{select}", "web");
            let (path, mut query) = (path.replace("{part}", "loop").replace("{file}", "app.js"), "");
            // A client that may shut the daemon down must not do so here.
            let body = if path == "/v1/shutdown" { "{\"timeout\": -1}" } else { "" };
            if operation["operationId"] == "waitForPrograms" {
                query = "?for=running";
            }
            let line = format!("{} {path}{query}", method.to_uppercase());
            asked.push(Asked { line, needs: rank(needs), body: body.to_owned(), is_fatal: false, method: None });
        }
    }
    assert!(asked.len() > 30, "the table was not found");
    asked
}

/// The daemon has a program of each role's Unix socket, which caps root, and a listener on TCP.
fn listeners() -> String {
    let sockets: String =
        ROLES.iter().map(|role| format!("{{ address = \"unix://@/{role}.sock\", role = \"{role}\" }}, ")).collect();
    format!("listen = [{sockets}{{ address = \"http://127.0.0.1:PORT\", connections = 256 }}]\ndebug = true")
}

#[test]
fn each_route_is_for_its_role_and_those_above() {
    let scene = Scene::new();
    let daemon = scene.start(&listeners());
    daemon.wait_for_running("web");
    for Asked { line, needs, body, .. } in requests(&daemon) {
        for (rank, role) in ROLES.iter().enumerate() {
            let unix = head_of(&mut scene.unix(&format!("{role}.sock")), &line, "", &body);
            check(&format!("{role} over a Unix socket: {line}"), status(&unix), rank >= needs, 403);
            let (login, denied) = if rank == 0 { (String::new(), 401) } else { (login(role), 403) };
            let tcp = head_of(&mut scene.tcp(), &line, &login, &body);
            check(&format!("{role} over TCP: {line}"), status(&tcp), rank >= needs, denied);
            assert_eq!(tcp.contains("\r\nmuster-api: 1."), !is_supervisords(&line), "{line}: {tcp}");
        }
        let wrong = head_of(&mut scene.unix("admin.sock"), &line, "Authorization: Bearer wrong\r\n", &body);
        assert!([401, 429].contains(&status(&wrong)), "{line}: {wrong}");
    }
    assert_eq!(daemon.client.get("/livez").status, 200);
}

/// Answers there have the original's headers and no others.
fn is_supervisords(line: &str) -> bool {
    ["/RPC2", "tail", ".html"].iter().any(|part| format!("{line} ").contains(part))
}

pub(crate) fn check(what: &str, status: u16, may: bool, denied: u16) {
    // There is no source here, which only a client hears that may act on one; and the daemon's log is no file.
    let is_missing = status == 404 && (what.contains("/sources/") || what.contains("tail"));
    if may {
        assert!(status != 0 && ![401, 403, 404, 421, 429, 500].contains(&status) || is_missing, "{what}: {status}");
    } else {
        assert_eq!(status, denied, "{what}");
    }
}

/// The role that a method of XML-RPC needs, as `docs/reference/api.md` says it.
fn role_of(method: &str) -> &'static str {
    let name = method.trim_start_matches("supervisor.");
    match name {
        "shutdown" | "restart" => "admin",
        _ if method.starts_with("system.") => "read",
        _ if ["get", "read", "tail"].iter().any(|start| name.starts_with(start)) => "read",
        _ => "control",
    }
}

/// Each method that the daemon lists, alone and in a multicall.
pub(crate) fn methods(daemon: &Daemon) -> Vec<Asked> {
    let call = |method: &str, params: &str| {
        format!(
            "<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
        )
    };
    let listed = daemon.client.request("POST", "/RPC2", &call("system.listMethods", "")).body;
    let methods: Vec<&str> = listed.split("<string>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert!(methods.len() > 25, "{listed}");
    let inside = |method: &str| {
        format!(
            "<param><value><array><data><value><struct><member><name>methodName</name><value><string>{method}\
             </string></value></member><member><name>params</name><value><array><data></data></array></value></member>\
             </struct></value></data></array></value></param>"
        )
    };
    let mut asked = Vec::new();
    for method in methods.into_iter().chain(["supervisor.nosuch"]) {
        let role = if method == "supervisor.nosuch" { "read" } else { role_of(method) };
        for body in [call(method, ""), call("system.multicall", &inside(method))] {
            let (line, method) = ("POST /RPC2".to_owned(), Some(method.to_owned()));
            asked.push(Asked { line, needs: rank(role), body, is_fatal: role == "admin", method });
        }
    }
    asked
}

#[test]
fn each_method_of_xml_rpc_is_for_its_role_and_those_above() {
    let scene = Scene::new();
    let daemon = scene.start(&listeners());
    for asked in methods(&daemon) {
        for (rank, role) in ROLES.iter().enumerate() {
            let may = rank >= asked.needs;
            if may && asked.is_fatal {
                continue;
            }
            let unix = head_of(&mut scene.unix(&format!("{role}.sock")), &asked.line, "", &asked.body);
            check(&format!("{role} over a Unix socket: {asked}"), status(&unix), may, 403);
            let (login, denied) = if rank == 0 { (String::new(), 401) } else { (login(role), 403) };
            let tcp = head_of(&mut scene.tcp(), &asked.line, &login, &asked.body);
            check(&format!("{role} over TCP: {asked}"), status(&tcp), may, denied);
        }
    }
    assert_eq!(daemon.client.get("/livez").status, 200);
}

#[test]
fn a_hold_of_a_source_is_for_who_administers_the_daemon() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    for (role, verb, expected) in
        [("control", "hold", 403), ("control", "release", 403), ("control", "refresh", 404), ("admin", "hold", 404)]
    {
        let head = scene.head(&format!("POST /v1/sources/fleet/{verb}"), &login(role), "");
        assert_eq!(status(&head), expected, "{role} {verb}: {head}");
    }
}

#[test]
fn the_version_is_in_the_information_and_in_every_answer() {
    let scene = Scene::new();
    let daemon = scene.listening();
    let api: Value = daemon.client.get("/v1/info").json()["api"].clone();
    let header = format!("\r\nmuster-api: {}\r\n", api.as_str().expect("it is text"));
    for (request, headers) in [
        ("GET /livez", ""),
        ("GET /nosuch", ""),
        ("GET /v1/info", ""),
        ("GET /v1/info", "Host: evil.example\r\n"),
        ("GET /v1/info", "Authorization: Bearer wrong\r\n"),
        ("OPTIONS /v1/info", ""),
    ] {
        let head = scene.head(request, headers, "");
        assert!(head.contains(&header), "{request}: {head}");
    }
}
