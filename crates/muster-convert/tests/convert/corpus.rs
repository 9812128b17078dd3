//! Real supervisord configurations: the written TOML must load, and be read as what the original makes of them, but for
//! the differences that the report names.
//!
//! The texts are other people's and not part of this repository: `MUSTER_CORPUS` names their folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_convert::report::{Report, Verdict};
use muster_convert::supervisord::{Input, convert};
use muster_import::supervisord::{
    Autorestart, Configuration, GroupKind, LogFile, Mode, Process, Stream, read, split_command,
};
use muster_spec::{InstanceSpec, ProgramSpec, RestartWhen, Sink, Spec, StopScope, Target};
use serde_json::Value;

use crate::loading::{errors, load_text};
use crate::machine::{Machine, corpus};

#[test]
fn real_configurations_are_written_as_they_are_read() {
    let cases = corpus();
    if cases.is_empty() {
        return;
    }
    let (mut wrong, mut programs, mut converted) = (Vec::new(), 0, 0);
    for case in &cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        let truth: Value = serde_json::from_slice(&std::fs::read(case).unwrap()).unwrap();
        match check(case, &truth) {
            Ok(Some(count)) => {
                programs += count;
                converted += 1;
            }
            Ok(None) => {}
            Err(why) => wrong.push(format!("{name}: {}", why.join("\n  "))),
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    eprintln!("{} cases, {converted} converted, {programs} programs compared", cases.len());
}

/// The number of programs compared; `None` if the original refuses the file.
fn check(case: &Path, truth: &Value) -> Result<Option<usize>, Vec<String>> {
    let (mut machine, main) = Machine::of_case(case, truth);
    machine.host = "vm".to_owned();
    let bytes = machine.files[&main].clone();
    let mode = Mode::of(&bytes);
    let model = read(&main, mode, &machine);
    let converted = convert(&[Input { path: main.clone(), text: bytes }], &machine);
    let Ok(model) = model else { return Ok(None) };
    let converted = converted
        .map_err(|mistakes| mistakes.iter().map(|mistake| format!("refused: {mistake}")).collect::<Vec<_>>())?;
    let here = main.rsplit_once('/').unwrap().0;
    let loaded = load_text(&converted.toml, &format!("{here}/muster.toml"), &machine.variables);
    if converted.programs == 0 {
        let errors = errors(&loaded);
        let is_empty = errors.len() == 1 && errors[0].contains("there are no programs");
        return if is_empty { Ok(Some(0)) } else { Err(errors) };
    }
    let Some(spec) = &loaded.spec else {
        let mut all = errors(&loaded);
        all.push(converted.toml);
        return Err(all);
    };
    let mut compared = Compared { report: &converted.report, model: &model, count: 0, wrong: Vec::new() };
    compared.all(spec);
    match compared.wrong.is_empty() {
        true => Ok(Some(compared.count)),
        false => {
            compared.wrong.push(converted.toml.clone());
            Err(compared.wrong)
        }
    }
}

struct Compared<'c> {
    report: &'c Report,
    model: &'c Configuration,
    count: usize,
    wrong: Vec<String>,
}

