//! Directories of s6-overlay: version 3 (`s6-rc.d`), version 2 (`services.d`, `cont-init.d`), and plain `NAME/run`.
//!
//! `tree` finds the services in the files, `script` reads their first lines, and this file makes tables of them.

mod script;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{Place, Report, Verdict};
use crate::template::{literal, valid_name};
use crate::toml::{self, Table};
use crate::{Converted, Mistake};
use tree::{Kind, Service, Services};

/// The variable that says what a failed script means.
const STAGE_TWO: &str = "S6_BEHAVIOUR_IF_STAGE2_FAILS";

/// The default of each grace time in milliseconds.
const GRACE: u64 = 3000;

/// The longest time in milliseconds: ten years.
const LONGEST: u64 = 10 * 365 * 86_400 * 1000;

/// The files of a directory.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The directory's path, as messages show it.
    pub root: String,
    /// Its files by their paths below it.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Converts a directory. The container's variables `S6_…` say more about it.
pub fn convert(tree: &Tree, variables: &dyn Fn(&str) -> Option<String>) -> Result<Converted, Vec<Mistake>> {
    let services = Services::of(tree);
    if services.services.is_empty() && services.init.is_empty() {
        let message = "has no service: expected s6-rc.d/NAME, services.d/NAME/run or NAME/run".to_owned();
        return Err(vec![Mistake { file: tree.root.clone(), line: 0, message }]);
    }
    let mut conversion =
        Conversion { tree, services: &services, variables, report: Report::default(), names: BTreeMap::new() };
    Ok(conversion.run())
}

struct Conversion<'t> {
    tree: &'t Tree,
    services: &'t Services,
    variables: &'t dyn Fn(&str) -> Option<String>,
    report: Report,
    /// The program's name of each service.
    names: BTreeMap<String, String>,
}

