//! The five questions of a person at three in the morning, who has never seen the page: answered within two clicks each.

use std::fs;

use serde_json::json;

use crate::harness::wait_until;
use crate::pictures::directory;
use crate::scene::Scene;

/// Clicks, which are counted.
struct Path<'a> {
    scene: &'a Scene,
    clicks: usize,
}

impl<'a> Path<'a> {
    fn from_the_start(scene: &'a Scene) -> Path<'a> {
        scene.open("");
        scene.browser.wait_for("worker is FATAL");
        Path { scene, clicks: 0 }
    }

    fn click(&mut self, selector: &str, label: &str) {
        self.scene.browser.click(selector, label);
        self.clicks += 1;
    }

    fn answered(self, question: &str, name: &str) {
        println!("{question}: {} clicks", self.clicks);
        assert!(self.clicks <= 2, "{question}");
        fs::write(directory().join(format!("path-{name}.png")), self.scene.browser.picture()).expect("it is ours");
    }
}

#[test]
fn five_questions_are_answered_within_two_clicks_each() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;

    let path = Path::from_the_start(&scene);
    let card = browser.text_of("article[data-name=worker]");
    assert!(
        card.contains("FATAL") && card.contains("exit status 3") && card.contains("gave up after 3 restarts"),
        "{card}"
    );
    assert!(card.contains("Next: nothing until it is started"), "{card}");
    path.answered("which program fails, and why", "1-why");

    let mut path = Path::from_the_start(&scene);
    browser.wait_for("ConnectionRefusedError");
    path.click("article[data-name=worker] .buttons a", "Why");
    browser.wait_for("Last lines of run");
    assert!(browser.text_of("pre.last").contains("File worker.py, line 14"));
    path.answered("its last lines before the crash", "2-last-lines");

    let mut path = Path::from_the_start(&scene);
    browser.wait(
        "in the card",
        "document.querySelector('article[data-name=worker]').innerText.includes('restarted 3 times in the last hour')",
    );
    path.click("article[data-name=worker] .buttons a", "Runs");
    browser.wait_for("3 restarts in the last hour");
    path.answered("how often it restarted in the last hour", "3-restarts");

    let mut path = Path::from_the_start(&scene);
    path.click("tr[data-name=proxy] a", "proxy");
    path.click(".tabs a", "What if");
    browser.wait_for("The container exits");
    path.answered("what would happen at the next crash", "4-what-if");

    let mut path = Path::from_the_start(&scene);
    let runs = || scene.daemon.client.get("/v1/programs/worker").json()["run"].clone();
    let before = runs();
    path.click("article[data-name=worker] button", "Start");
    wait_until("it was started again", || runs() != before);
    path.answered("how to restart it", "5-restart");
    scene.wait_for_state("worker", "FATAL");

    let mut path = Path::from_the_start(&scene);
    let pid = || scene.daemon.client.get("/v1/programs/proxy").json()["pid"].clone();
    let before = pid();
    path.click("tr[data-name=proxy] button", "Restart");
    browser.wait_for("Restart proxy?");
    path.click("dialog button", "Restart");
    wait_until("it has another process", || !pid().is_null() && pid() != before);
    path.answered("how to restart one that runs", "6-restart-running");
    assert_eq!(browser.run("return document.querySelectorAll('dialog').length"), json!(0));
    scene.assert_clean();
}
