//! supervisord.conf as a main file and as a fragment, from its bytes to what the daemon runs. A first line `#! WORDS` is
//! also the command line; what follows a line `#---` is a second file, `conf.d/a.conf`, for `[include]`.

#![no_main]

use std::collections::BTreeSet;
use std::path::Path;

use muster_config::Role;
use muster_import::supervisord::command_line::{Request, parse};
use muster_import::supervisord::{
    Account, Configuration, Flags, Inherited, Mode, User, World, read, split_command, to_spec,
};

/// A machine with one user, few directories and two files, which may include themselves.
struct Machine<'b> {
    main: &'b [u8],
    included: &'b [u8],
}

impl Machine<'_> {
    fn new(bytes: &[u8]) -> Machine<'_> {
        const BETWEEN: &[u8] = b"\n#---\n";
        let at = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN);
        let (main, included) = at.map_or((bytes, &[][..]), |at| (&bytes[..=at], &bytes[at + BETWEEN.len()..]));
        Machine { main, included }
    }
}

const FILE: &str = "/etc/supervisord.conf";
const INCLUDED: &str = "/etc/conf.d/a.conf";

impl World for Machine<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        vec![("HOME".to_owned(), "/root".to_owned()), ("PORT".to_owned(), "80".to_owned()), ("TOKEN".to_owned(), "topsecret".to_owned())]
    }

    fn cwd(&self) -> String {
        "/".to_owned()
    }

    fn host(&self) -> String {
        "host".to_owned()
    }

    fn uid(&self) -> u32 {
        0
    }

    fn user(&self, key: Account<'_>) -> Option<User> {
        let root = User { id: 0, name: "root".to_owned(), group: 0, home: "/root".to_owned() };
        matches!(key, Account::Name("root") | Account::Id(0)).then_some(root)
    }

    fn group(&self, key: Account<'_>) -> Option<u32> {
        matches!(key, Account::Name("root") | Account::Id(0)).then_some(0)
    }

    fn is_dir(&self, path: &str) -> bool {
        matches!(path, "/" | "/etc" | "/etc/conf.d" | "/tmp")
    }

    fn exists(&self, path: &str) -> bool {
        path == FILE || path == INCLUDED || self.is_dir(path)
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        match directory {
            "/" => vec!["etc".to_owned(), "tmp".to_owned()],
            "/etc" => vec!["supervisord.conf".to_owned(), "conf.d".to_owned()],
            "/etc/conf.d" => vec!["a.conf".to_owned()],
            _ => Vec::new(),
        }
    }

    fn read(&self, path: &str, _: usize) -> std::io::Result<Vec<u8>> {
        match path {
            FILE => Ok(self.main.to_vec()),
            INCLUDED => Ok(self.included.to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

/// The command line of the first line, if that is `#!` and words: to the original it is a comment.
fn command_line(bytes: &[u8], machine: &Machine<'_>) -> Option<Flags> {
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words: Vec<String> = String::from_utf8_lossy(line).split_whitespace().map(str::to_owned).collect();
    match parse(&words, machine) {
        Ok(Request::Run(run)) => Some(run.flags),
        Ok(Request::Help | Request::Version) => None,
        Err(reason) => {
            assert!(!reason.is_empty());
            None
        }
    }
}

/// There is no environment file.
fn no_file(_: &Path, _: Role<'_>) -> std::io::Result<std::fs::File> {
    Err(std::io::ErrorKind::NotFound.into())
}

/// Every process is a program with its words, or one that says why it cannot start, and no name appears twice.
fn check(configuration: &Configuration, machine: &Machine<'_>) {
    let translation = to_spec(configuration, machine, Inherited { umask: 0o022, becomes_user: false }, &no_file, |_| ());
    let programs = &translation.spec.programs;
    let names: BTreeSet<&str> = programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names.len(), programs.len());
    assert!(programs.len() <= configuration.groups.iter().map(|group| group.processes.len()).sum());
    for process in programs.iter().flat_map(|program| &program.instances).map(|instance| &instance.process) {
        assert!(!process.command.is_empty());
    }
    for process in configuration.groups.iter().flat_map(|group| &group.processes) {
        let words = split_command(&process.command).unwrap_or_default();
        assert!(words.len() <= process.command.len());
    }
    translation.warnings.iter().for_each(|warning| assert!(!warning.message.is_empty()));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let machine = Machine::new(bytes);
    let flags = command_line(bytes, &machine);
    // One of the two for each input, so that as many inputs are tried in half the time.
    let mode = if bytes.len().is_multiple_of(2) { Mode::Main } else { Mode::Fragment };
    match read(FILE, mode, &machine) {
        Ok(mut configuration) => {
            if let Some(Err(reason)) = flags.as_ref().map(|flags| flags.apply(&mut configuration.supervisord, &machine)) {
                assert!(!reason.is_empty());
            }
            check(&configuration, &machine);
        }
        Err(mistakes) => mistakes.problems.iter().for_each(|problem| assert!(!problem.message.is_empty())),
    }
});
