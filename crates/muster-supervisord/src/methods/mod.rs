//! The methods of supervisord's XML-RPC interface, over a [`Daemon`] that does what they ask.
//!
//! [`answer`] makes a call. `table` lists all methods; `control` has those that start, stop and signal, `logs` those that
//! read logs. Pure: unknown names, states and orders are judged here, and everything else is the daemon's.

mod args;
mod control;
mod daemon;
mod logs;
mod order;
mod table;
#[cfg(test)]
pub(crate) mod tests;

pub use daemon::{Changes, Channel, Daemon, Log, Member, NotRead, NotStarted, NotWritten, Piece, namespec};
pub use logs::{MAX_READ, Part};
pub use table::{METHODS, Method};

use muster_spec::Role;
use muster_spec::arrange;

use self::args::Args;
use self::control::{Selected, by_priority, select, select_one};
use crate::faults::Code;
use crate::status::DaemonState;
use crate::xmlrpc::{Call, Fault, Value};

/// The version of supervisor whose behaviour this is.
pub const SUPERVISOR_VERSION: &str = "4.3.0";

/// The version of the interface.
const API_VERSION: &str = "3.0";

/// The method that makes several calls.
const MULTICALL: &str = "system.multicall";

/// The least role of a client that may make a call: of several calls, the highest.
pub fn needs(call: &Call) -> Role {
    let of = |name: &str| Method::named(name).map_or(Role::Read, |method| method.needs);
    let inner = call.params.first().filter(|_| call.method == MULTICALL).and_then(Value::as_array);
    let names = inner.into_iter().flatten().filter_map(|call| call.get("methodName")?.as_str());
    names.map(of).fold(of(&call.method), Role::max)
}

/// Whether the size of the response may grow with the number of processes, or with their output.
pub fn is_large(call: &Call) -> bool {
    let is_of_log = |name: &str| name.starts_with("read") || name.starts_with("tail");
    call.method == MULTICALL
        || call.method.strip_prefix("supervisor.").is_some_and(|name| is_of_log(name) || name.contains("All"))
}

/// Makes a call.
pub async fn answer(daemon: &impl Daemon, call: Call) -> Result<Value, Fault> {
    let Call { method, params } = call;
    match method.as_str() {
        MULTICALL => multicall(daemon, arguments(MULTICALL, params)?.any()?).await,
        _ => single(daemon, &method, params).await,
    }
}

/// The arguments of a method, if their number is right.
fn arguments(name: &str, params: Vec<Value>) -> Result<Args, Fault> {
    let method = Method::named(name).ok_or_else(|| Code::UnknownMethod.fault())?;
    if params.len() < method.required || params.len() > method.params.len() {
        return Err(Code::IncorrectParameters.fault());
    }
    Ok(Args::new(params))
}

async fn multicall(daemon: &impl Daemon, calls: Value) -> Result<Value, Fault> {
    let Value::Array(calls) = calls else { return Err(Code::IncorrectParameters.fault()) };
    let mut results = Vec::with_capacity(calls.len());
    for call in calls {
        let result = match inner(call) {
            Ok(Call { method, params }) => single(daemon, &method, params).await,
            Err(fault) => Err(fault),
        };
        results.push(result.unwrap_or_else(|Fault { code, string }| {
            Value::structure([("faultCode", code.into()), ("faultString", string.into())])
        }));
    }
    Ok(Value::Array(results))
}

/// A call in a call of several.
fn inner(call: Value) -> Result<Call, Fault> {
    let params = match call.get("params") {
        None => Vec::new(),
        Some(Value::Array(params)) => params.clone(),
        Some(_) => return Err(Code::IncorrectParameters.fault()),
    };
    match call.get("methodName") {
        Some(Value::Str(name)) if name == MULTICALL => {
            Err(Code::IncorrectParameters.with("Recursive system.multicall forbidden"))
        }
        Some(Value::Str(method)) => Ok(Call { method: method.clone(), params }),
        Some(Value::Nil) | None => Err(Code::IncorrectParameters.with("No methodName")),
        Some(_) => Err(Code::UnknownMethod.fault()),
    }
}

async fn single(daemon: &impl Daemon, method: &str, params: Vec<Value>) -> Result<Value, Fault> {
    let mut args = arguments(method, params)?;
    let changes = Method::named(method).is_some_and(|method| method.needs >= Role::Control);
    let is_gated = changes || method.starts_with("supervisor.") && !daemon.answers_while_ending();
    // Listeners may still communicate.
    if is_gated && daemon.state() != DaemonState::Running && method != "supervisor.sendRemoteCommEvent" {
        return Err(Code::ShutdownState.fault());
    }
    match method.split_once('.') {
        Some(("supervisor", method)) => supervisor(daemon, method, &mut args).await,
        Some(("system", method)) => system(method, &mut args),
        _ => Err(Code::UnknownMethod.fault()),
    }
}

