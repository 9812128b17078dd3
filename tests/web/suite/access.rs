//! Readers of the screen, weak eyes, and small screens: checked by script in every view.

use muster_web_tests::Scheme;
use serde_json::{Value, json};

use crate::scene::Scene;

/// Every view, with a text that it shows once it is there.
pub(crate) const VIEWS: [(&str, &str, &str); 13] = [
    ("table", "", "need attention"),
    ("why", "program/worker/why", "ConnectionRefusedError"),
    ("logs", "program/web%3A0/logs", "slow query"),
    ("together", "logs/web%3A0/worker", "ConnectionRefusedError"),
    ("runs-of-one", "program/worker/runs", "in the last"),
    ("what-if", "program/web%3A0/whatif", "decision"),
    ("settings", "program/worker/settings", "startretries"),
    ("graph", "graph", "Stops in wave"),
    ("runs", "runs", "in the last"),
    ("configuration", "config", "Read from"),
    ("daemon", "daemon/log", "musterd is up"),
    ("processes", "daemon/processes", "sleep 100000"),
    ("events", "daemon/events", "Event"),
];

const CHECK: &str = include_str!("accessible.js");

/// Waits until a view shows its text in some form, also in what only readers of the screen get.
pub(crate) fn open(scene: &Scene, view: &str, text: &str) {
    scene.open(view);
    scene
        .browser
        .wait(text, &format!("document.body.textContent.toLowerCase().includes({}.toLowerCase())", json!(text)));
}

fn problems(scene: &Scene, place: &str) -> Vec<String> {
    let found = scene.browser.run(CHECK);
    found.as_array().into_iter().flatten().map(|it| format!("{place}: {}", it.as_str().unwrap_or_default())).collect()
}

#[test]
fn every_view_has_names_roles_landmarks_and_contrast() {
    let Some(scene) = Scene::shop() else { return };
    let mut found = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        for width in [1280, 320] {
            scene.browser.look(width, 800, scheme);
            for (name, view, text) in VIEWS {
                open(&scene, view, text);
                found.extend(problems(&scene, &format!("{name}, {}, {width}", scheme.name())));
            }
        }
    }
    assert!(found.is_empty(), "{} problems\n{}", found.len(), found.join("\n"));
    scene.assert_clean();
}

#[test]
fn dialogs_have_names_and_contrast_and_give_the_focus_back() {
    let Some(scene) = Scene::shop() else { return };
    let mut found = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        scene.browser.look(1280, 800, scheme);
        open(&scene, "program/db/why", "db is");
        for (button, text) in [
            ("Stop", "depend on it"),
            ("Restart", "restarts with it"),
            ("Signal", "every process of the run"),
            ("Scale", "Instances"),
        ] {
            scene.browser.click(".title button", button);
            scene.browser.wait_for(text);
            found.extend(problems(&scene, &format!("{button}, {}", scheme.name())));
            let is_inside =
                scene.browser.run("return document.querySelector('dialog').contains(document.activeElement)");
            assert_eq!(is_inside, json!(true), "the focus is in the dialog of {button}");
            scene.browser.press(&["Escape"]);
            scene.browser.wait("it is closed", "!document.querySelector('dialog')");
            assert!(scene.browser.focused().starts_with(button), "{}", scene.browser.focused());
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_scrolls_sideways_on_a_screen_of_320_pixels() {
    let Some(scene) = Scene::shop() else { return };
    scene.browser.look(320, 720, Scheme::Light);
    for (name, view, text) in VIEWS {
        open(&scene, view, text);
        let width =
            scene.browser.run("return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)");
        assert!(width.as_u64() <= Some(320), "{name}: {width}");
    }
}

#[test]
fn changes_are_said_at_most_once_a_second() {
    let Some(scene) = Scene::shop() else { return };
    let watch = "window.said = []; new MutationObserver(() => said.push([performance.now(), document.getElementById('live').textContent])) \
                 .observe(document.getElementById('live'), { childList: true });";
    scene.browser.run(watch);
    scene.post("/v1/programs/web,db,proxy/stop?wait=20");
    scene.post("/v1/programs/web,db,proxy/start?wait=20");
    scene.browser.wait("several sentences", "said.length >= 2");
    let said: Vec<Value> = scene.browser.run("return said").as_array().expect("a list").clone();
    println!("said: {said:?}");
    assert!(said.iter().any(|it| it[1].as_str().is_some_and(|text| text.contains(" is "))));
    for pair in said.windows(2) {
        let pause = pair[1][0].as_f64().expect("a time") - pair[0][0].as_f64().expect("a time");
        assert!(pause > 900.0, "{pair:?}");
    }
}
