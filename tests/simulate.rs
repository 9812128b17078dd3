//! `musterd simulate` and `musterd rehearse`: the prediction is correct, and matches what happens.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Ended, ended, heeding_all_signals};
use serde_json::Value;
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn musterd<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Command {
    let mut command = Command::new(harness::musterd());
    command.args(words).current_dir(root()).env("NO_COLOR", "1").env_remove("MUSTER_CONFIG");
    command
}

fn run(words: &[&str]) -> Ended {
    ended(&mut musterd(words))
}

fn simulated(words: &[&str]) -> Value {
    let all: Vec<&str> = ["simulate"].iter().chain(words).chain(&["--json"]).copied().collect();
    let ended = run(&all);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{words:?}");
    serde_json::from_str(&ended.out).expect("--json writes JSON")
}

fn scenarios() -> Vec<String> {
    let entries = fs::read_dir(root().join("config/scenarios")).expect("there are examples");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| format!("config/scenarios/{}", entry.file_name().to_string_lossy())).collect();
    names.sort();
    names
}

/// A file with this text, in a directory of its own.
fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join(name);
    fs::write(&path, text).expect("the test directory is writable");
    (directory, path)
}

#[test]
fn every_example_holds_in_simulation() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 25, "{}", scenarios.len());
    let words: Vec<&str> = ["simulate", "--scenario"].into_iter().chain(scenarios.iter().map(String::as_str)).collect();
    let ended = run(&words);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    let summary = format!("{0} scenarios, {0} as expected, 0 not\n", scenarios.len());
    assert!(ended.out.ends_with(&summary), "{}", ended.out);
}

/// Each sequence is in a scenario of its own, with its source. Checks that none of them is missing.
#[test]
fn the_examples_of_other_systems_name_their_sources() {
    for (system, source) in [
        ("docker", "moby, daemon/internal/restartmanager"),
        ("kubernetes", "Kubernetes documentation, Pod Lifecycle"),
        ("supervisord", "supervisor 4.2.5, process.py"),
        ("systemd", "systemd.unit(5)"),
    ] {
        let of_it: Vec<String> = scenarios().into_iter().filter(|name| name.contains(&format!("/{system}-"))).collect();
        assert!(of_it.len() >= 2, "{system}: {of_it:?}");
        for name in of_it {
            let text = fs::read_to_string(root().join(&name)).expect("it was listed");
            assert!(text.contains("# Source: ") && text.contains(source), "{name} does not name its source");
            assert!(
                text.contains("delays = [") || text.contains("starts = [") || text.contains("restarts ="),
                "{name}"
            );
        }
    }
}

/// At least so many that are rehearsed: one that follows the wall clock is only simulated.
#[test]
fn every_feature_of_programs_has_its_scenarios() {
    let all = scenarios();
    for (feature, least) in
        [("hook", 6), ("schedule", 4), ("on-exit", 4), ("roll", 3), ("recycled", 1), ("connection", 2)]
    {
        let is_of_it = |name: &&String| name.contains(&format!("/{feature}-")) && !name.contains("daylight-saving");
        let count = all.iter().filter(is_of_it).count();
        assert!(count >= least, "{feature}: {count}");
    }
}

/// A simulation matches reality. Each event must follow its cause within 50 ms; a scenario that was late on a busy
/// machine is repeated, alone.
#[test]
fn reality_agrees_with_the_simulation_of_every_example() {
    let scenarios = scenarios();
    let options = ["rehearse", "--jobs", "4", "--retries", "20", "--scenario"];
    let words: Vec<&str> = options.into_iter().chain(scenarios.iter().map(String::as_str)).collect();
    let began = Instant::now();
    let ended = run(&words);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    let by_clock = scenarios.iter().filter(|name| name.contains("daylight-saving")).count();
    let (all, played) = (scenarios.len(), scenarios.len() - by_clock);
    let summary = format!("{all} scenarios, {played} as simulated, 0 not, {by_clock} left out\n");
    assert!(ended.out.ends_with(&summary), "{}", ended.out);
    assert!(began.elapsed() < Duration::from_secs(240), "it took {:?}", began.elapsed());
}

#[test]
fn a_rehearsal_notices_late_events() {
    let words = ["rehearse", "--tolerance", "0", "--retries", "0", "--scenario", "config/scenarios/restart-no.toml"];
    let ended = run(&words);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("reality is not as simulated") && ended.out.contains("ms too late"), "{}", ended.out);
}

