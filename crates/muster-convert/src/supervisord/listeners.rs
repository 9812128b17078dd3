//! `[eventlistener:x]`: the idioms that have a counterpart.

use std::collections::HashMap;

use muster_import::supervisord::{Group, GroupKind, Process, split_command};

use super::Conversion;
use super::written::Program;
use crate::report::Verdict;
use crate::template::valid_name;
use crate::toml::{self, Table};

/// The purpose of a listener, by its command and its events.
enum Idiom {
    /// It ends the container when a program fails, or also when one ends well.
    StopsAll { only_failures: bool },
    /// It puts names before lines of output.
    Prefixes,
    /// superlance's httpok: it restarts a program whose address fails.
    HttpOk(Vec<HttpOk>),
    /// Anything else.
    Unknown,
}

/// A check of httpok.
struct HttpOk {
    program: String,
    url: String,
    period: u32,
    timeout: String,
}

impl Conversion<'_> {
    pub(super) fn listeners(&mut self, programs: &mut [Program]) {
        let configuration = self.configuration;
        let by_name: HashMap<String, usize> =
            programs.iter().enumerate().map(|(at, program)| (program.name.clone(), at)).collect();
        let (mut is_prefixed, mut is_essential) = (false, false);
        let mut found = Vec::new();
        for group in &configuration.groups {
            let GroupKind::Listener { events, .. } = &group.kind else { continue };
            let Some(process) = group.processes.first() else { continue };
            found.push((group, process, events, idiom(process, events)));
        }
        let stops = |idiom: &Idiom| matches!(idiom, Idiom::StopsAll { only_failures: false });
        let any_end_stops = found.iter().any(|(_, _, _, idiom)| stops(idiom));
        for (group, process, events, idiom) in found {
            let section = &configuration.sections[process.section];
            self.lead.extend(section.comments.above.iter().cloned());
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
                Idiom::Unknown => {
                    let name = process.command.split_whitespace().next().unwrap_or_default();
                    let was = format!("listened to {} with {name}", events.join(", "));
                    let advice = "musterctl events --json has all events";
                    self.section_line(Verdict::Lost, group.section, (was, "there are no listeners", advice));
                }
            }
        }
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
                let text = (format!("checked {}, which is not a program here", check.program), "left out", "");
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

fn idiom(process: &Process, events: &[String]) -> Idiom {
    let command = process.command.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| command.contains(word));
    let has_event = |begin: &str| events.iter().any(|event| event.starts_with(begin));
    if command.contains("httpok") {
        let checks = http_ok(&process.command, events);
        return if checks.is_empty() { Idiom::Unknown } else { Idiom::HttpOk(checks) };
    }
    if has(&["memmon", "crashmail", "fatalmail", "crashsms"]) {
        return Idiom::Unknown;
    }
    let prefixers = ["supervisor_stdout", "supervisor-stdout", "supervisor_logging", "prefix"];
    if has_event("PROCESS_LOG") && has(&prefixers) {
        return Idiom::Prefixes;
    }
    let is_about_ends = has_event("PROCESS_STATE");
    let kills = has(&["kill", "shutdown", "stop", "quit", "terminate", "exit", "die", "fatal", "watchdog"]);
    if is_about_ends && kills && !has(&["mail", "slack", "notify", "restart"]) {
        let only_failures = events.iter().all(|event| event == "PROCESS_STATE_FATAL");
        return Idiom::StopsAll { only_failures };
    }
    Idiom::Unknown
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
