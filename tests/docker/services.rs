//! The image with several services: it serves, survives crashes, accepts commands and exits as its README says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::container::{Container, Recipe};
use crate::engine::{alone, docker_ok, is_wanted, services, text, together};

/// The answer of the web application behind nginx, or the error.
pub(crate) fn visit(container: &Container) -> Result<String, String> {
    let address = docker_ok(["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &container.name]);
    let ask = || {
        let mut stream = TcpStream::connect((address.as_str(), 80))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = ask().map_err(|error: std::io::Error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.trim().to_owned()),
        _ => Err(answer),
    }
}

/// Starts the image, and waits until nginx, the application and redis answer together.
fn serving() -> Container {
    let container = Recipe::of(services()).start();
    assert_counts_from_the_beginning(&container);
    container
}

/// Visits until there is an answer. A visit whose answer came too late may have been counted all the same.
fn assert_counts_from_the_beginning(container: &Container) {
    let mut visits = 0;
    let answer = container.until("it serves", || {
        visits += 1;
        visit(container).ok()
    });
    let count = count(&answer);
    assert!((1..=visits).contains(&count), "{answer} after {visits}");
}

fn count(answer: &str) -> u32 {
    answer.strip_prefix("visit ").and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count: {answer}"))
}

#[test]
fn every_service_serves_and_docker_stop_lets_each_of_them_finish() {
    if !is_wanted() {
        return;
    }
    let _quiet = alone();
    let container = serving();
    container.wait_ready();
    let [before, after] = [(); 2].map(|()| count(&visit(&container).expect("it serves")));
    assert_eq!(after, before + 1);
    let status = container.ctl("status");
    let status = text(&status);
    for program in ["app", "cron", "nginx", "redis", "rsyslog"] {
        let line = status.lines().find(|line| line.starts_with(&format!("{program} ")));
        assert!(line.is_some_and(|line| line.contains(" RUNNING   pid ")), "{program}:\n{status}");
    }
    let stopped = container.stop();
    assert_eq!(stopped.code, 0, "{}", stopped.log);
    for last_words in [
        "redis | ",
        "Redis is now ready to exit, bye bye...",
        ": gracefully shutting down",
        "app | app: stopped gracefully",
        "exit: stopped by SIGTERM code=0",
    ] {
        assert!(stopped.log.contains(last_words), "{last_words:?} is missing:\n{}", stopped.log);
    }
    // These two log no last words of their own.
    for program in ["cron", "rsyslog"] {
        let ended = |line: &str| line.contains(" stopped ") && line.contains(program) && !line.contains("SIGKILL");
        assert!(stopped.log.lines().any(ended), "{program} did not exit cleanly:\n{}", stopped.log);
    }
    assert!(!stopped.log.contains("SIGKILL"), "a program had to be killed:\n{}", stopped.log);
    assert!(stopped.shutdown() < Duration::from_secs(2), "it took {:?}:\n{}", stopped.shutdown(), stopped.log);
}

#[test]
fn a_killed_nginx_comes_back_without_its_old_workers() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = serving();
    let before = container.wait_state("nginx", "RUNNING");
    container.shell("kill -9 $(cat /run/nginx.pid)");
    let after = container.until("nginx is back", || {
        let now = container.program("nginx");
        (now["pid"].is_number() && now["pid"] != before["pid"]).then_some(now)
    });
    container.until("it serves again", || visit(&container).ok());
    // One master and two workers: no old process still holds the port.
    let parents =
        || container.shell("cat $(grep -lx nginx /proc/[0-9]*/comm | sed s/comm/stat/) | awk '{print $4}' | sort -n");
    let expected = format!("1\n{0}\n{0}", after["pid"]);
    container.until("one master and two workers are there", || (parents() == expected).then_some(()));
}

#[test]
fn musterctl_stops_starts_and_restarts_inside() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = serving();
    container.wait_ready();

    let stopped = container.ctl("stop app nginx");
    assert_eq!((stopped.status.code(), text(&stopped).as_str()), (Some(0), "app: stopped\nnginx: stopped\n"));
    assert!(visit(&container).is_err(), "nginx still serves");
    assert_eq!(container.ctl("status app").status.code(), Some(3), "a stopped program is no success");

    let started = container.ctl("start nginx app");
    assert!(started.status.success(), "{}", text(&started));
    container.until("it has counted to twenty", || visit(&container).ok().filter(|answer| count(answer) >= 20));

    let before = container.program("redis");
    let restarted = container.ctl("restart redis");
    assert!(restarted.status.success(), "{}", text(&restarted));
    let after = container.program("redis");
    assert_ne!(before["pid"], after["pid"]);
    // Redis does not persist data here, so a new one counts from the beginning. A visit that was given up may count late.
    let again = container.until("it serves after that", || visit(&container).ok());
    assert!(count(&again) < 20, "{again}");
}

#[test]
fn the_images_health_check_reports_when_everything_is_up() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let container = Recipe::of(services()).options("--health-interval=1s").start();
    let health = || docker_ok(["inspect", "--format", "{{.State.Health.Status}}", &container.name]);
    container.until("it is healthy", || (health() == "healthy").then_some(()));
    container.shell("chmod -x /usr/sbin/nginx; kill -9 $(cat /run/nginx.pid)");
    container.until("it is unhealthy", || (health() == "unhealthy").then_some(()));
}

#[test]
fn a_program_with_a_user_can_open_the_console_as_a_file() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = "[program.web]\nuser = 'www-data'\nrestart = 'no'\n\
                  command = \"sh -c 'echo out >/dev/stdout; echo err >/dev/stderr; echo fd >/proc/self/fd/1'\"\n";
    let (code, log) = Recipe::of(services()).config(config).run();
    assert_eq!(code, 0, "{log}");
    for line in ["web | out", "web | err", "web | fd"] {
        assert!(log.lines().any(|written| written == line), "{line:?} is missing:\n{log}");
    }
}

#[test]
fn rsyslog_parses_what_programs_send_to_it() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    let config = |musterd: &str| {
        format!(
            "[musterd]\n{musterd}\n[program.rsyslog]\ncommand = 'rsyslogd -n -iNONE'\nstartsecs = 0\n\
             [program.web]\ncommand = \"sh -c 'echo out $$$$; echo err >&2; exec sleep 1000'\"\nstartsecs = 0\n\
             logs = {{ stdout = 'syslog', stderr = 'syslog' }}\n"
        )
    };
    // /dev/log as rsyslog reads it by default, and a socket that takes RFC 5424.
    let rfc5424 = "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
                   input(type=\"imuxsock\" Socket=\"/run/other\" UseSpecialParser=\"off\")\n\
                   action(type=\"omfile\" file=\"/dev/stdout\" template=\"RSYSLOG_TraditionalFileFormat\")\n";
    let local = Recipe::of(services()).config(&config(""));
    let other = Recipe::of(services()).config(&config("syslog = 'unix:///run/other'"));
    for recipe in [local, other.file("rsyslog.conf", "/etc/rsyslog.conf", rfc5424)] {
        let container = recipe.start();
        let pid = container.wait_state("web", "RUNNING")["pid"].to_string();
        for text in [format!(" out {pid}"), " err".to_owned()] {
            // An RFC 5424 message has no colon after the name.
            let lines = [format!(" web[{pid}]:{text}"), format!(" web[{pid}]{text}")];
            let is_it = |told: &str| told.starts_with("rsyslog | ") && lines.iter().any(|line| told.ends_with(line));
            container.until(&lines[0], || container.logs().lines().any(is_it).then_some(()));
        }
    }
}