impl Compared<'_> {
    fn all(&mut self, spec: &Spec) {
        for group in &self.model.groups {
            for process in &group.processes {
                let section = self.model.sections[process.section].name.clone();
                let base = section.split_once(':').unwrap().1.trim().to_owned();
                if matches!(group.kind, GroupKind::Listener { .. }) {
                    continue;
                }
                let found = self.instance(spec, &base, process);
                match found {
                    Some((program, instance)) => {
                        self.count += 1;
                        self.process(&section, program, instance, process);
                    }
                    None if self.is_excused(&section, &["left out", "numprocs"]) => {}
                    None => self.wrong.push(format!("{section}: no program for {}", process.name)),
                }
            }
        }
    }

    fn instance<'s>(
        &self,
        spec: &'s Spec,
        base: &str,
        process: &Process,
    ) -> Option<(&'s ProgramSpec, &'s InstanceSpec)> {
        let clean: String =
            base.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect();
        let names =
            [clean.clone(), format!("{clean}-{}", process.number), format!("{clean}-program"), format!("{clean}_")];
        names.iter().find_map(|name| {
            let program = spec.programs.iter().find(|program| program.name == *name)?;
            let first = program.instances.first()?.index;
            let at = match program.instances.len() {
                1 => 0,
                _ => usize::try_from(process.number - i64::from(first)).ok()?,
            };
            Some((&**program, &**program.instances.get(at)?))
        })
    }

    /// Whether a line of the report about this section has one of these words.
    fn is_excused(&self, section: &str, words: &[&str]) -> bool {
        self.report.lines().iter().any(|line| {
            let is_about = line.subject == section && line.verdict != Verdict::Same;
            is_about && words.iter().any(|word| line.was.contains(word) || line.now.contains(word))
        })
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, section: &str, field: &str, ours: T, real: T, words: &[&str]) {
        if ours != real && !self.is_excused(section, words) {
            self.wrong.push(format!("{section}: {field}: ours {ours:?}, real {real:?}"));
        }
    }

    fn process(&mut self, section: &str, program: &ProgramSpec, instance: &InstanceSpec, process: &Process) {
        let argv = split_command(&process.command).unwrap_or_default();
        self.equal(section, "command", instance.process.command.clone(), argv, &["command had references"]);
        let ours: BTreeMap<&str, &str> =
            instance.process.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let real = self.model.environment(process);
        self.equal(section, "environment", ours, real, &["environment had references", "a variable named"]);
        let user = instance.process.user.as_ref().map(|user| user.user.clone());
        let own = self.model.supervisord.user.clone().filter(|user| user != "root");
        let real = process.user.as_ref().map(|user| user.name.clone()).or(own);
        self.equal(section, "user", user, real, &[]);
        let directory = instance.process.directory.as_ref().map(|path| path.to_string_lossy().into_owned());
        let real = process.directory.clone().filter(|directory| !directory.is_empty());
        let real = real.map(|path| tidy(&path));
        self.equal(
            section,
            "directory",
            directory.map(|path| tidy(&path)),
            real,
            &["directory was relative", "directory had"],
        );
        let umask = process.umask.and_then(|umask| u32::try_from(umask).ok()).filter(|umask| *umask <= 0o777);
        self.equal(section, "umask", instance.process.umask, umask, &["umask out of range"]);
        self.equal(section, "autostart", program.autostart, process.autostart, &[]);
        let when = match process.autorestart {
            Autorestart::Never => RestartWhen::Never,
            Autorestart::Unexpected => RestartWhen::OnFailure,
            Autorestart::Always => RestartWhen::Always,
        };
        self.equal(section, "restart", program.restart.when, when, &["autorestart"]);
        let seconds = |number: i64| u64::try_from(number).unwrap_or_default();
        self.equal(section, "startsecs", program.startsecs.as_secs(), seconds(process.startsecs), &[]);
        let retries = u32::try_from(process.startretries.max(0)).unwrap_or(u32::MAX);
        self.equal(section, "startretries", program.restart.retries(), Some(retries), &[]);
        self.equal(section, "exitcodes", program.exit_codes.clone(), process.exitcodes.clone(), &[]);
        let step = program.stop.steps[0];
        let signal = u8::try_from(step.signal.number()).unwrap_or_default();
        self.equal(section, "stopsignal", signal, process.stopsignal.0, &["stopsignal=0"]);
        self.equal(section, "stopwaitsecs", step.patience.as_secs(), seconds(process.stopwaitsecs), &[]);
        let scope = if process.stopasgroup { StopScope::Group } else { StopScope::Main };
        self.equal(section, "stop_scope", program.stop.scope, scope, &[]);
        self.logs(section, instance, process);
    }

    fn logs(&mut self, section: &str, instance: &InstanceSpec, process: &Process) {
        let excuses = ["logfile was relative", "logfile depended", "logfile had references", "standard error went"];
        let stdout = target(&process.stdout);
        self.equal(section, "stdout", tidied(&instance.output.stdout), stdout.clone(), &excuses);
        let stderr = match (&instance.output.stderr, process.redirect_stderr) {
            (None, true) => return,
            (Some(target), _) => tidied(target),
            (None, false) => stdout,
        };
        let real = if process.redirect_stderr { target(&process.stdout) } else { target(&process.stderr) };
        self.equal(section, "stderr", stderr, real, &excuses);
        let paths = [&process.stdout, &process.stderr].into_iter().find(
            |stream| matches!(target(stream), Target::Capture(sinks) if matches!(sinks.first(), Some(Sink::File(_)))),
        );
        if let Some(stream) = paths {
            let rotation = instance.output.rotation.stdout;
            let size = u64::try_from(stream.maxbytes).unwrap_or_default();
            self.equal(section, "maxbytes", rotation.max_size, size, &["rotation"]);
            let count = u32::try_from(stream.backups.clamp(0, 1000)).unwrap_or_default();
            if size > 0 {
                self.equal(section, "backups", rotation.max_files, count, &["rotation", "backups"]);
            }
        }
    }
}

fn tidy(path: &str) -> String {
    Path::new(path).components().collect::<PathBuf>().to_string_lossy().into_owned()
}

fn tidied(target: &Target) -> Target {
    match target {
        Target::Capture(sinks) => {
            let tidy = |sink: &Sink| match sink {
                Sink::File(path) => Sink::File(path.components().collect()),
                sink => sink.clone(),
            };
            Target::Capture(sinks.iter().map(tidy).collect())
        }
        target => target.clone(),
    }
}

/// The target of a stream; a file with a random name is the console.
fn target(stream: &Stream) -> Target {
    let sink = match &stream.logfile {
        LogFile::Auto => Some(Sink::Console),
        LogFile::None => None,
        LogFile::Path(path) => match path.as_str() {
            "" | "/dev/null" => None,
            "/dev/stdout" | "/dev/stderr" | "/dev/fd/1" | "/dev/fd/2" => Some(Sink::Console),
            "/proc/self/fd/1" | "/proc/self/fd/2" | "/proc/1/fd/1" | "/proc/1/fd/2" => Some(Sink::Console),
            path => Some(Sink::File(Path::new(path).components().collect())),
        },
    };
    let sinks: Vec<Sink> = sink.into_iter().chain(stream.syslog.then_some(Sink::Syslog)).collect();
    if sinks.is_empty() { Target::Discard } else { Target::Capture(sinks) }
}
