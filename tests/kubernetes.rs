//! The Kubernetes manifest: its parts agree with each other and with musterd. That a cluster accepts it was checked
//! with kubectl; this test does not parse YAML beyond the lines that it looks for.

#[path = "harness/executables.rs"]
mod executables;

use std::fs;
use std::path::Path;
use std::process::Command;

fn manifest() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/kubernetes.yaml");
    fs::read_to_string(path).expect("the manifest is there")
}

/// The literal block under this key, without its indentation.
fn block(text: &str, key: &str) -> String {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{key}: |"));
    let depth = indentation(lines.next().expect("the key is there"));
    let inside = lines.take_while(|line| line.is_empty() || indentation(line) > depth);
    inside.map(|line| line.get(depth + 2..).unwrap_or_default().to_owned() + "\n").collect()
}

fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number at {key}"))
}

#[test]
fn its_configuration_is_valid_with_that_of_the_image() {
    let directory = tempfile::tempdir().expect("a directory can be created");
    let cluster = directory.path().join("kubernetes.toml");
    fs::write(&cluster, block(&manifest(), "kubernetes.toml")).expect("it can be written");
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/services/stack/muster.toml");
    let mut check = Command::new(executables::musterd());
    check.arg("check").arg("-c").arg(stack).arg("-c").arg(&cluster);
    let output = check.output().expect("musterd can be executed");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("8 programs, 0 errors"), "{told}");
}

#[test]
fn the_pods_grace_period_has_room_for_all_that_must_happen_in_it() {
    let manifest = manifest();
    let grace = number(&manifest, "terminationGracePeriodSeconds");
    let sleep = manifest.split_once("command: [\"sleep\", \"").and_then(|(_, rest)| rest.split_once('"'));
    let sleep: u64 = sleep.and_then(|(seconds, _)| seconds.parse().ok()).expect("preStop sleeps");
    let config = block(&manifest, "kubernetes.toml");
    let budget = config.split_once("shutdown_timeout = \"").and_then(|(_, rest)| rest.split_once("s\""));
    let budget: u64 = budget.and_then(|(seconds, _)| seconds.parse().ok()).expect("the budget is set");
    assert_eq!(sleep + budget + 2, grace);
}

#[test]
fn its_probes_are_commands_that_musterctl_has() {
    let manifest = manifest();
    let commands: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("command: [\"musterctl\", \"")?.strip_suffix("\"]"))
        .collect();
    assert_eq!(commands, ["health", "health", "version"]);
    for command in commands {
        let help = Command::new(executables::musterctl()).args([command, "--help"]).output();
        assert!(help.is_ok_and(|output| output.status.success()), "musterctl {command}");
    }
}
