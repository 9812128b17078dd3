//! Writing to the standard input of a program.

use std::rc::Rc;
use std::time::Duration;

use muster_api::{Problem, ProblemKind};
use muster_spec::Stdin;

use super::select;
use crate::children::stdin::{StdinPipe, Unwritten};
use crate::shared::Shared;

/// How long a write waits for the program to read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes all of these bytes, and returns their number.
pub(crate) async fn write(shared: &Rc<Shared>, name: &str, bytes: &[u8]) -> Result<u64, Problem> {
    let pipe = pipe_of(shared, name)?;
    match pipe.write(bytes, PATIENCE).await {
        Ok(()) => Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        Err((part, unwritten)) => Err(problem(name, part, bytes.len(), unwritten)),
    }
}

fn pipe_of(shared: &Shared, name: &str) -> Result<Rc<StdinPipe>, Problem> {
    let supervisor = shared.supervisor.borrow();
    let instance = select::one(&supervisor, name)?;
    let none = |detail: String| Problem::new(ProblemKind::NoStdin, detail);
    if matches!(instance.spec().process.stdin, Stdin::Events | Stdin::Feed) {
        return Err(none(format!("{name} is an event listener, and reads events only")));
    }
    if let Some(path) = &instance.spec().process.stdin_path {
        return Err(none(format!("{name} reads {}", path.display())).with_hint("write to that path"));
    }
    if instance.spec().process.stdin == Stdin::Nothing && instance.spec().process.terminal.is_none() {
        return Err(none(format!("{name} reads /dev/null"))
            .with_hint("stdin = \"pipe\" in its configuration lets clients write to it"));
    }
    let pipe = instance.run().and_then(|run| shared.children.borrow().stdin_of(run));
    pipe.ok_or_else(|| none(format!("{name} is not running")))
}

fn problem(name: &str, written: usize, of: usize, unwritten: Unwritten) -> Problem {
    let problem = match unwritten {
        Unwritten::NotRead => {
            let detail = format!("{name} does not read its standard input: wrote {written} of {of} bytes");
            Problem::new(ProblemKind::NotReading, detail).with_hint("the bytes written stay in the pipe")
        }
        Unwritten::Closed => {
            Problem::new(ProblemKind::NoStdin, format!("{name} has closed its standard input or is no longer running"))
        }
        Unwritten::Failed(error) => {
            Problem::new(ProblemKind::Internal, format!("cannot write to the standard input of {name}: {error}"))
        }
    };
    problem.with_written(u64::try_from(written).unwrap_or(u64::MAX))
}
