//! Hooks: commands at fixed points of a run, in the context of its program.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::RunId;
use crate::spec::{ProcessSpec, Stdin, UserSpec};

/// No daemon has so many runs.
const OUTPUT_SHIFT: u32 = 56;

/// The point of a run at which a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Before the program is started.
    PreStart,
    /// When the run would become RUNNING.
    PostStart,
    /// Before the stop signal.
    PreStop,
    /// When no process of the run is left.
    PostStop,
}

impl Hook {
    /// Every hook, in the order of a run.
    pub const EVERY: [Hook; 4] = [Hook::PreStart, Hook::PostStart, Hook::PreStop, Hook::PostStop];

    /// How long it may take, unless configured.
    pub const fn default_timeout(self) -> Duration {
        Duration::from_secs(match self {
            Hook::PreStart => 60,
            Hook::PostStart => 30,
            Hook::PreStop | Hook::PostStop => 5,
        })
    }

    /// The id under which the output of this hook of a run is kept, apart from the output of the run itself.
    pub const fn output_of(self, run: RunId) -> RunId {
        RunId(run.0 | (self as u64 + 1) << OUTPUT_SHIFT)
    }

    /// The run whose output is kept under this id, and its hook if it is that of a hook.
    pub fn of_output(id: RunId) -> (RunId, Option<Hook>) {
        let hook = usize::try_from(id.0 >> OUTPUT_SHIFT).ok().and_then(|number| number.checked_sub(1));
        (RunId(id.0 & ((1 << OUTPUT_SHIFT) - 1)), hook.and_then(|place| Hook::EVERY.get(place).copied()))
    }

    /// Whether its failure may count as one of the run.
    pub const fn may_fail(self) -> bool {
        matches!(self, Hook::PreStart | Hook::PostStart)
    }
}

/// The command of a hook.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSpec {
    /// The program and its arguments, at least one.
    #[serde(skip)]
    pub command: Vec<String>,
    /// How long it may take before it is ended.
    pub timeout: Duration,
    /// User to run as; `None` is the program's.
    #[serde(skip)]
    pub user: Option<UserSpec>,
    /// Whether a failure is reported and nothing else.
    pub ignores_failure: bool,
    /// Whether it is only run before the first run of the daemon's life.
    pub once: bool,
}

impl HookSpec {
    /// The longest timeout.
    pub const LONGEST: Duration = Duration::from_secs(3600);

    /// A hook with this command and defaults for everything else.
    pub fn of(hook: Hook, command: Vec<String>) -> HookSpec {
        HookSpec {
            command,
            timeout: hook.default_timeout(),
            user: None,
            ignores_failure: !hook.may_fail(),
            once: false,
        }
    }

    /// Its process: that of the program with another command, and without what belongs to runs.
    pub fn process(&self, program: &ProcessSpec) -> ProcessSpec {
        let mut process = ProcessSpec {
            command: self.command.clone(),
            refusal: None,
            stdin: Stdin::Nothing,
            stdin_path: None,
            terminal: None,
            listener: None,
            sockets: Arc::default(),
            ..program.clone()
        };
        if let Some(user) = &self.user {
            process.user = Some(user.clone());
            process.groups = None;
        }
        process
    }
}

/// Arguments may be secrets, and effects are logged at level `trace`.
impl std::fmt::Debug for HookSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("HookSpec");
        debug.field("command", &self.command.first()).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The hooks of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before the program is started.
    pub pre_start: Option<Arc<HookSpec>>,
    /// When the run would become RUNNING.
    pub post_start: Option<Arc<HookSpec>>,
    /// Before the stop signal.
    pub pre_stop: Option<Arc<HookSpec>>,
    /// When no process of the run is left.
    pub post_stop: Option<Arc<HookSpec>>,
}

impl Hooks {
    /// The command of a hook, if there is one.
    pub fn get(&self, hook: Hook) -> Option<&Arc<HookSpec>> {
        match hook {
            Hook::PreStart => self.pre_start.as_ref(),
            Hook::PostStart => self.post_start.as_ref(),
            Hook::PreStop => self.pre_stop.as_ref(),
            Hook::PostStop => self.post_stop.as_ref(),
        }
    }

    /// The place of the command of a hook.
    pub fn get_mut(&mut self, hook: Hook) -> &mut Option<Arc<HookSpec>> {
        match hook {
            Hook::PreStart => &mut self.pre_start,
            Hook::PostStart => &mut self.post_start,
            Hook::PreStop => &mut self.pre_stop,
            Hook::PostStop => &mut self.post_stop,
        }
    }

    /// The hooks that have a command, in the order of a run.
    pub fn iter(&self) -> impl Iterator<Item = (Hook, &Arc<HookSpec>)> {
        Hook::EVERY.into_iter().filter_map(|hook| Some((hook, self.get(hook)?)))
    }

    /// How long a hook may take; zero without one.
    pub fn timeout(&self, hook: Hook) -> Duration {
        self.get(hook).map_or(Duration::ZERO, |spec| spec.timeout)
    }

    /// How long the hooks of a stop may take.
    pub fn stop_timeout(&self) -> Duration {
        self.timeout(Hook::PreStop).saturating_add(self.timeout(Hook::PostStop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_hook_has_an_id_of_its_own_that_names_both() {
        let run = RunId(70_000);
        assert_eq!(Hook::of_output(run), (run, None));
        for hook in Hook::EVERY {
            assert_ne!(hook.output_of(run), run);
            assert_eq!(Hook::of_output(hook.output_of(run)), (run, Some(hook)));
        }
    }

    #[test]
    fn a_user_of_its_own_has_its_own_groups_too() {
        let program =
            ProcessSpec { groups: Some(vec!["docker".to_owned()]), ..ProcessSpec::of(vec!["app".to_owned()]) };
        let hook = HookSpec::of(Hook::PreStart, vec!["x".to_owned()]);
        assert_eq!(hook.process(&program).groups, program.groups);
        let user = UserSpec { user: "www-data".to_owned(), group: None };
        let process = HookSpec { user: Some(user.clone()), ..hook }.process(&program);
        assert_eq!((process.user, process.groups, process.command), (Some(user), None, vec!["x".to_owned()]));
    }
}
