//! Capabilities, `no_new_privileges` and `securebits`: a program has exactly what its keys say, in each of the daemon's own
//! situations, and each refusal has its reason.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use harness::{Daemon, Setting, ended, is_root, skip, wait_until};

/// The capability sets of a process, as the kernel shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sets {
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
    bounding: u64,
}

impl Sets {
    fn of(pid: i32) -> Sets {
        let process = harness::find(pid).expect("it runs");
        let read = |name: &str| {
            let field = process.status(name).unwrap_or_else(|| panic!("{name} of {pid}"));
            u64::from_str_radix(field.trim(), 16).expect("hexadecimal")
        };
        let [effective, permitted, inheritable, ambient, bounding] =
            ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"].map(read);
        Sets { effective, permitted, inheritable, ambient, bounding }
    }
}

/// CAP_CHOWN and CAP_NET_BIND_SERVICE.
const TWO: u64 = 1 | 1 << 10;

/// The values of a key, with what they mean.
const CAPABILITIES: [(&str, Option<u64>); 3] = [
    ("", None),
    ("capabilities = []\n", Some(0)),
    ("capabilities = [\"CAP_CHOWN\", \"net_bind_service\"]\n", Some(TWO)),
];
const NO_NEW: [(&str, bool); 2] = [("", false), ("no_new_privileges = true\n", true)];
const SECUREBITS: [(&str, &str); 2] = [
    ("", "[none]"),
    ("securebits = [\"noroot-locked\", \"no-setuid-fixup\"]\n", "noroot,noroot_locked,no_setuid_fixup"),
];

