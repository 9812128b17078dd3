//! The ways in which files change: editors, version control, Kubernetes, new directories, links.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Tree, assert_restarts, looks, setting, wait_for_cause, watching, web};
use crate::harness::{skip, wait_until};

#[test]
fn a_save_by_vim_is_one_restart() {
    let tree = Tree::new();
    let mut daemon = watching(web(&tree, "watch = [\"@/**/*.py\"]"));
    // Whether it may write, a swap file, a backup by renaming, the new text, and no backup.
    tree.write("4913", "");
    fs::remove_file(tree.at("4913")).expect("it is ours");
    tree.write(".api.py.swp", "vim");
    fs::rename(tree.at("api.py"), tree.at("api.py~")).expect("it is ours");
    tree.write("api.py", "2");
    fs::remove_file(tree.at("api.py~")).expect("it is ours");
    fs::remove_file(tree.at(".api.py.swp")).expect("it is ours");
    assert_restarts(&daemon, &tree, &["api.py changed"]);
    daemon.finish();
}

#[test]
fn a_save_by_emacs_is_one_restart_and_editing_is_none() {
    let tree = Tree::new();
    let mut daemon = watching(web(&tree, "watch = [\"@\"]"));
    // A lock and an automatic save while editing.
    symlink("user@host.1:2", tree.at(".#api.py")).expect("it is ours");
    tree.write("#api.py#", "2");
    assert_restarts(&daemon, &tree, &[]);
    fs::copy(tree.at("api.py"), tree.at("api.py~")).expect("it is ours");
    tree.write("api.py", "2");
    fs::remove_file(tree.at("#api.py#")).expect("it is ours");
    fs::remove_file(tree.at(".#api.py")).expect("it is ours");
    let causes = wait_for_cause(&daemon, "web", "api.py changed");
    assert_eq!(causes, ["other.py changed", "api.py changed"]);
    daemon.finish();
}

#[test]
fn a_file_that_is_renamed_over_or_linked_counts() {
    let tree = Tree::new();
    let mut daemon = watching(web(&tree, "watch = [\"@/*.py\"]"));
    tree.write("api.py.tmp", "2");
    fs::rename(tree.at("api.py.tmp"), tree.at("api.py")).expect("it is ours");
    wait_for_cause(&daemon, "web", "api.py changed");
    daemon.wait_for_running("web");
    fs::hard_link(tree.at("api.py.tmp.2"), tree.at("new.py")).unwrap_err();
    tree.write("second", "3");
    fs::hard_link(tree.at("second"), tree.at("new.py")).expect("it is ours");
    assert_restarts(&daemon, &tree, &["api.py changed", "a watched file changed"]);
    daemon.finish();
}

#[test]
fn a_file_counts_when_it_is_written_and_not_while_it_is() {
    let tree = Tree::new();
    let mut daemon = watching(web(&tree, "watch = [\"@/*.py\"]"));
    let mut file = fs::File::create(tree.at("new.py")).expect("it is ours");
    file.write_all(b"half").expect("it is open");
    assert_restarts(&daemon, &tree, &[]);
    daemon.wait_for_running("web");
    file.write_all(b" and half").expect("it is open");
    drop(file);
    let causes = wait_for_cause(&daemon, "web", "new.py changed");
    assert_eq!(causes, ["other.py changed", "new.py changed"]);
    daemon.finish();
}

#[test]
fn files_in_new_directories_count_and_those_of_removed_ones() {
    let tree = Tree::new();
    let mut daemon = watching(web(&tree, "watch = [\"@/**/*.py\"]"));
    fs::create_dir_all(tree.at("a/b/c")).expect("it is ours");
    tree.write("a/b/c/deep.py", "1");
    wait_until("the new directories have their effect", || !super::causes(&daemon, "web").is_empty());
    daemon.wait_for_running("web");
    tree.write("a/b/c/deep.py", "2");
    wait_for_cause(&daemon, "web", "a/b/c/deep.py changed");
    daemon.wait_for_running("web");
    let before = super::causes(&daemon, "web").len();
    fs::remove_dir_all(tree.at("a")).expect("it is ours");
    wait_until("the removed file has its effect", || super::causes(&daemon, "web").len() == before + 1);
    daemon.wait_for_running("web");
    // A directory without such files is none.
    fs::create_dir(tree.at("empty")).expect("it is ours");
    tree.write("empty/notes.txt", "1");
    tree.write("other.py", "2");
    let causes = wait_for_cause(&daemon, "web", "other.py changed");
    assert_eq!(causes.len(), before + 2, "{causes:?}");
    daemon.finish();
}

