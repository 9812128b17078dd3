//! Parses command lines like getopt(3).
//!
//! tini and dumb-init are C programs: which argument counts as an option, how `-vvg` and `--rewrite=15:2` are split,
//! what an abbreviated `--verb` means and the messages for mistakes all come from glibc's getopt. A replacement
//! must match it exactly. Knows no options itself: a [`Grammar`] lists them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The options of a command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar {
    /// One-letter options; those followed by `:` take a value, as in getopt's own notation.
    pub(super) short: &'static str,
    /// Options with a name.
    pub(super) long: &'static [Long],
    /// How an argument that is not an option is handled.
    pub(super) operands: Operands,
}

/// An option with a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long {
    /// The name, without the dashes.
    pub(super) name: &'static str,
    /// Whether a value follows.
    pub(super) takes_value: bool,
    /// The key that the scan reports for it, usually the equivalent letter.
    pub(super) key: u8,
}

/// How an argument that is not an option affects the options after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// It is set aside, and options are accepted after it: getopt's default.
    AreSetAside,
    /// It ends the options: getopt's `+`, and POSIX.
    EndTheOptions,
}

/// An error, with glibc's message (without the program's name in front).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// An unknown letter.
    UnknownLetter(u8),
    /// An unknown name, with its dashes and its value.
    UnknownName(OsString),
    /// An abbreviation that matches several names.
    Ambiguous(OsString, Vec<&'static str>),
    /// A letter whose value is missing.
    LetterNeedsValue(u8),
    /// A name whose value is missing.
    NameNeedsValue(&'static str),
    /// A name that takes no value but has one.
    UnwantedValue(&'static str),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::UnknownLetter(letter) => write!(f, "invalid option -- '{}'", char::from(*letter)),
            Mistake::UnknownName(given) => write!(f, "unrecognized option '{}'", given.display()),
            Mistake::Ambiguous(given, names) => {
                write!(f, "option '{}' is ambiguous; possibilities:", given.display())?;
                names.iter().try_for_each(|name| write!(f, " '--{name}'"))
            }
            Mistake::LetterNeedsValue(letter) => write!(f, "option requires an argument -- '{}'", char::from(*letter)),
            Mistake::NameNeedsValue(name) => write!(f, "option '--{name}' requires an argument"),
            Mistake::UnwantedValue(name) => write!(f, "option '--{name}' doesn't allow an argument"),
        }
    }
}

impl std::error::Error for Mistake {}

/// An option: its key, and its value if it takes one.
pub(super) type Found = (u8, Option<OsString>);

/// A scan of a command line, option by option.
///
/// Nothing is read ahead: a `--help` before an error takes precedence, as with getopt.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    grammar: Grammar,
    arguments: std::slice::Iter<'a, OsString>,
    cluster: &'a [u8],
    operands: Vec<OsString>,
    options_ended: bool,
}

