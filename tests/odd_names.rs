//! Names that only a supervisord.conf can give: any text, also none, everywhere that a name appears.

#[path = "harness/mod.rs"]
mod harness;

use std::fmt::Write;

use harness::{Daemon, Setting, wait_until};

/// Group and process of each program. A variable brings the process's name, so that nothing checks it.
const NAMES: [(&str, &str); 13] = [
    ("na\u{ef}ve\u{2603}", "na\u{ef}ve\u{2603}"),
    ("two", "two words"),
    ("star", "a*"),
    ("star", "a?[b]"),
    ("list", "a,b"),
    ("list", "all"),
    ("empty", ""),
    ("", ""),
    ("", "lonely"),
    ("colon", "a:b"),
    ("quotes", "\"a\\b' {x=\"1\"}"),
    ("path", "../a/%41?b#c&d"),
    ("line", "=a\nb\u{1b}[31m"),
];

fn namespec((group, process): (&str, &str)) -> String {
    if group == process { process.to_owned() } else { format!("{group}:{process}") }
}

/// Every byte of a path that is not plainly allowed is encoded.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => write!(path, "{}", char::from(byte)),
            byte => write!(path, "%{byte:02X}"),
        };
        path
    })
}

/// As the exposition format writes a label's value.
fn label(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn start() -> Daemon {
    let mut sections = String::new();
    let mut setting_of_names = Vec::new();
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (at, (group, process)) in NAMES.into_iter().enumerate() {
        let _ = write!(
            sections,
            "[program:p{at}]\nprocess_name=%(ENV_NAME_{at})s\nstartsecs=0\nredirect_stderr=true\n\
             command=/bin/sh -c 'echo this is number {at}.; exec sleep 1000'\n"
        );
        setting_of_names.push((format!("NAME_{at}"), process));
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, members)) => members.push(at),
            None => groups.push((group, vec![at])),
        }
    }
    for (group, members) in groups {
        let members: Vec<String> = members.into_iter().map(|at| format!("p{at}")).collect();
        let _ = writeln!(sections, "[group:{group}]\nprograms={}", members.join(","));
    }
    let setting = setting_of_names
        .iter()
        .fold(Setting::supervisord(sections), |setting, (variable, value)| setting.env(variable, value));
    setting.start()
}

/// All instances and their states, as the API lists them.
fn states(daemon: &Daemon) -> Vec<(String, String)> {
    let listed = daemon.client.get("/v1/programs").json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    listed.as_array().expect("a list").iter().map(|one| (text(&one["name"]), text(&one["state"]))).collect()
}

#[test]
fn every_odd_name_can_be_shown_stopped_started_and_read() {
    let daemon = start();
    let names: Vec<String> = NAMES.into_iter().map(namespec).collect();
    let count = |state: &str| states(&daemon).iter().filter(|(_, is)| is == state).count();
    wait_until("all run", || count("RUNNING") == NAMES.len());
    let mut listed: Vec<String> = states(&daemon).into_iter().map(|(name, _)| name).collect();
    let mut expected = names.clone();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    let metrics = daemon.client.get("/metrics").body;
    for (at, name) in names.iter().enumerate() {
        let select = format!("={name}");
        let state = || states(&daemon).into_iter().find(|(is, _)| is == name).expect("it is listed").1;
        let shown: serde_json::Value =
            serde_json::from_str(&daemon.ctl_well(&["--json", "status", &select])).expect("it is JSON");
        let all: Vec<&str> = shown.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(all, [name], "{shown}");
        // One line of text for it, without control characters.
        let table = daemon.ctl_well(&["status", &select]);
        assert_eq!(table.lines().count(), 1, "{table:?}");
        assert!(!table.trim_end().contains(char::is_control), "{table:?}");
        daemon.ctl_well(&["stop", &select]);
        assert_eq!((state().as_str(), count("RUNNING")), ("STOPPED", NAMES.len() - 1), "{name:?}");
        daemon.ctl_well(&["start", &select]);
        assert_eq!((state().as_str(), count("RUNNING")), ("RUNNING", NAMES.len()), "{name:?}");
        let number = format!("this is number {at}.");
        wait_until("its output is there", || daemon.ctl(&["logs", &select]).out.contains(&number));
        // Paths of the API: `=` and the name, encoded.
        let answer = daemon.client.get(&format!("/v1/programs/{}", encoded(&select)));
        assert_eq!(answer.status, 200, "{name:?} {}", answer.body);
        assert_eq!(answer.json()["name"], **name);
        let restarted = daemon.client.post(&format!("/v1/programs/{}/restart", encoded(&select)));
        assert!([200, 202].contains(&restarted.status), "{name:?} {}", restarted.body);
        assert_eq!(restarted.json()["results"][0]["name"], **name);
        wait_until("it runs again", || count("RUNNING") == NAMES.len());
        let sample = format!("name=\"{}\"", label(name));
        assert!(metrics.contains(&sample), "{sample} {metrics}");
    }
}

#[test]
fn supervisorctl_names_the_odd_processes_that_the_original_can_name() {
    let daemon = start();
    let socket = format!("unix://{}", daemon.socket().display());
    wait_until("all run", || states(&daemon).iter().all(|(_, state)| state == "RUNNING"));
    let ctl = |words: &[&str]| {
        let mut command = std::process::Command::new(harness::musterctl());
        std::os::unix::process::CommandExt::arg0(&mut command, "supervisorctl");
        harness::ended(command.args(["-s", &socket]).args(words))
    };
    // Blanks divide words, and a star stands for all of a group only alone.
    for name in ["star:a*", "star:a?[b]", "list:a,b", "list:all", "empty:", ":lonely"] {
        let stopped = ctl(&["stop", name]);
        let all = states(&daemon).into_iter().filter(|(_, state)| state == "STOPPED");
        let stopped_now: Vec<String> = all.map(|(name, _)| name).collect();
        assert!(stopped_now.contains(&name.to_owned()), "{name} {stopped:?} {stopped_now:?}");
        assert_eq!(ctl(&["start", name]).code, Some(0), "{name}");
        wait_until("all run again", || states(&daemon).iter().all(|(_, state)| state == "RUNNING"));
    }
}
