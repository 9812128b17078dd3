//! Groups of programs: their names, the differences between two configurations, and one process as `getAllConfigInfo`
//! shows it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_spec::{InstanceSpec, OutputSpec, PerStream, ProgramSpec, Rotation, Sink, SocketSpec, StopKill, Target};

use crate::methods::{Changes, Channel};
use crate::xmlrpc::Value;

/// The group that a program belongs to in supervisord's terms: its first, or itself.
pub fn group_of(program: &ProgramSpec) -> &str {
    program.groups.first().unwrap_or(&program.name)
}

/// The name of an instance within its group.
pub fn process_name<'a>(group: &str, name: &'a str) -> &'a str {
    name.strip_prefix(group).and_then(|rest| rest.strip_prefix(':')).unwrap_or(name)
}

fn sinks(output: &OutputSpec, channel: Channel) -> &[Sink] {
    let target = if channel == Channel::Stdout { Some(&output.stdout) } else { output.stderr.as_ref() };
    target.map_or(&[], Target::sinks)
}

/// The file of a stream as text; empty for none.
pub fn log_file(output: &OutputSpec, channel: Channel) -> String {
    let sinks = sinks(output, channel);
    let path = sinks.iter().find_map(|sink| match sink {
        Sink::Descriptor(path) => Some(path.as_path()),
        sink => sink.file(),
    });
    path.map(Path::display).map(|path| path.to_string()).unwrap_or_default()
}

/// The groups that differ: new and changed ones in the order of the new configuration, removed ones in that of their
/// activation.
pub fn changes(active: &[Arc<ProgramSpec>], new: &[Arc<ProgramSpec>]) -> Changes {
    let ((was, old_order), (is, new_order)) = (groups(active), groups(new));
    let is_changed = |name: &&str| was.get(name).is_some_and(|members| !are_same(members, &is[name]));
    let names = |order: &[&str], is_meant: &dyn Fn(&&str) -> bool| -> Vec<String> {
        order.iter().filter(|name| is_meant(name)).map(|name| (*name).to_owned()).collect()
    };
    Changes {
        added: names(&new_order, &|name| !was.contains_key(name)),
        changed: names(&new_order, &is_changed),
        removed: names(&old_order, &|name| !is.contains_key(name)),
    }
}

/// The groups with their members, and their names in order.
fn groups(programs: &[Arc<ProgramSpec>]) -> (HashMap<&str, Vec<&ProgramSpec>>, Vec<&str>) {
    let (mut groups, mut order) = (HashMap::<&str, Vec<&ProgramSpec>>::new(), Vec::new());
    for program in programs {
        let members = groups.entry(group_of(program)).or_default();
        if members.is_empty() {
            order.push(group_of(program));
        }
        members.push(program);
    }
    (groups, order)
}

fn are_same(was: &[&ProgramSpec], is: &[&ProgramSpec]) -> bool {
    was.len() == is.len() && was.iter().zip(is).all(|(was, is)| **was == comparable(was, is))
}

/// The new program with what does not count as a change: its place, which other groups decide, the owner and mode of a
/// FastCGI socket, `strip_ansi`, and its files where the new one leaves their names to the daemon.
fn comparable(was: &ProgramSpec, is: &ProgramSpec) -> ProgramSpec {
    let mut is = is.clone();
    if let (Some(was), Some(is)) = (was.order, &mut is.order) {
        is.place = was.place;
    }
    let is_theirs = is.unshown.is_some();
    for (was, is) in was.instances.iter().zip(&mut is.instances) {
        let output = &is.output;
        let stderr = match (&was.output.stderr, &output.stderr) {
            (Some(was), Some(is)) => Some(comparable_target(was, is)),
            (_, stderr) => stderr.clone(),
        };
        let mut output = OutputSpec {
            stdout: comparable_target(&was.output.stdout, &output.stdout),
            stderr,
            ..OutputSpec::clone(output)
        };
        let mut process = is.process.clone();
        if is_theirs {
            output.strip_ansi = was.output.strip_ansi;
            let sockets = was.process.sockets.iter().zip(is.process.sockets.iter());
            Arc::make_mut(&mut process).sockets =
                sockets.map(|(was, is)| SocketSpec { address: is.address.clone(), ..was.clone() }).collect();
        }
        *is = Arc::new(InstanceSpec { output: Arc::new(output), process, ..InstanceSpec::clone(is) });
    }
    is
}

