//! The values of XML-RPC.

use std::borrow::Cow;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number. On the wire it has 32 bits, and larger ones are written as the largest.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Str(String),
    /// Bytes, in base64 on the wire.
    Bytes(Vec<u8>),
    /// A floating-point number.
    Double(f64),
    /// A date and time, as written.
    DateTime(String),
    /// No value: an extension that supervisord reads and never writes.
    Nil,
    /// Values in order.
    Array(Vec<Value>),
    /// Fields in the order in which they are written. Of two with one name the last counts.
    Struct(Vec<(Cow<'static, str>, Value)>),
}

impl Value {
    /// A struct with these fields.
    pub fn structure(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        Value::Struct(fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// A field of a struct.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A field of a struct, taken out of it.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        match self {
            Value::Struct(fields) => {
                let field = fields.iter_mut().rev().find(|(field, _)| field == name);
                field.map(|(_, value)| std::mem::replace(value, Value::Nil))
            }
            _ => None,
        }
    }

    /// The whole number that this is.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value that this is.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(is_true) => Some(*is_true),
            _ => None,
        }
    }

    /// The text that this is.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The values of the array that this is.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    /// `bool(value)` in Python.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Int(number) => *number != 0,
            Value::Bool(is_true) => *is_true,
            Value::Double(number) => *number != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::Array(values) => !values.is_empty(),
            Value::Struct(fields) => !fields.is_empty(),
            Value::DateTime(_) => true,
            Value::Nil => false,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<bool> for Value {
    fn from(is_true: bool) -> Value {
        Value::Bool(is_true)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Str(text)
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Value {
        Value::Array(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_python_s() {
        for value in [Value::Int(-1), "0".into(), Value::Array(vec![Value::Nil]), Value::DateTime(String::new())] {
            assert!(value.is_true(), "{value:?}");
        }
        for value in [Value::Int(0), "".into(), Value::Array(vec![]), Value::Struct(vec![]), Value::Nil] {
            assert!(!value.is_true(), "{value:?}");
        }
    }

    #[test]
    fn the_last_field_of_a_name_counts() {
        let value = Value::structure([("a", 1.into()), ("b", 2.into()), ("a", 3.into())]);
        assert_eq!(value.get("a"), Some(&Value::Int(3)));
        assert_eq!(value.get("c"), None);
        let mut value = value;
        assert_eq!((value.take("a"), value.take("c")), (Some(Value::Int(3)), None));
    }
}
