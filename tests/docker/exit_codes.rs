//! The exit code of `docker run`: the outcome inside, with the reason as the last line of the log.
//!
//! The tables below are those of docs/reference/exit-codes.md, cell by cell, each in its own container.

use std::sync::Mutex;

use crate::container::{Container, Recipe};
use crate::engine::{is_wanted, services, text, together};

/// How a program ends, the resulting code, and the text of the last line about it. `$$` is a `$` in a configuration.
const ENDS: [(&str, i64, &str); 10] = [
    ("['sh', '-c', 'exit 0']", 0, "exit status 0"),
    ("['sh', '-c', 'exit 1']", 1, "exit status 1"),
    ("['sh', '-c', 'exit 42']", 42, "exit status 42"),
    ("['sh', '-c', 'exit 255']", 255, "exit status 255"),
    ("['sh', '-c', 'kill -9 $$$$']", 137, "SIGKILL"),
    ("['sh', '-c', 'kill -11 $$$$']", 139, "SIGSEGV"),
    ("['sh', '-c', 'kill -15 $$$$']", 143, "SIGTERM"),
    ("'/no/such/program'", 127, "/no/such/program"),
    ("'/etc/passwd'", 126, "/etc/passwd"),
    ("'/etc'", 126, "/etc"),
];

/// Runs the cells of a table side by side, and reports all that are wrong.
fn check_all<C: Sync>(cells: &[C], check: impl Fn(&C) -> Result<(), String> + Sync) {
    let next = Mutex::new(cells.iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(cell) = next.lock().expect("no cell panics while it is taken").next() else { return };
                    wrong.lock().expect("no cell panics while holding the lock").extend(check(cell).err());
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("all threads have ended");
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n----\n"));
}

/// Requirements for a container that exited by itself.
fn expect(what: &str, (code, log): &(i64, String), expected: i64, reason: &str) -> Result<(), String> {
    let last = log.lines().rev().find(|line| line.contains(" exit: ")).unwrap_or_default();
    let tells = last.contains(reason) && last.contains(&format!("code={expected}"));
    if *code == expected && tells {
        Ok(())
    } else {
        Err(format!("{what}: code {code}, wanted {expected} and {reason:?}:\n{log}"))
    }
}

#[test]
fn the_only_program_gives_its_code_to_the_container() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    check_all(&ENDS, |(command, code, reason)| {
        let config = format!("[program.only]\ncommand = {command}\nrestart = 'no'\n");
        let ended = Recipe::of(services()).config(&config).run();
        expect(command, &ended, *code, if *code == 0 { "every program has succeeded" } else { reason })
    });
}

#[test]
fn an_essential_program_takes_everything_with_it_and_gives_its_code() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    check_all(&ENDS, |(command, code, reason)| {
        let config = format!(
            "[program.main]\ncommand = {command}\nrestart = 'no'\nessential = true\n\
             [program.beside]\ncommand = \"sh -c 'trap \\\"echo beside was asked; exit 9\\\" TERM; while :; do sleep 0.05; done'\"\n"
        );
        let ended = Recipe::of(services()).config(&config).run();
        expect(command, &ended, *code, reason)
    });
}

#[test]
fn an_essential_program_ends_the_container_only_once_it_has_given_up() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.main]\ncommand = [\"sh\", \"-c\", \"echo another life; exit 5\"]\nessential = true\n\
                  startretries = 2\nbackoff = { delay = 0 }\n[program.beside]\ncommand = 'sleep 1000'\n";
    let ended = Recipe::of(services()).config(config).run();
    assert_eq!(ended.1.matches("another life").count(), 3, "{}", ended.1);
    expect("given up", &ended, 5, "exit status 5").expect("the last run's code");
}

