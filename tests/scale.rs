//! `musterctl scale`: more and fewer instances of a program while it runs, and nothing else is touched.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Answer, Client, Daemon, Listener, Setting, wait_until};
use serde_json::{Value, json};

fn setting(keys: &str) -> Setting {
    Setting::supervising(format!(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{keys}\n\
         [program.db]\ncommand = \"sleep 1000\"\nstartsecs = 0\n"
    ))
}

fn scale(client: &Client, name: &str, numprocs: u32) -> Answer {
    client.request("POST", &format!("/v1/programs/{name}/scale"), &json!({ "numprocs": numprocs }).to_string())
}

/// The added and removed instances.
fn changes(answer: &Answer) -> (Value, Value) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = answer.json();
    (report["added"].clone(), report["removed"].clone())
}

/// The pid and run of each running instance.
fn runs(daemon: &Daemon) -> BTreeMap<String, (u64, u64)> {
    let all = daemon.client.get("/v1/programs").json();
    let run = |one: &Value| Some((one["name"].as_str()?.to_owned(), (one["pid"].as_u64()?, one["run"].as_u64()?)));
    all.as_array().expect("a list").iter().filter_map(run).collect()
}

/// Waits until these are the instances, and all of them run.
fn wait_for(daemon: &Daemon, names: &[&str]) -> BTreeMap<String, (u64, u64)> {
    wait_until(&format!("{names:?} run"), || {
        let all = daemon.client.get("/v1/programs").json();
        let all = all.as_array().expect("a list");
        let is_there = |name: &&str| all.iter().any(|one| one["name"] == **name && one["state"] == "RUNNING");
        all.len() == names.len() && names.iter().all(is_there)
    });
    runs(daemon)
}

fn configured(daemon: &Daemon, name: &str) -> (Value, Value) {
    let config = daemon.client.get(&format!("/v1/programs/{name}")).json()["configuration"].clone();
    (config["numprocs"].clone(), config["numprocs_configured"].clone())
}

#[test]
fn others_are_left_alone_and_the_highest_numbers_go() {
    let mut daemon = setting("").start();
    let first = wait_for(&daemon, &["db", "web"]);
    let answer = scale(&daemon.client, "web", 3);
    assert_eq!(changes(&answer), (json!(["web:1", "web:2"]), json!([])), "{answer:?}");
    let more = wait_for(&daemon, &["db", "web:0", "web:1", "web:2"]);
    assert_eq!((more["db"], more["web:0"]), (first["db"], first["web"]));
    assert_eq!(configured(&daemon, "web:1"), (json!(3), json!(1)));
    // The same number again changes nothing.
    assert_eq!(changes(&scale(&daemon.client, "web", 3)), (json!([]), json!([])));
    assert_eq!(changes(&scale(&daemon.client, "web", 2)), (json!([]), json!(["web:2"])));
    let fewer = wait_for(&daemon, &["db", "web:0", "web:1"]);
    assert_eq!((fewer["web:0"], fewer["web:1"]), (more["web:0"], more["web:1"]));
    changes(&scale(&daemon.client, "web", 1));
    assert_eq!(wait_for(&daemon, &["db", "web"]), first);
    daemon.finish();
}

#[test]
fn a_stopped_program_stays_stopped() {
    let mut daemon = setting("autostart = false").start();
    wait_until("db runs", || daemon.state("db") == "RUNNING");
    changes(&scale(&daemon.client, "web", 2));
    assert_eq!((daemon.state("web:0").as_str(), daemon.state("web:1").as_str()), ("STOPPED", "STOPPED"));
    // One that is up brings the next ones up.
    assert_eq!(daemon.client.post("/v1/programs/web:1/start?wait=10").status, 200);
    changes(&scale(&daemon.client, "web", 3));
    wait_until("the third runs", || daemon.state("web:2") == "RUNNING");
    assert_eq!(daemon.state("web:0"), "STOPPED");
    daemon.finish();
}

#[test]
fn it_lasts_until_the_configured_number_is_another() {
    let mut daemon = setting("numprocs = 2").start();
    let three = ["db", "web:0", "web:1", "web:2"];
    wait_for(&daemon, &three[..3]);
    changes(&scale(&daemon.client, "web", 3));
    let before = wait_for(&daemon, &three);
    // Any other change leaves it alone.
    daemon.rewrite(&setting("numprocs = 2\npriority = 5"));
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    assert_eq!(wait_for(&daemon, &three), before);
    assert_eq!(configured(&daemon, "web:0"), (json!(3), json!(2)));
    let reset = daemon.client.post("/v1/config/reload?reset_scale=true");
    assert_eq!(reset.json()["removed"], json!(["web:2"]), "{reset:?}");
    wait_for(&daemon, &three[..3]);
    changes(&scale(&daemon.client, "web", 3));
    wait_for(&daemon, &three);
    // The same number in the configuration ends it, too, and the next one holds.
    for (number, names) in [(3, &three[..]), (2, &three[..3])] {
        daemon.rewrite(&setting(&format!("numprocs = {number}\npriority = 5")));
        assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
        wait_for(&daemon, names);
        assert_eq!(configured(&daemon, "web:0"), (json!(number), json!(number)));
    }
    daemon.finish();
}

