//! A program with the fields that `musterctl status` shows. Of a thousand programs they are a tenth of what the daemon knows, and most of
//! their texts stay where they were received.

use std::borrow::Cow;

use muster_api::{Program, ProgramField, ProgramFields, RollingProgress, State, Timestamp};
use serde::Deserialize;

/// The fields of supervisorctl's lines, and of the exit code.
pub(crate) const LINES: ProgramFields = ProgramFields::of(&[
    ProgramField::Name,
    ProgramField::Program,
    ProgramField::Group,
    ProgramField::State,
    ProgramField::NextDue,
    ProgramField::Exit,
    ProgramField::Description,
]);

/// The fields of the columns on a terminal, and of the exit code.
pub(crate) const COLUMNS: ProgramFields = LINES.and(&[
    ProgramField::Pid,
    ProgramField::Uptime,
    ProgramField::Ready,
    ProgramField::Health,
    ProgramField::Rolling,
    ProgramField::OldProcess,
    ProgramField::StoppedBy,
    ProgramField::Status,
]);

/// A program with the fields of [`LINES`], perhaps with those of [`COLUMNS`]. It borrows from the answer, or from a whole program.
#[derive(Deserialize)]
pub(crate) struct Shown<'a> {
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) program: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) group: Cow<'a, str>,
    pub(crate) state: State,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) exit: Option<Ended>,
    #[serde(borrow)]
    pub(crate) description: Cow<'a, str>,
    #[serde(default)]
    pub(crate) pid: Option<u32>,
    #[serde(default)]
    pub(crate) uptime: Option<f64>,
    #[serde(default)]
    pub(crate) ready: Option<bool>,
    #[serde(default)]
    pub(crate) health: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) rolling: Option<RollingProgress>,
    #[serde(default)]
    pub(crate) old_process: bool,
    #[serde(default)]
    pub(crate) stopped_by: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) status: Option<Cow<'a, str>>,
}

/// How its last run ended.
#[derive(Deserialize)]
pub(crate) struct Ended {
    pub(crate) success: bool,
}

impl<'a> From<&'a Program> for Shown<'a> {
    fn from(program: &'a Program) -> Shown<'a> {
        let borrowed = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Shown {
            name: Cow::Borrowed(&program.name),
            program: Cow::Borrowed(&program.program),
            group: Cow::Borrowed(&program.group),
            state: program.state,
            next_due: program.next_due,
            exit: program.exit.as_ref().map(|exit| Ended { success: exit.success }),
            description: Cow::Borrowed(&program.description),
            pid: program.pid,
            uptime: program.uptime,
            ready: program.ready,
            health: borrowed(&program.health),
            rolling: program.rolling.clone(),
            old_process: program.old_process,
            stopped_by: borrowed(&program.stopped_by),
            status: borrowed(&program.status),
        }
    }
}

/// Whole programs, as they are shown.
pub(crate) fn as_shown(programs: &[Program]) -> Vec<Shown<'_>> {
    programs.iter().map(Shown::from).collect()
}

impl Shown<'_> {
    /// supervisorctl's name of a program: prefixed with its group, unless that is the program's own.
    pub(crate) fn full_name(&self) -> Cow<'_, str> {
        match self.other_group() {
            "" => Cow::Borrowed(&self.name),
            group => Cow::Owned(format!("{group}:{}", self.name)),
        }
    }

    /// The group, unless it is the program's own, or part of its name as in a supervisord configuration.
    pub(crate) fn other_group(&self) -> &str {
        let is_named = || self.name.strip_prefix(&*self.group).is_some_and(|rest| rest.starts_with(':'));
        if self.group == self.program || is_named() { "" } else { &self.group }
    }
}