#[test]
fn an_interrupted_rehearsal_leaves_no_process_behind() {
    let text =
        "until = \"1h\"\nstop_at = \"1h\"\n[runs]\nweb = \"hang ignore-term\"\n[program.web]\nstopwaitsecs = 0.1\n";
    let (directory, path) = file("long.toml", text);
    let mut rehearsal = heeding_all_signals(&musterd(&["rehearse", "--scenario", &path.to_string_lossy()]))
        .env("TMPDIR", directory.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it can be executed");
    let of_it = format!("musterd-rehearse.{}.", rehearsal.id());
    let count = || processes_saying(&of_it).len();
    harness::wait_until("the daemon and its puppet run", || count() == 2);
    harness::send(rehearsal.id() as i32, 2);
    let status = rehearsal.wait().expect("it is a child of this process");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    harness::wait_until("both are gone", || count() == 0);
}

/// Processes with this text in their command line.
fn processes_saying(words: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let says = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(words)
    };
    pids.filter(says).collect()
}

#[test]
fn a_failed_expectation_is_shown_with_what_happened_instead() {
    let text = "expect = [\n  { at = \"3s\", program = \"web\", state = \"RUNNING\" },\n  { restarts = 9 },\n  \
                { exit_code = 1, within = \"2s\" },\n]\n[runs]\nweb = \"1@200ms ×*\"\n\
                [program.web]\nstartretries = 2\n";
    let (_directory, path) = file("wrong.toml", text);
    let ended = run(&["simulate", "--scenario", &path.to_string_lossy()]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    let path = path.display();
    for line in [
        format!(
            "{path}:2: expected {{ at = \"3s\", program = \"web\", state = \"RUNNING\" }}\n    but web is FATAL since 2.1s\n"
        ),
        format!("{path}:3: expected {{ restarts = 9 }}\n    but 2 restarts\n"),
        format!(
            "{path}:4: expected {{ exit_code = 1, within = \"2s\" }}\n    but the container exits with 1 after 2.1s: \"web\" failed first: exit status 1\n"
        ),
        "      2.000  >>> expected { exit_code = 1, within = \"2s\" }, but the container exits".to_owned(),
        "1 scenario, 0 as expected, 1 not\n".to_owned(),
    ] {
        assert!(ended.out.contains(&line), "{line:?} is not in\n{}", ended.out);
    }
    let mark = ended.out.find(">>> expected { exit_code").expect("it was found above");
    let last_end = ended.out.find("given up: all 2 retries used up").expect("the timeline has it");
    assert!(mark < last_end, "it stands where it was expected, before the end at 2.1 s");
}

/// A step without a check is not reported as checked.
#[test]
fn a_scenario_that_checks_nothing_is_not_as_expected() {
    let story = "[runs]\nweb = \"1@200ms ×*\"\n[program.web]\nstartretries = 2\n";
    let (_directory, nothing) = file("nothing.toml", story);
    let words = ["simulate", "--scenario", &nothing.to_string_lossy(), "config/scenarios/restart-no.toml"];
    let ended = run(&words);
    let summary = "2 scenarios, 1 as expected, 0 not, 1 without anything expected\n";
    assert!(ended.code == Some(0) && ended.out.ends_with(summary), "{ended:?}");
    assert!(ended.out.starts_with("none  "), "{}", ended.out);
    let strict = run(&[&words[..], &["--strict"]].concat());
    assert!(strict.code == Some(1) && strict.out.ends_with(summary), "{strict:?}");
    let (_directory, empty) = file("empty.toml", &format!("expect = []\n{story}"));
    let ended = run(&["simulate", "--scenario", &empty.to_string_lossy()]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let words = "1:10: expect is empty: nothing is checked";
    assert!(ended.err.contains(words) && ended.err.contains("leave it out, or say what must hold"), "{}", ended.err);
}

/// After a story was cut short, nothing can be predicted.
#[test]
fn a_story_that_is_cut_short_meets_no_expectation() {
    let story = "[runs]\nweb = \"1@0 ×*\"\n[program.web]\nstartretries = \"unlimited\"\nbackoff = { delay = 0 }\n";
    let (directory, path) = file("endless.toml", &format!("expect = [{{ running = true }}]\n{story}"));
    let ended = run(&["simulate", "--scenario", &path.to_string_lossy()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let words = "\ncut short at 0s after 10000 changes at one moment: restarts without delay\n";
    assert!(ended.out.starts_with("incomplete  ") && ended.out.contains(words), "{}", ended.out);
    assert!(ended.out.ends_with("1 scenario, 0 as expected, 0 not, 1 cut short\n"), "{}", ended.out);
    let ended = run(&["rehearse", "--scenario", &path.to_string_lossy()]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let config = directory.path().join("muster.toml");
    let program = "[program.web]\ncommand = \"web\"\nstartretries = \"unlimited\"\nbackoff = { delay = 0 }\n";
    fs::write(&config, program).expect("the test directory is writable");
    let config = config.to_string_lossy();
    let ended = run(&["simulate", "-c", &config, "--runs", "1@0 ×*"]);
    assert!(ended.code == Some(1) && ended.out.contains(words), "{ended:?}");
}

#[test]
fn each_signal_of_a_ladder_has_its_line() {
    let ended = run(&["simulate", "--verbose", "--scenario", "config/scenarios/stop-by-two-signals.toml"]);
    for line in ["gets SIGINT (1 of 2)", "gets SIGTERM (2 of 2)"] {
        assert!(ended.out.contains(line), "{line} is not in\n{}", ended.out);
    }
    let text = "stop_at = \"2s\"\n[runs]\nweb = \"hang ignore-term\"\n[program.web]\n\
                stopsignal = [\"INT\", \"TERM\", \"QUIT\"]\nstopwaitsecs = 1\n";
    let (_directory, path) = file("ladder.toml", text);
    let ended = run(&["simulate", "--verbose", "--scenario", &path.to_string_lossy()]);
    for line in [
        "2.000  web      STOPPING  gets SIGINT (1 of 3)",
        "3.000  web      STOPPING  gets SIGTERM (2 of 3)",
        "waits up to 1s more",
        "4.000  web      STOPPING  gets SIGQUIT (3 of 3)",
        "5.000  web      STOPPING  did not stop within 3s (INT, TERM, QUIT)",
    ] {
        assert!(ended.out.contains(line), "{line} is not in\n{}", ended.out);
    }
}

#[test]
fn a_jittered_delay_is_reported_with_its_range_and_seed() {
    let (directory, path) =
        file("muster.toml", "[program.web]\ncommand = \"web\"\nbackoff = { delay = \"1s\", jitter = 0.5 }\n");
    let path = path.to_string_lossy();
    let words = |seed| ["simulate", "-c", &path, "--runs", "1@200ms ×3", "--seed", seed].map(str::to_owned).to_vec();
    let told = |seed| ended(&mut musterd(&words(seed))).out;
    let first = told("1");
    assert!(first.contains("next delay 1s × 2^1 = 2s, + up to 1s of jitter; here 2."), "{first}");
    assert!(first.contains("(seed 1)"), "{first}");
    assert_eq!(first, told("1"));
    assert_ne!(first, told("2"));
    let drawn = directory.path().join("jitter.svg");
    let words_and_picture = [words("1"), vec!["--svg".to_owned(), drawn.to_string_lossy().into_owned()]].concat();
    assert_eq!(ended(&mut musterd(&words_and_picture)).code, Some(0));
    let svg = fs::read_to_string(&drawn).expect("it was written");
    assert_well_formed(&svg);
    assert!(svg.contains("<title>by jitter from 2s to 3s</title>"), "{svg}");
    let json: Value = serde_json::from_str(&ended(&mut musterd(&[words("1"), vec!["--json".to_owned()]].concat())).out)
        .expect("--json writes JSON");
    let range: Vec<(f64, f64)> = json["timeline"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter_map(|moment| Some((moment["delay_min"].as_f64()?, moment["delay_max"].as_f64()?)))
        .collect();
    assert_eq!(range, [(1.0, 1.5), (2.0, 3.0), (4.0, 6.0)]);
}

#[test]
fn the_end_of_a_story_is_reported_correctly() {
    let (_directory, path) = file("muster.toml", "[program.web]\ncommand = \"web\"\ntype = \"oneshot\"\n");
    let words = ["simulate", "-c", &path.to_string_lossy(), "--until", "20s", "--runs"];
    let rest = run(&[&words[..], &["1@3s, hang"]].concat());
    assert!(rest.out.contains("nothing happens after 3.5s, and the container is still running: 1 RUNNING"), "{rest:?}");
    assert!(rest.out.contains("RUNNING   executed") && !rest.out.contains("startsecs"), "{rest:?}");
    let cut = run(&[&words[..], &["1@1m"]].concat());
    assert!(cut.out.contains("after 20s the container is still running: 1 RUNNING"), "{cut:?}");
}

#[test]
fn errors_in_a_scenario_are_reported_all_at_once_with_their_places() {
    let text = "stop_at = \"soon\"\nexpect = [\n  { at = \"1s\", program = \"wbe\", state = \"FATAL\" },\n  \
                { program = \"web\", state = \"DEAD\" },\n  { exit_cod = 1 },\n]\n[runs]\nweb = \"1@200ms, hnag\"\n\
                [program.web]\nstartretires = 2\n";
    let (_directory, path) = file("wrong.toml", text);
    let ended = run(&["simulate", "--scenario", &path.to_string_lossy()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), "0 scenarios, 0 as expected, 0 not\n"), "{ended:?}");
    for line in [
        ":1:11: stop_at must be a duration: \"soon\"",
        ":4:30: expect.state must be",
        ":5:5: expect.exit_cod is not something to expect",
        "did you mean exit_code?",
        ":8:17: runs.web: not a word of a run: \"hnag\"",
        "did you mean hang?",
        ":10:1: program \"web\": unknown key \"startretires\"",
    ] {
        assert!(ended.err.contains(line), "{line:?} is not in\n{}", ended.err);
    }
    // Names are compared with the programs as soon as these are known.
    let text = text.replace("soon", "1s").replace("DEAD", "FATAL").replace("exit_cod ", "exit_code ");
    let text =
        text.replace("hnag", "hang").replace("startretires", "startretries").replace("[runs]", "[runs]\nwob = \"1\"");
    let (_directory, path) = file("wrong.toml", &text);
    let ended = run(&["simulate", "--scenario", &path.to_string_lossy()]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains(":3:26: there is no program \"wbe\""), "{}", ended.err);
    assert!(ended.err.contains(":8:1: there is no program \"wob\""), "{}", ended.err);
}

#[test]
fn a_scenario_takes_its_programs_from_a_configuration_and_may_change_them() {
    let (directory, _) = file("muster.toml", "[program.web]\ncommand = \"web\"\nstartretries = 1\nstartsecs = 0\n");
    let path = directory.path().join("scenario.toml");
    let of = |own: &str| {
        let text = format!("config = \"muster.toml\"\n[runs]\nweb = \"1@1s ×*\"\n{own}");
        fs::write(&path, text).expect("the test directory is writable");
        let words = ["simulate", "--json", "--scenario", &path.to_string_lossy()];
        let value: Value = serde_json::from_str(&run(&words).out).expect("--json writes JSON");
        value["scenarios"][0]["simulation"]["programs"][0]["restarts"].clone()
    };
    assert_eq!(of(""), 1);
    assert_eq!(of("[program.web]\nstartretries = 3\n"), 3);
}

#[test]
fn a_report_for_ci_counts_and_quotes() {
    let text = "title = \"a < b & \\\"c\\\"\"\nexpect = [{ exit_code = 7 }]\n[runs]\nweb = \"1@1s\"\n[program.web]\nrestart = \"no\"\n";
    let (directory, path) = file("wrong.toml", text);
    let report = directory.path().join("report.xml");
    let (path, report) = (path.to_string_lossy().into_owned(), report.to_string_lossy().into_owned());
    let ended = run(&["simulate", "--junit", &report, "--scenario", "config/scenarios/restart-no.toml", &path]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let xml = fs::read_to_string(report).expect("it was written");
    assert_well_formed(&xml);
    assert!(xml.contains("<testsuites tests=\"2\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("name=\"a &lt; b &amp; &quot;c&quot;\""), "{xml}");
    assert!(xml.contains("expected { exit_code = 7 }") && xml.contains("the container exits with 1"), "{xml}");
}

/// Checks that tags open and close in order, and that no character is invalid in XML.
fn assert_well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    for (position, _) in xml.match_indices('<') {
        let tag = xml[position + 1..].split('>').next().unwrap_or_default();
        assert!(tag.matches('"').count().is_multiple_of(2), "<{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        match (tag.starts_with('?'), tag.starts_with('/'), tag.ends_with('/')) {
            (true, ..) | (.., true) => {}
            (_, true, _) => assert_eq!(open.pop(), Some(name), "in {xml}"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(xml.chars().all(|letter| !letter.is_control() || letter == '\n'));
}

#[test]
fn a_picture_has_every_lane_state_and_end() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("picture.svg");
    let words = ["simulate", "-c", "config/examples/shop.toml", "web=3@1.6s ×*", "--svg", &path.to_string_lossy()];
    assert_eq!(run(&words).code, Some(0));
    let svg = fs::read_to_string(&path).expect("it was written");
    assert_well_formed(&svg);
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    for words in [">web<", ">db<", ">RUNNING<", ">FATAL<", ">✕ 3<", ">exit 3 at 15.500<", ">essential<"] {
        assert!(svg.contains(words), "{words} is missing");
    }
    let outside: Vec<&str> =
        svg.split('"').filter(|value| value.contains("://") && !value.contains("www.w3.org")).collect();
    assert!(outside.is_empty(), "it refers to other files: {outside:?}");
}

#[test]
fn the_first_story_of_the_tutorial_is_also_data() {
    let value = simulated(&["-c", "config/examples/shop.toml", "web=3@1.6s ×*"]);
    assert_eq!((&value["exit_code"], &value["ended_at"]), (&Value::from(3), &Value::from(15.5)));
    assert_eq!(value["because_of"], "web");
    assert_eq!(value["reason"], "the essential program \"web\" ended: exit status 3");
    let retries: Vec<(f64, u64)> = value["timeline"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter_map(|moment| Some((moment["delay"].as_f64()?, moment["attempt"].as_u64()?)))
        .collect();
    assert_eq!(retries, [(0.5, 1), (1.0, 2), (2.0, 3), (4.0, 4)]);
}

#[test]
fn a_day_of_a_crash_looping_program_takes_an_instant() {
    let (_directory, path) = file("muster.toml", "[program.web]\ncommand = \"web\"\nstartretries = \"unlimited\"\n");
    let words = ["simulate", "-c", &path.to_string_lossy(), "--runs", "1@200ms ×*", "--until", "24h"];
    // The limit for a busy machine is not part of the requirement; a debug build gets more time.
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
    harness::in_time(|| {
        let began = Instant::now();
        let ended = run(&words);
        let took = began.elapsed();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("more rounds like these"), "{}", ended.out);
        if took < bound { Ok(()) } else { Err(format!("it took {took:?}")) }
    });
}

#[test]
fn a_wrong_command_line_gets_an_error_with_the_fix() {
    let config = ["simulate", "-c", "config/examples/shop.toml"];
    for (words, expected) in [
        (vec!["wbe"], "musterd: there is no program \"wbe\"\nhint: there are db, web\n"),
        (vec!["web=1@1s, hnag"], "musterd: runs of \"web\": not a word of a run: \"hnag\"\nhint: did you mean hang?\n"),
        (vec!["--runs", "1@1s"], "musterd: whose runs? several programs are meant\nhint: --runs NAME=\"1@200ms ×5\"\n"),
        (
            vec!["web", "--compare", "dokcer"],
            "musterd: there is no preset \"dokcer\"\nhint: there are docker, kubernetes, supervisord, systemd\n",
        ),
    ] {
        let all: Vec<&str> = config.iter().copied().chain(words).collect();
        let ended = run(&all);
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(2), "", expected));
    }
}

/// The outputs in the documents are generated by the program; `MUSTER_BLESS=1` rewrites them.
#[test]
fn outputs_in_the_documents_are_the_programs() {
    let page = root().join("docs/tutorial-simulate.md");
    let text = fs::read_to_string(&page).expect("it exists");
    let mut current = String::new();
    let mut blocks = text.split("```");
    let mut count = 0;
    while let Some(prose) = blocks.next() {
        current.push_str(prose);
        let Some(block) = blocks.next() else { break };
        let command = block.strip_prefix("console\n$ musterd ").and_then(|rest| rest.lines().next());
        current.push_str("```");
        match command {
            Some(command) => {
                let ended = ended(&mut musterd(&words(command)));
                assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{command}");
                current.push_str(&format!("console\n$ musterd {command}\n{}", ended.out));
                count += 1;
            }
            None => current.push_str(block),
        }
        current.push_str("```");
    }
    assert!(count >= 3, "three outputs are promised");
    check_current(&page, &text, &current);
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let drawn = directory.path().join("picture.svg");
    let ended =
        run(&["simulate", "-c", "config/examples/shop.toml", "web=3@1.6s ×*", "--svg", &drawn.to_string_lossy()]);
    assert_eq!(ended.code, Some(0));
    let picture = root().join("docs/images/simulate.svg");
    let there = fs::read_to_string(&picture).unwrap_or_default();
    check_current(&picture, &there, &fs::read_to_string(drawn).expect("it was written"));
}

fn check_current(path: &Path, there: &str, current: &str) {
    if std::env::var_os("MUSTER_BLESS").is_some() {
        fs::write(path, current).expect("the repository can be written");
    } else {
        assert_eq!(there, current, "{}: MUSTER_BLESS=1 cargo test --test simulate rewrites it", path.display());
    }
}

/// Splits a command line with double quotes into words.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars().chain([' ']) {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            _ => word.push(letter),
        }
    }
    words
}
