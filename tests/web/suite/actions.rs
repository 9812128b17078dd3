//! Buttons, and the dialogs that ask before something ends.

use std::fs;

use serde_json::json;

use crate::harness::{Setting, wait_until};
use crate::scene::{SHOP, Scene};

#[test]
fn a_dialog_names_whom_it_hits_and_what_depends_on_it() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    browser.click("tr[data-name=db] button", "Restart");
    browser.wait_for("stopping takes at most 10 s");
    let text = browser.text_of("dialog");
    for part in ["Restart db?", "migrate, web and worker depend on it", "web restarts with it"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    browser.click("dialog button", "Cancel");
    assert_eq!(scene.state("db"), "RUNNING");

    browser.click("tr[data-name=proxy] button", "Stop");
    browser.wait_for("proxy is essential");
    browser.click("dialog button", "Stop");
    scene.wait_for_state("proxy", "STOPPED");
    // A stop that was asked for is not the end of an essential program: the container goes on.
    assert_eq!(scene.state("db"), "RUNNING");
    scene.assert_clean();
}

#[test]
fn several_programs_are_selected_and_stopped_at_once() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    for name in ["web:0", "web:1", "web:2"] {
        browser.click("tr input", &format!("Select {name}"));
    }
    browser.wait_for("3 programs selected");
    browser.click(".picked button", "Stop");
    browser.wait_for("Stop 3 programs?");
    browser.click("dialog button", "Stop");
    for name in ["web:0", "web:1", "web:2"] {
        scene.wait_for_state(name, "STOPPED");
    }
    browser.click(".picked button", "Start");
    for name in ["web:0", "web:1", "web:2"] {
        scene.wait_for_state(name, "RUNNING");
    }
    scene.assert_clean();
}

#[test]
fn instances_of_a_program_are_restarted_one_at_a_time() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    browser.run("window.worst = 3; new MutationObserver(() => { const up = [...document.querySelectorAll('tr[data-name^=\"web:\"] .state')].filter((it) => it.dataset.state === 'RUNNING').length; \
        worst = Math.min(worst, up); }).observe(document.querySelector('tbody'), { attributes: true, subtree: true })");
    for name in ["web:0", "web:1", "web:2"] {
        browser.click("tr input", &format!("Select {name}"));
    }
    let pids = || {
        ["web:0", "web:1", "web:2"]
            .map(|name| scene.daemon.client.get(&format!("/v1/programs/{name}")).json()["pid"].clone())
    };
    let before = pids();
    browser.click(".picked button", "Restart");
    browser.wait_for("one instance of a program at a time");
    browser.click("dialog button", "Restart");
    wait_until("all have other processes", || {
        pids().iter().zip(&before).all(|(now, before)| now != before && !now.is_null())
    });
    for name in ["web:0", "web:1", "web:2"] {
        scene.wait_for_state(name, "RUNNING");
    }
    assert_eq!(browser.run("return worst"), json!(2), "two served at any time");
}

#[test]
fn a_failed_action_says_why() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    scene.open("program/web%3A0/why");
    browser.click(".title button", "Signal");
    browser.run("document.querySelector('input[name=signal]').value = 'NOSUCH'");
    browser.click("dialog button", "Send");
    browser
        .wait("the reason is in the dialog", "document.querySelector('dialog .failure')?.innerText.includes('NOSUCH')");
    browser.press(&["Escape"]);
    scene.assert_clean();
}

#[test]
fn a_reload_shows_what_would_change_before_it_is_applied() {
    let Some(scene) = Scene::of(SHOP) else { return };
    let browser = &scene.browser;
    scene.open("config");
    browser.click("button", "Check for changes");
    browser.wait_for("Nothing changes");

    let more =
        SHOP.replace("numprocs = 3", "numprocs = 2").replace("autostart = false", "autostart = false\npriority = 5");
    scene.daemon.rewrite(&Setting::supervising(format!("{more}[program.fresh]\ncommand = \"sleep 100000\"\n")));
    browser.click("button", "Check for changes");
    browser.wait_for("1 new program");
    let text = browser.text_of(".view-config");
    for part in ["fresh", "1 removed program", "web:2", "1 program changed in place", "spare", "priority", "999"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(scene.daemon.client.get("/v1/programs/fresh").status, 404, "nothing was applied yet");
    browser.click("button", "Apply");
    browser.wait_for("Apply the configuration?");
    browser.click("dialog button", "Apply");
    wait_until("it is applied", || scene.daemon.client.get("/v1/programs/fresh").status == 200);

    fs::write(scene.daemon.path("muster.toml"), "[program.web]\ncommand = \"sleep 1\"\nstopwaitsecs = -5\n")
        .expect("it is ours");
    browser.click("button", "Check for changes");
    browser.wait_for("The files have mistakes");
    let text = browser.text_of("pre.diagnostic");
    assert!(text.contains("muster.toml:3:") && text.contains("stopwaitsecs") && text.contains('^'), "{text}");
    scene.assert_clean();
}

#[test]
fn a_shutdown_asks_and_names_the_end_of_the_container() {
    let Some(mut scene) = Scene::shop() else { return };
    scene.browser.click("summary", "Menu");
    scene.browser.click(".menu button", "Shut down");
    scene.browser.wait_for("The container will exit.");
    scene.browser.click("dialog button", "Shut down");
    scene.daemon.wait();
    scene.browser.wait("it is lost", "document.body.dataset.link === 'lost'");
}
