//! Tests of the module above.

use super::*;
use std::time::{Duration, UNIX_EPOCH};

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_435_200_120)
}

fn lines(format: LineFormat) -> Lines {
    Style { format, timestamps: false, colour: false }.lines_of("web", Source::Stdout, 7)
}

/// The output of a stream that is read in these pieces, and the number of lines counted.
fn told_by(mut lines: Lines, pieces: &[&[u8]]) -> (String, u64) {
    let mut out = Vec::new();
    let count = pieces.iter().map(|piece| lines.push(piece, noon(), &mut out)).sum();
    lines.end(noon(), &mut out);
    (out.iter().map(|&byte| char::from(byte)).collect(), count)
}

fn told(pieces: &[&[u8]]) -> String {
    told_by(lines(LineFormat::Text), pieces).0
}

fn told_raw(pieces: &[&[u8]]) -> String {
    told_by(lines(LineFormat::Raw), pieces).0
}

#[test]
fn lines_are_whole_however_they_are_read() {
    let expected = "web | one\nweb | \nweb | two\n";
    assert_eq!(told(&[b"one\n\ntwo\n"]), expected);
    assert_eq!(told(&[b"on", b"e", b"\n\nt", b"wo", b"\n"]), expected);
    assert_eq!(told(&[b"one\n\ntwo"]), expected, "a last line without an end");
    assert_eq!(told_raw(&[b"on", b"e", b"\n\nt", b"wo", b"\n"]), "one\n\ntwo\n");
    assert_eq!(told_raw(&[b"one\n\ntwo"]), "one\n\ntwo\n");
    for format in [LineFormat::Text, LineFormat::Raw, LineFormat::Json] {
        assert_eq!(told_by(lines(format), &[b"a\nb", b"\n\nc\nd"]).1, 4);
    }
}

#[test]
fn text_keeps_colours_and_obeys_nothing_else_and_raw_bytes_stay() {
    assert_eq!(told(&[b"\x1b[31mred\r\0\xff\n"]), "web | \x1b[31mred\\r\\x00\u{ff}\n");
    assert_eq!(told(&[b"\x1b[8mx\x1b]0;t\x07\r\n"]), "web | \\x1b[8mx\\x1b]0;t\\x07\r\n");
    assert_eq!(told(&[b"\x1b[3", b"1mred\x1b", b"[2J\n"]), "web | \x1b[31mred\\x1b[2J\n", "read in pieces");
    assert_eq!(told_raw(&[b"\x1b[31mred\r\0\xff\n"]), "\x1b[31mred\r\0\u{ff}\n");
}

#[test]
fn nothing_comes_out_before_a_line_is_complete() {
    for format in [LineFormat::Text, LineFormat::Raw, LineFormat::Json] {
        let (mut lines, mut out) = (lines(format), Vec::new());
        lines.push(b"no end yet", noon(), &mut out);
        assert_eq!(out, b"");
    }
}

#[test]
fn a_line_without_end_goes_out_in_marked_parts() {
    let long = vec![b'x'; 2 * LONGEST + 10];
    let mut expected = String::new();
    for (mark, length) in [('|', LONGEST), ('+', LONGEST), ('+', 10)] {
        expected.push_str(&format!("web {mark} {}\n", "x".repeat(length)));
    }
    expected.push_str("web | short\n");
    assert_eq!(told(&[&long, b"\nshort\n"]), expected);
    let at_once = [&long[..], b"\nshort\n"].concat();
    assert_eq!(told(&[&at_once]), expected, "it is no shorter when it is read at once");
    assert_eq!(told_raw(&[&at_once]).as_bytes(), at_once);
    let (mut lines, mut out) = (lines(LineFormat::Text), Vec::new());
    lines.push(&long, noon(), &mut out);
    assert!(lines.partial.len() <= LONGEST);
}

