//! The addresses of supervisord's web page, beside the original, and what another site, an onlooker and a hostile program
//! cannot do with them.

#[path = "harness/mod.rs"]
mod harness;

use std::process::Command;

use harness::{Answer, Setting, Supervisord, is_root, skip, wait_until};

const SECTIONS: &str = "\
[program:cat]\ncommand=cat\n\
[program:talk]\ncommand=sh -c 'echo \"<b>& w\u{f6}rld\"; exec sleep 1000'\nstdout_logfile=@/talk.log\n\
[program:mute]\ncommand=sleep 1000\nstdout_logfile=NONE\n\
[program:gone]\ncommand=/no/such\nautostart=false\n\
[program:dir]\ncommand=/tmp\nautostart=false\n\
[program:fails]\ncommand=false\nautostart=false\nstartretries=0\nstartsecs=9\n\
[group:g]\nprograms=x\n\
[program:x]\ncommand=cat\n";

/// Status, address and text of an answer, without times and other people's layout.
fn shown(path: &str, answer: &Answer) -> String {
    let location = answer.headers.get("location").map_or("", String::as_str);
    let location = location.split("%20at%20").next().unwrap_or_default();
    let of_page = |from: &str, to: &str| {
        let rest = answer.body.split_once(from).map_or("", |(_, rest)| rest);
        let text = rest.split_once(to).map_or("", |(text, _)| text).trim();
        // Inside a text, the original does not escape this one.
        text.replace("&gt;", ">")
    };
    let text = match path {
        _ if answer.status != 200 => String::new(),
        _ if path.contains("ok.html") => format!("{:?} {:?}", answer.headers.get("content-type"), answer.body),
        _ if path.contains("tail.html") => [of_page("<title>", "</title>"), of_page("<pre>", "</pre>")].join(": "),
        _ => [of_page("<title>", "</title>"), of_page("class=\"status_msg\">", "</div>")].join(": "),
    };
    format!("{} {location} {text}", answer.status)
}

#[test]
fn addresses_are_answered_as_by_the_original() {
    let Some(servers) = Supervisord::both(SECTIONS) else { return };
    for server in &servers {
        for name in ["cat", "talk", "mute", "g:x"] {
            wait_until(name, || server.state(name) == "RUNNING");
        }
        wait_until("it has said its word", || server.text("talk.log").contains("rld\n"));
    }
    let get = |path: &'static str| ("GET", path, "");
    for (method, path, body) in [
        get("/"),
        get("/index.html"),
        get("//index.html"),
        get("/ok.html"),
        get("/tail.html"),
        get("/tail.html?processname="),
        get("/tail.html?processname=talk"),
        get("/tail.html?processname=talk&limit=5"),
        get("/tail.html?processname=talk&limit=x"),
        get("/tail.html?processname=mute"),
        get("/tail.html?processname=nosuch"),
        get("/tail.html?processname=g:*"),
        get("/?message=%3Cb%3Ehi+there"),
        get("/?action=refresh"),
        get("/?action=stop&processname=cat"),
        get("/?action=stop&processname=cat"),
        get("/index.html?action=start&processname=cat"),
        get("/?action=start&processname=cat"),
        get("/?processname=cat&action=restart&action=stop"),
        get("/?action=start&processname=gone"),
        get("/?action=start&processname=dir"),
        get("/?action=start&processname=fails"),
        get("/?action=restart&processname=fails"),
        get("/?action=clearlog&processname=talk"),
        get("/tail.html?processname=talk"),
        get("/?action=start&processname=nosuch"),
        get("/?action=start&processname=g:*"),
        get("/?action=start&processname=g:x"),
        get("/?action=&processname=cat"),
        get("/?action=stop&processname=n%C3%B6%20x"),
        ("POST", "/", "action=stop&processname=g%3Ax"),
        ("POST", "/index.html?action=stop&processname=cat", "action=start&processname=g:x"),
        ("POST", "/ok.html", "x=1"),
        get("/?action=stopall"),
        get("/?action=restartall"),
    ] {
        let [ours, theirs] = servers.each_ref().map(|server| shown(path, &server.client.request(method, path, body)));
        assert_eq!(ours, theirs, "{method} {path} {body}");
    }
    for [ours, theirs] in [["g:x"; 2], ["cat"; 2], ["talk"; 2]] {
        assert_eq!(servers[0].state(ours), servers[1].state(theirs));
    }
    // Unlike the original, which answers with its own failure.
    for path in ["/?action=bogus", "/?action=start", "/?action=bogus&processname=cat"] {
        let [ours, theirs] = servers.each_ref().map(|server| server.client.get(path).status);
        assert_eq!((ours, theirs), (400, 500), "{path}");
    }
}

