//! `[eventlistener:x]`: the idioms that have a better counterpart, and the keys of all others.

use std::collections::{BTreeMap, HashMap, HashSet};

use muster_import::supervisord::{Address, Group, GroupKind, Process, split_command};
use muster_spec::ListenerSpec;

use super::draft::Draft;
use super::written::Program;
use super::{Conversion, Members};
use crate::report::Verdict;
use crate::template::valid_name;
use crate::toml::{self, Table};

/// The most events that a pool buffers.
const MOST_BUFFERED: i64 = 100_000;

/// The purpose of a listener, by its command and its events.
pub(super) enum Idiom {
    /// It ends the container when a program fails, or also when one ends well.
    StopsAll { only_failures: bool },
    /// It puts names before lines of output.
    Prefixes,
    /// superlance's httpok: it restarts a program whose address fails.
    HttpOk(Vec<HttpOk>),
}

/// A check of httpok.
pub(super) struct HttpOk {
    program: String,
    url: String,
    period: u32,
    timeout: String,
}

impl<'c> Conversion<'c> {
    /// The listeners that are no programs in TOML, by their sections.
    pub(super) fn idioms(&self) -> BTreeMap<usize, (&'c Group, Idiom)> {
        let configuration = self.configuration;
        let sections = configuration.sections.iter().filter_map(|section| section.name.split_once(':'));
        let programs: HashSet<String> =
            sections.filter(|(kind, _)| *kind == "program").map(|(_, name)| valid_name(name.trim())).collect();
        let mut idioms = BTreeMap::new();
        for group in &configuration.groups {
            let GroupKind::Listener { events, .. } = &group.kind else { continue };
            let found = group.processes.first().and_then(|process| idiom(process, events));
            let has_programs = match &found {
                Some(Idiom::HttpOk(checks)) => {
                    checks.iter().all(|check| programs.contains(&valid_name(&check.program)))
                }
                _ => true,
            };
            if let Some(idiom) = found.filter(|_| has_programs) {
                idioms.insert(group.section, (group, idiom));
            }
        }
        idioms
    }

    /// Puts the idioms into the programs that they are about.
    pub(super) fn listeners(&mut self, idioms: BTreeMap<usize, (&'c Group, Idiom)>, programs: &mut [Program]) {
        let configuration = self.configuration;
        let by_name: HashMap<String, usize> =
            programs.iter().enumerate().map(|(at, program)| (program.name.clone(), at)).collect();
        let (mut is_prefixed, mut is_essential) = (false, false);
        let stops = |idiom: &Idiom| matches!(idiom, Idiom::StopsAll { only_failures: false });
        let any_end_stops = idioms.values().any(|(_, idiom)| stops(idiom));
        for (at, (group, idiom)) in idioms {
            self.lead.extend(configuration.sections[at].comments.above.iter().cloned());
            match idiom {
                Idiom::StopsAll { .. } => {
                    let others = if std::mem::replace(&mut is_essential, true) { &mut [] } else { &mut *programs };
                    self.essential(group, !any_end_stops, others);
                }
                Idiom::Prefixes => {
                    let is_first = !std::mem::replace(&mut is_prefixed, true);
                    for program in programs.iter_mut().filter(|_| is_first) {
                        super::draft::take(&mut program.table, "logs.format");
                    }
                    let text = ("put names before lines", "logs.format = \"text\", the default, does", "");
                    self.section_line(Verdict::Same, group.section, text);
                }
                Idiom::HttpOk(checks) => self.http_ok(group, checks, &by_name, programs),
            }
        }
    }

    /// The keys of a listener; nothing for other programs.
    pub(super) fn listener(&mut self, section: usize, members: &Members<'_>, draft: &mut Draft<'_>) {
        let GroupKind::Listener { buffer_size, events, .. } = &members.group.kind else { return };
        draft.set("stdin", "\"supervisor-events\"");
        draft.set_from("events", toml::list(events.iter().map(|event| toml::text(event))), "events");
        let size = (*buffer_size).clamp(1, MOST_BUFFERED);
        if usize::try_from(size) != Ok(ListenerSpec::BUFFER_SIZE) {
            draft.set_from("event_buffer_size", size.to_string(), "buffer_size");
        }
        if size != *buffer_size {
            let text = (format!("buffer_size={buffer_size}"), format!("event_buffer_size = {size}, the most"), "");
            self.key_line_at(Verdict::Differs, section, "buffer_size", text);
        }
        let text = ("an event listener", "stdin = \"supervisor-events\" in the same protocol", "");
        self.section_line(Verdict::Same, section, text);
    }

    /// The address of XML-RPC for a client among the programs, if it is that of the socket in `[http]`.
    pub(super) fn server_url(&self) -> Option<&'c str> {
        let configuration = self.configuration;
        let is_socket = |address: &&Address| matches!(address, Address::Unix { .. });
        let Address::Unix { file, .. } = configuration.servers.iter().map(|server| &server.address).find(is_socket)?
        else {
            return None;
        };
        let url = configuration.server_url.as_deref()?;
        let is_ours = url.strip_prefix("unix://") == Some(file) && file.starts_with('/');
        is_ours.then_some(url)
    }

