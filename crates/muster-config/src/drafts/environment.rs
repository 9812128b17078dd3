//! `environment = { NAME = "value" }`. Values are secrets: the messages here never show one.

use std::collections::BTreeMap;

use muster_spec::is_valid_name;

use crate::diagnostic::Severity;
use crate::field::Field;
use crate::redact::{MASK, is_secret};
use crate::value::{Content, Entries};

/// Reads variables, overriding earlier ones; each value with whether it is a secret.
pub(crate) fn read_environment(field: &Field<'_>, variables: &mut BTreeMap<String, (String, bool)>) {
    let Content::Table(entries) = &field.value.content else {
        no_table(field);
        return;
    };
    for variable in variables_of(field, entries) {
        let name = variable.name;
        if !matches!(variable.value.content, Content::Text(_)) {
            not_text(&variable);
            continue;
        }
        if let Some(text) = variable.text() {
            let secret = text.secret || is_secret(name);
            let noted = &field.around.report.noted;
            if secret {
                noted.keep(&text.text)
            } else {
                noted.keep_variable(name, &text.text)
            }
            variables.insert(name.to_owned(), (text.text.into_owned(), secret));
        }
    }
}

/// The variables of a table, and errors for those that cannot have their name.
pub(crate) fn variables_of<'f>(field: &'f Field<'f>, entries: &'f Entries<'f>) -> impl Iterator<Item = Field<'f>> {
    entries.iter().map(|(name, value)| field.child(name.as_str(), value)).filter(|variable| {
        let is_valid = is_variable_name(variable.name);
        if !is_valid {
            variable.error("is not a valid variable name");
        }
        is_valid
    })
}

/// Whether the kernel and every libc accept a variable of this name.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

fn not_text(variable: &Field<'_>) {
    let shown = if is_secret(variable.name) { MASK.to_owned() } else { variable.shown() };
    let hint = match &variable.value.content {
        Content::List(_) | Content::Table(_) => "a variable holds text: NAME = \"value\"".to_owned(),
        _ => format!("put it in quotes: {} = \"{shown}\"", variable.name),
    };
    variable.error_with_hint(format_args!("must be text: {shown}"), hint);
}

/// supervisord writes `A="1",B="2"`; Docker Compose takes a list of `A=1`.
fn no_table(field: &Field<'_>) {
    let first = match &field.value.content {
        Content::Text(text) => Some(text.as_str()),
        Content::List(items) => items.iter().next().and_then(|item| item.as_str()),
        _ => None,
    };
    let name =
        first.and_then(|text| text.split_once('=')).map(|(name, _)| name.trim()).filter(|name| is_valid_name(name));
    let hint = format!("write each variable as a key: environment = {{ {} = \"…\", … }}", name.unwrap_or("NAME"));
    let place = field.place();
    let finding = field.owner.finding(Severity::Error, place, format_args!("{} must be a table of text", field.path()));
    field.around.report.add(finding.hint(hint));
}
