//! Guesses: the section or key that an unknown one was meant to be, and the known names nearest to an unknown one.

use muster_config::hints::{nearest, nearest_name};

use super::limits;
use super::options::{self, Kind};
use super::problem::Warning;
use super::reader::Reader;
use super::sections::Section;

/// The number of unknown words that get a guess; further ones are reported without.
const MOST_GUESSES: usize = 1000;

/// The five names nearest to a wrong one, sorted.
pub(super) fn nearest_names(wrong: &str, mut names: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 5;
    names.sort_unstable();
    names.dedup();
    if names.len() > SHOWN {
        let wrong: String = wrong.chars().take(64).collect();
        names.sort_by_cached_key(|name| {
            let name: String = name.chars().take(64).collect();
            strsim::damerau_levenshtein(&wrong, &name)
        });
        names.truncate(SHOWN);
        names.sort_unstable();
    }
    names
}

/// The kind of quotes that a comment cuts: the value opens them and the comment closes them.
pub(super) fn cut_quote(value: &str, comment: &str) -> Option<&'static str> {
    let mut open = None;
    for c in value.chars().filter(|c| matches!(c, '"' | '\'')) {
        match open {
            None => open = Some(c),
            Some(quote) if quote == c => open = None,
            Some(_) => {}
        }
    }
    let quote = open.filter(|quote| comment.contains(*quote))?;
    Some(if quote == '"' { "double quotes" } else { "single quotes" })
}

/// Warns of every section and key that the original ignores.
pub(super) fn unknown(reader: &mut Reader<'_>) {
    let mut warnings = Vec::new();
    for section in reader.sections.list() {
        unknown_in(section, &mut warnings);
        if warnings.len() > limits::WARNINGS {
            break;
        }
    }
    warnings.into_iter().for_each(|warning| reader.report.warn(warning));
}

fn unknown_in(section: &Section, warnings: &mut Vec<Warning>) {
    let Some(kind) = Kind::of(&section.name) else {
        let message = format!("[{}] is not a section that is read", section.name);
        let warning = Warning::new(&section.place, &section.name, message);
        let meant = (warnings.len() < MOST_GUESSES).then(|| meant_section(&section.name)).flatten();
        warnings.push(with_hint(warning, meant.map(|meant| format!("write [{meant}]"))));
        return;
    };
    if kind == Kind::ControlPlugin {
        let message = format!("[{}] Python plugins are not available", section.name);
        warnings.push(Warning::new(&section.place, &section.name, message).hint("leave the section out"));
    }
    let Some(known) = kind.options() else { return };
    let is_own = |key: &str| kind.has_processes() && key.starts_with(options::OWN_KEYS);
    let is_known = |key: &str| is_own(key) || known.iter().any(|option| option.key == key);
    let unknown = section.entries.iter().filter(|entry| !is_known(&entry.key));
    for entry in unknown.take(limits::WARNINGS + 1) {
        let message = format!("[{}] {} is not a key that is read", section.name, entry.key);
        let warning = Warning::new(&entry.key_place, &section.name, message).option(&entry.key);
        let keys = known.iter().map(|option| option.key);
        let meant = (warnings.len() < MOST_GUESSES).then(|| meant_key(&entry.key, kind, keys)).flatten();
        warnings.push(with_hint(warning, meant));
    }
}

fn with_hint(warning: Warning, hint: Option<String>) -> Warning {
    match hint {
        Some(hint) => warning.hint(hint),
        None => warning,
    }
}

fn meant_section(name: &str) -> Option<String> {
    // `[program.web]` is TOML's way to write `[program:web]`.
    let parts = name.split_once(':').or_else(|| name.split_once('.'));
    let (begin, rest) = parts.map_or((name, None), |(begin, rest)| (begin, Some(rest)));
    let lower = begin.trim().to_ascii_lowercase();
    let known = options::section_beginnings().map(|known| known.trim_end_matches(':'));
    let singular = lower.strip_suffix('s').filter(|singular| known.clone().any(|known| known == *singular));
    let meant = match singular.or_else(|| known.clone().find(|known| *known == lower)) {
        Some(meant) => meant,
        None => nearest_name(&lower, known)?,
    };
    let named = options::section_beginnings().any(|known| known.strip_suffix(':') == Some(meant));
    Some(match rest {
        Some(rest) if named => format!("{meant}:{}", rest.trim()),
        None if named => format!("{meant}:NAME"),
        _ => meant.to_owned(),
    })
}

fn meant_key(key: &str, kind: Kind, known: impl Iterator<Item = &'static str> + Clone) -> Option<String> {
    if kind.has_processes() {
        let meant = match key {
            "depends_on" | "dependent_startup_wait_for" | "depends" | "depend" | "after" => {
                return Some("write muster.depends_on = [\"NAME\"], which the original ignores".to_owned());
            }
            "restart" => Some("autorestart"),
            "retries" => Some("startretries"),
            "cwd" | "workdir" | "working_directory" => Some("directory"),
            "env" => Some("environment"),
            _ => None,
        };
        if let Some(meant) = meant {
            return Some(format!("write {meant}"));
        }
        if let Some(rest) = ["stdout_", "stderr_"].iter().find_map(|stream| key.strip_prefix(stream)) {
            let stream = &key[..key.len() - rest.len()];
            let full = format!("{stream}logfile_{rest}");
            if known.clone().any(|known| known == full) {
                return Some(format!("write {full}"));
            }
        }
    }
    match (kind, key) {
        (Kind::Supervisord, "http_port") => return Some("write [inet_http_server] with a key port".to_owned()),
        (Kind::Supervisord, "env") => return Some("write environment".to_owned()),
        (Kind::Supervisord, key) if options::is_key(key) && nearest(key, known.clone()).is_none() => {
            return Some(format!("{key} belongs to other sections, such as [program:NAME]"));
        }
        _ => {}
    }
    // `auto_start` is `autostart`.
    let joined = key.replace(['_', '-'], "");
    let same = known.clone().find(|known| known.replace('_', "") == joined);
    same.or_else(|| nearest(key, known)).map(|meant| format!("write {meant}"))
}
