//! Reading documents.
//!
//! The grammar is the union of what supervisord's own reader and Python's `xmlrpc.client` accept: names of the outer elements
//! do not matter, prefixes are ignored, `<value>x</value>` is a text, elements in unexpected places are skipped.

use std::borrow::Cow;
use std::fmt;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use super::base64::decode;
use super::text::is_legal;
use super::{Call, Fault, Value, plain};
use crate::python;

/// The largest request, in bytes.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// The largest response, in bytes.
pub const MAX_RESPONSE: usize = 64 * 1024 * 1024;

/// The most elements of a request. A response has none but by its size: the list of all processes has many.
const MAX_ELEMENTS: usize = 10_000;

/// The most elements inside each other.
const MAX_DEPTH: usize = 64;

/// A document that is no XML-RPC, or is beyond the limits: the reason, and the byte behind the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The reason.
    pub why: String,
    /// The number of bytes that were read before.
    pub at: u64,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.why)
    }
}

impl std::error::Error for Unreadable {}

type Read<T> = Result<T, Unreadable>;

/// Reads a request. Missing `<params>` are none; a missing or empty `<methodName>` is an error.
pub fn parse_request(document: &[u8]) -> Read<Call> {
    let mut parser = Parser::new(document, MAX_REQUEST, MAX_ELEMENTS)?;
    parser.is_strict = true;
    let (mut method, mut params) = (String::new(), Vec::new());
    parser.root(|parser, tag| {
        match tag {
            "methodName" => method = parser.text()?,
            "params" => params = parser.params()?,
            _ => parser.skip()?,
        }
        Ok(())
    })?;
    if method.is_empty() {
        return Err(parser.error("no method name"));
    }
    Ok(Call { method, params })
}

/// Reads a response. Unlike Python, it accepts characters that XML does not allow, since supervisord sends programs'
/// output as it is.
pub fn parse_response(document: &[u8]) -> Read<Result<Value, Fault>> {
    let text = str::from_utf8(document).ok().filter(|text| text.len() <= MAX_RESPONSE);
    match text.and_then(plain::parse) {
        Some(value) => Ok(Ok(value)),
        None => parse_any_response(document),
    }
}

/// Reads a response of any layout.
pub(super) fn parse_any_response(document: &[u8]) -> Read<Result<Value, Fault>> {
    let mut parser = Parser::new(document, MAX_RESPONSE, usize::MAX)?;
    let mut outcome = None;
    parser.root(|parser, tag| {
        match tag {
            "params" => outcome = parser.params()?.into_iter().next().map(Ok),
            "fault" => outcome = Some(Err(parser.fault()?)),
            _ => parser.skip()?,
        }
        Ok(())
    })?;
    outcome.ok_or_else(|| parser.error("neither a value nor a fault"))
}

/// The next part of a document.
enum Part<'a> {
    /// An element begins: its name without a prefix.
    Start(String),
    /// The innermost element ends.
    End,
    Text(Cow<'a, str>),
    /// The document ends.
    Eof,
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    elements_left: usize,
    /// Whether texts may contain only the characters that XML allows.
    is_strict: bool,
}

impl<'a> Parser<'a> {
    fn new(document: &'a [u8], max_size: usize, max_elements: usize) -> Read<Parser<'a>> {
        let refuse = |why: &str, at: usize| Err(Unreadable { why: why.to_owned(), at: u64::try_from(at).unwrap_or(0) });
        if document.len() > max_size {
            return refuse(&format!("larger than {max_size} bytes"), max_size);
        }
        let text = match str::from_utf8(document) {
            Ok(text) => text,
            Err(error) => return refuse("not UTF-8", error.valid_up_to()),
        };
        let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        reader.config_mut().expand_empty_elements = true;
        Ok(Parser { reader, depth: 0, elements_left: max_elements, is_strict: false })
    }

    fn error(&self, why: impl fmt::Display) -> Unreadable {
        Unreadable { why: why.to_string(), at: self.reader.buffer_position() }
    }

    fn next(&mut self) -> Read<Part<'a>> {
        loop {
            let event = self.reader.read_event().map_err(|error| self.error(error))?;
            return Ok(match event {
                Event::Start(start) => {
                    self.enter()?;
                    Part::Start(start.local_name().as_ref().to_owned())
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Part::End
                }
                Event::Text(text) => self.part(text.xml10_content())?,
                Event::CData(text) => self.part(text.xml10_content())?,
                Event::GeneralRef(name) if name.is_char_ref() => {
                    let resolved = name.resolve_char_ref().map_err(|error| self.error(error))?;
                    self.part(resolved.map(String::from).unwrap_or_default().into())?
                }
                Event::GeneralRef(name) => match resolve_xml_entity(&name) {
                    Some(text) => Part::Text(text.into()),
                    None => return Err(self.error("an unknown entity")),
                },
                Event::DocType(_) => return Err(self.error("a document type is not accepted")),
                Event::Eof => Part::Eof,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => continue,
            });
        }
    }

