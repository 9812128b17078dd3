//! Containers in unusual surroundings: fewer privileges, missing kernel features, another PID 1, no /proc. Every row
//! starts, supervises, stops, gives the right exit code, and reports each missing feature in one line.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::container::Recipe;
use crate::engine::{is_wanted, services, together};

/// `web` must stop cleanly, and `flaky` must be restarted again and again. Neither needs anything but a shell.
const CONFIG: &str = r#"
[program.web]
command = ["sh", "-c", "trap 'echo web says bye; exit 0' TERM; echo web is up; while :; do sleep 0.1; done"]
[program.flaky]
command = ["sh", "-c", "echo another life; exit 3"]
restart = "always"
startretries = "unlimited"
backoff = { delay = "200ms", factor = 1 }
"#;

const ESSENTIAL: &str = "[program.main]\ncommand = ['sh', '-c', 'exit 42']\nessential = true\nrestart = 'no'\n\
                         [program.beside]\ncommand = 'sleep 1000'\n";

/// The surroundings of a container.
struct Row {
    options: &'static str,
    /// The system calls that fail, and with which error.
    seccomp: Option<(&'static [&'static str], i32)>,
    /// A shell line in front of musterd, for what options cannot set up.
    before: &'static str,
    /// The text of each line about something missing, in any order. Empty: nothing is missing.
    lacks: &'static [&'static str],
}

const USUAL: Row = Row { options: "", seccomp: None, before: "", lacks: &[] };

const NO_SOCKET: &str = "no control socket";
const NO_PROC: &str = "no /proc";
const NO_PIDFDS: &str = "no pidfds";

impl Row {
    fn recipe(&self, config: &str) -> Recipe {
        let mut recipe = Recipe::of(services()).options(self.options).config(config);
        if let Some((calls, errno)) = self.seccomp {
            let profile = serde_json::json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno }],
            });
            let path: PathBuf = recipe.write("seccomp.json", &profile.to_string());
            recipe = recipe.option("--security-opt", format!("seccomp={}", path.display()));
        }
        if self.before.is_empty() {
            recipe
        } else {
            recipe.command(&["sh", "-c", &format!("{}; exec musterd", self.before)])
        }
    }

    /// Checks that it starts, supervises, stops, gives the right exit code, and reports what is missing.
    fn check(&self) {
        let container = self.recipe(CONFIG).start();
        container.wait_log("web is up");
        container.until("a program that exited is running again", || {
            (container.logs().matches("another life").count() >= 3).then_some(())
        });
        // Without /proc, docker exec does not work either.
        if !self.lacks.contains(&NO_SOCKET) && !self.lacks.contains(&NO_PROC) {
            container.wait_state("web", "RUNNING");
        }
        let stopped = container.stop();
        assert_eq!(stopped.code, 0, "{}", stopped.log);
        assert!(stopped.log.contains("web says bye"), "web got no stop signal:\n{}", stopped.log);
        assert!(stopped.shutdown() < Duration::from_secs(5), "it took {:?}:\n{}", stopped.shutdown(), stopped.log);
        self.check_lacks(&stopped.log);
        let (code, log) = self.recipe(ESSENTIAL).run();
        assert_eq!(code, 42, "{log}");
    }

    fn check_lacks(&self, log: &str) {
        let warnings =
            log.lines().take_while(|line| !line.contains("musterd is up")).filter(|line| line.contains("WARN"));
        let mut warnings: Vec<&str> = warnings.collect();
        for lack in self.lacks {
            let told = warnings.iter().position(|line| line.contains(lack));
            let Some(place) = told else { panic!("no line about {lack:?}:\n{log}") };
            warnings.remove(place);
        }
        assert!(warnings.is_empty(), "reported as missing, and is not: {warnings:?}\n{log}");
    }
}

/// Checks rows one after the other.
fn check(rows: &[Row]) {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    for row in rows {
        println!("row: {} {:?} {}", row.options, row.seccomp, row.before);
        row.check();
    }
}

#[test]
fn as_usual_nothing_is_missing() {
    check(&[USUAL, Row { options: "--tty", ..USUAL }, Row { options: "--network none --ipc none", ..USUAL }]);
}

#[test]
fn below_another_init_nothing_is_missing() {
    check(&[Row { options: "--init", ..USUAL }]);
}

#[test]
fn without_privileges_all_that_needs_none_works() {
    let bare = "--cap-drop ALL --security-opt no-new-privileges";
    check(&[
        Row { options: bare, ..USUAL },
        Row { options: "-u 1000", lacks: &[NO_SOCKET], ..USUAL },
        Row { options: "-u 1000 --tmpfs /run:uid=1000", ..USUAL },
        Row {
            options: "-u 54321:54321 --cap-drop ALL --security-opt no-new-privileges --read-only --tmpfs /run:uid=54321",
            ..USUAL
        },
    ]);
}

#[test]
fn without_a_writable_directory_there_is_no_socket_and_the_rest_works() {
    check(&[
        Row { options: "--read-only", lacks: &[NO_SOCKET], ..USUAL },
        Row { options: "--read-only --tmpfs /run", ..USUAL },
        Row { options: "--read-only -u 1000 --cap-drop ALL", lacks: &[NO_SOCKET], ..USUAL },
    ]);
}

