//! The language of supervisord.conf, as supervisor 4.2.5 and 4.3.0 read it on Python 3.11.
//!
//! [`read`] finds every mistake at once, each with its place and with the text that the original would end with, and
//! warns of text that the original silently ignores. It knows the machine through [`World`] alone and prints nothing.
//! The way of a text: `files` reads the main file and what it includes, `ini` makes `sections` of lines, `reader` looks
//! one value up, `expand` replaces `%(name)s` in it and `values` gives it a type; `settings`, `programs` and `groups`
//! ask for the values in the original's order; `lint` and `hints` look at the result. The one list of keys is
//! `options`.

mod argv;
pub mod command_line;
mod environment;
mod files;
mod flags;
mod glob;
mod groups;
mod hints;
mod ini;
pub mod limits;
mod lint;
mod model;
mod options;
mod paths;
mod problem;
mod programs;
mod reader;
mod sections;
mod settings;
mod to_spec;
mod values;
mod world;

pub use argv::split as split_command;
pub use environment::Unreadable;
pub use environment::variables as split_environment;
pub use flags::{Flag, Flags, Refused};
pub use model::{
    Address, Autorestart, Configuration, FcgiAddress, FcgiSocket, Group, GroupKind, Level, LogFile, Login, Owner,
    Plugin, Process, Server, Settings, Signal, Stream, Variables,
};
pub use options::{Kind, Opt, Type};
pub use problem::{Mistakes, Problem, SourcePlace, Warning};
pub use sections::{Comments, Entry, Section};
pub use to_spec::{Inherited, Translation, namespec, to_spec};
pub use world::{Account, User, World};

use std::collections::BTreeSet;

use reader::{Reader, shared};

/// The role of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A main file, which has `[supervisord]` and may include others.
    Main,
    /// A file that others include: read as if a main file beside it, with nothing but `[supervisord]`, included it.
    Fragment,
}

impl Mode {
    /// The role of a file with this text: one without `[supervisord]` can only be included.
    pub fn of(text: &[u8]) -> Mode {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
        let is_main = lines.any(|line| line.trim_ascii_start().starts_with(b"[supervisord]"));
        if is_main { Mode::Main } else { Mode::Fragment }
    }
}

/// Reads a configuration, or returns all mistakes: the first is the original's first.
pub fn read(main: &str, mode: Mode, world: &dyn World) -> Result<Configuration, Mistakes> {
    let mut reader = Reader {
        world,
        variables: world.variables().into_iter().collect(),
        variables_incomplete: false,
        here: paths::absolute(paths::directory(main), world),
        host: world.host(),
        sections: sections::Sections::new(&shared(main)),
        report: problem::Report::default(),
        budget: limits::EXPANDED_BYTES,
        processes_left: limits::PROCESSES,
        variables_left: limits::VARIABLES,
        words_left: limits::WORDS,
        global: (0, 0),
        bounds_met: BTreeSet::new(),
        names_left: limits::COMPARED_NAMES,
    };
    let read = files::read(&mut reader, main, mode).and_then(|()| parts(&mut reader, main));
    let (problems, warnings, infos) = reader.report.into_parts();
    match read {
        Some(parts) if problems.is_empty() => Ok(Configuration {
            supervisord: parts.supervisord,
            server_url: settings::server_url(&parts.servers),
            servers: parts.servers,
            groups: parts.groups,
            plugins: parts.plugins,
            comments_end: reader.sections.comment_beyond().cloned(),
            sections: reader.sections.into_list(),
            warnings,
            infos,
        }),
        _ => Err(Mistakes { problems, warnings, infos }),
    }
}

struct Parts {
    supervisord: Settings,
    plugins: Vec<Plugin>,
    groups: Vec<Group>,
    servers: Vec<Server>,
}

/// Everything but the files, in the original's order.
fn parts(reader: &mut Reader<'_>, main: &str) -> Option<Parts> {
    let section = files::supervisord(reader, main);
    let supervisord = section.map(|section| settings::supervisord(reader, section));
    let plugins = settings::plugins(reader);
    let groups = groups::groups(reader);
    let servers = settings::servers(reader);
    let (section, supervisord) = (section?, supervisord?);
    settings::check_user(reader, section, supervisord.user.as_deref());
    settings::check_url(reader, section, &servers, groups.iter().map(|group| group.processes.len()).sum());
    hints::unknown(reader);
    if reader.report.count() == 0 {
        lint::configuration(reader, section, &supervisord, &groups);
        lint::servers(reader, &servers);
    }
    Some(Parts { supervisord, plugins, groups, servers })
}