impl<'a> Scan<'a> {
    /// A scan of `arguments`, without the program's own name.
    pub(super) fn new(grammar: Grammar, arguments: &'a [OsString]) -> Scan<'a> {
        Scan { grammar, arguments: arguments.iter(), cluster: &[], operands: Vec::new(), options_ended: false }
    }

    /// The rest once the options are read: the operands in order.
    pub(super) fn into_operands(mut self) -> Vec<OsString> {
        self.operands.extend(self.arguments.cloned());
        self.operands
    }

    fn next_cluster(&mut self) -> Option<Result<Found, Mistake>> {
        while !self.options_ended {
            let argument = self.arguments.next()?;
            match argument.as_bytes() {
                b"--" => self.options_ended = true,
                [b'-', b'-', name @ ..] if !self.grammar.long.is_empty() => return Some(self.named(name)),
                [b'-', letters @ ..] if !letters.is_empty() => {
                    self.cluster = letters;
                    return Some(self.lettered());
                }
                _ => {
                    self.operands.push(argument.clone());
                    self.options_ended = self.grammar.operands == Operands::EndTheOptions;
                }
            }
        }
        None
    }

    fn lettered(&mut self) -> Result<Found, Mistake> {
        let (&letter, rest) = self.cluster.split_first().expect("callers checked that a letter is left");
        self.cluster = rest;
        match takes_value(self.grammar.short, letter) {
            None => Err(Mistake::UnknownLetter(letter)),
            Some(false) => Ok((letter, None)),
            Some(true) => self.value_of(letter).map(|value| (letter, Some(value))),
        }
    }

    fn value_of(&mut self, letter: u8) -> Result<OsString, Mistake> {
        let rest = std::mem::take(&mut self.cluster);
        if rest.is_empty() {
            self.arguments.next().cloned().ok_or(Mistake::LetterNeedsValue(letter))
        } else {
            Ok(OsStr::from_bytes(rest).to_owned())
        }
    }

    fn named(&mut self, given: &[u8]) -> Result<Found, Mistake> {
        let (name, value) = match given.iter().position(|&byte| byte == b'=') {
            Some(at) => (&given[..at], Some(OsStr::from_bytes(&given[at + 1..]).to_owned())),
            None => (given, None),
        };
        let long = find(self.grammar.long, name, given)?;
        match (long.takes_value, value) {
            (false, None) => Ok((long.key, None)),
            (false, Some(_)) => Err(Mistake::UnwantedValue(long.name)),
            (true, Some(value)) => Ok((long.key, Some(value))),
            (true, None) => match self.arguments.next() {
                Some(value) => Ok((long.key, Some(value.clone()))),
                None => Err(Mistake::NameNeedsValue(long.name)),
            },
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Found, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cluster.is_empty() { self.next_cluster() } else { Some(self.lettered()) }
    }
}

fn takes_value(short: &str, letter: u8) -> Option<bool> {
    let at = short.bytes().position(|known| known == letter && letter != b':')?;
    Some(short.as_bytes().get(at + 1) == Some(&b':'))
}

/// The option of this name, or the only one that begins with it.
fn find(long: &'static [Long], name: &[u8], given: &[u8]) -> Result<&'static Long, Mistake> {
    let candidates: Vec<&'static Long> = long.iter().filter(|long| long.name.as_bytes().starts_with(name)).collect();
    let exact = candidates.iter().find(|long| long.name.len() == name.len());
    match (exact, candidates.as_slice()) {
        (Some(long), _) => Ok(long),
        (None, [only]) => Ok(only),
        (None, []) => Err(Mistake::UnknownName(dashed(given))),
        (None, several) => Err(Mistake::Ambiguous(dashed(given), several.iter().map(|long| long.name).collect())),
    }
}

fn dashed(given: &[u8]) -> OsString {
    OsString::from_vec([b"--", given].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &[Long] = &[
        Long { name: "help", takes_value: false, key: b'h' },
        Long { name: "rewrite", takes_value: true, key: b'r' },
        Long { name: "verbose", takes_value: false, key: b'v' },
        Long { name: "version", takes_value: false, key: b'V' },
    ];
    const LETTERS: Grammar = Grammar { short: "hvr:", long: &[], operands: Operands::AreSetAside };
    const NAMES: Grammar = Grammar { short: "hvVr:", long: LONG, operands: Operands::EndTheOptions };

    /// Parses `line` and formats the result: `v r=15:2 | operands`, or the error after the options before it.
    fn told(grammar: Grammar, line: &str) -> String {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut scan = Scan::new(grammar, &arguments);
        let mut story = Vec::new();
        for found in scan.by_ref() {
            match found {
                Ok((key, None)) => story.push(char::from(key).to_string()),
                Ok((key, Some(value))) => story.push(format!("{}={}", char::from(key), value.display())),
                Err(mistake) => return format!("{}! {mistake}", story.join(" ")),
            }
        }
        let operands: Vec<String> = scan.into_operands().iter().map(|one| one.display().to_string()).collect();
        format!("{}|{}", story.join(" "), operands.join(" "))
    }

    #[test]
    fn letters_come_apart_as_getopt_takes_them_apart() {
        for (line, expected) in [
            ("-vvh true", "v v h|true"),
            ("-vr15:2 true", "v r=15:2|true"),
            ("-r 15:2 true", "r=15:2|true"),
            ("-r -- true", "r=--|true"),
            ("true -v x -h", "v h|true x"),
            ("true -- -v", "|true -v"),
            ("- -v", "v|-"),
            ("-x true", "! invalid option -- 'x'"),
            ("-vx", "v! invalid option -- 'x'"),
            ("-:", "! invalid option -- ':'"),
            ("-vr", "v! option requires an argument -- 'r'"),
            ("--help", "! invalid option -- '-'"),
            ("", "|"),
        ] {
            assert_eq!(told(LETTERS, line), expected, "{line:?}");
        }
    }

    #[test]
    fn names_may_be_abbreviated_as_long_as_they_are_one() {
        for (line, expected) in [
            ("--rewrite 1:2 true -v", "r=1:2|true -v"),
            ("--rew=1:2 true", "r=1:2|true"),
            ("--verb -- -v", "v|-v"),
            ("--ver", "! option '--ver' is ambiguous; possibilities: '--verbose' '--version'"),
            ("--nope=3", "! unrecognized option '--nope=3'"),
            ("--help=3", "! option '--help' doesn't allow an argument"),
            ("--rewrite", "! option '--rewrite' requires an argument"),
            ("sh -c true", "|sh -c true"),
        ] {
            assert_eq!(told(NAMES, line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_exact_name_beats_a_longer_one() {
        const NESTED: &[Long] = &[
            Long { name: "session-x", takes_value: false, key: b'x' },
            Long { name: "session", takes_value: false, key: b's' },
        ];
        let grammar = Grammar { short: "", long: NESTED, operands: Operands::EndTheOptions };
        assert_eq!(told(grammar, "--session"), "s|");
    }
}
