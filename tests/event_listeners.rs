//! Event listeners: what they get, beside the original, and what hostile ones cannot do.

#[path = "harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use harness::{Setting, ended, is_root, skip, wait_until};

/// Records every event: its header's fields of interest, and the payload as JSON.
const LISTENER: &str = r#"
import json, sys
record = open(sys.argv[1], "a")
while True:
    sys.stdout.write("READY\n"); sys.stdout.flush()
    line = sys.stdin.readline()
    if not line: break
    header = dict(word.split(":") for word in line.split())
    payload = sys.stdin.read(int(header["len"]))
    record.write(json.dumps([header["server"], header["pool"], header["eventname"], payload]) + "\n"); record.flush()
    sys.stdout.write("RESULT 2\nOK"); sys.stdout.flush()
"#;

/// The script of listeners, in a directory of its own: it must be there before a daemon is.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("muster-listener-{}.py", std::process::id()));
    fs::write(&path, LISTENER).expect("the temporary directory is writable");
    path.display().to_string()
});

/// A listener's section; `@` is the directory.
fn listener(name: &str, events: &str, rest: &str) -> String {
    let script = &*SCRIPT;
    format!("[eventlistener:{name}]\ncommand=python3 {script} @/{name}.events\nevents={events}\nstartsecs=0\n{rest}")
}

fn sh(name: &str, script: &str, options: &str) -> String {
    let options = options.replace(' ', "\n");
    format!("[program:{name}]\ncommand=/bin/sh -c '{script}'\n{options}\n")
}

/// The events a listener has recorded: the type and the payload, whose pids are not compared.
fn events(directory: &Path, listener: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(directory.join(format!("{listener}.events"))).unwrap_or_default();
    let parsed = text.lines().filter_map(|line| serde_json::from_str::<[String; 4]>(line).ok());
    parsed
        .map(|[server, pool, kind, payload]| {
            assert_eq!((server.as_str(), pool.as_str()), ("supervisor", listener));
            (kind, without_pids(&payload))
        })
        .collect()
}

fn without_pids(payload: &str) -> String {
    let (first, rest) = payload.split_once('\n').map_or((payload, None), |(first, rest)| (first, Some(rest)));
    let words: Vec<&str> =
        first.split(' ').map(|word| if word.starts_with("pid:") && word != "pid:0" { "pid:N" } else { word }).collect();
    rest.map_or(words.join(" "), |rest| format!("{}\n{rest}", words.join(" ")))
}

/// The events by process, since processes do not wait for each other. Output is joined, since it is read in other pieces.
fn by_process(events: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, payload) in events {
        let of = payload.strip_prefix("processname:").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let of = if kind.starts_with("PROCESS_LOG") { format!("{of} {kind}") } else { of.to_owned() };
        let told = all.entry(of).or_default();
        match payload.split_once('\n').filter(|_| kind.starts_with("PROCESS_LOG")) {
            Some((header, text)) if told.first().is_some_and(|first| first.starts_with(header)) => {
                told[0].push_str(text)
            }
            _ => told.push(format!("{kind} {payload}").trim_start_matches("PROCESS_LOG_STDOUT ").to_owned()),
        }
    }
    all
}

/// The original with these sections; dropping it ends it.
struct Original {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for Original {
    fn drop(&mut self) {
        harness::send(self.child.id() as i32, 15);
        let _ = self.child.wait();
    }
}

impl Original {
    fn start(sections: &str) -> Original {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let user = if is_root() { "user=root\n" } else { "" };
        let text = format!(
            "[unix_http_server]\nfile=@/socket\n[rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://@/socket\n\
             [supervisord]\nnodaemon=true\nlogfile=@/log\npidfile=@/pid\nchildlogdir=@\n{user}{sections}"
        );
        let path = directory.path().join("supervisord.conf");
        let text = text.replace('@', &directory.path().display().to_string());
        fs::write(&path, text).expect("the test directory is writable");
        let mut command = Command::new("supervisord");
        command.arg("-c").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Original { child: command.spawn().expect("it answered a moment ago"), directory }
    }

