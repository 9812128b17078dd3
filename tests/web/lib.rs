//! A browser that a test drives: Debian's chromium, without a window, through its driver.
//!
//! Everything blocks, as in the harness. Each [`Browser`] has a profile of its own and ends with its value. From the first document
//! on it collects what the page's policy forbade, and every request of the browser is recorded.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Timeout for anything that a page does. Only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

/// A browser with one tab.
pub struct Browser {
    client: Client,
    runtime: Runtime,
    driver: Child,
}

/// Whether chromium and its driver are installed.
pub fn is_installed() -> bool {
    let answers = |name| Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ["chromium", "chromedriver"].iter().all(|name| answers(name).is_ok_and(|status| status.success()))
}

/// Collects what the policy forbids, and errors of scripts.
const WATCH: &str = "window.violations = []; \
    addEventListener('securitypolicyviolation', (event) => violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`)); \
    addEventListener('error', (event) => violations.push(`error ${event.message}`)); \
    addEventListener('unhandledrejection', (event) => violations.push(`rejected ${event.reason}`));";

impl Browser {
    pub fn start() -> Browser {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed");
        let mut lines = BufReader::new(driver.stdout.take().expect("it was piped")).lines();
        let port = lines
            .find_map(|line| {
                line.ok()?.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("the driver prints its port");
        // The rest is read, so that the driver never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut arguments = vec![
            "--headless=new",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--disable-dev-shm-usage",
        ];
        // Chromium's own sandbox needs a user other than root.
        arguments.push("--no-sandbox");
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments, "perfLoggingPrefs": { "enableNetwork": true } },
            "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        });
        let wanted: Capabilities = wanted.as_object().expect("it is one").clone();
        let client = runtime
            .block_on(async {
                let mut builder = ClientBuilder::new(HttpConnector::new());
                builder.capabilities(wanted).connect(&format!("http://127.0.0.1:{port}")).await
            })
            .expect("the driver starts a browser");
        let browser = Browser { client, runtime, driver };
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }));
        browser.look(1280, 800, Scheme::Light);
        browser
    }

    /// Sends a command of Chrome's DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.issue("goog/cdp/execute", body)
    }

    fn issue(&self, path: &'static str, body: Value) -> Value {
        let issued = self.runtime.block_on(self.client.issue_cmd(Extension { path, body }));
        issued.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Sets the size of the page in CSS pixels, and its colours.
    pub fn look(&self, width: u32, height: u32, scheme: Scheme) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        // With motion, a colour could be measured while it changes to another one.
        let features = [("prefers-color-scheme", scheme.name()), ("prefers-reduced-motion", "reduce")];
        let features = json!({ "features": features.map(|(name, value)| json!({ "name": name, "value": value })) });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    pub fn go(&self, url: &str) {
        self.runtime.block_on(self.client.goto(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Calls a function with this body in the page, and returns what it returns.
    pub fn run(&self, body: &str) -> Value {
        self.run_with(body, Vec::new())
    }

    pub fn run_with(&self, body: &str, arguments: Vec<Value>) -> Value {
        let run = self.runtime.block_on(self.client.execute(body, arguments));
        run.unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// The same for a function whose last argument is called back with the result.
    pub fn run_async(&self, body: &str) -> Value {
        let run = self.runtime.block_on(self.client.execute_async(body, Vec::new()));
        run.unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// The text of the page, as it is seen.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// The text of the first element of a selector; empty if there is none.
    pub fn text_of(&self, selector: &str) -> String {
        let found =
            self.run_with("return document.querySelector(arguments[0])?.innerText ?? ''", vec![json!(selector)]);
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression of the page is true, looking every frame.
    pub fn wait(&self, what: &str, expression: &str) {
        let began = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != json!(true) {
            assert!(began.elapsed() < PATIENCE, "timed out: {what}: {expression}\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the page shows a text.
    pub fn wait_for(&self, text: &str) {
        self.wait(text, &format!("document.body.innerText.includes({})", json!(text)));
    }

    /// Presses and releases keys, one after another: `"j"`, `"Enter"`, `"Tab"`.
    pub fn press(&self, keys: &[&str]) {
        for &key in keys {
            let (code, number) = match key {
                "Enter" => ("Enter", 13),
                "Tab" => ("Tab", 9),
                "Escape" => ("Escape", 27),
                "ArrowDown" => ("ArrowDown", 40),
                "ArrowUp" => ("ArrowUp", 38),
                "ArrowLeft" => ("ArrowLeft", 37),
                "ArrowRight" => ("ArrowRight", 39),
                _ => ("", key.to_ascii_uppercase().bytes().next().map_or(0, u32::from)),
            };
            let mut event = json!({ "type": "keyDown", "key": key, "code": code, "windowsVirtualKeyCode": number });
            if key == "Enter" {
                event["text"] = json!("\r");
            } else if key.chars().count() == 1 {
                event["text"] = json!(key);
            }
            self.devtools("Input.dispatchKeyEvent", &event);
            event["type"] = json!("keyUp");
            self.devtools("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types a text where the focus is.
    pub fn type_text(&self, text: &str) {
        self.devtools("Input.insertText", &json!({ "text": text }));
    }

    /// Clicks with the mouse on the first visible element of a selector whose text or label begins with `label`, once it stays in its
    /// place. One that moved away under the mouse is clicked again.
    pub fn click(&self, selector: &str, label: &str) {
        let find = "const [selector, label] = arguments; \
            const fits = (one) => (one.innerText ?? '').trim().startsWith(label) || (one.getAttribute('aria-label') ?? '').startsWith(label); \
            const it = [...document.querySelectorAll(selector)].find((one) => one.checkVisibility() && fits(one)); \
            if (!it) return null; it.scrollIntoView({ block: 'center' }); const box = it.getBoundingClientRect(); \
            window.wasClicked = false; const note = ({ target }) => { const hit = target.closest(selector); if (hit && fits(hit)) window.wasClicked = true; }; \
            document.addEventListener('click', note, { once: true, capture: true }); \
            return [box.x + box.width / 2, box.y + box.height / 2, it.disabled ?? false];";
        let began = Instant::now();
        let mut before = Value::Null;
        loop {
            let place = self.run_with(find, vec![json!(selector), json!(label)]);
            assert!(began.elapsed() < PATIENCE, "nothing to click: {selector} {label:?} {place}\n{}", self.text());
            if place.is_array() && place[2] == json!(false) && place == before {
                for kind in ["mousePressed", "mouseReleased"] {
                    let event =
                        json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
                    self.devtools("Input.dispatchMouseEvent", &event);
                }
                // A document that the click has replaced knows nothing of it.
                if self.run("return window.wasClicked !== false") == json!(true) {
                    return;
                }
            }
            before = place;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The name of the focused element, as for readers of the screen.
    pub fn focused(&self) -> String {
        let found =
            self.run("const it = document.activeElement; return it?.getAttribute('aria-label') ?? it?.innerText ?? ''");
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Everything that the policy forbade, and the scripts that failed, since the page was loaded.
    pub fn violations(&self) -> Vec<String> {
        let list = self.run("return window.violations");
        list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The addresses of all requests since the last call, and of connections of other kinds.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.issue("se/log", json!({ "type": "performance" }));
        let messages = entries.as_array().into_iter().flatten().filter_map(|entry| entry["message"].as_str());
        let messages = messages.filter_map(|message| serde_json::from_str::<Value>(message).ok());
        let requests = messages.filter(|message| message["message"]["method"] == "Network.requestWillBeSent");
        requests
            .filter_map(|message| Some(message["message"]["params"]["request"]["url"].as_str()?.to_owned()))
            .collect()
    }

    /// A picture of what is seen, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.client.screenshot()).expect("chromium draws")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let closed = self
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), self.client.clone().close()).await });
        drop(closed);
        // The driver takes its browser with it.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command that only chromium's driver has.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
