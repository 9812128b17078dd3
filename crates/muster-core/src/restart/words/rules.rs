//! The rules of `on_exit` in a verdict: `on_exit 75: restart at once`.

use std::fmt;

use muster_spec::{ExitAction, ExitRule, Span};

use crate::restart::judge::{AT_ONCE, WITHIN};
use crate::restart::verdict::{Bound, Ruled};

/// The rule in front of what follows from it by the policy.
pub(super) fn write_rule(f: &mut fmt::Formatter<'_>, rule: ExitRule) -> fmt::Result {
    let then = match rule.then {
        ExitAction::RestartNow => "restart",
        ExitAction::RestartAll => "restart all",
        then => then.name(),
    };
    write!(f, "on_exit {}: {then}; ", rule.on)
}

/// The rule of a restart, and why it is one by the policy instead.
pub(super) fn write_ruled(f: &mut fmt::Formatter<'_>, Ruled { rule, bound }: Ruled) -> fmt::Result {
    match (rule.then, bound) {
        (ExitAction::RestartNow, None) => write!(f, "on_exit {}: ", rule.on),
        (_, None) => write_rule(f, rule),
        (_, Some(Bound::OftenEnough)) => {
            let within = Span(WITHIN);
            write!(f, "on_exit {}: restart, since it was restarted at once {AT_ONCE} times in {within}; ", rule.on)
        }
        (_, Some(Bound::AllRestarted { ago, apart })) => {
            let (ago, apart) = (Span(ago), Span(apart));
            write!(f, "on_exit {}: restart, since all were restarted {ago} ago, and {apart} must pass; ", rule.on)
        }
    }
}

/// A rule after which there is no other run.
pub(super) fn write_final(f: &mut fmt::Formatter<'_>, rule: ExitRule) -> fmt::Result {
    let then = match rule.then {
        ExitAction::Fatal => "given up",
        ExitAction::Exit => "not restarted, and the container exits",
        _ => "not restarted",
    };
    write!(f, "on_exit {}: {then}", rule.on)
}
