//! Sections to groups, in the original's order: `[group:x]` first, then what is in none.

use muster_spec::arrange;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use muster_supervisord::expand::Value;

use super::model::{FcgiAddress, FcgiSocket, Group, GroupKind, Owner, Process};
use super::options::{self, Kind};
use super::reader::{ExpansionScope, Reader, Text, behind_colon};
use super::sections::Entry;
use super::values::{self, Read};
use super::world::World;
use super::{paths, programs};
use muster_spec::EventType;
use muster_supervisord::python::{is_space, repr};

/// The number of unknown events that are reported for one listener.
const MOST_UNKNOWN_EVENTS: usize = 100;

/// All groups, sorted by priority and name.
pub(super) fn groups(reader: &mut Reader<'_>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut members = HashSet::new();
    for section in reader.sections_of(Kind::Group) {
        groups.extend(mixed(reader, section, &mut members));
    }
    for (kind, read) in KINDS {
        for section in reader.sections_of(kind) {
            if kind == Kind::Listener || !members.contains(&section) {
                groups.extend(read(reader, section));
            }
        }
    }
    arrange::sort_by(&mut groups, |one, other| (one.priority, &one.name).cmp(&(other.priority, &other.name)));
    groups
}

type ReadGroup = fn(&mut Reader<'_>, usize) -> Option<Group>;

const KINDS: [(Kind, ReadGroup); 3] = [(Kind::Program, program), (Kind::Listener, listener), (Kind::Fcgi, fcgi)];

fn members_of(reader: &mut Reader<'_>, section: usize, group: &str) -> Vec<Process> {
    let own: Arc<[Entry]> = programs::own_keys(reader, section).into();
    let mut processes = programs::processes(reader, section, group);
    processes.iter_mut().for_each(|process| process.own = Arc::clone(&own));
    processes
}

fn mixed(reader: &mut Reader<'_>, section: usize, members: &mut HashSet<usize>) -> Option<Group> {
    let here = reader.here.clone();
    let words = [("here", Value::Text(&here))];
    let scope = ExpansionScope::new(section, &words);
    let name = programs::program_name(reader, section, false)?;
    let listed = reader.plain(&scope, &options::PROGRAMS).unwrap_or_default();
    let priority = reader.whole(&scope, &options::PRIORITY);
    let mut processes = Vec::new();
    let is_quotable = reader.is_quotable(section, options::PROGRAMS.key);
    for program in values::list(&listed) {
        if reader.report.is_full() {
            break;
        }
        if reader.processes_left == 0 {
            reader.refuse_total(&scope, options::PROGRAMS.key, &programs::too_many());
            break;
        }
        let program_section = reader.sections.find(&format!("program:{program}"));
        let fcgi_section = reader.sections.find(&format!("fcgi-program:{program}"));
        let own = reader.section_name(section);
        let quoted = if is_quotable { format!(": {}", repr(program)) } else { String::new() };
        let (message, original) = match (program_section, fcgi_section) {
            (Some(member), None) | (None, Some(member)) => {
                members.insert(member);
                let mut read = members_of(reader, member, &name);
                if fcgi_section.is_some() {
                    let socket = member_socket(reader, member);
                    read.iter_mut().for_each(|process| process.socket.clone_from(&socket));
                }
                processes.extend(read);
                continue;
            }
            (None, None) => (
                format!("programs must name sections [program:NAME] or [fcgi-program:NAME]{quoted}"),
                format!("[{own}] names unknown program or fcgi-program {program}"),
            ),
            (Some(_), Some(_)) => (
                format!("programs must name one section, and a program and an fcgi-program have this name{quoted}"),
                format!("[{own}] name {program} is ambiguous (exists as program and fcgi-program)"),
            ),
        };
        reader.refuse_section(&scope, Some(options::PROGRAMS.key), &message, original);
    }
    Some(Group { section, kind: GroupKind::Mixed, name, priority, processes })
}

/// The socket of a member. The original does not even read it, so what is wrong with it is no mistake.
fn member_socket(reader: &mut Reader<'_>, section: usize) -> Option<FcgiSocket> {
    let report = std::mem::take(&mut reader.report);
    let socket = programs::program_name(reader, section, false).and_then(|name| socket(reader, section, &name));
    let tried = std::mem::replace(&mut reader.report, report);
    let message = match tried.into_parts().0.into_iter().next() {
        None => "the socket of an fcgi-program in a group is opened, which the original does not do".to_owned(),
        Some(problem) => format!("the socket is ignored, as in the original: {}", problem.message),
    };
    let warning = reader.warning(section, Some(options::SOCKET.key), message);
    reader.report.warn(warning.hint("leave the fcgi-program out of the group for the same under both"));
    socket
}

fn program(reader: &mut Reader<'_>, section: usize) -> Option<Group> {
    let here = reader.here.clone();
    let words = [("here", Value::Text(&here))];
    let name = programs::program_name(reader, section, false)?;
    let priority = reader.whole(&ExpansionScope::new(section, &words), &options::PRIORITY);
    let processes = members_of(reader, section, &name);
    Some(Group { section, kind: GroupKind::Program, name, priority, processes })
}

/// A pool of listeners: its name is not stripped, and its priority has a default of its own.
fn listener(reader: &mut Reader<'_>, section: usize) -> Option<Group> {
    let here = reader.here.clone();
    let words = [("here", Value::Text(&here))];
    let scope = ExpansionScope::new(section, &words);
    let name = behind_colon(reader.section_name(section)).to_owned();
    let header = reader.section_name(section).to_owned();
    let priority = reader.whole(&scope, &options::POOL_PRIORITY);
    let buffer_size = reader.whole(&scope, &options::BUFFER_SIZE);
    if buffer_size < 1 {
        let original = format!("[{header}] section sets invalid buffer_size ({buffer_size})");
        let message = format!("buffer_size must be 1 or more: {buffer_size}");
        reader.refuse_section(&scope, Some(options::BUFFER_SIZE.key), &message, original);
    }
    let result_handler = reader.plain(&scope, &options::RESULT_HANDLER).unwrap_or_default();
    let events = events(reader, &scope, &header);
    if reader.boolean(&scope, &options::REDIRECT_STDERR) {
        let original = format!(
            "[{header}] section sets redirect_stderr=true but this is not allowed because it will interfere with the \
             eventlistener protocol"
        );
        let message = "redirect_stderr must be false: standard output is for the protocol";
        reader.refuse_section(&scope, Some(options::REDIRECT_STDERR.key), message, original);
    }
    let processes = members_of(reader, section, &name);
    let kind = GroupKind::Listener { buffer_size, events, result_handler };
    Some(Group { section, kind, name, priority, processes })
}

fn events(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, header: &str) -> Vec<String> {
    let Ok(value) = reader.text(scope, &options::EVENTS) else { return Vec::new() };
    let text = value.map(|value| value.text).unwrap_or_default();
    // Sets, as in the original: a repeated event counts once.
    let (mut events, mut unknown) = (BTreeSet::new(), Vec::new());
    let listed = values::list(&text);
    for event in listed.iter().map(|event| event.to_uppercase()) {
        if EventType::parse(&event).is_some() {
            events.insert(event);
        } else if unknown.len() < MOST_UNKNOWN_EVENTS && !unknown.contains(&event) {
            unknown.push(event);
        }
    }
    if listed.is_empty() {
        let original = format!("[{header}] section requires an \"events\" line");
        reader.refuse_section(scope, None, "needs a key events", original);
    }
    for event in &unknown {
        let original = format!("Unknown event type {event} in [{header}] events");
        let near = muster_config::hints::nearest_in_case(event, EventType::NAMES);
        let near = near.map(|near| format!("; {near} is one")).unwrap_or_default();
        let quoted = reader.quoted(scope.section, options::EVENTS.key, event);
        let message = format!("events must be types of events{quoted}{near}");
        reader.refuse_section(scope, Some(options::EVENTS.key), &message, original);
    }
    events.into_iter().collect()
}

fn fcgi(reader: &mut Reader<'_>, section: usize) -> Option<Group> {
    let here = reader.here.clone();
    let words = [("here", Value::Text(&here))];
    let name = programs::program_name(reader, section, false)?;
    let priority = reader.whole(&ExpansionScope::new(section, &words), &options::PRIORITY);
    let socket = socket(reader, section, &name);
    let processes = members_of(reader, section, &name);
    Some(Group { section, kind: GroupKind::Fcgi(socket?), name, priority, processes })
}

fn socket(reader: &mut Reader<'_>, section: usize, name: &str) -> Option<FcgiSocket> {
    let here = reader.here.clone();
    let words = [("here", Value::Text(&here)), ("program_name", Value::Text(name))];
    let scope = ExpansionScope::new(section, &words[..1]);
    let user = reader.user(&scope, &options::USER);
    let backlog = reader.typed(&scope, &options::SOCKET_BACKLOG, |text, _| backlog(text));
    let owner = reader.typed(&scope, &options::SOCKET_OWNER, |text, world| {
        values::owner(text, world).ok_or_else(|| format!("Invalid socket_owner value {text}"))
    });
    let mode = reader.typed(&scope, &options::SOCKET_MODE, |text, _| {
        values::octal(text).map_err(|_| format!("Invalid socket_mode value {text}"))
    });
    let scope = ExpansionScope::new(section, &words);
    let value = reader.text(&scope, &options::SOCKET).ok()?;
    let header = reader.section_name(section).to_owned();
    let Some(value) = value.filter(|value| !value.text.is_empty()) else {
        let original = format!("[{header}] section requires a \"socket\" line");
        reader.refuse_section(&scope, None, "needs a key socket", original);
        return None;
    };
    let by_user = user.filter(|user| user.id != reader.world.uid());
    let default_owner = by_user.map(|user| Owner { group: Some(user.group), user });
    match address(&value, owner, mode, default_owner, reader.world) {
        Ok(address) => Some(FcgiSocket { address, backlog }),
        Err(reason) => {
            reader.refuse(&scope, &options::SOCKET, &value, format!("{reason} in [{header}] socket"));
            None
        }
    }
}

fn backlog(text: &str) -> Read<i64> {
    match values::whole(text)? {
        backlog @ 1..=65535 => Ok(backlog),
        other => Err(format!("Invalid socket_backlog value {other}")),
    }
}

fn address(
    value: &Text,
    owner: Option<Owner>,
    mode: Option<i64>,
    default_owner: Option<Owner>,
    world: &dyn World,
) -> Read<FcgiAddress> {
    let text = value.text.as_str();
    if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err(format!("('Unix socket path %s is not an absolute path', {})", repr(path)));
        }
        let path = paths::normalized(path, world);
        return Ok(FcgiAddress::Unix { path, mode: mode.unwrap_or(0o700), owner: owner.or(default_owner) });
    }
    if owner.is_some() || mode.is_some() {
        return Err("socket_owner and socket_mode params should only be used with a Unix domain socket".to_owned());
    }
    let bad = || format!("('Bad socket format %s', {})", repr(text));
    let (host, port) = text.strip_prefix("tcp://").and_then(|rest| rest.split_once(':')).ok_or_else(bad)?;
    let is_number = port.chars().all(|c| muster_supervisord::python::decimal(c).is_some());
    if host.is_empty() || host.contains(is_space) || !is_number {
        return Err(bad());
    }
    let number = muster_supervisord::python::int(port).ok_or_else(bad)?;
    Ok(FcgiAddress::Tcp { host: host.to_lowercase(), port: values::port_number(number)? })
}