    fn part(&self, text: Cow<'a, str>) -> Read<Part<'a>> {
        match self.is_strict && !text.chars().all(is_legal) {
            true => Err(self.error("a character that XML does not allow")),
            false => Ok(Part::Text(text)),
        }
    }

    fn enter(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format_args!("more than {MAX_DEPTH} elements inside each other")));
        }
        let left = self.elements_left.checked_sub(1);
        self.elements_left = left.ok_or_else(|| self.error("too many elements"))?;
        Ok(())
    }

    /// Reads the whole document: calls `child` for each element in the outermost one.
    fn root(&mut self, child: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        loop {
            match self.next()? {
                Part::Start(_) => break,
                Part::Text(text) if text.trim().is_empty() => {}
                _ => return Err(self.error("no element")),
            }
        }
        self.children(child)?;
        loop {
            match self.next()? {
                Part::Eof => return Ok(()),
                Part::Text(text) if text.trim().is_empty() => {}
                _ => return Err(self.error("something behind the document")),
            }
        }
    }

    /// Calls `child` for each element in the current one, up to its end. It must read its element up to the end.
    fn children(&mut self, mut child: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        loop {
            match self.next()? {
                Part::Start(tag) => child(self, &tag)?,
                Part::Text(_) => {}
                Part::End => return Ok(()),
                Part::Eof => return Err(self.error("the document ends too early")),
            }
        }
    }

    fn skip(&mut self) -> Read<()> {
        self.children(Self::skipping)
    }

    fn skipping(&mut self, _: &str) -> Read<()> {
        self.skip()
    }

    /// The text of the current element, up to its end.
    fn text(&mut self) -> Read<String> {
        let mut all = String::new();
        loop {
            match self.next()? {
                Part::Text(text) => all.push_str(&text),
                Part::Start(_) => self.skip()?,
                Part::End => return Ok(all),
                Part::Eof => return Err(self.error("the document ends too early")),
            }
        }
    }

    fn params(&mut self) -> Read<Vec<Value>> {
        let mut params = Vec::new();
        self.children(|parser, tag| {
            params.push(if tag == "param" { parser.only_value()? } else { parser.value(tag)? });
            Ok(())
        })?;
        Ok(params)
    }

    fn fault(&mut self) -> Read<Fault> {
        let value = self.only_value()?;
        let code = value.get("faultCode").and_then(Value::as_int);
        let string = value.get("faultString").and_then(Value::as_str).map(str::to_owned);
        match (code, string) {
            (Some(code), Some(string)) => Ok(Fault { code, string }),
            _ => Err(self.error("a fault without faultCode or faultString")),
        }
    }

    /// The first value in the current element, which must have one.
    fn only_value(&mut self) -> Read<Value> {
        let mut value = None;
        self.children(|parser, tag| {
            let found = parser.value(tag)?;
            value.get_or_insert(found);
            Ok(())
        })?;
        value.ok_or_else(|| self.error("a value is missing"))
    }

    /// The value of the current element: of `<value>`, or of one that names a type.
    fn value(&mut self, tag: &str) -> Read<Value> {
        match tag {
            "value" => self.untyped(),
            "array" => self.array(),
            "struct" => self.structure(),
            "nil" => self.skip().map(|()| Value::Nil),
            _ => {
                let text = self.text()?;
                scalar(tag, text.into()).map_err(|why| self.error(why))
            }
        }
    }

    /// In `<value>`: the first element that names a type, otherwise the text.
    fn untyped(&mut self) -> Read<Value> {
        let (mut value, mut all) = (None, String::new());
        loop {
            match self.next()? {
                Part::Text(text) if value.is_none() => all.push_str(&text),
                Part::Text(_) => {}
                Part::Start(tag) if value.is_none() => value = Some(self.value(&tag)?),
                Part::Start(_) => self.skip()?,
                Part::End => return Ok(value.unwrap_or(Value::Str(all))),
                Part::Eof => return Err(self.error("the document ends too early")),
            }
        }
    }

    fn array(&mut self) -> Read<Value> {
        let mut values = Vec::new();
        self.children(|parser, tag| match tag {
            "data" => parser.children(|parser, tag| {
                values.push(parser.value(tag)?);
                Ok(())
            }),
            _ => {
                values.push(parser.value(tag)?);
                Ok(())
            }
        })?;
        Ok(Value::Array(values))
    }

    fn structure(&mut self) -> Read<Value> {
        let mut fields = Vec::new();
        self.children(|parser, _| {
            fields.push(parser.member()?);
            Ok(())
        })?;
        Ok(Value::Struct(fields))
    }

    fn member(&mut self) -> Read<(Cow<'static, str>, Value)> {
        let (mut name, mut value) = (None, None);
        self.children(|parser, tag| {
            match tag {
                "name" => name = Some(Cow::Owned(parser.text()?)),
                _ => value = Some(parser.value(tag)?),
            }
            Ok(())
        })?;
        name.zip(value).ok_or_else(|| self.error("a member without a name or a value"))
    }
}

