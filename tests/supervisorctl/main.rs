//! supervisorctl, side by side with the original's: every command, in every state, its lines and its exit code.

#[path = "../harness/mod.rs"]
mod harness;

mod cases;
mod loaded;
mod places;
mod shell;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{send, skip, wait_until};
use loaded::NEWEST;
use places::{Answer, Pair, Whose, is_original_here, settle};

/// A daemon of the original's for each client.
fn pairs(sections: &str) -> Option<[Pair; 2]> {
    pairs_of(Whose::Original, sections)
}

fn pairs_of(daemon: Whose, sections: &str) -> Option<[Pair; 2]> {
    pairs_with(daemon, Whose::Original, sections)
}

fn pairs_with(daemon: Whose, client: Whose, sections: &str) -> Option<[Pair; 2]> {
    if !is_original_here() {
        skip("supervisor is not installed (Debian's package supervisor)");
        return None;
    }
    let pairs = [client, Whose::Ours].map(|client| Pair::start(daemon, client, sections));
    for pair in &pairs {
        fs::create_dir(pair.path().join("more")).expect("it is ours");
        pair.write("empty.conf", "[program:a]\ncommand=/bin/cat\n");
        pair.write("bad.conf", "[supervisorctl]\nserverurl=unix://%(here)s/%\n");
        pair.write("unknown.conf", "[ctlplugin:x]\na=b\n[supervisorctl]\nserverurl=unix://%(here)s/socket\n");
    }
    settle(&pairs);
    Some(pairs)
}

/// Runs a line with both clients; the difference, if there is one.
fn difference(pairs: &[Pair; 2], line: &str, input: &str) -> Option<String> {
    difference_to(pairs[0].client(), pairs, line, input)
}

fn difference_to(client: Whose, pairs: &[Pair; 2], line: &str, input: &str) -> Option<String> {
    let [theirs, ours] = pairs;
    let (mut theirs, mut ours): (Answer, Answer) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| theirs.run_by(client, line, input));
        let ours = ours.run(line, input);
        (theirs.join().expect("it does not panic"), ours)
    });
    // Results come as processes finish, and the last one counts for the exit code.
    if ["start", "stop"].iter().any(|action| line.contains(action)) && [" all", ":*"].iter().any(|of| line.contains(of))
    {
        theirs.disregard_order();
        ours.disregard_order();
    }
    (theirs != ours).then(|| format!("{line} {input:?}\n  {theirs:?}\n  {ours:?}"))
}

fn assert_none(different: &[String], of: usize) {
    assert!(different.is_empty(), "{} of {of} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn lines_that_look_print_what_the_originals_do() {
    let Some(pairs) = pairs(&format!("{}{}", cases::SECTIONS, cases::GREEN)) else { return };
    compare_looks(&pairs, Whose::Original, &[cases::ALONE, cases::LOOKS].concat());
}

#[test]
fn lines_that_look_at_musterd_do_too() {
    let Some(pairs) = pairs_of(Whose::Ours, &format!("{}{}", cases::SECTIONS, cases::GREEN)) else { return };
    compare_looks(&pairs, Whose::Original, cases::LOOKS);
    if NEWEST.is_some() {
        compare_looks(&pairs, Whose::Newest, cases::LOOKS);
    }
}

/// Compares with the client of the first pair, or with another one.
fn compare_looks(pairs: &[Pair; 2], client: Whose, lines: &[&str]) {
    let lines: Vec<(&str, &str)> =
        lines.iter().map(|line| (*line, "")).chain(cases::SESSIONS.iter().map(|text| ("-c s.conf", *text))).collect();
    let next = AtomicUsize::new(0);
    let different: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let lines = std::iter::from_fn(|| lines.get(next.fetch_add(1, Ordering::Relaxed)));
            lines.filter_map(|(line, input)| difference_to(client, pairs, line, input)).collect::<Vec<String>>()
        };
        let threads = [(); 4].map(|()| scope.spawn(work));
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    assert_none(&different, lines.len());
}

#[test]
fn lines_that_change_states_print_what_the_originals_do() {
    compare_changes(Whose::Original, Whose::Original);
}

#[test]
fn lines_that_change_states_of_musterd_do_too() {
    compare_changes(Whose::Ours, if NEWEST.is_some() { Whose::Newest } else { Whose::Original });
}

