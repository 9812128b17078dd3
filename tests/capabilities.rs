//! Fewer privileges than root: what still works, and that each limitation is reported once, at start and by `musterd
//! doctor`.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::{Daemon, End, Listener, Setting, ended, is_root, skip, wait_until};

/// Root as `docker run --cap-drop ALL` leaves it.
const POWERLESS: [&str; 4] = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
/// Root that may switch users, but has no power over their processes afterwards.
const WITHOUT_KILL: [&str; 4] = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill", "--"];

/// The line of `musterd doctor` about one topic.
fn doctor(wrapper: &[&str], what: &str) -> String {
    let mut command = Command::new(wrapper[0]);
    let out = ended(command.args(&wrapper[1..]).args([harness::musterd(), "doctor"])).out;
    let line = out.lines().find(|line| line.get(5..).is_some_and(|rest| rest.starts_with(what)));
    line.unwrap_or_else(|| panic!("no line about {what}:\n{out}")).to_owned()
}

fn count(daemon: &Daemon, words: &str) -> usize {
    daemon.settled_log().iter().filter(|line| line.message.contains(words)).count()
}

#[test]
fn root_without_capabilities_runs_programs_as_root_and_reports_its_limits() {
    if !is_root() {
        return skip("only root can give up capabilities");
    }
    let told = doctor(&POWERLESS, "user");
    assert!(told.starts_with("note") && told.contains("root without CAP_SETUID and CAP_SETGID"), "{told}");
    assert!(told.ends_with("docker run --cap-add SETUID --cap-add SETGID --cap-add KILL"), "{told}");
    let root = "[program.root]\ncommand = \"sleep 1000\"\nstartsecs = 0\nuser = \"root\"\n\
                [program.numbers]\ncommand = \"sleep 1000\"\nstartsecs = 0\nuser = \"0:0\"\n";
    for groups in ["--clear-groups", "--groups=0", "--groups=4711,4712"] {
        let mut wrapper = POWERLESS.to_vec();
        wrapper.insert(1, groups);
        let mut daemon = Setting::supervising(root).wrapped(&wrapper).start();
        daemon.wait_for_running("root");
        let pid = daemon.wait_for_running("numbers");
        let own = harness::find(daemon.pid()).and_then(|daemon| daemon.status("Groups"));
        assert_eq!(harness::find(pid).and_then(|program| program.status("Groups")), own, "{groups}");
        assert_eq!(count(&daemon, "CAP_"), 0, "{}", daemon.story());
        daemon.finish();
    }
    let other = format!("{root}[program.other]\ncommand = \"sleep 1000\"\nuser = \"65534\"\nrestart = \"no\"\n");
    let mut daemon = Setting::supervising(other).wrapped(&POWERLESS).start();
    daemon.wait_for_running("root");
    wait_until("the other program fails", || daemon.state("other") != "STARTING");
    assert_eq!(
        count(&daemon, "without CAP_SETUID and CAP_SETGID programs cannot run as another user, as \"other\""),
        1
    );
    daemon.finish();
}

#[test]
fn a_missing_kill_capability_is_reported_at_start_and_not_repeatedly() {
    if !is_root() {
        return skip("only root can give up capabilities");
    }
    let told = doctor(&WITHOUT_KILL, "user");
    assert!(told.starts_with("note") && told.contains("root without CAP_KILL"), "{told}");
    assert!(doctor(&["env"], "user").ends_with("root: programs may have users of their own"));
    let own = "[program.own]\ncommand = \"sleep 1000\"\nuser = \"root\"\n";
    let mut daemon = Setting::supervising(own).wrapped(&WITHOUT_KILL).start();
    assert_eq!(count(&daemon, "CAP_KILL"), 0, "no program needs it: {}", daemon.story());
    daemon.finish();
    let other = "[program.other]\ncommand = \"sleep 1000\"\nuser = \"65534\"\nstartsecs = 0\nstopwaitsecs = 0\n";
    let daemon = Setting::supervising(other).wrapped(&WITHOUT_KILL).start();
    daemon.wait_for_running("other");
    assert_eq!(count(&daemon, "without CAP_KILL programs of other users cannot be stopped, such as \"other\""), 1);
    let mut listener = Listener::of(&daemon, None);
    daemon.ctl(&["stop", "--no-wait", "other"]);
    // It is retried each second, and published after the first, second and fourth attempt.
    let attempts = listener.until(|event| event["kind"] == "stuck" && event["stopping"].as_f64() >= Some(3.9));
    let attempts: Vec<f64> = attempts
        .iter()
        .filter(|event| event["kind"] == "stuck")
        .filter_map(|event| event["stopping"].as_f64())
        .collect();
    assert_eq!(attempts.len(), 3, "{attempts:?}");
    let no_permission = "no permission to signal a process: it belongs to another user, and musterd lacks CAP_KILL";
    let said = daemon.has_said(no_permission);
    assert_eq!(said.len(), 1, "{}", daemon.story());
    let fields = ["program", "process", "user"].map(|name| said[0].field(name).unwrap_or_default());
    assert_eq!(fields, ["other", "\"sleep\"", "65534"]);
    assert_eq!(count(&daemon, "SIGKILL"), 0, "nothing was killed: {}", daemon.story());
}

