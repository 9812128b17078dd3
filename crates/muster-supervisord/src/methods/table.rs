//! The registry of methods: one entry each, with signature, help and the role it needs.

use muster_spec::Role;

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its full name.
    pub name: &'static str,
    /// The type of its result.
    pub result: &'static str,
    /// The types and names of its arguments.
    pub params: &'static [(&'static str, &'static str)],
    /// How many of them are required.
    pub required: usize,
    /// The least role of a client that may call it.
    pub needs: Role,
    /// Its purpose, in a sentence.
    pub help: &'static str,
}

impl Method {
    /// The method with this name.
    pub fn named(name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// Its documentation, in the form in which clients look for `@param` and `@return`.
    pub fn documentation(&self) -> String {
        let params = self.params.iter().map(|(kind, name)| format!("@param {kind} {name}\n"));
        format!("{}\n\n{}@return {} result\n", self.help, params.collect::<String>(), self.result)
    }
}

const NAME: (&str, &str) = ("string", "name");
const WAIT: (&str, &str) = ("boolean", "wait");
const SIGNAL: (&str, &str) = ("string", "signal");
const RANGE: [(&str, &str); 2] = [("int", "offset"), ("int", "length")];
const OF_LOG: &[(&str, &str)] = &[NAME, RANGE[0], RANGE[1]];

const fn look(
    name: &'static str,
    result: &'static str,
    params: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Method {
    Method { name, result, params, required: params.len(), needs: Role::Read, help }
}

const fn control(
    name: &'static str,
    result: &'static str,
    params: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Method {
    Method { needs: Role::Control, ..look(name, result, params, help) }
}

const fn admin(
    name: &'static str,
    result: &'static str,
    params: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Method {
    Method { needs: Role::Admin, ..look(name, result, params, help) }
}

/// One whose last argument may be left out.
const fn waiting(
    name: &'static str,
    result: &'static str,
    params: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Method {
    Method { required: params.len() - 1, ..control(name, result, params, help) }
}

const READ: &str = "Reads a part of a log: length bytes from offset on, or all that follow if length is 0. A negative \
                    offset with a length of 0 reads that many bytes at the end.";
const TAIL: &str = "Reads the end of a log: at most length bytes from offset on, moved to the end if there are more. \
                    Returns the text, the size of the log, and whether the offset was moved.";
const CLEAR: &str = "Empties the logs of a process.";
const VERSION: &str = "The version of this interface.";
const MAIN: &str = "Reads a part of the daemon's own log, as readProcessStdoutLog does.";

/// All methods, sorted by name.
pub const METHODS: [Method; 41] = [
    control("supervisor.addProcessGroup", "boolean", &[NAME], "Adds a group of the configuration that was read last."),
    control("supervisor.clearAllProcessLogs", "array", &[], "Empties the logs of all processes."),
    control("supervisor.clearLog", "boolean", &[], "Empties the daemon's own log."),
    control("supervisor.clearProcessLog", "boolean", &[NAME], CLEAR),
    control("supervisor.clearProcessLogs", "boolean", &[NAME], CLEAR),
    look("supervisor.getAPIVersion", "string", &[], VERSION),
    look("supervisor.getAllConfigInfo", "array", &[], "The processes of the configuration that was read last."),
    look("supervisor.getAllProcessInfo", "array", &[], "All processes, sorted by group and name."),
    look("supervisor.getIdentification", "string", &[], "The identifier of the daemon."),
    look("supervisor.getPID", "int", &[], "The process id of the daemon."),
    look("supervisor.getProcessInfo", "struct", &[NAME], "One process."),
    look("supervisor.getState", "struct", &[], "The state of the daemon: statecode and statename."),
    look("supervisor.getSupervisorVersion", "string", &[], "The version of supervisor that the daemon behaves as."),
    look("supervisor.getVersion", "string", &[], VERSION),
    look("supervisor.readLog", "string", &RANGE, MAIN),
    look("supervisor.readMainLog", "string", &RANGE, MAIN),
    look("supervisor.readProcessLog", "string", OF_LOG, READ),
    look("supervisor.readProcessStderrLog", "string", OF_LOG, READ),
    look("supervisor.readProcessStdoutLog", "string", OF_LOG, READ),
    control(
        "supervisor.reloadConfig",
        "array",
        &[],
        "Reads the configuration. Returns the groups that were added, changed and removed; nothing is applied.",
    ),
    control("supervisor.removeProcessGroup", "boolean", &[NAME], "Removes a group whose processes have ended."),
    admin("supervisor.restart", "boolean", &[], "Stops all programs and starts again with a new configuration."),
    control(
        "supervisor.sendProcessStdin",
        "boolean",
        &[NAME, ("string", "chars")],
        "Writes to the standard input of a process.",
    ),
    control(
        "supervisor.sendRemoteCommEvent",
        "boolean",
        &[("string", "type"), ("string", "data")],
        "Sends an event to the event listeners.",
    ),
    admin("supervisor.shutdown", "boolean", &[], "Stops all programs; the daemon exits after that."),
    control("supervisor.signalAllProcesses", "array", &[SIGNAL], "Signals all processes that run."),
    control("supervisor.signalProcess", "boolean", &[NAME, SIGNAL], "Signals a process."),
    control("supervisor.signalProcessGroup", "array", &[NAME, SIGNAL], "Signals the processes of a group that run."),
    waiting("supervisor.startAllProcesses", "array", &[WAIT], "Starts all processes that do not run."),
    waiting("supervisor.startProcess", "boolean", &[NAME, WAIT], "Starts a process, or a group as group:*."),
    waiting("supervisor.startProcessGroup", "array", &[NAME, WAIT], "Starts the processes of a group."),
    waiting("supervisor.stopAllProcesses", "array", &[WAIT], "Stops all processes."),
    waiting("supervisor.stopProcess", "boolean", &[NAME, WAIT], "Stops a process, or a group as group:*."),
    waiting("supervisor.stopProcessGroup", "array", &[NAME, WAIT], "Stops the processes of a group."),
    look("supervisor.tailProcessLog", "array", OF_LOG, TAIL),
    look("supervisor.tailProcessStderrLog", "array", OF_LOG, TAIL),
    look("supervisor.tailProcessStdoutLog", "array", OF_LOG, TAIL),
    look("system.listMethods", "array", &[], "The names of all methods."),
    look("system.methodHelp", "string", &[NAME], "What a method does."),
    look("system.methodSignature", "array", &[NAME], "The type of a method's result, and those of its arguments."),
    look(
        "system.multicall",
        "array",
        &[("array", "calls")],
        "Makes calls one after another, each a struct with methodName and params. Returns their results; a fault is a \
         struct with faultCode and faultString.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_sorted_and_have_help() {
        assert!(METHODS.is_sorted_by_key(|method| method.name));
        assert!(METHODS.iter().all(|method| method.help.ends_with('.')));
    }
}
