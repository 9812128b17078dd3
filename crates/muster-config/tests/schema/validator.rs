//! A validator of the JSON Schema keywords (draft 2020-12) that our schema uses, and no others: it panics on an unknown
//! keyword. The maintained crates bring fifty dependencies, which is too much for a test.

use regex_lite::Regex;
use serde_json::{Map, Value};

pub(crate) struct Validator<'s> {
    root: &'s Value,
}

impl<'s> Validator<'s> {
    pub(crate) fn new(root: &'s Value) -> Validator<'s> {
        Validator { root }
    }

    /// The errors of a value, each with its path; empty if it conforms.
    pub(crate) fn mistakes(&self, value: &Value) -> Vec<String> {
        let mut mistakes = Vec::new();
        self.check(self.root, value, "", &mut mistakes);
        mistakes
    }

    /// The same for a part of the schema.
    pub(crate) fn conforms(&self, schema: &Value, value: &Value) -> bool {
        let mut mistakes = Vec::new();
        self.check(schema, value, "", &mut mistakes);
        mistakes.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, mistakes: &mut Vec<String>) {
        let keywords = schema.as_object().expect("a schema is an object");
        for (keyword, argument) in keywords {
            if !self.holds(keywords, keyword, argument, value, path, mistakes) {
                mistakes.push(format!("{path}: {keyword}: {value}"));
            }
        }
    }

    fn holds(
        &self,
        keywords: &Map<String, Value>,
        keyword: &str,
        argument: &Value,
        value: &Value,
        path: &str,
        mistakes: &mut Vec<String>,
    ) -> bool {
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let pointer = argument.as_str().and_then(|to| to.strip_prefix('#')).expect("a reference within");
                let target = self.root.pointer(pointer).unwrap_or_else(|| panic!("the schema has no {pointer}"));
                self.check(target, value, path, mistakes);
                true
            }
            "type" => is_of_type(value, argument.as_str().expect("one type")),
            "const" => value == argument,
            "enum" => argument.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= argument.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= argument.as_f64().expect("a number")),
            "minItems" => {
                value.as_array().is_none_or(|items| items.len() as u64 >= argument.as_u64().expect("a number"))
            }
            "minProperties" => {
                value.as_object().is_none_or(|members| members.len() as u64 >= argument.as_u64().expect("a number"))
            }
            "maxProperties" => {
                value.as_object().is_none_or(|members| members.len() as u64 <= argument.as_u64().expect("a number"))
            }
            "pattern" => {
                let pattern = Regex::new(argument.as_str().expect("text")).expect("a pattern that can be read");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "allOf" => argument.as_array().expect("a list").iter().all(|one| self.conforms(one, value)),
            "anyOf" => argument.as_array().expect("a list").iter().any(|one| self.conforms(one, value)),
            "not" => !self.conforms(argument, value),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(argument, item, &format!("{path}/{index}"), mistakes);
                }
                true
            }
            "required" => {
                let names = argument.as_array().expect("a list");
                value
                    .as_object()
                    .is_none_or(|members| names.iter().all(|name| members.contains_key(name.as_str().expect("a name"))))
            }
            "properties" => {
                for (name, schema) in argument.as_object().expect("an object") {
                    if let Some(member) = value.get(name) {
                        self.check(schema, member, &format!("{path}/{name}"), mistakes);
                    }
                }
                true
            }
            "propertyNames" => {
                for name in value.as_object().into_iter().flat_map(Map::keys) {
                    self.check(argument, &Value::from(name.as_str()), &format!("{path}/{name}"), mistakes);
                }
                true
            }
            "additionalProperties" => {
                let listed = keywords.get("properties").and_then(Value::as_object);
                for (name, member) in value.as_object().into_iter().flatten() {
                    if listed.is_some_and(|listed| listed.contains_key(name)) {
                        continue;
                    }
                    match argument {
                        Value::Bool(true) => {}
                        Value::Bool(false) => mistakes.push(format!("{path}/{name}: unknown")),
                        schema => self.check(schema, member, &format!("{path}/{name}"), mistakes),
                    }
                }
                true
            }
            other => panic!("this validator does not know {other:?}"),
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("this validator does not know the type {other:?}"),
    }
}
