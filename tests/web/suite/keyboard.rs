//! Everything by keyboard alone.

use serde_json::json;

use crate::harness::wait_until;
use crate::scene::Scene;

/// Puts the focus on the row of an instance with `j` and `k`.
fn go_to(scene: &Scene, name: &str) {
    scene.browser.run("document.activeElement?.blur()");
    for _ in 0..20 {
        scene.browser.press(&["j"]);
        if scene.browser.focused() == name {
            return;
        }
    }
    panic!("{name} was not reached: {}", scene.browser.focused());
}

#[test]
fn every_action_is_done_by_keyboard() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;

    go_to(&scene, "spare");
    browser.press(&["s"]);
    scene.wait_for_state("spare", "RUNNING");
    assert_eq!(browser.focused(), "spare", "the focus is kept over updates");

    // A restart asks; Escape is no, and Enter on the button is yes.
    let pid = || scene.daemon.client.get("/v1/programs/spare").json()["pid"].clone();
    let before = pid();
    browser.press(&["r"]);
    browser.wait_for("Restart spare?");
    browser.press(&["Escape"]);
    browser.wait("it is closed", "!document.querySelector('dialog')");
    assert_eq!((pid(), browser.focused().as_str()), (before.clone(), "spare"));
    browser.press(&["r"]);
    browser.wait_for("Restart spare?");
    assert_eq!(browser.focused(), "Cancel", "a hasty Enter does nothing");
    browser.press(&["Tab", "Enter"]);
    wait_until("it has another process", || pid() != before && !pid().is_null());

    // Waits for the new state, since the next key needs a running program.
    scene.wait_for_state("spare", "RUNNING");
    browser.press(&["S"]);
    browser.wait_for("Send a signal to spare");
    browser.press(&["Enter"]);
    // HUP ends a sleep.
    browser.wait_for("sent HUP to spare");
    go_to(&scene, "spare");
    wait_until("it runs again", || scene.state("spare") == "RUNNING");
    scene.wait_for_state("spare", "RUNNING");

    browser.press(&["x"]);
    browser.wait_for("Stop spare?");
    browser.press(&["Tab", "Enter"]);
    scene.wait_for_state("spare", "STOPPED");

    go_to(&scene, "web:0");
    browser.press(&["+"]);
    browser.wait_for("Scale web");
    browser.press(&["ArrowUp", "Enter"]);
    scene.wait_for_state("web:3", "RUNNING");

    // Several at once.
    go_to(&scene, "web:0");
    browser.press(&[" ", "j", " "]);
    browser.wait_for("2 programs selected");
    browser.press(&["R"]);
    browser.wait_for("reloading web:0 and web:1");
    scene.assert_clean();
}

#[test]
fn every_view_is_reached_by_keyboard_and_left_again() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    for (key, text) in
        [("w", "Last lines of run"), ("l", "ConnectionRefusedError"), ("u", "in the last hour"), ("i", "decision")]
    {
        go_to(&scene, "worker");
        browser.press(&[key]);
        browser.wait(text, &format!("document.body.textContent.toLowerCase().includes({}.toLowerCase())", json!(text)));
        browser.press(&["Escape"]);
        browser.wait("the table", "document.querySelector('.view-programs tr[data-name]')");
        browser.wait("the row has the focus", "document.activeElement.innerText === 'worker'");
    }
    for (key, view) in [("g", "graph"), ("t", "runs"), ("c", "config"), ("d", "daemon"), ("h", "programs")] {
        browser.press(&[key]);
        browser.wait(view, &format!("document.querySelector('.view-{view}')"));
        // The graph begins at the program that had the focus, every other view at its title.
        browser.wait("the focus is in the view", "document.activeElement.matches('h1, .node')");
    }
    browser.press(&["?"]);
    browser.wait_for("keys of one letter do something");
    browser.press(&["Escape"]);
    browser.press(&["/"]);
    browser.type_text("work");
    browser.wait("only one row", "document.querySelectorAll('tr[data-name]').length === 1");
    browser.press(&["Escape", "g"]);
    browser.wait("the graph", "document.querySelector('.graph .node')");
    // The arrow keys go along the graph.
    browser.run("document.querySelector('.node[data-name=db]').focus()");
    browser.press(&["ArrowDown"]);
    let below = browser.run("return document.activeElement.dataset.name");
    assert!(["migrate", "web", "worker"].contains(&below.as_str().unwrap_or_default()), "{below}");
    browser.press(&["ArrowUp"]);
    assert_eq!(browser.run("return document.activeElement.dataset.name"), json!("db"));
    browser.press(&["Enter"]);
    browser.wait_for("db is RUNNING");
    scene.assert_clean();
}

#[test]
fn the_tab_key_goes_through_the_page_in_its_order_and_always_shows_where() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    browser.run("document.activeElement?.blur(); window.scrollTo(0, 0)");
    let look = "const it = document.activeElement; if (it === document.body) return null; const style = getComputedStyle(it); const box = it.getBoundingClientRect(); \
        window.stops ??= []; const last = stops.at(-1); stops.push(it); \
        return [it.getAttribute('aria-label') ?? it.innerText ?? '', style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, box.width > 0 && box.bottom > 0 && box.top < innerHeight, \
        !last || Boolean(last.compareDocumentPosition(it) & Node.DOCUMENT_POSITION_FOLLOWING)]";
    let mut stops = Vec::new();
    for _ in 0..80 {
        browser.press(&["Tab"]);
        let stop = browser.run(look);
        if stop.is_null() {
            break;
        }
        assert_eq!(
            (&stop[1], &stop[2], &stop[3]),
            (&json!(true), &json!(true), &json!(true)),
            "outline, on the screen, in order: {stop}"
        );
        stops.push(stop[0].as_str().unwrap_or_default().to_owned());
    }
    println!("{} stops: {stops:?}", stops.len());
    for part in ["To the content", "Programs", "Menu", "Start worker", "Filter by text"] {
        assert!(stops.iter().any(|stop| stop.starts_with(part)), "{part} is not reached: {stops:?}");
    }
    assert!(stops.len() < 60, "a table of many rows is not a hundred stops: {stops:?}");
}
