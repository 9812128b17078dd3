//! Manual pages in the language of man(7): of command lines as clap knows them, and of texts and lists of settings.
//!
//! It decides how a page looks, and knows nothing of what stands on it.

#![forbid(unsafe_code)]

mod command;
mod prose;
mod write;

use roff::{Inline, Roff, bold, italic, roman};

pub use command::pages;
pub use write::write_all;

/// The date of this version, which stands at the foot of each page: as in the changelog.
pub const RELEASED: &str = "2026-11-29";

/// One manual page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its name, in lowercase.
    pub name: String,
    /// The section of the manual: 1 commands, 5 file formats, 8 administration.
    pub section: u8,
    /// Its text, as man(1) reads it.
    pub text: String,
}

impl Page {
    /// The name of its file: `musterd.8`.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }
}

/// The section SEE ALSO.
fn see_also(roff: &mut Roff, pages: &[(&str, u8)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line: Vec<Inline> = Vec::new();
    for (name, section) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(*name), roman(format!("({section})"))]);
    }
    roff.text(line);
}

/// A page that is written part by part.
pub struct Draft {
    name: String,
    section: u8,
    roff: Roff,
}

impl Draft {
    /// A page with its title and the section NAME; `about` is one line.
    pub fn new(name: &str, section: u8, about: &str) -> Draft {
        let mut roff = Roff::new();
        let title = name.to_uppercase();
        let version = concat!("muster ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [title.as_str(), &section.to_string(), RELEASED, version, "Muster Manual"]);
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{name} - {}", about.trim_end_matches('.')))]);
        Draft { name: name.to_owned(), section, roff }
    }

    /// A new section, or one with this title goes on.
    pub fn heading(&mut self, title: &str) -> &mut Draft {
        self.roff.control("SH", [title]);
        self
    }

    /// Paragraphs, separated by empty lines. Indented lines stay as they are.
    pub fn prose(&mut self, text: &str) -> &mut Draft {
        prose::add(&mut self.roff, text);
        self
    }

    /// A setting: its name, its value, and its meaning.
    pub fn setting(&mut self, name: &str, value: &str, meaning: &str) -> &mut Draft {
        self.roff.control("TP", []);
        self.roff.text([bold(name), roman(" = "), italic(value)]);
        self.roff.text([roman(meaning)]);
        self
    }

    /// The section SEE ALSO.
    pub fn see_also(&mut self, pages: &[(&str, u8)]) -> &mut Draft {
        see_also(&mut self.roff, pages);
        self
    }

    /// The page.
    pub fn finish(self) -> Page {
        Page { name: self.name, section: self.section, text: self.roff.render() }
    }
}
