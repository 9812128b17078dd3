//! Trees whose owner means harm: links out of them, names, floods, size.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Tree, causes, looks, setting, wait_for_cause, watching, web};
use crate::harness::{is_root, skip, wait_until};

const USER: u32 = 4_242;

#[test]
fn a_tree_tells_nothing_of_what_its_user_may_not_read() {
    if !is_root() {
        return skip("only root can make files of another user");
    }
    let tree = Tree::new();
    fs::set_permissions(tree.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let (app, roots) = (tree.at("app"), tree.at("roots"));
    for (directory, mode) in [(&app, 0o755), (&roots, 0o700)] {
        fs::create_dir(directory).expect("it is ours");
        fs::set_permissions(directory, Permissions::from_mode(mode)).expect("it is ours");
    }
    chown(&app, Some(USER), Some(USER)).expect("we are root");
    fs::write(roots.join("secret.py"), "1").expect("it is ours");
    // Links of the user's to a file and a directory that only root may read, and to themselves.
    symlink(roots.join("secret.py"), app.join("stolen.py")).expect("it is ours");
    symlink(&roots, app.join("roots")).expect("it is ours");
    symlink(&app, app.join("loop")).expect("it is ours");
    symlink("self.py", app.join("self.py")).expect("it is ours");
    for name in ["stolen.py", "roots", "loop", "self.py"] {
        std::os::unix::fs::lchown(app.join(name), Some(USER), Some(USER)).expect("we are root");
    }
    let watch = "watch = [\"@/app/**\", \"@/app/roots\", \"@/roots/**\", \"@/other.py\"]";
    let daemon = watching(web(&tree, &format!("user = \"{USER}:{USER}\"\n{watch}")));
    // The log names the directory that the user may not read, since the configuration does.
    let line = daemon.log.wait_for("it is said", |line| line.message.contains("cannot look at"));
    assert!(line.message.contains("roots") && line.message.contains("permission denied"), "{line:?}");
    fs::write(roots.join("secret.py"), "2").expect("it is ours");
    fs::write(roots.join("new.py"), "2").expect("it is ours");
    fs::write(tree.at("other.py"), "2").expect("it is ours");
    assert_eq!(wait_for_cause(&daemon, "web", "other.py changed"), ["other.py changed"]);
}

#[test]
fn a_name_with_control_characters_reaches_no_terminal() {
    let tree = Tree::new();
    let daemon = watching(web(&tree, "watch = [\"@\"]"));
    tree.write("\u{1b}]0;owned\u{7}\nweb is fine.py", "1");
    wait_until("it is restarted", || !causes(&daemon, "web").is_empty());
    let told = daemon.ctl_well(&["why", "web"]) + &daemon.ctl_well(&["status", "web"]);
    assert!(told.contains("owned") && !told.contains(['\u{1b}', '\u{7}']) && !told.contains("\nweb is fine"), "{told}");
    daemon.log.wait_for_program("web", "watched files have changed");
    let log = daemon.log.text();
    assert!(!log.contains(['\u{1b}', '\u{7}']) && !log.contains("\nweb is fine"), "{log}");
}

#[test]
fn a_tree_that_changes_endlessly_blocks_nothing() {
    let tree = Tree::new();
    let programs =
        web(&tree, "watch = { paths = [\"@/**\"], at_most = \"2/m\" }") + "[program.other]\ncommand = \"sleep 1000\"\n";
    let daemon = watching(programs);
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|number| {
            let (is_over, directory) = (Arc::clone(&is_over), tree.at(&format!("d{number}")));
            std::thread::spawn(move || {
                let mut count = 0u64;
                while !is_over.load(Ordering::Relaxed) {
                    count += 1;
                    let at = directory.join((count % 50).to_string());
                    let _ = fs::create_dir_all(&at);
                    let _ = fs::write(at.join("x.py"), count.to_string());
                    let _ = fs::remove_dir_all(&at);
                }
                count
            })
        })
        .collect();
    let began = Instant::now();
    let memory = daemon.memory("VmRSS");
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(5) {
        let asking = Instant::now();
        daemon.program("other");
        slowest = slowest.max(asking.elapsed());
        asked += 1;
    }
    is_over.store(true, Ordering::Relaxed);
    let written: u64 = writers.into_iter().map(|writer| writer.join().expect("it ends")).sum();
    let grown = daemon.memory("VmRSS").saturating_sub(memory);
    println!(
        "{written} trees made and removed, {asked} requests, the slowest took {slowest:?}, {grown} kB more memory"
    );
    assert!(asked > 20 && slowest < Duration::from_secs(2), "{asked} requests, {slowest:?}");
    assert!(grown < 16 * 1024, "{grown} kB");
    assert!(causes(&daemon, "web").len() <= 2);
}

