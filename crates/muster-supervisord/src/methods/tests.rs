//! The methods over a daemon of constants. Expected answers are those of supervisord 4.3.0 in the same situation.

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::status::{ProcessInfo, ProcessState};

/// Three groups: `site` with two processes, `db` and `off`.
pub(crate) struct Fake {
    pub(crate) state: DaemonState,
    pub(crate) answers_while_ending: bool,
    pub(crate) done: RefCell<Vec<String>>,
}

pub(crate) fn fake() -> Fake {
    Fake { state: DaemonState::Running, answers_while_ending: true, done: RefCell::default() }
}

fn member(group: &str, name: &str, group_priority: i64, priority: i64, state: ProcessState) -> Member {
    Member {
        key: namespec(group, name),
        group: group.to_owned(),
        name: name.to_owned(),
        group_priority,
        priority,
        state,
    }
}

impl Fake {
    fn did(&self, what: String) {
        self.done.borrow_mut().push(what);
    }
}

impl Daemon for Fake {
    fn identification(&self) -> String {
        "supervisor".to_owned()
    }
    fn pid(&self) -> i64 {
        7
    }
    fn state(&self) -> DaemonState {
        self.state
    }
    fn answers_while_ending(&self) -> bool {
        self.answers_while_ending
    }
    fn members(&self) -> Vec<Member> {
        vec![
            member("site", "web", 20, 2, ProcessState::Running),
            member("site", "app", 20, 1, ProcessState::Starting),
            member("db", "db", 10, 999, ProcessState::Stopped),
            member("off", "off", 999, 999, ProcessState::Exited),
            member("late", "late", 999, 1, ProcessState::Stopping),
            member("off", "on", 999, 2, ProcessState::Running),
        ]
    }
    fn info(&self, member: &Member) -> Option<ProcessInfo> {
        Some(ProcessInfo {
            name: member.name.clone(),
            group: member.group.clone(),
            start: 0,
            stop: 0,
            now: 0,
            state: member.state,
            spawnerr: String::new(),
            exitstatus: 0,
            stdout_logfile: String::new(),
            stderr_logfile: String::new(),
            pid: 0,
            description: String::new(),
        })
    }
    async fn infos(&self, members: &[Member]) -> Vec<Value> {
        members.iter().filter_map(|member| self.info(member)).map(ProcessInfo::into_value).collect()
    }
    async fn unstartable(&self, member: &Member) -> Option<Fault> {
        (member.name == "off").then(|| Code::NoFile.with("can't find command '/none'"))
    }
    async fn start(&self, member: &Member, wait: bool) -> Result<(), NotStarted> {
        self.did(format!("start {} {wait}", member.key));
        Ok(())
    }
    async fn stop(&self, member: &Member, wait: bool) -> Result<(), Fault> {
        self.did(format!("stop {} {wait}", member.key));
        Ok(())
    }
    async fn signal(&self, member: &Member, signal: u8) -> bool {
        self.did(format!("signal {} {signal}", member.key));
        true
    }
    async fn read(&self, log: Log<'_>, part: Part) -> Result<Piece, NotRead> {
        match log {
            Log::Main => Err(NotRead::NoLog(Some("/var/log/x".to_owned()))),
            Log::Of(_, Channel::Stderr) => Err(NotRead::NoLog(None)),
            Log::Of(..) => {
                let text = "grüße\n".as_bytes();
                let (from, length) = part.range(text.len() as u64);
                let bytes = text.iter().skip(from as usize).take(length as usize).copied().collect();
                Ok(Piece { bytes, size: text.len() as u64 })
            }
        }
    }
    async fn clear(&self, member: Option<&Member>) -> Result<(), Fault> {
        self.did(format!("clear {}", member.map_or("main", |member| &member.key)));
        Ok(())
    }
    async fn write_stdin(&self, _: &Member, bytes: &[u8]) -> Result<(), NotWritten> {
        if bytes.is_empty() { Err(NotWritten::Closed) } else { Ok(()) }
    }
    async fn reread(&self) -> Result<Changes, String> {
        Ok(Changes { added: vec!["a".to_owned()], ..Changes::default() })
    }
    async fn add_group(&self, name: &str) -> Result<(), Fault> {
        Err(Code::AlreadyAdded.with(name))
    }
    async fn remove_group(&self, name: &str) -> Result<(), Fault> {
        self.did(format!("remove {name}"));
        Ok(())
    }
    fn configuration(&self) -> Vec<Value> {
        Vec::new()
    }
    fn emit(&self, kind: &str, data: &str) {
        self.did(format!("emit {kind} {data}"));
    }
    async fn end(&self, state: DaemonState) -> Result<(), Fault> {
        self.did(format!("end {state:?}"));
        Ok(())
    }
}

/// The answer, which the daemon of constants gives at once.
fn ask(daemon: &Fake, method: &str, params: Vec<Value>) -> Result<Value, Fault> {
    let answering = pin!(answer(daemon, Call { method: method.to_owned(), params }));
    match answering.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("{method} waits"),
    }
}

