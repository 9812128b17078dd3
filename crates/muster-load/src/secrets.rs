//! The secrets that the daemon knows, and which readers see them.
//!
//! A secret from a variable or file is not shown to any client. A value written out in the configuration, such as an
//! argument `--password X`, is shown to users who may control programs, since they must be able to reproduce the
//! command. Text that may contain an argument or address, such as a failed check or spawn, is masked once, before it
//! reaches the core: everything that shows it later (log, events, `why`, status) gets the masked text. The log masks
//! the rest, on any thread.

use std::collections::HashSet;
use std::sync::RwLock;

use muster_api::ProcessInfo;
use muster_config::{Disguises, Secrets, mask_text};
use muster_core::Input;
use muster_spec::{SpawnStep, Spec};
use muster_sys::heap;

/// In the log, which also contains constant words and programs' names, shorter values are too easily confused with
/// these.
const SHORTEST_IN_LOG: usize = 6;

/// The mask of a secret.
const MASK: &str = "***";

#[derive(Default)]
struct Known {
    all: Secrets,
    in_log: Secrets,
}

static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

/// The rights of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// May control programs.
    Control,
    /// May only read.
    Look,
}

/// Learns the secrets of a configuration, including those from the daemon's environment. Earlier ones are kept, since
/// processes may still have them. `spec` is the parsed configuration, if it has no error.
pub fn learn(disguises: &Disguises, spec: Option<&Spec>) {
    heap::lasting(|| learn_all(disguises, spec));
}

fn learn_all(disguises: &Disguises, spec: Option<&Spec>) {
    let mut known = KNOWN.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let known = known.get_or_insert_with(|| {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Known { all: Secrets::of_environment(std::env::vars_os().filter_map(text)), in_log: Secrets::default() }
    });
    known.all.merge(disguises.secrets.clone());
    let Some(Spec { programs, .. }) = spec else { return };
    let instances = programs.iter().flat_map(|program| program.instances.iter().map(|it| it.name.as_str()));
    let groups = programs.iter().flat_map(|program| program.groups.iter().map(String::as_str));
    let names: HashSet<&str> =
        programs.iter().map(|program| program.name.as_str()).chain(instances).chain(groups).collect();
    known.in_log = known.all.filtered(|value| value.len() >= SHORTEST_IN_LOG && !names.contains(value));
}

fn with_known<T>(read: impl FnOnce(&Known) -> T) -> Option<T> {
    KNOWN.read().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref().map(read)
}

/// Text with the known secrets masked.
pub fn mask(text: &str) -> String {
    with_known(|known| known.all.mask(text)).unwrap_or_else(|| text.to_owned())
}

/// A line of the log with the known secrets masked; `None` if it contains none.
pub fn mask_line(line: &str) -> Option<String> {
    with_known(|known| known.in_log.mask(line)).filter(|masked| masked != line)
}

/// The input, with secrets masked in its messages.
pub fn masked(mut input: Input) -> Input {
    match &mut input {
        // It names a variable and the path of its file, which would look like the value.
        Input::SpawnFailed { error, .. } if error.step == SpawnStep::Secret => error.message = mask(&error.message),
        Input::SpawnFailed { error, .. } => error.message = mask_text(&mask(&error.message)),
        Input::HookFinished { end, said, .. } => {
            *said = mask_text(&mask(said)).into();
            if let Err(error) = end {
                error.message = mask_text(&mask(&error.message));
            }
        }
        Input::ProbeFinished { outcome, .. } => outcome.detail = mask_text(&mask(&outcome.detail)),
        Input::MemoryExceeded { detail, .. } => *detail = mask(detail),
        Input::FilesChanged { file, .. } => *file = mask_text(&mask(file)),
        Input::LeftBehind { left, .. } => left.named.iter_mut().for_each(|(name, _)| *name = mask(name)),
        _ => {}
    }
    input
}

/// Masks text of which only the beginning is kept.
pub fn mask_beginning(text: &str) -> String {
    with_known(|known| known.all.mask_beginning(text)).unwrap_or_else(|| text.to_owned())
}

/// Masks text of which only the end is kept.
pub fn mask_end(text: &str) -> String {
    with_known(|known| known.all.mask_end(text)).unwrap_or_else(|| text.to_owned())
}

/// A process as this reader may see it.
pub fn masked_process(process: ProcessInfo, reader: Reader) -> ProcessInfo {
    let command = match process.command.strip_suffix('…') {
        None => shown(mask(&process.command), reader),
        Some(beginning) => {
            let known = mask_beginning(beginning);
            shown(if reader == Reader::Look { without_last_word(&known) } else { known }, reader) + "…"
        }
    };
    ProcessInfo { command, ..process }
}

fn shown(command: String, reader: Reader) -> String {
    if reader == Reader::Look { mask_text(&command) } else { command }
}

/// A truncated word may contain a secret that cannot be recognized: `user:password` would have continued with `@`.
fn without_last_word(command: &str) -> String {
    let words = command.rfind(char::is_whitespace).map_or("", |space| &command[..=space]);
    format!("{words}{MASK}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::ProcessState;

    #[test]
    fn nothing_of_a_word_that_was_cut_is_shown_to_those_who_only_look() {
        let process = |command: &str| ProcessInfo {
            pid: 7,
            ppid: 1,
            command: command.to_owned(),
            state: ProcessState::Running,
            memory: 0,
            cpu: 0.0,
        };
        for (command, expected) in [
            ("app postgres://me:hunt…", "app ***…"),
            ("app --password hunt…", "app --password ***…"),
            ("app --password=hunt…", "app ***…"),
            ("app…", "***…"),
            ("app --fast", "app --fast"),
        ] {
            assert_eq!(masked_process(process(command), Reader::Look).command, expected);
            assert_eq!(masked_process(process(command), Reader::Control).command, command);
        }
    }
}
