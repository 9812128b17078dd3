//! Clients that come while a program is killed and restarted: none is refused.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{self, Daemon, Setting, free_port, wait_until};
use crate::{script, temporary};

/// Serves descriptor 3 with several threads: reads a byte and answers with it.
const ECHO: &str = "
import socket, threading
listener = socket.socket(fileno=3)
def serve():
    while True:
        try:
            client = listener.accept()[0]
            client.sendall(client.recv(1))
            client.close()
        except OSError:
            pass
for _ in range(3):
    threading.Thread(target=serve, daemon=True).start()
serve()
";

/// How the connections of a client ended.
#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    reset: AtomicU64,
}

fn once(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn connect_until(end: &AtomicBool, port: u16, counts: &Counts) {
    while !end.load(Ordering::Relaxed) {
        match once(port) {
            Ok(()) => &counts.answered,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => &counts.refused,
            Err(_) => &counts.reset,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

/// Kills and restarts while clients come. Returns answered, refused and reset connections.
fn under_fire(kills: u32, restarts: u32, least: u64) -> (u64, u64, u64) {
    let directory = temporary();
    let (port, script) = (free_port(), script(directory.path(), "echo.py", ECHO));
    let program = |variable: u32| {
        format!(
            "[program.web]\ncommand = \"python3 {}\"\nstartsecs = 0\nrestart = \"always\"\nstartretries = \"unlimited\"\n\
             backoff = {{ delay = \"10ms\", max = \"10ms\" }}\nnumprocs = 2\nenvironment = {{ A = \"{variable}\" }}\n\
             sockets = [\"tcp://127.0.0.1:{port}\"]\n",
            script.display()
        )
    };
    let daemon: Daemon = Setting::supervising(program(0)).start();
    daemon.wait_for_running("web:0");
    let (counts, end) = (Counts::default(), AtomicBool::new(false));
    let answered = || counts.answered.load(Ordering::Relaxed);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| connect_until(&end, port, &counts));
        }
        let each = least / u64::from(kills + restarts);
        let wait = |before: u64| wait_until("clients were served", || answered() >= before + each.max(1));
        for number in 0..kills {
            let before = answered();
            harness::send(daemon.wait_for_running(&format!("web:{}", number % 2)), 9);
            wait(before);
        }
        for number in 0..restarts {
            let before = answered();
            if number % 2 == 0 {
                daemon.ctl_well(&["restart", "web"]);
            } else {
                daemon.rewrite(&Setting::supervising(program(number)));
                daemon.ctl_well(&["update"]);
            }
            wait(before);
        }
        wait_until("all clients were served", || answered() >= least);
        end.store(true, Ordering::Relaxed);
    });
    (answered(), counts.refused.into_inner(), counts.reset.into_inner())
}

#[test]
fn no_client_is_refused_while_a_program_is_killed_and_restarted() {
    let (answered, refused, reset) = under_fire(10, 6, 500);
    assert_eq!(refused, 0, "of {answered}");
    // In flight: accepted by a process that was killed.
    assert!(reset <= 16 * 4, "{reset} of {answered}");
}

#[test]
fn acceptance_of_a_hundred_thousand_connections() {
    if !harness::is_acceptance() {
        return;
    }
    let (answered, refused, reset) = under_fire(200, 50, 100_000);
    println!("{answered} connections answered, {refused} refused, {reset} reset in flight");
    assert_eq!(refused, 0);
    assert!(reset <= 250 * 4, "{reset}");
}
