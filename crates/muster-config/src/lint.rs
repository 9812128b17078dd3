//! Checks against the machine: commands, directories and users that do not exist.
//!
//! For `musterd check` only. A load skips them: the daemon's start should not wait for a thousand lookups, and something
//! missing now may exist when the program starts. So they are warnings, except where no later change could help.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_spec::{InstanceSpec, ProcessSpec, UserSpec};

use crate::build::{Loaded, Places};
use crate::diagnostic::{Finding, Place, Severity, locate_first};
use crate::field::Owner;

/// A user or group that a configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// The user a program runs as.
    User(&'a UserSpec),
    /// A supplementary group.
    Group(&'a str),
    /// A user of the control socket.
    Client(&'a str),
}

/// A problem with a user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Error or warning.
    pub severity: Severity,
    /// The message.
    pub message: String,
    /// How to fix it.
    pub hint: String,
}

/// Access to the machine beyond the file system.
pub struct Machine<'a> {
    /// The daemon's environment, for its `PATH`.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// Looks up a user or group; returns the problem, if any.
    pub look_up: &'a mut dyn FnMut(Who<'_>) -> Option<Unfit>,
}

impl Loaded {
    /// Adds warnings and errors about commands, directories and users. Does nothing if the load had errors, since there is
    /// no spec then.
    pub fn lint(&mut self, machine: &mut Machine<'_>) {
        let Some(spec) = &self.spec else { return };
        let mut findings: Vec<Finding> = Vec::new();
        let mut told = HashSet::new();
        let clients = spec.control.allow_users.iter().chain(&spec.control.readonly_users);
        let unfit = clients.filter_map(|user| (machine.look_up)(Who::Client(user)));
        for (unfit, place) in unfit.zip(self.clients_at.into_iter().cycle()) {
            findings.push(finding(Owner::Table("http"), place, unfit));
        }
        for (program, places) in spec.programs.iter().zip(&self.places) {
            for instance in &program.instances {
                let new = lint_instance(&program.name, instance, places, machine);
                findings.extend(new.into_iter().filter(|finding| told.insert(finding.clone())));
            }
        }
        self.diagnostics.extend(locate_first(findings, &self.texts, &self.disguises.secrets));
    }
}

fn lint_instance(program: &str, instance: &InstanceSpec, places: &Places, machine: &mut Machine<'_>) -> Vec<Finding> {
    let owner = Owner::Program(program);
    let warning = |place: Place, (message, hint): (String, String)| {
        finding(owner, place, Unfit { severity: Severity::Warning, message, hint })
    };
    let process = &instance.process;
    let command = command_problem(process, machine.variables).map(|problem| warning(places.command, problem));
    let directory = process.directory.as_deref().and_then(directory_problem);
    let directory = directory.map(|problem| warning(places.directory, problem));
    let user = process.user.as_ref().and_then(|user| (machine.look_up)(Who::User(user)));
    let user = user.map(|unfit| finding(owner, places.user, unfit));
    let groups: Vec<Unfit> =
        process.groups.iter().flatten().filter_map(|group| (machine.look_up)(Who::Group(group))).collect();
    let groups = groups.into_iter().map(|unfit| finding(owner, places.groups, unfit));
    let mut of_hooks = Vec::new();
    for (hook, spec) in instance.hooks.iter() {
        let (place, process) = (places.hooks[hook as usize], spec.process(process));
        let named = |message: String| format!("{}: {message}", hook.name());
        let problem = command_problem(&process, machine.variables);
        of_hooks.extend(problem.map(|(message, hint)| warning(place, (named(message), hint))));
        let unfit = spec.user.as_ref().and_then(|user| (machine.look_up)(Who::User(user)));
        of_hooks.extend(unfit.map(|it| finding(owner, place, Unfit { message: named(it.message), ..it })));
    }
    command.into_iter().chain(of_hooks).chain(directory).chain(user).chain(groups).collect()
}

fn finding(owner: Owner<'_>, place: Place, unfit: Unfit) -> Finding {
    owner.finding(unfit.severity, place, unfit.message).hint(unfit.hint)
}

type Problem = (String, String);

fn command_problem(process: &ProcessSpec, variables: &dyn Fn(&str) -> Option<String>) -> Option<Problem> {
    let command = process.command.first()?;
    if command.contains('/') {
        let path = match &process.directory {
            Some(directory) => directory.join(command),
            None => PathBuf::from(command),
        };
        return executable_problem(command, &path);
    }
    let path = search_path(process, variables);
    let candidates: Vec<PathBuf> = path.split(':').map(|directory| Path::new(directory).join(command)).collect();
    if candidates.iter().any(|candidate| is_executable(candidate)) {
        return None;
    }
    match candidates.iter().find(|candidate| candidate.is_file()) {
        Some(found) => executable_problem(command, found),
        None => Some((
            format!("command {command:?} is not in PATH"),
            format!("PATH is {path}; install it, or give its path"),
        )),
    }
}

/// The path that execvpe(3) searches when PATH is not set.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn search_path(process: &ProcessSpec, variables: &dyn Fn(&str) -> Option<String>) -> String {
    let own = process.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let inherited = || if process.clean_environment { None } else { variables("PATH") };
    own.or_else(inherited).unwrap_or_else(|| USUAL_PATH.to_owned())
}

fn executable_problem(command: &str, path: &Path) -> Option<Problem> {
    let reason = match path.metadata() {
        Err(error) => format!("command {command:?} cannot be found: {}", reason(&error, "no such file")),
        Ok(about) if about.is_dir() => format!("command {command:?} is a directory"),
        Ok(_) if !is_executable(path) => format!("command {command:?} is not executable"),
        Ok(_) => return None,
    };
    let hint = format!("look at {}", path.display());
    Some((reason, hint))
}

fn reason(error: &io::Error, missing: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => missing.to_owned(),
        kind => kind.to_string(),
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

fn directory_problem(directory: &Path) -> Option<Problem> {
    let problem = match directory.metadata() {
        Err(error) => {
            format!("directory {} cannot be used: {}", directory.display(), reason(&error, "no such directory"))
        }
        Ok(about) if !about.is_dir() => format!("directory {} is not a directory", directory.display()),
        Ok(_) => return None,
    };
    Some((problem, "it must exist when the program starts".to_owned()))
}
