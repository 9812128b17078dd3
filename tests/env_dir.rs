//! `env_dir`: the program has exactly the variables of the files, and a directory that others can change is refused.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Setting, is_root, skip, wait_until};
use nix::unistd::{Gid, Uid, chown};

#[test]
fn the_program_has_the_variables_and_a_reload_reads_them_again() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path();
    for (name, value) in [("COLOUR", "blue\n"), ("INHERITED", ""), ("HOME", "")] {
        fs::write(path.join(name), value).expect("it is ours");
    }
    let programs = format!(
        "[program.web]\ncommand = [\"sh\", \"-c\", \"env | grep -E '^(COLOUR|INHERITED|HOME|KEPT)='; echo end; exec sleep 1000\"]\nstartsecs = 0\nenv_dir = \"{}\"\n",
        path.display()
    );
    let daemon = Setting::supervising(&*programs).env("INHERITED", "yes").env("KEPT", "yes").start();
    let pid = daemon.wait_for_running("web");
    let printed = || daemon.ctl_well(&["logs", "web"]);
    wait_until("it has printed", || printed().contains("end"));
    let has = |text: &str, line: &str| text.lines().any(|it| it.ends_with(line));
    let text = printed();
    assert!(has(&text, "COLOUR=blue") && has(&text, "KEPT=yes"), "{text}");
    assert!(!text.contains("INHERITED=") && !text.contains("HOME="), "{text}");
    let shown = daemon.client.request("GET", "/v1/config", "").body;
    assert!(shown.contains("\"COLOUR\":\"***\"") && shown.contains("\"INHERITED\":null"), "{shown}");
    assert!(!shown.contains("blue"), "{shown}");

    // A reload without a change keeps the process, and one of a file makes a new one.
    daemon.ctl_well(&["update"]);
    assert_eq!(daemon.wait_for_running("web"), pid);
    fs::write(path.join("COLOUR"), "green\n").expect("it is ours");
    daemon.ctl_well(&["update"]);
    assert_ne!(daemon.wait_for_running("web"), pid);
    wait_until("it has printed the new one", || has(&printed(), "COLOUR=green"));
}

#[test]
fn a_directory_that_another_user_can_change_is_refused() {
    if !is_root() {
        return skip("only root can make a directory of another user");
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let (secret, directory) = (place.path().join("secret"), place.path().join("env"));
    fs::write(&secret, "swordfish").expect("it is ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::create_dir(&directory).expect("it is ours");
    chown(&directory, Some(Uid::from_raw(4242)), Some(Gid::from_raw(4242))).expect("we are root");
    let main = place.path().join("main.toml");
    let refused = |user: &str| {
        let text = format!("[program.web]\ncommand = \"true\"\nenv_dir = \"{}\"\n{user}", directory.display());
        fs::write(&main, text).expect("it is ours");
        let checked = harness::ended(std::process::Command::new(harness::musterd()).arg("check").arg("-c").arg(&main));
        assert_eq!(checked.code, Some(2), "{}{}", checked.out, checked.err);
        let said = checked.out + &checked.err;
        assert!(!said.contains("swordfish"), "{said}");
        said
    };

    // The user could rename a file of root's to LD_PRELOAD.
    fs::write(directory.join("COLOUR"), "blue").expect("we are root");
    let said = refused("");
    assert!(said.contains("4242") && !said.contains("COLOUR"), "{said}");
    fs::remove_file(directory.join("COLOUR")).expect("we are root");

    // A link of the user's to a file that only root may read, also for a program of that user.
    std::os::unix::fs::symlink(&secret, directory.join("STOLEN")).expect("we are root");
    assert!(!refused("").contains("STOLEN"));
    let said = refused("user = \"4242:4242\"\n");
    assert!(said.contains("STOLEN"), "{said}");

    // In its place a link to a directory whose names only root may see.
    let hidden = place.path().join("hidden");
    fs::create_dir(&hidden).expect("it is ours");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).expect("it is ours");
    fs::write(hidden.join("customer-42.key"), "").expect("it is ours");
    let home = place.path().join("home");
    fs::create_dir(&home).expect("it is ours");
    chown(&home, Some(Uid::from_raw(4242)), Some(Gid::from_raw(4242))).expect("we are root");
    std::os::unix::fs::symlink(&hidden, home.join("env")).expect("we are root");
    let text = format!(
        "[program.web]\ncommand = \"true\"\nuser = \"4242:4242\"\nenv_dir = \"{}\"\n",
        home.join("env").display()
    );
    fs::write(&main, text).expect("it is ours");
    let checked = harness::ended(std::process::Command::new(harness::musterd()).arg("check").arg("-c").arg(&main));
    let said = checked.out + &checked.err;
    assert_eq!(checked.code, Some(2), "{said}");
    assert!(said.contains("symbolic link") && !said.contains("customer"), "{said}");
}
