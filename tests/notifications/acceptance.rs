//! Crashes as fast as the machine makes them, and a server that is of no use.

use super::harness::is_acceptance;
use super::*;

/// How long programs crash.
const SPAN: Duration = Duration::from_secs(10);

/// Upper bounds of a histogram with their cumulated counts.
fn turns(daemon: &Daemon) -> (f64, Vec<Duration>) {
    let metrics = daemon.client.get("/metrics").body;
    let longest = metrics.lines().find_map(|line| line.strip_prefix("muster_loop_longest_turn_seconds "));
    let mut took = Vec::new();
    for _ in 0..500 {
        let began = Instant::now();
        assert_eq!(daemon.client.get("/livez").status, 200);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    (longest.and_then(|text| text.parse().ok()).expect("a number"), took)
}

fn crashes(daemon: &Daemon) -> u64 {
    let metrics = daemon.client.get("/metrics").body;
    let of = |line: &str| line.strip_prefix("muster_program_exits_total{")?.rsplit(' ').next()?.parse::<u64>().ok();
    metrics.lines().filter_map(of).sum()
}

#[test]
fn acceptance_crashes_without_end_and_a_server_that_hangs() {
    if !is_acceptance() {
        return;
    }
    let loops = "[program.loop]\ncommand = \"false\"\nnumprocs = 50\nstartretries = \"unlimited\"\nstartsecs = 0\n\
                 restart = \"always\"\nbackoff = { delay = 0, factor = 1, max = 0 }\n";
    for with in [false, true] {
        let server = Server::doing(&[Does::Reset, Does::Hang, Does::Answer("500 Oops"), OK]);
        let notifier = format!(
            "{}[notify.each]\non = [\"exit\", \"restart\"]\nevery = 0\nretries = 0\ntimeout = \"100ms\"\nwebhook = \"{}\"\n",
            notify(&server, "on = \"exit\"\nevery = \"1s\"\ntimeout = \"1s\""),
            server.url()
        );
        let programs = if with { format!("{loops}{notifier}") } else { loops.to_owned() };
        let mut daemon = Setting::supervising(programs).start();
        let (began, before) = (Instant::now(), crashes(&daemon));
        let mut all = Vec::new();
        while began.elapsed() < SPAN {
            all.extend(turns(&daemon).1);
        }
        let rate = (crashes(&daemon) - before) as f64 / began.elapsed().as_secs_f64();
        all.sort_unstable();
        let at = |part: f64| all[(all.len() as f64 * part) as usize];
        let longest = turns(&daemon).0;
        println!(
            "notifiers: {with}, {rate:.0} crashes/s, {} answers of /livez: p50 {:?}, p99 {:?}, longest turn {longest} s",
            all.len(),
            at(0.5),
            at(0.99)
        );
        daemon.ctl_well(&["stop", "all"]);
        if with {
            let counted = |what: &str| figure(&daemon, what, "each");
            println!("each: sent {}, failed {}, dropped {}", counted("sent"), counted("failed"), counted("dropped"));
        }
        daemon.finish();
    }
}
