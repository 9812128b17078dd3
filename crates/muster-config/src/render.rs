//! Diagnostics as text: the place first, then the line itself, underlined, and the hint.
//!
//! The place is in the first line, not below it as in compilers' output, so that `grep` and an editor's error list find
//! it. Where there is no text to show, as with a missing file, only the message and the hint remain.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::build::Loaded;
use crate::diagnostic::{Diagnostic, Severity};

impl Loaded {
    /// All diagnostics, one after another, each ending in an empty line.
    pub fn render(&self, colour: bool) -> String {
        render(&self.diagnostics, colour)
    }
}

/// These diagnostics, one after another, each ending in an empty line.
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render_one(&renderer, diagnostic));
        text.push_str("\n\n");
    }
    text
}

impl Diagnostic {
    /// The place, the line underlined, and the hint; without colours.
    pub fn text(&self) -> String {
        render_one(&Renderer::plain(), self)
    }

    /// The first line: `config/shop.toml:14:16: program "web": stopwaitsecs must not be negative: -5`.
    pub fn headline(&self) -> String {
        // The renderer replaces all other control characters; with a line end a name could pass for a finding.
        let file = self.file.display().to_string().replace('\n', "\\n");
        format!("{file}:{}:{}: {}", self.line, self.column, self.message)
    }
}

fn render_one(renderer: &Renderer, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.headline()));
    if let Some(excerpt) = &diagnostic.excerpt {
        let underlined = AnnotationKind::Primary.span(excerpt.span.clone());
        // The excerpt is short already: folding would hide lines of it.
        let snippet = Snippet::source(&excerpt.text).line_start(excerpt.first_line).fold(false).annotation(underlined);
        group = group.element(snippet);
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint));
    }
    renderer.render(&[group])
}
