//! The image that holds only the executable: no shell, no C library, no /etc. For both C libraries it is built with.
//!
//! The program in it is the executable itself: a musterd inside a musterd is a program like any other.

use crate::container::{Container, Recipe};
use crate::engine::{Libc, docker_ok, is_wanted, scratch, text, together};

/// A daemon that starts nothing, has no socket, and waits to be stopped.
const IDLE: &str = "[musterd]\nexit_when_done = false\n[http]\nsocket = ''\n\
                    [program.never]\ncommand = '/musterd'\nautostart = false\n";

/// Runs the check with each executable.
fn with_each_libc(check: impl Fn(&str)) {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    for libc in [Libc::Chosen, Libc::Gnu] {
        println!("libc: {libc:?}");
        check(scratch(libc));
    }
}

/// A container of the image that runs an idle daemon as this user, as its only program.
fn running_as(image: &str, user: &str, files: &[(&str, &str)]) -> Container {
    let config = format!("[program.idle]\ncommand = '/musterd -c /idle.toml'\nuser = '{user}'\nstartretries = 0\n");
    let recipe = Recipe::of(image).config(&config).file("idle.toml", "/idle.toml", IDLE);
    let recipe =
        files.iter().fold(recipe, |recipe, (name, content)| recipe.file(name, &format!("/etc/{name}"), content));
    recipe.start()
}

/// Sends a request to the daemon, without a PATH to find musterctl in.
fn description(container: &Container) -> String {
    text(&container.exec(&["/musterctl", "status"]))
}

fn wait_status(container: &Container, what: &str) {
    container.until(what, || description(container).contains(what).then_some(()));
}

/// The user, group and supplementary groups of the program, as the host sees them.
fn identity(container: &Container) -> String {
    let table = docker_ok(["top", &container.name, "-o", "pid,uid,gid,supgid,args"]);
    let row = table.lines().find(|line| line.contains("/idle.toml")).unwrap_or_default().to_owned();
    row.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ")
}

#[test]
fn it_starts_serves_and_stops() {
    with_each_libc(|image| {
        let container = running_as(image, "", &[]);
        wait_status(&container, "RUNNING");
        assert!(container.exec(&["/musterctl", "health"]).status.success(), "{}", container.logs());
        let stopped = container.stop();
        assert_eq!(stopped.code, 0, "{}", stopped.log);
    });
}

#[test]
fn user_names_are_found_in_a_passwd_file_that_was_copied_in() {
    let passwd = "root:x:0:0::/:/\nweb:x:1234:56::/srv:/bin/false\n";
    let group = "root:x:0:\nweb:x:56:\nlogs:x:77:other,web\n";
    with_each_libc(|image| {
        let container = running_as(image, "web", &[("passwd", passwd), ("group", group)]);
        wait_status(&container, "RUNNING");
        assert_eq!(identity(&container), "1234 56 56,77", "{}", container.logs());
        assert_eq!(container.stop().code, 0);
    });
}

#[test]
fn numbers_need_no_passwd_file_and_names_say_that_they_do() {
    with_each_libc(|image| {
        let container = running_as(image, "1234:56", &[]);
        wait_status(&container, "RUNNING");
        assert_eq!(identity(&container), "1234 56 56", "{}", container.logs());
        assert_eq!(container.stop().code, 0);

        let container = running_as(image, "web", &[]);
        let (code, log) = (container.wait(), container.logs());
        assert_ne!(code, 0, "{log}");
        assert!(log.contains("no such user") && log.contains("web"), "{log}");
    });
}

#[test]
fn it_is_an_init_for_one_command() {
    with_each_libc(|image| {
        let run = |words: &[&str]| Recipe::of(image).command(words).run();
        let (code, log) = run(&["/musterd", "run", "--", "/musterctl", "version", "--help"]);
        assert_eq!(code, 0, "{log}");
        let (code, log) = run(&["/musterd", "run", "--", "/musterctl", "--no-such-option"]);
        assert_eq!(code, 2, "{log}");
        let (code, log) = run(&["/musterd", "run", "--", "/no/such/program"]);
        assert_eq!(code, 127, "{log}");

        let recipe = Recipe::of(image).file("idle.toml", "/idle.toml", IDLE);
        let container = recipe.command(&["/musterd", "run", "--", "/musterd", "-c", "/idle.toml"]).start();
        container.wait_log("musterd is up");
        let stopped = container.stop();
        assert_eq!(stopped.code, 0, "TERM is passed on:\n{}", stopped.log);
    });
}