#[test]
fn kernels_and_profiles_without_newer_calls_are_made_do_with() {
    const PIDFD: &[&str] = &["pidfd_open", "pidfd_send_signal"];
    const NEW: &[&str] =
        &["pidfd_open", "pidfd_send_signal", "close_range", "clone3", "openat2", "faccessat2", "epoll_pwait2"];
    const OTHERS: &[&str] = &["close_range", "clone3", "statx", "openat2", "memfd_create", "getrandom"];
    for errno in [libc::ENOSYS, libc::EPERM] {
        check(&[
            Row { seccomp: Some((PIDFD, errno)), lacks: &[NO_PIDFDS], ..USUAL },
            Row { seccomp: Some((NEW, errno)), lacks: &[NO_PIDFDS], ..USUAL },
            Row { seccomp: Some((OTHERS, errno)), ..USUAL },
        ]);
    }
}

#[test]
fn a_profile_that_denies_an_indispensable_call_is_named() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    for calls in [&["signalfd4", "signalfd"][..], &["epoll_create1"], &["eventfd2"]] {
        let row = Row { seccomp: Some((calls, libc::EPERM)), ..USUAL };
        let (code, log) = row.recipe(CONFIG).run();
        assert_eq!(code, 1, "{log}");
        let told = |line: &str| line.contains("cannot start") && line.contains("seccomp") && line.contains(calls[0]);
        assert!(log.lines().any(told), "{calls:?}:\n{log}");
    }
}

#[test]
fn without_proc_only_escaped_processes_are_harder_to_find() {
    check(&[Row {
        options: "--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
        before: "umount -l /proc",
        lacks: &[NO_PROC],
        ..USUAL
    }]);
}

/// Another process on the host, which must still be there at the end.
struct Witness(Child);

impl Witness {
    fn new() -> Witness {
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep is there");
        Witness(child)
    }

    fn assert_alive(&mut self) {
        assert!(self.0.try_wait().expect("it is a child of this process").is_none(), "a process of the host was ended");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn among_the_processes_of_the_host_only_its_own_are_touched() {
    let mut witness = Witness::new();
    check(&[
        Row { options: "--pid=host", ..USUAL },
        Row { options: "--pid=host -u 1000", lacks: &[NO_SOCKET], ..USUAL },
    ]);
    witness.assert_alive();
}

#[test]
fn in_a_shared_pid_namespace_nothing_of_its_own_is_left_and_nothing_else_is_touched() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let host = Recipe::of(services()).command(&["sh", "-c", "sleep 777 & exec sleep 778"]).start();
    let witnesses = || (host.with_argument("777"), host.with_argument("778"));
    let before = witnesses();
    assert_eq!((before.0.len(), before.1.as_slice()), (1, &[1][..]), "{}", host.story());
    // Processes that would not end with the container: its pid namespace outlives it.
    let config = "[program.web]\ncommand = [\"sh\", \"-c\", \"sleep 4242 & setsid sleep 4242 & \
                  setsid sh -c 'sleep 4242 & env -i setsid sleep 4242 &' & echo web is up; exec sleep 4242\"]\n";
    let container = Recipe::of(services()).option("--pid", format!("container:{}", host.name)).config(config).start();
    container.wait_log("web is up");
    container.until("the family is complete", || (host.with_argument("4242").len() == 5).then_some(()));
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert_eq!(host.with_argument("4242"), Vec::<u32>::new(), "left behind:\n{}", stopped.log);
    assert_eq!(witnesses(), before, "unrelated processes were affected:\n{}", stopped.log);
}

#[test]
fn a_missing_privilege_is_explained() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[defaults]\nstartretries = 0\n[program.other]\ncommand = 'sleep 1000'\nuser = 'www-data'\n\
                  [program.nicer]\ncommand = 'sleep 1000'\nnice = -5\n[program.plain]\ncommand = 'sleep 1000'\n";
    let options = "--cap-drop ALL --security-opt no-new-privileges -u 1000 --tmpfs /run:uid=1000";
    let container = Recipe::of(services()).options(options).config(config).start();
    for (program, reason) in [("other", "www-data"), ("nicer", "nice")] {
        let description = container.wait_state(program, "FATAL")["description"].to_string();
        assert!(description.contains(reason), "{program}: {description}\n{}", container.story());
    }
    container.wait_state("plain", "RUNNING");
    assert_eq!(container.stop().code, 0);
}

#[test]
fn users_of_programs_need_three_capabilities() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.web]\nuser = 'www-data'\n\
                  command = [\"sh\", \"-c\", \"trap 'echo web says bye; exit' TERM; id -un; while :; do sleep 0.1; done\"]\n";
    let options = "--cap-drop ALL --cap-add SETUID --cap-add SETGID --cap-add KILL --security-opt no-new-privileges";
    let container = Recipe::of(services()).options(options).config(config).start();
    container.wait_log("web | www-data");
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    assert!(stopped.log.contains("web says bye"), "{}", stopped.log);
}