#[test]
fn rows_are_those_of_the_original() {
    let Some(servers) = Supervisord::both(SECTIONS) else { return };
    let rows = |server: &Supervisord| -> Vec<String> {
        let page = server.client.get("/").body;
        let rows = page.split("<tr").skip(2).map(|row| {
            let of = |from: &str, to: &str| {
                let rest = row.split_once(from).map_or("", |(_, rest)| rest);
                rest.split_once(to).map_or("", |(text, _)| text).to_owned()
            };
            let name = of("tail.html?processname=", "\"").replace(":", "%3A");
            let words = ["Start<", "Stop<", "Restart<", "Clear Log<", "Tail -f Stdout<", "Tail -f Stderr<"];
            let labels: Vec<&str> = words.into_iter().filter(|word| row.contains(&format!(">{word}"))).collect();
            format!("{name} {} {labels:?}", of("<td class=\"status\"><span class=\"", "<"))
        });
        rows.collect()
    };
    for server in &servers {
        for name in ["cat", "talk", "mute", "g:x"] {
            wait_until(name, || server.state(name) == "RUNNING");
        }
        server.client.get("/?action=start&processname=fails");
    }
    let [ours, theirs] = servers.each_ref().map(rows);
    assert_eq!(ours.len(), 7, "{ours:#?}");
    assert_eq!(ours, theirs);
}

