//! The images: `muster`, alone and as a source of `COPY --from`, and `muster-debian`; as root and as uid 1000.

use std::fs;

use serde_json::Value;

use crate::container::Recipe;
use crate::engine::{docker, docker_ok, repository, text};
use crate::{VERSION, Wanted, artefact, debian_machine, is_wanted};

/// A program that every image has: a musterd inside a musterd is a program like any other.
const INNER: &str = "[musterd]\nexit_when_done = false\n[http]\nsocket = ''\n\
                     [program.never]\ncommand = '/muster'\nautostart = false\n";

/// Loads the image of the archive, and returns its name.
fn loaded(kind: &str) -> String {
    let file = artefact(&format!("{kind}-image-{VERSION}-{}.tar.gz", debian_machine()));
    docker_ok(["load", "--input", file.to_str().expect("the path is UTF-8")]);
    format!("{kind}:{VERSION}")
}

fn configuration(executable: &str) -> String {
    format!("[program.inner]\ncommand = '{executable} -c /inner.toml'\nstartsecs = 0\n")
}

/// Starts, answers and stops, with these options of `docker run`.
fn check(image: &str, executable: &str, options: &str) {
    let recipe = Recipe::of(image).config(&configuration(executable)).file("inner.toml", "/inner.toml", INNER);
    let container = recipe.options(options).start();
    container.until("the program runs", || text(&container.ctl("status")).contains("RUNNING").then_some(()));
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{image} {options}:\n{}", stopped.log);
}

#[test]
fn the_image_from_scratch_holds_only_the_executable_and_runs() {
    if !is_wanted(Wanted::Some) {
        return;
    }
    let image = loaded("muster");
    let about: Value = serde_json::from_str(&docker_ok(["inspect", &image])).expect("docker prints JSON");
    assert_eq!(about[0]["Architecture"], debian_machine());
    assert_eq!(about[0]["Config"]["Cmd"], serde_json::json!(["/musterd"]));
    let container = docker_ok(["create", &image]);
    let files = std::process::Command::new("sh")
        .args(["-c", &format!("docker export {container} | tar -t | grep -v -e / -e '^dev' -e '^etc' -e '^proc' -e '^sys' -e .dockerenv")])
        .output()
        .expect("sh is installed");
    docker(["rm", &container]);
    let mut names: Vec<String> = String::from_utf8_lossy(&files.stdout).lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["muster", "musterctl", "musterd"]);
    for options in ["", "--user 1000 --tmpfs /run:uid=1000", "--read-only --tmpfs /run --cap-drop ALL"] {
        check(&image, "/musterd", options);
    }
}

#[test]
fn the_executable_is_copied_from_it_into_another_image() {
    if !is_wanted(Wanted::Some) {
        return;
    }
    let source = loaded("muster");
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    // As in the README, into an image that has nothing.
    let file = format!(
        "FROM scratch\nCOPY --from={source} /muster /usr/local/bin/musterd\n\
         COPY --from={source} /muster /usr/local/bin/musterctl\nCMD [\"musterd\"]\n"
    );
    fs::write(place.path().join("Dockerfile"), file).expect("the test directory is writable");
    let name = "muster-artefacts-copied:test";
    docker_ok(["build", "--tag", name, place.path().to_str().expect("the path is UTF-8")]);
    check(name, "/usr/local/bin/musterd", "");
    docker_ok(["image", "rm", "--force", name]);
}

/// What the README promises to users of supervisord: their file, and the lines that its `diff` block adds to a Dockerfile.
#[test]
fn a_container_of_supervisord_changes_by_the_lines_of_the_readme() {
    if !is_wanted(Wanted::Some) {
        return;
    }
    loaded("muster");
    let readme = fs::read_to_string(repository().join("README.md")).expect("it is there");
    let (_, after) = readme.split_once("```diff\n").expect("the README shows a difference");
    let (lines, _) = after.split_once("```").expect("it ends");
    let kept = lines.lines().filter(|line| !line.starts_with('-')).map(|line| format!("{}\n", &line[1..]));
    let file = format!(
        "FROM {}\nCOPY supervisord.conf /etc/supervisor/supervisord.conf\n{}",
        crate::debian::base("bookworm"),
        kept.collect::<String>()
    );
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    fs::write(place.path().join("Dockerfile"), file).expect("the test directory is writable");
    let configuration = "[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\n[unix_http_server]\nfile=/run/s.sock\n\
                         [rpcinterface:supervisor]\n\
                         supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
                         [supervisorctl]\nserverurl=unix:///run/s.sock\n[program:web]\ncommand=sleep 1000\n\
                         [program:worker]\ncommand=sleep 1000\nnumprocs=2\nprocess_name=%(program_name)s_%(process_num)02d\n";
    fs::write(place.path().join("supervisord.conf"), configuration).expect("the test directory is writable");
    let name = "muster-artefacts-supervisord:test";
    docker_ok(["build", "--tag", name, place.path().to_str().expect("the path is UTF-8")]);
    let container = Recipe::of(name).start();
    container.until("all three run", || {
        let status = text(&container.exec(&["supervisorctl", "status"]));
        (status.matches("RUNNING").count() == 3 && status.contains("worker:worker_01")).then_some(())
    });
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(stopped.took.as_secs() < 9, "{:?}\n{}", stopped.took, stopped.log);
    drop(container);
    docker_ok(["image", "rm", "--force", name]);
}

#[test]
fn the_debian_image_becomes_healthy_and_stops() {
    if !is_wanted(Wanted::Some) {
        return;
    }
    let image = loaded("muster-debian");
    for options in ["--health-interval=1s", "--health-interval=1s --user 1000 --tmpfs /run:uid=1000"] {
        let container = Recipe::of(&image).config("[program.web]\ncommand = 'sleep 1000'\n").options(options).start();
        container.until("it is healthy", || {
            let health = docker_ok(["inspect", "--format", "{{.State.Health.Status}}", &container.name]);
            (health == "healthy").then_some(())
        });
        let stopped = container.stop();
        assert_eq!(stopped.code, 0, "{options}\n{}", stopped.log);
    }
}