fn system(method: &str, args: &mut Args) -> Result<Value, Fault> {
    let mut named = || {
        let name = args.text()?;
        Method::named(&name).ok_or_else(|| Code::SignatureUnsupported.fault())
    };
    match method {
        "listMethods" => Ok(Value::Array(METHODS.iter().map(|method| method.name.into()).collect())),
        "methodHelp" => Ok(named()?.documentation().into()),
        "methodSignature" => {
            let method = named()?;
            let params = method.params.iter().map(|(kind, _)| *kind);
            Ok(Value::Array([method.result].into_iter().chain(params).map(Value::from).collect()))
        }
        _ => Err(Code::UnknownMethod.fault()),
    }
}

async fn supervisor(daemon: &impl Daemon, method: &str, args: &mut Args) -> Result<Value, Fault> {
    let done = |result: Result<(), Fault>| result.map(|()| Value::Bool(true));
    match method {
        "getAPIVersion" | "getVersion" => Ok(API_VERSION.into()),
        "getSupervisorVersion" => Ok(SUPERVISOR_VERSION.into()),
        "getIdentification" => Ok(daemon.identification().into()),
        "getPID" => Ok(daemon.pid().into()),
        "getState" => Ok(daemon.state().to_value()),
        "getProcessInfo" => {
            let name = args.text()?;
            let info = daemon.info(&select_one(daemon, &name)?).ok_or_else(|| Code::BadName.with(&name))?;
            Ok(info.into_value())
        }
        "getAllProcessInfo" => {
            let mut members = daemon.members();
            arrange::sort_by(&mut members, |a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
            Ok(Value::Array(daemon.infos(&members).await))
        }
        "getAllConfigInfo" => Ok(Value::Array(daemon.configuration())),
        "readLog" | "readMainLog" => logs::read(daemon, Log::Main, (args.int()?, args.int()?)).await,
        "readProcessLog" | "readProcessStdoutLog" => logs::read_of(daemon, args, Channel::Stdout).await,
        "readProcessStderrLog" => logs::read_of(daemon, args, Channel::Stderr).await,
        "tailProcessLog" | "tailProcessStdoutLog" => logs::tail(daemon, args, Channel::Stdout).await,
        "tailProcessStderrLog" => logs::tail(daemon, args, Channel::Stderr).await,
        "clearLog" => done(daemon.clear(None).await),
        "clearProcessLog" | "clearProcessLogs" => {
            let name = args.text()?;
            done(daemon.clear(Some(&select_one(daemon, &name)?)).await)
        }
        "clearAllProcessLogs" => logs::clear_all(daemon).await,
        "startProcess" => control::start(daemon, &args.text()?, args.wait()).await,
        "startProcessGroup" => control::start_members(daemon, group(daemon, &args.text()?)?, args.wait()).await,
        "startAllProcesses" => control::start_members(daemon, by_priority(daemon.members()), args.wait()).await,
        "stopProcess" => control::stop(daemon, &args.text()?, args.wait()).await,
        "stopProcessGroup" => control::stop_members(daemon, group(daemon, &args.text()?)?, args.wait()).await,
        "stopAllProcesses" => control::stop_members(daemon, by_priority(daemon.members()), args.wait()).await,
        "signalProcess" => control::signal(daemon, &args.text()?, &args.any()?).await,
        "signalProcessGroup" => control::signal_members(daemon, group(daemon, &args.text()?)?, &args.any()?).await,
        "signalAllProcesses" => control::signal_members(daemon, by_priority(daemon.members()), &args.any()?).await,
        "sendProcessStdin" => done(control::write(daemon, &args.text()?, &args.text()?).await),
        "sendRemoteCommEvent" => {
            daemon.emit(&args.text()?, &args.text()?);
            Ok(true.into())
        }
        "reloadConfig" => {
            let changes = daemon.reread().await.map_err(|message| Code::CantReread.with(message))?;
            let names = |names: Vec<String>| Value::Array(names.into_iter().map(Value::from).collect());
            let three = vec![names(changes.added), names(changes.changed), names(changes.removed)];
            Ok(Value::Array(vec![Value::Array(three)]))
        }
        "addProcessGroup" => done(daemon.add_group(&args.text()?).await),
        "removeProcessGroup" => {
            let name = args.text()?;
            if group(daemon, &name)?.iter().any(|member| !member.state.is_down()) {
                return Err(Code::StillRunning.with(name));
            }
            done(daemon.remove_group(&name).await)
        }
        "shutdown" => done(daemon.end(DaemonState::Shutdown).await),
        "restart" => done(daemon.end(DaemonState::Restarting).await),
        _ => Err(Code::UnknownMethod.fault()),
    }
}

/// The members of a group, by priority.
fn group(daemon: &impl Daemon, name: &str) -> Result<Vec<Member>, Fault> {
    match select(daemon, &format!("{name}:"))? {
        Selected::Group(members) => Ok(members),
        Selected::One(_) => Err(Code::BadName.with(name)),
    }
}
