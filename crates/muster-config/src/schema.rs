//! Generates the JSON Schema of the configuration from the list of keys, for editors and other tools.
//!
//! The schema covers each key by itself. Only `musterd check` knows constraints between keys, names that must exist, and
//! keys spread over files (a program's `command` may stand in another file). Unsupported keys are left out.

use serde_json::{Map, Value, json};

use crate::keys::{self, Key, Table};
use crate::shape;

/// Draft 2020-12, pretty, with a newline at its end: what `musterd schema` prints.
pub fn json_schema() -> String {
    let mut definitions = Map::new();
    for (name, definition) in shape::definitions() {
        definitions.insert(name.to_owned(), definition);
    }
    for table in Table::ALL.into_iter().filter(|&table| table != Table::Root) {
        definitions.insert(shape::table_name(table), table_schema(table));
    }
    let mut schema = table_schema(Table::Root);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "musterd configuration".into();
    schema["description"] = "what musterd supervises, and how".into();
    schema["$defs"] = Value::Object(definitions);
    let text = serde_json::to_string_pretty(&schema).expect("maps with text as keys always make JSON");
    format!("{text}\n")
}

fn table_schema(table: Table) -> Value {
    let mut properties = Map::new();
    for key in keys::of(table).filter(|key| key.is_supported()) {
        properties.insert(key.name.to_owned(), key_schema(key));
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn key_schema(key: &Key) -> Value {
    let mut schema = if key.table == Table::Root { root(key.name) } else { shape::of(key) }
        .unwrap_or_else(|| panic!("{}: no shape is known for {:?}", key.name, key.value));
    let why = if key.why.is_empty() { String::new() } else { format!(" ({})", key.why) };
    schema["description"] = format!("{}{why}", key.doc).into();
    if let Some(default) = default(key) {
        schema["default"] = default;
    }
    schema
}

/// The tables of the top level.
fn root(name: &str) -> Option<Value> {
    let named = |table| {
        let name = json!({ "pattern": "^[A-Za-z0-9_.-]+$", "not": { "const": "all" } });
        json!({ "type": "object", "propertyNames": name, "additionalProperties": shape::reference(&shape::table_name(table)) })
    };
    Some(match name {
        "include" => shape::one_or_several(&json!({ "type": "string" })),
        "musterd" => shape::reference(&shape::table_name(Table::Musterd)),
        "http" => shape::reference(&shape::table_name(Table::Http)),
        "defaults" => shape::reference(&shape::table_name(Table::Program)),
        "program" => named(Table::Program),
        "group" => named(Table::Group),
        "source" => named(Table::Source),
        "notify" => named(Table::Notifier),
        _ => return None,
    })
}

/// The default as JSON; `None` for a key that has none.
fn default(key: &Key) -> Option<Value> {
    if key.default.is_empty() {
        return None;
    }
    let table: toml::Table = format!("x = {}", key.default).parse().ok()?;
    serde_json::to_value(table.get("x")?).ok()
}
