//! Texts of servers, merged with local files: what they may do, and what a hostile one is refused.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::PathBuf;

use muster_config::{Loaded, Remote, RemoteText, Source, has_programs, is_address, load_remote};

/// Loads a local text with texts of sources; the daemon's own user is root.
fn load(local: &str, texts: &[(&str, &str)]) -> Loaded {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    std::fs::write(&path, local).unwrap();
    let text = |(source, text): &(&str, &str)| RemoteText {
        source: (*source).to_owned(),
        shown: PathBuf::from(format!("https://…/{source}/a.toml")),
        text: (*text).to_owned(),
    };
    let texts: Vec<RemoteText> = texts.iter().map(text).collect();
    let remote = Remote { texts: &texts, own_user: &["root".to_owned(), "0".to_owned()], scales: None };
    let (paths, variables) = ([path], |_: &str| None);
    let source = Source::unguarded(&paths, &variables, "box");
    load_remote(&source, &remote)
}

fn errors(local: &str, texts: &[(&str, &str)]) -> Vec<String> {
    let loaded = load(local, texts);
    let shown = |found: &muster_config::Diagnostic| {
        format!("{}:{}:{}: {}", found.file.display(), found.line, found.column, found.message)
    };
    let shown = loaded.diagnostics.iter().map(shown).collect();
    assert!(loaded.spec.is_none(), "{shown:?}");
    shown
}

const FLEET: &str = "[source.fleet]\nurl = \"https://host/a.toml\"\n";
const RESTRICTED: &str = "[source.fleet]\nurl = \"https://host/a.toml\"\nrun_as = [\"app\"]\n";

#[test]
fn sources_count_after_local_files_in_the_order_of_their_names() {
    let local = "[source.b]\nurl = \"https://host/\"\n[source.a]\nurl = \"https://host/\"\n\
                 [program.web]\ncommand = \"local\"\npriority = 7\n";
    // The daemon passes them in order.
    let texts = [
        ("a", "[program.web]\ncommand = \"from a\"\nstartsecs = 3\n[program.new]\ncommand = \"x\"\n"),
        ("b", "[program.web]\ncommand = \"from b\"\n"),
    ];
    let spec = load(local, &texts).spec.unwrap();
    let names: Vec<&str> = spec.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let programs: Vec<&str> = spec.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(programs, ["new", "web"]);
    let web = &spec.programs[1];
    assert_eq!(web.instances[0].process.command, ["from", "b"]);
    assert_eq!((web.priority, web.startsecs.as_secs()), (7, 3));
}

#[test]
fn a_configuration_may_consist_of_sources_alone_and_a_removed_source_has_no_part() {
    assert!(load(FLEET, &[]).spec.unwrap().programs.is_empty());
    let spec = load(FLEET, &[("gone", "[program.x]\ncommand = \"x\"\n")]).spec.unwrap();
    assert!(spec.programs.is_empty());
}

#[test]
fn a_remote_text_is_refused_what_only_local_files_may() {
    let text = "include = [\"/etc/shadow\"]\n[http]\nsocket = \"/tmp/s\"\n[source.x]\nurl = \"https://evil/\"\n\
                [musterd]\npidfile = \"/etc/passwd\"\n[program.web]\ncommand = \"x\"\n\
                [notify.x]\nwebhook = \"http://169.254.169.254/\"\n";
    assert_eq!(
        errors(FLEET, &[("fleet", text)]),
        [
            "https://…/fleet/a.toml:1:1: source \"fleet\": its texts must not use include",
            "https://…/fleet/a.toml:2:2: source \"fleet\": its texts must not use http",
            "https://…/fleet/a.toml:4:2: source \"fleet\": its texts must not use source",
            "https://…/fleet/a.toml:6:2: source \"fleet\": its texts must not use musterd",
            "https://…/fleet/a.toml:10:2: source \"fleet\": its texts must not use notify",
        ]
    );
    let allowed = format!("{FLEET}may = [\"program\", \"musterd\"]\n");
    let spec = load(&allowed, &[("fleet", "[musterd]\nexit_when_done = false\n")]).spec.unwrap();
    assert!(!spec.daemon.exit_when_done);
    let found = errors(&allowed, &[("fleet", "[defaults]\nstartsecs = 1\n")]);
    assert!(found[0].ends_with("its texts must not use defaults"), "{found:?}");
}

#[test]
fn a_remote_text_has_no_directory() {
    let text = "[program.web]\ncommand = \"{here}/run\"\ndirectory = \"data\"\nenv_file = [\"web.env\"]\n\
                logs.stdout = \"./web.log\"\n";
    let found = errors(FLEET, &[("fleet", text)]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains(":2:11: ") && found[0].contains("has {here}"), "{found:?}");
    for (number, found) in found[1..].iter().enumerate() {
        assert!(found.contains("must be absolute") && found.contains(&format!(":{}:", number + 3)), "{found}");
    }
    let absolute = "[program.web]\ncommand = \"/run\"\ndirectory = \"/data\"\nlogs.stdout = \"/var/log/web.log\"\n";
    assert!(load(FLEET, &[("fleet", absolute)]).spec.is_some());
}

