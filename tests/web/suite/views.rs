//! The other views: what they show is what the daemon says; and no request leaves the daemon's address.

use serde_json::json;

use crate::access::{VIEWS, open};
use crate::scene::Scene;

#[test]
fn nothing_is_asked_elsewhere_and_the_policy_forbids_nothing() {
    let Some(scene) = Scene::shop() else { return };
    scene.browser.requests();
    scene.browser.go(&format!("{}/?again", scene.origin));
    for (_, view, text) in VIEWS {
        open(&scene, view, text);
        scene.assert_clean();
    }
    let requests = scene.browser.requests();
    let elsewhere: Vec<&String> = requests
        .iter()
        .filter(|url| !url.starts_with(&format!("{}/", scene.origin)) && !url.starts_with("data:"))
        .collect();
    println!("{} requests, {} elsewhere", requests.len(), elsewhere.len());
    assert!(requests.len() > 30, "{requests:?}");
    assert_eq!(elsewhere, Vec::<&String>::new());
    let policy = scene.browser.run_async(
        "const done = arguments[0]; fetch('/').then((answer) => done(answer.headers.get('content-security-policy')))",
    );
    assert!(
        policy.as_str().is_some_and(
            |text| text.contains("default-src 'none'") && text.contains("require-trusted-types-for 'script'")
        ),
        "{policy}"
    );
    // And it works: markup from a text throws.
    let thrown = scene.browser.run("const name = 'inner' + 'HTML'; try { document.createElement('p')[name] = '<b>x</b>'; return 'not thrown'; } catch (error) { return error.name; }");
    assert_eq!(thrown, json!("TypeError"));
}

#[test]
fn what_if_plays_the_living_state_on() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    open(&scene, "program/web%3A0/whatif", "decision");
    browser.wait_for("given up (FATAL)");
    let rows = browser.run("return [...document.querySelectorAll('.plain tbody tr')].map((it) => it.innerText)");
    println!("{} decisions", rows.as_array().map_or(0, Vec::len));
    assert!(rows.as_array().is_some_and(|rows| rows.len() > 10), "{rows}");
    assert_eq!(scene.state("web:0"), "RUNNING", "nothing happened to the real one");
    // Once only: it is restarted, and stays.
    browser.run("const it = [...document.querySelectorAll('.whatif select')].find((one) => one.innerText.includes('stayed up')); it.value = 'once'; it.dispatchEvent(new Event('change'))");
    browser.wait_for("web:0 is restarted 1 time");
    assert!(!browser.text_of(".summary").contains("FATAL"));
    // An essential program takes the container with it.
    open(&scene, "program/proxy/whatif", "The container exits with 1");
    browser.wait("the end is marked", "document.querySelector('.mark.exit')");
    scene.assert_clean();
}

#[test]
fn runs_are_drawn_and_open_their_end() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    open(&scene, "program/worker/runs", "3 restarts in the last hour");
    // The lanes are drawn once their width is known.
    let count = |what: &str, number: u32| format!("document.querySelectorAll('.lanes .{what}').length === {number}");
    browser.wait("four runs that failed", &count("run.failed", 4));
    browser.wait("a pause before each of three", &count("pause", 3));
    browser.click("td button, th button", "run ");
    browser.wait_for("File worker.py, line 14");
    let before = browser.run("return document.querySelector('.lanes .grid').getAttribute('x1')");
    browser.run("document.querySelector('.lanes').focus()");
    browser.press(&["+", "+"]);
    browser.wait("it is nearer", &format!("document.querySelector('.lanes .grid')?.getAttribute('x1') !== {before}"));
    browser.press(&["0"]);
    open(&scene, "runs", "restarts in the last hour");
    browser.wait("lanes of several", "document.querySelectorAll('.lane-names a').length >= 7");
    scene.assert_clean();
}

#[test]
fn figures_come_for_the_rows_on_the_screen() {
    let Some(scene) = Scene::shop() else { return };
    scene
        .browser
        .wait("memory of a row", "/\\d (kB|MB)/.test(document.querySelector('tr[data-name=db] .c-memory').innerText)");
    scene
        .browser
        .wait("a share of a processor", "/%/.test(document.querySelector('tr[data-name=db] .c-cpu').innerText)");
    assert_eq!(scene.browser.text_of("tr[data-name=spare] .c-memory"), "", "one that does not run has none");
}

#[test]
fn the_graph_shows_what_is_not_met_and_the_waves() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    open(&scene, "graph", "Stops in wave");
    let not_met = |count: usize| format!("document.querySelectorAll('.scroll .edge.open').length === {count}");
    browser.wait("every condition holds", &not_met(0));
    scene.post("/v1/programs/web:0/stop?wait=20");
    browser.wait("the condition of proxy does not hold", &not_met(1));
    browser.wait_for("web (started, not met)");
    let waves = browser.run("return Object.fromEntries([...document.querySelectorAll('.plain tbody tr')].map((it) => [it.children[0].innerText, Number(it.children[5].innerText)]))");
    assert!(
        waves["proxy"].as_u64() < waves["web"].as_u64() && waves["web"].as_u64() < waves["db"].as_u64(),
        "dependents stop first: {waves}"
    );
    scene.assert_clean();
}

#[test]
fn the_table_is_sorted_grouped_and_filtered() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    let names = |what: &str| {
        browser.run(&format!("return [...document.querySelectorAll('tr[data-name]')].map((it) => {what})"))
    };
    assert_eq!(names("it.dataset.name")[0], json!("db"));
    browser.click("th button", "Program");
    browser.wait("descending", "document.querySelector('tr[data-name]').dataset.name === 'worker'");
    browser.click("th button", "State");
    browser.wait("the worst first", "document.querySelector('tr[data-name]').dataset.name === 'worker'");
    browser.run("const it = document.querySelector('select[aria-label=Group]'); it.value = 'program'; it.dispatchEvent(new Event('change'))");
    browser.wait_for("3 instances");
    browser.click(".counts button", "in trouble");
    browser.wait("only those", "document.querySelectorAll('tr[data-name]').length === 2");
    browser.wait("their states", "[...document.querySelectorAll('tr[data-name] .state')].every((it) => ['FATAL', 'BACKOFF'].includes(it.dataset.state))");
    scene.assert_clean();
}
