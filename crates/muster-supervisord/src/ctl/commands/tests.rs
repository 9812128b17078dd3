//! Commands against a server of recorded answers: calls, lines and exit codes. The original's are compared in `tests/` of the
//! root package; here are the answers that are hard to have there.

use std::collections::VecDeque;

use crate::ctl::{Controller, Failure, Flow, Server, World};
use crate::faults::Code;
use crate::xmlrpc::Value;

/// A server that gives these answers in turn, and a user who types these lines.
#[derive(Default)]
struct Recorded {
    answers: VecDeque<Result<Value, Failure>>,
    typed: VecDeque<&'static str>,
    /// The calls, without `supervisor.`.
    calls: Vec<String>,
    out: String,
}

impl World for Recorded {
    fn call(&mut self, _: &Server, method: &str, params: &[Value]) -> Result<Value, Failure> {
        let words = params.iter().map(|param| match param {
            Value::Str(text) => format!(" {text}"),
            other => format!(" {other:?}"),
        });
        self.calls.push(method.trim_start_matches("supervisor.").to_owned() + &words.collect::<String>());
        self.answers.pop_front().unwrap_or(Err(Failure::Refused))
    }

    fn print(&mut self, text: &str) {
        self.out += &format!("{text}\n");
    }

    fn print_output(&mut self, text: &str) {
        self.print(text);
    }

    fn line(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        self.out += prompt;
        Ok(self.typed.pop_front().map(str::to_owned))
    }

    fn secret(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        self.line(prompt)
    }

    fn follow(&mut self, _: &Server, path: &str) -> Result<(), Failure> {
        self.calls.push(path.to_owned());
        Err(Failure::Interrupted)
    }

    fn attach(&mut self, _: &Server, paths: &[String]) {
        self.calls.extend_from_slice(paths);
    }

    fn typed(&mut self) -> Result<Option<String>, Failure> {
        self.line("")
    }

    fn detach(&mut self) {}
}

