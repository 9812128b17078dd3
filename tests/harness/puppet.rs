//! Processes that play a part: the test binary executes itself with the part in an environment variable.
//!
//! The test runner offers no other way to run a different main. Without a part, the one test here does nothing. A part
//! exits the process itself.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::sys::wait::{WaitStatus, waitpid};

use super::processes;

const PART: &str = "MUSTER_TEST_PART";

/// The command line for a part, and the variable that names the part.
pub fn command(part: &str) -> (Vec<String>, [(String, String); 1]) {
    let this = std::env::current_exe().expect("/proc/self/exe can be read");
    let words =
        [&this.to_string_lossy(), "--exact", "harness::puppet::a_part_is_played", "--test-threads=1", "--nocapture"];
    (words.map(str::to_owned).to_vec(), [(PART.to_owned(), part.to_owned())])
}

/// A program table of the configuration that runs a part.
pub fn program(name: &str, part: &str, more: &str) -> String {
    let (words, [(variable, value)]) = command(part);
    let environment = BTreeMap::from([(variable, value)]);
    let environment: Vec<String> = environment.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    format!("[program.{name}]\ncommand = {words:?}\nenvironment = {{ {} }}\n{more}\n", environment.join(", "))
}

#[test]
fn a_part_is_played() {
    let Ok(part) = std::env::var(PART) else { return };
    let (part, words) = part.split_once(' ').unwrap_or((part.as_str(), ""));
    match part {
        "keeper" => keeper(words),
        "witness" => witness(),
        "teller" => teller(words),
        "asker" => asker(words),
        _ => panic!("there is no such part: {part}"),
    }
}

/// `COUNT PATH SOCKET`: sends a request on that many connections and reads no answer, until its stdin is closed. The
/// path `-` sends nothing. Before a path, `HEAD:` requests only the head of an answer, and `xN:` repeats the request N
/// times.
fn asker(words: &str) -> ! {
    use std::io::Write;
    let words: Vec<&str> = words.split(' ').collect();
    let (times, path) = words[1].strip_prefix('x').and_then(|rest| rest.split_once(':')).unwrap_or(("1", words[1]));
    let (method, path) = path.strip_prefix("HEAD:").map_or(("GET", path), |path| ("HEAD", path));
    let times = if path == "-" { 0 } else { times.parse().expect("a number") };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(times);
    let connect = |_| {
        let mut stream = std::os::unix::net::UnixStream::connect(words[2]).ok()?;
        stream.write_all(request.as_bytes()).ok().map(|()| stream)
    };
    let held: Vec<_> = (0..words[0].parse().expect("a number")).filter_map(connect).collect();
    println!("asked");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(held);
    std::process::exit(0);
}

/// Blocks every signal that can be blocked and sleeps, so that every signal it was sent stays visible in /proc. The
/// test runner's other threads would not block them, so another program is executed.
fn witness() -> ! {
    use std::os::unix::process::CommandExt;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).expect("blocking signals cannot fail");
    panic!("{}", Command::new("sleep").arg("100000").exec());
}