#[test]
fn a_tree_that_appears_later_or_is_replaced_is_watched() {
    let tree = Tree::new();
    let mut daemon = watching(web(&tree, "watch = [\"@/later/src/*.py\", \"@/other.py\"]"));
    let (next, later) = (tree.at("next"), tree.at("later"));
    fs::create_dir_all(next.join("src")).expect("it is ours");
    fs::write(next.join("src/x.py"), "1").expect("it is ours");
    fs::rename(&next, &later).expect("it is ours");
    wait_until("it has its effect", || super::causes(&daemon, "web").len() == 1);
    daemon.wait_for_running("web");
    // Another directory in its place.
    fs::create_dir_all(next.join("src")).expect("it is ours");
    fs::write(next.join("src/x.py"), "2").expect("it is ours");
    fs::rename(&later, tree.at("old")).expect("it is ours");
    fs::rename(&next, &later).expect("it is ours");
    wait_until("it has its effect", || super::causes(&daemon, "web").len() == 2);
    daemon.wait_for_running("web");
    fs::write(later.join("src/x.py"), "3").expect("it is ours");
    wait_for_cause(&daemon, "web", "x.py changed");
    daemon.finish();
}

#[test]
fn a_swap_of_kubernetes_is_one_restart() {
    let tree = Tree::new();
    let volume = tree.at("volume");
    let put = |stamp: &str, text: &str| {
        let of = volume.join(stamp);
        fs::create_dir_all(&of).expect("it is ours");
        fs::write(of.join("app.yaml"), text).expect("it is ours");
        symlink(stamp, volume.join("..data_tmp")).expect("it is ours");
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("it is ours");
    };
    put("..2026_1", "1");
    symlink("..data/app.yaml", volume.join("app.yaml")).expect("it is ours");
    let mut daemon = watching(web(&tree, "watch = [\"@/volume/*.yaml\", \"@/other.py\"]"));
    for (stamp, old, count) in [("..2026_2", "..2026_1", 1), ("..2026_3", "..2026_2", 2)] {
        put(stamp, stamp);
        fs::remove_dir_all(volume.join(old)).expect("it is ours");
        wait_until("it is restarted", || super::causes(&daemon, "web").len() == count);
        daemon.wait_for_running("web");
    }
    tree.write("other.py", "2");
    let causes = wait_for_cause(&daemon, "web", "other.py changed");
    assert_eq!(causes, ["app.yaml changed", "app.yaml changed", "other.py changed"]);
    daemon.finish();
}

#[test]
fn a_checkout_of_five_thousand_files_is_one_restart() {
    let git = |tree: &Tree, words: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"];
        let done = Command::new("git").arg("-C").arg(tree.path()).args(identity).args(words).output();
        done.is_ok_and(|done| done.status.success())
    };
    let tree = Tree::new();
    if !git(&tree, &["init", "-q", "-b", "one"]) {
        return skip("git is not there");
    }
    let fill = |text: &str| {
        for number in 0..5000 {
            let directory = tree.at(&format!("d{}/e{}", number % 20, number % 7));
            fs::create_dir_all(&directory).expect("it is ours");
            fs::write(directory.join(format!("f{number}.py")), text).expect("it is ours");
        }
    };
    for branch in ["one", "two"] {
        fill(branch);
        assert!(git(&tree, &["add", "."]) && git(&tree, &["commit", "-q", "-m", branch]));
        assert!(branch == "two" || git(&tree, &["checkout", "-q", "-b", "two"]));
    }
    // Long enough for a checkout that waits for the disk.
    let mut daemon = watching(web(&tree, "watch = { paths = [\"@/**/*.py\"], debounce = \"2s\" }"));
    let began = Instant::now();
    assert!(git(&tree, &["checkout", "-q", "one"]));
    println!("the checkout took {:?}", began.elapsed());
    wait_until("it is restarted", || super::causes(&daemon, "web").len() == 1);
    daemon.wait_for_running("web");
    let first = super::causes(&daemon, "web")[0].clone();
    assert!(first.ends_with("changed"), "{first}");
    assert_restarts(&daemon, &tree, &[&first]);
    daemon.finish();
}

#[test]
fn nothing_wakes_the_daemon_while_no_file_changes() {
    let tree = Tree::new();
    (0..100).for_each(|number| fs::create_dir(tree.at(&format!("d{number}"))).expect("it is ours"));
    let programs: String = (0..100)
        .map(|number| web(&tree, "watch = [\"@/**/*.py\"]").replace("web]", &format!("web{number}]")))
        .collect();
    let mut daemon = setting(programs).start();
    wait_until("the files are watched", || looks(&daemon) >= 100);
    tree.write("d7/new.py", "1");
    daemon.log.wait_for_many(1, "web99", "watched files have changed");
    daemon.wait_for_state("web99", "RUNNING");
    daemon.assert_no_wake_up_for(Duration::from_secs(2));
    daemon.finish();
}
