//! Lines, comments, continuations and places of the reader of sections.

use super::*;

fn parsed(text: &str) -> (Sections, Noticed) {
    let file: Arc<str> = Arc::from("/f");
    let mut sections = Sections::new(&file);
    let noticed = parse(text, &file, &mut sections);
    (sections, noticed)
}

/// Checks `[s]` with these lines: its keys and values, `key=value|…`.
fn check(lines: &str, expected: &str) {
    let (sections, noticed) = parsed(&format!("[s]\n{lines}"));
    assert_eq!(noticed.bad, [], "{lines}");
    let entries = sections.list()[0].entries.iter().map(|entry| format!("{}={}", entry.key, entry.text));
    assert_eq!(entries.collect::<Vec<_>>().join("|"), expected, "{lines}");
}

#[test]
fn keys_end_at_the_first_delimiter() {
    check("a=b", "a=b");
    check("a : b = c", "a=b = c");
    check("A B\u{a0}= c", "a b=c");
    check("ÄÖ=x", "äö=x");
    check("a=", "a=");
    check("a=b\nA=c\nd=e", "a=c|d=e");
}

#[test]
fn comments_are_found_as_python_3_11_finds_them() {
    check("a=x b;c ;d #e", "a=x b;c ;d");
    check("a=x;y#z", "a=x;y#z");
    check("a=x # y", "a=x");
    check("a=;x", "a=;x");
    check("a=x\u{2003};y", "a=x");
    check("; all\n # all\na=b", "a=b");
    check("a=\"x ;y\"", "a=\"x");
}

#[test]
fn values_go_on_in_deeper_lines() {
    check("a=x\n y\n\n z", "a=x\ny\n\nz");
    check("a=x\n ; note\n y", "a=x\ny");
    check("a=\n x", "a=\nx");
    check("a=x\n\n\nb=y", "a=x|b=y");
    check("  a=x\n  b=y\n   c=z", "a=x|b=y\nc=z");
    check("  a=x\nb=y\n c", "a=x|b=y\nc");
    check("a=x\n \u{c} \n y", "a=x\n\ny");
}

#[test]
fn sections_are_merged_in_the_order_of_their_first_appearance() {
    let (sections, _) = parsed("[b] x\n[a]\nk=1\n  [b]\nl=2\n[b\n=]\nm=3\n[DEFAULT]\nd=4\n");
    let names: Vec<&str> = sections.list().iter().map(|section| section.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(sections.entry(1, "d").unwrap().text, "4");
    assert_eq!(sections.entries(1).map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["k", "l", "m", "d"]);
}

#[test]
fn headers_end_at_the_last_bracket() {
    assert_eq!(ini::Line::new("[a]").header(), Some("a"));
    assert_eq!(ini::Line::new("[a] b]c").header(), Some("a] b"));
    assert_eq!(ini::Line::new("[]]").header(), Some("]"));
    assert_eq!(ini::Line::new("[]").header(), None);
    assert_eq!(ini::Line::new("[a").header(), None);
}

#[test]
fn lines_that_are_nothing_are_noted_and_left_out() {
    let (sections, noticed) = parsed("a=1\n[s]\nfoo\n=x\nb=2");
    let bad: Vec<_> = noticed.bad.iter().map(|line| (line.place.line, line.repr.as_str(), line.homeless)).collect();
    assert_eq!(bad, [(1, "'a=1\\n'", true), (3, "'foo\\n'", false), (4, "'=x\\n'", false)]);
    assert_eq!(sections.list()[0].entries.len(), 1);
}

#[test]
fn places_are_lines_and_columns_in_characters() {
    let (sections, _) = parsed("[s]\n  ä = ö\nb=\n");
    let place = |key: &str| {
        let entry = sections.list()[0].entry(key).unwrap();
        let numbers = |place: &SourcePlace| (place.line, place.column);
        (numbers(&entry.key_place), numbers(&entry.place))
    };
    assert_eq!(place("ä"), ((2, 3), (2, 7)));
    assert_eq!(place("b"), ((3, 1), (3, 3)));
    assert_eq!(sections.list()[0].place.to_string(), "/f:1:1");
}

#[test]
fn here_is_replaced_by_each_file_s_own_directory() {
    let file: Arc<str> = Arc::from("/f");
    let mut sections = Sections::new(&file);
    parse("[a]\nk=%(here)s %%(here)s\n[DEFAULT]\nd=%(here)s\n", &file, &mut sections);
    sections.place_here("/one");
    parse("[a]\nl=%(here)s\n[b]\nd=x\n[c]\n", &file, &mut sections);
    sections.place_here("/two");
    let text = |section: usize, key: &str| sections.entry(section, key).unwrap().text.clone();
    assert_eq!(text(0, "k"), "/one %/one");
    assert_eq!(text(0, "l"), "/two");
    // A default becomes a value of every section that has none.
    assert_eq!((text(0, "d"), text(1, "d"), text(2, "d")), ("/one".into(), "x".into(), "/two".into()));
    assert_eq!(sections.list()[0].entry("k").unwrap().written(), "%(here)s %%(here)s");
}

#[test]
fn what_was_probably_not_meant_is_noted() {
    let check = |lines: &str, expected: &[&str]| {
        let noticed = parsed(&format!("[program:a]\n{lines}")).1;
        let found: Vec<String> = noticed.warnings.iter().map(|warning| warning.message.clone()).collect();
        assert_eq!(found.len(), expected.len(), "{lines}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{lines}: {found}");
        }
    };
    check("command=sh -c 'a ; b'", &["inside single quotes"]);
    check("command=sh -c \"a # b\"", &["inside double quotes"]);
    check("command=it's ; a note", &[]);
    check("command=x b;c ;d #e", &["Python 3.13"]);
    check("command=x\n autostart=false", &["this key is indented"]);
    check("command=x\n [program:b]", &["this section is indented"]);
    check("environment=A=\"1\",\n  B=\"2\"", &[]);
}

#[test]
fn many_keys_are_found_as_few_are() {
    let lines: String = (0..60).map(|at| format!("k{}={at}\n", at % 50)).collect();
    let (sections, _) = parsed(&format!("[s]\n{lines}"));
    let section = &sections.list()[0];
    assert_eq!(section.entries.len(), 50);
    for (key, text) in [("k0", "50"), ("k9", "59"), ("k10", "10"), ("k24", "24"), ("k25", "25"), ("k49", "49")] {
        assert_eq!(section.entry(key).unwrap().text, text, "{key}");
    }
    assert_eq!(section.entry("k50"), None);
}

#[test]
fn comments_stay_with_the_next_key_or_header() {
    let text = "; one\n# two\n[a] ; three\nk=v ; four\n  # five\n w ; six\n;seven\nl=1\n; eight\n";
    let (sections, _) = parsed(text);
    let section = &sections.list()[0];
    assert_eq!(
        section.comments,
        Comments { above: vec!["; one".into(), "# two".into()], behind: Some("; three".into()) }
    );
    assert_eq!(section.entry("k").unwrap().text, "v\nw");
    assert_eq!(section.entry("k").unwrap().comments, Comments { above: vec![], behind: Some("; four".into()) });
    let above = vec!["# five".into(), ";seven".into()];
    assert_eq!(section.entry("l").unwrap().comments, Comments { above, behind: None });
}
