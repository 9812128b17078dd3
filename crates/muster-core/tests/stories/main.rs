//! Short stories, one for each guarantee: an operator's action or an event, and its required result.
//!
//! They are played on a [`stage::Stage`], where one line passes an input and another checks the effects, the states or
//! the replies. The witness of the other suites checks every step.

#![allow(unreachable_pub)]

mod answers;
mod boot_again;
#[path = "../common/mod.rs"]
mod common;
mod container;
mod depend;
mod extremes;
mod files;
mod life;
mod on_exit;
mod order;
mod policies;
mod readiness;
mod recycling;
mod reload;
mod rolling;
mod rolling_followers;
mod shutdown;
mod shutdown_modes;
mod stage;
mod stopping;
mod table;
mod transitions;
