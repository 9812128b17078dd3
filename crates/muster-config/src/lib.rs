//! Configuration text to [`muster_spec::Spec`], with every mistake of every file at once, each in its place.
//!
//! [`load`] only reads files: it prints nothing, takes the environment as an argument, and never ends the process.
//! [`source`](Source) and `read` find the files, `dialect` parses each into the tree of `value`, `sections` sorts the
//! tables and reports unknown keys, `drafts` reads values, and `build` makes programs and checks what several of them must
//! agree on. The one list of keys is [`keys`]; start reading there.

#![forbid(unsafe_code)]

mod build;
mod check;
mod copied;
mod depend;
mod diagnostic;
pub mod dialect;
mod disguise;
mod drafts;
mod env_dir;
mod env_file;
mod field;
mod foreground;
mod habits;
pub mod hints;
mod include;
pub mod keys;
mod lint;
pub mod overlay;
mod ranges;
mod read;
pub mod reading;
mod redact;
mod remote;
mod render;
mod scalars;
mod schema;
mod secret_files;
mod secrets;
mod sections;
mod shape;
mod source;
mod stopping;
pub mod template;
mod toml_string;
mod units;
mod value;
mod variables;
mod words;

pub use build::{Foreign, Loaded, load, load_remote};
pub use diagnostic::{Diagnostic, Excerpt, Problem, Severity};
pub use disguise::{mask_text, mask_words};
pub use drafts::tls::{CertificateCheck, any_certificate};
pub use lint::{Machine, Unfit, Who};
pub use redact::is_secret;
pub use remote::{Remote, RemoteText, has_programs, is_address};
pub use render::render;
pub use schema::json_schema;
pub use secret_files::read_secrets_again;
pub use secrets::{Disguise, Disguises, Origins, Secrets};
pub use source::{
    DefaultPath, LookedAt, Opener, Role, Source, Untrusted, default_path, is_supervisords, one_processor, open_any,
};
pub use toml_string::toml_string;
pub use words::nearest_name;
