//! What the daemon knows to be secret, and who is shown what of it.
//!
//! A secret that came from a variable or file is shown to nobody. What is written out in the configuration, an argument
//! `--password X` say, is shown to those who may control programs, since they must be able to repeat what is run. Text that
//! carries an argument or address along, a failed check or spawn, is masked once, on its way into the core: everything that
//! tells of it later (log, events, `why`, status) has it from there. The log masks what remains, on whatever thread.

use std::collections::HashSet;
use std::sync::RwLock;

use muster_api::ProcessInfo;
use muster_config::{Disguises, Secrets, mask_text};
use muster_core::Input;
use muster_spec::Spec;

/// In the log, where constant words and programs' names stand, shorter values are too much like them.
const SHORTEST_IN_LOG: usize = 6;

/// What stands for a secret.
const MASK: &str = "***";

#[derive(Default)]
struct Known {
    all: Secrets,
    in_log: Secrets,
}

static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody who may control programs.
    Control,
    /// Somebody who may only look.
    Look,
}

/// Takes in the secrets of a configuration, those of the daemon's environment among them. Earlier ones stay: processes may
/// still have them. `spec` is what was read, where it has no error.
pub(crate) fn learn(disguises: &Disguises, spec: Option<&Spec>) {
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
pub(crate) fn mask(text: &str) -> String {
    with_known(|known| known.all.mask(text)).unwrap_or_else(|| text.to_owned())
}

/// A line of the log with the known secrets masked; `None` if there is none in it.
pub(crate) fn mask_line(line: &str) -> Option<String> {
    with_known(|known| known.in_log.mask(line)).filter(|masked| masked != line)
}

/// What happened, without the secrets that its words carry along.
pub(crate) fn masked(mut input: Input) -> Input {
    match &mut input {
        Input::SpawnFailed { error, .. } => error.message = mask_text(&mask(&error.message)),
        Input::ProbeFinished { outcome, .. } => outcome.detail = mask_text(&mask(&outcome.detail)),
        Input::LeftBehind { left, .. } => left.named.iter_mut().for_each(|(name, _)| *name = mask(name)),
        _ => {}
    }
    input
}

/// What somebody wrote, of which only the beginning is there.
pub(crate) fn mask_beginning(text: &str) -> String {
    with_known(|known| known.all.mask_beginning(text)).unwrap_or_else(|| text.to_owned())
}

/// What somebody wrote, of which only the end is there.
pub(crate) fn mask_end(text: &str) -> String {
    with_known(|known| known.all.mask_end(text)).unwrap_or_else(|| text.to_owned())
}

/// A process as this reader may see it.
pub(crate) fn masked_process(process: ProcessInfo, reader: Reader) -> ProcessInfo {
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

/// Of a word that was cut it is not known whether a secret is in it: `user:password` would have gone on with an `@`.
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