    fn ctl(&self, words: &[&str]) {
        let mut command = Command::new("supervisorctl");
        ended(command.arg("-c").arg(self.directory.path().join("supervisord.conf")).args(words));
    }
}

fn is_original_here() -> bool {
    Command::new("supervisord").arg("--version").stdout(Stdio::null()).status().is_ok()
}

fn has_python() -> bool {
    Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn has(events: &[(String, String)], kind: &str, part: &str) -> bool {
    events.iter().any(|(of, payload)| of == kind && payload.contains(part))
}

#[test]
fn events_and_payloads_are_the_originals() {
    if !is_original_here() {
        return skip("supervisord is not installed");
    }
    let kinds = "PROCESS_STATE,PROCESS_LOG,PROCESS_COMMUNICATION,SUPERVISOR_STATE_CHANGE,PROCESS_GROUP";
    let talk = "echo this line is longer than a token; echo so is this line of standard error >&2; \
                printf \"<!--XSUPERVISOR:BEGIN-->captured text<!--XSUPERVISOR:END-->\"; exec sleep 1000";
    let sections = [
        listener("l", kinds, "buffer_size=100\n"),
        sh("talk", talk, "stdout_events_enabled=true stderr_events_enabled=true stdout_capture_maxbytes=1000"),
        sh(
            "exits",
            "sleep 3; echo the last words of this program; exit 3",
            "autorestart=false stdout_events_enabled=true",
        ),
        sh("fails", "exit 1", "startretries=1 startsecs=5"),
        sh("again", "sleep 3; exit 2", "startsecs=1"),
        "[program:absent]\ncommand=/no/such/command\nstartretries=0\n".to_owned(),
        "[program:pair]\ncommand=/bin/sleep 1000\nnumprocs=2\nprocess_name=p%(process_num)d\n".to_owned(),
    ]
    .concat();
    let original = Original::start(&sections);
    let daemon = Setting::supervisord(&*sections).start();
    let both = || [events(daemon.path("").as_path(), "l"), events(original.directory.path(), "l")];
    let wait_for = |kind: &str, part: &str| {
        wait_until(&format!("both have told of {kind} {part}"), || both().iter().all(|told| has(told, kind, part)));
    };
    wait_for("PROCESS_STATE_RUNNING", "processname:talk ");
    wait_for("PROCESS_STATE_RUNNING", "processname:p1 ");
    wait_for("PROCESS_STATE_EXITED", "processname:exits ");
    wait_for("PROCESS_STATE_FATAL", "processname:fails ");
    wait_for("PROCESS_STATE_STARTING", "processname:again groupname:again from_state:EXITED");
    daemon.ctl_well(&["stop", "talk", "again"]);
    original.ctl(&["stop", "talk", "again"]);
    wait_for("PROCESS_STATE_STOPPED", "processname:talk ");
    wait_for("PROCESS_STATE_STOPPED", "processname:again ");
    let [mut ours, mut theirs] = both().map(|told| by_process(&told));
    // How often it was up before it was stopped is a matter of time.
    for told in [&mut ours, &mut theirs] {
        told.get_mut("again").expect("it was started").truncate(4);
    }
    assert_eq!(ours, theirs);
    // The output of an exited process comes before its end.
    let told = events(daemon.path("").as_path(), "l");
    let place = |kind: &str, part: &str| told.iter().position(|(of, payload)| of == kind && payload.contains(part));
    let (words, end) = (place("PROCESS_LOG_STDOUT", "last words"), place("PROCESS_STATE_EXITED", "processname:exits "));
    assert!(words.is_some() && words < end, "{told:#?}");
}

#[test]
fn a_converted_configuration_has_the_same_events() {
    if !has_python() {
        return skip("python3 is not installed");
    }
    let talk = "echo a line of output; echo a line of errors >&2; \
                printf \"<!--XSUPERVISOR:BEGIN-->captured<!--XSUPERVISOR:END-->\"; exec sleep 1000";
    let sections = [
        listener("l", "PROCESS_STATE,PROCESS_LOG,PROCESS_COMMUNICATION", "buffer_size=100\n"),
        sh("talk", talk, "stdout_events_enabled=true stderr_events_enabled=true stdout_capture_maxbytes=1000"),
        sh("quiet", "echo no listener gets this; exec sleep 1000", ""),
    ]
    .concat();
    let told = |make: fn(&str) -> Setting| {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let _daemon = make(&sections.replace('@', &directory.path().display().to_string())).start();
        wait_until("the listener has got the last event", || {
            let told = events(directory.path(), "l");
            let is_up = |name: &&str| has(&told, "PROCESS_STATE_RUNNING", &format!("processname:{name} "));
            has(&told, "PROCESS_COMMUNICATION_STDOUT", "captured")
                && has(&told, "PROCESS_LOG_STDERR", "errors")
                && has(&told, "PROCESS_LOG_STDOUT", "output")
                && ["l", "talk", "quiet"].iter().all(is_up)
        });
        by_process(&events(directory.path(), "l"))
    };
    let ours = told(|sections| Setting::supervising(harness::converted(sections)));
    assert_eq!(ours, told(|sections| Setting::supervisord(sections)));
}

#[test]
fn a_listener_learns_of_the_shutdown_before_it_is_stopped() {
    if !has_python() {
        return skip("python3 is not installed");
    }
    let stopping = "trap \"sleep 1; exit 0\" TERM; while :; do sleep 0.1; done";
    let sections = [listener("l", "EVENT", ""), sh("web", stopping, "startsecs=0")].concat();
    let mut daemon = Setting::supervisord(&*sections).start();
    let directory = daemon.path("");
    wait_until("the listener has got its events", || {
        has(&events(&directory, "l"), "PROCESS_STATE_RUNNING", "processname:web ")
    });
    wait_until("a tick has come", || has(&events(&directory, "l"), "TICK_5", "when:"));
    daemon.finish();
    let told = events(&directory, "l");
    assert!(has(&told, "SUPERVISOR_STATE_CHANGE_STOPPING", ""), "{told:#?}");
    assert!(has(&told, "PROCESS_STATE_STOPPING", "processname:web "), "{told:#?}");
}

#[test]
fn hostile_listeners_harm_neither_supervision_nor_others() {
    if !has_python() {
        return skip("python3 is not installed");
    }
    let bad = |name: &str, script: &str| {
        let options = "events=EVENT\nbuffer_size=10\nstartsecs=0\nstdout_logfile=NONE\n";
        format!("[eventlistener:{name}]\ncommand=/bin/sh -c '{script}'\n{options}")
    };
    let flood = "i=0; while [ $i -lt 2000 ]; do echo line $i of a talkative program; i=$((i+1)); done; exec sleep 1000";
    let sections = [
        listener("good", "PROCESS_STATE", ""),
        bad("garbage", "while :; do echo garbage; sleep 0.01; done"),
        bad("endless", "head -c 100000000 /dev/zero; exec sleep 1000"),
        bad("busyendless", "echo READY; read line; head -c 100000000 /dev/zero; exec sleep 1000"),
        bad("deaf", "echo READY; exec sleep 1000"),
        bad("closed", "exec <&-; echo READY; exec sleep 1000"),
        bad("dies", "echo READY; read line; exit 1"),
        bad("liar", "echo READY; read line; echo RESULT 1000000000; exec sleep 1000"),
        bad("rejects", "while :; do echo READY; read line; printf \"RESULT 4\\nFAIL\"; done"),
        sh("flood", flood, "startsecs=0 stdout_events_enabled=true stderr_events_enabled=true"),
        sh("restarts", "sleep 0.2; exit 1", "startsecs=0 autorestart=true"),
    ]
    .concat();
    let mut daemon = Setting::supervisord(&*sections).start();
    let directory = daemon.path("");
    let restarts = || {
        let told = events(&directory, "good");
        told.iter().filter(|(kind, of)| kind == "PROCESS_STATE_EXITED" && of.contains("processname:restarts ")).count()
    };
    wait_until("a program is restarted, and the good listener learns of it", || restarts() >= 3);
    let asked = Instant::now();
    assert_eq!(daemon.state("flood"), "RUNNING");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let memory = daemon.memory("VmHWM");
    assert!(memory < 100 * 1024, "{memory} kB");
    daemon.log.wait_for_words("pool deaf event buffer overflowed, discarding event ");
    daemon.log.wait_for_words("garbage: has entered the UNKNOWN state and will no longer receive events");
    // They are stopped with their events unread, after half a second of grace and not at the end of `stopwaitsecs`.
    let took = daemon.finish();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_reload_announces_groups_and_a_new_pool_gets_events() {
    if !has_python() {
        return skip("python3 is not installed");
    }
    let old = [listener("l", "PROCESS_GROUP", ""), sh("gone", "exec sleep 1000", "startsecs=0")].concat();
    let new =
        [listener("l", "PROCESS_GROUP", ""), listener("m", "PROCESS_STATE", ""), sh("new", "sleep 1000", "")].concat();
    let mut daemon = Setting::supervisord(old).start();
    let directory = daemon.path("");
    daemon.wait_for_running("gone");
    wait_until("it knows of the group", || has(&events(&directory, "l"), "PROCESS_GROUP_ADDED", "groupname:gone\n"));
    daemon.rewrite(&Setting::supervisord(new));
    daemon.signal(1);
    wait_until("the new group is announced", || {
        has(&events(&directory, "l"), "PROCESS_GROUP_ADDED", "groupname:new\n")
    });
    assert!(has(&events(&directory, "l"), "PROCESS_GROUP_REMOVED", "groupname:gone\n"));
    wait_until("the new pool has events", || {
        has(&events(&directory, "m"), "PROCESS_STATE_RUNNING", "processname:new ")
    });
    daemon.finish();
}

#[test]
fn a_program_of_a_toml_file_may_be_a_listener() {
    if !has_python() {
        return skip("python3 is not installed");
    }
    let record = tempfile::tempdir().expect("a temporary directory can be created");
    let (script, path) = (&*SCRIPT, record.path().join("l.events"));
    let mut daemon = Setting::supervising(format!(
        "[program.l]\ncommand = [\"python3\", {script:?}, {path:?}]\nstdin = \"supervisor-events\"\n\
         events = [\"PROCESS_STATE\"]\nstartsecs = 0\n[program.web]\ncommand = \"sleep 1000\"\nnumprocs = 2\nstartsecs = 0\n"
    ))
    .start();
    let is_up = |name: &str| {
        let part = format!("processname:{name} groupname:web from_state:STARTING pid:N");
        has(&events(record.path(), "l"), "PROCESS_STATE_RUNNING", &part)
    };
    wait_until("the listener has got both", || is_up("web:0") && is_up("web:1"));
    assert_eq!(daemon.client.request("POST", "/v1/programs/l/stdin", "x").status, 409);
    daemon.finish();
}

/// As the package supervisor-stdout answers, which many images use: with the event itself.
const ECHO: &str = r#"
import sys
while True:
    sys.stdout.write("READY\n"); sys.stdout.flush()
    header = dict(word.split(":") for word in sys.stdin.readline().split())
    payload = sys.stdin.read(int(header["len"]))
    sys.stdout.write("RESULT %d\n%s" % (len(payload.encode()), payload)); sys.stdout.flush()
"#;

#[test]
fn results_of_supervisor_stdout_are_printed() {
    if !has_python() {
        return skip("python3 is not installed");
    }
    let script = std::env::temp_dir().join(format!("muster-echo-{}.py", std::process::id()));
    fs::write(&script, ECHO).expect("the temporary directory is writable");
    let sections = [
        format!(
            "[eventlistener:stdout]\ncommand=python3 {}\nbuffer_size=100\nevents=PROCESS_LOG\n\
             result_handler=supervisor_stdout:event_handler\nstdout_logfile=NONE\n",
            script.display()
        ),
        sh(
            "web",
            "echo gr\u{fc}\u{df}e; echo oh >&2; exec sleep 1000",
            "stdout_events_enabled=true stderr_events_enabled=true",
        ),
    ];
    let mut daemon = Setting::supervisord(sections.concat()).start();
    let has = |line: &str| String::from_utf8_lossy(&daemon.output()).lines().any(|it| it == line);
    wait_until("both lines are printed", || has("web | stdout | gr\u{fc}\u{df}e") && has("web | stderr | oh"));
    assert!(!daemon.log.text().contains("result_handler"), "{}", daemon.log.text());
    daemon.finish();
    let _ = fs::remove_file(script);
}
