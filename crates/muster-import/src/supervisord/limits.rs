//! Bounds, so a small text cannot ask for endless work. Real configurations are far below all of them. Those that a small
//! text can meet are lower for fuzzing: an input takes a tenth of a millisecond, and more of them meet a bound.

/// The largest file.
pub const FILE_BYTES: usize = 16 << 20;

/// All files together.
pub const TOTAL_BYTES: usize = 64 << 20;

/// The most included files.
pub const FILES: usize = 4096;

/// The most names that the patterns of `[include]` look at: entries of directories, and paths that are tried.
pub const NAMES: usize = 100_000;

/// The most processes of a configuration; `numprocs` counts with what it makes.
pub const PROCESSES: usize = if cfg!(fuzzing) { 24 } else { 50_000 };

/// The most processes of one section.
pub const NUMPROCS: i64 = if cfg!(fuzzing) { 12 } else { 10_000 };

/// The most mistakes that are reported.
pub const PROBLEMS: usize = 10_000;

/// The most warnings that are reported.
pub const WARNINGS: usize = 10_000;

/// The most sections, keys and replaced `%(here)s` of all files together; a long value counts as several.
pub const KEYS: usize = 300_000;

/// The most lines of comment that are kept, for a conversion to carry over.
pub const COMMENTS: usize = 100_000;

/// The most words of all commands together.
pub const WORDS: usize = 1_000_000;

/// The most names that are compared with unknown ones to find those near to them.
pub(super) const COMPARED_NAMES: usize = 200_000;

/// The most variables of all processes together, the global ones counted for each.
pub(super) const VARIABLES: usize = 500_000;

/// The most bytes that all expansions of a configuration produce together, with the texts that each process has a copy
/// of: the name of its group and the global variables.
pub(super) const EXPANDED_BYTES: usize = if cfg!(fuzzing) { 64 << 10 } else { 32 << 20 };

/// The most bytes in keys of musterd's own, counted once for each process of their section.
pub(super) const OWN_BYTES: usize = 16 << 20;

pub(super) fn hint() -> String {
    "put what is long into a file of its own and name the file".to_owned()
}
