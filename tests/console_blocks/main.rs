//! Every command in a `console` block of README, tutorials, how-tos and reference is executed, in the order of its page, and
//! prints what the page shows.
//!
//! The container of a page is played by `engine.sh`; its daemon and its clients are real. A command that cannot be
//! executed here is in [`NOT_EXECUTED`], with the reason, and an entry whose command is no longer on its page fails the
//! test. A new page with commands needs an entry in [`scene_of`].

#[path = "../harness/mod.rs"]
mod harness;
mod leftovers;
mod pages;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Ended, ended, is_root, send, wait_until, write_executable};
use pages::{Shown, all, blocks, commands, essence, read, root};
use tempfile::TempDir;

/// Page, command, and the reason. Nothing here may be a command that merely takes long.
const NOT_EXECUTED: [(&str, &str, &str); 16] = [
    (
        "README.md",
        "apt-get install ./muster_0.2.0-1_amd64.deb",
        "changes the machine: tests/artefacts, in clean systems",
    ),
    (
        "README.md",
        "tar -xzf muster-0.2.0-x86_64-linux.tar.gz --strip-components=1 -C /usr/local",
        "changes the machine: tests/artefacts, in clean systems",
    ),
    ("docker/README.md", "docker/build.sh binary", "needs an engine: tests/docker builds with it"),
    (
        "docker/README.md",
        "docker/build.sh                      # the file and both images: muster-scratch, muster-services",
        "needs an engine: tests/docker builds with it",
    ),
    ("docker/README.md", "curl http://127.0.0.1:8080/", "needs the image's programs: tests/docker/services.rs"),
    ("docs/how-to/kubernetes.md", "podman kube play docker/kubernetes.yaml", "needs podman and the image"),
    ("docs/how-to/kubernetes.md", "podman exec shop-pod-0-shop musterctl status", "needs podman and the image"),
    ("docs/how-to/kubernetes.md", "podman pod stop --time 30 shop-pod-0", "needs podman and the image"),
    ("docs/how-to/kubernetes.md", "podman kube down docker/kubernetes.yaml", "needs podman and the image"),
    (
        "docs/how-to/reach-it-from-outside.md",
        "musterctl -s https://shop.example.org:9443 --token-file ~/.config/shop.token status",
        "needs that server",
    ),
    (
        "docs/how-to/reach-it-from-outside.md",
        "musterctl -s https://10.0.0.5:9443 --pin sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae status",
        "needs that server",
    ),
    (
        "docs/how-to/reach-it-from-outside.md",
        "musterctl --via 'podman exec -i shop' top",
        "needs a terminal: tests/terminal.rs",
    ),
    (
        "docs/how-to/reach-it-from-outside.md",
        "musterctl --via 'docker exec -i shop' exec -it db -- psql",
        "needs a terminal and a database: tests/exec.rs",
    ),
    (
        "docs/how-to/rotate-certificates.md",
        "curl -s --unix-socket /run/muster.sock http://localhost/v1/info",
        "needs a daemon with that socket: tests/tls has the response",
    ),
    (
        "docs/how-to/rotate-certificates.md",
        "openssl s_client -connect shop.example.org:9443 </dev/null 2>/dev/null | openssl x509 -noout -enddate",
        "needs that server",
    ),
    ("docs/tutorial.md", "docker logs shop", "shows the output of the real programs"),
];

/// Page, command, and the reason why neither its output nor its exit code is compared.
const NOT_COMPARED: [(&str, &str, &str); 2] = [
    (
        "docs/tutorial.md",
        "docker exec shop musterctl status nginx",
        "BACKOFF passes by itself; tests/docs.rs waits for it",
    ),
    (
        "docker/README.md",
        "docker exec shop musterctl status nginx",
        "the wait before it may end before the daemon has noticed the kill",
    ),
];

/// Commands that go on until they are interrupted: they have to print something, and not to fail.
const ENDLESS: [&str; 3] = [" logs -f ", " top", "' web"];

