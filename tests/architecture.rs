//! Rules that can be checked in the source: dependencies between crates, where `unsafe` may be used, and links in
//! documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The dependencies allowed between our crates. Two ends of a pipe that share no code can be changed one at a time.
const ARROWS: [(&str, &[&str]); 31] = [
    ("crates/muster-spec", &[]),
    ("crates/muster-core", &["muster-spec"]),
    ("crates/muster-config", &["muster-spec", "muster-schedule"]),
    ("crates/muster-supervisord", &["muster-spec"]),
    ("crates/muster-import", &["muster-spec", "muster-config", "muster-supervisord"]),
    ("crates/muster-convert", &["muster-spec", "muster-config", "muster-import"]),
    ("crates/muster-sys", &["muster-spec"]),
    ("crates/muster-exec", &["muster-spec", "muster-sys"]),
    ("crates/muster-api", &[]),
    ("crates/muster-manual", &[]),
    ("crates/muster-page", &[]),
    ("crates/muster-access", &["muster-spec", "muster-api"]),
    ("crates/muster-listen", &["muster-spec", "muster-sys", "muster-tls"]),
    ("crates/muster-tls", &["muster-spec", "muster-api"]),
    (
        "crates/muster-server",
        &["muster-spec", "muster-access", "muster-api", "muster-listen", "muster-logging", "muster-logs", "muster-sys"],
    ),
    (
        "crates/muster-load",
        &[
            "muster-spec",
            "muster-core",
            "muster-config",
            "muster-import",
            "muster-convert",
            "muster-sys",
            "muster-api",
            "muster-logs",
            "muster-manual",
            "muster-tls",
        ],
    ),
    (
        "crates/muster-logging",
        &["muster-spec", "muster-core", "muster-api", "muster-sys", "muster-logs", "muster-load", "muster-supervisord"],
    ),
    ("crates/muster-notifiers", &["muster-spec", "muster-probes", "muster-sources"]),
    ("crates/muster-notify", &["muster-spec", "muster-core", "muster-logging", "muster-logs", "muster-sys"]),
    ("crates/muster-schedule", &["muster-spec"]),
    ("crates/muster-state", &[]),
    ("crates/muster-secrets", &["muster-spec", "muster-sys"]),
    ("crates/muster-probes", &["muster-spec", "muster-sys", "muster-load"]),
    ("crates/muster-sources", &["muster-spec", "muster-config", "muster-api", "muster-probes", "muster-tls"]),
    ("crates/muster-logs", &["muster-spec", "muster-sys", "muster-api"]),
    ("crates/muster-watch", &["muster-spec", "muster-sys"]),
    ("crates/muster-init", &["muster-spec", "muster-sys"]),
    (
        "crates/muster-simulate",
        &["muster-spec", "muster-core", "muster-config", "muster-schedule", "muster-sys", "muster-api"],
    ),
    (
        "crates/musterctl",
        &["muster-spec", "muster-exec", "muster-api", "muster-manual", "muster-supervisord", "muster-tls"],
    ),
    (
        "crates/musterd",
        &[
            "muster-spec",
            "muster-core",
            "muster-config",
            "muster-exec",
            "muster-import",
            "muster-load",
            "muster-access",
            "muster-listen",
            "muster-logging",
            "muster-notifiers",
            "muster-notify",
            "muster-page",
            "muster-probes",
            "muster-schedule",
            "muster-secrets",
            "muster-server",
            "muster-sources",
            "muster-state",
            "muster-watch",
            "muster-supervisord",
            "muster-sys",
            "muster-api",
            "muster-logs",
            "muster-init",
            "muster-simulate",
        ],
    ),
    (".", &["musterd", "musterctl"]),
];

/// Files with more than 500 lines, each with the reason.
const LONG_FILES: [(&str, &str); 3] = [
    ("crates/muster-api/src/endpoint.rs", "the one list of all routes"),
    ("crates/muster-config/src/keys.rs", "the one list of all keys"),
    (
        "crates/muster-core/tests/exhaustive/model.rs",
        "the independent model, which must not be split along the code's seams",
    ),
];

