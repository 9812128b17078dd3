//! Hooks with real processes: their context, what follows from a failure, and that nothing of them is left.

mod harness;

use std::time::{Duration, Instant};

use harness::{Daemon, Setting, everyone, in_time, is_acceptance, wait_until};

/// The lines that the hooks of a scene have written.
fn told(daemon: &Daemon) -> Vec<String> {
    let text = std::fs::read_to_string(daemon.path("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn is_gone(word: &str) -> bool {
    !everyone().values().any(|it| it.command.contains(word) && !it.is_zombie())
}

#[test]
fn hooks_run_in_order_in_the_context_of_their_program() {
    let tell = |facts: &str| format!("[\"sh\", \"-c\", 'echo $MUSTER_HOOK {facts} >> {{here}}/told']");
    let mut daemon = Setting::supervising(format!(
        r#"
[program.web]
command = ["sh", "-c", 'echo main >> {{here}}/told; exec sleep 1000']
directory = "/usr"
umask = "0027"
environment = {{ COLOUR = "blue" }}
startsecs = 0
pre_start = {}
post_start = {}
pre_stop = {}
post_stop = {}
"#,
        tell("$MUSTER_PROGRAM $MUSTER_INSTANCE $COLOUR $PWD $(umask) $${NOTIFY_SOCKET:-none}"),
        tell(""),
        tell(""),
        tell(
            "$MUSTER_EXIT $${MUSTER_EXIT_CODE:-none} $MUSTER_EXIT_SIGNAL $MUSTER_EXIT_CAUSE $MUSTER_NEXT $${MUSTER_UPTIME_MS:+ms}"
        ),
    ))
    .start();
    daemon.wait_for_running("web");
    daemon.ctl_well(&["restart", "web"]);
    daemon.ctl_well(&["stop", "web"]);
    let start = ["pre_start web 0 blue /usr 0027 none", "main", "post_start"];
    let stop = |cause: &str, next: &str| format!("post_stop signalled none SIGTERM {cause} {next} ms");
    let run =
        |end: String| start.map(str::to_owned).into_iter().chain(["pre_stop".to_owned(), end]).collect::<Vec<_>>();
    let (first, second) = (run(stop("restart", "restart")), run(stop("stop", "final")));
    // `main` and `post_start` are processes of their own, and write in any order.
    let sorted = |mut lines: Vec<String>| {
        lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
        for pair in [1, 6] {
            lines[pair..pair + 2].sort();
        }
        lines
    };
    assert_eq!(sorted(told(&daemon)), [first, second].concat(), "{}", daemon.story());
    daemon.finish();
    daemon.assert_nothing_is_left();
}

#[test]
fn a_failed_pre_start_is_told_everywhere_with_its_last_line() {
    let daemon = Setting::supervising(
        r#"
[program.web]
command = "sleep 1000"
startretries = 0
pre_start = ["sh", "-c", 'echo looking; echo no such table >&2; exit 3']
"#,
    )
    .start();
    let web = daemon.wait_for_state("web", "FATAL");
    assert_eq!(web["exit"]["reason"], "pre_start: exit status 3: no such table", "{web}");
    assert_eq!(web["phase"], serde_json::Value::Null);
    let why = daemon.ctl_well(&["why", "web"]);
    for line in
        ["was not started: pre_start: exit status 3: no such table", "pre_start wrote last:", "stdout | looking"]
    {
        assert!(why.contains(line), "{line} is not in\n{why}");
    }
    let line = daemon.log.wait_for_program("web", "a hook failed: exit status 3: no such table");
    assert_eq!(line.field("hook").as_deref(), Some("pre_start"));
    let metrics = daemon.client.get("/metrics").body;
    for family in ["muster_program_hook_failures_total", "muster_program_exits_total"] {
        let sample = metrics.lines().find(|line| line.starts_with(family) && line.contains("\"web\""));
        let label = if family.contains("hook") { "hook=\"pre_start\"" } else { "reason=\"hook\"" };
        assert!(sample.is_some_and(|sample| sample.contains(label) && sample.ends_with(" 1")), "{sample:?}");
    }
    let logs = daemon.ctl_well(&["logs", "web", "--json"]);
    assert!(logs.lines().any(|line| line.contains("\"hook\":\"pre_start\"") && line.contains("looking")), "{logs}");
}

#[test]
fn an_event_tells_how_each_hook_ended() {
    let daemon = Setting::supervising(
        "[program.web]\ncommand = \"sleep 1000\"\nautostart = false\nstartsecs = 0\npre_start = \"true\"\n\
         pre_stop = [\"sh\", \"-c\", \"echo busy; exit 1\"]\n",
    )
    .start();
    let mut events = harness::Listener::of(&daemon, None);
    events.until(|event| event["kind"] == "snapshot");
    daemon.ctl_well(&["start", "web"]);
    daemon.ctl_well(&["stop", "web"]);
    let of_hook = |seen: Vec<serde_json::Value>| seen.last().cloned().unwrap_or_default();
    let start = of_hook(events.until(|event| event["kind"] == "hook"));
    assert_eq!((&start["hook"], &start["exit"]["success"]), (&"pre_start".into(), &true.into()), "{start}");
    let stop = of_hook(events.until(|event| event["kind"] == "hook"));
    assert_eq!((&stop["hook"], &stop["exit"]["reason"]), (&"pre_stop".into(), &"exit status 1: busy".into()), "{stop}");
    assert!(stop["took"].is_f64() && stop["run"] == 1, "{stop}");
}

#[test]
fn a_phase_is_shown_while_a_hook_is_running() {
    let daemon = Setting::supervising(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n\
         pre_start = [\"sh\", \"-c\", 'while ! [ -e {here}/go ]; do sleep 0.02; done']\n",
    )
    .start();
    let web = daemon.wait_for_state("web", "STARTING");
    assert_eq!((&web["phase"], &web["pid"]), (&"pre_start".into(), &serde_json::Value::Null), "{web}");
    assert!(web["description"].as_str().is_some_and(|text| text.starts_with("running its pre_start")), "{web}");
    std::fs::write(daemon.path("go"), "").expect("the test directory is writable");
    daemon.wait_for_running("web");
}

/// Hooks that fork, leave their session, ignore SIGTERM or hang.
#[test]
fn nothing_of_a_hook_is_left() {
    let leave =
        |word: &str| format!("setsid sh -c \"trap : TERM; sleep {word} & sleep {word}\" & setsid sleep {word} &");
    let (word, deaf) = ("90417", "90418");
    let mut daemon = Setting::supervising(format!(
        r#"
[program.leaves]
command = "sleep 1000"
startsecs = 0
pre_start = ["sh", "-c", '{leave} exit 0']
post_stop = ["sh", "-c", '{leave} exit 1']
[program.hangs]
command = "sleep 1000"
startretries = 0
pre_start = {{ command = ["sh", "-c", 'trap "" TERM; {deaf} sleep 90419'], timeout = "200ms" }}
"#,
        leave = leave(word),
        deaf = leave(deaf),
    ))
    .start();
    daemon.wait_for_running("leaves");
    assert!(is_gone(word), "{}", daemon.story());
    daemon.wait_for_state("hangs", "FATAL");
    let reason = daemon.program("hangs")["exit"]["reason"].to_string();
    assert!(reason.contains("pre_start: timed out after 200ms"), "{reason}");
    assert!(is_gone(deaf), "{}", daemon.story());
    daemon.ctl_well(&["stop", "leaves"]);
    assert!(is_gone(word), "{}", daemon.story());
    daemon.finish();
    daemon.assert_nothing_is_left();
}

/// Notes its pid, and whether the hook before it is still there. Then it does one of six things.
const UNSTEADY_HOOK: &str = r#"
here=$1; last=$here/hook.$MUSTER_INSTANCE
is() { grep -qz "^$1" "/proc/$before/environ"; }
read before < "$last" && is MUSTER_HOOK= && is "MUSTER_INSTANCE=$MUSTER_INSTANCE" && echo "$before $$" >> "$here/overlaps"
echo $$ > "$last"
case $(($$ % 6)) in
0) exit 1 ;;
1) exec sleep 90420 ;;
2) setsid sleep 90420 & exit 0 ;;
3) sleep 90420 & sleep 90420 & exit 3 ;;
4) trap '' TERM; sleep 90420 ;;
*) exit 0 ;;
esac
"#;

