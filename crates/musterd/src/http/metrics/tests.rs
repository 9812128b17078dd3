//! Names, kinds and the reference page.

use super::*;

#[test]
fn names_and_kinds_follow_the_conventions() {
    for family in FAMILIES {
        assert_eq!(family.name.ends_with("_total"), family.kind == "counter", "{}", family.name);
        assert!(family.help.ends_with('.') && !family.help.contains(['\n', '\\']), "{}", family.name);
        assert!(family.name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{}", family.name);
    }
}

#[test]
fn the_reference_page_lists_every_family() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/api.md");
    let page = std::fs::read_to_string(page).expect("the reference page exists");
    let chapter = page.split("\n## ").find_map(|part| part.strip_prefix("Metrics\n")).expect("the chapter exists");
    let listed: Vec<&str> =
        chapter.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
    let families = FAMILIES.iter().map(|family| family.name);
    let reasons = REASONS.iter().copied();
    assert_eq!(listed, families.chain(reasons).collect::<Vec<_>>());
}
