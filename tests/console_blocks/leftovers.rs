//! A row of the README's table: what is left of a program after it was stopped, by musterd and by the original.

use crate::harness::{Supervisord, find, send, wait_for};

/// A program whose child leaves its session, and that is stopped in the most thorough way that supervisord has.
const SECTIONS: &str = "[program:p]\ncommand=sh -c 'setsid sleep 1000 & echo $! > @/child; exec sleep 1000'\n\
                        stopasgroup=true\nkillasgroup=true\nstartsecs=0\n";

#[test]
fn a_child_that_called_setsid_outlives_the_original_only() {
    let Some(both) = Supervisord::both(SECTIONS) else { return };
    let outlives = both.map(|supervisord| {
        let child = wait_for("the child is there", || supervisord.text("child").trim().parse::<i32>().ok());
        // It has left its program's session.
        wait_for("it has its own session", || find(child).filter(|found| found.session == child));
        let stopped = supervisord.call("stopProcess", "<params><param><value>p</value></param></params>");
        assert!(stopped.is_some_and(|answer| answer.contains("<boolean>1</boolean>")), "it was not stopped");
        let is_left = find(child).is_some_and(|found| found.state != 'Z');
        if is_left {
            send(child, 9);
        }
        is_left
    });
    assert_eq!(outlives, [false, true]);
}
