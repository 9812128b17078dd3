//! `musterctl ps`: the processes of each program as a tree.

use std::collections::HashMap;

use muster_api::{ProcessInfo, Processes, Route};

use crate::failure::{Exit, Failure};
use crate::output::{Cell, HEADING, state_style};
use crate::selection;
use crate::session::{Rows, Session};

/// Show the process tree of programs with memory and CPU time.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without names, strays are shown too: processes that belong to no program.

Examples:
  musterctl ps
  musterctl ps web --json")]
pub(crate) struct Args {
    /// Only these: names, web:*, GROUP:*, globs.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let mut all = Processes::default();
    for route in routes(&args.names) {
        let part: Processes = session.client.ask(&route)?.read(&[200])?;
        all.programs.extend(part.programs);
        all.execs.extend(part.execs);
        all.strays.extend(part.strays);
        all.omitted += part.omitted;
    }
    if session.json {
        session.print_json(&all);
    } else {
        let headings = ["PROGRAM", "PID", "STATE", "MEMORY", "CPU", "COMMAND"];
        session.table(Rows { headings, rows: rows(&all) });
        if all.omitted > 0 {
            session.out.push_str(&format!("{} more processes are not shown\n", all.omitted));
        }
    }
    Ok(Exit::Well)
}

fn routes(names: &[String]) -> Vec<Route> {
    if names.is_empty() {
        return vec![Route::Processes];
    }
    selection::chunks(names).into_iter().map(|select| Route::ProgramProcesses { select }).collect()
}

fn rows(all: &Processes) -> Vec<[Cell; 6]> {
    let mut rows = Vec::new();
    for program in &all.programs {
        let state = Cell::styled(program.state.name(), state_style(program.state));
        if program.processes.is_empty() {
            let empty = || Cell::plain("");
            rows.push([Cell::plain(&program.name), empty(), state, empty(), empty(), empty()]);
        } else {
            push_tree(&mut rows, &program.name, &program.processes);
        }
    }
    for exec in &all.execs {
        push_tree(&mut rows, &format!("exec of {} by {}", exec.name, exec.by), &exec.processes);
    }
    push_tree(&mut rows, "(no program)", &all.strays);
    rows
}

/// One row per process; only the first has the name, and the command is indented below its parent's.
fn push_tree(rows: &mut Vec<[Cell; 6]>, name: &str, processes: &[ProcessInfo]) {
    let depths = depths(processes);
    for (place, (process, depth)) in processes.iter().zip(depths).enumerate() {
        let name = if place == 0 { Cell::styled(name, HEADING) } else { Cell::plain("") };
        // A chain of forks may be deeper than any terminal is wide.
        let indent = "  ".repeat(depth.min(20));
        rows.push([
            name,
            Cell::plain(process.pid.to_string()),
            Cell::plain(process.state.name()),
            Cell::plain(format_bytes(process.memory)),
            Cell::plain(format!("{:.2}s", process.cpu)),
            Cell::plain(format!("{indent}{}", process.command)),
        ]);
    }
}

/// The depth of each process below those listed before it.
fn depths(processes: &[ProcessInfo]) -> Vec<usize> {
    let mut known: HashMap<u32, usize> = HashMap::new();
    let mut depths = Vec::with_capacity(processes.len());
    for process in processes {
        let depth = known.get(&process.ppid).map_or(0, |depth| depth + 1);
        known.insert(process.pid, depth);
        depths.push(depth);
    }
    depths
}

fn format_bytes(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 {
        format!("{kib:.0}K")
    } else if kib < 1024.0 * 1024.0 {
        format!("{:.1}M", kib / 1024.0)
    } else {
        format!("{:.1}G", kib / 1024.0 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use muster_api::{ExecProcesses, InstanceProcesses, ProcessState, State};

    use super::*;
    use crate::testing::{Daemon, answer};

    fn process(pid: u32, ppid: u32, command: &str) -> ProcessInfo {
        let state = ProcessState::Sleeping;
        ProcessInfo { pid, ppid, command: command.to_owned(), state, memory: 1 << 20, cpu: 0.25 }
    }

    fn tree(name: &str, state: State, processes: Vec<ProcessInfo>) -> InstanceProcesses {
        InstanceProcesses { name: name.to_owned(), state, run: Some(1), processes }
    }

    #[test]
    fn children_are_indented_under_their_parents_and_strays_come_last() {
        let web = vec![
            process(10, 1, "nginx: master"),
            process(11, 10, "nginx: worker"),
            process(13, 11, "sh -c \u{1b}[2J"),
            process(12, 10, "nginx: worker"),
        ];
        let all = Processes {
            programs: vec![tree("db", State::Stopped, vec![]), tree("web", State::Running, web)],
            execs: vec![ExecProcesses {
                name: "web".to_owned(),
                by: "deploy".to_owned(),
                command: "sh".to_owned(),
                processes: vec![process(50, 1, "sh -c top"), process(51, 50, "top")],
            }],
            strays: vec![process(99, 1, "[kworker]")],
            omitted: 0,
        };
        let daemon = Daemon::answering([answer(200, &all)]);
        let ended = daemon.run("ps");
        let expected = "\
PROGRAM                PID  STATE     MEMORY  CPU    COMMAND
db                          STOPPED
web                    10   sleeping  1.0M    0.25s  nginx: master
                       11   sleeping  1.0M    0.25s    nginx: worker
                       13   sleeping  1.0M    0.25s      sh -c \u{fffd}[2J
                       12   sleeping  1.0M    0.25s    nginx: worker
exec of web by deploy  50   sleeping  1.0M    0.25s  sh -c top
                       51   sleeping  1.0M    0.25s    top
(no program)           99   sleeping  1.0M    0.25s  [kworker]
";
        assert_eq!((ended.out.as_str(), ended.code), (expected, 0));
        assert_eq!(daemon.asked_lines(), ["GET /v1/processes"]);
    }

    #[test]
    fn selected_trees_are_asked_for_by_name() {
        let all = Processes {
            programs: vec![tree("web", State::Running, vec![process(10, 1, "x")])],
            execs: vec![],
            strays: vec![],
            omitted: 0,
        };
        let daemon = Daemon::answering([answer(200, &all)]);
        let ended = daemon.run("ps web --json");
        assert_eq!(serde_json::from_str::<Processes>(&ended.out).unwrap(), all);
        assert_eq!(daemon.asked_lines(), ["GET /v1/programs/web/processes"]);
    }

    #[test]
    fn processes_in_a_circle_are_shown_all_the_same() {
        assert_eq!(depths(&[process(10, 11, ""), process(11, 10, ""), process(5, 5, "")]), [0, 1, 0]);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0K"), (4096, "4K"), (5 << 20, "5.0M"), (3 << 29, "1.5G")] {
            assert_eq!(format_bytes(bytes), text);
        }
    }
}
