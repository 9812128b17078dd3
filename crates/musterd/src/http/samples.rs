//! Samples of metrics in Prometheus' text format.

use std::fmt::{self, Write as _};

use muster_core::Instance;

use super::metrics::Family;

/// Writes the samples of one family.
pub(super) struct Samples<'a> {
    pub(super) family: &'a Family,
    pub(super) text: &'a mut String,
    /// The instance of these samples.
    pub(super) instance: Option<&'a Instance>,
    pub(super) has_heading: bool,
}

impl Samples<'_> {
    pub(super) fn plain(&mut self, value: f64) {
        self.with(&[], value);
    }

    pub(super) fn maybe(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|value| self.plain(value));
    }

    pub(super) fn with(&mut self, labels: &[(&str, &str)], value: f64) {
        // Writing to a String cannot fail.
        let _ = self.write(labels, value);
    }

    /// A sample for each of these that was counted at all, with its name as the value of a label.
    pub(super) fn counted<'n>(&mut self, label: &str, counts: impl Iterator<Item = (&'n str, u64)>) {
        for (name, count) in counts.filter(|(_, count)| *count > 0) {
            self.with(&[(label, name)], count as f64);
        }
    }

    fn write(&mut self, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        let Family { name, kind, help, .. } = self.family;
        if !std::mem::replace(&mut self.has_heading, true) {
            write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n")?;
        }
        self.text.push_str(name);
        let of_instance = self.instance.map(|instance| {
            let program = instance.program();
            let group = program.groups.first().unwrap_or(&program.name);
            [("name", instance.name()), ("program", program.name.as_str()), ("group", group.as_str())]
        });
        let all = of_instance.iter().flatten().chain(labels);
        let mut separator = '{';
        for (label, text) in all {
            write!(self.text, "{separator}{label}=\"{}\"", Escaped(text))?;
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        writeln!(self.text, " {value}")
    }
}

/// Escapes a label's value: backslashes, quotes and line feeds.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped_as_the_format_wants_it() {
        assert_eq!(Escaped("a\\b\"c\nd\u{e9}").to_string(), "a\\\\b\\\"c\\nd\u{e9}");
    }
}
