//! Groups, starts that are not waited for, followed logs and FastCGI sockets, beside the original.

#[path = "harness/mod.rs"]
mod harness;

use std::io::{Read, Write};

use harness::{Supervisord, wait_until};

const BASE: [(&str, &str); 5] = [
    ("program:a", "command=sleep 1000"),
    ("group:g", "programs=x,y"),
    ("program:x", "command=sleep 1000"),
    ("program:y", "command=sleep 1000"),
    ("eventlistener:l", "command=sleep 1000\nevents=TICK_60"),
];
const FCGI: (&str, &str) = ("fcgi-program:f", "command=sleep 1000\nsocket=unix://@/f.sock");

/// The base with these lines at the end of one section.
fn with(section: &str, lines: &str) -> String {
    let sections = BASE.iter().chain([&FCGI]);
    sections.map(|(name, text)| format!("[{name}]\n{text}\n{}\n", if *name == section { lines } else { "" })).collect()
}

/// The names of the groups that differ: added, changed, removed.
fn reread(server: &Supervisord) -> Vec<String> {
    let answer = server.call("reloadConfig", "").expect("it answers");
    let lists = answer.split("<data>").skip(3);
    lists
        .map(|list| {
            let end = list.split("</data>").next().unwrap_or_default();
            end.split("<string>").skip(1).filter_map(|name| name.split('<').next()).collect::<Vec<_>>().join(",")
        })
        .collect()
}

#[test]
fn a_group_is_changed_by_the_keys_that_the_original_counts() {
    let Some(servers) = Supervisord::both(&with("", "")) else { return };
    let mut changed = 0;
    for (section, lines) in [
        ("", ""),
        ("program:a", "process_name=b"),
        ("program:a", "numprocs=2\nprocess_name=%(process_num)d"),
        ("program:a", "priority=5"),
        ("program:a", "autostart=false"),
        ("program:a", "autorestart=true"),
        ("program:a", "startsecs=3"),
        ("program:a", "startretries=5"),
        ("program:a", "exitcodes=2"),
        ("program:a", "stopsignal=INT"),
        ("program:a", "stopwaitsecs=3"),
        ("program:a", "stopasgroup=true"),
        ("program:a", "killasgroup=true"),
        ("program:a", "redirect_stderr=true"),
        ("program:a", "stdout_logfile=@/x.log"),
        ("program:a", "stdout_logfile=NONE"),
        ("program:a", "stdout_logfile_maxbytes=1MB"),
        ("program:a", "stdout_logfile_backups=3"),
        ("program:a", "stdout_capture_maxbytes=1MB"),
        ("program:a", "stdout_events_enabled=true"),
        ("program:a", "stdout_syslog=true"),
        ("program:a", "stderr_logfile=@/y.log"),
        ("program:a", "stderr_capture_maxbytes=1MB"),
        ("program:a", "stderr_events_enabled=true"),
        ("program:a", "stderr_syslog=true"),
        ("program:a", "environment=A=1"),
        ("program:a", "directory=/tmp"),
        ("program:a", "umask=022"),
        ("program:a", "serverurl=http://x:1"),
        ("program:a", "command=sleep 1001"),
        ("program:a", "command=sleep  1000"),
        ("group:g", "priority=4"),
        ("group:g", "programs=y,x"),
        ("group:g", "programs=x"),
        ("program:x", "priority=3"),
        ("eventlistener:l", "buffer_size=20"),
        ("eventlistener:l", "events=TICK_5"),
        ("eventlistener:l", "priority=4"),
        ("fcgi-program:f", "socket=unix://@/other.sock"),
        ("fcgi-program:f", "socket_mode=0777"),
        ("fcgi-program:f", "socket_backlog=10"),
        ("fcgi-program:f", "priority=4"),
    ] {
        let [ours, theirs] = servers.each_ref().map(|server| {
            server.rewrite(&with(section, lines));
            reread(server)
        });
        assert_eq!(ours, theirs, "[{section}] {lines}");
        changed += usize::from(!ours.concat().is_empty());
    }
    assert!(changed > 30, "{changed}");
    // Keys of the daemon, of which the identifier counts at once.
    let [ours, theirs] = servers.each_ref().map(|server| {
        server.rewrite(&format!("strip_ansi=true\nidentifier=other\n{}", with("", "")));
        (reread(server), server.call("getIdentification", ""))
    });
    assert_eq!(ours, theirs);
    assert!(ours.1.is_some_and(|answer| answer.contains("<string>other</string>")));
}

#[test]
fn a_start_that_is_not_waited_for_is_answered_at_once() {
    let Some(servers) = Supervisord::both("[program:slow]\ncommand=sleep 1000\nstartsecs=1000\nautostart=false\n")
    else {
        return;
    };
    for (server, name) in servers.iter().zip(["ours", "theirs"]) {
        let params =
            "<params><param><value>slow</value></param><param><value><boolean>0</boolean></value></param></params>";
        let asked = std::time::Instant::now();
        let answer = server.call("startProcess", params).expect("it answers");
        eprintln!("{name}: answered after {:?}", asked.elapsed());
        assert!(answer.contains("<boolean>1</boolean>"), "{name}: {answer}");
        assert_eq!(server.state("slow"), "STARTING", "{name}");
    }
}

