//! `musterd run`: a minimal init for one command.
//!
//! It starts the command, passes signals on, reaps what is orphaned and ends with the command's exit code; it never
//! restarts anything. No runtime, no configuration, no log: signals are held back from the first statement on and taken
//! one by one, so none is lost from the first millisecond. The options of tini and dumb-init mean here what they mean
//! there; under their names, or with `--compat`, it is either of them to the letter.
//!
//! A command line becomes a [`plan::Plan`] ([`cli`], [`tini`], [`dumb_init`]); [`init`] carries it out and tells what
//! happens as events; a [`reporter::Voice`] puts those into words.

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

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use muster_sys::foreground::BlockedSignals;

use plan::Parsed;

/// An init that musterd can stand in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compat {
    /// tini 0.19, docker's own `docker-init`.
    Tini,
    /// dumb-init 1.2.5.
    DumbInit,
}

impl Compat {
    /// The init that goes by this name: `tini`, `docker-init`, `podman-init`, `catatonit` or `dumb-init`, with or
    /// without a path. What podman asks of its init, tini does.
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

/// Called by another init's name: `argv` with that name in front. Returns the exit code.
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
