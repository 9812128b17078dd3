//! Streams of events beside the original: the same scenes are played with both, and listeners must read the same.
//!
//! Serial numbers are compared as they are, pids and times are not. Programs that come up at the same moment do so in any
//! order, and a shutdown of the original stops its listeners before they have read everything.

#[path = "harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use harness::{Supervisord, find, wait_until};

const LISTENER: &str = r#"
import json, sys
record = open(sys.argv[1], "a")
while True:
    sys.stdout.write("READY\n"); sys.stdout.flush()
    line = sys.stdin.readline()
    if not line: break
    header = dict(word.split(":", 1) for word in line.split())
    payload = sys.stdin.read(int(header["len"]))
    words = [header[name] for name in ("ver", "server", "pool", "serial", "poolserial", "eventname")]
    record.write(json.dumps(words + [payload]) + "\n"); record.flush()
    sys.stdout.write("RESULT 2\nOK"); sys.stdout.flush()
"#;

/// All types but ticks, which come when they come.
const NO_TICKS: &str =
    "PROCESS_STATE,PROCESS_GROUP,SUPERVISOR_STATE_CHANGE,REMOTE_COMMUNICATION,PROCESS_COMMUNICATION,PROCESS_LOG";

const STOPPING: &str = "SUPERVISOR_STATE_CHANGE_STOPPING";

/// The script of listeners, outside of the daemon's directory: it must be there before a daemon is.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("muster-scenes-{}.py", std::process::id()));
    std::fs::write(&path, LISTENER).expect("the temporary directory is writable");
    path.display().to_string()
});

fn listener(name: &str, events: &str, rest: &str) -> String {
    let script = &*SCRIPT;
    format!(
        "[eventlistener:{name}]\ncommand=python3 {script} @/{name}.events\nevents={events}\nbuffer_size=1000\nstartsecs=0\n\
         stdout_logfile=NONE\nstderr_logfile=@/{name}.err\n{rest}\n"
    )
}

fn program(name: &str, command: &str, options: &str) -> String {
    format!("[program:{name}]\ncommand={command}\n{}\n", options.replace(' ', "\n"))
}

fn sleeper(name: &str, options: &str) -> String {
    program(name, "sleep 1000", options)
}

/// An event that a listener has read: its numbers, its type and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    serial: u64,
    pool_serial: u64,
    kind: String,
    payload: String,
}

impl Told {
    fn is(&self, kind: &str, part: &str) -> bool {
        self.kind == kind && self.payload.contains(part)
    }

    /// The process that it is about, if it is about one.
    fn process(&self) -> Option<&str> {
        self.payload.strip_prefix("processname:")?.split(' ').next()
    }
}

fn told(server: &Supervisord, listener: &str) -> Vec<Told> {
    let text = server.text(&format!("{listener}.events"));
    let parsed = text.lines().filter_map(|line| serde_json::from_str::<[String; 7]>(line).ok());
    let told = parsed.map(|[version, identifier, pool, serial, pool_serial, kind, payload]| {
        assert_eq!([version, identifier, pool], ["3.0", "supervisor", listener].map(str::to_owned));
        let number = |text: &str| text.parse().expect("it is a number");
        Told { serial: number(&serial), pool_serial: number(&pool_serial), kind, payload: normalized(&payload) }
    });
    told.collect()
}

/// Without pids and times.
fn normalized(payload: &str) -> String {
    let (first, rest) = payload.split_once('\n').map_or((payload, None), |(first, rest)| (first, Some(rest)));
    let word = |word: &str| match word.split_once(':') {
        Some(("pid", pid)) if pid != "0" => "pid:N".to_owned(),
        Some(("when", _)) => "when:T".to_owned(),
        _ => word.to_owned(),
    };
    let first = first.split(' ').map(word).collect::<Vec<_>>().join(" ");
    rest.map_or(first.clone(), |rest| format!("{first}\n{rest}"))
}

fn wait_for(server: &Supervisord, count: usize, kind: &str, part: &str) {
    let counted = || told(server, "l").iter().filter(|told| told.is(kind, part)).count();
    wait_until(&format!("{count} of {kind} {part}"), || counted() >= count);
}

