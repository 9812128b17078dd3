//! The daemon's own messages in syslog, and messages of a supervisord.conf.

use std::os::unix::net::UnixDatagram;

use super::harness::{self, End, Setting, wait_until};
use super::script;
use super::syslog::{place, take_local, unix_address};

/// The messages that a local receiver has got when one of them contains this text.
fn local_until(socket: &UnixDatagram, text: &str) -> Vec<String> {
    socket.set_read_timeout(Some(harness::PATIENCE)).expect("it is not zero");
    let (mut all, mut buffer) = (Vec::new(), [0; 9000]);
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}: {all:?}"));
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        if all.iter().any(|message| message.contains(text)) {
            return all;
        }
    }
}

#[test]
fn the_daemons_own_messages_go_to_the_receiver_alone() {
    let directory = place();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("the test directory is writable");
    let musterd = unix_address(&path) + "\nsyslog_format = \"local\"\nlogfile = \"syslog\"\nlogformat = \"text\"";
    let mut daemon =
        Setting::supervising(script("web", "exec sleep 1000", "stdout = \"none\"")).musterd(&musterd).start();
    let pid = daemon.pid();
    let started = local_until(&socket, "starting program=web");
    let is_own = |message: &String| message.starts_with("<30>musterd[") && message.contains(" INFO ");
    assert!(started.iter().all(is_own), "{pid} {started:#?}");
    // Also the very last one.
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0));
    local_until(&socket, " INFO exit: ");
    assert_eq!(daemon.log.text(), "", "nothing goes to standard error");
}

#[test]
fn what_is_said_of_the_receiver_does_not_go_to_it() {
    let directory = place();
    let path = directory.path().join("log");
    let musterd = unix_address(&path) + "\nlogfile = \"syslog\"\nlogformat = \"text\"";
    let daemon = Setting::supervising(script("web", "exec sleep 1000", "stdout = \"none\"")).musterd(&musterd).start();
    let told = || daemon.log.text();
    wait_until("standard error has it", || told().contains("cannot reach the syslog receiver"));
    let receiver = take_local(&path);
    wait_until("it takes lines", || told().contains("the syslog receiver takes lines again"));
    wait_until("it gets those of the beginning", || {
        receiver.messages().iter().any(|message| message.text.contains("musterd is up"))
    });
    assert!(receiver.messages().iter().all(|message| !message.text.contains("receiver")), "{:?}", receiver.messages());
    assert_eq!(told().lines().count(), 2, "{}", told());
}

/// A program that floods the receiver while that does not read pushes out its own lines, and none of the daemon's.
#[test]
fn a_flood_of_programs_costs_no_message_of_the_daemon() {
    let directory = place();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("the test directory is writable");
    let musterd = unix_address(&path) + "\nsyslog_format = \"local\"\nlogfile = \"syslog\"\nlogformat = \"text\"";
    let flood = script("web", "head -c 4000000 /dev/zero | tr \"\\\\0\" \"\\\\n\"", "stdout = \"syslog\"");
    let daemon = Setting::supervising(flood).musterd(&musterd).start();
    wait_until("the program has written all of it", || daemon.state("web") == "EXITED");
    let all = local_until(&socket, "ended program=web");
    let told = |text: &str| all.iter().filter(|message| message.contains(text)).count();
    assert_eq!((told("musterd is up"), told("starting program=web")), (1, 1));
}

/// As recorded from the original: `<14>supervisord: web hello`.
#[test]
fn messages_of_a_supervisord_conf_are_the_originals() {
    let directory = place();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("the test directory is writable");
    let sections = format!(
        "[supervisord]\nlogfile=syslog\n[musterd]\nsyslog=unix://{}\nsyslog_format=local\n[group:g]\nprograms=web\n\
         [program:web]\ncommand=/bin/sh -c 'echo hello; echo \"  two  words \" >&2; exec sleep 1000'\n\
         stdout_logfile=syslog\nstderr_syslog=true\nstderr_logfile=NONE\n",
        path.display()
    );
    let _daemon = Setting::supervisord(sections).start();
    let mut all = local_until(&socket, "hello");
    if !all.iter().any(|message| message.contains("two")) {
        all.extend(local_until(&socket, "two"));
    }
    assert!(all.contains(&"<14>supervisord: web hello".to_owned()), "{all:#?}");
    assert!(all.contains(&"<14>supervisord: web   two  words ".to_owned()), "{all:#?}");
    let own = all.iter().find(|message| message.contains("musterd is up")).expect("it said so first");
    assert!(own.starts_with("<14>supervisord: 2"), "{own}");
}
