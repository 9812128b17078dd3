//! A TOML text of keys from a file in another language, which knows where each of its parts stands there.
//!
//! A value that is TOML is taken as it is, and any other one is text. The readers of TOML do the rest, so a dotted key, a
//! repeated one and a wrong value mean what they mean in TOML.

use toml::de::DeValue;

use super::{OwnKey, OwnKeys};
use crate::source::{File, Origin};
use crate::toml_string::toml_string;

/// The file's part with these keys.
pub(super) fn file(keys: &OwnKeys<'_>) -> File {
    let (mut text, mut origins) = (String::new(), Vec::new());
    for key in &keys.keys {
        add(key, &mut text, &mut origins);
    }
    File::made(keys.file, text, origins)
}

fn add(key: &OwnKey<'_>, text: &mut String, origins: &mut Vec<Origin>) {
    let (line, column) = key.place;
    origins.push(Origin { start: text.len(), line, column, is_verbatim: false });
    for (index, part) in key.name.split('.').enumerate() {
        text.push_str(if index == 0 { "" } else { "." });
        text.push_str(&toml_string(part));
    }
    text.push_str(" = ");
    let (line, column) = key.value_place;
    let value = key.text.trim();
    let is_toml = DeValue::parse(value).is_ok();
    origins.push(Origin { start: text.len(), line, column, is_verbatim: is_toml && key.text.starts_with(value) });
    text.push_str(&if is_toml { value.to_owned() } else { toml_string(value) });
    text.push('\n');
}