/// Plays the same with both and ends them. Returns the events of their listeners called `l`, ours first.
fn play(sections: &str, scene: impl Fn(&Supervisord) + Sync) -> Option<[Vec<Told>; 2]> {
    let mut servers = Supervisord::both(sections)?;
    std::thread::scope(|scope| {
        for server in &mut servers {
            scope.spawn(|| {
                scene(server);
                server.signal(15);
                let end = server.child.wait().expect("it is a child of this process");
                assert_eq!(end.code(), Some(0));
            });
        }
    });
    Some(servers.each_ref().map(|server| told(server, "l")))
}

/// All events before the shutdown, except those of programs that came up at the same moment.
fn in_order(told: &[Told]) -> Vec<Told> {
    let end = told.iter().rposition(|told| told.is(STOPPING, "")).unwrap_or(told.len());
    told[..end].iter().filter(|told| told.kind != "PROCESS_STATE_RUNNING").cloned().collect()
}

/// The events of each process.
fn by_process(told: &[Told]) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let mut all: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for told in told {
        if let Some(process) = told.process() {
            all.entry(process).or_default().push((&told.kind, &told.payload));
        }
    }
    all
}

/// Ours must have told all that the original has told, in its order, and the rest of the shutdown as well.
#[track_caller]
fn compare([ours, theirs]: &[Vec<Told>; 2]) {
    assert_eq!(in_order(ours), in_order(theirs), "\nours: {ours:#?}\ntheirs: {theirs:#?}");
    let (our, their) = (by_process(ours), by_process(theirs));
    for (process, their) in their {
        let our = our.get(process).map_or(&[][..], Vec::as_slice);
        assert!(our.starts_with(&their), "{process}\nours: {our:#?}\ntheirs: {their:#?}");
    }
}

/// The listener has read of the end of everything else, before its own stop signal, which it gets last.
#[track_caller]
fn assert_all_ends_were_told(told: &[Told], processes: &[&str]) {
    let end = told.iter().rposition(|told| told.is(STOPPING, "")).expect("the shutdown was announced");
    for process in processes {
        let name = format!("processname:{process} ");
        let is_told = told[end..].iter().any(|told| told.is("PROCESS_STATE_STOPPED", &name));
        assert!(is_told, "{process}: {told:#?}");
    }
    assert!(told.last().is_some_and(|last| last.is("PROCESS_STATE_STOPPING", "processname:l ")), "{told:#?}");
}

#[test]
fn a_boot_and_a_shutdown_with_groups_and_priorities() {
    let sections = [
        listener("l", NO_TICKS, ""),
        sleeper("a", "priority=5"),
        sleeper("b", "priority=3"),
        "[group:g]\nprograms=x,y\npriority=4\n".to_owned(),
        sleeper("x", "priority=9"),
        sleeper("y", "priority=2"),
    ];
    let Some(both) = play(&sections.concat(), |server| wait_for(server, 5, "PROCESS_STATE_RUNNING", "")) else {
        return;
    };
    compare(&both);
    assert_all_ends_were_told(&both[0], &["a", "x", "y", "b"]);
}

#[test]
fn groups_that_are_removed_and_added_and_an_event_of_a_client() {
    let Some(both) = play(&[listener("l", NO_TICKS, ""), sleeper("a", "")].concat(), |server| {
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:a ");
        server.ctl(&["stop", "a"]);
        server.ctl(&["remove", "a"]);
        server.ctl(&["add", "a"]);
        wait_for(server, 2, "PROCESS_STATE_RUNNING", "processname:a ");
        let value = |text: &str| format!("<param><value><string>{text}</string></value></param>");
        let params = format!("<params>{}{}</params>", value("type of it"), value("data\nin \u{e9} lines"));
        server.call("sendRemoteCommEvent", &params);
        wait_for(server, 1, "REMOTE_COMMUNICATION", "");
    }) else {
        return;
    };
    compare(&both);
    assert!(both[0].iter().any(|told| told.payload == "type:type of it\ndata\nin \u{e9} lines"), "{both:#?}");
    assert_all_ends_were_told(&both[0], &["a"]);
}

