//! The pages are accurate: every command line on them is accepted, and the first pages show the actual output.

mod harness;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Setting, ended, is_root, send, write_executable};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).expect("the page is there")
}

/// Every page for users.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("docker/README.md")];
    let mut directories = vec![root().join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("it exists") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The blocks of a page in this language, without their fences.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language_of_block) = line.trim_start().strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            if language_of_block == language {
                found.push(block.iter().map(|line| format!("{line}\n")).collect());
            }
        }
    }
    found
}

/// The lines of a page that a reader is meant to type and that run one of our commands.
fn typed(text: &str) -> Vec<String> {
    let console = blocks(text, "console").into_iter().flat_map(|block| {
        block.lines().filter_map(|line| line.trim_start().strip_prefix("$ ").map(str::to_owned)).collect::<Vec<_>>()
    });
    let scripts = ["sh", "bash"].into_iter().flat_map(|language| blocks(text, language));
    let scripts = scripts.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    let steps = blocks(text, "yaml").into_iter().flat_map(|block| {
        block
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("- run: ").map(str::to_owned))
            .collect::<Vec<_>>()
    });
    let starts = ["musterd ", "musterctl ", "docker ", "podman ", "kubectl "];
    let is_ours = |line: &String| {
        let has_command = line.contains("musterd") || line.contains("musterctl");
        // A synopsis is not meant to be typed.
        has_command && !line.contains(" [") && starts.iter().any(|start| line.starts_with(start))
    };
    console.chain(scripts).chain(steps).filter(is_ours).collect()
}

/// A directory with our commands, and with fake engines that run a container's command directly.
fn commands() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = |name: &str| directory.path().join(name);
    symlink(harness::musterd(), path("musterd")).expect("the test directory is writable");
    symlink(harness::musterctl(), path("musterctl")).expect("the test directory is writable");
    let engine = b"#!/bin/sh\nwhile [ $# -gt 0 ]; do\n\
                  case $1 in musterd|musterctl|sh) exec \"$@\" ;; esac\nshift\ndone\n";
    for name in ["docker", "podman", "kubectl"] {
        write_executable(&path(name), engine);
    }
    directory
}

/// A shell line, run without a configuration or daemon.
fn shell(line: &str, commands: &Path, place: &Path) -> harness::Ended {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", commands.display());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(place).env("PATH", path).env("MUSTER_CONFIG", place.join("muster.toml"));
    ended(command.env("MUSTER_SOCKET", place.join("sock")))
}

/// Whether the command line parser accepted it.
fn is_understood(ended: &harness::Ended) -> bool {
    !ended.err.contains("For more information, try '--help'") && !ended.err.contains("not a command of")
}

#[test]
fn every_command_line_on_the_pages_is_understood() {
    let (commands, place) = (commands(), tempfile::tempdir().expect("a temporary directory can be created"));
    let mut tried = 0;
    for page in pages() {
        for line in typed(&fs::read_to_string(&page).expect("it can be read")) {
            let ended = shell(&line, commands.path(), place.path());
            assert!(is_understood(&ended), "{}: {line}\n{}", page.display(), ended.err);
            tried += 1;
        }
    }
    // About as many as there are: a test that no longer finds the lines must not pass.
    assert!(tried >= 20, "only {tried} lines were found");
}

/// Runs every curl line against a daemon that has the programs they name.
#[test]
fn every_request_on_the_pages_is_understood() {
    if Command::new("curl").arg("--version").output().is_err() {
        return harness::skip("needs curl");
    }
    let programs: String = ["web", "db", "nginx", "queue"]
        .map(|name| format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nstdin = \"pipe\"\n"))
        .concat();
    let migrate = "[program.migrate]\ntype = \"oneshot\"\ncommand = \"true\"\n";
    let backup = "[program.backup]\ncommand = \"true\"\nschedule = \"@daily\"\n";
    let fleet = "[source.fleet]\nurl = \"http://127.0.0.1:1/\"\nrequired = false\nwait = 0\n";
    let daemon = Setting::supervising(programs + migrate + backup + fleet).http("debug = true").start();
    daemon.wait_for_running("nginx");
    let lines = pages().into_iter().flat_map(|page| blocks(&fs::read_to_string(page).expect("it exists"), "sh"));
    let lines: Vec<String> = lines.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut requests: Vec<&String> =
        lines.iter().filter(|line| line.starts_with("curl ") && line.contains("/run/muster.sock")).collect();
    // Lines that stop the daemon come last.
    requests.sort_by_key(|line| line.contains("/v1/shutdown"));
    for line in &requests {
        let asked = line.replace("/run/muster.sock", &daemon.socket().display().to_string());
        let asked = asked.replacen("curl ", "exec curl -sS -D - -o /dev/null ", 1);
        let mut curl = Command::new("sh").args(["-c", &asked]).stdout(Stdio::piped()).spawn().expect("sh is installed");
        let mut first = String::new();
        let out = curl.stdout.take().expect("it is a pipe");
        BufReader::new(out).read_line(&mut first).expect("it can be read");
        // Some answers do not end.
        let _ = curl.kill();
        curl.wait().expect("the test owns it");
        let status: u16 = first.split(' ').nth(1).and_then(|code| code.trim().parse().ok()).unwrap_or_default();
        // An earlier line may have stopped a program.
        assert!(matches!(status, 101 | 200..=299 | 409 | 503), "{line}\n{first}");
    }
    assert!(requests.len() >= 20, "only {} requests were found", requests.len());
}

