//! Reads `depends_on` and `restart_with`. Whether the programs they name exist is checked in `depend`, when all programs
//! are known.

use muster_spec::{DependencyCondition, is_valid_name};

use crate::diagnostic::Place;
use crate::field::Field;
use crate::value::Content;

/// Another program's name in a program's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Mention {
    pub(crate) program: String,
    pub(crate) condition: DependencyCondition,
    pub(crate) at: Place,
    /// Whether it comes from `[defaults]`.
    pub(crate) is_default: bool,
}

impl Mention {
    fn new(field: &Field<'_>, program: String, condition: DependencyCondition, at: Place) -> Mention {
        Mention { program, condition, at, is_default: field.owner.program().is_none() }
    }
}

/// Reads `depends_on` over earlier values: a list replaces them, a table is merged.
pub(crate) fn read_depends_on(field: &Field<'_>, mentions: &mut Vec<Mention>) {
    match &field.value.content {
        Content::Table(entries) => {
            for (name, value) in entries {
                let child = field.child(name.as_str(), value);
                let Some(condition) = child.choice(&DependencyCondition::ALL) else { continue };
                let at = Place::new(field.file, name.span());
                let mention = Mention::new(field, name.as_str().to_owned(), condition, at);
                match mentions.iter_mut().find(|known| known.program == mention.program) {
                    Some(known) => *known = mention,
                    None => mentions.push(mention),
                }
            }
        }
        Content::List(_) | Content::Text(_) => *mentions = read_names(field),
        _ => field.expected_with_hint("a list or a table", "depends_on = { db = \"ready\" }"),
    }
}

/// Reads a list of names, each with the condition "started".
pub(crate) fn read_names(field: &Field<'_>) -> Vec<Mention> {
    let mut mentions: Vec<Mention> = Vec::new();
    for item in &field.items() {
        let Some(text) = item.text() else { continue };
        if let Some((name, condition)) = condition_in(&text.text) {
            let hint = format!("{} = {{ {name} = {condition:?} }}", field.name);
            item.error_with_hint(format_args!("cannot have a condition in a list: {}", item.shown_text(&text)), hint);
        } else if mentions.iter().any(|known| known.program == text.text) {
            item.error(format_args!("names {} twice", item.shown_text(&text)));
        } else {
            let started = DependencyCondition::Started;
            mentions.push(Mention::new(field, text.text.into_owned(), started, item.place()));
        }
    }
    mentions
}

/// Splits `db:ready`, a plausible but wrong way to write a condition.
fn condition_in(text: &str) -> Option<(&str, &str)> {
    let (name, condition) = text.split_once(':')?;
    let is_condition = DependencyCondition::ALL.iter().any(|(word, _)| *word == condition.trim());
    (is_condition && is_valid_name(name)).then(|| (name, condition.trim()))
}
