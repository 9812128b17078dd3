//! The resources and the runs of programs, and simulations of the living daemon.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Daemon, Setting, wait_for, wait_until};
use crate::scene::{Scene, login, status};

const PROGRAMS: &str = "\
[program.web]\ncommand = \"sleep 1000\"\nstartsecs = \"10ms\"\nstartretries = 3\nessential = true\n\
backoff = { delay = \"1s\", factor = 2, jitter = 0 }\n\
[program.db]\ncommand = \"sleep 1000\"\nstartsecs = \"10ms\"\nnumprocs = 2\n\
[program.job]\ncommand = \"sleep 1000\"\nautostart = false\n";

fn start() -> Daemon {
    let daemon = Setting::supervising(PROGRAMS).start();
    for name in ["web", "db:0", "db:1"] {
        daemon.wait_for_running(name);
    }
    daemon
}

/// The answer to a question, once no other simulation and no pause is in its way.
fn asked(daemon: &Daemon, body: &Value) -> Answer {
    wait_for("it is its turn", || {
        let answer = daemon.client.request("POST", "/v1/simulate", &body.to_string());
        (!answer.body.contains("urn:muster:busy")).then_some(answer)
    })
}

fn simulated(daemon: &Daemon, body: &Value) -> Value {
    let answer = asked(daemon, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The changes of an instance: when, to which state, and the decision.
fn changes(simulated: &Value, name: &str) -> Vec<(f64, String, String)> {
    let all = simulated["timeline"].as_array().expect("a list").iter();
    let own = all.filter(|moment| moment["program"] == name && moment["from"].is_string());
    let text = |moment: &Value, field: &str| moment[field].as_str().unwrap_or_default().to_owned();
    own.map(|it| (it["at"].as_f64().unwrap_or(-1.0), text(it, "state"), text(it, "decided"))).collect()
}

#[test]
fn a_crash_now_is_followed_by_what_the_policy_says() {
    let daemon = start();
    let pids =
        || ["web", "db:0", "db:1"].map(|name| daemon.client.get(&format!("/v1/programs/{name}")).json()["pid"].clone());
    let before = pids();
    // Once: it comes back after its delay, and nothing else happens.
    let once = simulated(&daemon, &json!({"runs": {"web": "1"}, "until": 60}));
    let found = changes(&once, "web");
    let words: Vec<(i64, &str)> = found.iter().map(|(at, state, _)| (at.round() as i64, state.as_str())).collect();
    assert_eq!(words, [(0, "BACKOFF"), (1, "STARTING"), (1, "RUNNING")], "{once}");
    assert!(found[0].2.contains("1s"), "the decision names the delay: {}", found[0].2);
    assert_eq!(once["timeline"][0]["end"], "exit status 1");
    assert_eq!((&once["timeline"][0]["run"], &once["timeline"][0]["delay"]), (&json!(1), &json!(1.0)));
    assert!(changes(&once, "db:0").is_empty() && once["exit_code"].is_null(), "{once}");
    // Again and again: it gives up, and the container exits since it is essential.
    let again = simulated(&daemon, &json!({"runs": {"web": "sig:SEGV ×*"}, "until": 3600}));
    let found = changes(&again, "web");
    let backoffs = found.iter().filter(|(_, state, _)| state == "BACKOFF").count();
    assert!(found.iter().any(|(_, state, _)| state == "FATAL") && backoffs == 3, "{again}");
    assert!(again["exit_code"].is_u64() && again["because_of"] == "web", "{again}");
    assert!(!changes(&again, "db:1").is_empty(), "the others are stopped: {again}");
    let at_end =
        again["programs"].as_array().expect("a list").iter().find(|it| it["name"] == "web").expect("it is there");
    assert_eq!((&at_end["state"], &at_end["essential"]), (&json!("FATAL"), &json!(true)));
    assert_eq!((&at_end["runs"], &at_end["restarts"]), (&json!(4), &json!(3)));
    assert_eq!(pids(), before, "nothing has happened");
    assert_eq!(daemon.client.get("/v1/programs/web").json()["state"], "RUNNING");
}

#[test]
fn a_simulation_goes_on_from_the_state_of_now() {
    let programs = "[program.flaky]\ncommand = [\"sh\", \"-c\", \"exit 1\"]\nstartsecs = 5\nstartretries = 9\n\
                    backoff = { delay = \"1000s\", factor = 1, max = \"1000s\", jitter = 0 }\n\
                    [program.slow]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]\nstopwaitsecs = 30\n\
                    [program.later]\ncommand = \"sleep 1\"\nschedule = \"@every 100s\"\n";
    let daemon = Setting::supervising(programs).start();
    wait_until("it waits", || daemon.client.get("/v1/programs/flaky").json()["state"] == "BACKOFF");
    daemon.wait_for_running("slow");
    assert_eq!(daemon.client.post("/v1/programs/slow/stop").status, 202);
    let simulated = simulated(&daemon, &json!({"until": 3600}));
    // It is in its delay, and not at its beginning: the next start comes within that.
    let flaky = changes(&simulated, "flaky");
    let (at, state, _) = flaky.first().unwrap_or_else(|| panic!("{simulated}"));
    assert!((900.0..1000.0).contains(at) && state == "STARTING", "{simulated}");
    // One that is being stopped obeys.
    assert_eq!(changes(&simulated, "slow").last().map(|(_, state, _)| state.as_str()), Some("STOPPED"), "{simulated}");
    let later = changes(&simulated, "later");
    assert!(
        later.first().is_some_and(|(at, state, _)| (0.0..=100.0).contains(at) && state == "STARTING"),
        "{simulated}"
    );
    daemon.signal(9);
}

#[test]
fn questions_that_make_no_sense_are_answered_with_the_reason() {
    let daemon = start();
    for (body, status, word) in [
        (json!({"runs": {"nosuch": "1"}}), 404, "nosuch"),
        (json!({"runs": {"web": "explode"}}), 400, "explode"),
        (json!({"runs": {"web": ""}}), 400, "no run"),
        (json!({"runs": {"web": "1,".repeat(3000) + "1"}}), 400, "4096"),
        (json!({"until": -1}), 400, "-1"),
        (json!({"until": 1e9}), 400, "until"),
        (json!({"untli": 1}), 400, "untli"),
        (json!({"runs": {"web": 1}}), 400, "string"),
    ] {
        let answer = asked(&daemon, &body);
        assert!(answer.status == status && answer.body.contains(word), "{body}: {answer:?}");
    }
    let many: serde_json::Map<String, Value> = (0..257).map(|number| (format!("x{number}"), json!("1"))).collect();
    assert_eq!(asked(&daemon, &json!({"runs": many})).status, 400);
}

/// A client that may read cannot take the daemon's time: simulations are bounded, one at a time, and beside the loop.
#[test]
fn a_flood_of_simulations_delays_nothing_else() {
    let scene = Scene::new();
    let programs = "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n\
                    backoff = { delay = \"1ms\", factor = 1, jitter = 0 }\nstartretries = \"unlimited\"\n";
    let file = scene.place.path().join("read").display().to_string();
    let http = format!(
        "listen = [\"http://127.0.0.1:{}\"]\nuser.read = {{ role = \"read\", token_file = \"{file}\" }}",
        scene.port
    );
    let daemon = Setting::supervising(programs).http(&http).start().listening();
    daemon.wait_for_running("web");
    let endless = json!({"runs": {"web": "1@1ms ×*"}, "until": 31_536_000}).to_string();
    let long = asked(&daemon, &json!({"runs": {"web": "1@1ms ×*"}, "until": 31_536_000}));
    assert!(long.status == 503 && long.body.contains("urn:muster:too-long") && long.body.contains("hint"), "{long:?}");
    let end = Instant::now() + Duration::from_secs(2);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|threads| {
        let flood = || {
            let mut refused = 0;
            while Instant::now() < end {
                let head = scene.head("POST /v1/simulate", &login("read"), &endless);
                assert_eq!(status(&head), 503, "{head}");
                refused += 1;
            }
            refused
        };
        let floods: Vec<_> = (0..4).map(|_| threads.spawn(flood)).collect();
        while Instant::now() < end {
            let began = Instant::now();
            assert_eq!(daemon.client.get("/v1/programs/web").status, 200);
            slowest = slowest.max(began.elapsed());
        }
        refused = floods.into_iter().map(|flood| flood.join().expect("it ends")).sum();
    });
    println!("{refused} questions refused; the slowest other request took {slowest:?}");
    assert!(refused > 4 && slowest < Duration::from_secs(1), "{refused} {slowest:?}");
    assert_eq!(daemon.client.get("/v1/programs/web").json()["state"], "RUNNING");
}

#[test]
fn resources_of_the_selected_instances_are_measured() {
    let programs = "[program.busy]\ncommand = [\"sh\", \"-c\", \"sleep 1000 & while :; do :; done\"]\n\
                    [program.idle]\ncommand = \"sleep 1000\"\n[program.off]\ncommand = \"sleep 1\"\nautostart = false\n";
    let daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("busy");
    daemon.wait_for_running("idle");
    let stats = |query: &str| daemon.client.get(&format!("/v1/stats{query}")).json();
    let of = |stats: &Value, name: &str| {
        let all = stats["programs"].as_array().expect("a list");
        all.iter().find(|it| it["name"] == name).cloned().unwrap_or_else(|| panic!("{name}: {stats}"))
    };
    let all = stats("");
    let names: Vec<&str> =
        all["programs"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["busy", "idle", "off"]);
    let nothing = json!({"name": "off", "run": null, "processes": 0, "memory": 0, "cpu_seconds": 0.0, "restarts": 0});
    assert_eq!(of(&all, "off"), nothing);
    assert!(of(&all, "idle")["memory"].as_u64() > Some(100_000) && of(&all, "idle")["processes"] == 1, "{all}");
    wait_until("it has both processes", || of(&stats("?select=busy"), "busy")["processes"] == 2);
    let before = of(&stats("?select=busy"), "busy")["cpu_seconds"].as_f64().expect("a number");
    wait_until("it uses the processor", || {
        of(&stats("?select=busy"), "busy")["cpu_seconds"].as_f64() > Some(before + 0.05)
    });
    assert_eq!(stats("?select=i*")["programs"].as_array().map(Vec::len), Some(1));
    assert_eq!(daemon.client.get("/v1/stats?select=nosuch").status, 404);
}

#[test]
fn runs_are_listed_from_the_oldest_with_their_ends() {
    let programs = "[program.flaky]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\nstartsecs = 0\nstartretries = 2\nrestart = \"always\"\n\
                    backoff = { delay = \"10ms\", factor = 1, jitter = 0 }\n[program.web]\ncommand = \"sleep 1000\"\n";
    let daemon = Setting::supervising(programs).start();
    daemon.wait_for_running("web");
    let runs = |query: &str| daemon.client.get(&format!("/v1/runs{query}")).json();
    wait_until("it has some", || runs("?select=flaky")[0]["runs"].as_array().is_some_and(|runs| runs.len() >= 3));
    let all = runs("");
    let flaky = all[0]["runs"].as_array().expect("a list");
    assert_eq!(
        (&all[0]["name"], &all[1]["name"], &all[1]["state"]),
        (&json!("flaky"), &json!("web"), &json!("RUNNING"))
    );
    let numbers: Vec<u64> = flaky.iter().filter_map(|run| run["run"].as_u64()).collect();
    assert!(numbers.is_sorted() && numbers.len() == flaky.len(), "{all}");
    let first = &flaky[0];
    assert_eq!((&first["exit"]["code"], &first["ended_by"]), (&json!(3), &json!("itself")), "{first}");
    assert!(first["verdict"].is_string() && first["ended_at"].as_str() >= first["started_at"].as_str(), "{first}");
    let present = &all[1]["runs"][0];
    assert!(
        present["started_at"].is_string() && present["ended_at"].is_null() && present["exit"].is_null(),
        "{present}"
    );
    // A time ahead leaves the present run only.
    let none = runs("?since=2099-01-01T00:00:00Z");
    assert_eq!(none[1]["runs"].as_array().map(Vec::len), Some(1), "{none}");
    assert!(none[0]["runs"].as_array().is_some_and(|runs| runs.iter().all(|run| run["ended_at"].is_null())), "{none}");
    assert_eq!(daemon.client.get("/v1/runs?since=yesterday").status, 400);
    assert_eq!(daemon.client.get("/v1/runs?select=nosuch").status, 404);
}