#[test]
fn a_program_that_differs_in_its_files_is_not_scaled() {
    let mut daemon = setting("").start();
    let first = wait_for(&daemon, &["db", "web"]);
    daemon.rewrite(&setting("environment = { A = \"1\" }"));
    let answer = scale(&daemon.client, "web", 2);
    assert_eq!((answer.status, answer.json()["type"].as_str()), (409, Some("urn:muster:configuration-changed")));
    assert_eq!(runs(&daemon), first);
    // Another program that differs is neither in the way nor reloaded.
    daemon.rewrite(&Setting::supervising(
        "[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n[program.new]\ncommand = \"sleep 1\"\n",
    ));
    changes(&scale(&daemon.client, "web", 2));
    assert_eq!(wait_for(&daemon, &["db", "web:0", "web:1"])["db"], first["db"]);
    daemon.rewrite(&Setting::supervising("[program.web]\ncommand = 7\n"));
    let answer = scale(&daemon.client, "web", 3);
    assert_eq!((answer.status, answer.json()["type"].as_str()), (422, Some("urn:muster:bad-configuration")));
    daemon.finish();
}

#[test]
fn text_that_names_the_number_changes_nothing_that_runs() {
    let keys = "numprocs = 2\nenvironment = { OF = \"{numprocs}\", TOKEN_SECRET = \"s3cret{instance}\" }";
    let mut daemon = setting(keys).start();
    let first = wait_for(&daemon, &["db", "web:0", "web:1"]);
    changes(&scale(&daemon.client, "web", 3));
    let then = wait_for(&daemon, &["db", "web:0", "web:1", "web:2"]);
    assert_eq!((then["web:0"], then["web:1"]), (first["web:0"], first["web:1"]));
    let has = |name: &str, variable: &str| {
        let pid = i32::try_from(then[name].0).expect("a pid");
        let pid = daemon.process(pid).expect("it runs").pid;
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).expect("it is ours");
        environment.split('\0').any(|given| given == variable)
    };
    assert!(has("web:2", "OF=3") && has("web:0", "OF=2"));
    assert!(!daemon.client.get("/v1/programs/web:2").body.contains("s3cret"));
    daemon.finish();
}

#[test]
fn mistakes_are_refused_with_their_reason() {
    let mut daemon = setting("numprocs = 2\nnumprocs_min = 2\nnumprocs_max = 4").start();
    for (name, number, status, said) in [
        ("web", 0, 422, "web may have 2 to 4 instances"),
        ("web", 5, 422, "web may have 2 to 4 instances"),
        ("web:0", 3, 404, "no such program"),
        ("wbe", 3, 404, "no such program"),
    ] {
        let answer = scale(&daemon.client, name, number);
        assert_eq!((answer.status, answer.body.contains(said)), (status, true), "{name} {number}: {answer:?}");
    }
    assert!(scale(&daemon.client, "web", 0).body.contains("musterctl stop web"));
    for body in ["", "{}", "{\"numprocs\": -1}", "{\"numprocs\": 3, \"x\": 1}", "{\"numprocs\": 1e9}"] {
        let answer = daemon.client.request("POST", "/v1/programs/web/scale", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    daemon.finish();
}

#[test]
fn a_scale_waits_for_a_rolling_restart() {
    let place = tempfile::tempdir().expect("there is room");
    let gate = place.path().join("gate");
    fs::write(&gate, "").expect("the test directory is writable");
    // A start lasts until the gate is there.
    let hook = format!("pre_start = [\"sh\", \"-c\", \"until [ -e {} ]; do sleep 0.02; done\"]", gate.display());
    let mut daemon = setting(&format!("numprocs = 3\nrolling = 1\n{hook}")).start();
    let first = wait_for(&daemon, &["db", "web:0", "web:1", "web:2"]);
    fs::remove_file(&gate).expect("it is there");
    let mut listener = Listener::of(&daemon, None);
    listener.next();
    assert_eq!(daemon.client.post("/v1/programs/web:*/restart").status, 202);
    listener.until(|event| event["kind"] == "rolling" && event["outcome"] == "began");
    let body = json!({ "numprocs": 1 }).to_string();
    let late = daemon.client.request("POST", "/v1/programs/web/scale?wait=0.2", &body);
    assert_eq!(late.status, 504, "{late:?}");
    assert!(late.body.contains("nothing was changed"), "{late:?}");
    std::thread::scope(|scope| {
        let client = Client::of(&daemon.socket());
        let scaled = scope.spawn(move || scale(&client, "web", 1));
        fs::write(&gate, "").expect("the test directory is writable");
        let last = |event: &Value| event["kind"] == "rolling" && event["step"] == 3 && event["outcome"] == "done";
        let events = listener.until(last);
        assert!(events.iter().all(|event| event["outcome"] != "failed"), "{events:?}");
        let answer = scaled.join().expect("it is answered");
        assert_eq!(changes(&answer), (json!([]), json!(["web:1", "web:2"])));
    });
    let now = wait_for(&daemon, &["db", "web"]);
    assert_eq!(now["db"], first["db"]);
    assert_ne!(now["web"], first["web:0"]);
    daemon.finish();
}

#[test]
fn many_changes_under_load_touch_no_kept_process() {
    let mut daemon = setting("").start();
    let first = wait_for(&daemon, &["db", "web"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = Client::of(&daemon.socket());
        let is_over = &is_over;
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for path in ["/v1/config/reload", "/v1/programs/db/start", "/v1/programs/web*/start"] {
                    let answer = client.post(path);
                    assert!(matches!(answer.status, 200 | 202 | 404), "{path}: {answer:?}");
                }
            }
        });
        let scaled = (0..20).flat_map(|_| [20, 1]).map(|number| scale(&daemon.client, "web", number).status);
        let answers: Vec<u16> = scaled.collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(answers, [200; 40]);
    });
    assert_eq!(wait_for(&daemon, &["db", "web"]), first);
    daemon.finish();
}
