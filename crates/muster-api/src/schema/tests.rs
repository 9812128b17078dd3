//! Structs and schemas agree, and the comparison between them detects differences.

use std::collections::BTreeSet;

use super::*;
use crate::example;

fn named(name: &str) -> Value {
    let found = all().into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no schema is called {name}")).1
}

/// All differences between a value and its schema, for the JSON Schema features in use; for objects also unlisted
/// properties.
fn differences(at: &str, schema: &Value, value: &Value) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/components/schemas/").expect("references are local");
        return differences(at, &named(name), value);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().any(|choice| differences(at, choice, value).is_empty());
        return if fits { vec![] } else { vec![format!("{at}: {value} is none of {schema}")] };
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return differences(at, &merged(parts), value);
    }
    // Any value.
    if schema.as_object().is_some_and(Map::is_empty) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if !has_type(schema["type"].as_str().unwrap_or_default(), value) {
        found.push(format!("{at}: {value} is not of type {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        found.push(format!("{at}: {value} is not one of {}", schema["enum"]));
    }
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(differences(&format!("{at}[{place}]"), &schema["items"], item));
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<String>>();
        for key in keys(properties).symmetric_difference(&keys(fields)) {
            found.push(format!("{at}.{key} is only in the schema or only in the struct"));
        }
        for (key, field) in fields {
            let of_key = properties.get(key).map(|schema| differences(&format!("{at}.{key}"), schema, field));
            found.extend(of_key.into_iter().flatten());
        }
    }
    found
}

fn merged(parts: &[Value]) -> Value {
    let mut properties = Map::new();
    for part in parts {
        let part = match part["$ref"].as_str() {
            Some(name) => named(name.rsplit('/').next().unwrap_or_default()),
            None => part.clone(),
        };
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
    }
    json!({"type": "object", "properties": properties})
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[test]
fn structs_and_schemas_have_the_same_fields() {
    let mut compared = 0;
    for (name, schema) in all() {
        let Some(example) = example::of(name) else { continue };
        assert_eq!(differences(name, &schema, &example), Vec::<String>::new());
        compared += 1;
    }
    assert_eq!(compared, 54);
}

#[test]
fn every_kind_of_event_has_the_fields_of_its_schema() {
    let schema = named("Event");
    let mut kinds: Vec<&str> = Vec::new();
    for event in example::events() {
        let value = serde_json::to_value(&event).unwrap();
        let kind = |schema: &&Value| schema["properties"]["kind"]["enum"][0] == event.what.kind();
        let of_kind = schema["anyOf"].as_array().unwrap().iter().find(kind).expect("every kind has a schema");
        assert_eq!(differences(event.what.kind(), of_kind, &value), Vec::<String>::new());
        kinds.push(event.what.kind());
    }
    assert_eq!(kinds.len(), schema["anyOf"].as_array().unwrap().len(), "{kinds:?}");
}

#[test]
fn every_object_has_an_example_to_compare_it_with() {
    for (name, schema) in all() {
        if schema["properties"].is_object() {
            assert!(example::of(name).is_some(), "{name} has no example");
        }
    }
}

/// The comparison above is useful only if it detects differences.
#[test]
fn the_comparison_sees_differences() {
    let schema = named("Missing");
    for value in [
        json!({"name": "web", "state": "BACKOFF"}),
        json!({"name": "web", "state": "BACKOFF", "reason": "x", "more": 1}),
        json!({"name": "web", "state": "FLYING", "reason": "x"}),
        json!({"name": 7, "state": "BACKOFF", "reason": "x"}),
        json!([]),
    ] {
        assert!(!differences("Missing", &schema, &value).is_empty(), "{value}");
    }
}