#[test]
fn programs_of_a_restricted_source_run_as_its_users_only() {
    let program = |keys: &str| format!("[program.web]\ncommand = \"x\"\n{keys}");
    let accepted = program("user = \"app\"\nlogs.stdout = [\"console\", \"syslog\"]\nlogs.stderr = \"stdout\"\n");
    let loaded = load(RESTRICTED, &[("fleet", &accepted)]);
    assert!(loaded.spec.is_some(), "{}", loaded.render(false));
    for (keys, words) in [
        ("", "does not allow programs of this user: the daemon's user"),
        ("user = \"root\"", "does not allow programs of this user: root"),
        ("user = \"0\"", "does not allow programs of this user: 0"),
        ("user = \"app:docker\"", "does not allow programs of this user: app:docker"),
        ("user = \"app\"\npost_stop = { command = \"x\", user = \"root\" }", "programs of this user: root"),
        ("user = \"app\"\npre_start = { command = \"x\", user = \"app:docker\" }", "this user: app:docker"),
        ("user = \"app\"\ngroups = [\"docker\"]", "groups would use the daemon's own rights"),
        ("user = \"app\"\nenv_file = [\"/etc/shadow\"]", "env_file would use the daemon's own rights"),
        ("user = \"app\"\nenv_dir = [\"/etc/env.d\"]", "env_dir would use the daemon's own rights"),
        ("user = \"app\"\nsockets = [\"unix:///run/docker.sock\"]", "sockets would use the daemon's own rights"),
        ("user = \"app\"\nlogs.stdout = \"/etc/cron.d/x\"", "logs would use the daemon's own rights"),
        ("user = \"app\"\nlogs.stderr = [\"console\", \"${X:-/etc/x}\"]", "logs would use the daemon's own rights"),
    ] {
        let found = errors(RESTRICTED, &[("fleet", &program(keys))]);
        assert!(found.iter().any(|found| found.contains(words)), "{keys}: {found:?}");
    }
}

#[test]
fn a_restricted_source_cannot_change_programs_of_other_users() {
    let local = format!("{RESTRICTED}[program.db]\ncommand = \"db\"\nuser = \"root\"\n");
    for text in [
        "[program.db]\ncommand = \"evil\"\n",
        "[defaults]\nenvironment = { LD_PRELOAD = \"/tmp/evil.so\" }\n",
        "[program.db]\nprobes.x = { exec = \"evil\" }\n",
    ] {
        let found = errors(&local, &[("fleet", text)]);
        assert!(
            found.iter().any(|found| found.contains("program \"db\": source \"fleet\" does not allow")),
            "{found:?}"
        );
    }
    // A program that it has no part in is not its concern.
    let spec = load(&local, &[("fleet", "[program.web]\ncommand = \"x\"\nuser = \"app\"\n")]).spec;
    assert_eq!(spec.unwrap().programs.len(), 2);
}

#[test]
fn a_mistake_of_a_server_hides_none_of_the_files_and_the_other_way_round() {
    let local = format!("{FLEET}[program.db]\ncommand = 5\n");
    let found = errors(&local, &[("fleet", "[program.web]\ncommand = \"x\"\nstopwaitsecs = -1\n")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("c.toml:4:11") && found[1].contains("https://…/fleet/a.toml:3:16"), "{found:?}");
    // Broken syntax as well.
    assert!(errors(FLEET, &[("fleet", "[program.web\n<html>")])[0].contains("fleet/a.toml:1"));
}

#[test]
fn addresses_are_told_from_paths_and_take_their_settings_from_variables() {
    for (name, expected) in
        [("https://h/x.toml", true), ("etcds://h/x/", true), ("/etc/x", false), ("http:/x", false), ("a://b", false)]
    {
        assert_eq!(is_address(&PathBuf::from(name)), expected, "{name}");
    }
    let variables = |name: &str| match name {
        "MUSTER_SOURCE_TOKEN_FILE" => Some("/run/secrets/token".to_owned()),
        "ROLE" => Some("web".to_owned()),
        _ => None,
    };
    let paths = [PathBuf::from("https://host/${ROLE}/{host}.toml"), PathBuf::from("https://host/other.conf")];
    let source = Source::unguarded(&paths, &variables, "box");
    let loaded = load_remote(&source, &Remote::default());
    let spec = loaded.spec.unwrap();
    let shown: Vec<String> = spec.sources.iter().map(|source| format!("{} {}", source.name, source.address)).collect();
    assert_eq!(shown, ["url https://host/web/box.toml", "url-2 https://host/other.conf"]);
    assert_eq!(spec.sources[0].token_file.as_deref(), Some(PathBuf::from("/run/secrets/token").as_path()));
}

#[test]
fn a_text_without_programs_is_recognized() {
    for (text, expected) in [
        ("", false),
        ("[defaults]\nuser = \"a\"", false),
        ("[program]", false),
        ("[program.a]", true),
        ("program.a.command = 'x'", true),
        ("<html>", true),
    ] {
        assert_eq!(has_programs(text), expected, "{text}");
    }
}
