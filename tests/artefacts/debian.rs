//! The .deb in a clean Debian 12 and 13: installation, links, manual pages, completions, the README's example, removal.

use crate::container::{Container, Recipe};
use crate::engine::{docker, docker_ok, repository, text};
use crate::{VERSION, Wanted, artefact, debian_machine, is_wanted};

/// An image of this suite, and nothing else.
pub(crate) fn base(suite: &str) -> String {
    // Two at once would make the same file.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut command = std::process::Command::new(repository().join("docker/bootstrap.sh"));
    let output = command.arg(suite).output().expect("it can be executed");
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An image of this suite with shells and man, built once and kept.
fn image(suite: &str) -> String {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let name = format!("muster-artefacts:{suite}");
    if docker(["image", "inspect", &name]).status.success() {
        return name;
    }
    let base = base(suite);
    let context = repository().join("tests/artefacts");
    let context = context.to_str().expect("the path is UTF-8");
    docker_ok(["build", "--build-arg", &format!("BASE={base}"), "--tag", &name, context]);
    name
}

/// A container with the package installed.
fn installed(suite: &str) -> Container {
    let package = artefact(&format!("muster_{VERSION}-1_{}.deb", debian_machine()));
    let recipe = Recipe::of(&image(suite)).copy(package, "/tmp/").command(&["sleep", "1000"]);
    let container = recipe.start();
    let done = container.exec(&["sh", "-c", "dpkg --install /tmp/muster_*.deb"]);
    assert!(done.status.success(), "{}", text(&done));
    container
}

fn check(suite: &str) {
    let container = installed(suite);
    let shell = |line: &str| container.shell(line);
    let expect = |line: &str, part: &str| {
        let printed = container.shell(line);
        assert!(printed.contains(part), "{suite}: {line}\nprints {printed:?}\nwithout {part:?}");
    };
    expect("musterd --version; musterctl --version", VERSION);
    expect("readlink /usr/bin/musterd /usr/bin/musterctl", "muster\nmuster");
    assert_eq!(shell("ls -A /etc/muster/muster.toml.d; ls -A /etc/muster"), "muster.toml.d");
    // It is installed, and nothing runs.
    assert_eq!(shell("grep -lzx musterd /proc/[0-9]*/comm 2>/dev/null"), "");

    expect("MANPAGER=cat man musterd", "supervisor for containers");
    expect("MANPAGER=cat man musterctl-status", "musterctl");
    expect("MANPAGER=cat man 5 muster.toml", "stopwaitsecs");
    expect("man --where muster", "musterd.8.gz");

    // bash loads a completion when it is first needed.
    expect(
        r#"bash -c '. /usr/share/bash-completion/bash_completion; __load_completion musterctl || _comp_load musterctl
           complete -p musterctl; COMP_WORDS=(musterctl sta) COMP_CWORD=1 COMP_LINE="musterctl sta" COMP_POINT=13
           _musterctl musterctl sta musterctl; echo "${COMPREPLY[@]}"' 2>&1"#,
        "status",
    );
    expect(
        "zsh -c 'autoload -Uz compinit; compinit -u -D; echo $_comps[musterctl] $_comps[musterd]'",
        "_musterctl _musterd",
    );
    expect("zsh -c 'autoload -Uz +X _musterctl && functions _musterctl'", "__complete");
    expect("fish -c 'complete --do-complete \"musterctl sta\"'", "status");
    expect("fish -c 'complete --do-complete \"musterd che\"'", "check");

    let removed = container.exec(&["dpkg", "--purge", "muster"]);
    assert!(removed.status.success(), "{}", text(&removed));
    assert_eq!(shell("find / -xdev -name '*muster*' ! -path '/proc/*' ! -path '/tmp/*' ! -path '/var/*'"), "");
}

/// The example of the README, with programs that only wait, as the command of a container.
fn check_example(suite: &str) {
    let image = image(suite);
    let container = installed(suite);
    let example = readme_example();
    let name = format!("muster-artefacts-installed:{suite}");
    for program in ["nginx", "redis-server", "gunicorn"] {
        container.shell(&format!(
            "printf '#!/bin/sh\\nexec sleep 1000\\n' >/usr/bin/{program}; chmod 755 /usr/bin/{program}"
        ));
    }
    docker_ok([
        "commit",
        "--change",
        "CMD [\"musterd\"]",
        "--change",
        "HEALTHCHECK CMD [\"musterctl\", \"health\"]",
        &container.name,
        &name,
    ]);
    drop(container);
    let shop = Recipe::of(&name).config(&example).start();
    shop.wait_ready();
    let status = text(&shop.ctl("status"));
    for program in ["app", "nginx", "redis"] {
        assert!(status.lines().any(|line| line.starts_with(program) && line.contains("RUNNING")), "{image}: {status}");
    }
    let restarted = shop.ctl("restart app");
    assert!(text(&restarted).contains("app: restarted"), "{restarted:?}");
    let stopped = shop.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(stopped.took.as_secs() < 9, "{:?}\n{}", stopped.took, stopped.log);
    docker_ok(["image", "rm", "--force", &name]);
}

fn readme_example() -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("it is there");
    let (_, after) = readme.split_once("```toml\n").expect("the README has an example");
    after.split_once("```").expect("it ends").0.to_owned()
}

#[test]
fn debian_12_installs_it_and_removes_it_without_a_trace() {
    if is_wanted(Wanted::Some) {
        check("bookworm");
    }
}

#[test]
fn debian_13_installs_it_and_removes_it_without_a_trace() {
    if is_wanted(Wanted::All) {
        check("trixie");
    }
}

#[test]
fn the_example_of_the_readme_runs_in_debian_12() {
    if is_wanted(Wanted::Some) {
        check_example("bookworm");
    }
}

#[test]
fn the_example_of_the_readme_runs_in_debian_13() {
    if is_wanted(Wanted::All) {
        check_example("trixie");
    }
}
