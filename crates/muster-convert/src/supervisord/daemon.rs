//! `[supervisord]` and its servers to `[musterd]` and `[http]`, and what is always different.

use std::collections::BTreeMap;

use muster_import::supervisord::{Address, Entry, Kind, Level};

use super::draft::Draft;
use super::program::symbolic_pairs;
use super::written::Program;
use super::{Conversion, shared};
use crate::report::{Place, Verdict};
use crate::template::{self, Expected, Names, Settled};
use crate::toml::{self, Table};

/// The factory of the interface that every supervisord has.
const MAIN_INTERFACE: &str = "supervisor.rpcinterface:make_main_rpcinterface";

/// The default of `shutdown_timeout` in seconds.
const BUDGET: i64 = 9;

impl<'c> Conversion<'c> {
    pub(super) fn musterd(&mut self) -> Table {
        let configuration = self.configuration;
        let position = configuration.sections.iter().position(|section| section.name == "supervisord");
        let Some(section) = position else { return Table::new("musterd") };
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
        // Comments belong to the section even if no key of it is written.
        draft.set("exit_when_done", "false");
        let has_key = |key: &str| configuration.sections[section].entry(key).is_some();
        if has_key("pidfile") && settings.pidfile != "/dev/null" {
            let pidfile = self.path(section, "pidfile", &settings.pidfile);
            draft.set_from("pidfile", pidfile, "pidfile");
        }
        if !settings.nodaemon && has_key("umask") {
            match u32::try_from(settings.umask).ok().filter(|umask| *umask <= 0o777) {
                Some(0o22) => {}
                Some(umask) => draft.set_from("umask", format!("\"{umask:03o}\""), "umask"),
                None => self.key_line_at(Verdict::Lost, section, "umask", ("a umask out of range", "left out", "")),
            }
        }
        if let Some(directory) = settings.directory.as_deref().filter(|_| !settings.nodaemon) {
            let directory = self.path(section, "directory", directory);
            draft.set_from("directory", directory, "directory");
        }
        let pairs = self.global_environment(section);
        if !pairs.is_empty() {
            let pairs: Vec<(String, String)> = pairs;
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
        if !is_named || is_standard || settings.logfile == "syslog" {
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
            draft.set_from("logfile_max_size", size.to_string(), "logfile_maxbytes");
        }
        if count != 10 {
            draft.set_from("logfile_max_files", count.to_string(), "logfile_backups");
        }
    }

    /// A path of the daemon's, in quotes.
    fn path(&mut self, section: usize, key: &str, value: &str) -> String {
        let entry = self.configuration.sections[section].entry(key);
        let own = BTreeMap::new();
        let names = Names { program: None, group: None, own: &own };
        let expected = [Expected { number: 0, value }];
        let settled = self.settle(entry, names, false, &expected, template::settle);
        // A relative path became absolute; that is no loss of references.
        if !matches!(settled, Settled::Fixed(_)) || entry.is_some_and(|entry| entry.written().contains("%(")) {
            self.report_settled(&settled, entry, section);
        }
        match settled {
            Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text) => toml::text(&text),
            Settled::Apart => toml::text(value),
        }
    }

    fn global_environment(&mut self, section: usize) -> Vec<(String, String)> {
        let configuration = self.configuration;
        let entry = configuration.sections[section].entry("environment");
        let own = BTreeMap::new();
        let names = Names { program: None, group: None, own: &own };
        let parts = entry.and_then(|entry| template::parse(entry.written(), names));
        let symbolic = parts.map(|parts| symbolic_pairs(&template::expanded_again(parts)).0).unwrap_or_default();
        let mut pairs = Vec::new();
        for (name, value) in configuration.supervisord.environment.iter() {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let text = (format!("a variable named {name:?}"), "left out", "");
                self.key_line_at(Verdict::Lost, section, "environment", text);
                continue;
            }
            let expected = [Expected { number: 0, value }];
            let settled = template::settle(symbolic.get(name).map(Vec::as_slice), &expected, &self.scope(1));
            self.report_settled(&settled, entry.filter(|entry| entry.written().contains("%(")), section);
            if let Settled::Exact(text) | Settled::Near(text) | Settled::Fixed(text) = settled {
                pairs.push((name.to_owned(), toml::text(&text)));
            }
        }
        pairs
    }

    /// Keys that have no counterpart.
    fn without_counterpart(&mut self, section: usize) {
        let settings = &self.configuration.supervisord;
        let mut lines: Vec<(Verdict, &str, String, &str, &str)> = Vec::new();
        if settings.strip_ansi {
            let now = "output is passed on unchanged";
            lines.push((Verdict::Lost, "strip_ansi", "escape sequences were removed from output".into(), now, ""));
        }
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
                        "the same, and an HTTP API for musterctl",
                        "use musterctl -s SOCKET",
                    );
                    self.section_line(Verdict::Differs, server.section, text);
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
        let has_auto_user = programs.iter().any(|program| program.table.value("user").is_some());
        let mut lines: Vec<(Verdict, &str, &str, &str)> = vec![
            (
                Verdict::Differs,
                "processes that a program left behind kept running",
                "they are stopped when the program ends or is stopped",
                "run programs in the foreground",
            ),
            (Verdict::Differs, "SIGPIPE and SIGXFSZ were ignored", "they have their default action", ""),
            (
                Verdict::Differs,
                "standard input was an open pipe",
                "it is /dev/null",
                "write stdin = \"pipe\" for a program that reads it",
            ),
            (
                Verdict::Differs,
                "programs of equal priority stopped one group after another",
                "they stop at the same time",
                "",
            ),
            (
                Verdict::Same,
                "the daemon never exited by itself",
                "exit_when_done = false",
                "remove it if the container should exit with its programs",
            ),
        ];
        if has_auto_user {
            lines.push((
                Verdict::Differs,
                "HOME, USER and LOGNAME stayed the daemon's for a program with a user",
                "they are those of its user",
                "set them in environment to keep them",
            ));
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

    /// The time that stopping everything may take.
    pub(super) fn budget(&mut self, programs: &[Program], musterd: &mut Table) {
        let needed = shared::stop_seconds(programs);
        let place = Place::new(&self.joined.main_name(), 1);
        if needed > BUDGET {
            musterd.set("shutdown_timeout", needed.to_string());
            let text = (
                "a shutdown took as long as the programs needed".to_owned(),
                format!("at most {needed} s"),
                format!("docker stop kills after 10 s: docker stop -t {}", needed + 1),
            );
            self.report.add(Verdict::Check, &place, "", text);
        } else {
            let text = (
                "a shutdown took as long as the programs needed",
                "at most 9 s",
                "write shutdown_timeout in [musterd] for more",
            );
            self.report.add(Verdict::Differs, &place, "", text);
        }
    }
}
