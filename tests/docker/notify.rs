//! Real services that use sd_notify: their messages are accepted, shown, and correct.

use crate::container::Recipe;
use crate::engine::{is_wanted, services, together};

const CONFIG: &str = r#"
[program.redis]
command = "redis-server --supervised systemd --bind 127.0.0.1 --port 7000 --save '' --dir /tmp"
user = "redis"
ready = "notify"

[program.haproxy]
command = "haproxy -Ws -q -f /etc/haproxy/muster.cfg"
ready = "notify"
stopsignal = "USR1"
depends_on = { redis = "ready" }
"#;

const HAPROXY: &str = "\
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend redis
    bind 127.0.0.1:7001
    default_backend redis
backend redis
    server redis 127.0.0.1:7000
";

#[test]
fn redis_and_haproxy_say_themselves_when_they_are_ready() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    // Once with a directory for the sockets, once without: then only redis' directory is writable.
    for options in ["", "--read-only --tmpfs /tmp"] {
        let recipe = Recipe::of(services()).options(options).config(CONFIG);
        let container = recipe.file("muster.cfg", "/etc/haproxy/muster.cfg", HAPROXY).start();
        let is_ready = |log: &str, program: &str| {
            log.lines().any(|line| line.contains(" ready ") && line.contains(&format!("program={program} ")))
        };
        container.until("both are ready", || {
            let log = container.logs();
            (is_ready(&log, "redis") && is_ready(&log, "haproxy")).then_some(())
        });
        let ping = "exec 3<>/dev/tcp/127.0.0.1/7001; printf 'PING\\r\\n' >&3; head -c5 <&3";
        let answer = container.exec(&["bash", "-c", ping]);
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "+PONG", "{}", container.story());
        if options.is_empty() {
            assert_eq!(container.program("redis")["status"], "Ready to accept connections", "{}", container.story());
            let before = container.wait_state("haproxy", "RUNNING");
            // The master executes itself again, and sends RELOADING=1 and READY=1.
            assert!(container.ctl("signal USR2 haproxy").status.success());
            container.until("it has new workers", || {
                let workers = container.with_argument("/etc/haproxy/muster.cfg");
                (workers.len() == 2 && container.exec(&["bash", "-c", ping]).stdout == b"+PONG").then_some(())
            });
            assert_eq!(container.wait_state("haproxy", "RUNNING")["pid"], before["pid"]);
        }
        let stopped = container.stop();
        assert_eq!(stopped.code, 0, "{}", stopped.log);
        for complaint in ["ignored", "SIGKILL", "ended unexpectedly"] {
            assert!(!stopped.log.contains(complaint), "{}", stopped.log);
        }
    }
}
