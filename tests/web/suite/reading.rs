//! Logs: live, found, filtered, paused, together.

use std::fs;

use serde_json::json;

use crate::harness::Setting;
use crate::scene::Scene;

/// A program that writes the lines that are appended to a file.
fn talker(place: &std::path::Path) -> String {
    let path = place.join("said");
    fs::write(&path, (1..=300).map(|at| format!("line {at}\n")).collect::<String>()).expect("it is ours");
    format!(
        "[program.talk]\ncommand = [\"tail\", \"-n\", \"+1\", \"-f\", {path:?}]\n\
         [program.other]\ncommand = [\"sh\", \"-c\", \"echo \\u001b[1\\\\;31mred\\u001b[0m and plain; echo to stderr >&2; exec sleep 100000\"]\n"
    )
}

fn say(place: &std::path::Path, text: &str) {
    use std::io::Write;
    let mut file = fs::File::options().append(true).open(place.join("said")).expect("it is there");
    writeln!(file, "{text}").expect("it is writable");
}

#[test]
fn a_log_goes_on_is_found_filtered_and_paused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(scene) = Scene::with(Setting::supervising(talker(place.path()))) else { return };
    let browser = &scene.browser;
    scene.open("program/talk/logs");
    browser.wait_for("line 300");
    let at_end = "(() => { const it = document.querySelector('.lines'); return it.scrollHeight - it.scrollTop - it.clientHeight < 40; })()";
    browser.wait("it is at its end", at_end);
    say(place.path(), "a new line");
    browser.wait_for("a new line");
    browser.wait("it follows", at_end);

    browser.press(&["/"]);
    browser.type_text("line 29");
    browser.wait_for("11 found");
    browser.press(&["Enter"]);
    browser.wait_for("1 of 11");
    browser.click("button", "Only these");
    browser.wait(
        "the others are hidden",
        "[...document.querySelectorAll('.line')].filter((it) => it.checkVisibility()).length === 11",
    );
    browser.click("button", "Only these");
    browser.click("button", "Regular expression");
    browser.run("const field = document.getElementById('filter'); field.value = '^line (7|8)$'; field.dispatchEvent(new Event('input'))");
    browser.wait_for("2 found");
    browser.run(
        "const field = document.getElementById('filter'); field.value = '('; field.dispatchEvent(new Event('input'))",
    );
    browser.wait("it is no pattern", "document.getElementById('filter').getAttribute('aria-invalid') === 'true'");
    browser.run(
        "const field = document.getElementById('filter'); field.value = ''; field.dispatchEvent(new Event('input'))",
    );

    browser.run("document.querySelector('.lines').scrollTop = 0");
    browser.wait("it is paused", "[...document.querySelectorAll('button')].some((it) => it.innerText === 'Pause' && it.getAttribute('aria-pressed') === 'true')");
    say(place.path(), "while it was paused");
    browser.wait_for("1 new line");
    assert_eq!(browser.run("return document.querySelector('.lines').scrollTop"), json!(0), "it stays where it was");
    browser.click("button", "1 new line");
    browser.wait("it is at its end again", at_end);
    scene.assert_clean();
}

#[test]
fn colours_are_kept_and_streams_are_chosen() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(scene) = Scene::with(Setting::supervising(talker(place.path()))) else { return };
    let browser = &scene.browser;
    scene.open("program/other/logs");
    browser.wait_for("red and plain");
    assert_eq!(browser.run("return document.querySelector('.sgr1.bold')?.textContent"), json!("red"));
    browser.run("const it = document.querySelector('select[aria-label=Stream]'); it.value = 'stderr'; it.dispatchEvent(new Event('change'))");
    browser.wait(
        "only one is seen",
        "[...document.querySelectorAll('.line')].filter((it) => it.checkVisibility()).length === 1",
    );
    assert!(browser.text_of(".lines").contains("to stderr"));
}

#[test]
fn runs_are_separated_and_several_programs_are_read_together() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(scene) = Scene::with(Setting::supervising(talker(place.path()))) else { return };
    let browser = &scene.browser;
    scene.open("program/other/logs");
    browser.wait_for("red and plain");
    scene.post("/v1/programs/other/restart?wait=20");
    browser.wait("a separator", "document.querySelector('.separator')?.innerText.includes('run')");
    scene.open("logs/talk/other");
    browser.wait_for("Logs of talk, other");
    browser.wait("both are there", "['talk', 'other'].every((name) => [...document.querySelectorAll('.who')].some((it) => it.textContent === name))");
    say(place.path(), "and together");
    browser.wait_for("and together");
    scene.assert_clean();
}

#[test]
fn ten_thousand_lines_are_kept_and_not_more() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(scene) = Scene::with(Setting::supervising(talker(place.path()))) else { return };
    let browser = &scene.browser;
    scene.open("program/talk/logs");
    browser.wait_for("line 300");
    for batch in 0..60 {
        say(place.path(), &(0..400).map(|at| format!("flood {batch} {at}")).collect::<Vec<_>>().join("\n"));
    }
    say(place.path(), "the end of the flood");
    browser.wait(
        "the end",
        "[...document.querySelectorAll('.line')].at(-1)?.textContent.includes('the end of the flood')",
    );
    let count = browser.run("return document.querySelector('.lines').children.length");
    println!("{count} lines are kept of a flood of 24 000");
    assert!(count.as_u64() <= Some(10_000), "{count}");
}
