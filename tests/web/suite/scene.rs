//! A daemon with programs, its page in a browser, and the command that brings it there: `musterctl web`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use muster_web_tests::{Browser, is_installed};

use crate::harness::{Daemon, Setting, musterctl, skip};

/// A small shop in which one program is broken.
pub(crate) const SHOP: &str = r#"
[program.db]
command = ["sh", "-c", "echo database is ready; exec sleep 100000"]
[program.migrate]
type = "oneshot"
command = ["sh", "-c", "echo migrated 12 tables"]
depends_on = { db = "started" }
[program.web]
command = ["sh", "-c", "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo \"GET /orders/$i 200\"; done; echo slow query >&2; exec sleep 100000"]
numprocs = 3
rolling = 1
depends_on = { db = "started", migrate = "completed" }
restart_with = ["db"]
[program.worker]
command = ["sh", "-c", "echo connecting to amqp://mq:5672; echo 'Traceback (most recent call last):' >&2; echo '  File worker.py, line 14, in connect' >&2; echo 'ConnectionRefusedError: [Errno 111] Connection refused' >&2; exit 3"]
startretries = 3
backoff = { delay = "100ms", factor = 2, max = "20s" }
depends_on = { db = "started" }
[program.mailer]
command = ["sh", "-c", "echo the SMTP server does not answer >&2; exit 1"]
startretries = "unlimited"
backoff = { delay = "30m", max = "30m" }
[program.report]
command = "true"
schedule = "@hourly"
[program.proxy]
command = ["sleep", "100000"]
essential = true
depends_on = { web = "started" }
[program.spare]
command = ["sleep", "100000"]
autostart = false
"#;

/// A daemon and its page in a browser.
pub(crate) struct Scene {
    pub(crate) browser: Browser,
    pub(crate) daemon: Daemon,
    pub(crate) origin: String,
    web: Child,
}

/// Whether there is a browser; otherwise the test is skipped.
pub(crate) fn has_browser() -> bool {
    let is_there = is_installed();
    if !is_there {
        skip("chromium or chromedriver is not installed");
    }
    is_there
}

impl Scene {
    /// A daemon with these programs, and a browser that has opened what `musterctl web` printed.
    pub(crate) fn of(programs: &str) -> Option<Scene> {
        Scene::with(Setting::supervising(programs))
    }

    pub(crate) fn with(setting: Setting) -> Option<Scene> {
        if !has_browser() {
            return None;
        }
        let daemon = setting.start();
        let browser = Browser::start();
        let mut command = Command::new(musterctl());
        command.arg("--socket").arg(daemon.socket()).args(["web", "--no-open"]);
        let mut web = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut url = String::new();
        BufReader::new(web.stdout.take().expect("it was piped")).read_line(&mut url).expect("it is text");
        let url = url.trim();
        let origin = url.split("/?").next().expect("it is an address").to_owned();
        browser.go(url);
        let scene = Scene { browser, daemon, origin, web };
        scene.browser.wait("the first row", "document.querySelector('tr[data-name]')");
        scene.browser.wait("it is live", "document.body.dataset.link === 'live'");
        Some(scene)
    }

    /// The shop, once all of it has settled.
    pub(crate) fn shop() -> Option<Scene> {
        let scene = Scene::of(SHOP)?;
        for (name, state) in [("proxy", "RUNNING"), ("worker", "FATAL"), ("mailer", "BACKOFF"), ("migrate", "EXITED")] {
            scene.wait_for_state(name, state);
        }
        Some(scene)
    }

    /// Opens a view by its address.
    pub(crate) fn open(&self, view: &str) {
        self.browser.run(&format!("location.hash = '#/{view}'"));
        self.browser.wait(
            "the view",
            &format!(
                "document.querySelector('.view-{}')",
                view.split('/').next().filter(|it| !it.is_empty()).unwrap_or("programs")
            ),
        );
    }

    /// Waits until the row of an instance has a state.
    pub(crate) fn wait_for_state(&self, name: &str, state: &str) {
        let row = format!("document.querySelector('tr[data-name=\"{name}\"] .state')?.dataset.state === '{state}'");
        self.browser.wait(&format!("{name} is {state}"), &row);
    }

    /// The state of an instance, as the daemon has it.
    pub(crate) fn state(&self, name: &str) -> String {
        let answer = self.daemon.client.request("GET", &format!("/v1/programs/{name}"), "");
        answer.json()["state"].as_str().expect("it has a state").to_owned()
    }

    pub(crate) fn post(&self, path: &str) {
        let answer = self.daemon.client.request("POST", path, "");
        assert!(answer.status < 300, "{path}: {answer:?}");
    }

    /// Nothing that the policy forbids was tried, and no script failed.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.browser.violations(), Vec::<String>::new());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.web.kill();
        let _ = self.web.wait();
    }
}
