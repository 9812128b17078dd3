//! What only the file system can tell: commands that are not there, directories that do not exist.
//!
//! For `musterd check`. A load does not do this: a daemon's start should not wait for a thousand look-ups, and what is
//! missing now may be there when the program starts. So these are warnings.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_core::spec::{InstanceSpec, ProcessSpec};

use crate::build::Loaded;
use crate::diagnostic::{Finding, Place, Severity, locate};
use crate::field::Owner;
use crate::secrets::Secrets;

impl Loaded {
    /// Adds warnings about commands that cannot be run and directories that do not exist. Needs the spec, so it does
    /// nothing where there are errors. `variables` is the daemon's environment, for its `PATH`.
    pub fn lint(&mut self, variables: &dyn Fn(&str) -> Option<String>) {
        let Some(spec) = &self.spec else { return };
        let mut findings: Vec<Finding> = Vec::new();
        for (program, &place) in spec.programs.iter().zip(&self.commands_at) {
            for instance in &program.instances {
                let new = lint_instance(&program.name, instance, place, variables, &self.disguises.secrets);
                findings.extend(new.into_iter().filter(|finding| !findings.contains(finding)).collect::<Vec<_>>());
            }
        }
        self.diagnostics.extend(findings.into_iter().map(|finding| locate(finding, &self.texts)));
    }
}

fn lint_instance(
    program: &str,
    instance: &InstanceSpec,
    place: Place,
    variables: &dyn Fn(&str) -> Option<String>,
    secrets: &Secrets,
) -> Vec<Finding> {
    let warning = |(message, hint): (String, String)| {
        Owner::Program(program).finding(Severity::Warning, place, secrets.mask(&message)).hint(secrets.mask(&hint))
    };
    let process = &instance.process;
    let command = command_problem(process, variables);
    let directory = process.directory.as_deref().and_then(directory_problem);
    command.into_iter().chain(directory).map(warning).collect()
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
            format!("PATH is {path}; install it, or name it with its path"),
        )),
    }
}

/// What execvpe(3) searches when there is no PATH.
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
        Ok(about) if !about.is_dir() => format!("directory {} is no directory", directory.display()),
        Ok(_) => return None,
    };
    Some((problem, "it must be there when the program starts".to_owned()))
}
