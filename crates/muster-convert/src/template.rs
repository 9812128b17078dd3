//! Values with references: read from the original's `%(name)s`, kept symbolic, and written as `${NAME}` and `{word}`.
//!
//! A written text is only used once it was read back as musterd reads it, and found equal to what the original made of
//! the value.

use std::collections::{BTreeMap, HashMap};

use muster_config::template::{Values, value, words};
use muster_import::supervisord::split_command;
use muster_spec::is_valid_name;

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    /// A variable, and whether it was written without width and precision.
    Variable(String, bool),
    Here,
    Host,
    /// The number of the instance, padded with zeros or blanks.
    Number(Option<(usize, bool)>),
    /// The number of instances.
    Total,
}

/// The names that a value of a section may use.
#[derive(Clone, Copy)]
pub(crate) struct Names<'n> {
    pub(crate) program: Option<&'n str>,
    pub(crate) group: Option<&'n str>,
    /// The program's own variables, which musterd does not replace.
    pub(crate) own: &'n BTreeMap<String, Vec<Part>>,
}

/// The parts of a value; `None` if one of them has no counterpart.
pub(crate) fn parse(text: &str, names: Names<'_>) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        push_text(&mut parts, &rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            push_text(&mut parts, "%");
            rest = behind;
            continue;
        }
        let inside = rest.strip_prefix('(')?;
        let close = closing(inside)?;
        let name = &inside[..close];
        let behind = &inside[close + 1..];
        let end = behind.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'h' | 'l' | 'L'))?;
        let (layout, conversion) = (behind[..end].trim_end_matches(['h', 'l', 'L']), behind.as_bytes()[end]);
        rest = &behind[end + 1..];
        push(&mut parts, name, layout, conversion, names)?;
    }
    push_text(&mut parts, rest);
    Some(parts)
}

fn push(parts: &mut Vec<Part>, name: &str, layout: &str, conversion: u8, names: Names<'_>) -> Option<()> {
    let is_plain = layout.is_empty() && conversion == b's';
    if let Some(variable) = name.strip_prefix("ENV_") {
        if let Some(own) = names.own.get(variable).filter(|_| is_plain) {
            own.iter().for_each(|part| push_part(parts, part.clone()));
            return Some(());
        }
        let is_name = variable.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        parts.push(Part::Variable(Some(variable).filter(|_| is_name)?.to_owned(), is_plain));
        return Some(());
    }
    let part = match name {
        "here" if is_plain => Part::Here,
        "host_node_name" if is_plain => Part::Host,
        "program_name" if is_plain => Part::Text(names.program?.to_owned()),
        "group_name" if is_plain => Part::Text(names.group?.to_owned()),
        "numprocs" if layout.is_empty() && b"sdiu".contains(&conversion) => Part::Total,
        "process_num" if b"sdiu".contains(&conversion) => {
            let (zeros, width) = match layout.strip_prefix('0').filter(|_| conversion != b's') {
                Some(width) => (true, width),
                None => (false, layout),
            };
            match width {
                "" => Part::Number(None),
                width if width.len() <= 2 => Part::Number(Some((width.parse().ok()?, zeros))),
                _ => return None,
            }
        }
        _ => return None,
    };
    push_part(parts, part);
    Some(())
}

fn push_part(parts: &mut Vec<Part>, part: Part) {
    match part {
        Part::Text(text) => push_text(parts, &text),
        part => parts.push(part),
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn closing(inside: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, c) in inside.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// The result of the original's second expansion of the same text.
pub(crate) fn expanded_again(parts: Vec<Part>) -> Vec<Part> {
    let again = |part| match part {
        Part::Text(text) => Part::Text(text.replace("%%", "%")),
        part => part,
    };
    parts.into_iter().map(again).collect()
}

/// How braces in a text are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    /// Only those that musterd would replace.
    Words,
    /// All of them.
    All,
}

/// Writes the parts with musterd's references.
fn written(parts: &[Part], escapes: Escapes) -> String {
    let (mut out, mut open) = (String::new(), Vec::new());
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) => {
                let is_before_reference = parts.get(at + 1).is_some();
                escape(text, escapes, is_before_reference, &mut open, &mut out);
            }
            Part::Variable(name, _) => {
                out.push_str("${");
                out.push_str(name);
                out.push('}');
            }
            Part::Here => out.push_str("{here}"),
            Part::Host => out.push_str("{host}"),
            Part::Number(None) => out.push_str("{instance}"),
            Part::Number(Some((width, true))) => out.push_str(&format!("{{instance:0{width}}}")),
            Part::Number(Some((width, false))) => out.push_str(&format!("{{instance:{width}}}")),
            Part::Total => out.push_str("{numprocs}"),
        }
    }
    out
}

