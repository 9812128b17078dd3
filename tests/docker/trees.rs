//! Process trees: however a program's processes try to escape, a stop, a crash and the daemon's end leave none of them,
//! and affect no other process.

use crate::container::{Container, Recipe};
use crate::engine::{is_wanted, services, together};

/// Every process of the family has this as its argument, so that it can be counted from outside.
const MARK: &str = "4242";

/// The members of the family and how each escapes.
const FAMILY: &[&str] = &[
    // A plain child, in the group.
    "sleep 4242 &",
    // One that ignores TERM.
    "sh -c \"trap '' TERM INT HUP; exec sleep 4242\" &",
    // One with its own session.
    "setsid sleep 4242 &",
    // One that is double-forked and ignores TERM.
    "setsid sh -c \"trap '' TERM; sleep 4242 & \" &",
    // One that cleared its environment, left the session and lost its parents.
    "env -i setsid sh -c 'setsid sleep 4242 & exit' &",
    // One that is stopped.
    "sh -c 'kill -STOP $$; exec sleep 4242' 4242 &",
    // A pipeline.
    "sleep 4242 | sleep 4242 | cat &",
    // One that forks when it gets its stop signal.
    "sh -c \"trap 'setsid sleep 4242 &' TERM; while :; do sleep 0.05; done\" 4242 &",
];

/// How many of them have the mark, with the leader.
const COUNT: usize = 10;

const CONFIG: &str = r#"
[program.family]
command = "sh /family.sh"
stopwaitsecs = 2
restart = "always"
backoff = { delay = 0 }
[program.witness]
command = "sleep 888"
"#;

fn script() -> String {
    format!("{}\necho the family is complete\nexec sleep {MARK}\n", FAMILY.join("\n"))
}

fn start(options: &str) -> Container {
    let recipe = Recipe::of(services()).options(options).config(CONFIG).file("family.sh", "/family.sh", &script());
    let container = recipe.start();
    container.until("the family is complete", || (container.with_argument(MARK).len() == COUNT).then_some(()));
    container
}

/// Unrelated processes: another program, and one started by docker exec.
fn witnesses(container: &Container) -> (Vec<u32>, Vec<u32>) {
    (container.with_argument("888"), container.with_argument("999"))
}

fn battery(options: &str) {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = start(options);
    container.exec(&["sh", "-c", "setsid sleep 999 >/dev/null 2>&1 &"]);
    let strangers = container.until("the strangers are there", || {
        Some(witnesses(&container)).filter(|(program, stray)| program.len() == 1 && stray.len() == 1)
    });

    // A crash: no process of the old family is there with the new one.
    let old = container.with_argument(MARK);
    let leader = container.program("family")["pid"].as_u64().expect("it runs").to_string();
    container.exec(&["sh", "-c", &format!("kill -9 {leader}")]);
    let new = container.until("a new family is there", || {
        let now = container.with_argument(MARK);
        let is_new = now.len() == COUNT && !now.contains(&leader.parse().expect("a pid"));
        is_new.then_some(now)
    });
    assert!(new.iter().all(|pid| !old.contains(pid)), "old {old:?} coexists with new {new:?}:\n{}", container.story());
    assert_eq!(witnesses(&container), strangers, "unrelated processes were affected:\n{}", container.story());

    // A stop: no process is left.
    let stop = container.ctl("stop family");
    assert!(stop.status.success(), "{}", container.story());
    assert_eq!(container.with_argument(MARK), Vec::<u32>::new(), "left after the stop:\n{}", container.story());
    assert_eq!(witnesses(&container), strangers, "unrelated processes were affected:\n{}", container.story());
    assert_eq!(container.stop().code, 0);
}

#[test]
fn as_root_and_pid_1() {
    battery("");
}

#[test]
fn as_a_user_without_any_capability() {
    battery("-u 1000 --cap-drop ALL --security-opt no-new-privileges --tmpfs /run:uid=1000");
}

#[test]
fn below_another_init() {
    battery("--init");
}

#[test]
fn daemons_that_put_themselves_into_the_background_are_found() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.classic]\ncommand = [\"sh\", \"-c\", \"service cron start; rsyslogd; redis-server --daemonize yes; \
                  echo all are in the background; exec sleep 1000\"]\n";
    let container = Recipe::of(services()).config(config).start();
    container.wait_log("all are in the background");
    let daemons = || container.shell("grep -lxE 'cron|rsyslogd|redis-server' /proc/[0-9]*/comm | wc -l");
    container.until("three daemons run", || (daemons() == "3").then_some(()));
    assert!(container.ctl("stop classic").status.success(), "{}", container.story());
    assert_eq!(daemons(), "0", "{}", container.story());
    assert_eq!(container.stop().code, 0);
}

#[test]
fn two_hundred_processes_are_gone_when_stop_returns() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let script = "for i in $(seq 100); do sleep 4242 & setsid sleep 4242 & done; echo complete; exec sleep 4242";
    let config = format!("[program.many]\ncommand = ['sh', '-c', '{script}']\nstopwaitsecs = 5\n");
    let container = Recipe::of(services()).config(&config).start();
    container.wait_log("complete");
    let count = || container.shell("grep -lzxF 4242 /proc/[0-9]*/cmdline 2>/dev/null | wc -l");
    // The grep that counts is among them.
    container.until("two hundred are there", || (count() == "202").then_some(()));
    assert!(container.ctl("stop many").status.success(), "{}", container.story());
    assert_eq!(count(), "1", "{}", container.story());
}