impl Conversion<'_> {
    fn run(&mut self) -> Converted {
        let mut taken = BTreeSet::new();
        for name in self.services.services.keys() {
            let valid = valid_name(name);
            let free = (1..).map(|number| if number == 1 { valid.clone() } else { format!("{valid}-{number}") });
            let free = free.into_iter().find(|name| taken.insert(name.clone())).unwrap_or(valid);
            self.names.insert(name.clone(), free);
        }
        let mut tables = self.init(&mut taken);
        let init = tables.last().map(|table| table.header.trim_start_matches("program.").to_owned());
        let started = self.services.started();
        let loggers = self.services.loggers();
        for (name, service) in &self.services.services {
            let is_program = matches!(service.kind, Kind::Longrun | Kind::Oneshot);
            if is_program && !loggers.contains_key(name) {
                tables.push(self.service(name, service, &started, init.as_deref(), &loggers));
            }
        }
        let budget = self.budget();
        self.always();
        let mut toml = String::new();
        toml::comment("# Converted from s6-overlay services by musterd convert.", &mut toml);
        let mut musterd = Table::new("musterd");
        musterd.set("exit_when_done", "false");
        if let Some(budget) = budget {
            musterd.set("shutdown_timeout", milliseconds(budget));
        }
        musterd.write(&mut toml);
        let mut defaults = Table::new("defaults");
        defaults.set("restart", "\"always\"");
        defaults.set("startretries", "\"unlimited\"");
        defaults.set("backoff", "{ delay = \"1s\", factor = 1 }");
        defaults.write(&mut toml);
        tables.iter().for_each(|table| table.write(&mut toml));
        self.report.sort();
        Converted { toml, programs: tables.len(), report: std::mem::take(&mut self.report) }
    }

    fn place(&self, path: &str) -> Place {
        let root = self.tree.root.trim_end_matches('/');
        Place::new(&if path.is_empty() { root.to_owned() } else { format!("{root}/{path}") }, 1)
    }

    fn line(&mut self, verdict: Verdict, path: &str, subject: &str, text: (&str, &str, &str)) {
        let place = self.place(path);
        self.report.add(verdict, &place, subject, text);
    }

    /// `cont-init.d`: oneshots, each after the one before it.
    fn init(&mut self, taken: &mut BTreeSet<String>) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        let mut before: Option<String> = None;
        for path in &self.services.init {
            let file = path.rsplit('/').next().unwrap_or_default();
            let valid = format!("init-{}", valid_name(file).trim_end_matches(".sh"));
            let free = (1..).map(|number| if number == 1 { valid.clone() } else { format!("{valid}-{number}") });
            let name = free.into_iter().find(|name| taken.insert(name.clone())).unwrap_or(valid);
            let mut table = Table::new(format!("program.{}", toml::key(&name)));
            self.script(path, &name, &mut table);
            table.set("type", "\"oneshot\"");
            table.set("restart", "\"no\"");
            self.stage_two(&mut table);
            if let Some(before) = before.replace(name) {
                table.set("depends_on", format!("{{ {} = \"completed\" }}", toml::key(&before)));
            }
            tables.push(table);
        }
        for path in &self.services.unsupported {
            let text = ("ran before or after all services", "left out", "write a oneshot, or do it in the image");
            self.line(Verdict::Check, path, "", text);
        }
        tables
    }

    /// Adds the command of a script, and what its first line says about the environment.
    fn script(&mut self, path: &str, name: &str, table: &mut Table) {
        let text = self.tree.files.get(path).map(Vec::as_slice).unwrap_or_default();
        let script = script::Script::of(text);
        table.set("command", self.words_of(&script, path));
        if !script.keeps_environment {
            self.clean_environment(path, name, table);
        }
        if script.is_execline {
            let text =
                ("a script of execline", "the same script", "keep execline in the image, or write a shell script");
            self.line(Verdict::Check, path, name, text);
        }
    }

    /// The command that executes a script.
    fn words_of(&self, script: &script::Script, path: &str) -> String {
        let absolute = self.services.installed(self.tree, path);
        toml::list(script.interpreter.iter().chain([&absolute]).map(|word| toml::text(&literal(word))))
    }

    /// Without with-contenv a script does not have the container's variables, unless all scripts have them.
    fn clean_environment(&mut self, path: &str, program: &str, table: &mut Table) {
        if (self.variables)("S6_KEEP_ENV").is_some_and(|keep| keep != "0") {
            return;
        }
        table.set("clean_environment", "true");
        let text = (
            "no with-contenv, so it ran without the container's variables",
            "clean_environment = true",
            "remove it if S6_KEEP_ENV is set in the container",
        );
        self.line(Verdict::Same, path, program, text);
    }

    fn service(
        &mut self,
        name: &str,
        service: &Service,
        started: &BTreeSet<String>,
        init: Option<&str>,
        loggers: &BTreeMap<String, String>,
    ) -> Table {
        let program = self.names.get(name).cloned().unwrap_or_else(|| valid_name(name));
        let mut table = Table::new(format!("program.{}", toml::key(&program)));
        match service.kind {
            Kind::Oneshot => self.oneshot(service, &program, &mut table),
            _ => self.script(&service.file("run"), &program, &mut table),
        }
        if !started.contains(name) {
            table.set("autostart", "false");
        }
        self.dependencies(service, &program, init, loggers, &mut table);
        if let Some(descriptor) = self.number(service, "notification-fd", &program) {
            match descriptor {
                3..=1023 => table.set("ready", format!("{{ fd = {descriptor} }}")),
                _ => {
                    let text = ("a notification-fd out of range", "left out", "choose 3 to 1023");
                    self.line(Verdict::Lost, &service.file("notification-fd"), &program, text);
                }
            }
        }
        if let Some(up) = self.number(service, "timeout-up", &program).filter(|up| *up > 0) {
            if table.value("ready").is_some() {
                table.set("start_timeout", milliseconds(up));
            } else {
                let text = ("a limit for its start", "left out", "a start without ready has no limit");
                self.line(Verdict::Lost, &service.file("timeout-up"), &program, text);
            }
        }
        self.stopping(service, &program, &mut table);
        self.finish(service, &program, &mut table);
        self.logging(name, service, &program, loggers, &mut table);
        if service.has("max-death-tally") {
            let text = ("gave up after some deaths", "restarted without limit", "write restart_limit");
            self.line(Verdict::Check, &service.file("max-death-tally"), &program, text);
        }
        table
    }

    fn oneshot(&mut self, service: &Service, program: &str, table: &mut Table) {
        let path = service.file("up");
        let text = self.tree.files.get(&path).map(Vec::as_slice).unwrap_or_default();
        let words = script::command_line(text);
        let has_variables = script::has_contenv(&words.words);
        let words = script::CommandLine { words: words.words[usize::from(has_variables)..].to_vec(), ..words };
        match words.words.as_slice() {
            [only] if !has_variables && self.services.find(self.tree, only).is_some() => {
                let script = self.services.find(self.tree, only).unwrap_or_default();
                self.script(&script, program, table);
            }
            [] => table.set("command", "[\"true\"]"),
            words => {
                table.set("command", toml::list(words.iter().map(|word| toml::text(&literal(word)))));
                if !has_variables {
                    self.clean_environment(&path, program, table);
                }
            }
        }
        if words.is_odd {
            let text =
                ("an execline script of several commands or blocks", "its words as one command", "write a script");
            self.line(Verdict::Check, &path, program, text);
        }
        table.set("type", "\"oneshot\"");
        table.set("restart", "\"no\"");
        self.stage_two(table);
        if service.has("down") {
            let text = ("a command that undid the oneshot at the end", "left out", "write a program that stops last");
            self.line(Verdict::Lost, &service.file("down"), program, text);
        }
    }

    fn dependencies(
        &mut self,
        service: &Service,
        program: &str,
        init: Option<&str>,
        loggers: &BTreeMap<String, String>,
        table: &mut Table,
    ) {
        let mut found: BTreeMap<String, &str> = BTreeMap::new();
        if let Some(init) = init {
            found.insert(init.to_owned(), "completed");
        }
        for name in &service.dependencies {
            for dependency in self.services.flat(name) {
                // A logger is not a program of its own.
                let dependency = loggers.get(&dependency).cloned().unwrap_or(dependency);
                if loggers.contains_key(&dependency) {
                    continue;
                }
                match self.services.services.get(&dependency) {
                    Some(other) => {
                        let condition = match other.kind {
                            Kind::Oneshot => "completed",
                            _ if other.has("notification-fd") => "ready",
                            _ => "started",
                        };
                        let known = self.names.get(&dependency).cloned().unwrap_or(dependency);
                        found.insert(toml::key(&known), condition);
                    }
                    None if dependency == "base" => {}
                    None => {
                        let was = format!("depended on {dependency}, which is not here");
                        let text = (&*was, "left out", "convert its directory too");
                        self.line(Verdict::Check, &service.file("type"), program, text);
                    }
                }
            }
        }
        found.remove(&toml::key(program));
        if !found.is_empty() {
            let pairs: Vec<String> =
                found.iter().map(|(name, condition)| format!("{name} = \"{condition}\"")).collect();
            table.set("depends_on", format!("{{ {} }}", pairs.join(", ")));
        }
    }

    fn stopping(&mut self, service: &Service, program: &str, table: &mut Table) {
        if let Some(signal) = self.word(service, "down-signal") {
            let name = signal.trim_start_matches("SIG").to_ascii_uppercase();
            let is_number = name.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
            let is_name = name.parse::<muster_spec::Signal>().is_ok();
            match (is_number, is_name) {
                (true, _) => table.set("stopsignal", name),
                (false, true) if name != "TERM" => table.set("stopsignal", toml::text(&name)),
                (false, true) => {}
                _ => {
                    let text = ("a down-signal that is no signal", "TERM", "write stopsignal");
                    self.line(Verdict::Check, &service.file("down-signal"), program, text);
                }
            }
        }
        match self.number(service, "timeout-kill", program) {
            Some(kill @ 1..) => table.set("stopwaitsecs", milliseconds(kill)),
            Some(_) | None if service.kind == Kind::Longrun => {
                let text = (
                    "never killed, except at the end of the container",
                    "killed 10 s after its stop signal",
                    "write stopwaitsecs",
                );
                let path = if service.has("timeout-kill") { "timeout-kill" } else { "run" };
                self.line(Verdict::Differs, &service.file(path), program, text);
            }
            _ => {}
        }
    }

    fn finish(&mut self, service: &Service, program: &str, table: &mut Table) {
        let path = service.file("finish");
        let Some(text) = self.tree.files.get(&path) else { return };
        let script = script::Script::of(text);
        let text = String::from_utf8_lossy(text);
        let halts = ["/halt", "s6-svscanctl", "container-results/exitcode", "env-stage3", "kill -TERM 1", "kill 1"];
        if halts.iter().any(|word| text.contains(word)) {
            table.set("essential", "true");
            table.set("restart", "\"no\"");
            let text = ("stopped the container when it ended", "essential = true, restart = \"no\"", "");
            self.line(Verdict::Same, &path, program, text);
        } else {
            table.set("post_stop", self.words_of(&script, &path));
            self.line(Verdict::Same, &path, program, ("ran finish after each end", "post_stop", ""));
            if ["$1", "$2", "${1", "${2", "$@", "elgetpositionals"].iter().any(|word| text.contains(word)) {
                let text = ("finish had arguments", "it has none", "read MUSTER_EXIT_CODE and MUSTER_EXIT_SIGNAL");
                self.line(Verdict::Check, &path, program, text);
            }
            if text.contains("exit 125") || text.contains("s6-permafailon") {
                let advice = "write the statuses of the program: on_exit = { 78 = \"fatal\" }";
                let text = ("finish could forbid the next start (exit 125)", "post_stop cannot", advice);
                self.line(Verdict::Check, &path, program, text);
            }
        }
    }

    fn logging(
        &mut self,
        name: &str,
        service: &Service,
        program: &str,
        loggers: &BTreeMap<String, String>,
        table: &mut Table,
    ) {
        let own = service.file("log/run");
        let piped = loggers.iter().find(|(_, producer)| *producer == name).map(|(logger, _)| logger);
        let logger = piped.and_then(|logger| self.services.services.get(logger)).map(|logger| logger.file("run"));
        let Some(path) = logger.or_else(|| self.tree.files.contains_key(&own).then_some(own)) else { return };
        let text = self.tree.files.get(&path).map(Vec::as_slice).unwrap_or_default();
        match script::log_directory(text) {
            Some(directory) => {
                let file = format!("{}/current", literal(directory.trim_end_matches('/')));
                table.set("logs.stdout", toml::text(&file));
                let text = (
                    "a logger wrote a directory",
                    "musterd writes the file, and rotates it",
                    "see max_size and max_files",
                );
                self.line(Verdict::Differs, &path, program, text);
            }
            None => {
                let text = ("a logger of its own", "output goes to the console", "write logs.stdout");
                self.line(Verdict::Check, &path, program, text);
            }
        }
    }

    /// The first word of a file with one.
    fn word(&self, service: &Service, name: &str) -> Option<String> {
        let text = self.tree.files.get(&service.file(name))?;
        let text = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        text.split_whitespace().next().map(str::to_owned)
    }

    fn number(&mut self, service: &Service, name: &str, program: &str) -> Option<u64> {
        let word = self.word(service, name)?;
        let number = word.parse::<u64>().ok().filter(|number| *number <= LONGEST);
        if number.is_none() {
            let text =
                ("a file that should hold a number", "left out", "write a number of milliseconds or a descriptor");
            self.line(Verdict::Check, &service.file(name), program, text);
        }
        number
    }

    fn always(&mut self) {
        let text = ("restarted one second after its end", "restart = \"always\", delay = \"1s\"", "");
        self.line(Verdict::Same, "", "", text);
        if (self.variables)(STAGE_TWO).is_none() {
            let text = (
                "S6_BEHAVIOUR_IF_STAGE2_FAILS decided about failed scripts",
                "programs that depend on them do not start",
                "convert with it set if the container sets it",
            );
            self.line(Verdict::Check, "", "", text);
        }
        let text = (
            "the container's CMD ran after the services",
            "there is no CMD",
            "write [program.cmd] with essential = true",
        );
        self.line(Verdict::Check, "", "", text);
    }

    /// What a failed oneshot means for the container: with 2 its end.
    fn stage_two(&self, table: &mut Table) {
        if (self.variables)(STAGE_TWO).is_some_and(|behaviour| behaviour == "2") {
            table.set("essential", "\"on-failure\"");
        }
    }

    /// The milliseconds for stopping everything: those for services, and for what is left of them.
    fn budget(&mut self) -> Option<u64> {
        let names = ["S6_SERVICES_GRACETIME", "S6_KILL_GRACETIME"];
        let given = names.map(|name| (self.variables)(name));
        if given.iter().all(Option::is_none) {
            let text = (
                "S6_KILL_GRACETIME and S6_SERVICES_GRACETIME limited the stop, to 3 s each",
                "shutdown_timeout, 9 s",
                "convert with them set if the container sets them",
            );
            self.line(Verdict::Check, "", "", text);
            return None;
        }
        let times = given.map(|given| given.map_or(Some(GRACE), |given| given.trim().parse().ok()));
        let [Some(services @ 1..=LONGEST), Some(kill @ 0..=LONGEST)] = times else {
            let text =
                ("a grace time without a limit, or that is no number", "9 s", "write shutdown_timeout in [musterd]");
            self.line(Verdict::Check, "", "", text);
            return None;
        };
        let text =
            ("S6_KILL_GRACETIME and S6_SERVICES_GRACETIME limited the stop", "shutdown_timeout is their sum", "");
        self.line(Verdict::Same, "", "", text);
        Some(services + kill)
    }
}

/// A duration as text.
fn milliseconds(time: u64) -> String {
    if time.is_multiple_of(1000) { (time / 1000).to_string() } else { format!("\"{time}ms\"") }
}
