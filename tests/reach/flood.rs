//! A flood of connections at the listener on TCP, from one host: silent ones, and ones that send a byte now and then.
//!
//! The short form runs always. `MUSTER_FLOOD=10000` runs the long one, with that many of each, and prints the figures.

use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Flood, in_time, room_for, times, wait_until};
use crate::scene::{Scene, head_of, login, status};

/// How long the Unix socket may take to answer meanwhile.
const LOCAL: Duration = Duration::from_millis(50);

/// How long a client with a token may take.
const REMOTE: Duration = Duration::from_secs(1);

#[test]
fn a_flood_on_tcp_keeps_out_neither_this_machine_nor_a_client_with_a_token() {
    let long = std::env::var("MUSTER_FLOOD").ok().and_then(|count| count.parse::<usize>().ok());
    let each = room_for(long.unwrap_or(300));
    let scene = Scene::new();
    let setting = scene.setting("listen = [\"http://127.0.0.1:PORT\"]");
    let daemon = setting.wrapped(&["prlimit", "--nofile=1024:1024", "--"]).start();
    daemon.wait_for_running("web");
    let (before, memory) = (daemon.descriptors(), daemon.memory("RssAnon"));
    let flood = Flood::at(scene.port, each, b'G', Duration::from_millis(100));
    std::thread::scope(|scope| {
        scope.spawn(|| flood.run());
        wait_until("the flood is there", || flood.has_begun());
        // A failed check ends the flood, too.
        let checks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            in_time(|| {
                let local = times(50, || assert_eq!(daemon.client.get("/v1/programs").status, 200));
                let remote = times(10, || {
                    wait_until("a client with a token is served", || {
                        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", scene.port)) else { return false };
                        stream.set_read_timeout(Some(REMOTE)).expect("a socket has it");
                        status(&head_of(&mut stream, "HEAD /v1/programs", &login("read"), "")) == 200
                    });
                });
                if long.is_some() {
                    let now = daemon.memory("RssAnon");
                    println!(
                        "{each} silent and {each} slow connections: local p50 {:?}, p98 {:?}, max {:?}; with a token \
                              p50 {:?}, max {:?}; memory {memory} kB before, {now} kB now; descriptors {}",
                        local[25],
                        local[48],
                        local[49],
                        remote[5],
                        remote[9],
                        daemon.descriptors()
                    );
                }
                if local[48] < LOCAL && remote[9] < REMOTE {
                    Ok(())
                } else {
                    Err(format!("local {:?}, with a token {:?}", local[48], remote[9]))
                }
            });
            // 64 connections, of which a fourth is of clients that have not logged in.
            let now = daemon.descriptors();
            assert!(now < before + 64 + 8, "{before} descriptors before, {now} now");
        }));
        flood.end();
        if let Err(panic) = checks {
            std::panic::resume_unwind(panic);
        }
    });
    wait_until("all descriptors are back", || daemon.descriptors() <= before);
}
