//! Reading one value: lookup, expansion, type, and the report of what is wrong. A value that cannot be read is
//! reported and replaced by its default, so all mistakes are found at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::limits;
use super::model::Variables;
use super::options::{Kind, Opt, Type};
use super::problem::{Problem, Report, SourcePlace, Warning};
use super::sections::{Entry, Sections};
use super::values::{self, Read};
use super::world::{User, World};
use super::{environment, hints};
use muster_supervisord::expand::{self, Failure, Names, Value};
use muster_supervisord::python::repr;

/// A mistake that has been reported; the caller goes on with a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// The state of one reading.
pub(super) struct Reader<'w> {
    pub(super) world: &'w dyn World,
    /// The variables behind `ENV_*`.
    pub(super) variables: HashMap<String, String>,
    /// Whether a list of variables could not be read, so that an unknown `ENV_*` proves nothing.
    pub(super) variables_incomplete: bool,
    pub(super) here: String,
    pub(super) host: String,
    pub(super) sections: Sections,
    pub(super) report: Report,
    /// Bytes that expansions may still produce.
    pub(super) budget: usize,
    /// Number of processes that may still be made.
    pub(super) processes_left: usize,
    /// Number of variables that processes may still have.
    pub(super) variables_left: usize,
    /// Number of words that commands may still have.
    pub(super) words_left: usize,
    /// Number of the global variables, and their length in bytes.
    pub(super) global: (usize, usize),
    /// The bounds that were met: each is reported once, since everything behind it meets it too.
    pub(super) bounds_met: BTreeSet<String>,
    /// Number of names that may still be compared with unknown ones.
    pub(super) names_left: usize,
}

/// The names that one value may use, and the form of its messages.
pub(super) struct ExpansionScope<'s> {
    /// The section's position.
    pub(super) section: usize,
    /// Names besides `ENV_*`.
    pub(super) words: &'s [(&'static str, Value<'s>)],
    /// Variables of the program's own, above those of the daemon.
    pub(super) own: Option<&'s HashMap<String, String>>,
    /// Whether the original appends section and file to its message.
    pub(super) names_section: bool,
}

impl<'s> ExpansionScope<'s> {
    /// Variables and these words.
    pub(super) fn new(section: usize, words: &'s [(&'static str, Value<'s>)]) -> ExpansionScope<'s> {
        ExpansionScope { section, words, own: None, names_section: false }
    }
}

/// Where the names of a scope are looked up.
struct Lookup<'l> {
    scope: &'l ExpansionScope<'l>,
    variables: &'l HashMap<String, String>,
}

impl Names for Lookup<'_> {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        if let Some(variable) = name.strip_prefix("ENV_") {
            let own = self.scope.own.and_then(|own| own.get(variable));
            return own.or_else(|| self.variables.get(variable)).map(|value| Value::Text(value));
        }
        self.scope.words.iter().find(|(word, _)| *word == name).map(|(_, value)| *value)
    }
}

impl Lookup<'_> {
    fn count(&self) -> usize {
        self.variables.len() + self.scope.own.map_or(0, HashMap::len) + self.scope.words.len()
    }

    fn names(&self) -> Vec<String> {
        let own = self.scope.own.into_iter().flatten();
        let variables = self.variables.iter().chain(own).map(|(name, _)| format!("ENV_{name}"));
        let words = self.scope.words.iter().map(|(word, _)| (*word).to_owned());
        variables.chain(words).collect()
    }
}

/// A value after expansion and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) place: SourcePlace,
}