/// A value without parts. An unknown type is a text.
pub(super) fn scalar(kind: &str, text: Cow<'_, str>) -> Result<Value, &'static str> {
    Ok(match kind {
        "int" | "i1" | "i2" | "i4" | "i8" | "biginteger" => Value::Int(python::int(&text).ok_or("not a whole number")?),
        "boolean" => Value::Bool(text == "1"),
        "double" | "float" | "bigdecimal" => Value::Double(python::strip(&text).parse().map_err(|_| "not a number")?),
        "dateTime.iso8601" | "dateTime" => Value::DateTime(python::strip(&text).to_owned()),
        "base64" => Value::Bytes(decode(&text).ok_or("not base64")?),
        _ => Value::Str(text.into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::{write_request, write_response};

    fn call(params: &str) -> Result<Vec<Value>, String> {
        let document = format!("<methodCall><methodName>m</methodName><params>{params}</params></methodCall>");
        parse_request(document.as_bytes()).map(|call| call.params).map_err(|error| error.why)
    }

    #[track_caller]
    fn check(value: &str, expected: Value) {
        assert_eq!(call(&format!("<param>{value}</param>")), Ok(vec![expected]), "{value}");
    }

    #[test]
    fn values_of_all_types_are_read() {
        check("<value>x</value>", "x".into());
        check("<value> </value>", " ".into());
        check("<value/>", "".into());
        check("<value><string/></value>", "".into());
        check("<value> <int> -7 </int> </value>", Value::Int(-7));
        check("<value><i4>1_000</i4></value>", Value::Int(1000));
        check("<value><i8>99999999999999999999</i8></value>", Value::Int(i64::MAX));
        check("<value><boolean>1</boolean></value>", true.into());
        check("<value><boolean>true</boolean></value>", false.into());
        check("<value><double> 1.5e3</double></value>", Value::Double(1500.0));
        check(
            "<value><dateTime.iso8601> 20261129T10:00:00</dateTime.iso8601></value>",
            Value::DateTime("20261129T10:00:00".into()),
        );
        check("<value><base64>\naGk=\n</base64></value>", Value::Bytes(b"hi".to_vec()));
        check("<value><ex:nil xmlns:ex='u'/></value>", Value::Nil);
        check(
            "<value><array><data><value>a</value><value><int>1</int></value></data></array></value>",
            vec!["a".into(), 1.into()].into(),
        );
        check("<value><array/></value>", Value::Array(vec![]));
        check("<value><struct/></value>", Value::Struct(vec![]));
        check(
            "<value><struct><member><name>a</name><value>1</value></member><member><value>2</value><name>b</name></member></struct></value>",
            Value::structure([("a", "1".into()), ("b", "2".into())]),
        );
        check("<value><unheard-of>x</unheard-of></value>", "x".into());
    }

    #[test]
    fn texts_are_those_of_xml() {
        check("<value>a &lt;&amp;&gt;&quot;&apos; &#65;&#x1F600;</value>", "a <&>\"' A\u{1f600}".into());
        check("<value><![CDATA[<&]]> x<!-- no -->y<?no no?>z</value>", "<& xyz".into());
        check("<value>a\r\nb\rc</value>", "a\nb\nc".into());
        check("<value>a&#13;b</value>", "a\rb".into());
    }

    #[test]
    fn layouts_of_all_clients_are_read() {
        let read = |document: &str| parse_request(document.as_bytes()).map(|call| (call.method, call.params.len()));
        let two = |name: &str, params| Ok((name.to_owned(), params));
        assert_eq!(read("<methodCall><methodName>a.b</methodName></methodCall>"), two("a.b", 0));
        assert_eq!(
            read("\u{feff}<?xml version='1.0' encoding='latin-1'?>\n<x><methodName> a</methodName><params/></x>\n"),
            two(" a", 0)
        );
        assert_eq!(read("<a:x><a:methodName>m</a:methodName><params><value>1</value></params></a:x>"), two("m", 1));
    }

    #[test]
    fn broken_documents_are_refused() {
        let refused = |document: &str, expected: &str| {
            let error = parse_request(document.as_bytes()).expect_err(document);
            assert!(error.why.contains(expected), "{document:?}: {error}");
        };
        refused("", "no element");
        refused("text", "no element");
        refused("<a>", "ends too early");
        refused("<a></b>", "expected");
        refused("<a/>", "no method name");
        refused("<a><methodName></methodName></a>", "no method name");
        refused("<a><methodName>m</methodName></a><b/>", "something behind");
        refused("<!DOCTYPE a [<!ENTITY x 'y'>]><a><methodName>m</methodName></a>", "document type");
        refused("<a><methodName>&x;</methodName></a>", "unknown entity");
        refused("<a><methodName>&#0;</methodName></a>", "");
        refused("<a><methodName>&#1;</methodName></a>", "a character");
        refused("<a><methodName>\x1b</methodName></a>", "a character");
        for (params, expected) in [
            ("<param/>", "a value is missing"),
            ("<param><value><int>x</int></value></param>", "not a whole number"),
            ("<param><value><int/></value></param>", "not a whole number"),
            ("<param><value><double>x</double></value></param>", "not a number"),
            ("<param><value><base64>a</base64></value></param>", "not base64"),
            (
                "<param><value><struct><member><name>a</name></member></struct></value></param>",
                "a member without a name or a value",
            ),
        ] {
            assert_eq!(call(params), Err(expected.to_owned()), "{params}");
        }
        assert_eq!(parse_request(b"<a>\xff</a>").unwrap_err(), Unreadable { why: "not UTF-8".to_owned(), at: 3 });
    }

    #[test]
    fn sizes_are_bounded() {
        let nested = |depth: usize| format!("{}x{}", "<value>".repeat(depth), "</value>".repeat(depth));
        assert!(call(&nested(62)).is_ok());
        assert!(call(&nested(63)).unwrap_err().contains("inside each other"));
        assert!(call(&"<value/>".repeat(9_997)).is_ok());
        assert_eq!(call(&"<value/>".repeat(9_998)), Err("too many elements".to_owned()));
        assert!(call(&"<value>&amp;</value>".repeat(9_000)).is_ok());
        assert!(call(&"x".repeat(10 * 1024 * 1024)).unwrap_err().contains("larger than"));
    }

    #[test]
    fn own_documents_survive_a_round_trip() {
        let values = [
            Value::structure([
                ("names & <texts>", vec!["ü\n".into(), Value::Nil, true.into(), Value::Double(0.25)].into()),
                ("bytes", Value::Bytes(vec![0, 255, 7])),
                ("date", Value::DateTime("20261129T10:00:00".into())),
            ]),
            Value::Int(-5),
        ];
        let request = write_request("a.b", &values);
        assert_eq!(parse_request(&request), Ok(Call { method: "a.b".into(), params: values.to_vec() }));
        for outcome in [Ok(values[0].clone()), Err(Fault { code: 10, string: "BAD_NAME: <x>".into() })] {
            assert_eq!(parse_response(&write_response(&outcome)), Ok(outcome));
        }
    }

    #[test]
    fn a_response_may_contain_what_programs_wrote() {
        let document = b"<a><params><param><value><string>\x1b[1mred\x00</string></value></param></params></a>";
        assert_eq!(parse_response(document), Ok(Ok("\x1b[1mred\0".into())));
        assert!(parse_response(b"<a><params/></a>").is_err());
        assert!(parse_response(b"<a><fault><value>x</value></fault></a>").is_err());
    }
}
