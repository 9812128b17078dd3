//! Certificates and tokens that are exchanged while clients are connected.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use super::harness::wait_until;
use super::{Scene, TOKEN, has, write};

const SECRETS: &str = "listen = [\"https://127.0.0.1:PORT\"]\ntls_cert = \"@/now/tls.crt\"\ntls_key = \"@/now/tls.key\"\n\
                       user.keeper = { role = \"read\", token_file = \"@/token\" }\n\
                       user.deploy = { role = \"control\", token_file = \"@/now/token\" }\n";

/// As Kubernetes has it: `now/NAME` leads to `now/..data/NAME`, and `..data` to a directory that is exchanged as a whole.
struct Volume<'s> {
    scene: &'s Scene,
    versions: u32,
}

impl<'s> Volume<'s> {
    fn new(scene: &'s Scene, certificate: &str, token: &str) -> Volume<'s> {
        let mut volume = Volume { scene, versions: 0 };
        fs::create_dir(scene.authority.path("now")).expect("it is ours");
        for name in ["tls.crt", "tls.key", "token"] {
            symlink(format!("..data/{name}"), scene.authority.path(&format!("now/{name}"))).expect("it is ours");
        }
        volume.swap(certificate, token);
        volume
    }

    fn swap(&mut self, certificate: &str, token: &str) {
        let at = |name: &str| self.scene.authority.path(name);
        self.versions += 1;
        let version = format!("..{}", self.versions);
        let directory = at("now").join(&version);
        fs::create_dir(&directory).expect("it is ours");
        fs::copy(at(&format!("{certificate}.crt")), directory.join("tls.crt")).expect("it is ours");
        fs::copy(at(&format!("{certificate}.key")), directory.join("tls.key")).expect("it is ours");
        write(&directory.join("token"), token);
        symlink(&version, at("now/..new")).expect("it is ours");
        fs::rename(at("now/..new"), at("now/..data")).expect("it is ours");
    }
}

/// Clients in Python: 32 that keep their connections, and new handshakes from many addresses, until the input ends. Prints
/// the requests that failed, and how many there were.
const CLIENTS: &str = "
import http.client, ssl, sys, threading, time, random
context = ssl.create_default_context(cafile='ca.crt')
context.check_hostname = False
over, failed, done = threading.Event(), [], [0]
headers = {'Authorization': 'Bearer TOKEN'}
def ask(connection):
  connection.request('GET', '/v1/info', headers=headers)
  answer = connection.getresponse(); answer.read()
  if answer.status != 200: failed.append(answer.status)
  done[0] += 1
def connect(n):
  return http.client.HTTPSConnection('127.0.0.1', PORT, context=context, timeout=9, source_address=('127.0.1.%d' % n, 0))
def keep(n):
  connection = connect(n)
  try:
    while not over.is_set(): ask(connection); time.sleep(0.05)
  except Exception as error: failed.append(repr(error))
def fresh(n):
  while not over.is_set():
    try:
      connection = connect(n); ask(connection); connection.close()
    except Exception as error: failed.append(repr(error))
    time.sleep(0.2)
threads = [threading.Thread(target=keep, args=(n + 1,)) for n in range(32)]
threads += [threading.Thread(target=fresh, args=(n + 100,)) for n in range(8)]
for thread in threads: thread.start()
sys.stdin.read()
over.set()
for thread in threads: thread.join()
print(failed, done[0] > 300)
";

fn clients(scene: &Scene) -> Child {
    let script = CLIENTS.replace("TOKEN", TOKEN).replace("PORT", &scene.port.to_string());
    let mut python = Command::new("python3");
    python.args(["-c", &script]).current_dir(scene.authority.directory()).stdin(Stdio::piped());
    python.stdout(Stdio::piped()).spawn().expect("it runs")
}

#[test]
fn certificates_and_tokens_are_exchanged_under_load_without_a_failed_request() {
    let Some(scene) = Scene::new() else { return };
    if !has("python3") || !has("curl") {
        return;
    }
    scene.authority.sign("second", "IP:127.0.0.1", 90);
    let shown = |name: &str| scene.authority.fingerprint(name);
    let served = || {
        let chain = scene.s_client("-showcerts");
        let Some(start) = chain.find("-----BEGIN") else { return String::new() };
        write(&scene.authority.path("seen.crt"), &chain[start..]);
        shown("seen")
    };
    let tokens = ["first-first-first-first", "second-second-second-s"];
    let mut volume = Volume::new(&scene, "server", tokens[0]);
    let daemon = scene.start(SECRETS);
    let mut load = clients(&scene);
    let swaps = if std::env::var_os("MUSTER_LONG").is_some() { 20 } else { 4 };
    for number in 1..=swaps {
        let (certificate, token) = (["server", "second"][number % 2], tokens[number % 2]);
        volume.swap(certificate, token);
        let right = format!("--oauth2-bearer {token}");
        wait_until("the new token is right", || scene.curl("/v1/info", &right) == Ok(200));
        let before = format!("--oauth2-bearer {}", tokens[(number + 1) % 2]);
        assert_eq!(scene.curl("/v1/info", &before), Ok(401), "the one before is not");
        assert_eq!(served(), shown(certificate), "the new certificate");
    }
    // Garbage changes nothing.
    write(&scene.authority.path("garbage.crt"), "-----BEGIN CERTIFICATE-----\n!\n");
    write(&scene.authority.path("garbage.key"), "?");
    std::os::unix::fs::chown(scene.authority.path("garbage.key"), None, None).expect("it is ours");
    let last = scene.curl("/v1/info", &format!("--oauth2-bearer {}", tokens[swaps % 2]));
    volume.swap("garbage", tokens[(swaps + 1) % 2]);
    wait_until("it is logged", || daemon.log.text().contains("secrets of the API have changed, but"));
    assert_eq!(scene.curl("/v1/info", &format!("--oauth2-bearer {}", tokens[swaps % 2])), last);
    assert_eq!(served(), shown(["server", "second"][swaps % 2]));
    let metrics = daemon.client.request("GET", "/metrics", "").body;
    assert!(metrics.contains("muster_secret_reload_failures_total 1"), "{metrics}");
    drop(load.stdin.take());
    let output = load.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[] True\n");
}
