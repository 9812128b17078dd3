//! The words of a command, split as a shell splits them. Nothing is expanded, and no shell is run.

/// Splits at blanks; `'…'` and `"…"` keep blanks, and a backslash keeps the next character.
pub(crate) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '\\') => {
                let next = characters.next().ok_or("it ends with a backslash")?;
                if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    if words.iter().any(|word| word.contains('\0')) {
        return Err("it contains a zero byte");
    }
    match words.first() {
        None => Err("it is empty"),
        Some(first) if first.is_empty() => Err("its first word is empty"),
        Some(_) => Ok(words),
    }
}

/// The words as one text that [`words`] splits again.
pub(crate) fn join(words: &[String]) -> String {
    let is_plain = |word: &&String| {
        let plain = |character: char| character.is_alphanumeric() || "-_./:=@,+%".contains(character);
        !word.is_empty() && word.chars().all(plain)
    };
    let quoted = |word: &String| match Some(word).filter(is_plain) {
        Some(word) => word.clone(),
        None => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_by_a_shell() {
        for (text, expected) in [
            ("docker exec -i shop", &["docker", "exec", "-i", "shop"][..]),
            ("  ssh  host 'docker exec' ", &["ssh", "host", "docker exec"]),
            (r#"a "b \"c\" \d" '\e' f\ g"#, &["a", "b \"c\" \\d", "\\e", "f g"]),
            ("a ''", &["a", ""]),
            ("a;b |c $D", &["a;b", "|c", "$D"]),
        ] {
            let split = words(text).unwrap();
            assert_eq!(split, expected, "{text}");
            assert_eq!(words(&join(&split)).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_command_says_why() {
        for (text, why) in [("", "empty"), ("  ", "empty"), ("a 'b", "quote"), ("a\\", "backslash"), ("'' a", "first")]
        {
            assert!(words(text).unwrap_err().contains(why), "{text}");
        }
    }
}