#[test]
fn an_update_removes_and_adds_a_changed_group() {
    let before = [listener("l", NO_TICKS, ""), sleeper("a", "")].concat();
    let Some(both) = play(&before, |server| {
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:a ");
        let changed = program("a", "sleep 1001", "");
        server.rewrite(&[listener("l", NO_TICKS, ""), changed, sleeper("n", "startsecs=0")].concat());
        server.ctl(&["update"]);
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:n ");
        wait_for(server, 2, "PROCESS_STATE_RUNNING", "processname:a ");
        server.rewrite(&listener("l", NO_TICKS, ""));
        server.ctl(&["update"]);
        wait_for(server, 1, "PROCESS_GROUP_REMOVED", "groupname:n");
        wait_for(server, 2, "PROCESS_GROUP_REMOVED", "groupname:a");
    }) else {
        return;
    };
    compare(&both);
}

/// Everything is stopped and announced again: pools count from 0, the daemon counts on.
fn restart(order: impl Fn(&Supervisord) + Sync) {
    let before = [listener("l", NO_TICKS, ""), sleeper("a", ""), sleeper("gone", "")].concat();
    let Some(both) = play(&before, |server| {
        wait_for(server, 3, "PROCESS_STATE_RUNNING", "");
        server.rewrite(&[listener("l", NO_TICKS, ""), sleeper("a", ""), sleeper("n", "")].concat());
        order(server);
        wait_for(server, 6, "PROCESS_STATE_RUNNING", "");
    }) else {
        return;
    };
    let [ours, theirs] = both.each_ref().map(|told| {
        let again = told.iter().rposition(|told| told.pool_serial == 0).expect("there is a first event");
        let (before, after) = told.split_at(again);
        (in_order(before), in_order(after), before.to_vec())
    });
    assert_eq!((&ours.0, &ours.1), (&theirs.0, &theirs.1));
    assert_eq!((ours.1[0].kind.as_str(), ours.1[0].payload.as_str()), ("PROCESS_GROUP_ADDED", "groupname:l\n"));
    assert_all_ends_were_told(&ours.2, &["a", "gone"]);
}

#[test]
fn a_restart_by_signal_begins_anew() {
    restart(|server| server.signal(1));
}

#[test]
fn a_restart_by_a_client_begins_anew() {
    restart(|server| drop(server.ctl(&["reload"])));
}

#[test]
fn every_state_and_a_stop_between_two_starts() {
    let sections = [
        listener("l", NO_TICKS, ""),
        program("fatal", "false", "startretries=1"),
        program("fails", "sh -c 'sleep 1.5; exit 3'", "autorestart=false"),
        program("exits", "sh -c 'sleep 1.5; exit 0'", "autorestart=unexpected"),
        program("absent", "/no/such", "startretries=0"),
        program("quick", "sh -c 'exit 0'", "startsecs=0 autorestart=false"),
        program("again", "false", "startretries=5"),
        sleeper("hurt", "autorestart=false"),
    ];
    let Some([ours, theirs]) = play(&sections.concat(), |server| {
        wait_for(server, 2, "PROCESS_STATE_BACKOFF", "processname:again ");
        server.ctl(&["stop", "again"]);
        for (kind, process) in
            [("FATAL", "fatal"), ("EXITED", "fails"), ("EXITED", "exits"), ("FATAL", "absent"), ("EXITED", "quick")]
        {
            wait_for(server, 1, &format!("PROCESS_STATE_{kind}"), &format!("processname:{process} "));
        }
        wait_for(server, 1, "PROCESS_STATE_STOPPED", "processname:again ");
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:hurt ");
        server.ctl(&["signal", "KILL", "hurt"]);
        wait_for(server, 1, "PROCESS_STATE_EXITED", "processname:hurt ");
    }) else {
        return;
    };
    let (mut our, their) = (by_process(&ours), by_process(&theirs));
    our.get_mut("l").expect("it was started").truncate(their["l"].len());
    assert_eq!(our, their);
}