#[test]
fn more_directories_than_the_limit_are_said_and_the_others_are_watched() {
    let tree = Tree::new();
    for number in 0..8_300 {
        fs::create_dir(tree.at(&format!("d{number}"))).expect("it is ours");
    }
    let daemon = watching(web(&tree, "watch = [\"@/**/*.py\"]"));
    daemon.log.wait_for("it is said", |line| line.message.contains("more than 8192 directories"));
    tree.write("api.py", "2");
    wait_for_cause(&daemon, "web", "api.py changed");
}

#[test]
fn a_directory_with_very_many_names_is_bounded() {
    let tree = Tree::new();
    fs::create_dir(tree.at("big")).expect("it is ours");
    // Hard links are quick to make, and count as names.
    let first = tree.at("big/0.py");
    fs::write(&first, "1").expect("it is ours");
    let made =
        (1..300_000).take_while(|number| fs::hard_link(&first, tree.at(&format!("big/{number}.py"))).is_ok()).count();
    if made < 270_000 {
        let files =
            (made..270_000).take_while(|number| fs::write(tree.at(&format!("big/f{number}.py")), "").is_ok()).count();
        if made + files < 262_200 {
            return skip("the file system has no room for so many names");
        }
    }
    let memory = |daemon: &crate::harness::Daemon| daemon.memory("VmHWM");
    let daemon = watching(web(&tree, "watch = [\"@/big/*.py\", \"@/api.py\"]"));
    daemon.log.wait_for("it is said", |line| line.message.contains("more than 262144 names"));
    tree.write("api.py", "2");
    wait_for_cause(&daemon, "web", "api.py changed");
    assert!(memory(&daemon) < 64 * 1024, "{} kB", memory(&daemon));
}

#[test]
fn lost_reports_are_found_by_looking() {
    let tree = Tree::new();
    let daemon = setting(web(&tree, "watch = [\"@/*.py\"]")).start();
    wait_until("the files are watched", || looks(&daemon) > 0);
    daemon.wait_for_running("web");
    // While it is stopped, the kernel's queue overflows with what does not matter, and the last change is lost.
    daemon.signal(19);
    for number in 0..20_000 {
        let name = tree.at(&format!("x{}", number % 2));
        fs::write(&name, "").expect("it is ours");
        fs::remove_file(&name).expect("it is ours");
    }
    tree.write("api.py", "lost");
    daemon.signal(18);
    wait_until("it is restarted", || causes(&daemon, "web") == ["a watched file changed"]);
}

#[test]
fn the_limit_of_the_kernel_is_named_and_the_rest_is_watched() {
    let within = ["unshare", "--user", "--map-root-user"];
    let script = "echo 12 > /proc/sys/user/max_inotify_watches";
    let can = std::process::Command::new(within[0]).args(&within[1..]).args(["sh", "-c", script]).output();
    if !can.is_ok_and(|done| done.status.success()) {
        return skip("a user namespace with a limit of its own cannot be made");
    }
    let tree = Tree::new();
    (0..40).for_each(|number| fs::create_dir(tree.at(&format!("d{number}"))).expect("it is ours"));
    let daemon = setting(web(&tree, "watch = [\"@/**/*.py\"]")).after_shell(script).within(&within).start();
    wait_until("the files are watched", || looks(&daemon) > 0);
    let line = daemon.log.wait_for("it is said", |line| line.message.contains("fs.inotify.max_user_watches"));
    assert!(line.message.contains("is reached"), "{line:?}");
    daemon.wait_for_running("web");
    tree.write("api.py", "2");
    wait_for_cause(&daemon, "web", "api.py changed");
}