    fn essential(&mut self, group: &Group, only_failures: bool, programs: &mut [Program]) {
        let value = if only_failures { "\"on-failure\"" } else { "true" };
        for program in
            programs.iter_mut().filter(|program| program.autostart && program.table.value("essential").is_none())
        {
            program.table.set("essential", value);
        }
        let was = match only_failures {
            true => "stopped supervisord when a program became FATAL",
            false => "stopped supervisord when a program ended",
        };
        let now = format!("essential = {value} for every program that starts with the daemon");
        let advice = "remove it where the end of a program is harmless";
        self.section_line(Verdict::Differs, group.section, (was, now, advice));
    }

    fn http_ok(
        &mut self,
        group: &Group,
        checks: Vec<HttpOk>,
        by_name: &HashMap<String, usize>,
        programs: &mut [Program],
    ) {
        for check in checks {
            let found = by_name.get(&valid_name(&check.program)).copied();
            let Some(program) = found.and_then(|at| programs.get_mut(at)) else {
                let text = (format!("checked {}, which is left out", check.program), "left out", "");
                self.section_line(Verdict::Lost, group.section, text);
                continue;
            };
            let mut table = Table::new(format!("program.{}.probes.http", toml::key(&program.name)));
            table.set("http", toml::text(&check.url));
            table.set("period", check.period.to_string());
            table.set("timeout", toml::text(&check.timeout));
            table.set("failure_threshold", "1");
            program.probes.retain(|probe| probe.header != table.header);
            program.probes.push(table);
            let text = (
                format!("restarted {} when its address failed", check.program),
                "a liveness probe does",
                "see failure_threshold to tolerate single failures",
            );
            self.section_line(Verdict::Same, group.section, text);
        }
    }
}

fn idiom(process: &Process, events: &[String]) -> Option<Idiom> {
    let command = process.command.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| command.contains(word));
    let has_event = |begin: &str| events.iter().any(|event| event.starts_with(begin));
    if command.contains("httpok") {
        let checks = http_ok(&process.command, events);
        return (!checks.is_empty()).then_some(Idiom::HttpOk(checks));
    }
    if has(&["memmon", "crashmail", "fatalmail", "crashsms"]) {
        return None;
    }
    let prefixers = ["supervisor_stdout", "supervisor-stdout", "supervisor_logging", "prefix"];
    if has_event("PROCESS_LOG") && has(&prefixers) {
        return Some(Idiom::Prefixes);
    }
    let is_about_ends = has_event("PROCESS_STATE");
    let kills = has(&["kill", "shutdown", "stop", "quit", "terminate", "exit", "die", "fatal", "watchdog"]);
    if is_about_ends && kills && !has(&["mail", "slack", "notify", "restart"]) {
        let only_failures = events.iter().all(|event| event == "PROCESS_STATE_FATAL");
        return Some(Idiom::StopsAll { only_failures });
    }
    None
}

/// The checks of a command line of httpok; none if it has options without a counterpart.
fn http_ok(command: &str, events: &[String]) -> Vec<HttpOk> {
    let period = match events.iter().find_map(|event| event.strip_prefix("TICK_")) {
        Some("5") => 5,
        Some("3600") => 3600,
        _ => 60,
    };
    let mut words = split_command(command).unwrap_or_default().into_iter();
    let (mut programs, mut url, mut timeout) = (Vec::new(), None, "10s".to_owned());
    while let Some(word) = words.next() {
        let (option, attached) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        let mut value = || attached.clone().or_else(|| words.next()).unwrap_or_default();
        match option.as_str() {
            "-p" | "--program" => programs.push(value()),
            "-t" | "--timeout" => match value().parse::<u32>() {
                Ok(seconds) => timeout = format!("{}s", seconds.max(1)),
                Err(_) => return Vec::new(),
            },
            "-c" | "--code" | "-b" | "--body" | "-B" | "--restart-string" | "-n" | "--name" | "-g" | "--gcore" => {
                _ = value()
            }
            word if word.starts_with("http://") => url = Some(word.to_owned()),
            _ => {}
        }
    }
    let program = |name: &String| name.rsplit(':').next().unwrap_or_default().to_owned();
    match url {
        Some(url) => programs
            .iter()
            .map(|name| HttpOk { program: program(name), url: url.clone(), period, timeout: timeout.clone() })
            .collect(),
        None => Vec::new(),
    }
}
