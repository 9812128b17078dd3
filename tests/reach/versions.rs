//! Paths of other versions, and without one.

use crate::scene::Scene;

#[test]
fn another_version_and_none_at_all_are_not_found_with_the_way() {
    let scene = Scene::new();
    let daemon = scene.listening();
    for path in ["/v2/programs", "/v0/info", "/v2"] {
        for method in ["GET", "POST"] {
            let answer = daemon.client.request(method, path, "");
            let problem = answer.json();
            assert_eq!((answer.status, &problem["type"]), (404, &"urn:muster:no-such-version".into()), "{path}");
            assert_eq!(problem["supported"], serde_json::json!(["v1"]), "{path}");
        }
    }
    for (path, hint) in [("/programs", "/v1/programs"), ("/programs/web/why", "/v1/programs/{name}/why")] {
        let problem = daemon.client.get(path).json();
        assert_eq!((&problem["type"], &problem["hint"]), (&"urn:muster:no-such-route".into(), &hint.into()), "{path}");
        assert!(problem["api"].as_str().is_some_and(|api| api.starts_with("1.")), "{problem}");
    }
    let unknown = daemon.client.get("/nosuch").json();
    assert_eq!(unknown["hint"], "GET /openapi.json lists every route");
}