/// The beginning of a followed log: its head, and the first piece.
fn follow(server: &Supervisord, path: &str) -> (String, Vec<u8>) {
    let mut stream = server.client.connect().expect("it listens");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("it reads");
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    let is_whole = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.split_once("\r\n\r\n")
            .is_some_and(|(head, body)| !head.starts_with("HTTP/1.1 200") || body.ends_with("\r\n"))
    };
    while !is_whole(&bytes) {
        let count = stream.read(&mut some).expect("it goes on");
        assert_ne!(count, 0, "{path}: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&some[..count]);
    }
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the head is whole");
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let body = &bytes[at + 4..];
    let begin = body.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (head, body[begin..body.len().saturating_sub(2)].to_vec())
}

#[test]
fn a_followed_log_begins_with_the_end_of_its_file() {
    let sections = "[program:cat]\ncommand=cat\nstdout_logfile=@/cat.log\nstderr_logfile=@/gone.log\nstartsecs=0\n";
    let Some(servers) = Supervisord::both(sections) else { return };
    let [ours, theirs] = servers.each_ref().map(|server| {
        wait_until("it runs", || server.state("cat") == "RUNNING");
        // From before this daemon, or of another writer: memory does not have it.
        std::fs::write(server.path("cat.log"), format!("{}\nlast line\n", "x".repeat(3000))).expect("it is ours");
        let (_, first) = follow(server, "/logtail/cat");
        std::fs::remove_file(server.path("gone.log")).expect("it is there");
        let (gone, _) = follow(server, "/logtail/cat/stderr");
        (String::from_utf8_lossy(&first).into_owned(), gone.lines().next().unwrap_or_default().to_owned())
    });
    assert_eq!(ours, theirs);
    assert!(ours.0.len() == 1024 && ours.0.ends_with("last line\n"), "{ours:?}");
    // Not within a character, where the original begins with half of one.
    std::fs::write(servers[0].path("cat.log"), "\u{fc}".repeat(1000) + "\n").expect("it is ours");
    let (_, first) = follow(&servers[0], "/logtail/cat");
    assert_eq!(String::from_utf8(first), Ok("\u{fc}".repeat(511) + "\n"));
}

#[test]
fn sockets_of_fastcgi_programs_are_logged_as_they_open_and_close() {
    let sections =
        "[fcgi-program:f]\ncommand=sleep 1000\nsocket=unix://@/f.sock\nnumprocs=2\nprocess_name=%(process_num)d\n";
    let Some(servers) = Supervisord::both(sections) else { return };
    let [ours, theirs] = servers.each_ref().map(|server| {
        let lines = || -> Vec<String> {
            let log = server.log();
            let lines = log.lines().filter(|line| line.contains(" socket unix://"));
            let place = server.path("").display().to_string();
            lines.map(|line| line.split_once(',').map_or("", |(_, text)| &text[4..]).replace(&place, "")).collect()
        };
        let count = |what: &str, count: usize| {
            wait_until(what, || lines().iter().filter(|line| line.contains(what)).count() >= count);
        };
        wait_until("both run", || ["f:0", "f:1"].iter().all(|name| server.state(name) == "RUNNING"));
        // The original opens it once to see whether it can, before it is used.
        let begin = lines().len() - 1;
        server.ctl(&["stop", "f:*"]);
        count("Closing", begin / 2 + 1);
        server.ctl(&["start", "f:*"]);
        count("Creating", begin / 2 + 2);
        server.ctl(&["stop", "f:*"]);
        count("Closing", begin / 2 + 2);
        lines()[begin..].to_vec()
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours[0], "INFO Creating socket unix://f.sock");
}

#[test]
fn a_shutdown_that_a_program_requests_ends_with_the_last_failure() {
    let muster = harness::muster();
    let watch = format!("while [ ! -e @/go ]; do sleep .05; done; exec {muster} supervisorctl -c @/s.conf shutdown");
    let sections = format!(
        "[program:job]\ncommand=sh -c 'exit 3'\nautorestart=false\nstartsecs=0\n[program:watch]\ncommand=sh -c '{watch}'\nstartsecs=0\n"
    );
    // Requested from outside, it ends with 0: `a_shutdown_by_a_client_is_announced_and_ends_with_0`.
    for (rule, code) in [("", 3), ("[musterd]\nexit_status=zero\n", 0)] {
        let mut server = Supervisord::ours(&(sections.clone() + rule));
        wait_until("the job has failed", || server.state("job") == "EXITED");
        std::fs::write(server.path("go"), "").expect("its directory is writable");
        assert_eq!(server.child.wait().expect("it is a child of this process").code(), Some(code), "{rule}");
    }
}
