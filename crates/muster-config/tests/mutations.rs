//! Loading handles any file: no panic, every place within the text, a spec only if there is no error.
//!
//! Real configurations are mutated by a seeded generator; `MUSTER_SEED` and `MUSTER_ROUNDS` choose others, and a
//! failure prints its seed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop where it stands, and ask its environment"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use muster_config::{Machine, Severity, Source, load};

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

const TOKENS: [&str; 40] = [
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "#",
    "\n",
    "\\",
    "${",
    "$$",
    "{{",
    "}}",
    "{name}",
    "${A:-",
    ",",
    "-1",
    "1e999",
    "nan",
    "true",
    "[program.x]",
    "[[program.x]]",
    "program",
    "include = [\"*\"]",
    "env_file = \".\"",
    "\u{0}",
    "\u{feff}",
    "é",
    "\u{1f600}",
    "stopwaitsecs",
    "PASSWORD = \"x",
    "0x",
    "numprocs = 1000",
    "9223372036854775808",
    "1979-05-27",
    "\r\n",
    ":",
];

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() + 1);
        match random.below(5) {
            0 => drop(text.splice(at..(at + 1).min(text.len()), [random.next() as u8])),
            1 => drop(text.drain(at..(at + random.below(40)).min(text.len()))),
            2 => drop(text.splice(at..at, TOKENS[random.below(TOKENS.len())].bytes())),
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let part = other[from..(from + random.below(200)).min(other.len())].to_vec();
                drop(text.splice(at..at, part));
            }
            _ => text.truncate(at.max(text.len() / 2)),
        }
    }
    text
}

fn check(path: &Path, text: &[u8]) {
    fs::write(path, text).unwrap();
    let paths = [path.to_owned()];
    let mut loaded = load(&Source::unguarded(&paths, &|_| None, "box"));
    loaded.lint(&mut Machine { variables: &|_| None, look_up: &mut |_| None });
    let has_errors = loaded.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(loaded.spec.is_none(), has_errors);
    for diagnostic in &loaded.diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1 && !diagnostic.message.is_empty());
        if let Some(excerpt) = &diagnostic.excerpt {
            assert!(excerpt.text.get(excerpt.span.clone()).is_some(), "{diagnostic:?}");
        }
    }
    loaded.render(true);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_text_makes_a_load_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = vec![fs::read(root.join("../../config/muster.toml")).unwrap()];
    for entry in fs::read_dir(root.join("../../config/examples")).unwrap() {
        seeds.push(fs::read(entry.unwrap().path()).unwrap());
    }
    let table = fs::read_to_string(root.join("tests/data/mistakes.txt")).unwrap();
    seeds.extend(table.split("---\n").map(|case| case.as_bytes().to_vec()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    let first = number("MUSTER_SEED", 1);
    for seed in first..first + number("MUSTER_ROUNDS", 600) {
        let text = mutate(&mut Random(seed), &seeds);
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&path, &text)));
        assert!(outcome.is_ok(), "MUSTER_SEED={seed} MUSTER_ROUNDS=1:\n{}", String::from_utf8_lossy(&text));
    }
}