/// Escapes a text. `open` has the literal braces that are not closed yet, each with whether it was doubled: one that
/// `$${` wrote is closed by a single brace.
fn escape(text: &str, escapes: Escapes, is_before_reference: bool, open: &mut Vec<bool>, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{', '}']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('$') {
            let run = rest.bytes().take_while(|byte| *byte == b'$').count();
            let behind = &rest[run..];
            let needs = run > 1 || behind.starts_with('{') || behind.is_empty() && is_before_reference;
            out.push_str(&"$".repeat(if needs { 2 * run } else { run }));
            // `$${` is `${`: its brace is not doubled.
            let takes_brace = needs && behind.starts_with('{');
            rest = if takes_brace { &behind[1..] } else { behind };
            if takes_brace {
                out.push('{');
                open.push(false);
            }
            continue;
        }
        let word = rest.strip_prefix('{').and_then(word_in_braces);
        match word.filter(|_| escapes == Escapes::Words) {
            Some(word) => {
                out.push_str("{{");
                out.push_str(word);
                out.push_str("}}");
                rest = &rest[word.len() + 2..];
            }
            None => {
                let brace = &rest[..1];
                let is_doubled = match brace {
                    "{" => {
                        open.push(true);
                        true
                    }
                    _ => open.pop() != Some(false),
                };
                out.push_str(brace);
                if escapes == Escapes::All && is_doubled {
                    out.push_str(brace);
                }
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
}

/// The word before a closing brace that musterd might replace, or refuse.
fn word_in_braces(inner: &str) -> Option<&str> {
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && !"_:+-".contains(c))?;
    (end > 0 && inner[end..].starts_with('}')).then(|| &inner[..end])
}

/// One instance of a program, and the value that the original made for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'e> {
    pub(crate) number: i64,
    pub(crate) value: &'e str,
}

/// The surroundings in which values were expanded.
pub(crate) struct Scope<'s> {
    pub(crate) variables: &'s HashMap<String, String>,
    pub(crate) here: &'s str,
    pub(crate) host: &'s str,
    pub(crate) total: i64,
}

impl Scope<'_> {
    fn with<T>(&self, number: i64, run: impl FnOnce(&Values<'_>) -> T) -> T {
        let word = |word: &str| match word {
            "here" => Some(self.here.to_owned()),
            "host" => Some(self.host.to_owned()),
            "instance" => Some(number.to_string()),
            "numprocs" => Some(self.total.to_string()),
            _ => None,
        };
        run(&Values { variable: &|name| self.variables.get(name).cloned(), word: &word })
    }
}

/// How a written value relates to the original's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is read as the original's value, whatever the variables are.
    Exact(String),
    /// It has the original's references, and is read as another value.
    Near(String),
    /// Its references were replaced by the values of this machine.
    Fixed(String),
    /// The instances need different texts.
    Apart,
}