#[test]
fn output_and_captured_text_also_of_what_was_sent_to_standard_input() {
    // Not before everything is up: that may come in any order.
    let script = "sleep .5; echo a line that is longer than a token is; sleep .3; echo so is this one of standard error >&2; \
                  sleep .3; printf \"\\\\210\\\\377 is no text, but as long as the others are\\\\n\"; exec sleep 1000";
    let sections = [
        listener("l", NO_TICKS, ""),
        program(
            "talk",
            &format!("sh -c '{script}'"),
            "startsecs=0 stdout_events_enabled=true stderr_events_enabled=true",
        ),
        program("cat", "cat", "startsecs=0 stdout_events_enabled=true stdout_capture_maxbytes=1MB"),
    ];
    let Some(both) = play(&sections.concat(), |server| {
        wait_for(server, 1, "PROCESS_LOG_STDOUT", "is no text");
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:cat ");
        let text = "&lt;!--XSUPERVISOR:BEGIN--&gt;gr\u{fc}\u{df}e&lt;!--XSUPERVISOR:END--&gt;";
        let value = |text: &str| format!("<param><value><string>{text}</string></value></param>");
        server.call("sendProcessStdin", &format!("<params>{}{}</params>", value("cat"), value(text)));
        wait_for(server, 1, "PROCESS_COMMUNICATION_STDOUT", "gr\u{fc}\u{df}e");
    }) else {
        return;
    };
    compare(&both);
}

#[test]
fn two_pools_get_what_they_subscribe_to_with_numbers_of_their_own() {
    let kinds = "SUPERVISOR_STATE_CHANGE,PROCESS_STATE_RUNNING";
    let sections = [listener("l", "PROCESS_STATE", ""), listener("m", kinds, "priority=5"), sleeper("a", "")].concat();
    let Some(servers) = Supervisord::both(&sections) else { return };
    let [ours, theirs] = servers.each_ref().map(|server| {
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:a ");
        wait_until("the other has read it as well", || told(server, "m").len() >= 4);
        [told(server, "l"), told(server, "m")].map(|mut told| {
            // Three processes came up in any order.
            told.iter_mut().filter(|it| it.kind == "PROCESS_STATE_RUNNING").for_each(|it| it.payload.clear());
            told
        })
    });
    assert_eq!(ours, theirs);
}

#[test]
fn each_event_goes_to_one_process_of_a_pool() {
    let rest = "numprocs=2\nprocess_name=%(program_name)s_%(process_num)d";
    let sections =
        [listener("l", NO_TICKS, rest), sleeper("w", "numprocs=3 process_name=%(process_num)d startsecs=0")].concat();
    let Some(both) = play(&sections, |server| wait_for(server, 3, "PROCESS_STATE_RUNNING", "groupname:w")) else {
        return;
    };
    // Two processes write the record, and of the shutdown each may still read a part.
    let [ours, theirs] = both.map(|mut told| {
        told.sort_by_key(|told| told.serial);
        let end = told.iter().position(|told| told.kind.ends_with("STOPPING")).unwrap_or(told.len());
        in_order(&told[..end])
    });
    assert_eq!(ours, theirs);
}

#[test]
fn ticks_come_as_often_as_the_subscription_includes_them() {
    let Some([ours, theirs]) = play(&listener("l", "TICK_5,TICK", ""), |server| wait_for(server, 4, "TICK_5", "when:"))
    else {
        return;
    };
    // A whole minute may begin meanwhile.
    let five =
        |told: Vec<Told>| -> Vec<Told> { told.into_iter().filter(|told| told.kind == "TICK_5").take(4).collect() };
    let is_minute = |told: &[Told]| told.iter().any(|told| told.kind != "TICK_5");
    if is_minute(&ours) || is_minute(&theirs) {
        assert_eq!(ours.iter().filter(|told| told.kind == "TICK_60").count() % 2, ours.len() % 2);
        return;
    }
    assert_eq!(five(ours), five(theirs));
}

