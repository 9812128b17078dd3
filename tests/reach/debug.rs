//! The daemon looked into: only while that is on, and only for who administers it.

use crate::scene::{Scene, login, status};

const PARTS: [&str; 6] = ["loop", "timers", "fds", "memory", "connections", "recording"];

#[test]
fn parts_exist_only_while_they_are_on_whoever_asks() {
    let scene = Scene::new();
    let daemon = scene.listening();
    for part in PARTS {
        let path = format!("/v1/debug/{part}");
        assert_eq!(daemon.client.get(&path).status, 404, "root");
        for role in ["", &login("read"), &login("admin")] {
            assert_eq!(status(&scene.head(&format!("GET {path}"), role, "")), 404, "{part} {role}");
        }
    }
    daemon.rewrite(&scene.setting("listen = [\"http://127.0.0.1:PORT\"]\ndebug = true"));
    assert_eq!(daemon.client.post("/v1/config/reload").status, 200);
    for part in PARTS {
        let request = format!("GET /v1/debug/{part}");
        let statuses = ["", &login("control"), &login("admin")].map(|role| status(&scene.head(&request, role, "")));
        assert_eq!(statuses, [401, 403, 200], "{part}");
    }
    assert_eq!(daemon.client.get("/v1/debug/nosuch").status, 404);
}

#[test]
fn each_part_shows_what_it_says() {
    let scene = Scene::new();
    let daemon = scene.start("listen = [\"http://127.0.0.1:PORT\"]\ndebug = true");
    let _silent = scene.tcp();
    let part = |name: &str| daemon.client.get(&format!("/v1/debug/{name}")).json();
    let turns = part("loop");
    let count: u64 = turns["turns"].as_array().expect("a list").iter().filter_map(|one| one["count"].as_u64()).sum();
    assert!(count > 0 && turns["longest"].as_f64().is_some_and(|longest| longest > 0.0), "{turns}");
    let slowest = turns["slowest_inputs"].as_array().expect("a list");
    let took: Vec<f64> = slowest.iter().filter_map(|one| one["took"].as_f64()).collect();
    assert!((1..=10).contains(&took.len()) && took.is_sorted_by(|a, b| a >= b), "{turns}");
    assert!(slowest.iter().any(|one| one["input"] == "booted" || one["input"].is_object()), "{turns}");
    let fds = part("fds");
    let seen = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it runs").count() as u64;
    assert!(fds["count"].as_u64().is_some_and(|count| count.abs_diff(seen) < 8), "{fds}, not {seen}");
    assert!(fds["by_kind"]["socket"].as_u64() > Some(1), "{fds}");
    let memory = part("memory");
    assert!(memory["resident_kb"]["Rss"].as_u64() > Some(100), "{memory}");
    assert_eq!(memory["instances"], 1);
    crate::harness::wait_until("the silent connection is shown", || {
        let connections = part("connections");
        let connections = connections["connections"].as_array().cloned().unwrap_or_default();
        connections
            .iter()
            .any(|one| one["client"] == "a client without a login at 127.0.0.1" && one["may_log_in"] == true)
            && connections.iter().any(|one| one["role"] == "admin" && one["is_busy"] == true)
    });
    assert!(part("timers")["timers"].is_array());
}
