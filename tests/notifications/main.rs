//! `[notify.NAME]`: events reach commands and web servers in order, each once, and nothing waits for them.

#[path = "../harness/mod.rs"]
mod harness;

mod acceptance;
mod attacks;
mod server;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, Instant};

use harness::{Daemon, End, Listener, Setting, own_uid, wait_for, wait_until};
use serde_json::Value;
use server::{Does, OK, Request, Server};

/// A program that fails when it is started, and is not tried again.
const BAD: &str = "[program.bad]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\nstartretries = 0\nautostart = false\nstartsecs = 0\n\
                   restart = \"on-failure\"\n";

fn notify(server: &Server, more: &str) -> String {
    format!("[notify.ops]\nwebhook = \"{}\"\n{more}\n", server.url())
}

fn figure(daemon: &Daemon, what: &str, notifier: &str) -> u64 {
    let metrics = daemon.client.get("/metrics").body;
    let line = format!("muster_notify_{what}_total{{notifier=\"{notifier}\"}} ");
    let value = metrics.lines().find_map(|found| found.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().expect("a count")
}

fn kinds(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| request.body["on"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_kind_of_event_reaches_the_server_as_the_api_tells_it() {
    let server = Server::doing(&[OK]);
    let programs = format!(
        "{BAD}{}[program.deaf]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; : > {{here}}/is-deaf; while :; do sleep 1; done\"]\n\
         startsecs = 0\nstopwaitsecs = 0.1\nautostart = false\n\
         [program.flaps]\ncommand = [\"sh\", \"-c\", \"exit 4\"]\nstartretries = 1\nbackoff = {{ delay = 0.1 }}\nstartsecs = 0\n\
         restart = \"on-failure\"\nautostart = false\n",
        notify(&server, "every = 0")
    );
    let mut daemon = Setting::supervising(programs).start();
    let mut events = Listener::of(&daemon, None);
    daemon.ctl(&["start", "bad"]);
    wait_until("it was notified", || server.requests().len() == 2);
    let requests = server.requests();
    assert_eq!(kinds(&requests), ["exit", "fatal"]);
    let known = events.until(|event| event["kind"] == "final");
    for (request, kind) in requests.iter().zip(["ended", "final"]) {
        let mut body = request.body.clone();
        let object = body.as_object_mut().expect("an object");
        let more: Vec<Value> = ["on", "held_back", "host"].iter().filter_map(|key| object.remove(*key)).collect();
        assert_eq!((more.len(), more[1].as_u64()), (3, Some(0)));
        let event = known.iter().find(|event| event["kind"] == kind).expect("the API says it, too");
        assert_eq!(body, *event);
        assert_eq!(request.header("idempotency-key"), Some(event["id"].to_string().as_str()));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    daemon.ctl(&["start", "flaps"]);
    wait_until("it was notified", || server.requests().len() == 6);
    assert_eq!(kinds(&server.requests()[2..]), ["exit", "restart", "exit", "fatal"]);
    daemon.ctl(&["start", "deaf"]);
    wait_until("it is deaf", || daemon.path("is-deaf").exists());
    daemon.ctl(&["stop", "deaf"]);
    wait_until("it was notified", || server.requests().len() == 7);
    assert_eq!(kinds(&server.requests()[6..]), ["killed"]);
    let ids: Vec<u64> = server.requests().iter().map(Request::id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    daemon.finish();
    assert_eq!(kinds(&server.requests()[7..]), ["shutdown"]);
}

#[test]
fn only_the_kinds_and_programs_that_were_asked_for_count() {
    let server = Server::doing(&[OK]);
    let other = BAD.replace("program.bad", "program.web");
    let programs = format!("{BAD}{other}{}", notify(&server, "on = \"fatal\"\nprograms = \"w*\""));
    let mut daemon = Setting::supervising(programs).start();
    daemon.ctl(&["start", "bad"]);
    daemon.ctl(&["start", "web"]);
    wait_until("it was notified", || !server.requests().is_empty());
    daemon.finish();
    let requests = server.requests();
    assert_eq!((kinds(&requests), requests[0].body["name"].as_str()), (vec!["fatal".to_owned()], Some("web")));
}

/// The server resets, hangs and fails before it accepts: the same notification comes again, and the next one after it.
#[test]
fn a_failed_attempt_is_repeated_and_the_order_is_kept() {
    let server = Server::doing(&[Does::Reset, Does::Hang, Does::Answer("500 Oops"), OK]);
    let programs = format!("{BAD}{}", notify(&server, "on = [\"exit\", \"fatal\"]\ntimeout = \"300ms\""));
    let mut daemon = Setting::supervising(programs).start();
    let began = Instant::now();
    daemon.ctl(&["start", "bad"]);
    wait_until("the first attempts failed", || server.requests().len() == 3);
    // After 1 s and 5 s; the end of the daemon cuts the rest short.
    assert!(began.elapsed() >= Duration::from_millis(6300), "{:?}", began.elapsed());
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.id() == requests[0].id() && request.text == requests[0].text));
    assert_eq!(figure(&daemon, "sent", "ops"), 0);
    // The end of the daemon repeats it at once.
    daemon.finish();
    assert_eq!(kinds(&server.requests()), ["exit", "exit", "exit", "exit", "fatal"]);
}

#[test]
fn a_request_that_was_refused_is_not_repeated() {
    let server = Server::doing(&[Does::Answer("404 Not Found"), OK]);
    let programs = format!("{BAD}{}", notify(&server, "on = [\"exit\", \"fatal\"]"));
    let mut daemon = Setting::supervising(programs).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("both were tried", || figure(&daemon, "sent", "ops") == 1);
    assert_eq!((figure(&daemon, "failed", "ops"), server.requests().len()), (1, 2));
    let said = daemon.has_said("cannot deliver a notification");
    assert_eq!(said.len(), 1);
    daemon.finish();
}

#[test]
fn a_crash_loop_is_one_notification_in_a_while_and_none_is_lost_from_the_count() {
    let server = Server::doing(&[OK]);
    let programs = format!(
        "[program.loop]\ncommand = [\"sh\", \"-c\", \"echo >> {{here}}/runs; exit 1\"]\nstartretries = \"unlimited\"\n\
         backoff = {{ delay = 0.01, factor = 1, max = 0.01 }}\nstartsecs = 0\nrestart = \"always\"\n{}",
        notify(&server, "on = \"exit\"\nevery = \"1s\"")
    );
    let mut daemon = Setting::supervising(programs).start();
    wait_until("some were sent", || server.requests().len() >= 4);
    daemon.ctl_well(&["stop", "loop"]);
    let told = server.requests();
    let counted: u64 = told.iter().map(|request| 1 + request.body["held_back"].as_u64().expect("a number")).sum();
    assert_eq!(told[0].body["held_back"], 0);
    // The last ones were held back, and no other follows that would say so.
    let runs = fs::read_to_string(daemon.path("runs")).expect("it ran").lines().count() as u64;
    let last = told.last().expect("there are some").body["run"].as_u64().expect("each run has a number");
    let first = told[0].body["run"].as_u64().expect("each run has a number");
    assert_eq!(counted, last - first + 1, "of {runs} runs");
    assert!(runs > 40 && counted <= runs, "{runs}");
    daemon.finish();
}

#[test]
fn a_full_queue_drops_the_oldest_and_counts_them() {
    let server = Server::doing(&[Does::Hang]);
    let programs = format!(
        "[program.bad]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\nnumprocs = 100\nstartretries = 0\nautostart = false\nstartsecs = 0\n\
         restart = \"on-failure\"\n{}",
        notify(&server, "on = \"fatal\"\nevery = 0\ntimeout = \"5m\"")
    );
    let mut daemon = Setting::supervising(programs).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("all have failed", || {
        let all = daemon.client.get("/v1/programs").json();
        all.as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "FATAL"))
    });
    // 64 wait, and the first is being sent, unless all came before it could be.
    wait_until("the others were dropped", || figure(&daemon, "dropped", "ops") >= 100 - 65);
    server.does(OK);
    // The one that hangs is given up when its connection ends.
    wait_until("all others were sent", || figure(&daemon, "sent", "ops") + figure(&daemon, "dropped", "ops") == 100);
    let sent = figure(&daemon, "sent", "ops");
    assert!([64, 65].contains(&sent), "{sent} were sent");
    let ids: Vec<u64> = server.requests().iter().skip(1).map(Request::id).collect();
    assert!(ids.is_sorted() && ids.len() as u64 == sent, "{ids:?}");
    daemon.finish();
}

#[test]
fn a_command_reads_the_event_and_runs_as_its_user() {
    let uid = if own_uid() == 0 { 12_345 } else { own_uid() };
    let programs = format!(
        "{BAD}[notify.ops]\non = \"fatal\"\nuser = \"{uid}:{uid}\"\n\
         exec = [\"sh\", \"-c\", \"cd {{here}}/place; cat > $MUSTER_EVENT; id -u > uid; \
         echo $MUSTER_PROGRAM $MUSTER_NOTIFIER $MUSTER_EVENT_ID > words; mv words done\"]\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    fs::set_permissions(daemon.path(""), Permissions::from_mode(0o755)).expect("it is ours");
    fs::create_dir(daemon.path("place")).expect("it is ours");
    chown(daemon.path("place"), Some(uid), Some(uid)).expect("root may, and others give it to themselves");
    daemon.ctl(&["start", "bad"]);
    wait_until("it was notified", || daemon.path("place/done").exists());
    let read = |name: &str| fs::read_to_string(daemon.path("place").join(name)).expect("it was written");
    let event: Value = serde_json::from_str(&read("fatal")).expect("it is JSON");
    assert_eq!((&event["kind"], &event["name"], &event["on"]), (&"final".into(), &"bad".into(), &"fatal".into()));
    assert_eq!(read("done"), format!("bad ops {}\n", event["id"]));
    assert_eq!(read("uid").trim(), uid.to_string());
    wait_until("it counts", || figure(&daemon, "sent", "ops") == 1);
    daemon.finish();
}

/// Also what has left its session and its group.
#[test]
fn a_command_that_hangs_is_killed_with_its_tree_and_the_next_notification_follows() {
    let programs = format!(
        "{BAD}[notify.ops]\non = [\"exit\", \"fatal\"]\nretries = 0\ntimeout = \"500ms\"\n\
         exec = [\"sh\", \"-c\", \"setsid sleep 1234 & echo x >> {{here}}/begun; sleep 1234\"]\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("both were given up", || figure(&daemon, "failed", "ops") == 2);
    let begun = fs::read_to_string(daemon.path("begun")).expect("it began");
    assert_eq!(begun.lines().count(), 2);
    wait_until("nothing is left", || daemon.processes().is_empty());
    let said = daemon.has_said("cannot deliver a notification");
    assert!(said[0].field("reason").is_some_and(|it| it.contains("timed out after 500ms")), "{said:?}");
    daemon.finish();
}

#[test]
fn a_command_that_fails_is_repeated_and_its_words_are_logged() {
    let programs = format!(
        "{BAD}[notify.ops]\non = \"fatal\"\nretries = 1\n\
         exec = [\"sh\", \"-c\", \"echo x >> {{here}}/tries; echo no relay >&2; exit 75\"]\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("it was given up", || figure(&daemon, "failed", "ops") == 1);
    assert_eq!(fs::read_to_string(daemon.path("tries")).expect("it began").lines().count(), 2);
    let said = daemon.has_said("cannot deliver a notification");
    assert!(said[0].field("reason").is_some_and(|it| it.contains("exit status 75: no relay")), "{said:?}");
    daemon.finish();
}

#[test]
fn a_reload_changes_notifiers_in_place() {
    let (first, second) = (Server::doing(&[OK]), Server::doing(&[OK]));
    let of = |notifiers: &str| Setting::supervising(format!("{BAD}{notifiers}"));
    let mut daemon = of(&notify(&first, "on = \"fatal\"\nevery = 0")).start();
    daemon.ctl(&["start", "bad"]);
    wait_until("the first was notified", || first.requests().len() == 1);
    let other = notify(&second, "on = \"fatal\"\nevery = 0\nheaders = { Authorization = \"Bearer hunter2-token\" }");
    daemon.rewrite(&of(&other));
    assert_eq!(daemon.ctl_well(&["update", "--dry-run"]), "[notify.ops]: would be changed in place\n");
    assert_eq!(daemon.ctl_well(&["update"]), "[notify.ops]: changed in place\n");
    assert_eq!(daemon.ctl_well(&["update"]), "nothing changed\n");
    daemon.ctl(&["start", "bad"]);
    wait_until("the second was notified", || second.requests().len() == 1);
    assert_eq!(second.requests()[0].header("authorization"), Some("Bearer hunter2-token"));
    // The counts go on.
    wait_until("it counts", || figure(&daemon, "sent", "ops") == 2);
    let config = daemon.client.get("/v1/config");
    let shown = &config.json()["notify"]["ops"];
    assert_eq!(shown["webhook"], format!("http://127.0.0.1:{}/…", second.port));
    assert_eq!(shown["headers"]["Authorization"], "***");
    assert!(!config.body.contains("hunter2") && !config.body.contains("/hook"), "{}", config.body);
    // One that is removed gets nothing more, and a mistake changes nothing.
    daemon.rewrite(&of("[notify.ops]\nwebhook = \"ftp://x\"\n"));
    assert!(!daemon.ctl(&["update"]).out.contains("changed in place"));
    daemon.ctl(&["start", "bad"]);
    wait_until("the second was notified", || second.requests().len() == 2);
    daemon.rewrite(&of(""));
    assert_eq!(daemon.ctl_well(&["update"]), "[notify.ops]: changed in place\n");
    daemon.ctl(&["start", "bad"]);
    daemon.finish();
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
}

#[test]
fn the_last_notifications_delay_the_exit_by_a_second_at_most() {
    for (does, most, least) in [(OK, 20_000, 0), (Does::Hang, 5000, 900)] {
        let server = Server::doing(&[does]);
        let mut daemon = Setting::supervising(format!("{BAD}{}", notify(&server, "on = \"shutdown\""))).start();
        let took = daemon.finish();
        assert_eq!(kinds(&server.requests()), ["shutdown"]);
        assert!((least..most).contains(&took.as_millis()), "{took:?}");
    }
    // A command gets the same time, and does not outlive the daemon.
    let programs = format!(
        "{BAD}[notify.ops]\non = \"shutdown\"\nexec = [\"sh\", \"-c\", \"cat > {{here}}/told; setsid sleep 1234 & sleep 1234\"]\n"
    );
    let mut daemon = Setting::supervising(programs).start();
    let took = daemon.finish();
    assert!((900..5000).contains(&took.as_millis()), "{took:?}");
    assert!(fs::read_to_string(daemon.path("told")).is_ok_and(|told| told.contains("\"kind\":\"shutdown\"")));
}

/// A shutdown budget of nothing leaves nothing for notifications.
#[test]
fn the_shutdown_budget_includes_them() {
    let server = Server::doing(&[Does::Hang]);
    let programs = format!("{BAD}{}", notify(&server, "on = \"shutdown\""));
    let mut daemon =
        Setting::supervising(programs).musterd("exit_when_done = false\nshutdown_timeout = \"300ms\"").start();
    daemon.terminate();
    let began = Instant::now();
    assert_eq!(daemon.wait(), End::Code(0));
    assert!(began.elapsed() < Duration::from_millis(950), "{:?}", began.elapsed());
}

#[test]
fn memory_that_ran_out_is_told_as_such_where_the_kernel_says_so() {
    // Without an OOM kill: a SIGKILL from outside is an unexpected exit and nothing else.
    let server = Server::doing(&[OK]);
    let programs = format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\nrestart = \"no\"\n{}",
        notify(&server, "on = [\"oom\", \"exit\"]\nevery = 0")
    );
    let mut daemon = Setting::supervising(programs).start();
    harness::send(daemon.wait_for_running("web"), 9);
    let told = wait_for("it was notified", || server.requests().pop());
    assert_eq!((told.body["on"].as_str(), told.body["kind"].as_str()), (Some("exit"), Some("ended")));
    daemon.finish();
}