fn asked(method: &str, params: &[&str]) -> Result<Value, Fault> {
    ask(&fake(), &format!("supervisor.{method}"), params.iter().copied().map(Value::from).collect())
}

#[track_caller]
fn refused(method: &str, params: &[&str], expected: &str) {
    let fault = asked(method, params).expect_err(method);
    assert_eq!(format!("{} {}", fault.code, fault.string), expected, "{method} {params:?}");
}

/// Name and status of each entry of a result for several.
fn statuses(value: Result<Value, Fault>) -> Vec<(String, i64)> {
    let Ok(Value::Array(entries)) = value else { panic!("no list: {value:?}") };
    let entry = |entry: &Value| (entry.get("name")?.as_str()?.to_owned(), entry.get("status")?.as_int()?).into();
    entries.iter().filter_map(entry).collect()
}

#[test]
fn every_listed_method_exists() {
    for method in METHODS {
        let params = method.params.iter().map(|(kind, _)| match *kind {
            "int" => Value::Int(0),
            "array" => Value::Array(vec![]),
            _ => "x".into(),
        });
        let answer = ask(&fake(), method.name, params.collect());
        assert!(answer.as_ref().err().is_none_or(|fault| fault.code != 1), "{}: {answer:?}", method.name);
    }
}

#[test]
fn wrong_calls_have_the_original_s_faults() {
    for unknown in ["x", "supervisor.x", "supervisor._update", "a.supervisor.getState", "system.getState", "", "."] {
        assert_eq!(ask(&fake(), unknown, vec![]), Err(Code::UnknownMethod.fault()), "{unknown}");
    }
    refused("getState", &["x"], "2 INCORRECT_PARAMETERS");
    refused("startProcess", &[], "2 INCORRECT_PARAMETERS");
    refused("readLog", &["x", "0"], "2 INCORRECT_PARAMETERS");
    assert_eq!(ask(&fake(), "supervisor.startProcess", vec![Value::Int(1)]), Err(Code::IncorrectParameters.fault()));
    refused("startProcess", &["none"], "10 BAD_NAME: none");
    refused("startProcess", &["site"], "10 BAD_NAME: site");
    refused("startProcess", &["none:*"], "10 BAD_NAME: none:*");
    refused("startProcessGroup", &["none"], "10 BAD_NAME: none");
    refused("getProcessInfo", &["site:*"], "10 BAD_NAME: site:*");
    refused("startProcess", &["off:off"], "20 NO_FILE: can't find command '/none'");
    refused("startProcess", &["site:web"], "60 ALREADY_STARTED: site:web");
    refused("stopProcess", &["db"], "70 NOT_RUNNING: db");
    refused("stopProcess", &["late"], "70 NOT_RUNNING: late");
    refused("signalProcess", &["db", "HUP"], "70 NOT_RUNNING: db");
    refused("signalProcess", &["site:web", "NIX"], "11 BAD_SIGNAL: NIX");
    refused("signalProcess", &["db", "NIX"], "11 BAD_SIGNAL: NIX");
    refused("readLog", &["0", "0"], "20 NO_FILE: /var/log/x");
    refused("readProcessStderrLog", &["db", "0", "0"], "20 NO_FILE");
    refused("readProcessLog", &["db", "-1", "1"], "3 BAD_ARGUMENTS");
    refused("readProcessLog", &["db", "0", "-1"], "3 BAD_ARGUMENTS");
    refused("sendProcessStdin", &["late", "x"], "70 NOT_RUNNING: late");
    refused("sendProcessStdin", &["db", ""], "20 NO_FILE: db");
    refused("addProcessGroup", &["site"], "90 ALREADY_ADDED: site");
    refused("removeProcessGroup", &["site"], "91 STILL_RUNNING: site");
    refused("removeProcessGroup", &["none"], "10 BAD_NAME: none");
}

#[test]
fn groups_and_members_are_taken_by_priority() {
    let daemon = fake();
    statuses(ask(&daemon, "supervisor.stopAllProcesses", vec![]));
    assert_eq!(*daemon.done.borrow(), ["stop site:app true", "stop site:web true", "stop off:on true"]);
    // Groups of one priority are not mixed, whatever their members' priorities.
    let started = statuses(asked("startAllProcesses", &[]));
    assert_eq!(started, [("db".into(), 80), ("off".into(), 20), ("late".into(), 80)]);
    let signalled = statuses(asked("signalAllProcesses", &["NIX"]));
    assert_eq!(signalled, [("app".into(), 11), ("web".into(), 11), ("on".into(), 11), ("late".into(), 11)]);
    assert_eq!(statuses(asked("stopProcess", &["site:"])).len(), 2);
    assert_eq!(statuses(asked("signalProcess", &["site:*", "0"])).len(), 2);
}

#[test]
fn all_processes_are_listed_by_group_and_name() {
    let Ok(Value::Array(all)) = asked("getAllProcessInfo", &[]) else { panic!("no list") };
    let names: Vec<_> = all.iter().filter_map(|info| info.get("name")?.as_str()).collect();
    assert_eq!(names, ["db", "late", "off", "on", "app", "web"]);
}