/// Hooks that fail, hang, fork and leave their session, under starts and stops at any moment.
#[test]
fn random_starts_and_stops_overlap_no_hooks_and_leave_nothing() {
    let cycles: u32 = if is_acceptance() { 10_000 } else { 100 };
    let place = tempfile::tempdir().expect("there is room");
    let script = place.path().join("hook.sh");
    std::fs::write(&script, UNSTEADY_HOOK).expect("the test directory is writable");
    let hook =
        |name: &str| format!("{name} = {{ command = [\"sh\", {script:?}, {:?}], timeout = \"60ms\" }}\n", place.path());
    let hooks: String = ["pre_start", "post_start", "pre_stop", "post_stop"].map(hook).concat();
    let mut daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 90420\"\nnumprocs = 4\nstartsecs = 0\nautostart = false\n\
         backoff = {{ delay = \"10ms\" }}\n{hooks}"
    ))
    .start();
    let mut random = u64::from(std::process::id());
    let mut number = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..cycles {
        let (instance, verb) = (number(4), ["start", "stop", "restart"][number(3) as usize]);
        let wait = number(150);
        let answer = daemon.client.post(&format!("/v1/programs/web:{instance}/{verb}?wait=0.{wait:03}"));
        assert!(matches!(answer.status, 200 | 202 | 500 | 504), "{verb}: {answer:?}");
    }
    println!("{cycles} commands, {} runs", daemon.program("web:0")["run"]);
    daemon.finish();
    assert!(is_gone("90420"), "{}", daemon.story());
    assert_eq!(std::fs::read_to_string(place.path().join("overlaps")).ok(), None);
}

