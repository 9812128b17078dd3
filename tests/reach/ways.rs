//! Every route and every method of XML-RPC, for each role, over https: with a token, with a client certificate, and from a
//! browser at `musterctl web`, which shows a cookie. Exactly what the table says.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{self, Authority, Daemon, PATIENCE};
use crate::roles::{Asked, check, methods, requests};
use crate::scene::{ROLES, Scene, status, token};

const ACCOUNT: &str = "listen = [\"https://127.0.0.1:PORT\"]\ntls_cert = \"@/server.crt\"\ntls_key = \"@/server.key\"\n\
                       tls_client_ca = \"@/ca.crt\"\ndebug = true";

/// A client in Python. Reads requests, and prints the status of each. A role has an address of its own, for handshakes have a
/// pace by address, and keeps its connection while answers have an end.
const CLIENT: &str = "
import http.client, json, ssl, sys
port, certificates = int(sys.argv[1]), sys.argv[2]
open_ones, found = {}, []
def connect(job):
  context = ssl.create_default_context(cafile=certificates + '/ca.crt')
  if job['certificate']:
    context.load_cert_chain('%s/%s.crt' % (certificates, job['certificate']), '%s/%s.key' % (certificates, job['certificate']))
  return http.client.HTTPSConnection('127.0.0.1', port, context=context, timeout=40, source_address=(job['from'], 0))
def ask(job):
  connection = open_ones.pop(job['from'], None) or connect(job)
  connection.request(job['method'], job['path'], body=job['body'], headers=job['headers'])
  answer = connection.getresponse()
  if answer.getheader('content-length') is None or answer.will_close: connection.close()
  else: answer.read(); open_ones[job['from']] = connection
  return answer.status
for job in json.load(sys.stdin):
  try: found.append(ask(job))
  # A kept connection may have been closed meanwhile.
  except (http.client.HTTPException, OSError): found.append(ask(job))
print(json.dumps(found))
";

/// Files of both: secrets of the scene, certificates of the authority, one for each role. `None` without openssl or python.
fn prepare(scene: &Scene) -> Option<Authority> {
    let authority = Authority::new()?;
    let python = Command::new("python3").arg("-V").stdout(Stdio::null()).status();
    if python.is_err() {
        harness::skip("needs python3");
        return None;
    }
    authority.sign("server", "IP:127.0.0.1", 90);
    for name in ["server.crt", "server.key", "ca.crt"] {
        fs::copy(authority.path(name), scene.place.path().join(name)).expect("it is ours");
    }
    ROLES.iter().for_each(|role| authority.sign(&format!("as-{role}"), &format!("DNS:{role}.example"), 90));
    Some(authority)
}

fn start(scene: &Scene) -> Daemon {
    let robots: String = ROLES
        .iter()
        .skip(1)
        .map(|role| format!("user.robot-{role} = {{ role = \"{role}\", cert = \"{role}.example\" }}\n"))
        .collect();
    let daemon = scene.start(&format!("{ACCOUNT}\n{robots}"));
    daemon.wait_for_running("web");
    daemon
}

