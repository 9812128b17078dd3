//! `musterd run`: a minimal init for one command.
//!
//! It starts the command, forwards signals, reaps orphans and exits with the command's exit code; it never
//! restarts anything. No runtime, no configuration, no log: signals are blocked from the first statement on and handled
//! one by one, so none is lost. The options of tini and dumb-init have the same meaning here;
//! under their names, or with `--compat`, it matches the original exactly.
//!
//! A command line becomes a [`plan::InitPlan`] ([`cli`], [`tini`], [`dumb_init`]); [`init`] executes it and reports
//! events; a [`reporter::Reporter`] prints them.

#![forbid(unsafe_code)]

mod cli;
mod dumb_init;
mod exit_codes;
mod getopt;
mod glibc_strings;
mod grace;
mod init;
mod own_reporter;
mod plan;
mod quirks;
mod reporter;
mod rewrites;
mod tini;

pub use cli::HELP;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use muster_sys::foreground::BlockedSignals;

use plan::Parsed;

/// An init that musterd can replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compat {
    /// tini 0.19, docker's own `docker-init`.
    Tini,
    /// dumb-init 1.2.5.
    DumbInit,
}

impl Compat {
    /// The init of this name: `tini`, `docker-init`, `podman-init`, `catatonit` or `dumb-init`, with or
    /// without a path. tini supports what podman requires of its init.
    pub fn called(argv0: &OsStr) -> Option<Compat> {
        let name = argv0.as_bytes().rsplit(|&byte| byte == b'/').next()?;
        match name {
            b"tini" | b"tini-static" | b"docker-init" | b"podman-init" | b"catatonit" => Some(Compat::Tini),
            b"dumb-init" => Some(Compat::DumbInit),
            _ => None,
        }
    }
}

/// `musterd run ARGUMENTS`: returns the exit code.
pub fn main(arguments: &[OsString]) -> u8 {
    let held = BlockedSignals::all();
    let parsed = match cli::compat(arguments) {
        Ok(Some((Compat::Tini, rest))) => tini::parse(OsStr::new("tini"), rest),
        Ok(Some((Compat::DumbInit, rest))) => dumb_init::parse(OsStr::new("dumb-init"), rest),
        Ok(None) => cli::parse(arguments),
        Err(complaint) => complaint,
    };
    carry_out(parsed, held)
}

/// Called by another init's name: `argv` begins with that name. Returns the exit code.
pub fn main_as(compat: Compat, argv: &[OsString]) -> u8 {
    let held = BlockedSignals::all();
    let (name, arguments) = argv.split_first().map_or((OsStr::new(""), argv), |(name, rest)| (name.as_os_str(), rest));
    let parsed = match compat {
        Compat::Tini => tini::parse(name, arguments),
        Compat::DumbInit => dumb_init::parse(name, arguments),
    };
    carry_out(parsed, held)
}

fn carry_out(parsed: Parsed, held: BlockedSignals) -> u8 {
    match parsed {
        Parsed::Run(plan) => init::run(&plan, held),
        Parsed::Say { stream, text, code } => {
            reporter::print(stream, &text);
            code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_is_known_by_its_name() {
        for (argv0, expected) in [
            ("/sbin/tini", Some(Compat::Tini)),
            ("tini-static", Some(Compat::Tini)),
            ("/usr/bin/docker-init", Some(Compat::Tini)),
            ("/run/podman-init", Some(Compat::Tini)),
            ("/usr/libexec/podman/catatonit", Some(Compat::Tini)),
            ("dumb-init", Some(Compat::DumbInit)),
            ("/tini/musterd", None),
            ("", None),
        ] {
            assert_eq!(Compat::called(OsStr::new(argv0)), expected, "{argv0}");
        }
    }
}