#[test]
fn five_programs_that_ignore_term_get_hook_and_signal_within_the_budget() {
    in_time(|| {
        let program = |number: u32| {
            format!(
                "[program.p{number}]\nstartsecs = 0\n\
                 command = [\"sh\", \"-c\", 'trap \"echo p{number} TERM >> {{here}}/told\" TERM; echo up; \
                 while :; do sleep 0.05; done']\n\
                 pre_stop = {{ command = [\"sh\", \"-c\", \"echo p{number} hook >> {{here}}/told; sleep 3\"], timeout = \"5s\" }}\n"
            )
        };
        let programs: String = (0..5).map(program).collect();
        let mut daemon = Setting::supervising(programs).start();
        wait_until("all are up", || String::from_utf8_lossy(&daemon.output()).matches("up\n").count() == 5);
        let began = Instant::now();
        daemon.terminate();
        daemon.wait();
        let took = began.elapsed();
        let lines = told(&daemon);
        for number in 0..5 {
            for what in ["hook", "TERM"] {
                assert!(lines.contains(&format!("p{number} {what}")), "p{number} got no {what}: {lines:?}");
            }
        }
        assert!(is_gone("told; sleep 3"));
        if took > Duration::from_secs(9) { Err(format!("it took {took:?}")) } else { Ok(()) }
    });
}

#[test]
fn a_shutdown_waits_for_post_stop_and_a_second_signal_does_not() {
    let program = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n\
                   post_stop = [\"sh\", \"-c\", 'echo begun >> {here}/told; sleep 1; echo done >> {here}/told']\n";
    let mut daemon = Setting::supervising(program).start();
    daemon.wait_for_running("web");
    daemon.finish();
    assert_eq!(told(&daemon), ["begun", "done"]);
    let mut daemon = Setting::supervising(program.replace("sleep 1;", "sleep 100;")).start();
    daemon.wait_for_running("web");
    daemon.terminate();
    wait_until("its post_stop has begun", || told(&daemon) == ["begun"]);
    daemon.terminate();
    let began = Instant::now();
    daemon.wait();
    assert!(began.elapsed() < Duration::from_secs(4), "it waited for {:?}", began.elapsed());
    assert_eq!(told(&daemon), ["begun"]);
}

#[test]
fn a_reload_changes_hooks_without_a_restart() {
    let setting = |word: &str| {
        Setting::supervising(format!(
            "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n\
             pre_stop = [\"sh\", \"-c\", 'echo {word} >> {{here}}/told']\n"
        ))
    };
    let daemon = setting("old").start();
    let pid = daemon.wait_for_running("web");
    daemon.rewrite(&setting("new"));
    daemon.ctl_well(&["update"]);
    assert_eq!(daemon.wait_for_running("web"), pid);
    daemon.ctl_well(&["stop", "web"]);
    assert_eq!(told(&daemon), ["new"]);
}

/// The cost of a trivial `pre_start`, between the order to start and RUNNING.
#[test]
fn a_trivial_pre_start_delays_a_start_by_little() {
    let daemon = Setting::supervising(
        "[defaults]\nstartsecs = 0\nautostart = false\ncommand = \"sleep 1000\"\n[program.plain]\n[program.hooked]\n\
         pre_start = \"/bin/true\"\n",
    )
    .start();
    let median = |name: &str| {
        let mut times: Vec<Duration> = (0..21)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(daemon.client.post(&format!("/v1/programs/{name}/start?wait=30")).status, 200);
                let took = began.elapsed();
                daemon.client.post(&format!("/v1/programs/{name}/stop?wait=30"));
                took
            })
            .collect();
        times.sort();
        times[10]
    };
    let (plain, hooked) = (median("plain"), median("hooked"));
    println!("plain {plain:?}, with pre_start {hooked:?}");
    // 1.5 ms on a quiet machine: this one may be busy with other tests, and the build unoptimized.
    assert!(hooked < plain + Duration::from_millis(50), "{plain:?} and {hooked:?}");
}

#[test]
fn hooks_get_the_secrets_and_credentials_of_their_program() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let secret = home.path().join("token");
    std::fs::write(&secret, "first\n").expect("it is ours");
    let hook = |name: &str| {
        format!(
            "{name} = [\"sh\", \"-c\", 'echo {name} $TOKEN $(cat $CREDENTIALS_DIRECTORY/key) {{credentials}}/key \
             | sed s,/.*/,, >> {{here}}/told']\n"
        )
    };
    let mut daemon = Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nsecrets = {{ TOKEN = {path:?} }}\n\
         credentials = [\"key={shown}\"]\n{}{}",
        hook("pre_start"),
        hook("post_stop"),
        path = secret,
        shown = secret.display(),
    ))
    .start();
    daemon.wait_for_running("web");
    std::fs::write(&secret, "second\n").expect("it is ours");
    daemon.ctl_well(&["stop", "web"]);
    assert_eq!(told(&daemon), ["pre_start first first key", "post_stop second second key"]);
    // A start whose secret is missing fails before its hook.
    std::fs::remove_file(&secret).expect("it is ours");
    let ended = daemon.ctl(&["start", "web"]);
    assert!(ended.err.contains("TOKEN") || ended.out.contains("TOKEN"), "{ended:?}");
    daemon.finish();
}