/// The files and the container that must be there before the first command of a page.
#[derive(Clone, Debug, Default)]
struct Scene {
    /// The configuration of the container.
    configuration: String,
    /// Further files, by their path.
    files: Vec<(&'static str, String)>,
    /// The page takes for granted that the container is running.
    is_running: bool,
}

fn scene_of(page: &str) -> Option<Scene> {
    let text = read(page);
    let toml = blocks(&text, "toml");
    let simple = |names: &[&str]| {
        names
            .iter()
            .map(|name| {
                format!("[program.{name}]\ncommand = ['sh', '-c', 'echo up; exec sleep 1000']\nstartsecs = 0\n")
            })
            .collect::<String>()
    };
    Some(match page {
        "README.md" | "docs/tutorial.md" | "docker/README.md" => {
            Scene { configuration: toml[0].clone(), is_running: page == "docs/tutorial.md", ..Scene::default() }
        }
        "docs/tutorial-simulate.md" => Scene::default(),
        "docs/how-to/reach-it-from-outside.md" => {
            // As on the page, but all three reach the one container.
            let contexts = ["shop", "live-1", "live-2"]
                .map(|name| format!("[context.{name}]\nvia = \"docker exec -i shop\"\n"))
                .concat();
            assert!(text.contains("[context.live-2]"), "the page shows other contexts");
            Scene {
                configuration: simple(&["web", "db"]),
                files: vec![(".config/musterctl/contexts.toml", contexts)],
                is_running: true,
            }
        }
        "docs/how-to/test-your-restart-policy-in-ci.md" => Scene {
            files: vec![
                ("muster.toml", toml[0].clone()),
                ("tests/first.toml", toml[1].clone()),
                ("tests/second.toml", toml[2].clone()),
            ],
            ..Scene::default()
        },
        _ => return None,
    })
}

/// A machine on which the commands of one page are typed.
struct Stage {
    bin: TempDir,
    place: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.engine().join("pid")).unwrap_or_default();
        let Ok(pid) = pid.trim().parse() else { return };
        if self.engine().join("code").exists() {
            return;
        }
        // A second signal kills everything at once.
        send(pid, 15);
        send(pid, 15);
        if !std::thread::panicking() {
            wait_until("the page's daemon ends", || self.engine().join("code").exists());
        }
    }
}

impl Stage {
    fn set(scene: &Scene) -> Stage {
        let bin = tempfile::tempdir().expect("a temporary directory can be created");
        let place = tempfile::tempdir().expect("a temporary directory can be created");
        let link = |from: &Path, to: PathBuf| symlink(from, to).expect("the test directory is writable");
        // As packages and images install it: one file, two links.
        link(Path::new(harness::muster()), bin.path().join("musterd"));
        link(Path::new(harness::muster()), bin.path().join("musterctl"));
        for name in ["docker", "podman", "kubectl", "ssh"] {
            write_executable(&bin.path().join(name), include_bytes!("engine.sh"));
        }
        // The programs of the examples; every user can reach and execute them.
        for name in ["nginx", "redis-server", "gunicorn", "python3"] {
            write_executable(&bin.path().join(name), b"#!/bin/sh\nexec sleep 1000\n");
        }
        fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        link(&root().join("config"), place.path().join("config"));
        let stage = Stage { bin, place };
        // The page's daemon has the default socket, this one its own.
        let socket = format!("[http]\nsocket = '{}'\n", stage.place.path().join("sock").display());
        stage.write("muster.toml", &(runnable(&scene.configuration) + &socket));
        for (name, content) in &scene.files {
            stage.write(name, content);
        }
        fs::create_dir(stage.engine()).expect("the test directory is writable");
        if scene.is_running {
            let ended = stage.run("docker run -d --name shop shop");
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        stage
    }

    fn engine(&self) -> PathBuf {
        self.place.path().join("engine")
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.place.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the place")).expect("the test directory is writable");
        fs::write(&path, content).expect("the test directory is writable");
        // As musterctl wants its contexts.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    fn shell(&self, line: &str) -> Command {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.bin.path().display());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.place.path()).env_clear().env("PATH", path);
        command.env("HOME", self.place.path()).env("ENGINE", self.engine()).stdin(Stdio::null());
        command.env("MUSTER_CONFIG", self.place.path().join("muster.toml"));
        command.env("MUSTER_SOCKET", self.place.path().join("sock"));
        command
    }

    fn run(&self, line: &str) -> Ended {
        ended(&mut self.shell(line))
    }

    /// Waits until a command that goes on has printed something.
    fn begin(&self, line: &str) {
        let path = self.place.path().join("printed");
        let file = fs::File::create(&path).expect("the test directory is writable");
        let mut child = self.shell(&format!("exec {line}")).stdout(file).spawn().expect("sh is installed");
        let mut ended = None;
        wait_until(&format!("{line} prints something"), || {
            ended = child.try_wait().expect("it is ours");
            ended.is_some() || fs::metadata(&path).is_ok_and(|file| file.len() > 0)
        });
        let _ = child.kill();
        child.wait().expect("it is ours");
        assert!(ended.is_none_or(|status| status.success()), "{line}: {ended:?}");
    }
}

/// Users that this machine lacks, or that this test cannot become, are left out.
fn runnable(configuration: &str) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let may_stay = |line: &&str| {
        let user = line.strip_prefix("user = \"").and_then(|rest| rest.split('"').next());
        user.is_none_or(|user| is_root() && users.lines().any(|line| line.starts_with(&format!("{user}:"))))
    };
    configuration.lines().filter(may_stay).map(|line| format!("{line}\n")).collect()
}

