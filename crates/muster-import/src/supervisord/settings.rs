//! `[supervisord]`, `[rpcinterface:x]` and the servers.

use super::model::{Address, Level, Login, Plugin, Server, Settings};
use super::options::{self, Kind, Opt};
use super::reader::{ExpansionScope, Reader, Reported, Text, behind_colon, collected};
use super::world::World;
use super::{paths, values};
use muster_supervisord::expand::Value;

/// Reads `[supervisord]`, in the original's order. Its variables are known to everything that is read later.
pub(super) fn supervisord(reader: &mut Reader<'_>, section: usize) -> Settings {
    let (here, host) = (reader.here.clone(), reader.host.clone());
    let words = [("here", Value::Text(&here))];
    let scope = &ExpansionScope::new(section, &words);
    let minfds = reader.whole(scope, &options::MINFDS);
    let minprocs = reader.whole(scope, &options::MINPROCS);
    let directory = reader.typed(scope, &options::DIRECTORY, values::existing_directory);
    let user = reader.plain(scope, &options::USER);
    let umask = reader.octal(scope, &options::DAEMON_UMASK).unwrap_or_default();
    let logfile = reader.typed(scope, &options::LOGFILE, values::path).unwrap_or_default();
    let logfile_maxbytes = reader.bytes(scope, &options::LOGFILE_MAXBYTES);
    let logfile_backups = reader.whole(scope, &options::LOGFILE_BACKUPS);
    let loglevel = reader.typed(scope, &options::LOGLEVEL, |text, _| values::level(text)).unwrap_or(Level::Info);
    let pidfile = reader.typed(scope, &options::PIDFILE, values::path).unwrap_or_default();
    let identifier = reader.plain(scope, &options::IDENTIFIER).unwrap_or_default();
    let nodaemon = reader.boolean(scope, &options::NODAEMON);
    let silent = reader.boolean(scope, &options::SILENT);
    let childlogdir = reader.typed(scope, &options::CHILDLOGDIR, values::existing_directory);
    let childlogdir = childlogdir.unwrap_or_else(|| temporary(reader));
    let nocleanup = reader.boolean(scope, &options::NOCLEANUP);
    let strip_ansi = reader.boolean(scope, &options::STRIP_ANSI);
    let environment = environment(reader, scope, &host).unwrap_or_default();
    for (name, value) in &environment {
        reader.global.0 += 1;
        reader.global.1 += name.len() + value.len();
        reader.variables.insert(name.clone(), value.clone());
    }
    Settings {
        nodaemon,
        silent,
        user,
        umask,
        directory,
        logfile: log_path(logfile, reader.world),
        logfile_maxbytes,
        logfile_backups,
        loglevel,
        pidfile: paths::normalized(&pidfile, reader.world),
        identifier,
        childlogdir,
        nocleanup,
        strip_ansi,
        minfds,
        minprocs,
        environment: collected(environment),
    }
}

/// The main log's path, absolute, or `syslog`.
pub(super) fn log_path(path: String, world: &dyn World) -> String {
    if path == "syslog" { path } else { paths::normalized(&path, world) }
}

/// The global variables: the one value that is expanded twice.
fn environment(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, host: &str) -> Option<Vec<(String, String)>> {
    let key = options::ENVIRONMENT.key;
    let mut once = || {
        let Some(value) = reader.text(scope, &options::ENVIRONMENT)? else { return Ok(None) };
        let here = scope.words.first().expect("`here` is the scope's only word").1;
        let words = [("here", here), ("host_node_name", Value::Text(host))];
        let scope = ExpansionScope::new(scope.section, &words);
        let text = reader.expand(&scope, &value.text, key, key, &value.place)?;
        let value = Text { text, ..value };
        reader.variables(&scope, &value).map(Some).ok_or(Reported)
    };
    let pairs = once();
    reader.variables_incomplete |= pairs.is_err();
    pairs.ok().flatten()
}

/// Python's directory for temporary files.
fn temporary(reader: &Reader<'_>) -> String {
    let known = ["TMPDIR", "TEMP", "TMP"].iter().filter_map(|name| reader.variables.get(*name));
    let found = known.filter(|path| !path.is_empty()).map(|path| paths::absolute(path, reader.world));
    found.into_iter().find(|path| reader.world.is_dir(path)).unwrap_or_else(|| "/tmp".to_owned())
}

/// The user is looked up when everything else has been read.
pub(super) fn check_user(reader: &mut Reader<'_>, section: usize, user: Option<&str>) {
    let Some(user) = user else { return };
    if let Err(reason) = values::user(user, reader.world) {
        let place = reader.raw(section, &options::USER).map(|entry| entry.place);
        let place = place.unwrap_or_else(|| reader.section_place(section));
        let value = Text { text: user.to_owned(), place };
        reader.refuse(&ExpansionScope::new(section, &[]), &options::USER, &value, reason);
    }
}

/// Every process has a copy of the server's URL.
pub(super) fn check_url(reader: &mut Reader<'_>, section: usize, servers: &[Server], processes: usize) {
    let length = server_url(servers).map_or(0, |url| url.len());
    if length.saturating_mul(processes) > reader.budget {
        let message = format!("the URL of the server is too long for {processes} processes: {length} bytes");
        reader.refuse_bound(&ExpansionScope::new(section, &[]), "", &message);
    }
}

pub(super) fn plugins(reader: &mut Reader<'_>) -> Vec<Plugin> {
    let sections = reader.sections_of(Kind::RpcInterface);
    sections.into_iter().filter_map(|section| plugin(reader, section)).collect()
}