#[test]
fn the_check_of_the_command_lines_finds_mistakes() {
    let (commands, place) = (commands(), tempfile::tempdir().expect("a temporary directory can be created"));
    for line in
        ["musterctl statsu", "docker exec shop musterctl stop", "musterd check --colour", "docker run x musterd up"]
    {
        assert!(!is_understood(&shell(line, commands.path(), place.path())), "{line}");
    }
    let found =
        typed("```console\n$ musterctl status\nweb\n$ ls\n```\n```yaml\n- run: musterd check\n```\nmusterd x\n");
    assert_eq!(found, ["musterctl status", "musterd check"]);
}

#[test]
fn the_tutorial_shows_the_actual_output() {
    let page = read("docs/tutorial.md");
    let mut programs = blocks(&page, "toml").swap_remove(0);
    if !is_root() {
        programs = programs.replace("user = \"www-data\"\n", "");
    }
    let (commands, place) = (commands(), tempfile::tempdir().expect("a temporary directory can be created"));
    for name in ["redis-server", "nginx", "gunicorn"] {
        // In a place where every user can reach and execute it.
        write_executable(&commands.path().join(name), b"#!/bin/sh\nexec sleep 1000\n");
    }
    let everybody: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(commands.path(), everybody).expect("the test directory is writable");
    fs::write(place.path().join("muster.toml"), &programs).expect("the test directory is writable");
    let line = "musterd check -c muster.toml";
    let shown = shell(line, commands.path(), place.path());
    assert!(page.contains(&format!("$ {line}\n{}", shown.out)), "the page shows another answer than {shown:?}");
    let misspelt =
        shell(&format!("sed -i s/stopsignal/stopsginal/ muster.toml; {line}"), commands.path(), place.path());
    assert!(misspelt.err.contains("stopsignal") || misspelt.out.contains("stopsignal"), "{misspelt:?}");

    let path = format!("{}:/usr/bin:/bin", commands.path().display());
    let mut daemon = Setting::supervising(programs).env("PATH", &path).start();
    for name in ["app", "nginx", "redis"] {
        daemon.wait_for_running(name);
    }
    let words = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let status = page.split("$ docker exec shop musterctl status\n").nth(1).expect("the page shows the status");
    assert_eq!(words(&daemon.ctl_well(&["status"])), words(status)[..3]);
    // After kill -9 it first waits for its next start, then it runs.
    send(daemon.pid_of("nginx"), 9);
    daemon.wait_for_state("nginx", "BACKOFF");
    let killed = page.split("kill -9").nth(1).expect("the page kills nginx");
    let killed = killed.split_once('\n').expect("there is more").1;
    let states: Vec<&str> = killed.lines().take(5).filter_map(|line| line.split_whitespace().nth(1)).collect();
    let at = |state: &str| states.iter().position(|&shown| shown == state);
    assert!(at("BACKOFF").is_some() && at("BACKOFF") < at("RUNNING"), "the page shows {states:?}");
    let line = daemon.ctl_well(&["wait", "--for", "running", "nginx"]);
    assert!(killed.contains("musterctl wait --for running nginx"), "the page must wait: {line}");
    daemon.wait_for_running("nginx");
    daemon.finish();
}

#[test]
fn the_scenarios_for_ci_hold_with_the_default_policy() {
    let page = read("docs/how-to/test-your-restart-policy-in-ci.md");
    let [configuration, first, second] = <[String; 3]>::try_from(blocks(&page, "toml")).expect("three blocks");
    let (commands, place) = (commands(), tempfile::tempdir().expect("a temporary directory can be created"));
    fs::create_dir(place.path().join("tests")).expect("the test directory is writable");
    for (name, text) in [("muster.toml", configuration), ("tests/first.toml", first), ("tests/second.toml", second)] {
        fs::write(place.path().join(name), text).expect("the test directory is writable");
    }
    let shown = shell("musterd simulate --scenario tests/*.toml", commands.path(), place.path());
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.out.ends_with("2 scenarios, 2 as expected, 0 not\n"), "{shown:?}");
}
