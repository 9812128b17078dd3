//! Writing TOML: values, and tables whose keys keep their comments.

use std::fmt::Write;

/// A key, its written value, and its comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) above: Vec<String>,
    pub(crate) behind: Option<String>,
}

/// A table with its keys in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The header without brackets.
    pub(crate) header: String,
    /// Comments above the header.
    pub(crate) above: Vec<String>,
    /// The comment behind the header.
    pub(crate) behind: Option<String>,
    pub(crate) keys: Vec<Key>,
    /// Comments after the last key.
    pub(crate) below: Vec<String>,
}

impl Table {
    pub(crate) fn new(header: impl Into<String>) -> Table {
        Table { header: header.into(), ..Table::default() }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.keys.push(Key { name: name.to_owned(), value: value.into(), ..Key::default() });
    }

    /// Sets a key, in place of one of this name.
    pub(crate) fn replace(&mut self, name: &str, value: impl Into<String>) {
        match self.keys.iter_mut().find(|key| key.name == name) {
            Some(key) => key.value = value.into(),
            None => self.set(name, value),
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|key| key.name == name).map(|key| key.value.as_str())
    }

    /// Whether nothing needs to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.below.is_empty()
    }

    pub(crate) fn write(&self, out: &mut String) {
        if !out.is_empty() {
            out.push('\n');
        }
        self.above.iter().for_each(|line| comment(line, out));
        let _ = write!(out, "[{}]", self.header);
        end_of_line(self.behind.as_deref(), out);
        for key in &self.keys {
            key.above.iter().for_each(|line| comment(line, out));
            let _ = write!(out, "{} = {}", key.name, key.value);
            end_of_line(key.behind.as_deref(), out);
        }
        self.below.iter().for_each(|line| comment(line, out));
    }
}

/// A comment of another language on a line of its own.
pub(crate) fn comment(text: &str, out: &mut String) {
    out.push_str(&as_comment(text));
    out.push('\n');
}

fn end_of_line(text: Option<&str>, out: &mut String) {
    if let Some(text) = text {
        out.push_str("  ");
        out.push_str(&as_comment(text));
    }
    out.push('\n');
}

/// A comment with `#` in place of `;`. TOML allows no control characters in it but the tab.
fn as_comment(text: &str) -> String {
    let text = text.trim_start_matches([';', '#']).trim_end();
    let clean: String = text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    match clean.chars().next() {
        None => "#".to_owned(),
        Some(' ' | '\t') => format!("#{clean}"),
        Some(_) => format!("# {clean}"),
    }
}

/// A text in quotes: `'…'` where that saves escapes, several lines as several lines.
pub(crate) fn text(text: &str) -> String {
    let is_control = |c: char| c.is_control() && c != '\t';
    let needs_escapes = text.contains(['"', '\\']);
    if text.contains('\n') && !text.contains(|c: char| is_control(c) && c != '\n') {
        if !text.contains("'''") && !text.ends_with('\'') {
            return format!("'''\n{text}'''");
        }
    } else if needs_escapes && !text.contains('\'') && !text.contains(is_control) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value that was given as TOML, or as a text without quotes.
pub(crate) fn given(value: &str) -> String {
    let value = value.trim();
    let table = ::toml::from_str::<::toml::Table>(&format!("x = {value}"));
    if table.is_ok_and(|table| table.len() == 1) { value.to_owned() } else { text(value) }
}

/// A list of written values.
pub(crate) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    let line = format!("[{}]", items.join(", "));
    if line.len() <= 110 {
        return line;
    }
    let lines: String = items.iter().map(|item| format!("  {item},\n")).collect();
    format!("[\n{lines}]")
}

/// A key, in quotes if it needs them.
pub(crate) fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted_key(name) }
}

fn quoted_key(name: &str) -> String {
    let quoted = text(name);
    // Keys have no form of several lines.
    if quoted.starts_with("'''") { format!("{:?}", name.replace(['\n', '\''], "_")) } else { quoted }
}

/// A table on one line if it is short; `None` if it should have a header of its own.
pub(crate) fn inline(pairs: &[(String, String)]) -> Option<String> {
    let inside: Vec<String> = pairs.iter().map(|(name, value)| format!("{} = {value}", key(name))).collect();
    let line = format!("{{ {} }}", inside.join(", "));
    (line.len() <= 100 && !line.contains('\n')).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_quotes_that_need_the_fewest_escapes() {
        assert_eq!(text("a b"), "\"a b\"");
        assert_eq!(text("a \"b\" \\"), "'a \"b\" \\'");
        assert_eq!(text("it's \"x\""), "\"it's \\\"x\\\"\"");
        assert_eq!(text("a\nb"), "'''\na\nb'''");
        assert_eq!(text("a\u{1}"), "\"a\\u0001\"");
        assert_eq!((key("A_b-1"), key("a b"), key("")), ("A_b-1".into(), "\"a b\"".into(), "\"\"".into()));
    }

    #[test]
    fn given_values_are_toml_or_text() {
        for value in ["5", "\"a\"", "[\"PIPE\"]", "{ a = 1 }"] {
            assert_eq!(given(value), value);
        }
        for value in ["main", "", "1\ny = 2", "1\n[program.evil]", "a\"b"] {
            assert_eq!(given(value), text(value));
        }
    }

    #[test]
    fn comments_stay_in_their_place() {
        let mut table = Table::new("program.web");
        table.above.push(";; the web server".into());
        table.set("command", "\"web\"");
        table.keys[0].above.push("#note".into());
        table.keys[0].behind = Some("; why\u{7}".into());
        let mut out = String::new();
        table.write(&mut out);
        assert_eq!(out, "# the web server\n[program.web]\n# note\ncommand = \"web\"  # why \n");
    }
}