impl Reader<'_> {
    pub(super) fn section_name(&self, section: usize) -> &str {
        &self.sections.list()[section].name
    }

    pub(super) fn section_place(&self, section: usize) -> SourcePlace {
        self.sections.list()[section].place.clone()
    }

    /// A value as it stands in the file.
    pub(super) fn raw(&self, section: usize, option: &Opt) -> Option<Entry> {
        self.sections.entry(section, option.key).cloned()
    }

    /// A value after expansion; `None` if the key is missing.
    pub(super) fn text(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> Result<Option<Text>, Reported> {
        let Some(entry) = self.sections.entry(scope.section, option.key) else { return Ok(None) };
        let (text, place) = (entry.text.clone(), entry.place.clone());
        let name = format!("{}.{}", self.section_name(scope.section), option.key);
        let text = self.expand(scope, &text, &name, option.key, &place)?;
        Ok(Some(Text { text, place }))
    }

    /// Expands a text, which the original calls `name` in messages.
    pub(super) fn expand(
        &mut self,
        scope: &ExpansionScope<'_>,
        text: &str,
        name: &str,
        key: &str,
        place: &SourcePlace,
    ) -> Result<String, Reported> {
        let lookup = Lookup { scope, variables: &self.variables };
        let failure = match expand::expand(text, &lookup) {
            Ok(expanded) if expanded.len() <= self.budget => {
                self.budget -= expanded.len();
                return Ok(expanded);
            }
            Ok(_) => {
                self.budget = 0;
                Failure::TooLong
            }
            Err(failure) => failure,
        };
        let format = format!("Format string {} for {}", repr(text), repr(name));
        let (reason, allowed, original) = match failure {
            Failure::Unknown(unknown) if self.variables_incomplete && unknown.starts_with("ENV_") => {
                return Err(Reported);
            }
            Failure::Unknown(unknown) => {
                let near = match self.names_left.checked_sub(lookup.count()) {
                    Some(left) => {
                        self.names_left = left;
                        hints::nearest_names(&unknown, lookup.names())
                    }
                    None => Vec::new(),
                };
                let message = format!(
                    "{format} contains names ({}) which cannot be expanded. Available names: {}",
                    repr(&unknown),
                    near.join(", ")
                );
                let known = match near.as_slice() {
                    [] => "write a name that is known here".to_owned(),
                    near => format!("near to it are {}", near.join(", ")),
                };
                (format!("%({unknown}) stands for nothing here"), known, Some(message))
            }
            Failure::Badly(reason) => {
                let message = format!("{format} is badly formatted: {reason}");
                (format!("a conversion is wrong: {reason}"), "write %% for a percent sign".to_owned(), Some(message))
            }
            Failure::Nameless => {
                let reason = "%s without a name would write out the whole environment".to_owned();
                (reason, "write %% for a percent sign".to_owned(), None)
            }
            Failure::TooLong => (format!("is longer than {} bytes", expand::LONGEST), limits::hint(), None),
        };
        let about = About { scope, key, value: None, place, allowed: Some(allowed) };
        self.report_about(about, &format!("{key}: {reason}"), original);
        Err(Reported)
    }

    /// Reports what is wrong with a value, in the original's words.
    pub(super) fn refuse(&mut self, scope: &ExpansionScope<'_>, option: &Opt, value: &Text, reason: String) {
        let allowed = option.is.allowed();
        let is_secret = matches!(option.is, Type::Environment) || option.key == "password";
        let written = self.sections.entry(scope.section, option.key).map(|entry| entry.text.as_str());
        // The message shows the text of the file, not what a variable in it stands for.
        let with_variable = written.filter(|_| !self.is_quotable(scope.section, option.key));
        let shown = Some(value.text.clone()).filter(|_| !is_secret && with_variable.is_none());
        let text = match shown.as_deref().or(with_variable).filter(|_| !is_secret) {
            Some(text) => format!("{} must be {allowed}: {}", option.key, repr(text)),
            None => format!("{} must be {allowed}", option.key),
        };
        let allowed = Some(allowed.to_owned());
        let about = About { scope, key: option.key, value: shown, place: &value.place, allowed };
        self.report_about(about, &text, Some(reason));
    }

    /// Reports a mistake of the section as a whole, or of a combination of its keys.
    pub(super) fn refuse_section(
        &mut self,
        scope: &ExpansionScope<'_>,
        key: Option<&str>,
        message: &str,
        original: String,
    ) {
        let entry = key.and_then(|key| self.sections.entry(scope.section, key));
        let place = entry.map_or_else(|| self.section_place(scope.section), |entry| entry.place.clone());
        let about = About { scope, key: key.unwrap_or_default(), value: None, place: &place, allowed: None };
        self.report_about(about, message, Some(original));
    }

    /// Reports what the original would accept, and musterd does not.
    pub(super) fn refuse_bound(&mut self, scope: &ExpansionScope<'_>, key: &str, message: &str) {
        let entry = self.sections.entry(scope.section, key);
        let place = entry.map_or_else(|| self.section_place(scope.section), |entry| entry.place.clone());
        let about = About { scope, key, value: None, place: &place, allowed: None };
        self.report_about(about, message, None);
    }

    /// Reports a bound of the configuration as a whole, at the first place that is beyond it.
    pub(super) fn refuse_total(&mut self, scope: &ExpansionScope<'_>, key: &str, message: &str) {
        if self.bounds_met.insert(message.to_owned()) {
            self.refuse_bound(scope, key, message);
        }
    }

    fn report_about(&mut self, about: About<'_>, message: &str, original: Option<String>) {
        let section = &self.sections.list()[about.scope.section];
        let behind = match about.scope.names_section {
            true => format!(" in section {} (file: {})", repr(&section.name), repr(&section.file)),
            false => String::new(),
        };
        let problem = Problem {
            place: about.place.clone(),
            section: Some(section.name.clone()),
            option: Some(about.key.to_owned()).filter(|key| !key.is_empty()),
            value: about.value,
            message: format!("[{}] {message}", section.name),
            allowed: about.allowed,
            original: original.map(|text| text + &behind),
        };
        self.report.problem(problem);
    }

    /// A value of some type, or its default; `None` if there is neither.
    pub(super) fn typed<T>(
        &mut self,
        scope: &ExpansionScope<'_>,
        option: &Opt,
        read: impl Fn(&str, &dyn World) -> Read<T>,
    ) -> Option<T> {
        if let Ok(Some(value)) = self.text(scope, option) {
            match read(&value.text, self.world) {
                Ok(value) => return Some(value),
                Err(reason) => self.refuse(scope, option, &value, reason),
            }
        }
        read(option.default?, self.world).ok()
    }

    pub(super) fn whole(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> i64 {
        self.typed(scope, option, |text, _| values::whole(text)).unwrap_or_default()
    }

    pub(super) fn boolean(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> bool {
        self.typed(scope, option, |text, _| values::boolean(text)).unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> i64 {
        self.typed(scope, option, |text, _| values::bytes(text)).unwrap_or_default()
    }

    pub(super) fn octal(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> Option<i64> {
        self.typed(scope, option, |text, _| values::octal(text))
    }

    pub(super) fn user(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> Option<User> {
        self.typed(scope, option, values::user)
    }

    pub(super) fn plain(&mut self, scope: &ExpansionScope<'_>, option: &Opt) -> Option<String> {
        self.typed(scope, option, |text, _| Ok(text.to_owned()))
    }

    /// Variables of an expanded list; `None` if it was refused.
    pub(super) fn variables(&mut self, scope: &ExpansionScope<'_>, value: &Text) -> Option<Vec<(String, String)>> {
        let reason = match environment::variables(&value.text) {
            Ok(pairs) => {
                if let Some(left) = self.variables_left.checked_sub(pairs.len()) {
                    self.variables_left = left;
                    return Some(pairs);
                }
                let message = format!("environment: the limit is {} variables in all", limits::VARIABLES);
                self.refuse_total(scope, super::options::ENVIRONMENT.key, &message);
                return None;
            }
            Err(environment::Unreadable::NoClosingQuotation) => "No closing quotation".to_owned(),
            Err(environment::Unreadable::NotPairs) => {
                format!("Unexpected end of key/value pairs in value '{}'", value.text)
            }
        };
        self.refuse(scope, &super::options::ENVIRONMENT, value, reason);
        None
    }

    /// Whether the bounds allow another process with such a command, and with copies of texts that are this long.
    pub(super) fn has_room(&mut self, scope: &ExpansionScope<'_>, command: &str, copied: usize) -> bool {
        let (variables, bytes) = self.global;
        let words = command.split_ascii_whitespace().count();
        let left = (
            self.words_left.checked_sub(words),
            self.variables_left.checked_sub(variables),
            self.budget.checked_sub(bytes.saturating_add(copied)),
        );
        let (key, message) = match left {
            (Some(words), Some(variables), Some(bytes)) => {
                (self.words_left, self.variables_left, self.budget) = (words, variables, bytes);
                return true;
            }
            (None, ..) => ("command", format!("command: the limit is {} words in all commands", limits::WORDS)),
            (_, None, _) => ("", format!("the limit is {} variables in all, global ones included", limits::VARIABLES)),
            _ => ("", format!("names and variables of all processes are longer than {} bytes", limits::EXPANDED_BYTES)),
        };
        self.refuse_total(scope, key, &message);
        false
    }

    /// Whether the bounds allow another key of a plugin.
    pub(super) fn has_room_for_extra(&mut self, scope: &ExpansionScope<'_>, key: &str) -> bool {
        if let Some(left) = self.variables_left.checked_sub(1) {
            self.variables_left = left;
            return true;
        }
        self.refuse_total(scope, key, &format!("{key}: the limit is {} variables in all", limits::VARIABLES));
        false
    }

    /// Whether a message may quote what is read from a value: what a variable stands for may be a secret.
    pub(super) fn is_quotable(&self, section: usize, key: &str) -> bool {
        self.sections.entry(section, key).is_none_or(|entry| !entry.text.contains("%(ENV_"))
    }

    /// A part of a value as the end of a message: `: 'text'`, or nothing.
    pub(super) fn quoted(&self, section: usize, key: &str, text: &str) -> String {
        if self.is_quotable(section, key) { format!(": {}", repr(text)) } else { String::new() }
    }

    pub(super) fn warning(&self, section: usize, option: Option<&str>, message: impl Into<String>) -> Warning {
        let entry = option.and_then(|key| self.sections.entry(section, key));
        let place = entry.map_or_else(|| self.section_place(section), |entry| entry.place.clone());
        let name = self.section_name(section);
        let warning = Warning::new(&place, name, format!("[{name}] {}", message.into()));
        match option {
            Some(key) => warning.option(key),
            None => warning,
        }
    }

    /// The sections of some kinds, in the order of the text.
    pub(super) fn sections_of(&self, kind: Kind) -> Vec<usize> {
        let list = self.sections.list().iter().enumerate();
        list.filter(|(_, section)| Kind::of(&section.name) == Some(kind)).map(|(at, _)| at).collect()
    }
}

/// The subject of a mistake.
struct About<'a> {
    scope: &'a ExpansionScope<'a>,
    key: &'a str,
    value: Option<String>,
    place: &'a SourcePlace,
    allowed: Option<String>,
}

/// The name behind the first colon of a section's name.
pub(super) fn behind_colon(name: &str) -> &str {
    name.split_once(':').map_or("", |(_, name)| name)
}

/// Collects variables with a debug form that hides them.
pub(super) fn collected(pairs: Vec<(String, String)>) -> Variables {
    pairs.into_iter().collect()
}

/// A file's name, shared by all places in it.
pub(super) fn shared(name: &str) -> Arc<str> {
    Arc::from(name)
}
