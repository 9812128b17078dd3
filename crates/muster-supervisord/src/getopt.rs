//! The `getopt` of Python's standard library, which the original uses.
//!
//! Options end at the first other word or after `--`. A long option may be shortened as long as it is unique, and its
//! value follows an equals sign or is the next word.

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// Its long name, if it has one.
    pub long: Option<&'static str>,
    /// Whether it takes a value.
    pub has_value: bool,
}

/// An option as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its index in the table.
    pub option: usize,
    /// Its full name, with dashes.
    pub name: String,
    /// Its value, or nothing.
    pub value: String,
}

/// Takes the words apart: the options, and the words after them.
pub fn parse<'w>(table: &[Opt], words: &'w [String]) -> Result<(Vec<Found>, &'w [String]), String> {
    let (mut found, mut rest) = (Vec::new(), words);
    while let [first, behind @ ..] = rest {
        let Some(dashed) = first.strip_prefix('-').filter(|dashed| !dashed.is_empty()) else { break };
        rest = behind;
        match dashed.strip_prefix('-') {
            Some("") => break,
            Some(long) => found.push(take_long(table, long, &mut rest)?),
            None => take_short(table, dashed, &mut rest, &mut found)?,
        }
    }
    Ok((found, rest))
}

fn take_long(table: &[Opt], word: &str, rest: &mut &[String]) -> Result<Found, String> {
    let (name, given) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let (option, name) = long_named(table, name)?;
    let value = match (table[option].has_value, given) {
        (false, Some(_)) => return Err(format!("option --{name} must not have an argument")),
        (false, None) => String::new(),
        (true, Some(value)) => value,
        (true, None) => next(rest).ok_or_else(|| format!("option --{name} requires argument"))?,
    };
    Ok(Found { option, name: format!("--{name}"), value })
}

/// The option of this name, or the only one that begins with it.
fn long_named(table: &[Opt], name: &str) -> Result<(usize, &'static str), String> {
    let long = table.iter().enumerate().filter_map(|(at, option)| Some((at, option.long?)));
    let possible: Vec<(usize, &'static str)> = long.filter(|(_, long)| long.starts_with(name)).collect();
    let exact = possible.iter().find(|(_, long)| *long == name);
    match (exact, possible.as_slice()) {
        (Some(&exact), _) => Ok(exact),
        (None, [only]) => Ok(*only),
        (None, []) => Err(format!("option --{name} not recognized")),
        (None, _) => Err(format!("option --{name} not a unique prefix")),
    }
}

/// Letters in one word; the first that takes a value takes the rest of the word or the next one.
fn take_short(table: &[Opt], letters: &str, rest: &mut &[String], found: &mut Vec<Found>) -> Result<(), String> {
    let mut behind = letters.chars();
    while let Some(letter) = behind.next() {
        let option = table.iter().position(|option| option.short == Some(letter));
        let option = option.ok_or_else(|| format!("option -{letter} not recognized"))?;
        let mut value = String::new();
        if table[option].has_value {
            value = std::mem::replace(&mut behind, "".chars()).collect();
            if value.is_empty() {
                value = next(rest).ok_or_else(|| format!("option -{letter} requires argument"))?;
            }
        }
        found.push(Found { option, name: format!("-{letter}"), value });
    }
    Ok(())
}

fn next(rest: &mut &[String]) -> Option<String> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [Opt; 4] = [
        Opt { short: Some('n'), long: Some("nodaemon"), has_value: false },
        Opt { short: Some('c'), long: Some("configuration"), has_value: true },
        Opt { short: None, long: Some("nocleanup"), has_value: false },
        Opt { short: None, long: Some("no"), has_value: false },
    ];

    fn parsed(line: &str) -> Result<(Vec<(String, String)>, usize), String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (found, rest) = parse(&TABLE, &words)?;
        Ok((found.into_iter().map(|it| (it.name, it.value)).collect(), rest.len()))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn values_follow_in_the_word_or_in_the_next() {
        assert_eq!(
            parsed("-nc x -cy -nnc=z").unwrap().0,
            pairs(&[("-n", ""), ("-c", "x"), ("-c", "y"), ("-n", ""), ("-n", ""), ("-c", "=z")])
        );
        assert_eq!(
            parsed("--conf x --c=y --configuration=").unwrap().0,
            pairs(&[("--configuration", "x"), ("--configuration", "y"), ("--configuration", "")])
        );
    }

    #[test]
    fn an_exact_name_wins_over_those_that_begin_with_it() {
        assert_eq!(parsed("--no --nod").unwrap().0, pairs(&[("--no", ""), ("--nodaemon", "")]));
        assert_eq!(parsed("--n"), Err("option --n not a unique prefix".to_owned()));
    }

    #[test]
    fn options_end_at_the_first_other_word() {
        for (line, rest) in [("-n a -n", 2), ("-n - -n", 2), ("-n -- -n", 1), ("--nod", 0)] {
            assert_eq!(parsed(line).unwrap().1, rest, "{line}");
        }
    }
}
