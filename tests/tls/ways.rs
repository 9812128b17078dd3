//! Ways to an https listener: musterctl with a client certificate, an inherited socket, and commands in the context of a program.

use std::process::Command;

use super::harness::{Ended, ended, wait_until};
use super::{Scene, TLS, TOKEN, has, in_clear, with_token, write};

/// The end of a musterctl that connects over TLS with these options and words.
fn ctl(scene: &Scene, options: &str, words: &[&str]) -> Ended {
    let mut musterctl = Command::new(crate::harness::musterctl());
    musterctl.arg("-s").arg(scene.url("")).args(["--cacert", "ca.crt"]).args(options.split_whitespace());
    musterctl.args(words).current_dir(scene.authority.directory());
    for variable in ["MUSTER_SOCKET", "MUSTER_TOKEN", "MUSTER_TOKEN_FILE", "MUSTER_VIA"] {
        musterctl.env_remove(variable);
    }
    ended(&mut musterctl)
}

#[test]
fn musterctl_shows_its_certificate_where_one_is_required() {
    let Some(scene) = Scene::new() else { return };
    scene.authority.sign("robot", "URI:spiffe://example.org/robot", 90);
    scene.authority.sign("guest", "URI:spiffe://example.org/guest", 90);
    let lines = format!(
        "{TLS}tls_client_ca = \"@/ca.crt\"\ntls_client = \"require\"\n\
         user.robot = {{ role = \"control\", cert = \"spiffe://example.org/robot\" }}\n"
    );
    let daemon = scene.start(&lines);
    daemon.wait_for_running("web");
    let robot = "--cert robot.crt --key robot.key";
    let end = ctl(&scene, robot, &["status"]);
    assert!(end.code == Some(0) && end.out.contains("web"), "{end:?}");
    assert_eq!(ctl(&scene, robot, &["stop", "web"]).code, Some(0));
    let end = ctl(&scene, robot, &["shutdown"]);
    assert!(end.code != Some(0) && end.err.contains("admin"), "its role is the limit: {end:?}");
    let end = ctl(&scene, "--cert guest.crt --key guest.key", &["status"]);
    assert!(end.code != Some(0) && end.out.is_empty(), "a certificate of no user: {end:?}");
    let end = ctl(&scene, "--token-file token", &["status"]);
    assert!(end.code != Some(0) && end.out.is_empty(), "a token is not enough: {end:?}");
    assert!(end.err.to_lowercase().contains("certificate"), "the reason is shown: {end:?}");
    // A key of another certificate, and none.
    for options in ["--cert robot.crt --key guest.key", "--cert robot.crt"] {
        let end = ctl(&scene, options, &["status"]);
        assert!(end.code != Some(0) && !end.err.is_empty(), "{options}: {end:?}");
        assert!(!end.err.contains("panicked") && !end.err.contains("PRIVATE KEY"), "{options}: {end:?}");
    }
}

/// Passes a listening socket as systemd does, and executes the daemon.
const PASS: &str = "import os, socket, sys\n\
                    s = socket.create_server(('127.0.0.1', PORT))\n\
                    os.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\n\
                    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='api')\n\
                    os.execv(sys.argv[1], sys.argv[1:])";

#[test]
fn an_inherited_socket_with_a_certificate_serves_over_tls_only() {
    let Some(scene) = Scene::new() else { return };
    if !has("curl") || !has("/usr/bin/python3") {
        return;
    }
    let script = PASS.replace("PORT", &scene.port.to_string());
    let inherited = TLS.replace("https://127.0.0.1:PORT", "fd://api");
    let daemon = scene.setting(&inherited).wrapped(&["/usr/bin/python3", "-c", &script]).start();
    wait_until("it is served over TLS", || scene.curl("/v1/info", &with_token()) == Ok(200));
    assert_eq!(scene.curl("/v1/info", ""), Ok(401));
    assert_eq!(in_clear(&scene), None, "nothing is served in clear text");
    let info = daemon.client.request("GET", "/v1/info", "").json();
    assert_eq!(info["listeners"][0]["address"], "fd://api");
    assert!(info["listeners"][0]["not_after"].is_string(), "{info}");
    // A reload takes the certificate away, and gives it back.
    let clear = "listen = [\"fd://api\"]\nuser.deploy = { role = \"control\", token_file = \"@/token\" }\n";
    for (lines, encrypted, clear) in [(clear, false, Some(200)), (&inherited, true, None)] {
        daemon.rewrite(&scene.setting(lines));
        assert_eq!(daemon.client.request("POST", "/v1/config/reload", "").status, 200);
        wait_until("it is served so", || (scene.curl("/v1/info", &with_token()) == Ok(200)) == encrypted);
        wait_until("and only so", || in_clear(&scene) == clear);
    }
}

#[test]
fn a_command_runs_over_https_where_that_is_allowed() {
    let Some(scene) = Scene::new() else { return };
    write(&scene.authority.path("admin"), "admin-admin-admin-admin");
    let lines = format!("{TLS}user.boss = {{ role = \"admin\", token_file = \"@/admin\" }}\n");
    let daemon = scene.start(&format!("{lines}exec = \"everywhere\"\n"));
    daemon.wait_for_running("web");
    let exec = ["exec", "web", "--", "sh", "-c", "echo out; echo $MUSTER_PROGRAM >&2; exit 7"];
    let end = ctl(&scene, "--token-file admin", &exec);
    assert_eq!((end.code, end.out.as_str(), end.err.as_str()), (Some(7), "out\n", "web\n"));
    // More than a frame, and more than a record of TLS.
    let end = ctl(&scene, "--token-file admin", &["exec", "web", "--", "head", "-c", "1000000", "/dev/zero"]);
    assert_eq!((end.code, end.out.len()), (Some(0), 1_000_000), "{}", end.err);
    let end = ctl(&scene, "--token-file token", &exec);
    assert!(end.out.is_empty() && end.err.contains("admin"), "control is not enough for {TOKEN}: {end:?}");
    drop(daemon);
    let daemon = scene.start(&lines);
    daemon.wait_for_running("web");
    let end = ctl(&scene, "--token-file admin", &exec);
    assert!(end.code != Some(7) && end.out.is_empty(), "Unix sockets only, unless said: {end:?}");
}
