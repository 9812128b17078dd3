//! `musterctl reread`: what a reload would change, in supervisorctl's format.

use muster_api::{ReloadReport, Route};

use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Reload the configuration and show the differences from the active one, without applying them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lines are supervisorctl's. `musterctl update` applies them, `musterctl update --dry-run` shows more detail.

Examples:
  musterctl reread
  musterctl reread --json")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.ask(&Route::Reload { dry_run: true, reset_scale: false })?;
    let report: ReloadReport = answer.read(&[200])?;
    if session.json {
        session.raw_json(&answer.body);
        return Ok(Exit::Well);
    }
    lines(&report).iter().for_each(|line| session.line(line));
    Ok(Exit::Well)
}

/// `cat: available`, `web: changed`, `dog: disappeared`, by name.
fn lines(report: &ReloadReport) -> Vec<String> {
    let of = |names: &[String], word| names.iter().map(|name| (name.clone(), word)).collect::<Vec<_>>();
    let mut all = of(&report.added, "available");
    all.extend(of(&report.restarted, "changed"));
    all.extend(of(&report.changed, "changed"));
    all.extend(of(&report.removed, "disappeared"));
    all.sort();
    if all.is_empty() {
        return vec!["No config updates to processes".to_owned()];
    }
    all.into_iter().map(|(name, word)| format!("{name}: {word}")).collect()
}

#[cfg(test)]
mod tests {
    use muster_api::{Diagnostic, Problem, ProblemKind};

    use super::*;
    use crate::testing::{Daemon, answer, problem};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Source: supervisor 4.2.5, supervisorctl.py, `do_reread`.
    #[test]
    fn the_lines_are_supervisorctls() {
        let report = ReloadReport {
            dry_run: true,
            added: names(&["cat"]),
            removed: names(&["dog"]),
            restarted: names(&["web"]),
            changed: names(&["api"]),
            ..ReloadReport::default()
        };
        let daemon = Daemon::answering([answer(200, &report)]);
        let ended = daemon.run("reread");
        assert_eq!(
            (ended.out.as_str(), ended.code),
            ("api: changed\ncat: available\ndog: disappeared\nweb: changed\n", 0)
        );
        assert_eq!(daemon.asked_lines(), ["POST /v1/config/reload?dry_run=true"]);
        let ended = Daemon::answering([answer(200, &ReloadReport::default())]).run("reread");
        assert_eq!(ended.out, "No config updates to processes\n");
    }

    #[test]
    fn mistakes_are_printed_as_check_prints_them() {
        let text = "error: /etc/m.toml:2:1: unknown key \"x\"\n  |\n2 | x = 1\n  | ^";
        let diagnostic = Diagnostic {
            severity: "error".to_owned(),
            file: "/etc/m.toml".to_owned(),
            line: 2,
            column: 1,
            message: "unknown key \"x\"".to_owned(),
            hint: None,
            program: None,
            text: text.to_owned(),
        };
        let refused = Problem::new(ProblemKind::BadConfiguration, "the configuration has 1 error; nothing was changed");
        let ended = Daemon::answering([problem(&refused.with_diagnostics(vec![diagnostic]))]).run("reread");
        let expected = format!("{text}\n\nerror: the configuration has 1 error; nothing was changed\n");
        assert_eq!((ended.err, ended.out.as_str(), ended.code), (expected, "", 1));
    }
}