const MOST_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a directory with one of these extensions, relative to the root.
fn files(directory: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![root().join(directory)];
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_ours =
                path.file_name().is_some_and(|name| name != "target" && !name.to_string_lossy().starts_with('.'));
            if path.is_dir() && is_ours {
                next.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                found.push(path.strip_prefix(root()).map(Path::to_owned).unwrap_or(path));
            }
        }
    }
    found.sort();
    found
}

/// The names under `[dependencies]` of a manifest that are workspace crates.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let (mut inside, mut names) = (false, BTreeSet::new());
    for line in read(manifest).lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-") && !line.contains("workspace.");
        } else if inside && line.starts_with("muster") {
            names.extend(line.split(['.', '=', ' ']).next().map(str::to_owned));
        }
    }
    names
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    for (directory, allowed) in ARROWS {
        let found = dependencies(&root().join(directory).join("Cargo.toml"));
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(found, allowed, "{directory}");
    }
    let crates = fs::read_dir(root().join("crates")).expect("there are crates").flatten().count();
    assert_eq!(crates, ARROWS.len() - 1, "a new crate needs its arrows here, in docs/architecture.md, and a reason");
}

#[test]
fn the_values_depend_on_nothing_and_the_core_on_them_alone() {
    // serde describes their data for recordings; it does no I/O.
    let serde = "serde.workspace = true";
    for (name, expected) in [("muster-spec", serde), ("muster-core", &format!("muster-spec.workspace = true\n{serde}"))]
    {
        let manifest = read(&root().join("crates").join(name).join("Cargo.toml"));
        let after = manifest.split_once("[dependencies]").map_or("", |(_, after)| after);
        let section = after.split("\n[").next().unwrap_or_default();
        assert_eq!(section.trim(), expected);
    }
}

/// For each module of a crate, the modules that its files import, by the names of the files at the crate's root.
fn imports(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(source, &["rs"]) {
        let below = path.strip_prefix(source).expect("it was found there").with_extension("");
        let module = below.iter().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = read(&root().join(&path));
        let others = names_from_the_root(&text).into_iter().filter(|name| *name != module && is_module(source, name));
        imports.entry(module.clone()).or_default().extend(others);
    }
    imports
}

fn is_module(source: &str, name: &str) -> bool {
    let at = root().join(source).join(name);
    at.with_extension("rs").exists() || at.join("mod.rs").exists()
}

/// Every name after `crate::` outside tests, including those in braces.
fn names_from_the_root(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut names = Vec::new();
    for after in code.join("\n").split("crate::").skip(1) {
        let group = after.strip_prefix('{').and_then(|group| group.split('}').next());
        let each = group.unwrap_or(after).split(',').take(if group.is_some() { usize::MAX } else { 1 });
        let words = each.filter_map(|name| name.trim().split(|c: char| !is_word(c)).next());
        names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
    }
    names
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The cyclic rest of a graph: repeatedly removes the modules that import none of the remaining ones.
fn circles(mut imports: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    loop {
        let free: Vec<String> =
            imports.iter().filter(|(_, others)| others.is_empty()).map(|(name, _)| name.clone()).collect();
        if free.is_empty() {
            return imports.into_keys().collect();
        }
        imports.retain(|name, _| !free.contains(name));
        imports.values_mut().for_each(|others| others.retain(|other| !free.contains(other)));
    }
}

#[test]
fn the_files_of_the_core_import_each_other_one_way() {
    let mut found = imports("crates/muster-core/src");
    // The root names every module.
    found.remove("lib");
    assert!(found.len() > 15, "the modules were not found");
    assert_eq!(circles(found), Vec::<String>::new());
}

#[test]
fn the_modules_of_the_daemon_import_each_other_one_way() {
    let mut found = imports("crates/musterd/src");
    // The root names every module.
    found.remove("lib");
    assert!(
        found["boot"].contains("event_loop") && found["event_loop"].contains("shared"),
        "the imports were not found"
    );
    assert_eq!(circles(found), Vec::<String>::new());
}

#[test]
fn the_finder_of_imports_finds_them() {
    let text = "use crate::a::B;\n// crate::comment\nlet x = crate::c();\nuse crate::{d,\n e::F};\n#[cfg(test)]\nmod tests { use crate::t; }";
    assert_eq!(names_from_the_root(text), ["a", "c", "d", "e"]);
}

#[test]
fn the_finder_of_circles_finds_them() {
    let graph = |arrows: &[(&str, &[&str])]| {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        arrows.iter().map(|&(name, others)| (name.to_owned(), set(others))).collect()
    };
    assert_eq!(circles(graph(&[("a", &["b"]), ("b", &["c"]), ("c", &[])])), Vec::<String>::new());
    assert_eq!(circles(graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])])), ["a", "b", "c"]);
}

