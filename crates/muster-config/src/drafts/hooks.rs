//! Hooks of a program: a command, or a table with one.

use std::time::Duration;

use muster_spec::{Hook, HookSpec, Hooks, Kind, Span, UserSpec};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::command::read_command;
use crate::drafts::users::read_user;
use crate::field::{Field, Owner};
use crate::keys::{Reader, Table};
use crate::value::Content;

/// The shortest timeout. Zero would end every hook at once.
const SHORTEST: Duration = Duration::from_millis(1);

/// The state of a hook while its keys are read.
#[derive(Clone, Default)]
pub(crate) struct HookDraft {
    at: Option<Place>,
    command: Option<Vec<String>>,
    command_at: Option<Place>,
    timeout: Option<(Duration, Place)>,
    user: Option<UserSpec>,
    ignores_failure: Option<(bool, Place)>,
    once: Option<(bool, Place)>,
}

/// The hooks of a program while they are read.
#[derive(Clone, Default)]
pub(crate) struct HookDrafts([HookDraft; 4]);

const fn example(hook: Hook) -> &'static str {
    match hook {
        Hook::PreStart => "pre_start = [\"./manage.py\", \"migrate\"]",
        Hook::PostStart => "post_start = { command = \"createdb shop\", timeout = \"30s\" }",
        Hook::PreStop => "pre_stop = { command = \"redis-cli save\", timeout = \"20s\" }",
        Hook::PostStop => "post_stop = \"rm -f /run/app.pid\"",
    }
}

impl HookDrafts {
    fn draft(&self, hook: Hook) -> &HookDraft {
        &self.0[hook as usize]
    }

    /// Reads the value of a hook.
    pub(crate) fn read(&mut self, hook: Hook, field: &Field<'_>) {
        let draft = &mut self.0[hook as usize];
        draft.at = Some(field.place());
        if !matches!(field.value.content, Content::Table(_)) {
            // The command alone: the rest is as ever.
            *draft = HookDraft { at: draft.at, command: draft.command.take(), ..HookDraft::default() };
            draft.read_command(field, example(hook));
            return;
        }
        if !field.has("command") && draft.command.is_none() {
            field.error_with_hint("has no command", example(hook));
        }
        field.each_key(Table::Hook, |key, child| {
            if let Reader::Hook(read) = key.reader {
                read(draft, child);
            }
        });
    }

    /// Checks constraints between keys.
    pub(crate) fn check(&self, owner: Owner<'_>, report: &Report) {
        let add = |place: Place, message: String, hint: &str| {
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        };
        for hook in Hook::EVERY {
            let (draft, name) = (self.draft(hook), hook.name());
            if let Some((false, place)) = draft.ignores_failure.filter(|_| !hook.may_fail()) {
                let hint = "leave it out: a failure is reported, and the stop goes on";
                add(place, format!("{name}.on_failure must be \"ignore\": \"fail\""), hint);
            }
            if let Some((true, place)) = draft.once.filter(|_| hook != Hook::PreStart) {
                add(place, format!("{name}.once has no meaning"), "only pre_start can be run once");
            }
        }
    }

    /// A oneshot is done when its process exits, and is not up before.
    pub(crate) fn check_kind(&self, kind: Kind, owner: Owner<'_>, report: &Report) {
        if let Some(place) = self.draft(Hook::PostStart).at.filter(|_| kind == Kind::Oneshot) {
            let finding = owner.finding(Severity::Error, place, "post_start has no meaning for a oneshot");
            report.add(finding.hint("post_stop runs after it, with MUSTER_EXIT_CODE"));
        }
    }

    /// The hooks that have a command.
    pub(crate) fn spec(&self) -> Hooks {
        let mut hooks = Hooks::default();
        for hook in Hook::EVERY {
            *hooks.get_mut(hook) = self.draft(hook).spec(hook).map(Into::into);
        }
        hooks
    }

    /// The name and the user of each hook that has one, with the hook's place.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&'static str, &UserSpec, Option<Place>)> {
        let of = |hook: Hook| Some((hook.name(), self.draft(hook).user.as_ref()?, self.draft(hook).at));
        Hook::EVERY.into_iter().filter_map(of)
    }

    /// The command of each hook, with its place.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&[String], Option<Place>)> {
        self.0.iter().filter_map(|draft| Some((draft.command.as_deref()?, draft.command_at)))
    }

    /// How long the hooks of a stop may take, as far as that is written down, and where.
    pub(crate) fn written_patience(&self) -> Option<(Duration, Place)> {
        let written = [Hook::PreStop, Hook::PostStop].into_iter().filter_map(|hook| self.draft(hook).timeout);
        written.reduce(|(one, at), (other, _)| (one.saturating_add(other), at))
    }

    /// The place of the command of a hook.
    pub(crate) fn place(&self, hook: Hook) -> Option<Place> {
        self.draft(hook).command_at
    }
}

impl HookDraft {
    fn spec(&self, hook: Hook) -> Option<HookSpec> {
        let default = HookSpec::of(hook, self.command.clone()?);
        Some(HookSpec {
            timeout: self.timeout.map_or(default.timeout, |(timeout, _)| timeout),
            user: self.user.clone(),
            ignores_failure: self.ignores_failure.map_or(default.ignores_failure, |(ignores, _)| ignores),
            once: self.once.is_some_and(|(once, _)| once),
            ..default
        })
    }

    fn read_command(&mut self, field: &Field<'_>, example: &str) {
        self.command_at = Some(field.place());
        self.command = read_command(field, example).or(self.command.take());
    }

    pub(crate) fn command(&mut self, field: &Field<'_>) {
        self.read_command(field, "command = [\"./manage.py\", \"migrate\"]");
    }

    pub(crate) fn timeout(&mut self, field: &Field<'_>) {
        let Some(timeout) = field.duration_of_at_least(SHORTEST) else { return };
        if timeout > HookSpec::LONGEST {
            let message = format_args!("must be at most {}: {}", Span(HookSpec::LONGEST), field.shown());
            return field.error_with_hint(message, "work that takes longer is a program: type = \"oneshot\"");
        }
        self.timeout = Some((timeout, field.place()));
    }

    pub(crate) fn user(&mut self, field: &Field<'_>) {
        if let Some(user) = read_user(field) {
            self.user = user;
        }
    }

    pub(crate) fn on_failure(&mut self, field: &Field<'_>) {
        if let Some(ignores) = field.choice(&[("fail", false), ("ignore", true)]) {
            self.ignores_failure = Some((ignores, field.place()));
        }
    }

    pub(crate) fn once(&mut self, field: &Field<'_>) {
        if let Some(once) = field.flag() {
            self.once = Some((once, field.place()));
        }
    }
}
