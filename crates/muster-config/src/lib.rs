//! Configuration text to [`muster_spec::Spec`], with every mistake of every file at once, each in its place.
//!
//! [`load`] reads files and nothing else: it prints nothing, asks nobody (the environment is passed in) and never ends
//! the process. The way of the text: [`source`](Source) finds and reads the files, `sections` sorts their tables and
//! finds unknown keys, `walk` turns values into rules, `build` makes the programs and checks what several of them must
//! agree on. The one list of keys is [`keys`]; start reading there.

#![forbid(unsafe_code)]

mod build;
mod check;
mod command;
mod depend;
mod diagnostic;
mod disguise;
mod drafts;
mod env_file;
mod field;
mod foreground;
mod habits;
mod include;
mod interpolate;
pub mod keys;
mod lint;
mod ranges;
mod read;
mod redact;
mod render;
mod scalars;
pub mod scenario;
mod schema;
mod secrets;
mod sections;
mod shape;
mod source;
mod stopping;
mod units;
mod variables;
mod words;

pub use build::{Loaded, load};
pub use diagnostic::{Diagnostic, Excerpt, Severity};
pub use disguise::{mask_text, mask_words};
pub use interpolate::Problem;
pub use lint::{Machine, Unfit, Who};
pub use redact::is_secret;
pub use schema::json_schema;
pub use secrets::{Disguise, Disguises, Secrets};
pub use source::{DefaultPath, LookedAt, Opener, Role, Source, Untrusted, default_path, open_any};
pub use words::nearest_name;
