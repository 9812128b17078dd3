//! How fast the page is, with many programs and many changes.

use std::time::{Duration, Instant};

use muster_web_tests::Browser;
use serde_json::{Value, json};

use crate::harness::{Setting, is_acceptance};
use crate::scene::Scene;

/// Holds a figure to its bound. On a machine that does other work too, figures are only printed: MUSTER_ACCEPTANCE=1 has them held.
fn hold(what: &str, figure: f64, bound: f64) {
    if std::env::var_os("MUSTER_ACCEPTANCE").is_some() {
        assert!(figure < bound, "{what}: {figure:.1}, not below {bound}");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

/// Times in milliseconds, as text: the middle one and the greatest.
fn summary(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

/// Records when the first and the last row came, since the navigation.
const ROWS: &str = "new MutationObserver(() => { const count = document.querySelectorAll('tr[data-name]').length; \
    if (count && !window.firstRow) window.firstRow = performance.now(); if (count >= 1000 && !window.lastRow) window.lastRow = performance.now(); }) \
    .observe(document, { childList: true, subtree: true });";

#[test]
fn with_1000_programs_the_first_row_stands_within_300_ms() {
    let programs = "[program.many]\ncommand = \"sleep 100000\"\nnumprocs = 1000\n";
    let Some(scene) = Scene::with(Setting::supervising(programs)) else { return };
    let browser = &scene.browser;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": ROWS }));
    // While a thousand processes are started, the daemon and the browser share two processors.
    scene.daemon.client.post("/v1/programs/all/start?wait=60");
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for round in 0..5 {
        browser.go(&format!("{}/?{round}", scene.origin));
        browser.wait("all rows", "window.lastRow");
        first.push(number(&browser.run("return window.firstRow")));
        last.push(number(&browser.run("return window.lastRow")));
    }
    let ((middle, greatest), (all, _)) = (summary(&mut first), summary(&mut last));
    println!("1000 programs: first row after {middle:.0} ms (at most {greatest:.0}), the last one after {all:.0} ms");
    hold("milliseconds until the first row", middle, 300.0);
    // Filtering, sorting and grouping are at once.
    let took = browser.run("const began = performance.now(); const field = document.getElementById('filter'); field.value = 'many:77'; \
        field.dispatchEvent(new Event('input')); const rows = document.querySelectorAll('tr[data-name]').length; return [performance.now() - began, rows]");
    println!("filtering them took {:.0} ms", number(&took[0]));
    assert_eq!(took[1], json!(11));
    scene.assert_clean();
}

#[test]
fn a_change_is_on_the_screen_within_100_ms() {
    let programs = "[program.many]\ncommand = \"sleep 100000\"\nnumprocs = 200\n[program.one]\ncommand = \"sleep 100000\"\nautostart = false\nstartsecs = 60\n";
    let Some(scene) = Scene::of(programs) else { return };
    scene.daemon.client.post("/v1/programs/many:*/start?wait=60");
    // The page notes the time of a frame in which the state is another; the daemon's event has the time of the change.
    let watch = "window.seen = []; const it = document.querySelector('tr[data-name=one] .state'); \
        new MutationObserver(() => requestAnimationFrame(() => seen.push([it.dataset.state, Date.now()]))).observe(it, { attributes: true, attributeFilter: ['data-state'] });";
    scene.browser.wait("the row", "document.querySelector('tr[data-name=one]')");
    scene.browser.run(watch);
    for _ in 0..10 {
        scene.post("/v1/programs/one/start");
        scene.wait_for_state("one", "STARTING");
        scene.post("/v1/programs/one/stop?wait=20");
        scene.wait_for_state("one", "STOPPED");
    }
    let seen = scene.browser.run("return seen");
    let events = scene.browser.run_async(
        "const done = arguments[0]; import('/ui/store.js').then(({ recent }) => done(recent.filter((it) => it.name === 'one' && it.kind === 'state').map((it) => [it.to, Date.parse(it.at)])))",
    );
    let events = events.as_array().expect("a list");
    // Changes that come within a frame are one for the eye: the last of them is what it sees.
    let mut from = 0;
    let mut times = Vec::new();
    for shown in seen.as_array().expect("a list") {
        let (state, time) = (&shown[0], number(&shown[1]));
        let Some(at) = (from..events.len()).rfind(|&at| events[at][0] == *state && number(&events[at][1]) <= time)
        else {
            continue;
        };
        from = at + 1;
        times.push(time - number(&events[at][1]));
    }
    assert!(times.len() >= 15, "{seen} {events:?}");
    let count = times.len();
    let (middle, greatest) = summary(&mut times);
    println!("a change is on the screen after {middle:.0} ms (at most {greatest:.0}, {count} changes, 201 programs)");
    hold("milliseconds until a change is seen", middle, 100.0);
}

/// The time that the page's main thread has worked, in seconds.
fn worked(browser: &Browser) -> f64 {
    let metrics = browser.devtools("Performance.getMetrics", &json!({}));
    let all = metrics["metrics"].as_array().expect("a list");
    number(&all.iter().find(|it| it["name"] == "TaskDuration").expect("chromium has it")["value"])
}

#[test]
fn fifty_changes_a_second_keep_the_main_thread_less_than_a_tenth_busy() {
    if !is_acceptance() {
        return;
    }
    // Each of these changes its state once a second: STARTING, BACKOFF, STARTING …
    let programs = "[program.calm]\ncommand = \"sleep 100000\"\nnumprocs = 50\n\
        [program.restless]\ncommand = \"false\"\nnumprocs = 50\nstartretries = \"unlimited\"\nbackoff = { delay = \"2s\", max = \"2s\" }\n";
    let Some(scene) = Scene::of(programs) else { return };
    let browser = &scene.browser;
    browser.devtools("Performance.enable", &json!({ "timeDomain": "threadTicks" }));
    browser.run_async("const done = arguments[0]; window.count = 0; import('/ui/store.js').then(({ on }) => { on('event', (event) => { if (event.kind === 'state') window.count += 1; }); done(); })");
    // The cards of those in trouble are part of the work.
    std::thread::sleep(Duration::from_secs(2));
    let (before, began) = (worked(browser), Instant::now());
    let counted = number(&browser.run("return window.count"));
    std::thread::sleep(Duration::from_secs(10));
    let (share, took) = (worked(browser) - before, began.elapsed().as_secs_f64());
    let changes = (number(&browser.run("return window.count")) - counted) / took;
    println!("main thread {:.1} % busy at {changes:.0} changes a second", share / took * 100.0);
    assert!(changes > 20.0, "{changes} a second");
    hold("per cent of the main thread", share / took * 100.0, 10.0);
    scene.assert_clean();
}

#[test]
fn after_the_daemon_was_killed_and_is_back_the_rows_are_right_within_two_seconds() {
    let programs = "[program.same]\ncommand = \"sleep 100000\"\nnumprocs = 50\n[program.spare]\ncommand = \"sleep 100000\"\nautostart = false\n";
    let Some(mut scene) = Scene::of(programs) else { return };
    scene.post("/v1/programs/spare/start?wait=20");
    scene.wait_for_state("spare", "RUNNING");
    scene.daemon.kill_and_start_again();
    let began = Instant::now();
    // This one is not started by the new daemon: what was shown before is wrong now.
    scene.wait_for_state("spare", "STOPPED");
    scene.browser.wait("it is live", "document.body.dataset.link === 'live'");
    let took = began.elapsed();
    println!("the rows were right {} ms after the daemon answered again", took.as_millis());
    hold("milliseconds until the rows are right", took.as_secs_f64() * 1000.0, 2000.0);
    scene.assert_clean();
}

#[test]
fn without_the_daemon_the_page_says_how_old_it_is_and_its_buttons_are_off() {
    let Some(scene) = Scene::shop() else { return };
    scene.browser.wait_for("worker is FATAL");
    scene.daemon.signal(9);
    scene.browser.wait("it is lost", "document.body.dataset.link === 'lost'");
    scene.browser.wait_for("no connection");
    let live = "return [...document.querySelectorAll('tr[data-name] button, article button')].filter((it) => !it.disabled).length";
    assert_eq!(scene.browser.run(live), json!(0), "buttons are off while what is shown is old");
    scene.browser.wait_for("worker is FATAL");
    scene.assert_clean();
}
