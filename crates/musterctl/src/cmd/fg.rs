//! `musterctl fg`: shows a program's output and sends it what is typed.

use std::io::{self, IsTerminal, Read, Write};

use muster_api::{LogFormat, LogQuery, Problem, ProblemKind, ProgramDetail, Route, State, TerminalSize, visible};
use muster_exec::PROTOCOL;
use muster_exec::frame::End;

use crate::client::Client;
use crate::exec::{Console, Ended, Talk, size};
use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::session::Session;

/// How much earlier output is shown first, for context.
const LINES: u64 = 10;

/// Switches off what a program that draws its screen may have left on in this terminal: the other screen, colours, mouse reports,
/// marked pastes, keys of the keypad, a hidden cursor.
const RESET: &[u8] =
    b"\x1b[?1047l\x1b[0m\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?25h\r\n";

/// Show the output of a program as it arrives, and send it what you type.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ctrl-C detaches and leaves the program running. Input is sent if the program has `stdin = \"pipe\"`. If it has a terminal, `tty = true`, \
that is connected to yours: every key is sent, also Ctrl-C, and Ctrl-] detaches.

Examples:
  musterctl fg repl
  echo reload | musterctl fg repl")]
pub(crate) struct Args {
    /// The instance.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let route = Route::Program { name: args.name.clone() };
    let detail: ProgramDetail = session.client.ask(&route)?.read(&[200])?;
    let name = detail.program.name;
    if !matches!(detail.program.state, State::Running | State::Starting | State::Stopping) {
        let message = format!("{name} is not running: {}", detail.program.state);
        return Err(Failure::new(Exit::Failed, message).with_hint("`musterctl start` starts it"));
    }
    if detail.configuration["tty"].is_object() {
        return connect(&name, session);
    }
    let query = LogQuery { lines: Some(LINES), follow: true, format: LogFormat::Raw, ..LogQuery::default() };
    let mut stream = session.client.follow(&Route::Logs { name: name.clone(), query })?;
    if detail.configuration["stdin"] == "pipe" {
        let client = session.client.clone();
        let forwarding = std::thread::Builder::new().spawn(move || forward(&client, &name));
        forwarding.map_err(|error| Failure::new(Exit::Failed, format!("cannot start a thread: {error}")))?;
    } else {
        tell(&format!("musterctl: input is not sent: {name} has no `stdin = \"pipe\"`"));
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => return Ok(Exit::Well),
            Ok(count) => count,
            Err(error) => return Err(session.client.broken(error)),
        };
        let shown = if session.out_is_terminal { harmless(&buffer[..count]) } else { buffer[..count].to_vec() };
        let written = session.live.write_all(&shown).and_then(|()| session.live.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Well),
            Err(error) => {
                let message = format!("cannot write to standard output: {error}");
                return Err(Failure::new(Exit::Failed, message));
            }
            Ok(()) => {}
        }
    }
}

/// Connects this terminal with that of a program, and shows its output as it is.
fn connect(name: &str, session: &mut Session) -> Result<Exit, Failure> {
    let is_raw = io::stdin().is_terminal() && session.out_is_terminal;
    let size = is_raw.then(|| {
        // A serial line may not know its size.
        let (rows, columns) = size().unwrap_or((24, 80));
        TerminalSize { rows, columns }
    });
    let route = Route::Terminal { name: name.to_owned() };
    let (mut connection, early) = session.client.upgrade(&route, PROTOCOL, &size)?;
    if is_raw {
        tell(&format!("musterctl: connected to the terminal of {name}; Ctrl-] detaches"));
    }
    let console = Console::enter(is_raw)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot set up the terminal: {error}")))?;
    let ended = Talk::as_guest(&mut connection, &early).run(&console);
    if is_raw {
        // If standard output is closed, there is nothing to reset.
        let _ = io::stdout().write_all(RESET).and_then(|()| io::stdout().flush());
    }
    if let Ok(Ended::BySignal(signal)) = ended {
        console.end_by(signal);
        return Ok(Exit::Well);
    }
    drop(console);
    match ended {
        Ok(Ended::With(End::Code(code))) => tell(&format!("musterctl: {name} exited with status {code}")),
        Ok(Ended::With(End::Signal(signal))) => tell(&format!("musterctl: {name} was killed by signal {signal}")),
        Ok(Ended::NotExecuted(_, message)) => tell(&format!("musterctl: {name} has ended: {}", printable(&message))),
        Ok(Ended::Disconnected) => tell(&format!("musterctl: detached, {name} goes on")),
        Ok(Ended::NotRead | Ended::BySignal(_)) => {}
        Err(error) => return Err(session.client.broken(error)),
    }
    Ok(Exit::Well)
}

/// A piece of output made safe for the terminal. An incomplete colour code at its end is shown as text.
fn harmless(piece: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(piece.len());
    for (index, line) in piece.split(|&byte| byte == b'\n').enumerate() {
        if index > 0 {
            shown.push(b'\n');
        }
        visible::put_visible(line, &mut shown);
    }
    shown
}

/// Sends what is typed until end of input. The program's output continues.
fn forward(client: &Client, name: &str) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if let Err(failure) = send(client, name, &buffer[..count]) {
                    return tell(&format!("musterctl: cannot send input: {}", failure.message));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return tell(&format!("musterctl: cannot read input: {error}")),
        }
    }
}

/// Sends all of it, however long the program takes to read it.
fn send(client: &Client, name: &str, mut bytes: &[u8]) -> Result<(), Failure> {
    let mut is_told = false;
    while !bytes.is_empty() {
        let answer = client.ask_with_bytes(&Route::Stdin { name: name.to_owned() }, bytes)?;
        if answer.status == 200 {
            return Ok(());
        }
        let problem: Problem = answer.problem();
        if problem.kind != ProblemKind::NotReading {
            return Err(problem.into());
        }
        if !is_told {
            tell(&format!("musterctl: {name} does not read its input; waiting"));
            is_told = true;
        }
        let written = usize::try_from(problem.written.unwrap_or(0)).unwrap_or(0);
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Prints a message next to the program's output.
fn tell(text: &str) {
    // If stderr is closed, too, the message is lost.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use muster_api::{ProgramDetail, State};

    use crate::testing::{Daemon, answer, down, program};

    fn detail(program: muster_api::Program) -> String {
        let configuration = serde_json::json!({"stdin": "none"});
        answer(200, &ProgramDetail { program, configuration, runs: vec![] })
    }

    #[test]
    fn what_it_writes_is_passed_on_byte_by_byte() {
        let log = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nname?\r\n0\r\n\r\n".to_owned();
        let daemon = Daemon::answering([detail(program("repl")), log]);
        let ended = daemon.run("fg repl");
        assert_eq!((ended.out.as_str(), ended.code), ("name?", 0));
        assert_eq!(daemon.asked_lines()[1], "GET /v1/programs/repl/logs?lines=10&follow=true");
    }

    #[test]
    fn what_does_not_run_is_an_error() {
        let daemon = Daemon::answering([detail(down("repl", State::Stopped, "not started"))]);
        let ended = daemon.run("fg repl");
        assert_eq!(ended.code, 1);
        assert!(ended.err.starts_with("error: repl is not running: STOPPED\nhint: "), "{}", ended.err);
    }
}