#[test]
fn another_site_cannot_act() {
    let server = Supervisord::ours("[program:cat]\ncommand=cat\nstartsecs=0\n");
    wait_until("cat runs", || server.state("cat") == "RUNNING");
    let send = |method: &str, headers: &[&str]| {
        let head = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
        let (path, body) = match method {
            "POST" => ("/", "action=stop&processname=cat"),
            _ => ("/?action=stop&processname=cat", ""),
        };
        let length = body.len();
        let rest = format!("Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: box:9001\r\n{head}{rest}");
        server.client.send_raw(request.as_bytes()).expect("it answers").expect("it is an answer").status
    };
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)";
    for headers in [
        &["Origin: http://evil.example", browser][..],
        &["Origin: null", browser],
        &["Origin: http://box:9001", "Origin: http://evil.example"],
        &["Origin: http://box:9002"],
        &["Referer: http://evil.example/box:9001"],
        &["Sec-Fetch-Site: cross-site", browser],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: cross-site", "Origin: http://box:9001"],
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(send(method, headers), 403, "{method} {headers:?}");
        }
    }
    // An image in another site's page that hides where it comes from.
    assert_eq!(send("GET", &[browser]), 403);
    assert_eq!(server.state("cat"), "RUNNING");
    for headers in [
        &[][..],
        &["User-Agent: curl/8.0"],
        &["Origin: http://box:9001", browser],
        &["Referer: http://box:9001/index.html", browser],
        &["Sec-Fetch-Site: same-origin", "Origin: http://box:9001", browser],
        &["Sec-Fetch-Site: none", browser],
    ] {
        for method in ["GET", "POST"] {
            server.client.get("/?action=start&processname=cat");
            assert_eq!(send(method, headers), 301, "{method} {headers:?}");
            assert_eq!(server.state("cat"), "STOPPED", "{method} {headers:?}");
        }
    }
    // A page may be requested from everywhere, but not framed.
    let page = server.client.get("/");
    assert_eq!(page.headers.get("x-frame-options").map(String::as_str), Some("DENY"));
    let policy = page.headers.get("content-security-policy").expect("there is a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

/// Without tags and texts that a browser would run or load.
fn assert_harmless(answer: &Answer) {
    let body = answer.body.to_lowercase();
    for forbidden in ["<script", "<img", "<svg", "onerror=\"", "\u{202e}", "\x1b", "\0"] {
        assert!(!body.contains(forbidden), "{forbidden:?}: {body}");
    }
    assert_eq!(answer.headers.get("x-content-type-options").map(String::as_str), Some("nosniff"));
}

#[test]
fn hostile_names_lines_and_messages_stay_text() {
    let evil = "a\"><svg+onload=alert(1)>&\u{202e}";
    let line = "<script>alert(1)</script>\\033[2J\\000\\033]0;x\\007</pre><svg onload=alert(1)>\\377";
    let server = Supervisord::ours(&format!(
        "[program:{evil}]\ncommand=sh -c \"printf '{line}\\n'; exec sleep 1000\"\nstdout_logfile=@/evil.log\nstartsecs=0\n"
    ));
    wait_until("it has written", || server.text("evil.log").contains("onload"));
    let quoted: String = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in ["/".to_owned(), format!("/tail.html?processname={quoted}"), format!("/?message={quoted}")] {
        let page = server.client.get(&path);
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains("&quot;&gt;&lt;svg+onload") || page.body.contains("&lt;script&gt;"), "{page:?}");
        assert_harmless(&page);
    }
    let moved = server.client.get(&format!("/?action=restart&processname={quoted}"));
    assert_eq!(moved.status, 301, "{moved:?}");
    let location = moved.headers.get("location").expect("it leads on");
    assert!(location.starts_with("http://test/?message=Process%20a%22%3E%3Csvg%2Bonload"), "{location}");
    let limit = server.client.get(&format!("/tail.html?processname={quoted}&limit=99999999999999999999"));
    assert_eq!(limit.status, 200);
    // A browser that opens the log itself must not guess what it is.
    let request = format!("GET /logtail/{quoted} HTTP/1.0\r\n\r\n");
    let head = server.client.head_of(request.as_bytes());
    assert!(head.contains("text/plain;charset=utf-8") && head.contains("x-content-type-options: nosniff"), "{head}");
}

#[test]
fn an_onlooker_may_look_and_not_act() {
    if !is_root() || Command::new("curl").arg("--version").output().is_err() {
        return skip("only root can ask as another user, with curl");
    }
    const ONLOOKER: &str = "12346";
    let setting = Setting::supervising("[program.web]\ncommand = \"sleep 1000\"\nstartsecs = 0\n");
    let daemon = setting.http(&format!("mode = \"0666\"\nreadonly_users = [\"{ONLOOKER}\"]")).start();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(daemon.path(""), open).expect("the test directory is writable");
    let pid = daemon.wait_for_running("web");
    let ask = |uid: &str, path: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--clear-groups", "--reuid", uid, "--regid", uid, "--"]);
        command.args(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        let output = command.arg(daemon.socket()).arg(format!("http://h{path}")).output().expect("setpriv");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for path in ["/index.html", "/?message=x", "/tail.html?processname=web", "/ok.html"] {
        assert_eq!([ask(ONLOOKER, path), ask("12349", path)], ["200", "403"], "{path}");
    }
    for path in ["/?action=stop&processname=web", "/?action=stopall", "/?action=refresh", "/?action=bogus"] {
        assert_eq!(ask(ONLOOKER, path), "403", "{path}");
    }
    assert_eq!(daemon.pid_of("web"), pid);
}
