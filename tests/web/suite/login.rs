//! Logins over TCP, and what each role sees.

use std::fs;

use muster_web_tests::Browser;
use serde_json::json;

use crate::harness::{Daemon, Setting, free_port};
use crate::scene::{SHOP, has_browser};

const TOKEN: &str = "correct-horse-battery-staple-7733";

struct Place {
    browser: Browser,
    daemon: Daemon,
    origin: String,
    _secrets: tempfile::TempDir,
}

/// A daemon with a listener on TCP, and a browser in front of it.
fn place(role: &str) -> Option<Place> {
    if !has_browser() {
        return None;
    }
    let secrets = tempfile::tempdir().expect("a temporary directory");
    let path = secrets.path().join("token");
    fs::write(&path, TOKEN).expect("it is ours");
    fs::write(secrets.path().join("password"), "a long enough password").expect("it is ours");
    let port = free_port();
    let http = format!(
        "listen = [\"http://127.0.0.1:{port}\"]\nuser.ada = {{ role = \"{role}\", token_file = {path:?} }}\n\
         user.bob = {{ role = \"{role}\", password_file = {:?} }}\n",
        secrets.path().join("password")
    );
    let daemon = Setting::supervising(SHOP).http(&http).start();
    let browser = Browser::start();
    let origin = format!("http://127.0.0.1:{port}");
    browser.go(&format!("{origin}/"));
    browser.wait_for("Log in");
    Some(Place { browser, daemon, origin, _secrets: secrets })
}

fn log_in(browser: &Browser, token: &str) {
    browser.run("document.querySelector('input[name=token]').focus()");
    browser.type_text(token);
    browser.press(&["Enter"]);
}

#[test]
fn a_wrong_token_is_refused_and_the_right_one_shows_the_page() {
    let Some(place) = place("admin") else { return };
    let (browser, daemon, origin) = (&place.browser, &place.daemon, &place.origin);
    let text = browser.text();
    assert!(!text.contains("worker") && !text.contains("proxy"), "nothing is shown before: {text}");
    log_in(browser, "wrong");
    browser.wait_for("the daemon does not know this login");
    log_in(browser, TOKEN);
    browser.wait("the first row", "document.querySelector('tr[data-name]')");

    // Neither the token nor the session is where a script could read it.
    let kept = browser.run("return document.cookie + JSON.stringify({ ...window.sessionStorage, ...window['local' + 'Storage'] }) + location.href + document.documentElement.outerHTML");
    assert!(!kept.as_str().expect("a text").contains(TOKEN), "{kept}");
    assert_eq!(browser.run("return document.cookie"), json!(""));
    assert!(!daemon.log.text().contains(TOKEN));

    // A reload keeps the session; logging out ends it.
    browser.go(&format!("{origin}/?again"));
    browser.wait("the first row", "document.querySelector('tr[data-name]')");
    browser.click("summary", "Menu");
    browser.click(".menu button", "Log out");
    browser.wait_for("Log in");
    assert_eq!(browser.violations(), Vec::<String>::new());
}

#[test]
fn a_name_and_a_password_log_in_by_keyboard() {
    let Some(place) = place("control") else { return };
    let browser = &place.browser;
    browser.click("label", "a name and a password");
    browser.run("document.querySelector('input[name=username]').focus()");
    browser.type_text("bob");
    browser.press(&["Tab"]);
    browser.type_text("a long enough password");
    browser.press(&["Enter"]);
    browser.wait("the first row", "document.querySelector('tr[data-name]')");
    browser.click("summary", "Menu");
    browser.wait_for("bob, role control");
    assert!(!browser.text().contains("Shut down"), "a shutdown needs admin");
}

#[test]
fn below_control_there_are_no_buttons_that_do_something() {
    let Some(place) = place("read") else { return };
    let browser = &place.browser;
    log_in(browser, TOKEN);
    browser.wait("the first row", "document.querySelector('tr[data-name]')");
    browser.wait_for("worker is FATAL");
    for view in ["", "program/worker/why", "config"] {
        browser.run(&format!("location.hash = '#/{view}'"));
        browser.wait("the view", "document.querySelector('main').innerText.length > 40");
        assert_eq!(
            browser.run("return document.querySelectorAll('button.act, button.danger').length"),
            json!(0),
            "{view}"
        );
        assert!(!browser.text().contains("Check for changes"), "{view}");
    }
}

#[test]
fn a_login_that_ends_shows_the_form_again() {
    let Some(mut place) = place("admin") else { return };
    log_in(&place.browser, TOKEN);
    place.browser.wait("the first row", "document.querySelector('tr[data-name]')");
    // Sessions are in memory only: another daemon does not know them.
    place.daemon.kill_and_start_again();
    let browser = &place.browser;
    browser.wait_for("Log in");
    assert_eq!(
        browser.run("return document.querySelectorAll('tr[data-name]').length"),
        json!(0),
        "nothing is shown without a login"
    );
    log_in(browser, TOKEN);
    browser.wait("the first row", "document.querySelector('tr[data-name]')");
}
