//! `musterctl avail`: the configured programs, in supervisorctl's columns.

use muster_api::{Program, Route};
use muster_spec::arrange;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::shown::Shown;

/// List the configured programs, how they start, and their priority.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The columns are supervisorctl's: name, with its group in front if it has one; in use; auto or manual; priority of group and program.

Examples:
  musterctl avail")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let mut programs: Vec<Program> =
        session.client.ask(&Route::Programs { select: None, fields: None })?.read(&[200])?;
    arrange::sort_by(&mut programs, |one, other| Shown::from(one).full_name().cmp(&Shown::from(other).full_name()));
    if session.json {
        session.print_json(&programs.iter().map(data).collect::<Vec<_>>());
    } else {
        programs.iter().for_each(|program| session.line(line(program)));
    }
    Ok(Exit::Well)
}

/// `'%-32s %-9s %-9s %d:%d'`. Groups have no priority of their own, so the program's is printed in both places.
fn line(program: &Program) -> String {
    let (shown, priority) = (Shown::from(program), program.priority);
    let start = if program.autostart { "auto" } else { "manual" };
    format!("{:<32} {:<9} {start:<9} {priority}:{priority}", shown.full_name(), "in use")
}

fn data(program: &Program) -> serde_json::Value {
    let Program { name, program, group, autostart, priority, .. } = program;
    serde_json::json!({
        "name": name, "program": program, "group": group, "autostart": autostart, "priority": priority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Daemon, answer, program};

    fn some() -> [Program; 2] {
        [program("web"), Program { autostart: false, priority: 5, ..program("batch") }]
    }

    /// Source: supervisor 4.2.5, supervisorctl.py, `do_avail`.
    #[test]
    fn columns_are_supervisorctls_and_sorted_by_name() {
        let expected = "\
batch                            in use    manual    5:5
web                              in use    auto      999:999
";
        let ended = Daemon::answering([answer(200, &some())]).run("avail");
        assert_eq!((ended.out.as_str(), ended.code), (expected, 0));
    }

    #[test]
    fn a_group_is_part_of_the_name() {
        let member = Program { group: "front".to_owned(), ..program("web") };
        let ended = Daemon::answering([answer(200, &[program("zoo"), program("goo"), member])]).run("avail");
        let names: Vec<&str> = ended.out.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["front:web", "goo", "zoo"]);
    }

    #[test]
    fn json_names_what_the_columns_show() {
        let ended = Daemon::answering([answer(200, &some())]).run("avail --json");
        let data: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(
            data[0],
            serde_json::json!({
                "name": "batch", "program": "batch", "group": "batch", "autostart": false, "priority": 5,
            })
        );
    }
}