/// The text to write for a value.
pub(crate) fn settle(parts: Option<&[Part]>, expected: &[Expected<'_>], scope: &Scope<'_>) -> Settled {
    settle_alike(parts, expected, scope, |read, expected| read == expected)
}

/// The text to write for a path in which the original has resolved `..`.
pub(crate) fn settle_path(parts: Option<&[Part]>, expected: &[Expected<'_>], scope: &Scope<'_>) -> Settled {
    settle_alike(parts, expected, scope, |read, expected| read == expected || resolved(read) == expected)
}

fn settle_alike(
    parts: Option<&[Part]>,
    expected: &[Expected<'_>],
    scope: &Scope<'_>,
    is_alike: impl Fn(&str, &str) -> bool,
) -> Settled {
    let is_read = |text: &str, expected: &Expected<'_>| {
        let read = scope.with(expected.number, |values| value(text, values));
        read.is_some_and(|read| is_alike(&read, expected.value))
    };
    decide(parts, expected, |parts| {
        let texts = [Escapes::Words, Escapes::All].map(|escapes| written(parts, escapes));
        texts.into_iter().find(|text| expected.iter().all(|one| is_read(text, one)))
    })
}

/// An absolute path without `.` and `..`.
pub(crate) fn resolved(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A text that musterd reads as it stands.
pub(crate) fn literal(text: &str) -> String {
    let variables = HashMap::new();
    let scope = Scope { variables: &variables, here: "/", host: "", total: 1 };
    let parts = [Part::Text(text.to_owned())];
    match settle(Some(&parts), &[Expected { number: 0, value: text }], &scope) {
        Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text) => text,
        Settled::Apart => text.to_owned(),
    }
}

/// The written command, a text or a list, with its quotes.
pub(crate) fn settle_command(parts: Option<&[Part]>, expected: &[Expected<'_>], scope: &Scope<'_>) -> Settled {
    let argv: Vec<Option<Vec<String>>> = expected.iter().map(|one| split_command(one.value).ok()).collect();
    let settled = decide(parts, expected, |parts| {
        let texts = [Escapes::Words, Escapes::All].map(|escapes| written(parts, escapes));
        let is_read = |text: &String| {
            let mut all = expected.iter().zip(&argv);
            all.all(|(one, argv)| scope.with(one.number, |values| words(text, values)) == *argv)
        };
        let text = texts.into_iter().find(is_read).map(|text| crate::toml::text(text.trim_start()));
        text.or_else(|| list(parts, expected, &argv, scope))
    });
    match settled {
        // Nothing was read back: the text is not yet in quotes.
        Settled::Near(text) => Settled::Near(crate::toml::text(&text)),
        settled => settled,
    }
}

/// Writes a command as a list, whose items need no quoting.
fn list(parts: &[Part], expected: &[Expected<'_>], argv: &[Option<Vec<String>>], scope: &Scope<'_>) -> Option<String> {
    let words = marked_words(parts)?;
    let mut items = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_read = |text: &String| {
            let mut all = expected.iter().zip(argv);
            all.all(|(one, argv)| {
                let argument = argv.as_ref().and_then(|argv| argv.get(at));
                scope.with(one.number, |values| value(text, values)).as_ref() == argument
            })
        };
        items.push([Escapes::Words, Escapes::All].map(|escapes| written(word, escapes)).into_iter().find(is_read)?);
    }
    let is_whole = argv.iter().all(|argv| argv.as_ref().is_some_and(|argv| argv.len() == words.len()));
    (is_whole && !items.is_empty()).then(|| crate::toml::list(items.iter().map(|item| crate::toml::text(item))))
}

/// The first character that stands for a reference while a command is split.
const MARK: u32 = 0xf_0000;

/// The words of a command with references.
fn marked_words(parts: &[Part]) -> Option<Vec<Vec<Part>>> {
    let is_mark = |c: char| u32::from(c) >= MARK;
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(part) if part.contains(is_mark) => return None,
            Part::Text(part) => text.push_str(part),
            _ => text.push(char::from_u32(MARK + u32::try_from(at).ok()?)?),
        }
    }
    let unmarked = |word: String| {
        let mut found = Vec::new();
        for c in word.chars() {
            let reference = u32::from(c).checked_sub(MARK).and_then(|at| parts.get(at as usize));
            match reference {
                Some(reference) => found.push(reference.clone()),
                None => push_text(&mut found, c.encode_utf8(&mut [0; 4])),
            }
        }
        found
    };
    Some(split_command(&text).ok()?.into_iter().map(unmarked).collect())
}

fn decide(parts: Option<&[Part]>, expected: &[Expected<'_>], write: impl Fn(&[Part]) -> Option<String>) -> Settled {
    let has_lossy = |parts: &[Part]| parts.iter().any(|part| matches!(part, Part::Variable(_, false)));
    if let Some(parts) = parts.filter(|parts| !has_lossy(parts))
        && let Some(text) = write(parts)
    {
        return Settled::Exact(text);
    }
    // A variable may hold a secret, so its value is not written.
    if let Some(parts) = parts.filter(|parts| parts.iter().any(|part| matches!(part, Part::Variable(..)))) {
        return Settled::Near(written(parts, Escapes::Words));
    }
    let Some(first) = expected.first() else { return Settled::Apart };
    if expected.iter().any(|one| one.value != first.value) {
        return Settled::Apart;
    }
    match write(&[Part::Text(first.value.to_owned())]) {
        Some(text) => Settled::Fixed(text),
        None => Settled::Apart,
    }
}

/// The parts of a value in which references were marked; see [`mark`].
pub(crate) fn unmark(text: &str, parts: &[Part], mark: &str) -> Vec<Part> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(mark) {
        let behind = &rest[at + mark.len()..];
        let end = behind.find('Z').unwrap_or(behind.len());
        let Some(part) = behind[..end].parse().ok().and_then(|at: usize| parts.get(at)) else { break };
        push_text(&mut found, &rest[..at]);
        found.push(part.clone());
        rest = behind[end..].strip_prefix('Z').unwrap_or_default();
    }
    push_text(&mut found, rest);
    found
}

/// A text in which each reference is a word, and the beginning of these words, which occurs nowhere else in it.
pub(crate) fn mark(parts: &[Part]) -> (String, String) {
    let is_in = |mark: &str| parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains(mark)));
    let mut mark = "Zref".to_owned();
    while is_in(&mark) {
        mark.push('x');
    }
    let one = |(at, part): (usize, &Part)| match part {
        Part::Text(text) => text.clone(),
        _ => format!("{mark}{at}Z"),
    };
    (parts.iter().enumerate().map(one).collect(), mark)
}