/// A copy of setpriv(1) with root's set-user-id bit; `None` where the file system or the process ignores that bit.
fn setpriv_of_root(directory: &Path) -> Option<String> {
    let copy = directory.join("setpriv");
    let found = ended(Command::new("sh").args(["-c", "command -v setpriv"])).out;
    fs::copy(found.trim(), &copy).expect("setpriv of util-linux is there");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).expect("the test owns it");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("the test owns it");
    let copy = copy.to_string_lossy().into_owned();
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", "--reuid", "65534", "--", &copy, "--reuid", "0", "true"]);
    (ended(&mut command).code == Some(0)).then_some(copy)
}

/// An unprivileged daemon used to report twice a second that it could not kill a process that had become root's, and in
/// the end both that everything had stopped and that this process could not be stopped.
#[test]
fn a_program_that_became_root_below_a_user_is_reported_once_and_the_final_message_is_correct() {
    if !is_root() {
        return skip("only root can make a set-user-id program");
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let Some(setpriv) = setpriv_of_root(directory.path()) else {
        return skip("set-user-id bits have no effect here");
    };
    let raised = format!("{setpriv} --reuid 0 --clear-groups sleep 1000");
    let programs = format!(
        "[program.raised]\ncommand = \"{raised}\"\nstartsecs = 0\nstopwaitsecs = \"100ms\"\n\
         [program.leaves]\ncommand = [\"sh\", \"-c\", \"{raised} & sleep 1000\"]\nstartsecs = 0\nstopwaitsecs = \"100ms\"\n\
         [program.plain]\ncommand = \"sleep 1000\"\nstartsecs = 0\n"
    );
    let limits = "shutdown_timeout = \"2500ms\"";
    let mut daemon = Setting::supervising(programs).musterd(limits).owned_by(65534).start();
    let is_root = |process: &harness::Process| process.status("Uid").is_some_and(|uids| uids.starts_with('0'));
    let is_raised = |process: &harness::Process| process.comm == "sleep" && is_root(process);
    wait_until("both are root's", || daemon.processes().iter().filter(|process| is_raised(process)).count() == 2);
    daemon.terminate();
    assert_eq!(daemon.wait(), End::Code(0), "{}", daemon.story());
    let no_permission = "no permission to signal a process: it belongs to another user, and musterd lacks CAP_KILL";
    let said = daemon.log.saying(no_permission);
    let programs: BTreeSet<String> = said.iter().filter_map(|line| line.field("program")).collect();
    assert_eq!((said.len(), programs), (2, ["leaves", "raised"].map(str::to_owned).into()), "{}", daemon.story());
    for line in &said {
        let fields = ["process", "user"].map(|name| line.field(name).unwrap_or_default());
        assert_eq!(fields, ["\"sleep\"", "0"], "{}", daemon.story());
    }
    let last = daemon.log.saying("could not be stopped: no permission to signal all of their processes");
    assert_eq!(last.len(), 1, "{}", daemon.story());
    let programs = last[0].field("programs").unwrap_or_default();
    assert_eq!(programs.split(',').collect::<BTreeSet<_>>(), ["leaves", "raised"].into(), "{}", daemon.story());
    for untrue in ["everything has stopped", "had to be killed", "after SIGKILL", "killed 1 process", "still alive"] {
        assert!(!daemon.log.text().contains(untrue), "{untrue}: {}", daemon.story());
    }
}

#[test]
fn groups_of_the_daemon_are_kept_by_number() {
    if !is_root() {
        return skip("only root can have other groups");
    }
    let wrapper = ["setpriv", "--groups=4711,4712", "--"];
    let told = doctor(&wrapper, "groups");
    assert!(told.contains(" 4711, 4712: ") && told.contains("unless `groups` names them by number"), "{told}");
    assert!(doctor(&["setpriv", "--clear-groups", "--"], "groups").ends_with("none but its own"));
    let programs = "[program.kept]\ncommand = \"sleep 1000\"\nstartsecs = 0\nuser = \"65534\"\ngroups = [\"4711\"]\n\
                    [program.lost]\ncommand = \"sleep 1000\"\nstartsecs = 0\nuser = \"65534\"\n\
                    [program.same]\ncommand = \"sleep 1000\"\nstartsecs = 0\n";
    let mut daemon = Setting::supervising(programs).wrapped(&wrapper).start();
    for (name, groups) in [("kept", "4711"), ("lost", "65534"), ("same", "4711 4712")] {
        let pid = daemon.wait_for_running(name);
        let found = harness::find(pid).and_then(|program| program.status("Groups")).unwrap_or_default();
        assert_eq!(found.trim(), groups, "{name}");
    }
    daemon.finish();
}

#[test]
fn too_few_descriptors_are_reported_at_start() {
    let many = "[program.many]\ncommand = \"sleep 1000\"\nautostart = false\nnumprocs = ";
    let limit = ["prlimit", "--nofile=1024:1024", "--"];
    let mut daemon = Setting::supervising(format!("{many}1000\n")).wrapped(&limit).start();
    let told =
        "the hard limit of 1024 descriptors is enough for 362 programs, but 1000 are configured: raise it to 2300";
    assert_eq!(count(&daemon, told), 1, "{}", daemon.story());
    daemon.finish();
    let mut daemon = Setting::supervising(format!("{many}300\n")).wrapped(&limit).start();
    assert_eq!(count(&daemon, "descriptors"), 0, "{}", daemon.story());
    daemon.finish();
    assert!(doctor(&limit, "descriptors").ends_with("up to 1024: enough for 362 programs"));
}
