//! Orphans: adopted where requested or expected, and always reaped.

use crate::harness::{can_enclose, enclosed, skip, wait_until};
use crate::inits::{Init, Running, is_alive, kill, outcome};
use crate::puppet::with_a_zombie;

/// Creates many orphans, which exit at once, and waits, up to a limit, until none of them is left as a zombie.
const ORPHANS: &str = "n=0; while [ $n -lt 200 ]; do (sh -c ': &' &); n=$((n+1)); done; \
    while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do n=$((n+1)); [ $n -gt 3000 ] && exit 1; done; exit 4";

#[test]
fn as_pid_1_all_orphans_are_reaped() {
    if !can_enclose() {
        return skip("no pid namespace can be made here");
    }
    for init in [Init::Own, Init::Tini, Init::Dumb] {
        let words = init.with(&["--", "sh", "-c", ORPHANS]);
        let outcome = outcome(enclosed(words.get_program()).args(words.get_args()));
        assert_eq!((outcome.end.as_str(), outcome.stderr.as_str()), ("exit 4", ""), "{init:?}");
    }
}

/// The command starts a process that outlives its parent, and prints its pid.
const ORPHAN: &str = "sh -c 'sleep 1000 & echo $!'; sleep 1000";

#[test]
fn a_subreaper_adopts_and_others_do_not() {
    for (init, options, environment, adopts) in [
        (Init::Own, &[][..], None, false),
        (Init::Own, &["-s"], None, true),
        (Init::Own, &["--grace", "1s"], None, true),
        (Init::Own, &[], Some(("TINI_SUBREAPER", "")), true),
        (Init::Tini, &[], None, false),
        (Init::Tini, &["-s"], None, true),
        (Init::Tini, &[], Some(("TINI_SUBREAPER", "")), true),
        (Init::Dumb, &[], None, false),
    ] {
        let running = Running::start(init.with(options).args(["--", "sh", "-c", ORPHAN]).envs(environment));
        let orphan: i32 = running.line("").parse().expect("a pid");
        let parent = || crate::harness::find(orphan).expect("it sleeps").ppid;
        if adopts {
            wait_until(&format!("{init:?} {options:?} adopts"), || parent() == running.pid());
            kill([orphan]);
            wait_until("it is reaped", || !crate::harness::exists(orphan));
        } else {
            wait_until("its parent is gone", || {
                let parent = parent();
                running.below().iter().all(|one| one.pid != parent)
            });
            assert_ne!(parent(), running.pid(), "{init:?} {options:?}");
            kill([orphan]);
        }
    }
}

#[test]
fn children_inherited_from_before_exec_are_reaped() {
    let alone = "[ \"$(cat /proc/$PPID/task/$PPID/children)\" = \"$$ \" ]";
    for init in [Init::Own, Init::Tini, Init::Dumb] {
        let init = init.with(&["--", "sh", "-c", alone]);
        assert_eq!(outcome(&mut with_a_zombie(&init)).end, "exit 0", "{init:?}");
    }
}

#[test]
fn tini_warns_that_it_is_no_reaper() {
    let warning = |options: &[&str]| outcome(Init::Tini.with(options).args(["--", "true"])).stderr;
    assert!(warning(&[]).contains("Zombie processes will not be re-parented to Tini, so zombie reaping won't work."));
    assert_eq!(warning(&["-s"]), "");
    let quiet = outcome(Init::Tini.with(&["--", "true"]).env("TINI_VERBOSITY", "0"));
    assert_eq!(quiet.stderr, "");
    assert_eq!(outcome(&mut Init::Own.with(&["true"])).stderr, "", "run has nothing to warn about");
}

#[test]
fn reaped_orphans_cause_a_warning_if_configured() {
    let script = "orphan=$(sh -c 'sleep 1000 >/dev/null & echo $!'); children=/proc/$PPID/task/$PPID/children; \
                  until grep -qw $orphan $children; do :; done; kill $orphan; while grep -qw $orphan $children; do :; done";
    let command = ["--", "sh", "-c", script];
    let tini = outcome(Init::Tini.with(&["-s", "-w"]).args(command));
    assert!(tini.stderr.starts_with("[WARN  tini ("), "{tini:?}");
    assert!(tini.stderr.contains(")] Reaped zombie process with pid="), "{tini:?}");
    let own = outcome(Init::Own.with(&["-s", "--warn-on-reap"]).args(command));
    assert!(own.stderr.starts_with("musterd run: reaped orphan "), "{own:?}");
    assert_eq!(outcome(Init::Own.with(&["-s"]).args(command)).stderr, "");
}

#[test]
fn only_the_command_is_waited_for() {
    for (init, options) in [(Init::Own, &["-s"][..]), (Init::Tini, &["-s"]), (Init::Dumb, &["-c"])] {
        let mut running = Running::start(init.with(options).args(["--", "sh", "-c", "sleep 1000 & echo $!; exit 6"]));
        let child = running.line("").parse().expect("a pid");
        assert_eq!(running.wait(), "exit 6", "{init:?}");
        assert!(is_alive(child));
        kill([child]);
    }
}