/// Sends each of these texts, a JSON list, as a message on `NOTIFY_SOCKET`, and keeps running. `sleep SECONDS` pauses,
/// `until PATH` waits for a file, `long LENGTH` sends a message of that many bytes, `flood COUNT` sends that many
/// messages, `watchdog MS` sends a keep-alive at that interval without end, `fork TEXT` has another process send a
/// text, `deaf`, as the first, ignores TERM until `await-term` waits for it, `exit CODE` exits. `child TEXTS` starts
/// another teller, and `reap` waits until it has ended. `barrier` waits until the daemon has read all messages. In a text, `%PID`, `%PARENT` and `%CHILD` are its own pid, its
/// parent's, and that of the child.
fn teller(words: &str) -> ! {
    let mut texts: Vec<String> = serde_json::from_str(words).expect("the test wrote it");
    if texts.first().is_some_and(|text| text == "deaf") {
        texts.remove(0);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::from(Signal::SIGTERM)), None).expect("TERM can be blocked");
        become_another("teller", &texts);
    }
    let mut child = None;
    for text in texts {
        let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let number = || rest.parse::<u64>().expect("a number");
        match verb {
            "sleep" => std::thread::sleep(Duration::from_secs_f64(rest.parse().expect("seconds"))),
            "until" => super::wait_until(rest, || std::path::Path::new(rest).exists()),
            "long" => tell(&"x".repeat(number() as usize)),
            "flood" => (0..number()).for_each(|count| tell(&format!("STATUS=message {count}"))),
            "watchdog" => loop {
                tell("WATCHDOG=1");
                std::thread::sleep(Duration::from_millis(number()));
            },
            "fork" => {
                let told = Command::new("systemd-notify").arg("--no-block").arg(rest).status();
                assert!(told.expect("systemd-notify is installed").success());
            }
            "await-term" => assert_eq!(SigSet::from(Signal::SIGTERM).wait(), Ok(Signal::SIGTERM)),
            "barrier" => barrier(),
            "exit" => std::process::exit(number() as i32),
            "child" => child = Some(another("teller", rest).spawn().expect("this can be executed")),
            "reap" => drop(child.as_mut().map(std::process::Child::wait)),
            _ => tell(&with_pids(&text, child.as_ref().map(std::process::Child::id))),
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

fn with_pids(text: &str, child: Option<u32>) -> String {
    let pids =
        [("%PID", Some(std::process::id())), ("%PARENT", Some(std::os::unix::process::parent_id())), ("%CHILD", child)];
    pids.into_iter().fold(text.to_owned(), |text, (name, pid)| match pid {
        Some(pid) => text.replace(name, &pid.to_string()),
        None => text,
    })
}

fn another(part: &str, words: &str) -> Command {
    let (words, variables) = command(&format!("{part} {words}"));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(variables);
    command
}

/// Executes the test binary as another part. Whatever is inherited on execution is inherited by every thread of the
/// test runner.
fn become_another(part: &str, words: &[String]) -> ! {
    use std::os::unix::process::CommandExt;
    let words = serde_json::to_string(words).expect("it came from there");
    panic!("{}", another(part, &words).exec());
}

/// Waits until the daemon has read everything sent so far, as sd_notify_barrier(3) does.
fn barrier() {
    use std::io::{IoSlice, Read};
    use std::os::fd::AsRawFd;
    let (mut reading, writing) = std::io::pipe().expect("a pipe can be created");
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket can be created");
    let address = std::env::var("NOTIFY_SOCKET").expect("the daemon set NOTIFY_SOCKET");
    let address = match address.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes()),
        None => UnixAddr::new(address.as_str()),
    };
    let (address, rights) = (address.expect("it is an address"), [writing.as_raw_fd()]);
    let (text, rights) = ([IoSlice::new(b"BARRIER=1")], [ControlMessage::ScmRights(&rights)]);
    sendmsg(socket.as_raw_fd(), &text, &rights, MsgFlags::empty(), Some(&address)).expect("the daemon receives it");
    drop(writing);
    assert_eq!(reading.read(&mut [0]).expect("the daemon closes it"), 0);
}

/// Sends one message, as sd_notify(3) does.
fn tell(message: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = std::env::var("NOTIFY_SOCKET").expect("the daemon set NOTIFY_SOCKET");
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&address),
    };
    let socket = UnixDatagram::unbound().expect("a socket can be created");
    socket.send_to_addr(message.as_bytes(), &address.expect("it is an address")).expect("the daemon receives it");
}

/// The parent of a daemon: PID 1 of a pid namespace, otherwise a subreaper, so that no descendant escapes. Starts the
/// daemon, writes its pid and how it ended to a file, reaps, and ends with everything below it when its stdin is
/// closed.
fn keeper(words: &str) -> ! {
    let part: serde_json::Value = serde_json::from_str(words).expect("the harness wrote it");
    let text = |name: &str| part[name].as_str().expect("the harness wrote it").to_owned();
    let command: Vec<String> = serde_json::from_value(part["command"].clone()).expect("the harness wrote it");
    let report = text("report");
    if std::process::id() != 1 {
        nix::sys::prctl::set_child_subreaper(true).expect("every process may adopt orphans");
    }
    let open = |path: String| std::fs::OpenOptions::new().read(true).append(true).open(path).expect("it can be opened");
    let mut daemon = Command::new(&command[0]);
    daemon.args(&command[1..]).env_remove(PART).stdin(Stdio::null());
    daemon.stdout(open(text("stdout"))).stderr(open(text("stderr")));
    let blocked = if part["block_signals"] == true { SigSet::all() } else { SigSet::empty() };
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None).expect("blocking signals cannot fail");
    let pid = daemon.spawn().expect("the daemon can be executed").id();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).expect("blocking signals cannot fail");
    write_report(&report, &format!("pid {pid}\n"));
    std::thread::spawn(leave_with_stdin);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(ended, code)) if ended.as_raw() as u32 == pid => {
                write_report(&report, &format!("code {code}\n"));
            }
            Ok(WaitStatus::Signaled(ended, signal, _)) if ended.as_raw() as u32 == pid => {
                write_report(&report, &format!("signal {}\n", signal as i32));
            }
            // No child is left, for now.
            Err(Errno::ECHILD) => std::thread::sleep(Duration::from_millis(5)),
            // An orphan ended. An error means that it was killed by a real-time signal.
            Ok(_) | Err(_) => {}
        }
    }
}

fn write_report(path: &str, line: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("it can be written");
    file.write_all(line.as_bytes()).expect("it can be written");
}

/// The harness holds the other end: when the test ends for any reason, it is closed and nothing here is needed.
fn leave_with_stdin() {
    let mut nothing = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut nothing);
    // The kernel kills everything when PID 1 exits. Elsewhere this loop does, and finds processes forked meanwhile in
    // the next round.
    while std::process::id() != 1 {
        let left = processes::below(std::process::id() as i32);
        let left: Vec<_> = left.iter().filter(|process| !process.is_zombie()).collect();
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|process| super::send(process.pid, 9));
    }
    std::process::exit(0);
}
