//! s6-overlay, file by file: what each of them means in TOML, or the line of the report about it.

use std::collections::BTreeMap;

use muster_convert::Kind;
use muster_convert::s6::{Tree, convert};

use crate::loading::{errors, load_text};

/// Files by path, `S6_…` variables, lines of the TOML, and parts of lines of the report.
type Case<'c> = (&'c [(&'c str, &'c str)], &'c [(&'c str, &'c str)], &'c [&'c str], &'c [&'c str]);

/// Converts the files below a root file system.
fn converted(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    assert_eq!(Kind::of_directory(files.keys().map(String::as_str)), Some(Kind::S6), "{files:?}");
    let variable =
        |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
    let done = convert(&Tree { root: "rootfs".to_owned(), files }, &variable).unwrap();
    let errors = errors(&load_text(&done.toml, "/D/muster.toml", &[]));
    assert_eq!(errors, Vec::<String>::new(), "{}", done.toml);
    (done.toml, done.report.lines().iter().map(ToString::to_string).collect())
}

fn check(cases: &[Case<'_>]) {
    for (files, variables, toml, report) in cases {
        let (written, lines) = converted(files, variables);
        for line in *toml {
            let (is_wanted, line) = line.strip_prefix('!').map_or((true, *line), |line| (false, line));
            assert_eq!(written.lines().any(|one| one == line), is_wanted, "{line}\n{files:?}\n{written}");
        }
        for part in *report {
            assert!(lines.iter().any(|line| line.contains(part)), "{part}\n{files:?}\n{lines:#?}");
        }
    }
}

const RUN: &str = "#!/command/with-contenv sh\nexec x\n";

#[test]
fn commands_and_their_environment() {
    check(&[
        // A longrun, of version 3, of version 2, and of neither.
        (
            &[("etc/s6-overlay/s6-rc.d/a/type", "longrun"), ("etc/s6-overlay/s6-rc.d/a/run", RUN)],
            &[],
            &["[program.a]", "command = [\"sh\", \"/etc/s6-overlay/s6-rc.d/a/run\"]", "!clean_environment = true"],
            &[],
        ),
        (&[("etc/services.d/a/run", RUN)], &[], &["command = [\"sh\", \"/etc/services.d/a/run\"]"], &[]),
        (&[("a/run", RUN)], &[], &["command = [\"sh\", \"rootfs/a/run\"]"], &[]),
        // Without with-contenv, and where all scripts have the variables.
        (&[("services.d/a/run", "#!/bin/sh\nx\n")], &[], &["clean_environment = true"], &["no with-contenv"]),
        (&[("services.d/a/run", "#!/bin/sh\nx\n")], &[("S6_KEEP_ENV", "1")], &["!clean_environment = true"], &[]),
        (&[("services.d/a/run", "#!/bin/sh\nx\n")], &[("S6_KEEP_ENV", "0")], &["clean_environment = true"], &[]),
        // A oneshot: its words, a script, with the variables, and one that is more than a command.
        (
            &[("s6-rc.d/a/type", "oneshot"), ("s6-rc.d/a/up", "/bin/mkdir -p \"/a b\"\n")],
            &[],
            &[
                "command = [\"/bin/mkdir\", \"-p\", \"/a b\"]",
                "type = \"oneshot\"",
                "restart = \"no\"",
                "clean_environment = true",
            ],
            &[],
        ),
        (
            &[
                ("etc/s6-overlay/s6-rc.d/a/type", "oneshot"),
                ("etc/s6-overlay/s6-rc.d/a/up", "/etc/s6-overlay/scripts/a\n"),
                ("etc/s6-overlay/scripts/a", RUN),
            ],
            &[],
            &["command = [\"sh\", \"/etc/s6-overlay/scripts/a\"]", "!clean_environment = true"],
            &[],
        ),
        (
            &[("s6-rc.d/a/type", "oneshot"), ("s6-rc.d/a/up", "/command/with-contenv /bin/a b\n")],
            &[],
            &["command = [\"/bin/a\", \"b\"]", "!clean_environment = true"],
            &[],
        ),
        (
            &[("s6-rc.d/a/type", "oneshot"), ("s6-rc.d/a/up", "if { x } y\n")],
            &[],
            &[],
            &["check rootfs/s6-rc.d/a/up:1 [a] an execline script of several commands or blocks"],
        ),
        (
            &[("s6-rc.d/a/type", "oneshot"), ("s6-rc.d/a/up", "x"), ("s6-rc.d/a/down", "y")],
            &[],
            &[],
            &["lost rootfs/s6-rc.d/a/down:1 [a] a command that undid the oneshot"],
        ),
    ]);
}

#[test]
fn restarts_and_stops() {
    let with = |name: &'static str, text: &'static str| [("services.d/a/run", RUN), (name, text)];
    check(&[
        (
            &[("services.d/a/run", RUN)],
            &[],
            &["restart = \"always\"", "startretries = \"unlimited\"", "backoff = { delay = \"1s\", factor = 1 }"],
            &["differs rootfs/services.d/a/run:1 [a] never killed", "limited the stop, to 3 s each"],
        ),
        (&with("services.d/a/max-death-tally", "5"), &[], &[], &["check rootfs/services.d/a/max-death-tally:1"]),
        (&with("services.d/a/down-signal", "SIGQUIT\n"), &[], &["stopsignal = \"QUIT\""], &[]),
        (&with("services.d/a/down-signal", "10"), &[], &["stopsignal = 10"], &[]),
        (&with("services.d/a/down-signal", "TERM"), &[], &["!stopsignal = \"TERM\""], &[]),
        (&with("services.d/a/down-signal", "x"), &[], &[], &["check rootfs/services.d/a/down-signal:1"]),
        (&with("services.d/a/timeout-kill", "5000"), &[], &["stopwaitsecs = 5"], &[]),
        (&with("services.d/a/timeout-kill", "1500"), &[], &["stopwaitsecs = \"1500ms\""], &[]),
        (&with("services.d/a/timeout-kill", "0"), &[], &[], &["differs rootfs/services.d/a/timeout-kill:1"]),
        (&with("services.d/a/down", ""), &[], &["autostart = false"], &[]),
        (
            &with("services.d/a/finish", "#!/bin/sh\nrm x\n"),
            &[],
            &["post_stop = [\"rootfs/services.d/a/finish\"]"],
            &["same rootfs/services.d/a/finish:1 [a]"],
        ),
        (
            &with("services.d/a/finish", "#!/usr/bin/with-contenv sh\nlogger $1\nexit 125\n"),
            &[],
            &["post_stop = [\"sh\", \"rootfs/services.d/a/finish\"]"],
            &["read MUSTER_EXIT_CODE", "could forbid the next start (exit 125)"],
        ),
        (
            &with(
                "services.d/a/finish",
                "echo 1 > /run/s6-linux-init-container-results/exitcode\n/run/s6/basedir/bin/halt",
            ),
            &[],
            &["essential = true", "restart = \"no\""],
            &[],
        ),
        (&with("services.d/a/finish", "s6-svscanctl -t /var/run/s6/services"), &[], &["essential = true"], &[]),
        // The container's variables.
        (&[("services.d/a/run", RUN)], &[("S6_KILL_GRACETIME", "500")], &["shutdown_timeout = \"3500ms\""], &[]),
        (
            &[("services.d/a/run", RUN)],
            &[("S6_KILL_GRACETIME", "1000"), ("S6_SERVICES_GRACETIME", "30000")],
            &["shutdown_timeout = 31"],
            &["same rootfs:1 S6_KILL_GRACETIME"],
        ),
        (
            &[("services.d/a/run", RUN)],
            &[("S6_SERVICES_GRACETIME", "0")],
            &[],
            &["check rootfs:1 a grace time without"],
        ),
        (
            &[("cont-init.d/1", RUN), ("s6-rc.d/a/type", "oneshot"), ("s6-rc.d/a/up", "x")],
            &[("S6_BEHAVIOUR_IF_STAGE2_FAILS", "2")],
            &["essential = \"on-failure\""],
            &[],
        ),
        (&[("cont-init.d/1", RUN)], &[], &["!essential = \"on-failure\""], &["check rootfs:1 S6_BEHAVIOUR"]),
    ]);
}

#[test]
fn dependencies_bundles_and_readiness() {
    let longrun = |name: &str| [(format!("s6-rc.d/{name}/type"), "longrun"), (format!("s6-rc.d/{name}/run"), RUN)];
    let files = |services: &[&str], more: &[(&'static str, &'static str)], toml: &[&str], report: &[&str]| {
        let longruns: Vec<(String, &str)> = services.iter().flat_map(|name| longrun(name)).collect();
        let mut all: Vec<(&str, &str)> = longruns.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        all.extend(more);
        check(&[(&all, &[], toml, report)]);
    };
    files(&["a"], &[("s6-rc.d/a/notification-fd", "3\n")], &["ready = { fd = 3 }"], &[]);
    files(&["a"], &[("s6-rc.d/a/notification-fd", "3"), ("s6-rc.d/a/timeout-up", "2000")], &["start_timeout = 2"], &[]);
    files(
        &["a"],
        &[("s6-rc.d/a/timeout-up", "2000")],
        &["!start_timeout = 2"],
        &["lost rootfs/s6-rc.d/a/timeout-up:1"],
    );
    files(&["a"], &[("s6-rc.d/a/notification-fd", "1")], &[], &["lost rootfs/s6-rc.d/a/notification-fd:1"]);
    // Conditions, in both forms of the list; base is the overlay's own.
    let oneshot = [("s6-rc.d/c/type", "oneshot"), ("s6-rc.d/c/up", "x")];
    let list = [("s6-rc.d/b/notification-fd", "3"), ("s6-rc.d/a/dependencies", "b\nc\nd\nbase\n")];
    let expected = "depends_on = { b = \"ready\", c = \"completed\", d = \"started\" }";
    files(&["a", "b", "d"], &[oneshot, list].concat(), &[expected], &[]);
    let list = [("s6-rc.d/a/dependencies.d/c", ""), ("s6-rc.d/a/dependencies.d/base", "")];
    files(&["a"], &[oneshot, list].concat(), &["depends_on = { c = \"completed\" }"], &[]);
    files(&["a"], &[("s6-rc.d/a/dependencies.d/gone", "")], &[], &["depended on gone, which is not here"]);
    // Bundles are flattened, in both forms, also within each other.
    let bundles = [
        ("s6-rc.d/x/type", "bundle"),
        ("s6-rc.d/x/contents", "y"),
        ("s6-rc.d/y/type", "bundle"),
        ("s6-rc.d/y/contents.d/b", ""),
        ("s6-rc.d/a/dependencies.d/x", ""),
    ];
    files(&["a", "b"], &bundles, &["depends_on = { b = \"started\" }", "![program.x]"], &[]);
    // Only what user and user2 name starts, with its dependencies; also where newer versions keep these bundles.
    for directory in ["s6-rc.d", "user-bundles.d"] {
        let user = [(format!("{directory}/user/type"), "bundle"), (format!("{directory}/user/contents.d/a"), "")];
        let longruns: Vec<(String, &str)> = ["a", "b", "c"].iter().flat_map(|name| longrun(name)).chain(user).collect();
        let mut all: Vec<(&str, &str)> = longruns.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        all.push(("s6-rc.d/a/dependencies.d/b", ""));
        let (toml, _) = converted(&all, &[]);
        let table =
            |name: &str| toml.split("\n\n").find(|table| table.starts_with(&format!("[program.{name}]"))).unwrap();
        let is_started = ["a", "b", "c"].map(|name| !table(name).contains("autostart = false"));
        assert_eq!(is_started, [true, true, false], "{toml}");
    }
    // cont-init.d in its order, and everything after it.
    check(&[(
        &[("cont-init.d/20-b", RUN), ("cont-init.d/10-a.sh", RUN), ("services.d/web/run", RUN)],
        &[],
        &[
            "[program.init-10-a]",
            "depends_on = { init-10-a = \"completed\" }",
            "depends_on = { init-20-b = \"completed\" }",
        ],
        &[],
    )]);
    check(&[(
        &[("services.d/a/run", RUN), ("cont-finish.d/1", RUN), ("fix-attrs.d/1", "x")],
        &[],
        &["![program.1]"],
        &["check rootfs/cont-finish.d/1:1", "check rootfs/fix-attrs.d/1:1", "check rootfs:1 the container's CMD"],
    )]);
}

#[test]
fn loggers_become_log_files() {
    let logger = "#!/bin/sh\nexec logutil-service /var/log/a\n";
    let version_3 = [
        ("s6-rc.d/a/type", "longrun"),
        ("s6-rc.d/a/run", RUN),
        ("s6-rc.d/a-log/type", "longrun"),
        ("s6-rc.d/a-log/run", logger),
        ("s6-rc.d/user/type", "bundle"),
        ("s6-rc.d/user/contents.d/a-pipeline", ""),
        ("s6-rc.d/a-log/pipeline-name", "a-pipeline"),
    ];
    let of_producer = [("s6-rc.d/a/producer-for", "a-log")];
    let of_consumer = [("s6-rc.d/a-log/consumer-for", "a\n")];
    let both = [("s6-rc.d/a/producer-for", "a-log"), ("s6-rc.d/a-log/consumer-for", "a")];
    for more in [&of_producer[..], &of_consumer, &both] {
        let toml = ["logs.stdout = \"/var/log/a/current\"", "![program.a-log]", "!autostart = false"];
        check(&[(
            &[&version_3, more].concat(),
            &[],
            &toml,
            &["differs rootfs/s6-rc.d/a-log/run:1 [a] a logger wrote"],
        )]);
    }
    // A program that waits for the pipeline waits for its producer.
    let waiting = [("s6-rc.d/b/type", "longrun"), ("s6-rc.d/b/run", RUN), ("s6-rc.d/b/dependencies.d/a-pipeline", "")];
    let all = [&version_3[..], &both, &waiting].concat();
    check(&[(&all, &[], &["depends_on = { a = \"started\" }"], &[])]);
    check(&[
        (
            &[("services.d/a/run", RUN), ("services.d/a/log/run", logger)],
            &[],
            &["logs.stdout = \"/var/log/a/current\""],
            &[],
        ),
        (
            &[("services.d/a/run", RUN), ("services.d/a/log/run", "exec svlogd $X\n")],
            &[],
            &[],
            &["check rootfs/services.d/a/log/run:1 [a] a logger of its own"],
        ),
    ]);
}

#[test]
fn circles_end() {
    for files in [
        &[("s6-rc.d/a/type", "bundle"), ("s6-rc.d/a/contents", "a b"), ("s6-rc.d/b/run", RUN)][..],
        &[
            ("s6-rc.d/a/run", RUN),
            ("s6-rc.d/a/producer-for", "b"),
            ("s6-rc.d/b/run", RUN),
            ("s6-rc.d/b/consumer-for", "a"),
        ],
        &[
            ("s6-rc.d/a/run", RUN),
            ("s6-rc.d/a/consumer-for", "b"),
            ("s6-rc.d/b/run", RUN),
            ("s6-rc.d/b/consumer-for", "a"),
            ("s6-rc.d/b/pipeline-name", "p"),
            ("s6-rc.d/c/run", RUN),
            ("s6-rc.d/c/dependencies", "p c"),
        ],
    ] {
        converted(files, &[]);
    }
}
