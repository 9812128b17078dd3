//! `musterctl update`: reloads the configuration and applies the differences.

use muster_api::{ChangedKey, ReloadReport, Route};
use serde_json::Value;

use crate::failure::{self, Exit, Failure};
use crate::session::Session;

/// Reload the configuration and apply the differences.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Added programs start, removed ones stop; changed ones are restarted if the change affects their process, and changed in place \
otherwise. On any error in the configuration nothing changes. Returns once the plan is decided; `musterctl wait` \
waits for programs.

Examples:
  musterctl update
  musterctl update --dry-run
  musterctl update && musterctl wait all --for running")]
pub(crate) struct Args {
    /// Only print what would be done.
    #[arg(long)]
    dry_run: bool,

    /// Give scaled programs the number of instances that the configuration says.
    #[arg(long)]
    reset_scale: bool,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.ask(&Route::Reload { dry_run: args.dry_run, reset_scale: args.reset_scale })?;
    let report: ReloadReport = answer.read(&[200])?;
    if session.json {
        session.raw_json(&answer.body);
        return Ok(Exit::Well);
    }
    let warnings: Vec<String> = report.diagnostics.iter().flat_map(failure::lines).collect();
    warnings.iter().chain(&lines(&report)).for_each(|line| session.line(line));
    Ok(Exit::Well)
}

/// The lines that describe a reload, without those about these instances.
pub(super) fn lines_without(report: &ReloadReport, names: &[String]) -> Vec<String> {
    let mut rest = report.clone();
    for list in [&mut rest.added, &mut rest.removed, &mut rest.restarted, &mut rest.changed] {
        list.retain(|name| !names.contains(name));
    }
    let warnings = rest.diagnostics.iter().flat_map(failure::lines);
    if rest.is_empty() { warnings.collect() } else { warnings.chain(lines(&rest)).collect() }
}

fn lines(report: &ReloadReport) -> Vec<String> {
    let would = if report.dry_run { "would be " } else { "" };
    let keys = |name: &String| {
        let of_it = report.keys.iter().filter(|changed| changed.name == *name).map(key_line).collect::<Vec<_>>();
        of_it.into_iter()
    };
    let of = |names: &[String], word: &str| {
        let line =
            |name: &String| std::iter::once(format!("{name}: {would}{word}")).chain(keys(name)).collect::<Vec<_>>();
        names.iter().flat_map(line).collect::<Vec<_>>()
    };
    let mut lines = of(&report.removed, "removed");
    lines.extend(of(&report.added, "added"));
    lines.extend(of(&report.restarted, "restarted"));
    lines.extend(of(&report.changed, "changed in place"));
    lines.extend(report.notifiers.iter().map(|name| format!("[notify.{name}]: {would}changed in place")));
    let restart = |key: &String| format!("{key} changed: this needs a restart of the daemon");
    lines.extend(report.needs_restart.iter().map(restart));
    if lines.is_empty() {
        lines.push("nothing changed".to_owned());
    }
    lines
}

/// `  startsecs: 1.0 -> 5.0`, or the key alone where both values look alike.
fn key_line(ChangedKey { key, before, after, .. }: &ChangedKey) -> String {
    let shown = |value: &Value| if value.is_null() { "none".to_owned() } else { value.to_string() };
    match before == after {
        true => format!("  {key}: values that are not shown"),
        false => format!("  {key}: {} -> {}", shown(before), shown(after)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Daemon, answer};

    fn report(dry_run: bool) -> ReloadReport {
        let name = |name: &str| vec![name.to_owned()];
        ReloadReport {
            dry_run,
            added: name("cat"),
            removed: name("dog"),
            restarted: name("web"),
            changed: name("api"),
            needs_restart: name("[http] socket"),
            notifiers: name("ops"),
            ..ReloadReport::default()
        }
    }

    #[test]
    fn a_line_says_what_becomes_of_each() {
        let daemon = Daemon::answering([answer(200, &report(false))]);
        let ended = daemon.run("update");
        let expected = "dog: removed\ncat: added\nweb: restarted\napi: changed in place\n\
                        [notify.ops]: changed in place\n[http] socket changed: this needs a restart of the daemon\n";
        assert_eq!((ended.out.as_str(), ended.code), (expected, 0));
        assert_eq!(daemon.asked_lines(), ["POST /v1/config/reload"]);
    }

    #[test]
    fn a_dry_run_says_what_would_be() {
        let daemon = Daemon::answering([answer(200, &report(true)), answer(200, &ReloadReport::default())]);
        assert!(daemon.run("update --dry-run").out.starts_with("dog: would be removed\ncat: would be added\n"));
        assert_eq!(daemon.run("update --dry-run").out, "nothing changed\n");
        assert_eq!(daemon.asked_lines(), ["POST /v1/config/reload?dry_run=true"; 2]);
    }

    #[test]
    fn a_dry_run_says_what_changes_from_what_to_what() {
        let changed = |key: &str, before: Value, after: Value| ChangedKey {
            name: "web".to_owned(),
            key: key.to_owned(),
            before,
            after,
        };
        let hidden = json!({ "TOKEN": "***" });
        let keys = vec![
            changed("command", json!(["sleep", "1"]), json!(["sleep", "2"])),
            changed("environment", hidden.clone(), hidden),
        ];
        let ended = Daemon::answering([answer(200, &ReloadReport { keys, ..report(true) })]).run("update --dry-run");
        let expected = "web: would be restarted\n  command: [\"sleep\",\"1\"] -> [\"sleep\",\"2\"]\n  \
                        environment: values that are not shown\napi: would be changed in place\n";
        assert!(ended.out.contains(expected), "{}", ended.out);
    }
}