fn plugin(reader: &mut Reader<'_>, section: usize) -> Option<Plugin> {
    let scope = ExpansionScope::new(section, &[]);
    let factory_key = options::RPC_FACTORY.key;
    let Some(factory) = reader.text(&scope, &options::RPC_FACTORY).ok()? else {
        let name = reader.section_name(section);
        let original = format!("section [{name}] does not specify a {factory_key}");
        reader.refuse_section(&scope, None, &format!("needs a key {factory_key}"), original);
        return None;
    };
    if factory.text != options::MAIN_RPC_FACTORY {
        let written = reader.raw(section, &options::RPC_FACTORY).map_or(String::new(), |entry| entry.text);
        let message = format!("Python plugins are not available: {written}");
        let warning = reader.warning(section, Some(factory_key), message);
        reader.report.warn(warning.hint("leave the section out"));
    }
    // One more than there is room for, and the factory: many sections may share the keys of `[DEFAULT]`.
    let entries: Vec<_> = reader
        .sections
        .entries(section)
        .take(reader.variables_left + 2)
        .map(|entry| (entry.key.clone(), entry.place.clone(), entry.text.clone()))
        .collect();
    let mut extras = Vec::new();
    for (key, place, text) in entries.into_iter().filter(|(key, ..)| key != factory_key) {
        let name = format!("{}.{key}", reader.section_name(section));
        if let Ok(value) = reader.expand(&scope, &text, &name, &key, &place) {
            if !reader.has_room_for_extra(&scope, &key) {
                break;
            }
            extras.push((key, value));
        }
    }
    let name = behind_colon(reader.section_name(section)).to_owned();
    Some(Plugin { section, name, factory: factory.text, extras })
}

/// All servers, those on TCP first.
pub(super) fn servers(reader: &mut Reader<'_>) -> Vec<Server> {
    let mut servers = Vec::new();
    for section in reader.sections_of(Kind::InetServer) {
        servers.extend(inet_server(reader, section));
    }
    for section in reader.sections_of(Kind::UnixServer) {
        servers.extend(unix_server(reader, section));
    }
    servers
}

/// The original's `SUPERVISOR_SERVER_URL`: the first Unix socket, otherwise the last address on TCP.
pub(super) fn server_url(servers: &[Server]) -> Option<String> {
    let unix = servers.iter().find_map(|server| match &server.address {
        Address::Unix { file, .. } => Some(format!("unix://{file}")),
        Address::Inet { .. } => None,
    });
    let inet = || {
        servers.iter().rev().find_map(|server| match &server.address {
            Address::Inet { host, port } if host.is_empty() => Some(format!("http://localhost:{port}")),
            Address::Inet { host, port } => Some(format!("http://{host}:{port}")),
            Address::Unix { .. } => None,
        })
    };
    unix.or_else(inet)
}

fn server(reader: &Reader<'_>, section: usize, address: Address, login: Option<Login>) -> Server {
    let name = reader.section_name(section).split_once(':').map(|(_, name)| name.to_owned());
    Server { section, name, address, login }
}

fn login(reader: &mut Reader<'_>, section: usize) -> Option<Login> {
    let scope = ExpansionScope::new(section, &[]);
    let username = reader.text(&scope, &options::USERNAME).ok();
    let password = reader.text(&scope, &options::PASSWORD).ok();
    match (username?, password?) {
        (Some(username), Some(password)) => Some(Login { username: username.text, password: password.text }),
        (None, None) => None,
        (username, _) => {
            let name = reader.section_name(section);
            let original = format!(
                "Section [{name}] contains incomplete authentication: If a username or a password is specified, both \
                 the username and password must be specified"
            );
            let (given, missing) = if username.is_some() { ("username", "password") } else { ("password", "username") };
            reader.refuse_section(&scope, Some(given), &format!("{given} needs a key {missing}"), original);
            None
        }
    }
}

/// A value that must be there; the original says that a section has no `called` value.
fn required(reader: &mut Reader<'_>, scope: &ExpansionScope<'_>, option: &Opt) -> Option<Text> {
    let value = reader.text(scope, option).ok()?;
    if value.is_none() {
        let (name, key) = (reader.section_name(scope.section), option.key);
        let original = format!("section [{name}] has no {key} value");
        reader.refuse_section(scope, None, &format!("needs a key {key}"), original);
    }
    value
}

fn inet_server(reader: &mut Reader<'_>, section: usize) -> Option<Server> {
    let scope = ExpansionScope::new(section, &[]);
    let login = login(reader, section);
    let value = required(reader, &scope, &options::PORT)?;
    match values::inet_address(&value.text) {
        Ok((host, port)) => Some(server(reader, section, Address::Inet { host, port }, login)),
        Err(reason) => {
            reader.refuse(&scope, &options::PORT, &value, reason);
            None
        }
    }
}

fn unix_server(reader: &mut Reader<'_>, section: usize) -> Option<Server> {
    let here = reader.here.clone();
    let words = [("here", Value::Text(&here))];
    let scope = ExpansionScope::new(section, &[]);
    let file = required(reader, &ExpansionScope::new(section, &words), &options::FILE);
    let login = login(reader, section);
    let owner = |text: &str, world: &dyn World| {
        values::owner(text, world).ok_or_else(|| format!("Invalid sockchown value {text}"))
    };
    let chown = reader.typed(&scope, &options::CHOWN, owner);
    let chmod = reader.typed(&scope, &options::CHMOD, |text, _| {
        values::octal(text).map_err(|_| format!("Invalid chmod value {text}"))
    });
    let file = paths::normalized(muster_supervisord::python::strip(&file?.text), reader.world);
    let address = Address::Unix { file, chmod: chmod.unwrap_or_default(), chown };
    Some(server(reader, section, address, login))
}