/// Runs a line; returns the world, the exit code, and whether a shell would go on.
fn run(
    line: &str,
    is_shell: bool,
    answers: Vec<Result<Value, Failure>>,
    typed: &[&'static str],
) -> (Recorded, u8, Flow) {
    let mut world = Recorded { answers: answers.into(), typed: typed.iter().copied().collect(), ..Recorded::default() };
    let server = Server { url: "unix:///s".to_owned(), username: None, password: None };
    let mut controller = Controller::new(&mut world, server, is_shell);
    let flow = controller.run(line);
    let code = controller.exit_code();
    (world, code, flow)
}

/// Checks the output and the exit code of a line, outside of a shell.
fn check(line: &str, answers: Vec<Result<Value, Failure>>, out: &str, code: u8) {
    let (world, exit, _) = run(line, false, answers, &[]);
    assert_eq!((world.out.as_str(), exit), (out, code), "{line}: {:?}", world.calls);
}

fn up() -> Result<Value, Failure> {
    Ok("3.0".into())
}

fn fault(code: Code, detail: &str) -> Result<Value, Failure> {
    Err(Failure::Fault(code.with(detail)))
}

fn done() -> Result<Value, Failure> {
    Ok(true.into())
}

fn status(group: &str, name: &str, code: Code) -> Value {
    let fields = [("group", group.into()), ("name", name.into()), ("status", code.number().into())];
    Value::structure(fields.into_iter().chain([("description", "OK".into())]))
}

fn process(name: &str, state: i64, statename: &str) -> Value {
    Value::structure([
        ("group", name.into()),
        ("name", name.into()),
        ("state", state.into()),
        ("statename", statename.into()),
        ("description", "why".into()),
        ("pid", 0.into()),
    ])
}

fn changes(added: &[&str], changed: &[&str], removed: &[&str]) -> Result<Value, Failure> {
    let names = |names: &[&str]| Value::Array(names.iter().map(|&name| name.into()).collect());
    Ok(Value::Array(vec![Value::Array(vec![names(added), names(changed), names(removed)])]))
}

#[test]
fn servers_of_another_kind_are_recognized() {
    let other = "Sorry, this version of supervisorctl expects to talk to a server with API version 3.0, but the remote version \
                 is 2.0.\n";
    check("start a", vec![Ok("2.0".into())], other, 5);
    let (world, code, _) = run("pid", false, vec![fault(Code::UnknownMethod, "x")], &[]);
    assert!(world.out.contains("[rpcinterface:supervisor] section is enabled"), "{}", world.out);
    assert_eq!(code, 3);
    check("status", vec![Err(Failure::Missing)], "unix:///s no such file\n", 4);
    check(
        "status",
        vec![up(), Ok(3.into())],
        "error: <class 'TypeError'>, the server's answer has another type than expected: \
           file: musterctl line: 0\n",
        1,
    );
    check(
        "pid a",
        vec![up(), Ok(Value::structure([]))],
        "error: <class 'KeyError'>, 'group': file: musterctl line: 0\n",
        1,
    );
}

#[test]
fn a_status_is_as_wide_as_its_longest_name() {
    let long = "a-name-of-more-than-thirty-characters";
    let all = Value::Array(vec![process("web", 20, "RUNNING"), process(long, 1000, "UNKNOWN")]);
    let out = format!("{:40}RUNNING   why\n{long}   UNKNOWN   why\n", "web");
    check("status", vec![up(), Ok(all)], &out, 3);
    check("status", vec![up(), Ok(Value::Array(vec![]))], "", 0);
}

#[test]
fn an_update_stops_removes_and_adds() {
    let answers = vec![
        changes(&["new"], &["other"], &["gone", "stuck"]),
        Ok(Value::Array(vec![status("gone", "gone", Code::Success)])),
        done(),
        Ok(Value::Array(vec![status("stuck", "stuck", Code::Failed)])),
        Ok(Value::Array(vec![])),
        done(),
        done(),
        done(),
    ];
    let (world, code, _) = run("update", false, answers, &[]);
    let out = "gone: stopped\ngone: removed process group\nstuck: stopped\nstuck: has problems; not removing\n\
               other: stopped\nother: updated process group\nnew: added process group\n";
    assert_eq!((world.out.as_str(), code), (out, 1));
    let calls = [
        "reloadConfig",
        "stopProcessGroup gone",
        "removeProcessGroup gone",
        "stopProcessGroup stuck",
        "stopProcessGroup other",
        "removeProcessGroup other",
        "addProcessGroup other",
        "addProcessGroup new",
    ];
    assert_eq!(world.calls, calls);
    let line = "error: <class 'xmlrpc.client.Fault'>, <Fault 92: 'CANT_REREAD: x'>: file: musterctl line: 0\n";
    check("update", vec![fault(Code::CantReread, "x")], line, 1);
    check("reread", vec![fault(Code::CantReread, "x")], "ERROR: CANT_REREAD: x\n", 1);
    check("update", vec![fault(Code::ShutdownState, "x")], "ERROR: already shutting down\n", 1);
}

#[test]
fn a_status_that_is_not_expected_ends_the_line() {
    let out = "error: <class 'ValueError'>, Unknown result code 6 for a: file: musterctl line: 0\n";
    check("start a b", vec![up(), fault(Code::ShutdownState, "x")], out, 1);
    let failed = vec![up(), fault(Code::Failed, "operation not permitted")];
    check("signal HUP a", failed, "FAILED: operation not permitted\n", 1);
    check("tail a", vec![up(), fault(Code::Failed, "x")], "a: ERROR (unknown error reading log)\n", 1);
    check("maintail", vec![up(), fault(Code::NoFile, "x")], "supervisord: ERROR (no log file)\n", 1);
    check("clear all", vec![up(), Ok(Value::Array(vec![status("a", "a", Code::Failed)]))], "a: ERROR (failed)\n", 1);
}

#[test]
fn the_shell_asks_before_it_ends_the_server() {
    let question = "Really shut the remote supervisord process down y/N? ";
    let (world, ..) = run("shutdown", true, vec![done()], &["Yes"]);
    assert_eq!((world.out, world.calls), (format!("{question}Shut down\n"), vec!["shutdown".to_owned()]));
    let (world, ..) = run("shutdown", true, vec![done()], &[""]);
    assert_eq!((world.out.as_str(), world.calls.len()), (question, 0));
    let (world, ..) = run("reload", true, vec![done()], &["y"]);
    assert_eq!(world.out, "Really restart the remote supervisord process y/N? Restarted supervisord\n");
    let (world, ..) = run("shutdown", true, vec![], &[]);
    assert_eq!(
        world.out,
        format!("{question}error: <class 'EOFError'>, EOF when reading a line: file: musterctl line: 0\n")
    );
}

#[test]
fn the_shell_asks_for_a_login() {
    let unauthorized = || Err(Failure::Protocol { status: 401, reason: "Unauthorized".to_owned() });
    let (world, ..) = run("version", true, vec![unauthorized(), up(), Ok("4.3.0".into())], &["me", "secret"]);
    assert_eq!(world.out, "Server requires authentication\nUsername:Password:\n4.3.0\n");
    let error = "<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 401 Unauthorized>";
    let out = format!("Server requires authentication\nerror: {error}: file: musterctl line: 0\n");
    check("version", vec![unauthorized(), unauthorized()], &out, 1);
}

#[test]
fn a_process_is_talked_to_until_it_is_gone() {
    let running = || Ok(process("a", 20, "RUNNING"));
    let banner = "==> Press Ctrl-C to exit <==\n";
    let (world, code, _) = run("fg a", true, vec![up(), running(), done(), running()], &["hello"]);
    assert_eq!((world.out, code), (format!("{banner}Exiting foreground\n"), 0));
    let calls =
        ["getVersion", "getProcessInfo a", "/logtail/a/stdout", "/logtail/a/stderr", "sendProcessStdin a hello\n"];
    assert_eq!(world.calls[..5], calls);
    let (world, ..) = run("fg a", true, vec![up(), running(), fault(Code::NotRunning, "a")], &["hello"]);
    assert_eq!(world.out, format!("{banner}Process got killed\nExiting foreground\n"));
    let gone = vec![up(), running(), done(), Ok(process("a", 100, "EXITED"))];
    assert_eq!(run("fg a", true, gone, &["hello"]).0.out, format!("{banner}Process got killed\nExiting foreground\n"));
    let (world, ..) = run("fg a", true, vec![up(), running(), fault(Code::NoFile, "a")], &["hello"]);
    assert_eq!(world.out, format!("{banner}ERROR: <Fault 20: 'NO_FILE: a'>\nExiting foreground\n"));
}

#[test]
fn ctrl_c_ends_a_log_and_otherwise_the_shell() {
    let (world, code, flow) = run("tail -f a STDERR", true, vec![up()], &[]);
    assert_eq!((world.out.as_str(), code, flow), ("==> Press Ctrl-C to exit <==\n\n", 0, Flow::Next));
    assert_eq!(world.calls[1], "/logtail/a/stderr");
    assert_eq!(run("status", true, vec![Err(Failure::Interrupted)], &[]).2, Flow::Interrupted);
    assert_eq!(run("exit", true, vec![], &[]).2, Flow::Quit);
}