/// The new target with the file of the old one, if the daemon is to choose it.
fn comparable_target(was: &Target, is: &Target) -> Target {
    let is_syslog = |sink: &&Sink| matches!(sink, Sink::Syslog);
    let has_same_syslog = was.sinks().iter().filter(is_syslog).eq(is.sinks().iter().filter(is_syslog));
    let is_auto = is.sinks().iter().any(|sink| matches!(sink, Sink::Auto(_)));
    if is_auto && has_same_syslog { was.clone() } else { is.clone() }
}

/// A process as `getAllConfigInfo` shows it: `uid` is the number of its user, the group may be active, and `shown` masks
/// secrets.
pub fn configured(
    program: &ProgramSpec,
    instance: &InstanceSpec,
    (uid, is_in_use): (Option<u32>, bool),
    shown: &dyn Fn(&str) -> String,
) -> Value {
    let (process, output) = (&instance.process, &instance.output);
    let none = || Value::from("none");
    let step = program.stop.steps.first();
    let mut fields = vec![
        ("autostart", program.autostart.into()),
        ("directory", process.directory.as_ref().map_or_else(none, |path| shown(&path.display().to_string()).into())),
        ("uid", uid.map_or_else(none, |uid| Value::Int(uid.into()))),
        ("command", shown(&command_line(&process.command)).into()),
        ("exitcodes", Value::Array(program.exit_codes.iter().map(|code| Value::Int((*code).into())).collect())),
        ("group", group_of(program).into()),
        ("group_prio", program.rank().into()),
        ("inuse", is_in_use.into()),
        ("killasgroup", (program.stop.kill == StopKill::Group).into()),
        ("name", process_name(group_of(program), &instance.name).into()),
        ("process_prio", program.priority.into()),
        ("redirect_stderr", output.stderr.is_none().into()),
        ("startretries", Value::Int(program.restart.retries().map_or(i64::MAX, i64::from))),
        ("startsecs", whole(program.startsecs)),
    ];
    fields.extend(stream(output, Channel::Stdout, STDOUT, shown));
    fields.extend([
        ("stopsignal", Value::Int(step.map_or(0, |step| step.signal.number().into()))),
        ("stopwaitsecs", whole(program.patience())),
    ]);
    fields.extend(stream(output, Channel::Stderr, STDERR, shown));
    fields.push(("serverurl", none()));
    Value::structure(fields)
}

/// The words of a command as one text, with quotes where a word needs them.
fn command_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '\'' | '"' | '\\');
        match word {
            word if !word.is_empty() && word.chars().all(is_plain) => word.clone(),
            word if !word.contains(['"', '\\']) => format!("\"{word}\""),
            word => format!("'{}'", word.replace('\'', "'\"'\"'")),
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

const STDOUT: [&str; 6] = [
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_logfile",
    "stdout_logfile_backups",
    "stdout_logfile_maxbytes",
    "stdout_syslog",
];
const STDERR: [&str; 6] = [
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_logfile",
    "stderr_logfile_backups",
    "stderr_logfile_maxbytes",
    "stderr_syslog",
];

fn stream(
    output: &OutputSpec,
    channel: Channel,
    names: [&'static str; 6],
    shown: &dyn Fn(&str) -> String,
) -> [(&'static str, Value); 6] {
    let sinks = sinks(output, channel);
    let PerStream { stdout, stderr } = output.rotation;
    let Rotation { max_size, max_files, .. } = if channel == Channel::Stdout { stdout } else { stderr };
    let file = match log_file(output, channel) {
        path if !path.is_empty() => shown(&path),
        _ if sinks.contains(&Sink::Auto(None)) => "auto".to_owned(),
        _ => "none".to_owned(),
    };
    let values = [
        Value::Int(0),
        false.into(),
        file.into(),
        Value::Int(max_files.into()),
        Value::Int(i64::try_from(max_size).unwrap_or(i64::MAX)),
        sinks.contains(&Sink::Syslog).into(),
    ];
    let mut names = names.into_iter();
    values.map(|value| (names.next().unwrap_or_default(), value))
}

fn whole(span: Duration) -> Value {
    Value::Int(i64::try_from(span.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_read_again() {
        let check = |words: &[&str], expected: &str| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(command_line(&words), expected);
        };
        check(&["sh", "-c", "echo a; exec b"], "sh -c \"echo a; exec b\"");
        check(&["a", "", "it's"], "a \"\" \"it's\"");
        check(&["say \"it's\""], "'say \"it'\"'\"'s\"'");
    }
}
