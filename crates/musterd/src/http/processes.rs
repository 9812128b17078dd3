//! `GET /v1/processes`: lists processes on a thread of its own.
//!
//! The loop only determines the roots of the trees. The thread reads /proc, bounds the result and writes the response;
//! it stops if the client disconnects. There is at most one such thread; further requests wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;
use muster_api::{ExecProcesses, InstanceProcesses, Problem, ProblemKind, ProcessInfo, Processes};
use muster_load::secrets::{Reader, masked_process};
use muster_spec::RunId;
use muster_sys::tree::{Listing, Process};
use tokio::sync::{Semaphore, oneshot};

use super::view;
use crate::children::list::process_info;
use crate::operations::select;
use crate::shared::Shared;
use muster_server::response::{self, Answer};

/// Maximum number of processes in a response.
const MOST: usize = 20_000;

/// Maximum size of all command lines, in bytes. Once it is used up, further ones are cut at [`SHORT`].
const MOST_TEXT: usize = 4 << 20;
const SHORT: usize = 64;

/// Lists the processes of the selected instances; without a selection also those of no program.
pub(super) async fn processes(
    shared: &Shared,
    turn: &Arc<Semaphore>,
    select: Option<&str>,
    reader: Reader,
) -> Result<Answer, Problem> {
    let internal = |why: String| Problem::new(ProblemKind::Internal, format!("cannot list processes: {why}"));
    let turn = Arc::clone(turn).acquire_owned().await.map_err(|error| internal(error.to_string()))?;
    let found = Found::of(shared, select)?;
    let (sender, answer) = oneshot::channel();
    let thread = std::thread::Builder::new().name("processes".to_owned());
    let started = thread.spawn(move || {
        let _turn = turn;
        let found = found.fill(reader, &|| !sender.is_closed());
        // The client may have disconnected.
        let _ = sender.send(serde_json::to_vec(&found));
    });
    started.map_err(|error| internal(error.to_string()))?;
    let text = answer.await.map_err(|_| internal("its thread panicked".to_owned()))?;
    Ok(response::json_text(StatusCode::OK, text.map_err(|error| internal(error.to_string()))?))
}

/// A listing and its response.
struct Found {
    listing: Listing,
    answer: Processes,
    /// The index in the response of each run's program, and of each client's command.
    places: HashMap<RunId, usize>,
    execs: HashMap<RunId, usize>,
}

impl Found {
    fn of(shared: &Shared, selection: Option<&str>) -> Result<Found, Problem> {
        let supervisor = shared.supervisor.borrow();
        let chosen = select::chosen(&supervisor, selection)?;
        let places = chosen.iter().enumerate().filter_map(|(place, it)| Some((it.run()?, place))).collect();
        let runs: Vec<RunId> = chosen.iter().filter_map(|instance| instance.run()).collect();
        let programs = chosen.into_iter().map(|instance| InstanceProcesses {
            name: instance.name().to_owned(),
            state: view::state(instance.state()),
            run: instance.last_run().map(|run| run.0),
            processes: Vec::new(),
        });
        let programs: Vec<InstanceProcesses> = programs.collect();
        let commands = shared.execs.borrow();
        let commands: Vec<_> =
            commands.iter().filter(|exec| programs.iter().any(|program| program.name == exec.program)).collect();
        let execs = commands.iter().enumerate().map(|(place, exec)| (exec.id, place)).collect();
        let trees: Vec<RunId> = runs.into_iter().chain(commands.iter().map(|exec| exec.id)).collect();
        let commands = commands.iter().map(|exec| ExecProcesses {
            name: exec.program.clone(),
            by: exec.by.to_string(),
            command: exec.command.clone(),
            processes: Vec::new(),
        });
        let answer = Processes { programs, execs: commands.collect(), strays: Vec::new(), omitted: 0 };
        let listing = shared.children.borrow_mut().listing(&trees, selection.is_none());
        Ok(Found { listing, answer, places, execs })
    }

    /// Adds the processes, as long as the client is connected.
    fn fill(self, reader: Reader, is_wanted: &dyn Fn() -> bool) -> Processes {
        let Found { listing, mut answer, places, execs } = self;
        let mut bounds = Bounds::default();
        listing.walk(&mut |run, process| {
            match bounds.admit(process, reader) {
                Some(info) => match run {
                    None => answer.strays.push(info),
                    Some(run) => {
                        let program = places.get(&run).and_then(|&place| answer.programs.get_mut(place));
                        program.into_iter().for_each(|program| program.processes.push(info.clone()));
                        let exec = execs.get(&run).and_then(|&place| answer.execs.get_mut(place));
                        exec.into_iter().for_each(|exec| exec.processes.push(info.clone()));
                    }
                },
                None => answer.omitted += 1,
            }
            is_wanted()
        });
        answer
    }
}

/// The size of a response so far.
#[derive(Default)]
struct Bounds {
    processes: usize,
    text: usize,
}

impl Bounds {
    fn admit(&mut self, process: Process, reader: Reader) -> Option<ProcessInfo> {
        if self.processes == MOST {
            return None;
        }
        self.processes += 1;
        let mut info = masked_process(process_info(process), reader);
        if self.text + info.command.len() > MOST_TEXT && info.command.len() > SHORT {
            info.command.truncate(info.command.floor_char_boundary(SHORT));
            info.command.push('…');
            // Its capacity was that of the whole command line.
            info.command.shrink_to_fit();
        }
        self.text += info.command.len();
        Some(info)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_sys::signal::Pid;
    use muster_sys::tree::ProcessState;

    use super::*;

    #[test]
    fn an_answer_is_bounded_in_processes_and_in_text() {
        let process = Process {
            pid: Pid(7),
            ppid: Pid(1),
            command: "é".repeat(2000),
            state: ProcessState::Sleeping,
            rss_bytes: 0,
            cpu_time: Duration::ZERO,
            age: Duration::ZERO,
        };
        let mut bounds = Bounds::default();
        let admitted: Vec<ProcessInfo> =
            (0..MOST + 5).map_while(|_| bounds.admit(process.clone(), Reader::Control)).collect();
        assert_eq!(admitted.len(), MOST);
        assert_eq!(admitted[0].command, process.command);
        assert_eq!(admitted[MOST - 1].command, "é".repeat(SHORT / 2) + "…");
        assert!(admitted.iter().map(|info| info.command.len()).sum::<usize>() < MOST_TEXT + MOST * (SHORT + 3));
    }
}
