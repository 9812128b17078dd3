//! The tree of values that a dialect makes of a file's text, each value with the bytes it came from.
//!
//! Readers know this tree and no parser. A template is kept as written and replaced when a field is read, since the same
//! value in `[defaults]` comes out differently for each program and instance.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Value<'t> {
    pub(crate) content: Content<'t>,
    span: Range<usize>,
}

/// The content of a value.
#[derive(Clone, Debug)]
pub(crate) enum Content<'t> {
    Text(Written<'t>),
    Integer(Integer),
    /// A float's digits.
    Float(String),
    Boolean(bool),
    /// A date or time, which no key takes: its text, for messages.
    Date(String),
    List(Vec<Value<'t>>),
    Table(Entries<'t>),
}

/// Values by name, in the order of the names.
pub(crate) type Entries<'t> = BTreeMap<Name<'t>, Value<'t>>;

/// Text as it is written in the file, quotes and escapes resolved.
#[derive(Clone, Debug)]
pub(crate) struct Written<'t> {
    text: Cow<'t, str>,
    is_template: bool,
}

/// A whole number as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Integer {
    /// Its digits and sign, without the prefix that says the radix.
    pub(crate) digits: String,
    /// 2, 8, 10 or 16.
    pub(crate) radix: u32,
}

/// A key and where it stands. Names are compared by their text alone.
#[derive(Clone, Debug)]
pub(crate) struct Name<'t> {
    text: Cow<'t, str>,
    span: Range<usize>,
}

impl<'t> Value<'t> {
    pub(crate) fn new(content: Content<'t>, span: Range<usize>) -> Value<'t> {
        Value { content, span }
    }

    /// The bytes of the file that it came from.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Text as it is written.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Text that means itself, with nothing to replace in it.
    pub(crate) fn literal(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => text.literal(),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self.content {
            Content::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    pub(crate) fn as_table(&self) -> Option<&Entries<'t>> {
        match &self.content {
            Content::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// Whether it has the same result for every reader: it contains no template.
    pub(crate) fn is_constant(&self) -> bool {
        match &self.content {
            Content::Text(text) => !text.is_template,
            Content::List(items) => items.iter().all(Value::is_constant),
            Content::Table(entries) => entries.values().all(Value::is_constant),
            Content::Integer(_) | Content::Float(_) | Content::Boolean(_) | Content::Date(_) => true,
        }
    }
}

impl<'t> Written<'t> {
    /// Text that means itself.
    pub(crate) fn plain(text: Cow<'t, str>) -> Written<'t> {
        Written { text, is_template: false }
    }

    /// A name, taken as text that means itself.
    pub(crate) fn of_name(name: &Name<'t>) -> Written<'t> {
        Written::plain(name.text.clone())
    }

    /// Text with names in it that its dialect replaces when it is read.
    pub(crate) fn template(text: Cow<'t, str>) -> Written<'t> {
        Written { text, is_template: true }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, if it means itself.
    pub(crate) fn literal(&self) -> Option<&str> {
        (!self.is_template).then_some(&*self.text)
    }
}

impl Integer {
    /// The number, if 64 bits hold it.
    pub(crate) fn value(&self) -> Option<i64> {
        i64::from_str_radix(&self.digits, self.radix).ok()
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.radix {
            2 => "0b",
            8 => "0o",
            16 => "0x",
            _ => "",
        };
        write!(f, "{prefix}{}", self.digits)
    }
}

impl<'t> Name<'t> {
    pub(crate) fn new(text: Cow<'t, str>, span: Range<usize>) -> Name<'t> {
        Name { text, span }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes of the file that it came from.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Name<'_>) -> bool {
        self.text == other.text
    }
}

impl Eq for Name<'_> {}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        &self.text
    }
}
