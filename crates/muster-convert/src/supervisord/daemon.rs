//! `[supervisord]` and its servers to `[musterd]` and `[http]`, and what is always different.

use std::collections::BTreeMap;

use muster_import::supervisord::{Address, Entry, Kind, Level};

use super::draft::Draft;
use super::logs::size_text;
use super::written::Program;
use super::{Conversion, shared};
use crate::report::{Place, Verdict};
use crate::template::{self, Expected, Names, Settled, literal};
use crate::toml::{self, Table};

/// The factory of the interface that every supervisord has.
const MAIN_INTERFACE: &str = "supervisor.rpcinterface:make_main_rpcinterface";

/// The seconds for a stop that docker gives, and the default of `stopwaitsecs`.
const STOP_SECONDS: i64 = 10;

/// Differences on purpose, each with the key that undoes it.
const BETTER: [(Verdict, &str, &str, &str); 5] = [
    (
        Verdict::Differs,
        "a stop killed the main process only, unless killasgroup was set",
        "it ends all processes of the program",
        "write stop_kill = \"main\" to keep the others",
    ),
    (
        Verdict::Differs,
        "SIGPIPE and SIGXFSZ were ignored",
        "they have their default action",
        "write ignore_signals = [\"PIPE\", \"XFSZ\"] to ignore them",
    ),
    (
        Verdict::Differs,
        "programs of equal priority stopped one group after another",
        "they stop at the same time",
        "write shutdown = \"serial\" in [musterd] for one after another",
    ),
    (
        Verdict::Differs,
        "the exit code was always 0",
        "exit_status = \"failures\": after a shutdown by one of the programs it is that of the last failure",
        "write exit_status = \"zero\" for 0",
    ),
    (
        Verdict::Differs,
        "a second TERM, INT or QUIT was ignored",
        "second_signal = \"interrupt\": a second INT kills everything",
        "write second_signal = \"ignore\" to ignore it",
    ),
];

/// Keys of `[musterd]` with which it behaves as supervisord does.
const AS_ORIGINAL: [(&str, &str); 4] = [
    ("exit_when_done", "false"),
    ("shutdown_timeout", "\"unlimited\""),
    ("exit_status", "\"failures\""),
    ("second_signal", "\"interrupt\""),
];

impl<'c> Conversion<'c> {
    pub(super) fn musterd(&mut self) -> Table {
        let sections = &self.configuration.sections;
        let section = sections.iter().position(|section| section.name == "supervisord");
        let mut table = section.map_or_else(|| Table::new("musterd"), |section| self.settings(section));
        AS_ORIGINAL.into_iter().for_each(|(name, value)| table.set(name, value));
        let mut processes = self.configuration.groups.iter().flat_map(|group| &group.processes);
        let is_own = table.value("logfile") == Some("\"syslog\"");
        if is_own || processes.any(|process| process.stdout.syslog || process.stderr.syslog) {
            table.set("syslog_facility", "\"user\"");
            let text = (
                "messages to syslog came from supervisord, with the name of the process before the text",
                "they come from the program itself, with its pid",
                "change filters of the receiver that look for supervisord",
            );
            let place = Place::new(&self.joined.main_name(), 1);
            self.report.add(Verdict::Differs, &place, "", text);
        }
        table
    }

    /// The settings of `[supervisord]`.
    fn settings(&mut self, section: usize) -> Table {
        let configuration = self.configuration;
        let mut draft = Draft::new("musterd".to_owned(), &configuration.sections[section]);
        let settings = &configuration.supervisord;
        let level = match settings.loglevel {
            Level::Critical | Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace | Level::Blather => "trace",
        };
        if level != "info" {
            draft.set_from("loglevel", toml::text(level), "loglevel");
        }
        self.logfile(section, &mut draft);
        let has_key = |key: &str| configuration.sections[section].entry(key).is_some();
        if has_key("pidfile") && settings.pidfile != "/dev/null" {
            let pidfile = self.path(section, "pidfile", &settings.pidfile);
            draft.set_from("pidfile", pidfile, "pidfile");
        }
        if !settings.nodaemon && has_key("umask") {
            let umask = settings.umask & 0o777;
            if umask != 0o22 {
                draft.set_from("umask", format!("\"{umask:03o}\""), "umask");
            }
            let text = ("a umask for the daemon in the background", "umask", "");
            self.key_line_at(Verdict::Same, section, "umask", text);
        }
        if let Some(directory) = settings.directory.as_deref().filter(|_| !settings.nodaemon) {
            let directory = self.path(section, "directory", directory);
            draft.set_from("directory", directory, "directory");
            let text = ("a directory for the daemon in the background", "directory", "");
            self.key_line_at(Verdict::Same, section, "directory", text);
        }
        let pairs = self.global_environment(section);
        if !pairs.is_empty() {
            let line = pairs.iter().map(|(name, value)| format!("{} = {value}", toml::key(name)));
            draft.set_from("environment", format!("{{ {} }}", line.collect::<Vec<_>>().join(", ")), "environment");
        }
        self.without_counterpart(section);
        draft.finish()
    }

