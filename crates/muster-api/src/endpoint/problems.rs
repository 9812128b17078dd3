//! The errors of routes, by kinds of routes.

use crate::problem::ProblemKind;

pub(super) const SELECTED: &[ProblemKind] = &[ProblemKind::NoSuchProgram];
pub(super) const ACTED: &[ProblemKind] =
    &[ProblemKind::NoSuchProgram, ProblemKind::Starting, ProblemKind::ShuttingDown, ProblemKind::TimedOut];
pub(super) const RESTARTED: &[ProblemKind] = &[
    ProblemKind::NoSuchProgram,
    ProblemKind::RollFailed,
    ProblemKind::Starting,
    ProblemKind::ShuttingDown,
    ProblemKind::TimedOut,
];
pub(super) const SIGNALLED: &[ProblemKind] =
    &[ProblemKind::BadBody, ProblemKind::NoSuchProgram, ProblemKind::BodyTooLarge];
pub(super) const SCALED: &[ProblemKind] = &[
    ProblemKind::BadBody,
    ProblemKind::NoSuchProgram,
    ProblemKind::ConfigurationChanged,
    ProblemKind::OutOfBounds,
    ProblemKind::BodyTooLarge,
    ProblemKind::BadConfiguration,
    ProblemKind::NotSupported,
    ProblemKind::Starting,
    ProblemKind::ShuttingDown,
    ProblemKind::TimedOut,
];
pub(super) const SHUT_DOWN: &[ProblemKind] = &[ProblemKind::BadBody, ProblemKind::BodyTooLarge];
pub(super) const RELOADED: &[ProblemKind] =
    &[ProblemKind::BadConfiguration, ProblemKind::Starting, ProblemKind::ShuttingDown];
pub(super) const WAITED: &[ProblemKind] = &[ProblemKind::NoSuchProgram, ProblemKind::TimedOut];
pub(super) const READ: &[ProblemKind] = &[ProblemKind::NoSuchProgram, ProblemKind::Busy];
pub(super) const WRITTEN: &[ProblemKind] =
    &[ProblemKind::NoSuchProgram, ProblemKind::NoStdin, ProblemKind::BodyTooLarge, ProblemKind::NotReading];
pub(super) const SIMULATED: &[ProblemKind] =
    &[ProblemKind::BadBody, ProblemKind::NoSuchProgram, ProblemKind::BodyTooLarge, ProblemKind::TooLong];
pub(super) const LOGGED_IN: &[ProblemKind] = &[ProblemKind::BadBody, ProblemKind::BodyTooLarge];
