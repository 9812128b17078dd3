//! Terminals of programs: `tty`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::harness::{Daemon, Setting, is_root, skip, wait_until};

fn has_python() -> bool {
    std::process::Command::new("python3").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// The number of terminals that the daemon has open, by either end.
fn terminals(daemon: &Daemon) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it runs").flatten();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.starts_with("/dev/pts") || target.starts_with("/dev/ptmx")).count()
}

/// A client of the terminal of a program, after the answer.
fn connected(daemon: &Daemon, name: &str) -> (String, UnixStream) {
    let mut stream = daemon.client.connect().expect("the daemon listens");
    let head = format!(
        "POST /v1/programs/{name}/terminal HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: muster-exec/1\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the daemon reads");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("the daemon answers") == 1 {
        answer.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    (line, stream)
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

#[test]
fn a_program_types_into_no_other_terminal_and_the_daemon_has_none() {
    if !is_root() || !has_python() {
        return skip("programs of other users need root, and this one python3");
    }
    // TIOCSTI inserts a character as if it were typed.
    let attack = "import fcntl, os, time\n\
        victim = ''\n\
        while not victim:\n\
        \x20   try:\n\
        \x20       victim = open('{here}/victim').read().strip()\n\
        \x20   except OSError:\n\
        \x20       time.sleep(0.01)\n\
        done = []\n\
        for path in [victim, '/dev/console', '/dev/tty0', '/dev/tty1']:\n\
        \x20   try:\n\
        \x20       end = os.open(path, os.O_RDWR | os.O_NOCTTY)\n\
        \x20       for byte in b'typed\\n':\n\
        \x20           fcntl.ioctl(end, 0x5412, bytes([byte]))\n\
        \x20       done.append(path)\n\
        \x20   except OSError:\n\
        \x20       pass\n\
        print('done:', done, flush=True)\n\
        time.sleep(1000)\n";
    let attack = attack.replace("\\n':", "\\\\n':");
    let daemon = Setting::supervising(format!(
        "[program.victim]\ncommand = [\"sh\", \"-c\", \"tty >{{here}}/victim; cat >{{here}}/typed\"]\ntty = true\nuser = \"12346:12346\"\n\
         pre_start = {{ command = [\"sh\", \"-c\", \"chmod 711 {{here}}; touch {{here}}/victim {{here}}/typed; chmod 666 {{here}}/victim {{here}}/typed\"], user = \"0:0\" }}\n\
         [program.web]\ncommand = [\"python3\", \"-c\", \"\"\"{attack}\"\"\"]\ntty = true\nuser = \"12345:12345\"\n"
    ))
    .wrapped(&["setsid", "--wait"])
    .start();
    wait_until("it has tried", || daemon.client.get("/v1/programs/web/logs").body.contains("done:"));
    let said = daemon.client.get("/v1/programs/web/logs").body;
    assert!(said.contains("done: []"), "{said}\n{}", daemon.story());
    assert_eq!(fs::read_to_string(daemon.path("typed")).expect("it is there"), "");
    // Field 7 of proc(5) is the controlling terminal; the first here is field 3.
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    assert_eq!(fields[4], "0", "{stat}");
}

#[test]
fn a_program_that_does_not_read_delays_its_writers_alone() {
    let daemon = Setting::supervising(
        "[program.deaf]\ncommand = \"sleep 1000\"\ntty = true\n[program.web]\ncommand = [\"sh\", \"-c\", \"read line; echo got $line; sleep 1000\"]\ntty = true\n",
    )
    .start();
    daemon.wait_for_running("deaf");
    daemon.wait_for_running("web");
    let before = daemon.memory("VmRSS");
    // A client sends as much as it may, and more.
    let (line, mut client) = connected(&daemon, "deaf");
    assert!(line.contains(" 101 "), "{line}");
    let lines = b"0123456789abcde\n".repeat(4096);
    client.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket has it");
    // It is disconnected once it goes beyond its window.
    let flood = std::thread::spawn(move || (0..1000).all(|_| client.write_all(&frame(0, &lines)).is_ok()));
    let body = "0123456789abcde\n".repeat(50_000);
    let client = daemon.client.clone();
    let writer = std::thread::spawn(move || client.request("POST", "/v1/programs/deaf/stdin", &body));
    // Another program is typed into meanwhile.
    assert_eq!(daemon.client.request("POST", "/v1/programs/web/stdin", "hello\n").status, 200);
    wait_until("it answers", || daemon.client.get("/v1/programs/web/logs").body.contains("got hello"));
    assert!(!writer.is_finished(), "it waits for 5 seconds");
    assert!(!flood.join().expect("it does not panic"), "more than the window was taken");
    let answer = writer.join().expect("it does not panic");
    let written = answer.json()["written"].as_u64().expect("it says how much");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(written <= 200_000, "{answer:?}");
    let after = daemon.memory("VmRSS");
    assert!(after < before + 8 * 1024, "from {before} to {after} KiB");
}

#[test]
fn processes_left_behind_lose_the_terminal_with_the_run() {
    // One that ignores the hangup, in a session of its own, writes until it may not.
    let left = "while echo left; do sleep 0.05; done 2>/dev/null; echo hung up >>{here}/said";
    let daemon = Setting::supervising(format!(
        "[program.web]\ncommand = [\"sh\", \"-c\", '''trap \"\" HUP; setsid sh -c \"{left}\" & exit 0''']\ntty = true\nstartsecs = 0\n\
         restart = \"no\"\nleftovers = \"keep\"\nautostart = false\n"
    ))
    .start();
    for round in 1..=5 {
        daemon.ctl(&["start", "web"]);
        let said = || fs::read_to_string(daemon.path("said")).map_or(0, |text| text.lines().count());
        wait_until("it is hung up", || said() == round);
    }
    wait_until("the daemon has closed all of them", || terminals(&daemon) == 0);
}

#[test]
fn clients_are_bounded_and_one_that_does_not_read_holds_up_nothing() {
    let daemon = Setting::supervising(
        "[program.web]\ncommand = [\"sh\", \"-c\", \"read go; i=0; while [ $i -lt 4000 ]; do echo $i; printf '%01000d\\n' $i; i=$((i+1)); done; echo all; read end\"]\n\
         tty = true\nrestart = \"no\"\nstartsecs = 0\nlogs = { stdout = \"{here}/lines\", max_size = 0 }\n",
    )
    .start();
    daemon.wait_for_running("web");
    let before = daemon.descriptors();
    assert_eq!(terminals(&daemon), 3);
    let clients: Vec<_> = (0..16).map(|_| connected(&daemon, "web")).collect();
    assert!(clients.iter().all(|(line, _)| line.contains(" 101 ")));
    let (line, _) = connected(&daemon, "web");
    assert!(line.contains(" 503 "), "{line}");
    let memory = daemon.memory("VmRSS");
    assert_eq!(daemon.client.request("POST", "/v1/programs/web/stdin", "go\n").status, 200);
    let text = || fs::read_to_string(daemon.path("lines")).unwrap_or_default();
    wait_until("all of it is in the file", || text().ends_with("all\n"));
    assert_eq!(text().lines().count(), 8001);
    assert!(daemon.memory("VmRSS") < memory + 16 * 1024);
    drop(clients);
    // The file and its directory are open since the first line.
    wait_until("they are forgotten", || terminals(&daemon) == 3 && daemon.descriptors() <= before + 2);
    // Frames that only the daemon sends, and no frames, end the connection and nothing else.
    for bytes in [frame(5, &[0, 0]), frame(0, &[]), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100]] {
        let (line, mut client) = connected(&daemon, "web");
        assert!(line.contains(" 101 "), "{line}");
        client.write_all(&bytes).expect("the daemon reads");
        client.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a socket has it");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("it is closed");
    }
    // A signal, and the end of one client's input, have no effect on the program.
    let (_, mut client) = connected(&daemon, "web");
    client.write_all(&[frame(4, &[9]), frame(6, &[])].concat()).expect("the daemon reads");
    client.write_all(&frame(3, &[0, 40, 0, 100])).expect("the daemon reads");
    assert_eq!(daemon.state("web"), "RUNNING");
    let (_, mut other) = connected(&daemon, "web");
    other.write_all(&frame(0, b"end\n")).expect("the daemon reads");
    daemon.wait_for_state("web", "EXITED");
    let shown = daemon.ctl_well(&["status"]);
    assert!(shown.contains("exit status 0"), "{shown}");
}