/// The statuses of these requests.
fn ask(scene: &Scene, authority: &Authority, jobs: &[Value]) -> Vec<u16> {
    let mut python = Command::new("python3");
    python.args(["-c", CLIENT, &scene.port.to_string()]).arg(authority.directory());
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it ran before");
    let input = serde_json::to_vec(jobs).expect("it is JSON");
    child.stdin.take().expect("it was asked for").write_all(&input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the client failed");
    serde_json::from_slice(&output.stdout).expect("it prints a list")
}

/// A request for the client: its number is the last part of its address.
fn job(asked: &Asked, number: usize, certificate: Option<&str>, token: Option<String>) -> Value {
    let (method, path) = asked.line.split_once(' ').expect("a method and a path");
    let headers = token.map_or(json!({}), |token| json!({ "Authorization": format!("Bearer {token}") }));
    let from = format!("127.0.2.{}", number + 1);
    json!({
        "method": method, "path": path, "body": asked.body, "headers": headers, "certificate": certificate, "from": from,
    })
}

#[test]
fn each_route_and_method_is_for_its_role_over_tls() {
    let scene = Scene::new();
    let Some(authority) = prepare(&scene) else { return };
    let daemon = start(&scene);
    let asked: Vec<Asked> = requests(&daemon).into_iter().chain(methods(&daemon)).collect();
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for (rank, role) in ROLES.iter().enumerate() {
        for asked in &asked {
            let may = rank >= asked.needs;
            // A method that ends the daemon is for those only that must not call it.
            if may && asked.is_fatal {
                continue;
            }
            let denied = if rank == 0 { 401 } else { 403 };
            jobs.push(job(asked, rank, None, (rank > 0).then(|| token(role))));
            expected.push((format!("{role} with a token over https: {asked}"), may, denied));
            let certificate = format!("as-{role}");
            jobs.push(job(asked, 10 + rank, Some(&certificate), None));
            expected.push((format!("{role} with a certificate: {asked}"), may, denied));
        }
    }
    let found = ask(&scene, &authority, &jobs);
    assert_eq!(found.len(), expected.len());
    assert!(found.len() > 500, "{}", found.len());
    for ((what, may, denied), status) in expected.into_iter().zip(found) {
        check(&what, status, may, denied);
    }
    assert_eq!(daemon.client.get("/livez").status, 200);
}

/// A `musterctl web` that ends with the test.
struct Web(Child);

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command with the token of this role.
fn musterctl_web(scene: &Scene, role: &str) -> Command {
    let at = |name: &str| scene.place.path().join(name);
    let mut command = Command::new(harness::musterctl());
    command.arg("-s").arg(format!("https://127.0.0.1:{}", scene.port)).arg("--cacert").arg(at("ca.crt"));
    command.arg("--token-file").arg(at(role)).args(["web", "--no-open"]);
    command
}

/// Starts it; its port, and the cookie that its key is exchanged for.
fn web(scene: &Scene, role: &str) -> (Web, u16, String) {
    let mut web = Web(musterctl_web(scene, role).stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut url = String::new();
    BufReader::new(web.0.stdout.take().expect("it was asked for")).read_line(&mut url).expect("it is text");
    let (port, key) = url
        .trim()
        .strip_prefix("http://127.0.0.1:")
        .and_then(|rest| rest.split_once("/?key="))
        .unwrap_or_else(|| panic!("no address: {url:?}"));
    let port = port.parse().expect("it is a port");
    let head = local(port, &format!("GET /?key={key}"), "", "");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    (web, port, format!("Cookie: {}\r\n", cookie.unwrap_or_else(|| panic!("no cookie: {head}"))))
}

/// The head of an answer of the page, as it came: a cookie has capital letters.
fn local(port: u16, line: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has it");
    let length = body.len();
    let request =
        format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let _ = stream.write_all(request.as_bytes());
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).is_ok_and(|count| count > 0) {}
    head
}

#[test]
fn each_route_is_for_its_role_from_a_browser_at_the_page() {
    let scene = Scene::new();
    let Some(_authority) = prepare(&scene) else { return };
    let daemon = start(&scene);
    // The page shows programs, so it is not served below `read`.
    let denied = harness::ended(&mut musterctl_web(&scene, "metrics"));
    assert!(denied.code == Some(5) && denied.err.contains("this needs the role read"), "{denied:?}");
    for (rank, role) in ROLES.iter().enumerate().skip(2) {
        let (_web, port, cookie) = web(&scene, role);
        for asked in requests(&daemon) {
            // A browser's body is JSON.
            let headers = format!("{cookie}Content-Type: application/json\r\n");
            let status = status(&local(port, &asked.line, &headers, &asked.body));
            check(&format!("{role} at the page: {asked}"), status, rank >= asked.needs, 403);
        }
        assert_eq!(status(&local(port, "GET /v1/info", "", "")), 403, "{role}: without the cookie");
    }
    assert_eq!(daemon.client.get("/livez").status, 200);
}
