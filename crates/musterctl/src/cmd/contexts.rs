//! `musterctl contexts`: the daemons that have names here, and whether they answer.

use muster_api::{Info, Route};
use serde::Serialize;

use crate::client::{Client, Target};
use crate::contexts::Contexts;
use crate::failure::{Exit, Failure};
use crate::fleet;
use crate::output::{BAD, Cell, printable, table};
use crate::reach::{Reach, Reached};
use crate::session::Session;

/// List the contexts, and try to reach each one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Contexts are tables [context.NAME] in $XDG_CONFIG_HOME/musterctl/contexts.toml, with `via` or `url`. The exit code is the highest of all.

Examples:
  musterctl contexts
  musterctl contexts --no-try
  musterctl -x 'shop-*' contexts
  musterctl -x 'shop-*' status")]
pub(crate) struct Args {
    /// Only list them.
    #[arg(long)]
    no_try: bool,
}

/// One context.
#[derive(Serialize)]
struct Entry {
    name: String,
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let contexts = Contexts::read(session.variables.contexts.as_deref())?;
    let wanted = match &*session.reach.context {
        [] => contexts.names().map(str::to_owned).collect(),
        wanted => wanted.to_vec(),
    };
    let selected = contexts.select(&wanted)?;
    if selected.is_empty() && !session.json {
        session.hints.push(format!("there are no contexts in {}", contexts.path().display()));
        return Ok(Exit::Well);
    }
    let entry = |(name, context): &(&str, &crate::contexts::Context)| Entry {
        name: (*name).to_owned(),
        place: context.to_string(),
        version: None,
        error: None,
    };
    let mut entries: Vec<Entry> = selected.iter().map(entry).collect();
    let exit = if args.no_try { Exit::Well } else { reach_each(&mut entries, session)? };
    if session.json {
        session.print_json(&entries);
    } else {
        let rows: Vec<[Cell; 3]> = entries.iter().map(row).collect();
        let text = table(["CONTEXT", "DAEMON", if args.no_try { "" } else { "STATE" }], &rows, session.coloured);
        session.out.push_str(&text);
    }
    Ok(exit)
}

fn row(entry: &Entry) -> [Cell; 3] {
    let state = match (&entry.version, &entry.error) {
        (Some(version), _) => Cell::plain(format!("musterd {version}")),
        (None, Some(error)) => Cell::styled(error, BAD),
        (None, None) => Cell::plain(""),
    };
    [Cell::plain(&entry.name), Cell::plain(&entry.place), state]
}

/// Asks all of them for their version. One whose settings are wrong does not hide the others.
fn reach_each(entries: &mut [Entry], session: &Session) -> Result<Exit, Failure> {
    let reached = |name: &str| {
        let reach = Reach { context: vec![name.to_owned()], ..Reach::default() };
        reach.targets(&session.variables, false)
    };
    let targets: Vec<Result<Target, Failure>> = entries
        .iter()
        .map(|entry| match reached(&entry.name)? {
            Reached::One(target) => Ok(target),
            Reached::Several(_) => Err(Failure::new(Exit::Usage, "the name selects several contexts")),
        })
        .collect();
    let patience = session.client.patience();
    let results = fleet::each(targets, fleet::AT_A_TIME, move |_, target| {
        let client = Client::new(target?, patience);
        let info = client.ask(&Route::Info).and_then(|answer| answer.read::<Info>(&[200]));
        client.close();
        info
    });
    let results = results.map_err(|error| Failure::new(Exit::Failed, format!("cannot start a thread: {error}")))?;
    let mut highest = Exit::Well;
    for (index, result) in results {
        match result {
            Ok(info) => entries[index].version = Some(printable(&info.version)),
            Err(failure) => {
                highest = highest.or_higher(failure.exit);
                entries[index].error = Some(failure.message);
            }
        }
    }
    Ok(highest)
}