#[test]
fn each_combination_has_exactly_its_rights() {
    if !is_root() {
        return skip("only root can give capabilities");
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let mut expected = Vec::new();
    let mut programs = String::new();
    for user in ["0", "1000"] {
        for (capabilities, kept) in CAPABILITIES {
            for (no_new, is_barred) in NO_NEW {
                for (securebits, flags) in SECUREBITS {
                    let name = format!("p{}", expected.len());
                    let told = place.path().join(&name);
                    programs += &format!(
                        "[program.{name}]\ncommand = [\"sh\", \"-c\", \"setpriv --dump > {}; exec sleep 1000\"]\n\
                         startsecs = 0\nuser = \"{user}:{user}\"\n{capabilities}{no_new}{securebits}",
                        told.display()
                    );
                    expected.push((name, user, kept, is_barred, flags));
                }
            }
        }
    }
    assert_eq!(expected.len(), 24);
    let mut daemon = Setting::supervising(programs).start();
    let own = Sets::of(daemon.pid());
    for (name, user, kept, is_barred, flags) in expected {
        let pid = daemon.wait_for_running(&name);
        wait_until("sleep is executed", || harness::find(pid).is_some_and(|it| it.command.contains("sleep")));
        // Root gets what the bounding set has, unless `noroot` makes it as any other user.
        let is_as_root = user == "0" && flags == "[none]";
        let set = match kept {
            None => {
                let held = if is_as_root { own.bounding } else { 0 };
                Sets { effective: held, permitted: held, inheritable: 0, ambient: 0, bounding: own.bounding }
            }
            Some(kept) => {
                let ambient = if is_as_root { 0 } else { kept };
                Sets { effective: kept, permitted: kept, inheritable: kept, ambient, bounding: kept }
            }
        };
        assert_eq!(Sets::of(pid), set, "{name}: user {user}, {kept:?}, {is_barred}, {flags}");
        let barred = harness::find(pid).and_then(|it| it.status("NoNewPrivs"));
        assert_eq!(barred.as_deref().map(str::trim), Some(if is_barred { "1" } else { "0" }), "{name}");
        let dump = fs::read_to_string(place.path().join(&name)).expect("it has written");
        assert!(dump.contains(&format!("Securebits: {flags}\n")), "{name}: {dump}");
    }
    daemon.finish();
}

#[test]
fn a_setuid_program_gains_nothing_beyond_them() {
    if !is_root() {
        return skip("only root can make a setuid program");
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let reader = place.path().join("reader");
    fs::copy("/bin/cat", &reader).expect("it can be copied");
    fs::set_permissions(&reader, fs::Permissions::from_mode(0o4755)).expect("it is ours");
    let program = |name: &str, keys: &str| {
        let (reader, told) = (reader.display(), place.path().join(name));
        let script = format!("{reader} /proc/self/status > {0}.new && mv {0}.new {0}; exec sleep 1000", told.display());
        format!(
            "[program.{name}]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nstartsecs = 0\nuser = \"1000:1000\"\n{keys}"
        )
    };
    let programs = [
        program("free", ""),
        program("bounded", "capabilities = [\"net_bind_service\"]\n"),
        program("barred", "no_new_privileges = true\n"),
    ];
    let mut daemon = Setting::supervising(programs.concat()).start();
    let status = |name: &str| {
        let path = place.path().join(name);
        wait_until(name, || path.exists());
        let text = fs::read_to_string(path).expect("it is complete");
        let field = |field: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("it is there");
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        (field("Uid:")[1].clone(), u64::from_str_radix(&field("CapEff:")[0], 16).expect("hexadecimal"))
    };
    assert_eq!(status("free"), ("0".to_owned(), Sets::of(daemon.pid()).bounding), "else this test shows nothing");
    assert_eq!(status("bounded"), ("0".to_owned(), 1 << 10));
    assert_eq!(status("barred"), ("1000".to_owned(), 0));
    daemon.finish();
}

/// Waits until the program is given up, and checks that the log has the reason.
fn assert_refused(daemon: &Daemon, name: &str, reason: &str) {
    wait_until("it is given up", || daemon.state(name) == "FATAL");
    daemon.log.wait_for_program(name, &format!("cannot spawn: {reason}"));
}

const REFUSED: [(&str, &str); 3] = [
    ("chown", "capabilities = [\"chown\"]\n"),
    ("none", "capabilities = []\n"),
    ("flags", "securebits = [\"noroot\"]\n"),
];

fn programs(all: &[(&str, &str)]) -> String {
    let program = |(name, keys): &(&str, &str)| {
        format!("[program.{name}]\ncommand = \"sleep 1000\"\nstartsecs = 0\nstartretries = 0\n{keys}")
    };
    all.iter().map(program).collect()
}

#[test]
fn privileges_that_are_not_ours_to_give_are_named() {
    if !is_root() {
        return skip("only root can give up capabilities");
    }
    let both = "capabilities = []\nno_new_privileges = true\n";
    let text = programs(&[&REFUSED[..], &[("both", both)]].concat());

    // Root without any: there is nothing to limit.
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
    let mut daemon = Setting::supervising(text.clone()).wrapped(&powerless).start();
    assert_refused(&daemon, "chown", "capabilities: the daemon does not have CAP_CHOWN; it has none");
    let flags = "securebits noroot: needs CAP_SETPCAP, which the daemon does not have, or they are locked";
    assert_refused(&daemon, "flags", flags);
    assert_eq!(Sets::of(daemon.wait_for_running("none")).bounding, 0);
    daemon.wait_for_running("both");
    daemon.finish();

    // A user: files could still give capabilities, and keeping them from it is not a user's to do.
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let mut daemon = Setting::supervising(text).owned_by(65534).wrapped(&user).start();
    assert_refused(&daemon, "chown", "capabilities: the daemon does not have CAP_CHOWN; it has none");
    let none = "capabilities: keeping setuid programs from giving others needs CAP_SETPCAP, which the daemon does not \
                have; no_new_privileges = true needs none";
    assert_refused(&daemon, "none", none);
    assert_refused(&daemon, "flags", flags);
    let pid = daemon.wait_for_running("both");
    assert_eq!(Sets::of(pid).permitted, 0);
    assert_eq!(harness::find(pid).and_then(|it| it.status("NoNewPrivs")).as_deref().map(str::trim), Some("1"));
    daemon.finish();
}

#[test]
fn a_user_namespace_is_enough() {
    let namespace = ["unshare", "--user", "--map-root-user"];
    if ended(Command::new(namespace[0]).args(&namespace[1..]).arg("true")).code != Some(0) {
        return skip("user namespaces are not allowed");
    }
    let text = programs(&[("web", "capabilities = [\"net_bind_service\"]\n")]);
    let mut daemon = Setting::supervising(text).wrapped(&namespace).start();
    let kept = 1 << 10;
    let sets = Sets { effective: kept, permitted: kept, inheritable: kept, ambient: 0, bounding: kept };
    assert_eq!(Sets::of(daemon.wait_for_running("web")), sets);
    daemon.finish();
}