fn is_listed(list: &[(&str, &str, &str)], page: &str, command: &Shown) -> bool {
    list.iter().any(|(of_page, line, _)| *of_page == page && *line == command.line)
}

/// Executes a page's commands, and returns how many.
fn play(page: &str) -> usize {
    let commands: Vec<Shown> = commands(&read(page));
    let wanted: Vec<&Shown> = commands.iter().filter(|command| !is_listed(&NOT_EXECUTED, page, command)).collect();
    if wanted.is_empty() {
        return 0;
    }
    let scene = scene_of(page)
        .unwrap_or_else(|| panic!("{page} has commands: give it a scene, or a place in NOT_EXECUTED: {wanted:#?}"));
    let stage = Stage::set(&scene);
    for command in &wanted {
        if ENDLESS.iter().any(|part| command.line.contains(part) || command.line.ends_with(part)) {
            stage.begin(&command.line);
            continue;
        }
        let ended = stage.run(&command.line);
        if is_listed(&NOT_COMPARED, page, command) {
            assert!(ended.err.is_empty(), "{page}: {}\n{}", command.line, ended.err);
            continue;
        }
        assert_eq!(ended.code, Some(0), "{page}: {}\n{}{}", command.line, ended.out, ended.err);
        let printed: Vec<String> = ended.out.lines().chain(ended.err.lines()).map(essence).collect();
        for line in command.output.iter().filter(|line| !line.is_empty()) {
            assert!(
                printed.contains(&essence(line)),
                "{page}: {}\nshows: {line}\nprints:\n{}",
                command.line,
                ended.out
            );
        }
    }
    wanted.len()
}

#[test]
fn every_command_of_the_readme_is_executed() {
    assert!(play("README.md") >= 5);
}

#[test]
fn every_command_of_the_tutorial_is_executed() {
    assert!(play("docs/tutorial.md") >= 6);
}

#[test]
fn every_command_of_the_page_about_images_is_executed() {
    assert!(play("docker/README.md") >= 10);
}

#[test]
fn every_command_of_the_other_pages_is_executed() {
    let first = ["README.md", "docs/tutorial.md", "docker/README.md"];
    let count: usize = all().iter().filter(|page| !first.contains(&page.as_str())).map(|page| play(page)).sum();
    // About as many as there are: a reader of pages that finds nothing must not pass.
    assert!(count >= 12, "only {count} commands were found");
}

#[test]
fn every_exception_is_still_on_its_page() {
    for (page, line, reason) in NOT_EXECUTED.iter().chain(&NOT_COMPARED) {
        let commands = commands(&read(page));
        assert!(commands.iter().any(|command| command.line == *line), "{page} no longer has {line} ({reason})");
    }
}

#[test]
fn a_command_that_fails_or_prints_something_else_is_found() {
    let stage = Stage::set(&Scene::default());
    assert_ne!(stage.run("musterctl statsu").code, Some(0));
    assert_ne!(stage.run("docker rm shop").code, Some(0));
    assert_ne!(essence("web RUNNING pid 1"), essence("web STOPPED pid 1"));
}

/// The table of the README repeats figures that are measured or computed elsewhere.
#[test]
fn the_figures_of_the_readme_are_those_of_their_commands() {
    let readme = read("README.md");
    let measured = read("docs/design/0004-log-threads.md");
    let rows = |text: &str, begins: &str| -> String {
        text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("no row {begins}")).to_owned()
    };
    for (ours, theirs, figures) in [
        ("| one program writes 64 KiB", "| one program, 64 KiB a write", ["2 155", "1 099"]),
        ("| eight programs write line by line", "| eight programs, a write per line", ["526", "498"]),
    ] {
        for figure in figures {
            assert!(rows(&readme, ours).contains(figure) && rows(&measured, theirs).contains(figure), "{figure}");
        }
    }
    let row = rows(&readme, "| a program that crashes at once");
    let command = row.split('`').nth(1).expect("the row has a command");
    let printed = Stage::set(&Scene::default()).run(command);
    let line = |name: &str| -> Vec<String> {
        let line = printed.out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{printed:?}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(line("runs ")[1..], ["5", "69", "17", "4"]);
    let state = line("state ").join(" ");
    assert!(state.contains("FATAL at 8.500") && state.ends_with("FATAL at 6.800"), "{state}");
    for figure in ["5 times in 8.5 s", "69 times an hour", "17 as Kubernetes", "4 times in 6.8 s"] {
        assert!(row.contains(figure), "the README no longer says {figure}");
    }
}
