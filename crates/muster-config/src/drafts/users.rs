//! Users and groups, by name or number. Whether they exist is checked at spawn: an image may create them until then.

use muster_spec::UserSpec;

use crate::field::Field;
use crate::value::Content;

/// `name`, `name:group`, a number, `number:number`; `None` within for an empty text.
pub(crate) fn read_user(field: &Field<'_>) -> Option<Option<UserSpec>> {
    let name = name_or_number(field)?;
    if name.is_empty() {
        return Some(None);
    }
    let (user, group) = match name.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (name.as_str(), None),
    };
    if is_name(user) && group.is_none_or(is_name) {
        let group = group.map(str::to_owned);
        return Some(Some(UserSpec { user: user.to_owned(), group }));
    }
    field.expected("\"name\", \"name:group\", or numbers");
    None
}

/// One user or group.
pub(crate) fn read_user_name(field: &Field<'_>) -> Option<String> {
    let name = name_or_number(field)?;
    if is_name(&name) {
        return Some(name);
    }
    field.expected("a name or a number");
    None
}

fn name_or_number(field: &Field<'_>) -> Option<String> {
    match &field.value.content {
        Content::Integer(_) => field.integer(0..=HIGHEST_ID).map(|id| id.to_string()),
        _ => field.text().map(|text| text.text.into_owned()),
    }
}

/// The highest id: the next one is -1, which chown(2) and setresuid(2) take as "unchanged".
const HIGHEST_ID: i64 = 0xffff_fffe;

/// Whether /etc/passwd could hold this name; a number must be a valid id.
fn is_name(text: &str) -> bool {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        return text.parse::<i64>().is_ok_and(|id| id <= HIGHEST_ID);
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == ',';
    !text.is_empty() && !text.starts_with('-') && !text.contains(is_odd)
}
