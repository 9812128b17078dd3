//! Placeholders of other systems within values, and their equivalents here.

use std::fmt::Write;

/// The first placeholder of another system in a value: the problem and the hint.
pub(crate) fn foreign_words(text: &str) -> Option<(String, String)> {
    supervisords(text).or_else(|| templates(text))
}

/// `%(ENV_HOME)s`, `%(process_num)02d`.
fn supervisords(text: &str) -> Option<(String, String)> {
    for (at, _) in text.match_indices("%(") {
        let inner = &text[at + 2..];
        let Some((name, after)) = inner.split_once(')') else { continue };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if !is_name || !after[digits..].starts_with(['s', 'd']) {
            continue;
        }
        let word = &text[at..at + 2 + name.len() + 1 + digits + 1];
        let mut ours = match name {
            "program_name" | "group_name" => "{program}".to_owned(),
            "process_num" if digits > 0 => format!("{{instance:{}}}", &after[..digits]),
            "process_num" => "{instance}".to_owned(),
            "numprocs" => "{numprocs}".to_owned(),
            "here" => "{here}".to_owned(),
            "host_node_name" => "{host}".to_owned(),
            _ => String::new(),
        };
        if let Some(variable) = name.strip_prefix("ENV_") {
            // Writing to a String cannot fail.
            let _ = write!(ours, "${{{variable}}}");
        }
        let hint = if ours.is_empty() { "remove it".to_owned() } else { format!("write {ours}") };
        return Some((format!("has supervisord's {word}, which is not replaced"), hint));
    }
    None
}

/// `{{.Names}}` of Go, and `{{ name }}` of Jinja: their doubled braces become single ones.
fn templates(text: &str) -> Option<(String, String)> {
    let at = text.find("{{.").or_else(|| text.find("{{ "))?;
    let end = text[at..].find("}}")? + at + 2;
    let template = &text[at..end];
    let problem = format!("has {template:?}, in which doubled braces become single ones");
    Some((problem, format!("double them again for a template: {{{{{}}}}}", &text[at..end])))
}

/// `tcp://`, `fd://`, `loki://` and the like where a path is expected.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

/// The hint for an address where a path is expected.
pub(crate) fn instead_of(scheme: &str) -> String {
    match scheme {
        "syslog" | "tcp" | "udp" | "unix" => {
            "\"syslog\" sends lines to [musterd] syslog = \"tcp://host:port\"".to_owned()
        }
        "file" => "write the path without file://".to_owned(),
        "fd" => "\"console\" is the daemon's stdout and stderr, \"inherit\" passes them on".to_owned(),
        _ => "\"console\" leaves it to the container, whose log driver can send it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_systems_are_recognized() {
        for (text, expected) in [
            ("a %(ENV_HOME)s b", Some("write ${HOME}")),
            ("%(program_name)s_%(process_num)02d", Some("write {program}")),
            ("%(process_num)02d", Some("write {instance:02}")),
            ("%(other)s", Some("remove it")),
            ("date +%(%Y)T %(x) %()s 100%", None),
            ("docker ps --format {{.Names}}", Some("double them again for a template: {{{{.Names}}}}")),
            ("{{name}} {{", None),
        ] {
            assert_eq!(foreign_words(text).map(|(_, hint)| hint).as_deref(), expected, "{text}");
        }
        assert_eq!((scheme("tcp://x"), scheme("/a://b"), scheme("x:/b")), (Some("tcp"), None, None));
    }
}