/// Whether the line uses the word in code: not in a comment, not in a string, and not where it only declares a foreign
/// item.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default().replace("unsafe extern \"C\" {", "");
    let mut outside_of_strings = code.split('"').step_by(2);
    outside_of_strings
        .any(|code| code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe"))
}

#[test]
fn unsafe_stands_in_one_crate_and_says_why_it_is_sound() {
    let this = Path::new("tests/architecture.rs");
    for path in files("crates", &["rs"]).into_iter().chain(files("src", &["rs"])).chain(files("tests", &["rs"])) {
        if path == this {
            continue;
        }
        let text = read(&root().join(&path));
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| has_unsafe(line)) {
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(path.starts_with("crates/muster-sys"), "{place}: unsafe belongs into muster-sys");
            assert!(!is_block(line) || is_explained(&lines, number), "{place}: no SAFETY line before it");
        }
    }
}

/// Whether the line performs an unsafe operation. Declaring an unsafe function does not; calling it does.
fn is_block(line: &str) -> bool {
    line.contains("unsafe {") || line.contains("unsafe impl") || line.trim_end().ends_with("unsafe")
}

/// Whether there is a SAFETY line for this line: in the comment above its statement, at most a few lines up, or in the
/// documentation of an unsafe function.
fn is_explained(lines: &[&str], number: usize) -> bool {
    let above = lines[number.saturating_sub(16)..=number].iter().rev();
    above.map(|line| line.trim()).any(|line| line.contains("SAFETY") || line.contains("# Safety"))
}

#[test]
fn the_finder_of_unsafe_finds_it() {
    for line in ["unsafe { x() }", "    let a = unsafe {", "pub unsafe fn x()", "unsafe impl Send for X {}"] {
        assert!(has_unsafe(line), "{line}");
    }
    for line in [
        "// unsafe",
        "#![forbid(unsafe_code)]",
        "let x = \"unsafe\";",
        "unsafely()",
        "/// `unsafe`",
        "unsafe extern \"C\" {",
    ] {
        assert!(!has_unsafe(line), "{line}");
    }
    assert!(is_block("let a = unsafe { x() };") && !is_block("unsafe fn x() {"));
    assert!(!is_explained(&["fn x() {", "unsafe { y() }"], 1));
    assert!(is_explained(&["// SAFETY: it is.", "unsafe { y() }"], 1));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for path in files("crates", &["rs"]).into_iter().chain(files("tests", &["rs"])) {
        let text = read(&root().join(&path));
        assert!(text.starts_with("//!"), "{} has no module doc", path.display());
    }
}

#[test]
fn long_files_have_a_reason() {
    let long: BTreeSet<String> = files("crates", &["rs"])
        .into_iter()
        .chain(files("tests", &["rs"]))
        .filter(|path| read(&root().join(path)).lines().count() > MOST_LINES)
        .map(|path| path.display().to_string())
        .collect();
    let listed: BTreeSet<String> = LONG_FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(long, listed, "look for a second subject, or say here why there is none");
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut checked = 0;
    for path in files(".", &["md"]) {
        let text = read(&root().join(&path));
        for (number, target) in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            let there = root().join(path.parent().unwrap_or(Path::new(""))).join(file);
            assert!(there.exists(), "{}:{number}: {target} leads nowhere", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no link was found anywhere");
}

/// The targets of `[text](target)`, outside of code, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let (mut inside_code, mut found) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside_code = !inside_code;
        }
        let mut rest = if inside_code { "" } else { line };
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            found.push((number + 1, target));
            rest = after;
        }
    }
    found
}

#[test]
fn the_finder_of_links_finds_them() {
    let text = "[a](x.md) and [b](y.md#there)\n```\n[c](z.md)\n```\n";
    assert_eq!(links(text), [(1, "x.md"), (1, "y.md#there")]);
}
