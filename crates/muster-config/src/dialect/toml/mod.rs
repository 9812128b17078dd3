//! TOML, with `{word}` and `${VARIABLE}` in its text.
//!
//! [`parse`] makes a tree of values from a file's text, and `syntax` explains what does not parse. Text is replaced when a
//! field is read: `text` does it with the grammar in `interpolate` and the names in `scope`; `command` splits words.

pub(crate) mod command;
pub(crate) mod interpolate;
pub(crate) mod scope;
mod syntax;
mod text;

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Report, on_boundaries};
use crate::ranges::Ranges;
use crate::source::File;
use crate::value::{Content, Entries, Integer, Name, Value, Written};
use interpolate::is_plain;
use syntax::{other_language, syntax_error, torn_by};

/// Parses a file as far as possible and reports every syntax error.
pub(crate) fn parse<'t>(id: usize, file: &'t File, report: &Report) -> Entries<'t> {
    let text = file.text.as_str();
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(finding) = errors.first().and_then(|_| other_language(id, text)) {
        // The TOML parser's errors would only confuse.
        report.add(finding);
        let mut torn = Ranges::default();
        torn.insert(0..text.len().max(1));
        report.tear(id, torn);
        return Entries::new();
    }
    let mut torn = Ranges::default();
    for error in &errors {
        let span = on_boundaries(text, error.span().unwrap_or(0..0));
        // The parser resumes in the middle of a bad line: only its first error there is the user's.
        if torn.contains(span.start) {
            continue;
        }
        report.add(syntax_error(id, text, span.clone(), error.message()));
        torn.insert(torn_by(text, span.start, error.message()));
    }
    if !errors.is_empty() {
        report.tear(id, torn);
    }
    entries(table.into_inner())
}

/// Parses a text as far as possible, for a look at some of its values before it is read.
pub(crate) fn parse_loosely(text: &str) -> Entries<'_> {
    entries(DeTable::parse_recoverable(text).0.into_inner())
}

/// Parses a text, if it has no syntax errors.
pub(crate) fn parse_if_valid(text: &str) -> Option<Entries<'_>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    errors.is_empty().then(|| entries(table.into_inner()))
}

fn entries(table: DeTable<'_>) -> Entries<'_> {
    table.into_iter().map(|(key, found)| (name(key), value(found))).collect()
}

fn name(key: Spanned<Cow<'_, str>>) -> Name<'_> {
    let span = key.span();
    Name::new(key.into_inner(), span)
}

fn value(found: Spanned<DeValue<'_>>) -> Value<'_> {
    let span = found.span();
    let content = match found.into_inner() {
        DeValue::String(text) if is_plain(&text) => Content::Text(Written::plain(text)),
        DeValue::String(text) => Content::Text(Written::template(text)),
        DeValue::Integer(number) => {
            Content::Integer(Integer { digits: number.as_str().to_owned(), radix: number.radix() })
        }
        DeValue::Float(number) => Content::Float(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Content::Boolean(flag),
        DeValue::Datetime(datetime) => Content::Date(datetime.to_string()),
        DeValue::Array(items) => Content::List(items.into_iter().map(value).collect()),
        DeValue::Table(table) => Content::Table(entries(table)),
    };
    Value::new(content, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_name_knows_its_bytes() {
        let text = "b = [1, 'x']\na.c = \"y\\tz\"\n";
        let tree = parse_loosely(text);
        let at = |span: std::ops::Range<usize>| &text[span];
        let names: Vec<&str> = tree.keys().map(Name::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        let Content::List(items) = &tree["b"].content else { panic!("{tree:?}") };
        assert_eq!([at(items[0].span()), at(items[1].span())], ["1", "'x'"]);
        let (name, value) = tree["a"].as_table().and_then(|table| table.iter().next()).expect("a.c was written");
        assert_eq!((at(name.span()), at(value.span()), value.as_str()), ("c", "\"y\\tz\"", Some("y\tz")));
    }

    #[test]
    fn text_is_literal_unless_something_may_be_replaced_in_it() {
        let tree = parse_loosely("a = 'x'\nb = '${X}'\nc = [{ d = '{here}' }]\ne = [1, 0x1F, 2.50, 1979-05-27]");
        assert_eq!((tree["a"].literal(), tree["b"].literal()), (Some("x"), None));
        let constant: Vec<bool> = tree.values().map(Value::is_constant).collect();
        assert_eq!(constant, [true, false, false, true]);
    }

    #[test]
    fn numbers_are_shown_as_written() {
        for (text, shown, value) in
            [("0x1F", "0x1F", Some(31)), ("0o17", "0o17", Some(15)), ("-1_000", "-1000", Some(-1000))]
        {
            let document = format!("n = {text}");
            let tree = parse_loosely(&document);
            let Content::Integer(number) = &tree["n"].content else { panic!("{text}") };
            assert_eq!((number.to_string().as_str(), number.value()), (shown, value));
        }
    }
}