#[test]
fn logs_are_text_whatever_is_cut() {
    assert_eq!(asked("readProcessLog", &["db", "0", "3"]), Ok("gr\u{fffd}".into()));
    assert_eq!(asked("readProcessLog", &["db", "-3", "0"]), Ok("\u{fffd}e\n".into()));
    let tail = asked("tailProcessLog", &["db", "0", "2"]);
    assert_eq!(tail, Ok(vec!["e\n".into(), 8.into(), true.into()].into()));
    assert_eq!(asked("tailProcessStderrLog", &["db", "0", "2"]), Ok(vec!["".into(), 0.into(), false.into()].into()));
}

#[test]
fn wait_is_any_truth() {
    let daemon = fake();
    for wait in [Value::Bool(false), "".into(), Value::Int(0), Value::Int(1), "0".into()] {
        ask(&daemon, "supervisor.startProcess", vec!["db".into(), wait]).unwrap();
    }
    let waits: Vec<bool> = daemon.done.borrow().iter().map(|done| done.ends_with("true")).collect();
    assert_eq!(waits, [false, false, false, true, true]);
}

#[test]
fn many_calls_are_made_one_after_another() {
    let call = |name: &str, params: Vec<Value>| {
        Value::structure([("methodName", name.into()), ("params", Value::Array(params))])
    };
    let calls = vec![
        call("supervisor.getPID", vec![]),
        call("supervisor.startProcess", vec!["none".into()]),
        Value::structure([("methodName", "supervisor.getVersion".into())]),
        Value::structure([("params", Value::Array(vec![]))]),
        call("system.multicall", vec![]),
    ];
    let Ok(Value::Array(results)) = ask(&fake(), "system.multicall", vec![calls.into()]) else { panic!("no list") };
    let fault = |code: i64, text: &str| Value::structure([("faultCode", code.into()), ("faultString", text.into())]);
    let expected = [
        7.into(),
        fault(10, "BAD_NAME: none"),
        "3.0".into(),
        fault(2, "INCORRECT_PARAMETERS: No methodName"),
        fault(2, "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"),
    ];
    assert_eq!(results, expected);
}

#[test]
fn of_many_calls_the_highest_right_counts() {
    let call = |method: &str, params: Vec<Value>| Call { method: method.to_owned(), params };
    let many = |name: &str| vec![vec![Value::structure([("methodName", name.into())])].into()];
    assert_eq!(needs(&call("supervisor.getState", vec![])), Role::Read);
    assert_eq!(needs(&call("supervisor.shutdown", vec![])), Role::Admin);
    assert_eq!(needs(&call("system.multicall", many("supervisor.getPID"))), Role::Read);
    assert_eq!(needs(&call("system.multicall", many("supervisor.stopProcess"))), Role::Control);
}

#[test]
fn during_a_shutdown_only_reading_is_answered() {
    let daemon = Fake { state: DaemonState::Shutdown, ..fake() };
    assert!(ask(&daemon, "supervisor.getAllProcessInfo", vec![]).is_ok());
    assert_eq!(ask(&daemon, "supervisor.shutdown", vec![]), Err(Code::ShutdownState.fault()));
    assert!(ask(&daemon, "supervisor.sendRemoteCommEvent", vec!["a".into(), "b".into()]).is_ok());
    assert_eq!(*daemon.done.borrow(), ["emit a b"]);
    // Or nothing is, as under the original.
    let exact = Fake { answers_while_ending: false, ..daemon };
    assert_eq!(ask(&exact, "supervisor.getAllProcessInfo", vec![]), Err(Code::ShutdownState.fault()));
    assert!(ask(&exact, "supervisor.sendRemoteCommEvent", vec!["a".into(), "b".into()]).is_ok());
    assert!(ask(&exact, "system.listMethods", vec![]).is_ok());
}

#[test]
fn methods_describe_themselves() {
    let signature = ask(&fake(), "system.methodSignature", vec!["supervisor.startProcess".into()]);
    assert_eq!(signature, Ok(vec!["boolean".into(), "string".into(), "boolean".into()].into()));
    let help = ask(&fake(), "system.methodHelp", vec!["supervisor.getPID".into()]);
    assert_eq!(help, Ok("The process id of the daemon.\n\n@return int result\n".into()));
    assert_eq!(ask(&fake(), "system.methodHelp", vec!["x".into()]), Err(Code::SignatureUnsupported.fault()));
    let Ok(Value::Array(all)) = ask(&fake(), "system.listMethods", vec![]) else { panic!("no list") };
    assert_eq!(all.len(), 41);
}

#[test]
fn a_reread_answers_three_lists_in_a_list() {
    let none = || Value::Array(vec![]);
    let three = Value::Array(vec![vec![Value::from("a")].into(), none(), none()]);
    assert_eq!(asked("reloadConfig", &[]), Ok(vec![three].into()));
}
