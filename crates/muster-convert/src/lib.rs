//! Configurations of other supervisors, written as a person would write them for musterd, with a report of every
//! difference.
//!
//! Pure: files, users and variables are passed in, and a [`Converted`] is returned. `supervisord` reads through
//! `muster-import` and keeps references symbolic (`template`); `procfile` and `s6` read their formats themselves; `toml`
//! writes tables with their comments, and `report` holds the lines about differences.

#![forbid(unsafe_code)]

pub mod procfile;
pub mod report;
pub mod s6;
pub mod supervisord;
mod template;
mod toml;

use report::Report;

/// The result of a conversion.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The configuration.
    pub toml: String,
    /// The number of programs in it. A configuration without programs cannot be run.
    pub programs: usize,
    /// All differences.
    pub report: Report,
}

/// A mistake that prevents a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// The mistake, and a remedy.
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// A language that can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// supervisord.conf and what it includes.
    Supervisord,
    /// A directory of s6-overlay, version 2 or 3.
    S6,
    /// A Procfile of Heroku, foreman and honcho.
    Procfile,
}

impl Kind {
    /// The kind of a file by its name.
    pub fn of_file(name: &str) -> Option<Kind> {
        let is_conf = [".conf", ".ini"].iter().any(|ending| name.ends_with(ending));
        match name {
            name if name.starts_with("Procfile") => Some(Kind::Procfile),
            _ if is_conf => Some(Kind::Supervisord),
            _ => None,
        }
    }

    /// The kind of a directory by the paths of the files below it.
    pub fn of_directory<'p>(mut paths: impl Iterator<Item = &'p str>) -> Option<Kind> {
        let is_service = |path: &str| {
            let mut parts = path.split('/');
            let is_known = parts.clone().any(|part| matches!(part, "s6-rc.d" | "services.d" | "cont-init.d"));
            is_known || (parts.next().is_some() && parts.next() == Some("run") && parts.next().is_none())
        };
        let mut has_conf = false;
        let is_s6 = paths.any(|path| {
            has_conf |= !path.contains('/') && Kind::of_file(path) == Some(Kind::Supervisord);
            is_service(path)
        });
        match (is_s6, has_conf) {
            (true, _) => Some(Kind::S6),
            (false, true) => Some(Kind::Supervisord),
            (false, false) => None,
        }
    }

    /// A name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Supervisord => "a supervisord configuration",
            Kind::S6 => "a directory of s6-overlay services",
            Kind::Procfile => "a Procfile",
        }
    }
}