/// A valid name of a program or a group.
pub(crate) fn valid_name(name: &str) -> String {
    if is_valid_name(name) {
        return name.to_owned();
    }
    let clean = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    let clean: String = name.trim().chars().take(100).map(clean).collect();
    if is_valid_name(&clean) { clean } else { format!("{clean}_") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(own: &BTreeMap<String, Vec<Part>>) -> Names<'_> {
        Names { program: Some("web"), group: Some("front"), own }
    }

    fn with_scope<T>(run: impl Fn(&Scope<'_>) -> T) -> T {
        let variables = [("PORT", "80"), ("ARGS", "-a -b")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        run(&Scope { variables: &variables, here: "/etc", host: "vm", total: 2 })
    }

    fn settled(text: &str, values: [&str; 2]) -> Settled {
        let own = BTreeMap::new();
        let parts = parse(text, names(&own));
        let expected = [Expected { number: 0, value: values[0] }, Expected { number: 1, value: values[1] }];
        with_scope(|scope| settle(parts.as_deref(), &expected, scope))
    }

    #[test]
    fn references_stay_symbolic() {
        let exact = |text: &str, values: [&str; 2], expected: &str| {
            assert_eq!(settled(text, values), Settled::Exact(expected.to_owned()), "{text}");
        };
        exact("%(here)s/%(program_name)s%%", ["/etc/web%"; 2], "{here}/web%");
        exact("%(ENV_PORT)s%(process_num)02d", ["8000", "8001"], "${PORT}{instance:02}");
        exact("a ${X} $$ $Y {name} {print}", ["a ${X} $$ $Y {name} {print}"; 2], "a $${X} $$$$ $Y {{name}} {{print}}");
        exact("{\"a\":{\"b\":1}} {}", ["{\"a\":{\"b\":1}} {}"; 2], "{\"a\":{\"b\":1}} {}");
        exact("{{ x }} }}", ["{{ x }} }}"; 2], "{{{{ x }}}} }}}}");
        exact("{{ x }} ${HOME} }}", ["{{ x }} ${HOME} }}"; 2], "{{{{ x }}}} $${HOME} }}}}");
        exact("$%(ENV_PORT)s", ["$80"; 2], "$$${PORT}");
    }

    #[test]
    fn values_without_a_counterpart_are_fixed_or_told_apart() {
        assert_eq!(settled("%(process_num)x", ["0", "1"]), Settled::Apart);
        assert_eq!(settled("%(program_name).1s", ["w", "w"]), Settled::Fixed("w".to_owned()));
        assert_eq!(settled("%(ENV_PORT)5s", ["   80"; 2]), Settled::Near("${PORT}".to_owned()));
    }

    #[test]
    fn commands_are_texts_where_a_text_is_read_alike() {
        let own = BTreeMap::new();
        let check = |text: &str, value: &str, expected: &str| {
            let parts = parse(text, names(&own));
            let expected_value = [Expected { number: 0, value }];
            let found = with_scope(|scope| settle_command(parts.as_deref(), &expected_value, scope));
            assert_eq!(found, Settled::Exact(expected.to_owned()), "{text}");
        };
        check("web -p %(ENV_PORT)s", "web -p 80", "\"web -p ${PORT}\"");
        check("web %(ENV_ARGS)s", "web -a -b", "\"web ${ARGS}\"");
        check("sh -c \"echo '$X' \\$Y\"", "sh -c \"echo '$X' \\$Y\"", "[\"sh\", \"-c\", \"echo '$X' \\\\$Y\"]");
    }
}
