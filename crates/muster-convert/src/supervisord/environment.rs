//! `environment` of the daemon and of programs, with its references.

use muster_spec::arrange;
use std::collections::{BTreeMap, HashMap};

use muster_import::supervisord::split_environment;

use super::Conversion;
use super::program::{Apart, Source};
use crate::report::Verdict;
use crate::template::{self, Expected, Names, Part, Settled};
use crate::toml;

/// Names and written values.
type Pairs = Vec<(String, String)>;

impl<'c> Conversion<'c> {
    /// The variables of `[supervisord]`.
    pub(super) fn global_environment(&mut self, section: usize) -> Pairs {
        let configuration = self.configuration;
        let entry = configuration.sections[section].entry("environment");
        let own = BTreeMap::new();
        let names = Names { program: None, group: None, own: &own };
        let parts = entry.and_then(|entry| template::parse(entry.written(), names));
        let symbolic = parts.map(|parts| symbolic_pairs(&template::expanded_again(parts)).0).unwrap_or_default();
        let mut pairs = Vec::new();
        for (name, value) in configuration.supervisord.environment.iter() {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let text = (format!("a variable named {name:?}"), "left out", "");
                self.key_line_at(Verdict::Lost, section, "environment", text);
                continue;
            }
            let expected = [Expected { number: 0, value }];
            let settled = template::settle(symbolic.get(name).map(Vec::as_slice), &expected, &self.scope(1));
            self.report_settled(&settled, entry.filter(|entry| entry.written().contains("%(")), section);
            if let Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text) = settled {
                pairs.push((name.to_owned(), toml::text(&text)));
            }
        }
        pairs
    }

    /// The program's variables: those to write, and those whose references others may use.
    pub(super) fn environment(
        &mut self,
        source: &Source<'_, 'c>,
    ) -> Result<(Pairs, BTreeMap<String, Vec<Part>>), Apart> {
        let first = source.first();
        let entry = self.entry(source, "environment");
        let parts = entry.and_then(|entry| template::parse(entry.written(), source.names()));
        let (symbolic, order) = parts.map(|parts| symbolic_pairs(&parts)).unwrap_or_default();
        let mut pairs = Vec::new();
        let mut names: Vec<&str> = first.environment.iter().map(|(name, _)| name).collect();
        // In the order of the text.
        arrange::sort_by_key(&mut names, |name| order.get(*name).copied().unwrap_or(usize::MAX));
        for name in names {
            if name.is_empty() || name.contains(['=', '\0']) {
                let text = (format!("a variable named {name:?}"), "left out", "");
                self.key_line(Verdict::Lost, source, "environment", text);
                continue;
            }
            let expected = source.expected(|process| process.environment.get(name).unwrap_or_default());
            let settled =
                template::settle(symbolic.get(name).map(Vec::as_slice), &expected, &self.scope(expected.len()));
            let settled = match (settled, entry) {
                // Only a value with references has any to lose.
                (Settled::Fixed(text), Some(entry)) if !entry.written().contains("%(") => Settled::Exact(text),
                (settled, _) => settled,
            };
            let text = self.settled(settled, source, entry)?;
            pairs.push((name.to_owned(), toml::text(&text)));
        }
        Ok((pairs, symbolic))
    }
}

/// The variables of a list with references and their order, as the original splits it; none if it refuses the marks.
fn symbolic_pairs(parts: &[Part]) -> (BTreeMap<String, Vec<Part>>, HashMap<String, usize>) {
    let (marked, mark) = template::mark(parts);
    let pairs = split_environment(&marked).unwrap_or_default().into_iter().enumerate();
    let (mut values, mut order) = (BTreeMap::new(), HashMap::new());
    for (at, (name, value)) in pairs.filter(|(_, (name, _))| !name.contains(&mark)) {
        order.insert(name.clone(), at);
        values.insert(name, template::unmark(&value, parts, &mark));
    }
    (values, order)
}