#[test]
fn the_beginning_of_a_line_can_go_out_and_the_rest_follows_it() {
    for (format, continuation) in [(LineFormat::Text, "web + "), (LineFormat::Raw, "")] {
        let (mut lines, mut out) = (lines(format), Vec::new());
        lines.push(b"half", noon(), &mut out);
        assert_eq!(lines.continuation(noon()), None);
        lines.put_partial(noon(), &mut out);
        lines.put_partial(noon(), &mut out);
        assert_eq!(lines.continuation(noon()).as_deref(), Some(continuation.as_bytes()));
        assert_eq!(lines.push(b" and", noon(), &mut out) + lines.push(b" rest\nnext\n", noon(), &mut out), 2);
        assert_eq!(lines.continuation(noon()), None);
        let front = if format == LineFormat::Raw { "" } else { "web | " };
        assert_eq!(String::from_utf8(out).unwrap(), format!("{front}half and rest\n{front}next\n"));
    }
    let (mut lines, mut out) = (super::tests::lines(LineFormat::Text), Vec::new());
    lines.push(b"10%\r", noon(), &mut out);
    lines.put_partial(noon(), &mut out);
    lines.push(b"20%\r", noon(), &mut out);
    lines.put_partial(noon(), &mut out);
    lines.push(b"\n", noon(), &mut out);
    assert_eq!(out, b"web | 10%\\r20%\r\n", "no terminal obeys it");
    let (mut lines, mut out) = (super::tests::lines(LineFormat::Raw), Vec::new());
    lines.push(b"half", noon(), &mut out);
    lines.put_partial(noon(), &mut out);
    lines.end(noon(), &mut out);
    lines.end(noon(), &mut out);
    assert_eq!(out, b"half\n");
}

#[test]
fn what_a_run_leaves_of_a_line_ends_with_it_and_what_comes_later_is_marked() {
    for (rest, expected) in [(&b"\nnext\n"[..], ""), (b" and rest\nnext\n", "web +  and rest\n")] {
        let (mut lines, mut out) = (lines(LineFormat::Text), Vec::new());
        lines.push(b"last ", noon(), &mut out);
        lines.put_partial(noon(), &mut out);
        lines.push(b"words", noon(), &mut out);
        lines.deliver(noon(), &mut out);
        lines.deliver(noon(), &mut out);
        lines.push(rest, noon(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("web | last words\n{expected}web | next\n"));
    }
}

#[test]
fn a_raw_line_is_longer_where_that_is_allowed_and_its_late_newline_makes_no_empty_line() {
    let long = vec![b'x'; LONGEST_RAW];
    let (mut lines, mut out) = (lines(LineFormat::Raw), Vec::new());
    lines.allow_long(true);
    lines.push(&long, noon(), &mut out);
    assert_eq!(out, b"");
    lines.push(b"y", noon(), &mut out);
    assert!(out == long && lines.kept() == 1);
    lines.push(b"\n", noon(), &mut out);
    lines.end(noon(), &mut out);
    assert!(out.ends_with(b"xy\n") && out.len() == LONGEST_RAW + 2, "one newline");
    lines.allow_long(false);
    out.clear();
    lines.push(&long, noon(), &mut out);
    assert_eq!((out.len(), lines.kept()), (LONGEST_RAW - LONGEST, LONGEST));
}

#[test]
fn the_time_stands_in_front_when_it_is_wanted() {
    let style = Style { format: LineFormat::Text, timestamps: true, colour: false };
    let (told, _) = told_by(style.lines_of("web", Source::Stdout, 7), &[b"a\nb\n"]);
    assert_eq!(told, "2026-11-23T12:00:00.120Z web | a\n2026-11-23T12:00:00.120Z web | b\n");
}

#[test]
fn a_terminal_shows_names_in_colour_and_no_line_bleeds_into_the_next() {
    let style = Style { format: LineFormat::Text, timestamps: false, colour: true };
    let (told, _) = told_by(style.lines_of("web", Source::Stdout, 7), &[b"\x1b[1mbold\n"]);
    let rest = told.strip_prefix("\x1b[0;3").and_then(|told| told.strip_suffix("mweb |\x1b[0m \x1b[1mbold\n"));
    assert!(rest.is_some_and(|colour| colour.len() == 1), "{told:?}");
}

#[test]
fn json_is_an_object_a_line_and_says_what_is_a_part() {
    let (told, _) = told_by(lines(LineFormat::Json), &[b"one\n{\"level\": \"info\"}\n"]);
    let head = "{\"time\":\"2026-11-23T12:00:00.120Z\",\"program\":\"web\",\"stream\":\"stdout\",\"run\":7,\"line\":";
    assert_eq!(told, format!("{head}\"one\"}}\n{head}{{\"level\": \"info\"}}}}\n"));
    let (told, _) = told_by(lines(LineFormat::Json), &[&[b'x'; LONGEST + 1], b"\n"]);
    let ends: Vec<&str> = told
        .lines()
        .map(|line| &line[line.rfind('"').map_or(0, |end| line[..end].rfind('"').unwrap_or(end))..])
        .collect();
    assert_eq!(ends, ["\"part\":1}", "\"last\":true}"]);
}
