//! `command`, and whatever else is a program with its arguments.

use crate::field::Field;
use crate::value::Content;

/// Reads a program and its arguments, as text or as a list.
pub(crate) fn read_command(field: &Field<'_>, example: &str) -> Option<Vec<String>> {
    if !matches!(field.value.content, Content::Text(_) | Content::List(_)) {
        field.expected_with_hint("text or a list of texts", example);
        return None;
    }
    let words = field.words()?;
    if words.first().is_none_or(String::is_empty) {
        field.error_with_hint("is empty", "name the program to run first");
        return None;
    }
    Some(words)
}
