//! Procfiles, line by line.

use muster_convert::procfile::{Formation, convert};

use crate::loading::{errors, load_text};

fn converted(text: &str, formation: &str) -> (String, Vec<String>) {
    let formation = if formation.is_empty() { Formation::default() } else { formation.parse().unwrap() };
    let done = convert("Procfile", text.as_bytes(), text.contains("ENV"), &formation).unwrap();
    let errors = errors(&load_text(&done.toml, "/D/muster.toml", &[]));
    assert_eq!(errors, Vec::<String>::new(), "{}", done.toml);
    (done.toml, done.report.lines().iter().map(ToString::to_string).collect())
}

#[test]
fn each_line_is_a_program_that_ends_all() {
    for (text, formation, toml, report) in [
        ("web: rails s", "", &["command = [\"sh\", \"-c\", \"exec rails s\"]"][..], &[][..]),
        ("web:  a && b", "", &["command = [\"sh\", \"-c\", \"a && b\"]"], &[]),
        ("w-1_B: x", "", &["[program.w-1_B]"], &[]),
        ("web: x\n!: y", "", &[], &["lost Procfile:2 a line that is no process"]),
        ("web: x\nweb: y", "", &[], &["lost Procfile:2 a second process of the same name"]),
        (
            "web: x",
            "",
            &["restart = \"no\"", "essential = true", "stopwaitsecs = 5", "!env_file = [\"?.env\"]"],
            &["same Procfile:1 the end of one process ended all"],
        ),
        ("web: x ENV", "", &["env_file = [\"?.env\"]"], &[]),
        ("a: x\nb: y\n", "", &["environment = { PORT = \"5000\" }", "environment = { PORT = \"5100\" }"], &[]),
        (
            "release: m\nweb: x\n",
            "",
            &["type = \"oneshot\"", "depends_on = { release = \"completed\" }"],
            &["differs Procfile:1 [release]"],
        ),
        // The formation: foreman's names and ports.
        (
            "a: x\nweb: y",
            "all=1,web=3",
            &[
                "numprocs = 3",
                "numprocs_start = 1",
                "environment = { PORT = \"{instance+5099}\" }",
                "environment = { PORT = \"5000\" }",
                "!autostart = false",
            ],
            &["same Procfile:2 [web] web.1 … web.3 → web:1 … web:3"],
        ),
        (
            "a: x\nweb: y",
            "web=1",
            &["autostart = false", "!numprocs = 1"],
            &["same Procfile:1 [a] not in the formation"],
        ),
        ("web: y", "web = 2", &["numprocs = 2"], &[]),
    ] {
        let (written, lines) = converted(text, formation);
        for line in toml {
            let (is_wanted, line) = line.strip_prefix('!').map_or((true, *line), |line| (false, line));
            assert_eq!(written.lines().any(|one| one == line), is_wanted, "{line}\n{text}\n{written}");
        }
        for part in report {
            assert!(lines.iter().any(|line| line.contains(part)), "{part}\n{text}\n{lines:#?}");
        }
    }
}

#[test]
fn the_instances_have_foremans_ports() {
    let (toml, _) = converted("a: x\nweb: y", "all=1,web=2");
    let spec = load_text(&toml, "/D/muster.toml", &[]).spec.unwrap();
    let instances = spec.programs.iter().flat_map(|program| &program.instances);
    let port = |variables: &[(String, String)]| {
        variables.iter().find(|(name, _)| name == "PORT").map(|(_, value)| value.clone()).unwrap()
    };
    let ports: Vec<(&str, String)> =
        instances.map(|instance| (instance.name.as_str(), port(&instance.process.environment))).collect();
    assert_eq!(ports, [("a", "5000".into()), ("web:1", "5100".into()), ("web:2", "5101".into())]);
}

#[test]
fn a_formation_that_cannot_be_is_refused() {
    for (formation, expected) in [
        ("web", "expected NAME=NUMBER"),
        ("", "expected NAME=NUMBER"),
        ("web=x", "0 to 1000: \"web=x\""),
        ("web=1001", "0 to 1000"),
        ("web=-1", "0 to 1000"),
    ] {
        let refused = formation.parse::<Formation>().unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
    let error = convert("Procfile", b"web: x", false, &"wbe=2".parse().unwrap()).unwrap_err();
    assert_eq!(error[0].to_string(), "Procfile: has no process \"wbe\", which the formation names");
}
