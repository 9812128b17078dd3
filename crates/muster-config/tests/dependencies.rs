//! Keys about other programs and about health: dependencies, readiness, probes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use std::time::Duration;

use common::{Here, instance, only, pairs_of, program, seconds, spec};
use muster_spec::{
    CheckSpec, DependencyCondition, HostPort, HttpCheck, OnFailure, ProbeKind, ProbeSpec, ProgramSpec, ReadySpec,
    Recycle, Rolling, RollingWait, StartDelay, Url,
};

/// A program's dependencies, as `db:ready`.
fn awaited(program: &ProgramSpec) -> Vec<String> {
    program.depends_on.iter().map(|on| format!("{}:{}", on.program, on.condition.name())).collect()
}

#[test]
fn dependencies_are_a_list_or_a_table() {
    let others = "[program.db]\ncommand = \"x\"\nprobes.live.tcp = \"a:1\"\n[program.b]\ncommand = \"x\"\n";
    for (keys, expected) in [
        ("depends_on = []", &[][..]),
        ("depends_on = \"db\"", &["db:started"]),
        ("depends_on = [\"db\", \"b\"]", &["db:started", "b:started"]),
        ("depends_on = { db = \"healthy\", b = \"completed\" }", &["b:completed", "db:healthy"]),
        ("depends_on.b = \"exited\"\ndepends_on.db = \"ready\"", &["b:exited", "db:ready"]),
    ] {
        let spec = spec(&format!("{others}[program.web]\ncommand = \"x\"\nrestart_with = [\"b\", \"db\"]\n{keys}"));
        let mut found = awaited(&program(&spec, "web"));
        if keys.contains("b =") {
            found.sort();
        }
        assert_eq!(found, expected, "{keys}");
        assert_eq!(program(&spec, "web").restart_with, pairs_of(&["b", "db"]));
    }
    assert_eq!(DependencyCondition::ALL.len(), 5);
}

#[test]
fn a_later_file_adds_dependencies_by_table_and_replaces_them_by_list() {
    let here = Here::new(&[
        (
            "a.toml",
            "[defaults]\ndepends_on = [\"log\"]\n[program.log]\ncommand = \"x\"\ndepends_on = []
            [program.db]\ncommand = \"x\"\n[program.web]\ncommand = \"x\"\ndepends_on = { db = \"started\" }
            [program.job]\ncommand = \"x\"\ndepends_on = [\"db\"]",
        ),
        ("b.toml", "[program.web.depends_on]\ndb = \"ready\"\n[program.job]\ndepends_on = { web = \"started\" }"),
        ("c.toml", "[program.job]\ndepends_on = [\"web\"]"),
    ]);
    let spec = here.spec(&["a.toml", "b.toml", "c.toml"]);
    for (name, expected) in
        [("log", &[][..]), ("db", &["log:started"]), ("web", &["log:started", "db:ready"]), ("job", &["web:started"])]
    {
        assert_eq!(awaited(&program(&spec, name)), expected, "{name}");
    }
}

#[test]
fn every_readiness_rule_is_parsed() {
    let tcp = |address: &str| Some(ReadySpec::Check(CheckSpec::Tcp(HostPort::parse(address).expect("an address"))));
    for (value, expected) in [
        ("\"notify\"", Some(ReadySpec::Notify)),
        ("\"\"", None),
        ("{ fd = 3 }", Some(ReadySpec::Fd(3))),
        ("{ log = '^Listening on port \\d{4}$' }", Some(ReadySpec::Log("^Listening on port \\d{4}$".to_owned()))),
        ("{ tcp = \"127.0.0.1:${PORT}\" }", tcp("127.0.0.1:8080")),
        (
            "{ exec = \"test -e '/run/my file'\" }",
            Some(ReadySpec::Check(CheckSpec::Exec(pairs_of(&["test", "-e", "/run/my file"])))),
        ),
    ] {
        let web = only(&format!("ready = {value}"));
        assert_eq!(web.instances[0].ready, expected, "{value}");
        assert_eq!(web.instances[0].start_timeout, seconds(60));
    }
    let spec = spec(
        "[program.web]\ncommand = \"x\"\nnumprocs = 2\nready.tcp = \"localhost:808{instance}\"\nstart_timeout = \"2m\"\nwatchdog = 5",
    );
    let last = instance(&spec, "web", 1);
    assert_eq!(
        (last.ready, last.start_timeout, last.watchdog),
        (tcp("localhost:8081"), seconds(120), Some(seconds(5)))
    );
    assert_eq!(only("watchdog = \"0s\"").instances[0].watchdog, None);
}

