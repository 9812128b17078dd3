//! testssl.sh on a listener, and the memory that a listener costs: long tests, which print what they find.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{Daemon, is_acceptance};
use super::{Scene, TLS, TOKEN, has};

/// Findings that are about the certificate's authority, which is the test's own, or about names that it has.
const OF_OUR_AUTHORITY: &[&str] = &["cert_chain_of_trust", "cert_revocation", "cert_crlDistributionPoints"];

/// The findings of `testssl` at this listener: identifier, severity and text.
fn findings(scene: &Scene) -> Vec<(String, String, String)> {
    let report = scene.authority.path("report.json");
    let _ = fs::remove_file(&report);
    let mut testssl = Command::new("testssl");
    testssl.args(["--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1", "--nodns", "none"]);
    testssl.args(["--connect-timeout", "5", "--openssl-timeout", "5", "--jsonfile"]).arg(&report);
    testssl.arg(format!("https://localhost:{}", scene.port)).current_dir(scene.authority.directory());
    let status = testssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report ({error}): {status:?}"));
    let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    all.iter().map(|it| (word(it, "id"), word(it, "severity"), word(it, "finding"))).collect()
}

#[test]
fn acceptance_of_the_findings_of_testssl() {
    if !is_acceptance() {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    if !has("testssl") {
        return;
    }
    for (least, is_offered) in [("1.3", [false, true]), ("1.2", [true, true])] {
        let _daemon = scene.start(&TLS.replace("tls_key", &format!("tls_min = \"{least}\"\ntls_key")));
        let all = findings(&scene);
        let is_severe = |severity: &str| matches!(severity, "MEDIUM" | "HIGH" | "CRITICAL" | "FATAL" | "WARN");
        let count = |severity: &str| all.iter().filter(|(_, other, _)| other == severity).count();
        for (id, severity, text) in all.iter().filter(|(_, severity, _)| !matches!(&**severity, "INFO" | "OK")) {
            eprintln!("tls_min {least}: {severity} {id}: {text}");
        }
        eprintln!("tls_min {least}: {} findings, {} OK, {} LOW", all.len(), count("OK"), count("LOW"));
        let severe: Vec<_> = all
            .iter()
            .filter(|(id, severity, _)| is_severe(severity) && !OF_OUR_AUTHORITY.iter().any(|own| id.starts_with(own)))
            .collect();
        assert!(severe.is_empty(), "tls_min {least}: {severe:?}");
        assert!(count("OK") > 20, "it has looked: {all:?}");
        let offers = |name: &str| {
            let found = all.iter().find(|(id, ..)| id == name).unwrap_or_else(|| panic!("no {name}: {all:?}"));
            !found.2.contains("not offered")
        };
        assert_eq!(["TLS1_2", "TLS1_3"].map(offers), is_offered, "tls_min {least}");
        for version in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
            assert!(!offers(version), "{version}");
        }
        // Every cipher of TLS 1.2 that it accepts is authenticated encryption with forward secrecy.
        let ciphers = all.iter().filter(|(id, ..)| id.starts_with("cipher_x") && !id.starts_with("cipher_x13"));
        let ciphers: Vec<&String> = ciphers.map(|(_, _, text)| text).collect();
        assert_eq!(!ciphers.is_empty(), is_offered[0], "{ciphers:?}");
        for text in &ciphers {
            let is_modern = text.contains("GCM") || text.contains("CHACHA20");
            assert!(text.contains("ECDHE") && is_modern, "{text}");
        }
        eprintln!("tls_min {least}: {} ciphers of TLS 1.2", ciphers.len());
    }
}

/// Figures of the daemon's memory in kB: resident, its part of it, and what is its own.
fn memory(daemon: &Daemon) -> [u64; 3] {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).expect("the kernel has it");
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
        line.trim().trim_end_matches(" kB").parse().expect("it is in kB")
    };
    [field("Rss:"), field("Pss:"), field("Anonymous:")]
}

/// Figures of worth are those of a release build: `MUSTER_BIN_DIR`.
#[test]
fn acceptance_of_the_memory_of_a_listener_with_a_client() {
    if !is_acceptance() {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let settled = |daemon: &Daemon| {
        daemon.wait_for_running("web");
        assert_eq!(daemon.client.get("/v1/info").status, 200);
        memory(daemon)
    };
    let plain = settled(&scene.setting("").start());
    let daemon = scene.start(TLS);
    let listening = settled(&daemon);
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-CAfile", "ca.crt", "-connect"]).arg(format!("127.0.0.1:{}", scene.port));
    client.current_dir(scene.authority.directory()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().expect("openssl runs");
    let request = format!("GET /v1/programs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    client.stdin.as_mut().expect("it was asked for").write_all(request.as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(client.stdout.take().expect("it was asked for")).read_line(&mut line).expect("an answer");
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    let served = memory(&daemon);
    let _ = client.kill();
    let _ = client.wait();
    println!(
        "Rss, Pss, anonymous in kB: {plain:?} without a listener, {listening:?} with https, {served:?} with a client"
    );
    assert!(served[0] <= plain[0] + 1536, "{plain:?} {served:?}");
}
