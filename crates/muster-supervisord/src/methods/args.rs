//! Arguments of methods: the types they must have, and the conversions that the original makes.

use crate::faults::Code;
use crate::python;
use crate::xmlrpc::{Fault, Value};

/// The arguments of a call that have not been read yet.
pub(super) struct Args(std::vec::IntoIter<Value>);

impl Args {
    pub(super) fn new(params: Vec<Value>) -> Args {
        Args(params.into_iter())
    }

    /// The next one as text. Bytes are UTF-8.
    pub(super) fn text(&mut self) -> Result<String, Fault> {
        match self.0.next() {
            Some(Value::Str(text)) => Ok(text),
            Some(Value::Bytes(bytes)) => String::from_utf8(bytes).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    /// The next one as a whole number: `int(value)` in Python.
    pub(super) fn int(&mut self) -> Result<i64, Fault> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(number),
            Some(Value::Bool(is_true)) => Ok(i64::from(is_true)),
            // Toward zero, and saturating.
            Some(Value::Double(number)) if number.is_finite() => Ok(number as i64),
            Some(Value::Str(text)) => python::int(&text).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// The next one as a truth value; true if it was left out.
    pub(super) fn wait(&mut self) -> bool {
        self.0.next().is_none_or(|value| value.is_true())
    }

    /// The next one as it is.
    pub(super) fn any(&mut self) -> Result<Value, Fault> {
        self.0.next().ok_or_else(wrong)
    }
}

fn wrong() -> Fault {
    Code::IncorrectParameters.fault()
}
