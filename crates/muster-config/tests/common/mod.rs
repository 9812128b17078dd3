//! Configurations in temporary directories, loaded in a fixed environment.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use muster_config::{Loaded, Source, load};
use muster_spec::{InstanceSpec, ProgramSpec, Spec};

/// A directory with files in it.
pub(crate) struct Here(pub(crate) tempfile::TempDir);

impl Here {
    pub(crate) fn new(files: &[(&str, &str)]) -> Here {
        let here = Here(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = here.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        here
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn load(&self, names: &[&str]) -> Loaded {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let variables = |name: &str| match name {
            "PORT" => Some("8080".to_owned()),
            "WORKERS" => Some("3".to_owned()),
            "EMPTY" => Some(String::new()),
            "PATH" => Some("/usr/bin:/bin".to_owned()),
            "TRICK" => Some("two words {name} ${PORT}".to_owned()),
            _ => None,
        };
        load(&Source::unguarded(&paths, &variables, "box"))
    }

    pub(crate) fn spec(&self, names: &[&str]) -> Spec {
        let loaded = self.load(names);
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
        loaded.spec.unwrap()
    }

    pub(crate) fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

pub(crate) fn spec(text: &str) -> Spec {
    Here::new(&[("c.toml", text)]).spec(&["c.toml"])
}

pub(crate) fn program(spec: &Spec, name: &str) -> ProgramSpec {
    spec.programs.iter().find(|program| program.name == name).unwrap().as_ref().clone()
}

pub(crate) fn only(keys: &str) -> ProgramSpec {
    program(&spec(&format!("[program.web]\ncommand = \"x\"\n{keys}")), "web")
}

pub(crate) fn instance(spec: &Spec, program_name: &str, index: usize) -> InstanceSpec {
    program(spec, program_name).instances[index].as_ref().clone()
}

pub(crate) fn environment(spec: &Spec, name: &str) -> Vec<(String, String)> {
    instance(spec, name, 0).process.environment.clone()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn pairs_of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
