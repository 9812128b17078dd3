//! Attacks on the daemon through notifications: by a server, by a program, and by the user of a command.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::harness::{Authority, is_root, skip};
use super::*;

/// A server that redirects to another one has the event sent nowhere else.
#[test]
fn a_redirect_leads_nowhere() {
    let victim = Server::doing(&[OK]);
    let location: &'static str =
        Box::leak(format!("307 Temporary Redirect\r\nLocation: {}", victim.url()).into_boxed_str());
    let server = Server::doing(&[Does::Answer(location)]);
    let mut daemon = Setting::supervising(format!("{BAD}{}", notify(&server, "on = \"fatal\""))).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("it was given up", || figure(&daemon, "failed", "ops") == 1);
    assert_eq!((server.requests().len(), victim.requests().len()), (1, 0));
    let said = daemon.has_said("cannot deliver a notification");
    assert!(said[0].field("reason").is_some_and(|it| it.contains("redirects are not followed")), "{said:?}");
    daemon.finish();
}

/// A server whose answer never ends costs neither memory nor time.
#[test]
fn an_endless_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
        }
    });
    let programs = format!(
        "{BAD}[notify.ops]\non = \"fatal\"\nretries = 0\ntimeout = \"5s\"\nwebhook = \"http://127.0.0.1:{port}/\"\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    let before = daemon.memory("RssAnon");
    daemon.ctl(&["start", "bad"]);
    wait_until("it was given up", || figure(&daemon, "failed", "ops") == 1);
    let after = daemon.memory("RssAnon");
    assert!(after < before + 4096, "{before} kB, then {after} kB");
    daemon.finish();
}

/// Neither the address, nor a header, nor a secret of a program is in the log, the configuration or the event.
#[test]
fn secrets_stay_where_they_are() {
    let server = Server::doing(&[Does::Answer("500 Oops")]);
    let programs = format!(
        "[program.bad]\ncommand = [\"/no/such/hunter2-program\", \"${{DB_PASSWORD}}\"]\nstartretries = 0\nautostart = false\n\
         [notify.ops]\non = [\"exit\", \"fatal\"]\nretries = 0\nwebhook = \"{}/hunter3-path\"\n\
         headers = {{ Authorization = \"Bearer ${{API_TOKEN}}\" }}\n\
         [notify.mail]\non = \"fatal\"\nretries = 0\nexec = [\"sh\", \"-c\", \"echo ${{DB_PASSWORD}}; exit 1\"]\n",
        server.url()
    );
    let setting =
        Setting::supervising(programs).env("DB_PASSWORD", "hunter4-password").env("API_TOKEN", "hunter5-token");
    let mut daemon = setting.musterd("exit_when_done = false\nloglevel = \"trace\"").start();
    daemon.ctl(&["start", "bad"]);
    wait_until("they were given up", || {
        figure(&daemon, "failed", "ops") == 2 && figure(&daemon, "failed", "mail") == 1
    });
    let requests = server.requests();
    assert_eq!(requests[0].header("authorization"), Some("Bearer hunter5-token"));
    let told: String = requests.iter().map(|request| request.text.as_str()).collect();
    let shown = format!("{}{}{told}", daemon.log.text(), daemon.client.get("/v1/config").body);
    for secret in ["hunter3", "hunter4", "hunter5"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    daemon.finish();
}

/// The command is opened with its user's rights: one that only root may execute is refused.
#[test]
fn a_command_has_no_more_rights_than_its_user() {
    if !is_root() {
        return skip("only root has several users");
    }
    let programs = format!(
        "{BAD}[notify.ops]\non = \"fatal\"\nretries = 0\nuser = \"12345:12345\"\nexec = [\"{{here}}/alert\"]\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    let alert = daemon.path("alert");
    fs::write(&alert, "#!/bin/sh\nid > \"$0.ran\"\n").expect("it is ours");
    fs::set_permissions(&alert, Permissions::from_mode(0o700)).expect("it is ours");
    daemon.ctl(&["start", "bad"]);
    wait_until("it was refused", || figure(&daemon, "failed", "ops") == 1);
    let said = daemon.has_said("cannot deliver a notification");
    assert!(said[0].field("reason").is_some_and(|it| it.contains("permission denied")), "{said:?}");
    assert!(!daemon.path("alert.ran").exists());
    daemon.finish();
}

/// A server with a certificate that `cacert` does not vouch for learns nothing.
#[test]
fn a_server_without_the_right_certificate_gets_nothing() {
    let Some(authority) = Authority::new() else { return };
    let Some(other) = Authority::new() else { return };
    authority.sign("server", "IP:127.0.0.1", 5);
    let port = harness::free_port();
    let mut server = std::process::Command::new("openssl");
    let path = |name: &str| authority.path(name).display().to_string();
    server.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-quiet"]);
    server.args(["-cert", &path("server.crt"), "-key", &path("server.key"), "-naccept", "2", "-ign_eof"]);
    let log = fs::File::create(authority.path("out")).expect("it is ours");
    server.stdin(std::process::Stdio::piped()).stdout(log).stderr(std::process::Stdio::null());
    let mut server = server.spawn().expect("openssl is installed");
    wait_until("it listens", || {
        fs::read_to_string("/proc/net/tcp").is_ok_and(|text| text.contains(&format!(":{port:04X} 00000000:0000 0A")))
    });
    let of = |authority: &Authority| {
        format!(
            "{BAD}[notify.ops]\non = \"fatal\"\nevery = 0\nretries = 0\ntimeout = \"2s\"\nwebhook = \"https://127.0.0.1:{port}/hook\"\n\
             cacert = {:?}\n",
            authority.path("ca.crt")
        )
    };
    let mut daemon = Setting::supervising(of(&other)).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("it was refused", || figure(&daemon, "failed", "ops") == 1);
    assert_eq!(fs::read_to_string(authority.path("out")).expect("it is ours"), "");
    daemon.rewrite(&Setting::supervising(of(&authority)));
    daemon.ctl_well(&["update"]);
    daemon.ctl(&["start", "bad"]);
    wait_until("the right one got it", || {
        fs::read_to_string(authority.path("out")).is_ok_and(|text| text.contains("\"on\":\"fatal\""))
    });
    let _ = server.kill();
    let _ = server.wait();
    daemon.finish();
}
