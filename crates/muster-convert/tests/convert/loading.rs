//! Loads a written configuration as musterd does, from memory.

use std::io::Write;
use std::path::{Path, PathBuf};

use muster_config::{Loaded, Role, Severity, Source, load};

/// Loads a text as if it were this file.
pub(crate) fn load_text(text: &str, path: &str, variables: &[(String, String)]) -> Loaded {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let paths = [PathBuf::from(path)];
    let variables = |wanted: &str| {
        let found = variables.iter().rev().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    let (named, written) = (paths[0].clone(), file.path().to_owned());
    let open = move |wanted: &Path, _: Role<'_>| match wanted == named {
        true => std::fs::File::open(&written),
        false => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    load(&Source {
        paths: &paths,
        variables: &variables,
        host: "vm",
        open: &open,
        certificates: &muster_config::any_certificate,
        processors: &muster_config::one_processor,
    })
}

/// The errors of a load.
pub(crate) fn errors(loaded: &Loaded) -> Vec<String> {
    let errors = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    errors.map(|found| format!("{}:{}: {}", found.line, found.column, found.message)).collect()
}
