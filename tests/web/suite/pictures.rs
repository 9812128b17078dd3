//! Pictures of every view, light and dark, wide and narrow, for people to look at: in `target/web-screenshots`.

use std::fs;
use std::path::PathBuf;

use muster_web_tests::{Browser, Scheme};
use serde_json::json;

use crate::access::{VIEWS, open};
use crate::harness::{Setting, free_port};
use crate::scene::{SHOP, Scene, has_browser};

/// Where the pictures go.
pub(crate) fn directory() -> PathBuf {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/web-screenshots"));
    fs::create_dir_all(&directory).expect("the target directory is writable");
    directory
}

fn take(browser: &Browser, name: &str, scheme: Scheme, width: u32) {
    // Lets fonts and figures come.
    browser.run_async(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 250)))",
    );
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG"), "a picture of {name}");
    fs::write(directory().join(format!("{name}-{}-{width}.png", scheme.name())), picture).expect("it is ours");
}

const LOOKS: [(Scheme, u32, u32); 4] =
    [(Scheme::Light, 1280, 800), (Scheme::Dark, 1280, 800), (Scheme::Light, 320, 720), (Scheme::Dark, 320, 720)];

#[test]
fn every_view_has_its_picture() {
    let Some(scene) = Scene::shop() else { return };
    let browser = &scene.browser;
    for (scheme, width, height) in LOOKS {
        browser.look(width, height, scheme);
        for (name, view, text) in VIEWS {
            open(&scene, view, text);
            take(browser, name, scheme, width);
        }
        open(&scene, "", "need attention");
        browser.run("document.querySelector('.programs').scrollIntoView()");
        take(browser, "rows", scheme, width);
        open(&scene, "program/db/why", "db is");
        browser.click(".title button", "Stop");
        browser.wait_for("depend on it");
        take(browser, "dialog", scheme, width);
        browser.press(&["Escape", "?"]);
        browser.wait_for("keys of one letter");
        take(browser, "keys", scheme, width);
        browser.press(&["Escape"]);
    }
    scene.daemon.signal(9);
    open(&scene, "", "need attention");
    browser.wait_for("no connection");
    for (scheme, width, height) in LOOKS {
        browser.look(width, height, scheme);
        take(browser, "stale", scheme, width);
    }
}

#[test]
fn the_login_has_its_picture() {
    if !has_browser() {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    let token = place.path().join("token");
    fs::write(&token, "correct-horse-battery-staple-7733").expect("it is ours");
    let port = free_port();
    let http =
        format!("listen = [\"http://127.0.0.1:{port}\"]\nuser.ada = {{ role = \"admin\", token_file = {token:?} }}\n");
    let _daemon = Setting::supervising(SHOP).http(&http).start();
    let browser = Browser::start();
    browser.go(&format!("http://127.0.0.1:{port}/"));
    browser.wait_for("Log in");
    for (scheme, width, height) in LOOKS {
        browser.look(width, height, scheme);
        take(&browser, "login", scheme, width);
        assert!(browser.run("return document.documentElement.scrollWidth").as_u64() <= Some(u64::from(width)));
    }
    assert_eq!(browser.run("return document.querySelectorAll('tr').length"), json!(0));
}
