//! A reload that only says what it would change.

mod harness;

use harness::Setting;
use serde_json::{Value, json};

#[test]
fn a_dry_run_names_the_keys_that_differ_and_no_secret() {
    let with =
        |keys: &str| Setting::supervising(format!("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n{keys}\n"));
    let daemon = with("nice = 1\nenvironment = { TOKEN = \"first-secret\" }").start();
    daemon.wait_for_running("web");
    let keys_of = |keys: &str| {
        daemon.rewrite(&with(keys));
        let answer = daemon.client.post("/v1/config/reload?dry_run=true");
        assert!(!answer.body.contains("secret"), "{answer:?}");
        answer.json()["keys"].clone()
    };
    let changed =
        |key: &str, before: Value, after: Value| json!({ "name": "web", "key": key, "before": before, "after": after });
    let environment = "environment = { TOKEN = \"first-secret\" }";
    assert_eq!(keys_of(&format!("nice = 1\n{environment}")), json!([]));
    let two = keys_of(&format!("nice = 3\npriority = 5\n{environment}"));
    assert_eq!(two, json!([changed("nice", json!(1), json!(3)), changed("priority", json!(999), json!(5))]));
    let hidden = json!({ "TOKEN": "***" });
    let one = keys_of("nice = 1\nenvironment = { TOKEN = \"second-secret\" }");
    assert_eq!(one, json!([changed("environment", hidden.clone(), hidden)]));
    let shown = daemon.ctl_well(&["update", "--dry-run"]);
    assert_eq!(shown, "web: would be restarted\n  environment: values that are not shown\n");
    let applied = daemon.client.post("/v1/config/reload").json();
    assert_eq!(applied["keys"], json!([]), "only a dry run shows them");
}
