//! Writing documents: the bytes of Python's marshaller.

use std::fmt::Write;

use super::base64::encode_lines;
use super::text::push_escaped;
use super::{Fault, Value};

const HEADER: &str = "<?xml version='1.0'?>\n";

/// The response to a call.
pub fn write_response(outcome: &Result<Value, Fault>) -> Vec<u8> {
    let mut out = String::from(HEADER);
    out.push_str("<methodResponse>\n");
    match outcome {
        Ok(value) => push_params(std::slice::from_ref(value), &mut out),
        Err(Fault { code, string }) => {
            out.push_str("<fault>\n");
            let fields = [("faultCode", Value::Int(*code)), ("faultString", Value::Str(string.clone()))];
            push_value(&Value::structure(fields), &mut out);
            out.push_str("</fault>\n");
        }
    }
    out.push_str("</methodResponse>\n");
    out.into_bytes()
}

/// The request of a call.
pub fn write_request(method: &str, params: &[Value]) -> Vec<u8> {
    let mut out = String::from(HEADER);
    out.push_str("<methodCall>\n<methodName>");
    push_escaped(method, &mut out);
    out.push_str("</methodName>\n");
    push_params(params, &mut out);
    out.push_str("</methodCall>\n");
    out.into_bytes()
}

fn push_params(params: &[Value], out: &mut String) {
    out.push_str("<params>\n");
    for param in params {
        out.push_str("<param>\n");
        push_value(param, out);
        out.push_str("</param>\n");
    }
    out.push_str("</params>\n");
}

fn push_value(value: &Value, out: &mut String) {
    out.push_str("<value>");
    match value {
        // Writing to a String cannot fail.
        Value::Int(number) => {
            let _ = write!(out, "<int>{}</int>", saturated(*number));
        }
        Value::Bool(is_true) => push_scalar("boolean", if *is_true { "1" } else { "0" }, out),
        Value::Str(text) => push_scalar("string", text, out),
        Value::Double(number) => push_scalar("double", &python_float(*number), out),
        Value::DateTime(text) => push_scalar("dateTime.iso8601", text, out),
        Value::Nil => out.push_str("<nil/>"),
        Value::Bytes(bytes) => {
            out.push_str("<base64>\n");
            encode_lines(bytes, out);
            out.push_str("</base64>");
        }
        Value::Array(values) => {
            out.push_str("<array><data>\n");
            values.iter().for_each(|value| push_value(value, out));
            out.push_str("</data></array>");
        }
        Value::Struct(fields) => {
            out.push_str("<struct>\n");
            for (name, value) in fields {
                out.push_str("<member>\n<name>");
                push_escaped(name, out);
                out.push_str("</name>\n");
                push_value(value, out);
                out.push_str("</member>\n");
            }
            out.push_str("</struct>");
        }
    }
    out.push_str(if *value == Value::Nil { "</value>" } else { "</value>\n" });
}

fn push_scalar(kind: &str, text: &str, out: &mut String) {
    ["<", kind, ">"].iter().for_each(|part| out.push_str(part));
    push_escaped(text, out);
    ["</", kind, ">"].iter().for_each(|part| out.push_str(part));
}

/// The nearest number that fits: `<int>` has 32 bits.
fn saturated(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}

/// `repr(float)`: the shortest digits, with an exponent below 1e-4 and from 1e16.
fn python_float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let parts = scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    match parts {
        Some((digits, exponent)) if !(-4..16).contains(&exponent) => {
            let mut out = digits.to_owned();
            let sign = if exponent < 0 { '-' } else { '+' };
            // Writing to a String cannot fail.
            let _ = write!(out, "e{sign}{:02}", exponent.abs());
            out
        }
        Some(_) => format!("{number:?}"),
        None => scientific.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outcome: Result<Value, Fault>) -> String {
        String::from_utf8(write_response(&outcome)).unwrap()
    }

    #[test]
    fn responses_are_python_s() {
        let body = |value: &str| {
            format!(
                "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n{value}\n</param>\n</params>\n</methodResponse>\n"
            )
        };
        let check = |value: Value, expected: &str| assert_eq!(written(Ok(value)), body(expected));
        check("3.0".into(), "<value><string>3.0</string></value>");
        check("a<&>".into(), "<value><string>a&lt;&amp;&gt;</string></value>");
        check(true.into(), "<value><boolean>1</boolean></value>");
        check(Value::Int(i64::from(i32::MAX) + 1), "<value><int>2147483647</int></value>");
        check(Value::Int(i64::MIN), "<value><int>-2147483648</int></value>");
        check(Value::Bytes(b"hi".to_vec()), "<value><base64>\naGk=\n</base64></value>");
        check(
            Value::Array(vec![1.into()]),
            "<value><array><data>\n<value><int>1</int></value>\n</data></array></value>",
        );
        check(Value::Array(vec![]), "<value><array><data>\n</data></array></value>");
        check(
            Value::structure([("k", "v".into())]),
            "<value><struct>\n<member>\n<name>k</name>\n<value><string>v</string></value>\n</member>\n</struct></value>",
        );
    }

    #[test]
    fn faults_are_python_s() {
        let fault = Fault { code: 10, string: "BAD_NAME: x".to_owned() };
        assert_eq!(
            written(Err(fault)),
            "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n\
             <member>\n<name>faultCode</name>\n<value><int>10</int></value>\n</member>\n\
             <member>\n<name>faultString</name>\n<value><string>BAD_NAME: x</string></value>\n</member>\n\
             </struct></value>\n</fault>\n</methodResponse>\n"
        );
    }

    #[test]
    fn a_request_is_python_s() {
        assert_eq!(
            String::from_utf8(write_request("supervisor.getVersion", &[])).unwrap(),
            "<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.getVersion</methodName>\n\
             <params>\n</params>\n</methodCall>\n"
        );
    }

    #[test]
    fn floating_point_numbers_are_python_s() {
        let check = |number: f64, expected: &str| assert_eq!(python_float(number), expected);
        check(0.0, "0.0");
        check(-1.5, "-1.5");
        check(1e15, "1000000000000000.0");
        check(1e16, "1e+16");
        check(1.25e-5, "1.25e-05");
        check(1e-4, "0.0001");
        check(1e300, "1e+300");
        check(f64::NAN, "nan");
        check(f64::NEG_INFINITY, "-inf");
    }
}