    /// The main log.
    fn logfile(&mut self, section: usize, draft: &mut Draft<'_>) {
        let settings = &self.configuration.supervisord;
        let is_named = self.configuration.sections[section].entry("logfile").is_some();
        let is_standard = ["/dev/", "/proc/"].iter().any(|top| settings.logfile.starts_with(top));
        if is_named && settings.logfile == "syslog" {
            return draft.set_from("logfile", "\"syslog\"", "logfile");
        }
        if !is_named || is_standard {
            let text = (
                format!("its own messages went to {}", settings.logfile),
                "they go to standard error",
                "write logfile = \"/path\" for a file",
            );
            self.key_line_at(Verdict::Differs, section, "logfile", text);
            return;
        }
        let path = self.path(section, "logfile", &settings.logfile);
        draft.set_from("logfile", path, "logfile");
        let (size, count) = (settings.logfile_maxbytes.max(0), settings.logfile_backups.clamp(0, 1000));
        if size != 50 << 20 {
            draft.set_from("logfile_max_size", size_text(size), "logfile_maxbytes");
        }
        if count != 10 {
            draft.set_from("logfile_max_files", count.to_string(), "logfile_backups");
        }
    }

    /// A path of the daemon's, in quotes. The original makes it absolute, and resolves `..`.
    fn path(&mut self, section: usize, key: &str, value: &str) -> String {
        let entry = self.configuration.sections[section].entry(key);
        let relative =
            entry.map(Entry::written).filter(|path| !path.starts_with(['/', '~', '%']) && !path.contains("%("));
        if let Some(path) = relative {
            self.check_relative(section, key, path);
            return toml::text(&literal(path));
        }
        let own = BTreeMap::new();
        let names = Names { program: None, group: None, own: &own };
        let expected = [Expected { number: 0, value }];
        let settled = self.settle(entry, names, false, &expected, template::settle_path);
        self.report_settled(&settled, entry, section);
        match settled {
            Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text) => toml::text(&text),
            Settled::Apart => toml::text(value),
        }
    }

    /// Keys that have no counterpart.
    fn without_counterpart(&mut self, section: usize) {
        let mut lines: Vec<(Verdict, &str, String, &str, &str)> = Vec::new();
        for (key, advice) in [
            ("minfds", "write rlimits = { nofile = N } in [defaults]"),
            ("minprocs", "write rlimits = { nproc = N } in [defaults]"),
        ] {
            let was = format!("{key} raised a limit of the daemon and its programs");
            lines.push((Verdict::Check, key, was, "limits are left as they are", advice));
        }
        for key in ["identifier", "childlogdir", "nocleanup", "silent"] {
            lines.push((Verdict::Same, key, format!("{key} is about supervisord itself"), "not needed", ""));
        }
        let is_set = |key: &str| self.configuration.sections[section].entry(key).is_some();
        let lines: Vec<_> = lines.into_iter().filter(|(_, key, ..)| is_set(key)).collect();
        for (verdict, key, was, now, advice) in lines {
            self.key_line_at(verdict, section, key, (was, now, advice));
        }
        if let Some(user) = self.configuration.supervisord.user.clone().filter(|user| user != "root" && user != "0") {
            let text = (
                format!("supervisord ran as {user}, and so did its programs"),
                "musterd keeps its user, and programs without a user of their own get this one",
                "",
            );
            self.key_line_at(Verdict::Differs, section, "user", text);
        }
    }

    pub(super) fn http(&mut self) -> Table {
        let configuration = self.configuration;
        let mut table = Table::new("http");
        for server in &configuration.servers {
            let has_login = server.login.as_ref().is_some_and(|login| !login.username.is_empty());
            match &server.address {
                Address::Unix { file, chmod, chown } if table.keys.is_empty() => {
                    let mut draft = Draft::new("http".to_owned(), &configuration.sections[server.section]);
                    let path = self.path(server.section, "file", file);
                    draft.set_from("socket", path, "file");
                    let mode = chmod & 0o666;
                    if mode != 0o600 {
                        draft.set_from("mode", format!("\"{mode:04o}\""), "chmod");
                    }
                    if let Some(owner) = chown {
                        let written = configuration.sections[server.section].entry("chown").map(Entry::written);
                        let group = owner.group.map(|group| format!(":{group}")).unwrap_or_default();
                        let named = written.map(str::trim).filter(|text| !text.contains('%'));
                        let owner = named.map_or(format!("{}{group}", owner.user.name), str::to_owned);
                        draft.set_from("owner", toml::text(&owner), "chown");
                    }
                    table = draft.finish();
                    let text = (
                        "XML-RPC for supervisorctl",
                        "XML-RPC and the API of musterctl, on one socket",
                        "use supervisorctl -s unix://SOCKET, or musterctl -s SOCKET",
                    );
                    self.section_line(Verdict::Same, server.section, text);
                }
                Address::Unix { .. } => {
                    let text = ("a second socket", "one socket", "");
                    self.section_line(Verdict::Lost, server.section, text);
                }
                Address::Inet { port, .. } => {
                    let text = (
                        format!("a server on TCP port {port}"),
                        "there is none",
                        "use the socket, or docker exec CONTAINER musterctl",
                    );
                    self.section_line(Verdict::Lost, server.section, text);
                    let comments = &configuration.sections[server.section].comments;
                    self.lead.extend(comments.above.iter().cloned());
                }
            }
            if has_login {
                let text = (
                    "a password",
                    "the socket's mode and owner decide",
                    "write allow_users or readonly_users in [http]",
                );
                self.key_line_at(Verdict::Lost, server.section, "username", text);
            }
        }
        self.plugins();
        table
    }

    fn plugins(&mut self) {
        let configuration = self.configuration;
        for plugin in configuration.plugins.iter().filter(|plugin| plugin.factory != MAIN_INTERFACE) {
            let text = (format!("the Python plugin {}", plugin.factory), "there are no plugins", "");
            self.section_line(Verdict::Lost, plugin.section, text);
        }
        for (at, section) in configuration.sections.iter().enumerate() {
            match Kind::of(&section.name) {
                Some(Kind::ControlPlugin) => {
                    self.section_line(Verdict::Lost, at, ("a plugin of supervisorctl", "there are no plugins", ""));
                }
                Some(Kind::Control | Kind::RpcInterface | Kind::Include) => {
                    self.lead.extend(section.comments.above.iter().cloned());
                }
                _ => {}
            }
        }
    }

    /// Differences that every conversion has.
    pub(super) fn always(&mut self, programs: &[Program], standins: &[String]) {
        let section = self.configuration.sections.iter().find(|section| section.name == "supervisord");
        let place =
            section.map_or_else(|| Place::new(&self.joined.main_name(), 1), |section| self.place(&section.place));
        let has_user = programs.iter().any(|program| program.table.value("user").is_some())
            || self.configuration.supervisord.user.as_deref().is_some_and(|user| !matches!(user, "root" | "0"));
        let mut lines: Vec<(Verdict, &str, &str, &str)> = vec![
            (
                Verdict::Differs,
                "processes that a program left behind kept running",
                "they are stopped when the program ends",
                "write leftovers = \"keep\" for a program that starts others and ends",
            ),
            (
                Verdict::Differs,
                "standard input was an open pipe",
                "it is /dev/null",
                "write stdin = \"pipe\" for a program that reads it",
            ),
            (
                Verdict::Same,
                "the daemon never exited by itself",
                "exit_when_done = false",
                "remove it if the container should exit with its programs",
            ),
        ];
        if !self.is_exact {
            lines.extend(BETTER);
        }
        if has_user {
            lines.push((
                Verdict::Same,
                "HOME, USER and LOGNAME stayed the daemon's for a program with a user",
                "login_environment = false",
                "remove it to set those of the user",
            ));
        }
        if self.configuration.server_url.is_some() {
            let was = "SUPERVISOR_SERVER_URL was set for programs";
            lines.push((Verdict::Differs, was, "it is not set", "set it in environment for a client that reads it"));
        }
        if section.is_none_or(|section| section.entry("pidfile").is_none()) {
            let was = "the daemon wrote supervisord.pid into its working directory";
            lines.push((Verdict::Differs, was, "it writes no pid file", "write pidfile in [musterd] for one"));
        }
        for (verdict, was, now, advice) in lines {
            self.report.add(verdict, &place, "", (was, now, advice));
        }
        if !standins.is_empty() {
            let text = (
                format!("variables that are not set here: {}", standins.join(", ")),
                "written as ${NAME}".to_owned(),
                "they must be set when musterd starts, or have a default: ${NAME:-default}".to_owned(),
            );
            self.report.add(Verdict::Check, &place, "", text);
        }
    }

    /// The time that stopping everything takes at most.
    pub(super) fn budget(&mut self, programs: &[Program], musterd: &Table) {
        let written = musterd.value("shutdown_timeout");
        if written != Some("\"unlimited\"") {
            return;
        }
        let needed = shared::stop_seconds(programs);
        let advice = match needed > STOP_SECONDS {
            true => format!("docker stop kills after 10 s: docker stop -t {}", needed.saturating_add(1)),
            false => "remove it for a limit of 9 s, which docker stop allows".to_owned(),
        };
        let text = ("a shutdown took as long as the programs needed", "shutdown_timeout = \"unlimited\"", advice);
        self.report.add(Verdict::Same, &Place::new(&self.joined.main_name(), 1), "", text);
    }
}