/// Plays all scenes beside each other, each with daemons of its own.
fn compare_changes(daemon: Whose, client: Whose) {
    let play = |scene: &cases::Scene| {
        let Some(pairs) = pairs_with(daemon, client, cases::SECTIONS) else { return Vec::new() };
        let mut different = Vec::new();
        for line in *scene {
            match line.split_once('<') {
                Some((file, text)) => pairs.iter().for_each(|pair| pair.write(file, text)),
                None => different.extend(difference(&pairs, &format!("-c s.conf {line}"), "")),
            }
            settle(&pairs);
        }
        different
    };
    let different: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = cases::CHANGES.iter().map(|scene| scope.spawn(|| play(scene))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    assert_none(&different, cases::CHANGES.concat().len());
}

#[test]
fn the_end_of_the_server_is_reported_as_by_the_original() {
    let Some(mut pairs) = pairs(&format!("{}{}", cases::SECTIONS, cases::SLOW)) else { return };
    for pair in &pairs {
        wait_until("the signal is ignored", || pair.run("-c s.conf tail slow", "").out.contains("up"));
    }
    let mut different = Vec::new();
    let lines =
        ["shutdown", "shutdown", "avail", "reread", "update", "add x", "reload", "status", "start cat", "remove g"];
    for line in lines {
        different.extend(difference(&pairs, &format!("-c s.conf {line}"), ""));
    }
    pairs.iter_mut().for_each(Pair::wait);
    for line in ["shutdown", "status", "reread"] {
        different.extend(difference(&pairs, &format!("-c s.conf {line}"), ""));
    }
    assert_none(&different, lines.len() + 3);
}

#[test]
fn it_is_called_by_its_name() {
    let place = tempfile::tempdir().expect("a temporary directory can be created");
    let out = |command: &mut Command| {
        let output = command.args(["-s", "ftp://x", "avail"]).output().expect("it can be executed");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let expected = "error: <class 'ValueError'>, Unknown protocol for serverurl ftp://x: file: musterctl line: 0\n";
    for (number, file) in [harness::muster(), harness::musterctl()].into_iter().enumerate() {
        let directory = place.path().join(number.to_string());
        fs::create_dir(&directory).expect("it is ours");
        let link = directory.join("supervisorctl");
        std::os::unix::fs::symlink(file, &link).expect("it is ours");
        assert_eq!(out(&mut Command::new(&link)), expected, "{file}");
        assert_eq!(out(Command::new(&link).arg0("-")), expected, "{file}: the file's name counts");
        assert_eq!(out(Command::new(file).arg0("/x/supervisorctl")), expected, "{file}");
    }
    assert_eq!(out(Command::new(harness::muster()).arg("supervisorctl")), expected);
}

#[test]
fn a_login_is_sent_and_its_lack_reported() {
    let login = "file=%(here)s/socket\nusername=me\npassword=it's:100%%\n";
    let Some(pairs) = pairs(&cases::SECTIONS.replace("file=%(here)s/socket\n", login).replace(
        "serverurl=unix://%(here)s/./socket\n",
        "serverurl=unix://%(here)s/socket\nusername=me\npassword=it's:100%%\n",
    )) else {
        return;
    };
    let mut different = Vec::new();
    let lines = [
        "-c s.conf status",
        "-s unix://@/socket status",
        "-s unix://@/socket -u me status",
        "-s unix://@/socket -u me -p wrong avail",
        "-s unix://@/socket -u me -p it's:100% version",
        "-c s.conf -u you version",
        "-c s.conf -p x shutdown",
        "-c s.conf tail -f nosuch",
    ];
    for line in lines {
        different.extend(difference(&pairs, line, ""));
    }
    assert_none(&different, lines.len());
}

/// A client that runs until it is interrupted.
struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    said: String,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it can be executed");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        Running { child, out, said: String::new() }
    }

    fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            let count = self.out.read_line(&mut self.said).expect("it is text");
            assert!(count > 0, "it ended before {text:?}: {}", self.said);
        }
    }

    fn type_line(&mut self, text: &str) {
        let mut stdin = self.child.stdin.as_ref().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Presses Ctrl-C once it sleeps: the original's may miss an exception while it writes.
    fn interrupt(&self) {
        let pid = self.child.id() as i32;
        wait_until("it sleeps", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|behind| behind.starts_with('S'))
        });
        send(pid, 2);
    }

    /// Everything that it said, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        self.out.read_to_string(&mut self.said).expect("it is text");
        drop(self.child.stdin.take());
        let code = self.child.wait().expect("it is a child of this process").code();
        (self.said, code)
    }
}

#[test]
fn a_log_is_followed_until_ctrl_c() {
    pairs(cases::SECTIONS).iter().for_each(compare_following);
}

#[test]
fn a_log_of_musterd_is_too() {
    pairs_of(Whose::Ours, cases::SECTIONS).iter().for_each(compare_following);
}

fn compare_following(pairs: &[Pair; 2]) {
    let follow = |line: &str, text: &str| {
        pairs.each_ref().map(|pair| {
            let mut client = Running::start(&mut pair.command(line));
            client.wait_for(text);
            client.interrupt();
            client.end()
        })
    };
    for (line, text) in [("-c s.conf tail -f talk", "said"), ("-c s.conf tail -f talk stderr", "complained")] {
        let [theirs, ours] = follow(line, text);
        assert_eq!(theirs, ours);
    }
    let [theirs, ours] = follow("-c s.conf maintail -f", "cat entered RUNNING");
    assert_eq!((theirs.1, theirs.0.lines().next()), (ours.1, ours.0.lines().next()));
}

#[test]
fn the_shell_outlives_ctrl_c_in_a_log_and_ends_with_it_otherwise() {
    let Some(pairs) = pairs(cases::SECTIONS) else { return };
    let ends = pairs.each_ref().map(|pair| {
        let mut client = Running::start(&mut pair.command("-c s.conf"));
        client.type_line("tail -f talk\n");
        client.wait_for("said");
        client.interrupt();
        client.type_line("pid nosuch\n");
        client.wait_for("No such process nosuch");
        client.interrupt();
        let (said, code) = client.end();
        (pair.comparable(&said), code)
    });
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn a_process_is_used_in_the_foreground() {
    pairs(cases::SECTIONS).iter().for_each(compare_foreground);
}

#[test]
fn a_process_of_musterd_is_too() {
    pairs_of(Whose::Ours, cases::SECTIONS).iter().for_each(compare_foreground);
}

fn compare_foreground(pairs: &[Pair; 2]) {
    let ends = pairs.each_ref().map(|pair| {
        let mut client = Running::start(&mut pair.command("-c s.conf fg cat"));
        client.type_line("hello\n");
        client.wait_for("hello");
        client.type_line("gr\u{fc}n\n");
        client.wait_for("gr\u{fc}n");
        client.interrupt();
        client.end()
    });
    assert_eq!(ends[1], ("==> Press Ctrl-C to exit <==\nhello\ngr\u{fc}n\nExiting foreground\n".to_owned(), Some(0)));
    assert_eq!(ends[0], ends[1]);
}
