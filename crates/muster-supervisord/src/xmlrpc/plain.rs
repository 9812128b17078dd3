//! Responses in the layout in which Python and this project write them, read in one pass.
//!
//! The list of a thousand processes is a megabyte of short elements, and a general reader of XML needs longer for it than
//! everything else that `supervisorctl status` does. This one knows elements without attributes, the five entities and
//! blanks between elements. Whatever else it meets, it gives up, and [`read`](super::read) decides: it never refuses
//! anything itself.

use std::borrow::Cow;

use super::Value;
use super::read::scalar;
use crate::status::ProcessInfo;

/// The most values inside each other; deeper ones are for the general reader.
const MAX_DEPTH: usize = 16;

/// The value of a response, if the whole document has this layout.
pub(super) fn parse(document: &str) -> Option<Value> {
    let mut parser = Parser { rest: document, fields: 0 };
    if parser.rest.starts_with("<?xml ") {
        parser.rest = parser.rest.split_once("?>")?.1;
    }
    const OUTER: [&str; 3] = ["<methodResponse>", "<params>", "<param>"];
    OUTER.iter().try_for_each(|tag| parser.between(tag))?;
    parser.blanks();
    let value = parser.value(MAX_DEPTH)?;
    ["</param>", "</params>", "</methodResponse>"].iter().try_for_each(|tag| parser.between(tag))?;
    parser.blanks();
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    /// How many fields the last struct had: most lists are of structs of one kind.
    fields: usize,
}

impl<'a> Parser<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Takes this tag.
    fn take(&mut self, tag: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(tag)?;
        Some(())
    }

    /// Takes this tag if it is next.
    fn has(&mut self, tag: &str) -> bool {
        self.take(tag).is_some()
    }

    /// Takes this tag with blanks before it.
    fn between(&mut self, tag: &str) -> Option<()> {
        self.blanks();
        self.take(tag)
    }

    /// The text up to the next tag.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let (text, rest) = self.rest.split_at(self.rest.find('<')?);
        self.rest = rest;
        // Line ends are changed, which is for the general reader.
        match text.bytes().any(|byte| matches!(byte, b'\r' | b'&')) {
            true => unescaped(text).map(Cow::Owned),
            false => Some(Cow::Borrowed(text)),
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.take("<value>")?;
        let value = match self.rest.as_bytes() {
            [b'<', b's', b't', b'r', b'i', ..] => Value::Str(self.scalar("<string>", "</string>")?.into_owned()),
            [b'<', b'i', ..] => scalar("int", self.scalar("<int>", "</int>")?).ok()?,
            [b'<', b'b', b'o', ..] => scalar("boolean", self.scalar("<boolean>", "</boolean>")?).ok()?,
            [b'<', b's', ..] => self.structure(depth.checked_sub(1)?)?,
            [b'<', b'a', ..] => self.array(depth.checked_sub(1)?)?,
            _ => return None,
        };
        self.take("</value>")?;
        Some(value)
    }

    fn scalar(&mut self, open: &str, close: &str) -> Option<Cow<'a, str>> {
        self.take(open)?;
        let text = self.text()?;
        self.take(close)?;
        Some(text)
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.take("<array>")?;
        self.between("<data>")?;
        let mut values = Vec::new();
        self.blanks();
        while !self.has("</data>") {
            values.push(self.value(depth)?);
            self.blanks();
        }
        self.between("</array>")?;
        Some(Value::Array(values))
    }

    fn structure(&mut self, depth: usize) -> Option<Value> {
        self.take("<struct>")?;
        let mut fields = Vec::with_capacity(self.fields);
        self.blanks();
        while !self.has("</struct>") {
            self.take("<member>")?;
            self.blanks();
            let name = field_name(self.scalar("<name>", "</name>")?);
            self.blanks();
            fields.push((name, self.value(depth)?));
            self.between("</member>")?;
            self.blanks();
        }
        self.fields = fields.len();
        Some(Value::Struct(fields))
    }
}

/// The name of a field. Those that a list of processes repeats a thousand times need no memory.
fn field_name(name: Cow<'_, str>) -> Cow<'static, str> {
    match ProcessInfo::FIELDS.into_iter().find(|known| *known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.into_owned()),
    }
}

/// A text with the entities of XML replaced. `None` if it has others, or line ends to change.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next()?);
    for part in parts {
        let (name, after) = part.split_once(';')?;
        out.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        out.push_str(after);
    }
    (!text.contains('\r')).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::read::parse_any_response;
    use crate::xmlrpc::write_response;

    #[test]
    fn what_is_written_is_read() {
        let value = Value::Array(vec![
            Value::structure([("name", "a <&> b".into()), ("pid", Value::Int(-7)), ("is", true.into())]),
            Value::structure([]),
            Value::Array(vec![]),
            "gr\u{fc}n\n".into(),
        ]);
        let written = String::from_utf8(write_response(&Ok(value.clone()))).unwrap();
        assert_eq!(parse(&written), Some(value.clone()));
        let packed = written.replace(">\n<", "><");
        assert_eq!(parse(&packed), Some(value));
    }

    #[test]
    fn it_never_disagrees_with_the_general_reader() {
        let value = Value::Array(vec![Value::structure([("a", "x &".into()), ("b", Value::Int(-7))]), true.into()]);
        let written = String::from_utf8(write_response(&Ok(value))).unwrap();
        let check = |document: &str| {
            if let Some(value) = parse(document) {
                assert_eq!(parse_any_response(document.as_bytes()), Ok(Ok(value)), "{document}");
            }
        };
        for at in 0..written.len() {
            for piece in ["", " ", "<", ">", "/", "&", ";", "i", "\r", "1", "<i>", "</i>", "<!---->", "]]>"] {
                check(&[&written[..at], piece, &written[at..]].concat());
                check(&[&written[..at], piece, &written[at + 1..]].concat());
            }
        }
    }

    #[test]
    fn everything_else_is_for_the_general_reader() {
        let response =
            |value: &str| format!("<methodResponse><params><param>{value}</param></params></methodResponse>");
        assert_eq!(parse(&response("<value><int>1</int></value>")), Some(Value::Int(1)));
        for value in [
            "<value>1</value>",
            "<value><int>x</int></value>",
            "<value><string>a\rb</string></value>",
            "<value><string>a\rb&amp;</string></value>",
            "<value><string>&#65;</string></value>",
            "<value><string>&amp</string></value>",
            "<value><string><![CDATA[a]]></string></value>",
            "<value><string/></value>",
            "<value><string>a</string> </value>",
            "<value><string>a<!-- b --></string></value>",
            "<value><double>1.0</double></value>",
            "<value><struct><member><value><int>1</int></value><name>a</name></member></struct></value>",
            "<value><array><data><value><int>1</int></value></array></value>",
            "",
        ] {
            assert_eq!(parse(&response(value)), None, "{value}");
        }
        let deep = "<value><array><data>".repeat(40) + &"</data></array></value>".repeat(40);
        assert_eq!(parse(&response(&deep)), None);
        let whole = response("<value><int>1</int></value>");
        (0..whole.len()).for_each(|end| assert_eq!(parse(&whole[..end]), None, "{end}"));
        assert_eq!(parse(&(whole + "x")), None);
    }
}
