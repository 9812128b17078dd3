//! `musterctl pid`.

use muster_api::{Info, Program, Route};

use crate::failure::{Exit, Failure};
use crate::selection;
use crate::session::Session;

/// Print the pid of the daemon, or the pids of programs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One pid per line, in the order of the programs. A program that is not running is an error and prints nothing.

Examples:
  musterctl pid
  musterctl pid web
  nsenter -t \"$(musterctl pid web)\" -n ss -ltn")]
pub(crate) struct Args {
    /// The programs: names, web:*, GROUP:*, all, globs.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    if args.names.is_empty() {
        let info: Info = session.client.ask(&Route::Info)?.read(&[200])?;
        return Ok(print_daemon(info.pid, session));
    }
    let mut programs: Vec<Program> = Vec::new();
    for select in selection::chunks(&args.names) {
        let part: Vec<Program> =
            session.client.ask(&Route::Programs { select: Some(select), fields: None })?.read(&[200])?;
        programs.extend(part);
    }
    Ok(print_programs(&programs, session))
}

fn print_daemon(pid: u32, session: &mut Session) -> Exit {
    if session.json {
        session.print_json(&serde_json::json!({ "pid": pid }));
    } else {
        session.line(pid.to_string());
    }
    Exit::Well
}

/// supervisorctl prints 0 for a program that is not running. We do not: `kill 0` signals the caller's whole process group.
fn print_programs(programs: &[Program], session: &mut Session) -> Exit {
    let mut exit = Exit::Well;
    for program in programs {
        match program.pid {
            Some(pid) if !session.json => session.line(pid.to_string()),
            Some(_) => {}
            None => {
                let message = format!("{} is not running: {}", program.name, program.state);
                session.failures.push(Failure::new(Exit::Failed, message));
                exit = Exit::Failed;
            }
        }
    }
    if session.json {
        let pids: Vec<_> = programs.iter().map(|it| serde_json::json!({"name": it.name, "pid": it.pid})).collect();
        session.print_json(&pids);
    }
    exit
}

#[cfg(test)]
mod tests {
    use muster_api::State;

    use crate::testing::{Daemon, answer, down, info, program};

    #[test]
    fn without_names_it_is_the_daemons() {
        let daemon = Daemon::answering([answer(200, &info()), answer(200, &info())]);
        assert_eq!(daemon.run("pid").out, "1\n");
        assert_eq!(daemon.run("pid --json").out, "{\"pid\":1}\n");
        assert_eq!(daemon.asked_lines(), ["GET /v1/info", "GET /v1/info"]);
    }

    #[test]
    fn what_does_not_run_prints_no_number_that_kill_would_take() {
        let programs = [program("web"), down("db", State::Stopped, "not started")];
        let daemon = Daemon::answering([answer(200, &programs), answer(200, &programs)]);
        let ended = daemon.run("pid all");
        assert_eq!((ended.out.as_str(), ended.code), ("12\n", 1));
        assert_eq!(ended.err, "error: db is not running: STOPPED\n");
        let json = daemon.run("pid all --json");
        let expected = r#"[{"name":"web","pid":12},{"name":"db","pid":null}]"#;
        assert_eq!((json.out.trim_end(), json.code), (expected, 1));
    }
}