#[test]
fn of_several_failures_the_first_counts() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    const FIRST: &str = "early";
    const SECOND: &str = "late";
    let (plain, essential) = ("", "essential = true");
    let cells = [
        ("the first fails", (3, plain), (4, plain), 3, FIRST),
        ("the second fails", (0, plain), (4, plain), 4, SECOND),
        ("the first fails, the second is essential", (3, plain), (4, essential), 4, SECOND),
        ("both are essential", (3, essential), (4, essential), 3, FIRST),
        ("the first is essential and ends well", (0, essential), (4, plain), 0, FIRST),
        ("none fails", (0, plain), (0, plain), 0, "every program has succeeded"),
    ];
    check_all(&cells, |(what, first, second, code, reason)| {
        let program = |name, after, (code, more): &(i64, &str)| {
            format!("[program.{name}]\ncommand = \"sh -c 'sleep {after}; exit {code}'\"\nrestart = 'no'\n{more}\n")
        };
        let config = program(FIRST, 0.1, first) + &program(SECOND, 1.5, second);
        expect(what, &Recipe::of(services()).config(&config).run(), *code, reason)
    });
}

#[test]
fn the_first_reason_to_end_wins() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let main = |life: &str| {
        format!(
            "[program.main]\ncommand = [\"sh\", \"-c\", \"trap 'exit 7' TERM; echo main is up; {life}; exit 7\"]\n\
             essential = true\nrestart = 'no'\n"
        )
    };
    let slow = "[program.slow]\ncommand = [\"sh\", \"-c\", \"trap 'echo slow was asked; sleep 6; exit' TERM; \
                while :; do sleep 0.1; done\"]\n";
    // An essential program that ends because everything is being stopped does not change the 0.
    let container = Recipe::of(services()).config(&main("sleep 1000 & wait")).start();
    container.wait_log("main is up");
    expect("asked", &(container.stop().code, container.logs()), 0, "stopped by SIGTERM").expect("0 stays 0");
    // A signal during a shutdown that an essential program caused does not change its code.
    let container = Recipe::of(services()).config(&format!("{}{slow}", main("sleep 1"))).start();
    container.wait_log("slow was asked");
    container.kill("TERM");
    expect("essential", &(container.wait(), container.logs()), 7, "exit status 7").expect("7 stays 7");
}

#[test]
fn a_requested_stop_exits_with_0_whatever_the_programs_returned() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let rude = "command = [\"sh\", \"-c\", \"trap 'exit 42' TERM; echo up; while :; do sleep 0.05; done\"]";
    let cells = [("docker stop", ""), ("docker stop", "essential = true"), ("ctl", ""), ("ctl", "essential = true")];
    check_all(&cells, |(way, more)| {
        let config = format!("[program.rude]\n{rude}\nrestart = 'no'\n{more}\n");
        let container = Recipe::of(services()).config(&config).start();
        container.wait_log("rude | up");
        let reason = if *way == "ctl" { "stopped by musterctl" } else { "stopped by SIGTERM" };
        let ended = match *way {
            "ctl" => {
                container.ctl("shutdown");
                (container.wait(), container.logs())
            }
            _ => (container.stop().code, container.logs()),
        };
        expect(&format!("{way} {more}"), &ended, 0, reason)
    });
}

#[test]
fn stopping_a_program_by_hand_does_not_end_the_container() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    for more in ["", "essential = true"] {
        let config = format!("[program.web]\ncommand = 'sleep 1000'\n{more}\n");
        let container = Recipe::of(services()).config(&config).start();
        container.wait_ready();
        assert!(container.ctl("stop web").status.success());
        assert_eq!(container.program("web")["state"], "STOPPED", "{more}: {}", container.story());
        assert_eq!(container.stop().code, 0);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_2_and_a_second_daemon_is_3() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let (code, log) = Recipe::of(services()).config("[program.web]\ncomand = 'sleep 1'\n").run();
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("muster.toml:2:") && log.contains("command"), "the place, and the fix:\n{log}");
    let (code, log) = Recipe::of(services()).command(&["musterd", "-c", "/no/such.toml"]).run();
    assert_eq!(code, 2, "{log}");

    let container: Container = Recipe::of(services()).config("[program.web]\ncommand = 'sleep 1000'\n").start();
    container.wait_ready();
    let second = container.exec(&["musterd"]);
    assert_eq!(second.status.code(), Some(3), "{}", text(&second));
    assert_eq!(container.program("web")["state"], "RUNNING", "{}", container.story());
}
