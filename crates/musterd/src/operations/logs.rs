//! Logs: reading and following the output of an instance, and clearing it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_access::Client;
use muster_api::{LogQuery, LogStream, Problem, ProblemKind, Since};
use muster_logs::{Follower, Located, Memory, Older, Source, Wanted, Wish, empty_files};
use muster_spec::InstanceSpec;

use super::select;
use crate::shared::Shared;
use muster_server::tickets::{Desk, Ticket};

/// The client, and the tickets there are.
pub(crate) type Who<'a> = (&'a Desk, Client);

/// A log to be read.
pub(crate) struct Reading {
    pub(crate) memory: Arc<Memory>,
    pub(crate) wanted: Wanted,
    /// Where reading begins in memory.
    pub(crate) located: Located,
    /// Continues with new output, if the client follows.
    pub(crate) follower: Option<Follower>,
    /// Older output from files, and the streams it contains.
    pub(crate) older: Option<(Older, Wanted)>,
    /// Held until the log has been read.
    pub(crate) tickets: Vec<Ticket>,
}

/// Reads the log of an instance.
pub(crate) fn read(shared: &Rc<Shared>, who: Who<'_>, name: &str, query: &LogQuery) -> Result<Reading, Problem> {
    let spec = spec_of(shared, name)?;
    let memory = shared.children.borrow().logs().memory_for(&spec);
    reading(shared, who, (name, Some(&spec)), memory, query)
}

/// Reads the daemon's own messages. Their hub has an empty name, which no instance has.
pub(crate) fn read_daemons(shared: &Rc<Shared>, who: Who<'_>, query: &LogQuery) -> Result<Reading, Problem> {
    reading(shared, who, ("", None), Arc::clone(&shared.own_log), query)
}

fn reading(
    shared: &Rc<Shared>,
    (desk, client): Who<'_>,
    (hub, spec): (&str, Option<&InstanceSpec>),
    memory: Arc<Memory>,
    query: &LogQuery,
) -> Result<Reading, Problem> {
    let wanted = match query.stream {
        LogStream::Both => Wanted::Both,
        LogStream::Stdout => Wanted::Only(Source::Stdout),
        LogStream::Stderr => Wanted::Only(Source::Stderr),
    };
    let children = shared.children.borrow();
    let logs = children.logs();
    let too_many = |what: &str| Problem::new(ProblemKind::Busy, format!("too many clients {what} already"));
    let most = desk.followers.most();
    let mut tickets = Vec::new();
    if query.follow {
        tickets.push(desk.followers.take(client, "follow logs")?);
    }
    let follower = query.follow.then(|| logs.follow(hub, &memory, most).ok_or_else(|| too_many("follow logs")));
    let follower = follower.transpose()?;
    let since = query.since.map(moment);
    let lines = query.lines.or(if since.is_some() { None } else { Some(muster_api::DEFAULT_LINES) });
    let located = memory.locate(wanted, lines, since);
    let file = spec.filter(|_| !located.is_satisfied).and_then(|spec| logs.file_of(spec, wanted));
    if file.is_some() {
        tickets.push(desk.searches.take(client, "read log files")?);
    }
    let older = file.map(|file| {
        let (streams, lines) = (file.streams, lines.map(|lines| lines - located.lines));
        let wish = Wish { file, edge: memory.edge(streams, since), lines };
        logs.read_older(wish).map(|older| (older, streams)).ok_or_else(|| too_many("read log files"))
    });
    let older = older.transpose()?;
    drop(children);
    Ok(Reading { memory, wanted, located, follower, older, tickets })
}

fn moment(since: Since) -> SystemTime {
    let moment = match since {
        Since::Ago(span) => SystemTime::now().checked_sub(span),
        Since::At(at) => {
            let ms = u64::try_from(at.unix_ms()).unwrap_or(0);
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
        }
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Clears the log of an instance, in memory and in files.
pub(crate) async fn clear(shared: &Rc<Shared>, name: &str) -> Result<(), Problem> {
    let spec = spec_of(shared, name)?;
    shared.children.borrow().logs().memory_for(&spec).clear();
    empty_files(&spec).await.map_err(|error| Problem::new(ProblemKind::Internal, error))
}

fn spec_of(shared: &Shared, name: &str) -> Result<Arc<InstanceSpec>, Problem> {
    let supervisor = shared.supervisor.borrow();
    Ok(select::one(&supervisor, name)?.spec().clone())
}
