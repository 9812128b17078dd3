//! Calls of the server with their answers as types. A field that is missing, or of another type, is an exception as in
//! Python.

use super::{Failure, Server, World};
use crate::xmlrpc::{Fault, Value};

/// A process, as far as a command looks at it.
pub(super) struct Process {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) state: i64,
    pub(super) statename: String,
    pub(super) description: String,
    pub(super) pid: i64,
}

/// One result of a call for several processes, or the fault of a call for one.
pub(super) struct Outcome {
    pub(super) group: String,
    /// `None` where a whole group was named.
    pub(super) name: Option<String>,
    pub(super) status: i64,
    pub(super) description: String,
}

/// A configured process.
pub(super) struct Configured {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) is_used: bool,
    pub(super) is_autostarted: bool,
    pub(super) group_priority: i64,
    pub(super) priority: i64,
}

/// The names of groups that differ from the active configuration.
pub(super) struct Changes {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
}

/// The server.
pub(super) struct Supervisor<'w> {
    pub(super) world: &'w mut dyn World,
    pub(super) server: &'w Server,
}

impl Supervisor<'_> {
    /// Calls `supervisor.METHOD`.
    pub(super) fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, Failure> {
        self.world.call(self.server, &format!("supervisor.{method}"), params)
    }

    /// Calls a method with names, and looks at its success alone.
    pub(super) fn order(&mut self, method: &str, names: &[&str]) -> Result<(), Failure> {
        let names: Vec<Value> = names.iter().map(|&name| name.into()).collect();
        self.call(method, &names).map(drop)
    }

    /// Calls a method that answers with a text.
    pub(super) fn text(&mut self, method: &str, params: &[Value]) -> Result<String, Failure> {
        match self.call(method, params)? {
            Value::Str(text) => Ok(text),
            Value::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Err(unexpected()),
        }
    }

    /// Calls a method that answers with results.
    pub(super) fn outcomes(&mut self, method: &str, names: &[&str]) -> Result<Vec<Outcome>, Failure> {
        let names: Vec<Value> = names.iter().map(|&name| name.into()).collect();
        let answer = self.call(method, &names)?;
        items(answer)?.into_iter().map(outcome).collect()
    }

    /// `getAllProcessInfo`.
    pub(super) fn processes(&mut self) -> Result<Vec<Process>, Failure> {
        let answer = self.call("getAllProcessInfo", &[])?;
        items(answer)?.into_iter().map(process).collect()
    }

    /// `getProcessInfo`.
    pub(super) fn process(&mut self, name: &str) -> Result<Process, Failure> {
        process(self.call("getProcessInfo", &[name.into()])?)
    }

    /// `getPID`.
    pub(super) fn pid(&mut self) -> Result<i64, Failure> {
        self.call("getPID", &[])?.as_int().ok_or_else(unexpected)
    }

    /// `getAllConfigInfo`.
    pub(super) fn configured(&mut self) -> Result<Vec<Configured>, Failure> {
        let answer = self.call("getAllConfigInfo", &[])?;
        items(answer)?.into_iter().map(configured).collect()
    }

    /// `reloadConfig`.
    pub(super) fn reload(&mut self) -> Result<Changes, Failure> {
        let answer = self.call("reloadConfig", &[])?;
        let [added, changed, removed] = list(&answer)?.first().map(list).transpose()?.unwrap_or_default() else {
            return Err(unexpected());
        };
        Ok(Changes { added: names(added)?, changed: names(changed)?, removed: names(removed)? })
    }
}

impl Outcome {
    /// The fault of a call for one process, or for a group.
    pub(super) fn of_fault(group: &str, name: Option<&str>, fault: Fault) -> Outcome {
        let (group, name) = (group.to_owned(), name.map(str::to_owned));
        Outcome { group, name, status: fault.code, description: fault.string }
    }
}

fn unexpected() -> Failure {
    Failure::other("TypeError", "the server's answer has another type than expected")
}

fn list(value: &Value) -> Result<&[Value], Failure> {
    value.as_array().ok_or_else(unexpected)
}

fn items(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(unexpected()),
    }
}

fn names(value: &Value) -> Result<Vec<String>, Failure> {
    list(value)?.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(unexpected)).collect()
}

fn field(value: &mut Value, name: &str) -> Result<Value, Failure> {
    value.take(name).ok_or_else(|| Failure::other("KeyError", crate::python::repr(name)))
}

fn text(value: &mut Value, name: &str) -> Result<String, Failure> {
    match field(value, name)? {
        Value::Str(text) => Ok(text),
        _ => Err(unexpected()),
    }
}

fn number(value: &mut Value, name: &str) -> Result<i64, Failure> {
    field(value, name)?.as_int().ok_or_else(unexpected)
}

fn process(mut value: Value) -> Result<Process, Failure> {
    Ok(Process {
        group: text(&mut value, "group")?,
        name: text(&mut value, "name")?,
        state: number(&mut value, "state")?,
        statename: text(&mut value, "statename")?,
        description: text(&mut value, "description")?,
        pid: number(&mut value, "pid")?,
    })
}

fn outcome(mut value: Value) -> Result<Outcome, Failure> {
    Ok(Outcome {
        group: text(&mut value, "group")?,
        name: Some(text(&mut value, "name")?),
        status: number(&mut value, "status")?,
        description: text(&mut value, "description")?,
    })
}

fn configured(mut value: Value) -> Result<Configured, Failure> {
    Ok(Configured {
        group: text(&mut value, "group")?,
        name: text(&mut value, "name")?,
        is_used: field(&mut value, "inuse")?.is_true(),
        is_autostarted: field(&mut value, "autostart")?.is_true(),
        group_priority: number(&mut value, "group_prio")?,
        priority: number(&mut value, "process_prio")?,
    })
}
