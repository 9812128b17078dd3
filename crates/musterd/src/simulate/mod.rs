//! `musterd simulate`: what a configuration would do, when, and why, without starting anything.
//!
//! The decisions are made by the daemon's own core under a virtual clock ([`world`]); what happened ([`timeline`]) is told in
//! words ([`story`]), as data ([`json`]), as a picture ([`svg`]), or held against what a scenario expects ([`expect`]). The
//! same scenarios with real processes are next door in `rehearse`.

pub(crate) mod cli;
mod command;
mod compare;
pub(crate) mod expect;
mod json;
mod junit;
pub(crate) mod scenarios;
pub(crate) mod story;
mod svg;
pub(crate) mod timeline;
pub(crate) mod world;

pub(crate) use command::simulate_command;
