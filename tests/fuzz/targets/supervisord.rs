//! supervisord.conf as a main file and as a fragment. A refusal has a first mistake with a place, and every command of
//! an accepted one can be split or says why not.

#![no_main]

use muster_import::supervisord::{Account, Mode, User, World, read, split_command};

/// A machine with one user, one directory and the file itself, which may include itself.
struct Machine<'b>(&'b [u8]);

const FILE: &str = "/etc/supervisord.conf";

impl World for Machine<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        vec![("HOME".to_owned(), "/root".to_owned()), ("PORT".to_owned(), "80".to_owned())]
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
        matches!(path, "/" | "/etc" | "/tmp")
    }

    fn exists(&self, path: &str) -> bool {
        path == FILE || self.is_dir(path)
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        match directory {
            "/" => vec!["etc".to_owned(), "tmp".to_owned()],
            "/etc" => vec!["supervisord.conf".to_owned()],
            _ => Vec::new(),
        }
    }

    fn read(&self, path: &str, _: usize) -> std::io::Result<Vec<u8>> {
        match path {
            FILE => Ok(self.0.to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for mode in [Mode::Main, Mode::Fragment] {
        match read(FILE, mode, &Machine(bytes)) {
            Ok(configuration) => {
                for process in configuration.groups.iter().flat_map(|group| &group.processes) {
                    let words = split_command(&process.command).unwrap_or_default();
                    assert!(words.len() <= process.command.len());
                }
            }
            Err(mistakes) => assert!(!mistakes.problems[0].message.is_empty()),
        }
    }
});
