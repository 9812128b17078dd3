//! Handlers for logs: what an instance wrote, what it writes, and forgetting it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use muster_api::{BYTES, JSON_LINES, LogFormat, LogQuery, LogStream, Problem, ProblemKind, Since};
use muster_logs::{Memory, Source, Wanted, Wish, empty_files};
use muster_spec::InstanceSpec;

use super::log_body::{LogBody, Writer};
use super::queries::no_such_instance;
use super::response::{self, Answer};
use super::stream::Body;
use super::tickets::Desk;
use crate::access::Client;
use crate::shared::Shared;

/// How the daemon's own log is called among those of programs.
const OWN: &str = "musterd";

/// What an instance wrote.
pub(super) fn read(shared: &Rc<Shared>, who: Who<'_>, name: &str, query: &LogQuery) -> Result<Answer, Problem> {
    let spec = spec_of(shared, name)?;
    let memory = shared.children.borrow().logs().memory_for(&spec);
    answer(shared, who, &Log { hub: name, name, spec: Some(&spec) }, memory, query)
}

/// The daemon's own messages. Nothing is called as emptily as its hub.
pub(super) fn read_daemons(shared: &Rc<Shared>, who: Who<'_>, query: &LogQuery) -> Result<Answer, Problem> {
    let memory = Arc::clone(&shared.own_log);
    answer(shared, who, &Log { hub: "", name: OWN, spec: None }, memory, query)
}

/// Who asks, and what there is for each.
type Who<'a> = (&'a Desk, Client);

/// Whose log it is.
struct Log<'a> {
    hub: &'a str,
    name: &'a str,
    spec: Option<&'a InstanceSpec>,
}

fn answer(
    shared: &Rc<Shared>,
    (desk, client): Who<'_>,
    log: &Log<'_>,
    memory: Arc<Memory>,
    query: &LogQuery,
) -> Result<Answer, Problem> {
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
    let follower = query.follow.then(|| logs.follow(log.hub, &memory, most).ok_or_else(|| too_many("follow logs")));
    let follower = follower.transpose()?;
    let since = query.since.map(moment);
    let lines = query.lines.or(if since.is_some() { None } else { Some(muster_api::DEFAULT_LINES) });
    let located = memory.locate(wanted, lines, since);
    let file = log.spec.filter(|_| !located.is_satisfied).and_then(|spec| logs.file_of(spec, wanted));
    if file.is_some() {
        tickets.push(desk.searches.take(client, "read log files")?);
    }
    let older = file.map(|file| {
        let (streams, lines) = (file.streams, lines.map(|lines| lines - located.lines));
        let wish = Wish { file, edge: memory.edge(streams, since), lines };
        logs.read_older(wish).map(|older| (older, streams)).ok_or_else(|| too_many("read log files"))
    });
    let mut body = LogBody::new(memory, wanted, located, follower, Writer::new(log.name, query.format));
    if let Some((older, streams)) = older.transpose()? {
        body = body.after(older, streams);
    }
    let media_type = if query.format == LogFormat::Json { JSON_LINES } else { BYTES };
    let body = if query.follow { Body::streaming(body) } else { Body::in_pieces(body) };
    Ok(response::streaming(media_type, tickets.into_iter().fold(body, Body::with_ticket)))
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

/// Forgets what an instance wrote, and empties its files.
pub(super) async fn clear(shared: &Rc<Shared>, name: &str) -> Result<Answer, Problem> {
    let spec = spec_of(shared, name)?;
    shared.children.borrow().logs().memory_for(&spec).clear();
    let internal = |error: String| Problem::new(ProblemKind::Internal, error);
    empty_files(&spec).await.map_err(internal)?;
    Ok(response::nothing(StatusCode::NO_CONTENT))
}

fn spec_of(shared: &Shared, name: &str) -> Result<Arc<InstanceSpec>, Problem> {
    let supervisor = shared.supervisor.borrow();
    let instance = supervisor.find(name).ok_or_else(|| no_such_instance(&supervisor, name))?;
    Ok(instance.spec().clone())
}
