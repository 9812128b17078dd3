//! `include = ["conf.d/*.toml"]`: the files that a pattern matches, in order.
//!
//! `*` and `?` work within one part of a path, as in a shell; names that begin with a dot need one in the pattern.

use std::fs;
use std::path::{Component, Path, PathBuf};

use muster_spec::glob_matches;

/// Whether a pattern has wildcards and may therefore match nothing.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The files that a pattern names, sorted, and the directories that were listed to find them; a pattern without `*` and
/// `?` names itself, whether it exists or not.
pub(crate) fn expand(directory: &Path, pattern: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut found = vec![PathBuf::new()];
    let mut listed = Vec::new();
    for part in directory.join(pattern).components() {
        match part {
            Component::Normal(name) if name.to_str().is_some_and(is_pattern) => {
                let name = name.to_str().expect("it was text one line above");
                let bases = std::mem::take(&mut found);
                found = bases.iter().flat_map(|base| children(base, name)).collect();
                listed.extend(bases);
            }
            plain => found.iter_mut().for_each(|base| base.push(plain)),
        }
    }
    found.sort();
    (found, listed)
}

fn children(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let matches = |name: &str| glob_matches(pattern, name) && (!name.starts_with('.') || pattern.starts_with('.'));
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(matches))
        .map(|entry| entry.path())
        .collect()
}

/// The `*.toml` files of a directory in the order of their names.
pub(crate) fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = children(directory, "*.toml");
    files.retain(|path| !path.is_dir());
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_in_order_and_plain_names_themselves() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        for name in ["b.toml", "a.toml", ".hidden.toml", "c.txt"] {
            fs::write(here.join(name), "").unwrap();
        }
        fs::create_dir(here.join("sub")).unwrap();
        fs::write(here.join("sub/d.toml"), "").unwrap();
        for (pattern, expected) in [
            ("*.toml", &["a.toml", "b.toml"][..]),
            ("?.t*", &["a.toml", "b.toml", "c.txt"]),
            ("*/*.toml", &["sub/d.toml"]),
            (".*.toml", &[".hidden.toml"]),
            ("none/*.toml", &[]),
            ("missing.toml", &["missing.toml"]),
        ] {
            let expected: Vec<PathBuf> = expected.iter().map(|name| here.join(name)).collect();
            assert_eq!(expand(here, pattern).0, expected, "{pattern}");
        }
        assert_eq!(expand(here, "sub/*.toml").1, [here.join("sub")]);
        assert_eq!(toml_files(here), [here.join("a.toml"), here.join("b.toml")]);
    }
}