#[test]
fn a_shutdown_by_a_client_is_announced_and_ends_with_0() {
    let Some(both) = play(&[listener("l", NO_TICKS, ""), sleeper("a", "")].concat(), |server| {
        wait_for(server, 1, "PROCESS_STATE_RUNNING", "processname:a ");
        server.ctl(&["shutdown"]);
        let pid = server.child.id() as i32;
        wait_until("it has ended", || find(pid).is_some_and(|process| process.is_zombie()));
    }) else {
        return;
    };
    compare(&both);
    assert_all_ends_were_told(&both[0], &["a"]);
}

/// A listener that gets one event and then waits for a file, and answers for the rest after that.
const SLOW: &str = r#"
import os, sys, time
record = open(sys.argv[1] + ".events", "a")
while True:
    sys.stdout.write("READY\n"); sys.stdout.flush()
    header = dict(word.split(":", 1) for word in sys.stdin.readline().split())
    payload = sys.stdin.read(int(header["len"]))
    record.write(payload.split("\n")[1] + "\n"); record.flush()
    while not os.path.exists(sys.argv[1] + ".go"): time.sleep(0.01)
    sys.stdout.write("RESULT 2\nOK"); sys.stdout.flush()
"#;

/// The acceptance test of the issue counts: 400 events, of which a pool keeps ten and its listener has one.
#[test]
fn a_slow_listener_loses_what_its_buffer_cannot_hold_and_each_loss_is_logged_once() {
    const EVENTS: usize = 400;
    let script = std::env::temp_dir().join(format!("muster-slow-{}.py", std::process::id()));
    std::fs::write(&script, SLOW).expect("the temporary directory is writable");
    let slow = format!(
        "[eventlistener:slow]\ncommand=python3 {} @/slow\nevents=REMOTE_COMMUNICATION\nbuffer_size=10\nstartsecs=0\n\
         stdout_logfile=NONE\n",
        script.display()
    );
    let sections =
        [slow, listener("l", "REMOTE_COMMUNICATION,PROCESS_STATE", ""), sleeper("web", "startsecs=0")].concat();
    let Some(servers) = Supervisord::both(&sections) else { return };
    for (server, name) in servers.iter().zip(["ours", "theirs"]) {
        let emit = |number: usize| {
            let value = |text: &str| format!("<param><value><string>{text}</string></value></param>");
            let params = format!("<params>{}{}</params>", value("n"), value(&number.to_string()));
            assert!(server.call("sendRemoteCommEvent", &params).is_some(), "{name} answers");
        };
        emit(0);
        let taken = || server.text("slow.events").lines().map(str::to_owned).collect::<Vec<_>>();
        wait_until("the slow listener has one", || taken() == ["0"]);
        let began = std::time::Instant::now();
        (1..EVENTS).for_each(emit);
        eprintln!("{name}: {EVENTS} events in {:?}", began.elapsed());
        // Meanwhile supervision goes on, and others get everything.
        let up = |count: usize| wait_for(server, count, "PROCESS_STATE_RUNNING", "processname:web ");
        up(1);
        server.ctl(&["restart", "web"]);
        up(2);
        wait_for(server, EVENTS, "REMOTE_COMMUNICATION", "type:n");
        let log = server.log();
        let line = "pool slow event buffer overflowed, discarding event ";
        let mut lost: Vec<u64> = log.lines().filter_map(|text| text.split_once(line)?.1.parse().ok()).collect();
        assert_eq!(lost.len(), EVENTS - 1 - 10, "{name}: {log}");
        lost.dedup();
        assert_eq!(lost.len(), EVENTS - 1 - 10, "{name}: each is named once");
        std::fs::write(server.path("slow.go"), "").expect("the test directory is writable");
        wait_until("it has read the rest", || taken().len() == 11);
        let rest: Vec<String> = (EVENTS - 10..EVENTS).map(|number| number.to_string()).collect();
        assert_eq!(taken()[1..], rest, "{name}: the last ten were kept");
    }
    let _ = std::fs::remove_file(script);
}
