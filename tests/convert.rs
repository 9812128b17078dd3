//! `musterd convert`: files, outputs and exit codes.

#[path = "harness/executables.rs"]
mod executables;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn musterd(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(executables::musterd());
    command.args(arguments).current_dir(directory).output().expect("musterd can be executed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(place: &Path, name: &str, text: &str) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
    fs::write(path, text).expect("it is ours");
}

const SUPERVISORD: &str = "[supervisord]\nnodaemon=true\n[include]\nfiles=conf.d/*.conf\n\
    [program:web]\ncommand=/bin/sleep %(ENV_NOT_SET_HERE)s ; serves\nuser=no_such_user\nautorestart=true\n";

#[test]
fn a_converted_configuration_passes_the_check() {
    let place = place();
    write(place.path(), "s.conf", SUPERVISORD);
    write(place.path(), "conf.d/db.conf", "; the database\n[program:db]\ncommand=/bin/cat\n");
    fs::set_permissions(place.path().join("s.conf"), fs::Permissions::from_mode(0o640)).expect("it is ours");
    let done = musterd(place.path(), &["convert", "s.conf", "-o", "muster.toml"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert_eq!(text(&done.stdout), "");
    let toml = fs::read_to_string(place.path().join("muster.toml")).expect("it was written");
    for line in
        ["command = \"/bin/sleep ${NOT_SET_HERE}\"  # serves", "# the database\n[program.db]", "restart = \"always\""]
    {
        assert!(toml.contains(line), "{line}\n{toml}");
    }
    let about = fs::metadata(place.path().join("muster.toml")).expect("it was written");
    assert_eq!(about.permissions().mode() & 0o027, 0, "it is readable for more users than the original");
    let report = text(&done.stderr);
    assert!(report.contains("check s.conf:1 variables that are not set here: NOT_SET_HERE"), "{report}");
    let checked = Command::new(executables::musterd())
        .args(["check", "-c", "muster.toml"])
        .env("NOT_SET_HERE", "5")
        .current_dir(place.path())
        .output()
        .expect("musterd can be executed");
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[test]
fn an_existing_file_is_only_replaced_with_force() {
    let place = place();
    write(place.path(), "Procfile", "web: true\n");
    write(place.path(), "muster.toml", "mine");
    let refused = musterd(place.path(), &["convert", "Procfile", "-o", "muster.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("muster.toml: exists\nhint: --force"), "{}", text(&refused.stderr));
    assert_eq!(fs::read_to_string(place.path().join("muster.toml")).expect("it is there"), "mine");
    let forced = musterd(place.path(), &["convert", "Procfile", "-o", "muster.toml", "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", text(&forced.stderr));
    assert!(fs::read_to_string(place.path().join("muster.toml")).expect("it is there").contains("[program.web]"));
}

#[test]
fn losses_decide_the_exit_code_and_the_report_is_data() {
    let place = place();
    write(place.path(), "a.ini", "[program:a]\ncommand=x\n[inet_http_server]\nport=*:9001\n");
    let arguments = ["convert", "a.ini", "--strict", "--format", "json", "--report", "report.json"];
    let done = musterd(place.path(), &arguments);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let report = fs::read(place.path().join("report.json")).expect("it was written");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
    let lines = report["lines"].as_array().expect("it is a list");
    let lost = lines.iter().find(|line| line["verdict"] == "lost").expect("something is lost");
    assert_eq!((lost["file"].as_str(), lost["line"].as_u64()), (Some("a.ini"), Some(3)), "{report:#}");
    assert_eq!(report["programs"], 1);
}

#[test]
fn mistakes_have_their_places_and_nothing_is_written() {
    let place = place();
    write(place.path(), "one.conf", "[program:a]\ncommand=x\n");
    write(place.path(), "two.conf", "[program:b]\ncommand=x\nstartsecs=soon\npriority=high\n");
    write(place.path(), "notes.txt", "hello\n");
    let refused = musterd(place.path(), &["convert", "one.conf", "two.conf", "-o", "x.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = text(&refused.stderr);
    assert!(error.contains("two.conf:3: ") && error.contains("two.conf:4: "), "{error}");
    assert!(!place.path().join("x.toml").exists());
    for (arguments, expected) in [
        (&["convert", "notes.txt"][..], "notes.txt: not a known configuration\nhint: --from"),
        (&["convert", "nothing"][..], "nothing: No such file"),
    ] {
        let refused = musterd(place.path(), arguments);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_check_names_what_is_to_be_converted() {
    let place = place();
    write(place.path(), "Procfile.dev", "web: true\n");
    write(place.path(), "rootfs/etc/s6-overlay/s6-rc.d/web/type", "longrun\n");
    write(place.path(), "rootfs/etc/s6-overlay/s6-rc.d/web/run", "#!/bin/sh\nexec web\n");
    write(place.path(), "old/etc/cont-init.d/10-web", "#!/bin/sh\n");
    write(place.path(), "plain/web/run", "#!/bin/sh\nexec web\n");
    write(place.path(), "conf.d/web.conf", "[program:web]\ncommand=web\n");
    write(place.path(), "supervisord", "; mine\n[program:web]\ncommand=web\n");
    for (path, kind) in [
        ("Procfile.dev", "a Procfile"),
        ("rootfs", "a directory of s6-overlay services"),
        ("rootfs/etc/s6-overlay/s6-rc.d", "a directory of s6-overlay services"),
        ("old", "a directory of s6-overlay services"),
        ("plain", "a directory of s6-overlay services"),
        ("conf.d", "a supervisord configuration"),
        ("supervisord", "a supervisord configuration"),
    ] {
        let refused = musterd(place.path(), &["check", "-c", path]);
        assert_eq!(refused.status.code(), Some(2));
        let expected = format!("{path}: is {kind}, not TOML\nhint: musterd convert {path} ");
        assert!(text(&refused.stderr).contains(&expected), "{}", text(&refused.stderr));
        let done = musterd(place.path(), &["convert", path]);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        assert!(text(&done.stdout).contains("web]"), "{}", text(&done.stdout));
    }
}

#[test]
fn a_formation_is_for_a_procfile() {
    let place = place();
    write(place.path(), "Procfile", "web: true\nworker: true\n");
    let done = musterd(place.path(), &["convert", "Procfile", "--formation", "all=1,worker=2"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("numprocs = 2"), "{}", text(&done.stdout));
    write(place.path(), "a.conf", "[program:a]\ncommand=x\n");
    for (arguments, expected) in [
        (&["convert", "a.conf", "-m", "a=2"][..], "--formation is for a Procfile, not for a supervisord configuration"),
        (&["convert", "Procfile", "-m", "gone=2"], "Procfile: has no process \"gone\", which the formation names"),
        (&["convert", "Procfile", "-m", "web=many"], "the number must be 0 to 1000"),
    ] {
        let refused = musterd(place.path(), arguments);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
}

#[test]
fn variables_of_the_overlay_are_those_of_the_environment() {
    let place = place();
    write(place.path(), "rootfs/etc/services.d/web/run", "#!/bin/sh\nexec web\n");
    let done = Command::new(executables::musterd())
        .args(["convert", "rootfs"])
        .envs([("S6_KEEP_ENV", "1"), ("S6_SERVICES_GRACETIME", "20000")])
        .current_dir(place.path())
        .output()
        .expect("musterd can be executed");
    let toml = text(&done.stdout);
    assert!(toml.contains("shutdown_timeout = 23\n") && !toml.contains("clean_environment"), "{toml}");
}
