//! Web pages of other origins: nothing without `allow_origins`, and only what it names with it.

use crate::scene::{Scene, login, status};

const ORIGIN: &str = "Origin: https://ops.example.org\r\n";
const ASKS: &str = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";

#[test]
fn an_allowed_origin_may_read_and_no_other() {
    let scene = Scene::new();
    let _daemon = scene.start("listen = [\"http://127.0.0.1:PORT\"]\nallow_origins = [\"https://ops.example.org\"]");
    let preflight = scene.head("OPTIONS /v1/programs/web/stop", &format!("{ORIGIN}{ASKS}"), "");
    assert_eq!(status(&preflight), 204, "{preflight}");
    for header in [
        "access-control-allow-origin: https://ops.example.org",
        "access-control-allow-methods: get, head, post, delete",
        "access-control-allow-headers: authorization",
        "vary: origin",
    ] {
        assert!(preflight.contains(header), "{header}: {preflight}");
    }
    assert!(!preflight.contains("credentials") && !preflight.contains('*'), "{preflight}");
    let read = scene.head("GET /v1/info", &format!("{ORIGIN}{}", login("read")), "");
    assert!(status(&read) == 200 && read.contains("access-control-allow-origin: https://ops.example.org"), "{read}");
    // It may see why it is refused, too.
    let refused = scene.head("GET /v1/info", ORIGIN, "");
    assert!(status(&refused) == 401 && refused.contains("access-control-allow-origin: https"), "{refused}");
    // Without an origin nothing is said, but a cache must know that it matters.
    let plain = scene.head("GET /v1/info", &login("read"), "");
    assert!(plain.contains("vary: origin") && !plain.contains("access-control"), "{plain}");
    for origin in [
        "Origin: https://evil.example\r\n",
        "Origin: https://ops.example.org.evil.example\r\n",
        "Origin: http://ops.example.org\r\n",
        "Origin: https://ops.example.org:8443\r\n",
        "Origin: null\r\n",
        "Origin: *\r\n",
        "Origin: https://ops.example.org\r\nOrigin: https://evil.example\r\n",
    ] {
        let preflight = scene.head("OPTIONS /v1/info", &format!("{origin}{ASKS}"), "");
        assert_eq!(status(&preflight) / 100, 4, "{origin}: {preflight}");
        assert!(!preflight.contains("access-control-allow-origin"), "{origin}: {preflight}");
        let read = scene.head("GET /v1/info", &format!("{origin}{}", login("read")), "");
        assert!(!read.contains("access-control-allow-origin"), "{origin}: {read}");
    }
    // The name of the host is checked before.
    let rebound = scene.head("OPTIONS /v1/info", &format!("Host: evil.example\r\n{ORIGIN}{ASKS}"), "");
    assert_eq!(status(&rebound), 421, "{rebound}");
    // A preflight changes nothing, whatever it asks for.
    assert_eq!(status(&scene.head("OPTIONS /v1/info", ORIGIN, "")), 405);
}

#[test]
fn without_allowed_origins_no_answer_mentions_them() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    for (request, headers) in [
        ("OPTIONS /v1/info", format!("{ASKS}{}", login("admin"))),
        ("OPTIONS /v1/info", format!("{ORIGIN}{ASKS}")),
        ("GET /v1/info", format!("{ORIGIN}{}", login("admin"))),
        ("GET /v1/info", login("admin")),
    ] {
        let head = scene.head(request, &headers, "");
        assert!(!head.contains("access-control") && !head.contains("vary"), "{request} {headers}: {head}");
    }
    let options = scene.head("OPTIONS /v1/info", &login("admin"), "");
    assert!(status(&options) == 405 && options.contains("allow: get, head"), "{options}");
}
