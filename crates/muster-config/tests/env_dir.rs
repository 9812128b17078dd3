//! `env_dir`: a directory whose files are variables.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use std::fs;

use common::{Here, environment, instance, pairs};
use muster_config::LookedAt;

#[test]
fn each_file_is_a_variable_between_env_file_and_environment() {
    let here = Here::new(&[
        (
            "c.toml",
            "[musterd]\nenvironment = { GONE = \"d\", BACK = \"d\" }\n[program.web]\ncommand = \"x\"\nnumprocs = 2
             environment = { OWN = \"own\", BACK = \"own\" }\nenv_file = \"web.env\"\nenv_dir = [\"one\", \"?no\", \"two\"]\nuser = \"root\"",
        ),
        ("web.env", "A=file\nB=file"),
        ("one/A", "directory\n"),
        ("one/TWO_LINES", "a\nb\n\n"),
        ("one/NUL", "a\0b"),
        ("one/CR", "a\r\nb"),
        ("one/NOTHING", "\n"),
        ("one/GONE", ""),
        ("one/HOME", ""),
        ("one/BACK", ""),
        ("one/OWN", "directory"),
        ("one/.hidden", "x"),
        ("one/sub/file", "x"),
        ("two/A", "later"),
    ]);
    let loaded = here.load(&["c.toml"]);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    let looked_at = |path: &str| loaded.looked_at.contains(&LookedAt::Directory(here.path(path)));
    assert!(looked_at("one") && looked_at("two") && looked_at("no"), "{:?}", loaded.looked_at);
    assert!(loaded.looked_at.contains(&LookedAt::File(here.path("one/A"))));
    assert_eq!(loaded.files.iter().filter(|path| path.ends_with("one/A")).count(), 1);
    let spec = loaded.spec.unwrap();
    let expected = [
        ("A", "later"),
        ("B", "file"),
        ("BACK", "own"),
        ("CR", "a\r\nb"),
        ("NOTHING", ""),
        ("NUL", "a\nb"),
        ("OWN", "own"),
        ("TWO_LINES", "a\nb\n"),
    ];
    assert_eq!(environment(&spec, "web"), pairs(&expected));
    assert_eq!(instance(&spec, "web", 1).process.unset, ["GONE", "HOME"]);
}

#[test]
fn a_mounted_config_map_is_read_through_its_links() {
    let here = Here::new(&[
        ("c.toml", "[program.web]\ncommand = \"x\"\nenv_dir = \"map\""),
        ("map/..2026_11_29/COLOUR", "blue"),
        ("map/..2026_11_29/app.properties", "a=b"),
    ]);
    std::os::unix::fs::symlink("..2026_11_29", here.path("map/..data")).unwrap();
    for name in ["COLOUR", "app.properties"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), here.path("map").join(name)).unwrap();
    }
    let loaded = here.load(&["c.toml"]);
    assert!(loaded.diagnostics.is_empty(), "{}", here.short(&loaded.render(false)));
    let spec = loaded.spec.unwrap();
    assert_eq!(environment(&spec, "web"), pairs(&[("COLOUR", "blue"), ("app.properties", "a=b")]));
}

#[test]
fn mistakes_are_named_and_values_are_not() {
    let here = Here::new(&[
        (
            "c.toml",
            "[program.a]\ncommand = \"x\"\nenv_dir = [\"odd\", \"missing\", \"file\", \"\"]\n[program.b]\ncommand = \"x\"\nenv_dir = \"bytes\"",
        ),
        ("odd/A=B", "hunter2"),
        ("odd/a b", "hunter2"),
        ("odd/FINE", "hunter2"),
        ("file", "hunter2"),
    ]);
    fs::create_dir(here.path("bytes")).unwrap();
    fs::write(here.path("bytes/LATIN"), b"hunter2\xe9").unwrap();
    let loaded = here.load(&["c.toml"]);
    let text = here.short(&loaded.render(false));
    assert!(!text.contains("hunter2"), "{text}");
    let mut lines: Vec<_> = loaded.diagnostics.iter().map(|it| here.short(&it.headline())).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "c.toml:3:12: program \"a\": env_dir leaves out \"A=B\" and 1 more in odd: not a name of a variable",
            "c.toml:3:19: program \"a\": env_dir cannot be read: missing: no such file",
            "c.toml:3:30: program \"a\": env_dir is no directory: file",
            "c.toml:3:38: program \"a\": env_dir must be a path: \"\"",
            "c.toml:6:11: program \"b\": env_dir cannot be read: bytes/LATIN: not UTF-8 text",
        ]
    );
}

#[test]
fn a_directory_cannot_fill_the_memory_of_the_daemon() {
    let here = Here::new(&[("c.toml", "[program.a]\ncommand = \"x\"\nenv_dir = [\"long\", \"many\"]")]);
    for directory in ["long", "many"] {
        fs::create_dir(here.path(directory)).unwrap();
    }
    // Sparse: they cost their owner nothing.
    let sparse = |name: &str, length: u64| fs::File::create(here.path(name)).unwrap().set_len(length).unwrap();
    sparse("long/A", 16 * 1024 * 1024);
    for number in 0..1000 {
        sparse(&format!("many/V{number}"), 128 * 1024);
    }
    let loaded = here.load(&["c.toml"]);
    let lines: Vec<_> = loaded.diagnostics.iter().map(|it| here.short(&it.headline())).collect();
    assert_eq!(
        lines,
        [
            "c.toml:3:12: program \"a\": env_dir cannot be read: long/A: larger than 128 KiB, which no variable can be",
            "c.toml:3:20: program \"a\": env_dir has more than 2 MiB: many",
        ]
    );
}
