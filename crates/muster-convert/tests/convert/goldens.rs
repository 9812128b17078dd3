//! Whole conversions, compared with files. `MUSTER_BLESS=1` writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_convert::{Converted, procfile, s6, supervisord};

use crate::loading::{errors, load_text};
use crate::machine::Machine;

fn folder(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(kind);
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_none_or(|extension| extension != "toml" && extension != "report"));
    found.sort();
    found
}

fn compare(source: &Path, converted: &Converted) {
    let report: String = converted.report.lines().iter().map(|line| format!("{line}\n")).collect();
    let beside = |extension: &str| PathBuf::from(format!("{}.{extension}", source.display()));
    for (path, text) in [(beside("toml"), &converted.toml), (beside("report"), &report)] {
        if std::env::var_os("MUSTER_BLESS").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(*text, expected, "{} is stale: MUSTER_BLESS=1 writes it", path.display());
    }
    let variables = ["PORT", "DB_URL", "WORKERS", "APP_USER", "LEVEL"];
    let variables: Vec<(String, String)> = variables.map(|name| (name.to_owned(), "1".to_owned())).into();
    let loaded = load_text(&converted.toml, "/D/muster.toml", &variables);
    assert_eq!(errors(&loaded), Vec::<String>::new(), "{}\n{}", source.display(), converted.toml);
}

#[test]
fn supervisord_configurations_are_written_as_a_person_would() {
    let all = folder("supervisord");
    assert!(all.len() >= 6, "{all:?}");
    for path in all {
        let name = format!("/D/{}", path.file_name().unwrap().to_string_lossy());
        let text = std::fs::read(&path).unwrap();
        let machine = Machine { has_everything: true, ..Machine::small() };
        let converted = supervisord::convert(&[supervisord::Input { path: name, text }], &machine);
        compare(&path, &converted.unwrap());
    }
}

#[test]
fn procfiles_are_written_as_a_person_would() {
    let all = folder("procfile");
    assert!(all.len() >= 2, "{all:?}");
    for path in all {
        let has_env = path.to_string_lossy().contains("env");
        let converted =
            procfile::convert("Procfile", &std::fs::read(&path).unwrap(), has_env, &procfile::Formation::default());
        compare(&path, &converted.unwrap());
    }
}

#[test]
fn s6_directories_are_written_as_a_person_would() {
    let all = folder("s6");
    assert!(all.len() >= 2, "{all:?}");
    for path in all {
        let mut files = BTreeMap::new();
        add(&path, "", &mut files);
        let tree = s6::Tree { root: "rootfs".to_owned(), files };
        compare(&path, &s6::convert(&tree, &|_| None).unwrap());
    }
}

fn add(folder: &Path, path: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        if entry.path().is_dir() {
            add(&entry.path(), &path, files);
        } else {
            files.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn comments_that_are_left_out_are_reported() {
    let text = format!("[program:a]\ncommand=x\n{}", "; c\n".repeat(100_001)).into_bytes();
    let input = supervisord::Input { path: "/D/a.conf".to_owned(), text };
    let report = supervisord::convert(&[input], &Machine::small()).unwrap().report;
    let lines: Vec<String> = report.lines().iter().map(ToString::to_string).collect();
    let line = lines.iter().find(|line| line.contains("lines of comment")).expect("it is reported");
    assert!(line.starts_with("lost /D/a.conf:100003 more than 100000 lines of comment"), "{line}");
}
