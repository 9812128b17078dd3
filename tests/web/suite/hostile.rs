//! A hostile program: whatever it writes is shown as text, and stays in its place.

use std::fs;

use serde_json::json;

use crate::harness::Setting;
use crate::scene::Scene;

/// Lines of the kinds that break pages, terminals and layouts.
const LINES: &[&str] = &[
    "<img src=x onerror=\"window.hit=1\">",
    "</script><script>window.hit=1</script>",
    "</pre></div></main><h1>gone</h1>",
    "<svg/onload=window.hit=1><foreignObject><body onload=window.hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<a href=\"javascript:window.hit=1\">here</a> <base href=//example.org/>",
    "<style>*{display:none}</style><link rel=stylesheet href=//example.org/x.css>",
    "javascript:window.hit=1//\\\"'`-->]]>{{7*7}}${window.hit=1}<%= 7 %>",
    "&lt;b&gt; &amp;amp; &#x3c;script&#x3e; %3Cscript%3E \\u003cscript\\u003e",
    "'; DROP TABLE users; -- \" OR 1=1 /* */ $(touch /tmp/x) `id`",
    "\u{202e}txt.exe\u{202c} \u{2066}isolated\u{2069} \u{200f}right\u{200e} left",
    "zero\u{200b}width\u{200d}joiner\u{feff} and \u{2028} separators \u{2029}",
    "Z\u{351}\u{36b}\u{343}a\u{32c}\u{34e}l\u{322}\u{321}g\u{318}\u{31f}o\u{34d}\u{355} text",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} \u{0ca0}_\u{0ca0} \u{ff07}\u{ff1c}script\u{ff1e} \u{65e5}\u{672c}\u{8a9e} \u{627}\u{644}\u{639}\u{631}\u{628}\u{64a}\u{629} \u{fdfd}",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://example.org\x07link\x1b]8;;\x07 \x1b[2J\x1b[H\x1bc \x1b[38;2;1;1;1mblack\x1b[0m",
    "\x1b[999999999999999999999999m \x1b[38;5m \x1b[38;2m \x1b[;;;;m \x1b] never ends",
    "\x00\x01\x08\x0b\x0c\x1f\x7f back\x08\x08\x08\x08space \rover the line",
    "-1 0 NaN Infinity undefined null true 1e309 0x0 1/0 -0.0 \u{663}\u{664}",
    "CON PRN AUX NUL ../../etc/passwd file:///etc/passwd \\\\server\\share",
    "{\"kind\":\"line\",\"line\":\"forged\"} \\n data: {\"kind\":\"snapshot\",\"programs\":[]}",
];

/// Programs whose output, names, states and statuses are all hostile.
fn programs(place: &std::path::Path) -> String {
    let text = place.join("lines");
    let mut bytes = LINES.join("\n").into_bytes();
    bytes.extend(b"\n\xff\xfe invalid \xc3\x28\n");
    bytes.extend(b"A".repeat(1024 * 1024));
    bytes.extend(b"\nthe last line\n");
    fs::write(&text, bytes).expect("the directory is ours");
    format!(
        "[program.out]\ncommand = [\"sh\", \"-c\", \"cat {0}; exec sleep 100000\"]\n\
         logs = {{ stdout = \"memory\", memory = \"8MB\" }}\n\
         [program.dies]\ncommand = [\"sh\", \"-c\", \"head -n 12 {0} >&2; exit 1\"]\nstartretries = 0\n\
         [program.evil]\ncommand = [\"/<b>no such</b><script>window.hit=1</script>\"]\nstartretries = 0\n",
        text.display()
    )
}

#[test]
fn output_is_text_whatever_it_says() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(scene) = Scene::with(Setting::supervising(programs(place.path()))) else { return };
    scene.wait_for_state("dies", "FATAL");
    scene.open("program/out/logs");
    scene.browser.wait_for("the last line");

    // Each line is one line, and its characters are all there: those that are seen, and the others by their names.
    let shown = scene.browser.run("return [...document.querySelectorAll('.line .text')].map((it) => it.textContent)");
    let shown: Vec<&str> = shown.as_array().expect("a list").iter().filter_map(|it| it.as_str()).collect();
    for line in LINES {
        let is_plain = line.chars().all(|it| (' '..='~').contains(&it));
        if is_plain {
            assert!(shown.contains(line), "{line:?} is not in {shown:?}");
        }
    }
    assert!(shown.iter().any(|line| line.contains("<202E>txt.exe<202C>")), "{shown:?}");
    assert!(
        shown.iter().any(|line| line.starts_with("red ") && line.contains("link") && !line.contains("example.org")),
        "{shown:?}"
    );
    assert!(shown.iter().any(|line| line.contains("\u{fffd}")), "{shown:?}");
    let longest = shown.iter().map(|line| line.len()).max().expect("there are lines");
    println!("the longest line on the screen has {longest} characters of 1 MiB");
    assert!((60_000..=70_000).contains(&longest), "{longest}");

    for view in [
        "",
        "program/dies/why",
        "program/out/logs",
        "graph",
        "runs",
        "config",
        "daemon/log",
        "daemon/processes",
        "daemon/events",
    ] {
        scene.open(view);
        scene.browser.wait("it is drawn", "document.body.innerText.length > 200");
        let alien = scene.browser.run("return document.querySelectorAll('main :is(img, script, iframe, style, base, object, embed, h1 h1)').length");
        assert_eq!(alien, json!(0), "{view}");
    }
    assert_eq!(scene.browser.run("return window.hit ?? null"), json!(null));
    assert!(
        scene.browser.requests().iter().all(|url| url.starts_with(&scene.origin) || url.starts_with("data:")),
        "nothing was fetched"
    );
    scene.assert_clean();
}

/// The big list of naughty strings, as lines of a program and as its last words.
#[test]
fn naughty_strings_are_text() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (text, lines) = (place.path().join("lines"), naughty_strings::BLNS.join("\n"));
    fs::write(&text, lines + "\nthe last line\n").expect("the directory is ours");
    let programs = format!(
        "[program.out]\ncommand = [\"sh\", \"-c\", \"cat {0}; exec sleep 100000\"]\n\
         [program.dies]\ncommand = [\"sh\", \"-c\", \"cat {0} >&2; exit 1\"]\nstartretries = 0\n",
        text.display()
    );
    let Some(scene) = Scene::with(Setting::supervising(programs)) else { return };
    scene.wait_for_state("dies", "FATAL");
    for view in ["program/out/logs", "program/dies/logs", "program/dies/why", ""] {
        scene.open(view);
        scene.browser.wait_for("the last line");
    }
    scene.open("program/out/logs");
    scene.browser.wait_for("the last line");
    let shown = scene.browser.run("return [...document.querySelectorAll('.line .text')].map((it) => it.textContent)");
    let shown: Vec<&str> = shown.as_array().expect("a list").iter().filter_map(|it| it.as_str()).collect();
    // The page begins with the last 500 lines.
    let is_plain = |line: &&&str| line.chars().all(|it| (' '..='~').contains(&it)) && !line.trim().is_empty();
    let last = naughty_strings::BLNS.iter().flat_map(|one| one.split('\n')).collect::<Vec<_>>();
    let missing: Vec<&&str> =
        last.iter().rev().take(400).filter(is_plain).filter(|line| !shown.contains(*line)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(scene.browser.run("return window.hit ?? null"), json!(null));
    scene.assert_clean();
}