#[test]
fn probes_have_the_defaults_and_the_fields_of_kubernetes() {
    let here = Here::new(&[
        (
            "a.toml",
            "[defaults.probes.up]\ntcp = \"localhost:1\"\nperiod = 3\n[program.web]\ncommand = \"x\"
            [program.web.probes.live]\nhttp = { url = \"http://127.0.0.1:${PORT}/{name}\", headers = { Accept = \"*/*\" }, host = \"shop\" }
            [program.web.probes.ready]\nexec = [\"true\"]\nkind = \"readiness\"\nsuccess_threshold = 2\nfailure_threshold = 1
            period = \"500ms\"\ntimeout = 2\ninitial_delay = \"1m\"",
        ),
        ("b.toml", "[program.web.probes.up]\nkind = \"startup\"\non_failure = \"shutdown\"\nhttp = \"http://a/\""),
    ]);
    let spec = here.spec(&["a.toml", "b.toml"]);
    let probes = instance(&spec, "web", 0).probes;
    let probe = |name: &str| probes.iter().find(|probe| probe.name == name).unwrap().clone();
    let headers = vec![("Accept".to_owned(), "*/*".to_owned()), ("Host".to_owned(), "shop".to_owned())];
    let check =
        CheckSpec::Http(HttpCheck { url: Url::parse("http://127.0.0.1:8080/web").expect("an address"), headers });
    let live = ProbeSpec::new("live", ProbeKind::Liveness, check);
    assert_eq!((live.period, live.timeout, live.failure_threshold), (seconds(10), seconds(1), 3));
    assert_eq!((live.success_threshold, live.initial_delay, live.on_failure), (1, seconds(0), OnFailure::Restart));
    assert_eq!(probe("live"), live);
    let ready = ProbeSpec {
        success_threshold: 2,
        failure_threshold: 1,
        period: Duration::from_millis(500),
        timeout: seconds(2),
        initial_delay: seconds(60),
        on_failure: OnFailure::None,
        ..ProbeSpec::new("ready", ProbeKind::Readiness, CheckSpec::Exec(pairs_of(&["true"])))
    };
    assert_eq!(probe("ready"), ready);
    let check = CheckSpec::Http(HttpCheck { url: Url::parse("http://a/").expect("an address"), headers: Vec::new() });
    let up = ProbeSpec {
        period: seconds(3),
        on_failure: OnFailure::Shutdown,
        ..ProbeSpec::new("up", ProbeKind::Startup, check)
    };
    assert_eq!(probe("up"), up);
    assert_eq!(probes.len(), 3);
}

#[test]
fn a_start_delay_is_a_duration_or_a_table() {
    let delay = |value: &str| only(&format!("start_delay = {value}")).start_delay;
    let of = |millis, stagger| StartDelay {
        delay: std::time::Duration::from_millis(millis),
        stagger: std::time::Duration::from_millis(stagger),
    };
    assert_eq!((only("").start_delay, delay("\"0s\""), delay("{}")), (StartDelay::NONE, StartDelay::NONE, of(0, 0)));
    assert_eq!((delay("\"2s\""), delay("1.5")), (of(2000, 0), of(1500, 0)));
    assert_eq!(delay("{ delay = \"2s\", stagger = \"500ms\" }"), of(2000, 500));
    assert_eq!(of(2000, 500).of(3), seconds(2) + of(1500, 0).delay);
}

#[test]
fn instances_take_turns_as_rolling_says() {
    let turns = |value: &str| only(&format!("rolling = {value}")).rolling;
    let of = |parallel: u32| Rolling { parallel: parallel.try_into().unwrap(), ..Rolling::DEFAULT };
    assert_eq!((only("").rolling, turns("0"), turns("2"), turns("{}")), (None, None, Some(of(2)), Some(of(1))));
    let all = turns("{ parallel = 3, pause = \"2s\", wait = \"healthy\" }");
    assert_eq!(all, Some(Rolling { pause: seconds(2), wait: RollingWait::Healthy, ..of(3) }));
    let recycled = |value: &str| only(&format!("recycle_after = {value}")).recycle_after;
    assert_eq!((only("").recycle_after, recycled("\"0s\"")), (None, None));
    assert_eq!(recycled("\"6h\""), Some(Recycle::after(seconds(21_600))));
    let jittered = Recycle { after: seconds(60), jitter: seconds(5) };
    assert_eq!(recycled("{ after = \"1m\", jitter = 5 }"), Some(jittered));
}
