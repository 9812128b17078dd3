//! `musterctl version`.

use muster_api::{Info, Route};

use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Print the version of the daemon.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`musterctl --version` prints the version of musterctl itself.

Examples:
  musterctl version
  musterctl version --json")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let info: Info = session.client.ask(&Route::Info)?.read(&[200])?;
    if session.json {
        session.print_json(&serde_json::json!({"musterd": info.version, "musterctl": env!("CARGO_PKG_VERSION")}));
    } else {
        session.line(info.version);
    }
    Ok(Exit::Well)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Daemon, Setting, answer, info};

    #[test]
    fn the_daemons_version_and_our_own_are_told_apart() {
        let daemon = Daemon::answering([answer(200, &info()), answer(200, &info())]);
        assert_eq!(daemon.run("version").out, "1.2.3\n");
        let own = env!("CARGO_PKG_VERSION");
        let json: serde_json::Value = serde_json::from_str(&daemon.run("version --json").out).unwrap();
        assert_eq!(json, serde_json::json!({"musterd": "1.2.3", "musterctl": own}));
        let ended = Setting::default().run("--version");
        assert_eq!((ended.out, ended.code), (format!("musterctl {own}\n"), 0));
    }
}
