//! The page: its files, its headers, and who gets the states in it.

use std::process::Command;

use crate::harness::{Setting, wait_until};
use crate::scene::{Scene, login, status};
use crate::sessions::ask;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

#[test]
fn every_file_has_the_headers_that_keep_a_browser_from_anything_else() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/?from=a-link", "text/html; charset=utf-8"),
        ("/ui/", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/app.css", "text/css; charset=utf-8"),
    ] {
        for request in ["GET", "HEAD"] {
            let (head, _) = ask(&scene, &format!("{request} {path}"), "", "");
            assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
            for line in [
                &format!("content-security-policy: {POLICY}"),
                &format!("content-type: {media_type}"),
                "x-content-type-options: nosniff",
                "referrer-policy: no-referrer",
                "cross-origin-opener-policy: same-origin",
                "cross-origin-resource-policy: same-origin",
                "cache-control: no-cache",
                "vary: accept-encoding",
            ] {
                assert!(head.lines().any(|found| found == line), "{path} lacks {line}: {head}");
            }
            assert!(!head.contains("set-cookie") && !head.contains("content-encoding"), "{path}: {head}");
        }
    }
    for path in ["/ui/nosuch.js", "/ui/index.html", "/ui/..%2fapp.js", "/ui/%2e%2e/app.js", "/ui"] {
        assert_eq!(status(&scene.head(&format!("GET {path}"), "", "")), 404, "{path}");
    }
    assert_eq!(status(&scene.head("DELETE /", "", "")), 405);
    assert_eq!(status(&scene.head("POST /ui/", "", "")), 405);
}

#[test]
fn files_are_compressed_for_clients_that_take_it_and_sent_once() {
    let scene = Scene::new();
    let daemon = scene.listening();
    let compressed = scene.place.path().join("app.js.gz");
    let fetch = |options: &[&str]| {
        let url = format!("http://127.0.0.1:{}/ui/app.js", scene.port);
        let output =
            Command::new("curl").args(["-s", "-D", "-", "-o"]).arg(&compressed).args(options).arg(url).output();
        String::from_utf8_lossy(&output.expect("curl runs").stdout).into_owned()
    };
    let head = fetch(&["-H", "Accept-Encoding: gzip"]);
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let inflated = Command::new("gzip").args(["-dc"]).arg(&compressed).output().expect("gzip runs");
    assert_eq!(String::from_utf8_lossy(&inflated.stdout), daemon.client.get("/ui/app.js").body);
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("it has a tag").to_owned();
    for coding in ["gzip", "identity"] {
        let known = fetch(&["-H", &format!("Accept-Encoding: {coding}"), "-H", &format!("If-None-Match: {tag}")]);
        assert!(known.starts_with("HTTP/1.1 304") && known.contains(&format!("etag: {tag}")), "{known}");
        assert!(known.contains("content-security-policy"), "{known}");
    }
}

/// Clickjacking and embedding: no page of another site gets a script or a frame of it.
#[test]
fn another_site_may_link_to_the_page_and_not_embed_it() {
    let scene = Scene::new();
    let _daemon = scene.listening();
    let cross = |mode: &str, destination: &str| {
        format!("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {destination}\r\n")
    };
    for path in ["/", "/ui/"] {
        let linked = scene.head(&format!("GET {path}"), &cross("navigate", "document"), "");
        assert_eq!(status(&linked), 200, "{path}: {linked}");
        assert!(linked.contains("frame-ancestors 'none'"), "{linked}");
    }
    for path in ["/ui/app.js", "/ui/app.css", "/v1/programs"] {
        let head = scene.head(&format!("GET {path}"), &cross("no-cors", "script"), "");
        assert_eq!(status(&head), 403, "{path}: {head}");
    }
    assert_eq!(status(&scene.head("GET /", "Host: evil.example\r\n", "")), 421);
}

#[test]
fn states_are_in_the_page_for_clients_that_may_see_them_and_as_text() {
    let scene = Scene::new();
    let lines = format!("listen = [\"http://127.0.0.1:{}\"]\n", scene.port);
    let hostile = "</noscript><script>alert(1)</script>\u{202e}<img src=x onerror=alert(1)>";
    let programs = format!(
        "[program.web]\ncommand = \"sleep 1000\"\n[program.bad]\ncommand = [\"/no/such/{}\"]\nstartretries = 0\n",
        hostile.replace('/', "")
    );
    let users =
        format!("user.read = {{ role = \"read\", token_file = \"{}\" }}", scene.place.path().join("read").display());
    let daemon = Setting::supervising(programs).http(&format!("{lines}{users}")).start().listening();
    daemon.wait_for_running("web");
    wait_until("the other one has failed", || daemon.client.get("/v1/programs/bad").json()["state"] == "FATAL");
    let (_, none) = ask(&scene, "GET /", "", "");
    assert!(!none.contains("<table") && !none.contains("RUNNING") && none.contains("<noscript>"), "{none}");
    for (head, page) in [ask(&scene, "GET /", &login("read"), ""), (String::new(), daemon.client.get("/").body)] {
        assert!(head.is_empty() || head.contains("cache-control: no-store") && head.contains(POLICY), "{head}");
        let (_, table) = page.split_once("<noscript>").expect("it has the part for browsers without a script");
        let (table, rest) = table.split_once("</noscript>").expect("which ends once");
        assert!(table.contains("<td><bdi>web</bdi></td><td><bdi>RUNNING</bdi></td>"), "{table}");
        assert!(table.contains("FATAL") && table.contains("&lt;"), "{table}");
        assert!(!page.contains("<img") && !page.contains("alert(1)</script>") && !page.contains('\u{202e}'), "{page}");
        assert!(rest.trim_end().ends_with("</html>"), "{rest}");
    }
}

/// The root is our page, and supervisord's for its forms.
#[test]
fn supervisords_page_is_where_its_users_look_for_it() {
    let scene = Scene::new();
    let daemon = scene.listening();
    daemon.wait_for_running("web");
    let page = |path: &str| daemon.client.get(path).body;
    assert!(page("/").contains("/ui/app.js"));
    for path in ["/index.html", "/?message=hello", "//"] {
        let page = page(path);
        assert!(page.contains("tail.html?processname=web") && !page.contains("/ui/app.js"), "{path}: {page}");
    }
    let head = scene.head("GET /?action=stop&processname=web", &login("control"), "");
    assert!(status(&head) == 301 && head.contains("/?message="), "{head}");
    wait_until("it is stopped", || daemon.client.get("/v1/programs/web").json()["state"] == "STOPPED");
}
