//! `musterctl logs`: the output of programs.

use std::io;

use muster_api::{LogFormat, LogQuery, LogStream, Program, Route, Since, visible};

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::logs::merge::Logs;
use crate::logs::printer::Printer;
use crate::selection;
use crate::session::Session;

/// Show the latest output of programs, and follow it.
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "tail",
    after_help = "\
Several programs are shown in chronological order, each line prefixed with its program's name. As in supervisorctl, -1000 shows \
the last 1000 lines, and a stream may be named last.

Examples:
  musterctl logs
  musterctl logs web
  musterctl logs -f web db
  musterctl logs all --since 5m
  musterctl tail -n 20 'worker:*' --stderr
  musterctl tail -1000 web
  musterctl tail -f web stderr
  musterctl logs web --json | jq .line"
)]
pub(crate) struct Args {
    /// The programs: names, web:*, GROUP:*, all, globs [default: all].
    #[arg(value_name = "NAME", allow_negative_numbers = true)]
    names: Vec<String>,

    /// Continue with new output until Ctrl-C.
    #[arg(short, long)]
    follow: bool,

    /// Number of lines of each program [default: 100, or all available since `--since`].
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<u64>,

    /// Only output since then: 5m, 1h30m, or a time such as 2026-11-23T00:34:05Z.
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Since>,

    /// Only standard error.
    #[arg(long, conflicts_with = "stdout")]
    stderr: bool,

    /// Only standard output.
    #[arg(long)]
    stdout: bool,

    /// Prefix each line with its time.
    #[arg(short, long)]
    timestamps: bool,
}

fn parse_since(text: &str) -> Result<Since, String> {
    text.parse().map_err(|()| "neither a duration such as 5m nor a time such as 2026-11-23T00:34:05Z".to_owned())
}

impl Args {
    /// Whether it goes on until it is interrupted.
    pub(crate) fn follows(&self) -> bool {
        self.follow
    }

    /// Accepts supervisorctl's syntax among the names: `-1000`, and `stdout` or `stderr` at the end.
    fn with_habits(&self) -> Result<(Vec<String>, LogQuery), Failure> {
        let (mut names, mut lines) = (Vec::new(), self.lines);
        for name in &self.names {
            match name.strip_prefix('-') {
                Some(count) => lines = Some(parse_last(count)?),
                None => names.push(name.clone()),
            }
        }
        let named = match names.last().map(String::as_str) {
            Some("stdout") if names.len() > 1 => Some(LogStream::Stdout),
            Some("stderr") if names.len() > 1 => Some(LogStream::Stderr),
            _ => None,
        };
        let stream = match (named, self.stdout, self.stderr) {
            (Some(stream), false, false) => stream,
            (_, true, _) => LogStream::Stdout,
            (_, _, true) => LogStream::Stderr,
            _ => LogStream::Both,
        };
        if named == Some(stream) {
            names.pop();
        }
        if names.is_empty() {
            names.push("all".to_owned());
        }
        let query = LogQuery { stream, lines, since: self.since, follow: self.follow, format: LogFormat::Json };
        Ok((names, query))
    }
}

/// The number in `-1000`.
pub(super) fn parse_last(count: &str) -> Result<u64, Failure> {
    let refused =
        |_| Failure::new(Exit::Usage, format!("not a number of lines: \"-{count}\"")).with_hint("such as -n 1000");
    count.parse().map_err(refused)
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    let (names, query) = args.with_habits()?;
    let names = instances(&names, &session.client)?;
    let route = |name: &String| Route::Logs { name: name.clone(), query: query.clone() };
    let routes: Vec<Route> = names.iter().map(route).collect();
    let printer = Printer::new(&names, args.timestamps, session.out_is_terminal, session.coloured);
    show(&routes, printer, session)
}

/// The names of the instances that these names match.
pub(super) fn instances(names: &[String], client: &Client) -> Result<Vec<String>, Failure> {
    let mut instances = Vec::new();
    for select in selection::chunks(names) {
        let part: Vec<Program> = client.ask(&Route::Programs { select: Some(select), fields: None })?.read(&[200])?;
        instances.extend(part.into_iter().map(|program| program.name));
    }
    instances.dedup();
    Ok(instances)
}

/// Prints these logs as they arrive.
pub(super) fn show(routes: &[Route], mut printer: Printer, session: &mut Session) -> Result<Exit, Failure> {
    let logs = Logs::open(&session.client, routes)?;
    let (is_json, is_terminal) = (session.json, session.out_is_terminal);
    let ended = logs.for_each(|entries| {
        let write = |entry| {
            let text = if is_json { to_json(entry, is_terminal) } else { printer.print(entry) };
            session.live.write_all(&text)
        };
        let written = entries.iter().try_for_each(write);
        // No more for now: flush.
        let written = if entries.is_empty() { session.live.flush() } else { written };
        written.err()
    })?;
    let ended = ended.or_else(|| session.live.write_all(printer.end()).and_then(|()| session.live.flush()).err());
    match ended {
        // The reader has closed the pipe.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Well),
        Some(error) => Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"))),
        None => Ok(Exit::Well),
    }
}

fn to_json(entry: &muster_api::LogEntry, is_terminal: bool) -> Vec<u8> {
    let text = serde_json::to_string(entry).expect("our bodies are plain structs, which always make JSON") + "\n";
    if is_terminal { visible::json(&text).into_bytes() } else { text.into_bytes() }
}

#[cfg(test)]
mod tests {
    use muster_api::{EntryKind, LogEntry, Problem, Timestamp};

    use crate::testing::{Daemon, Setting, answer, problem, program};

    fn line(program: &str, at: i64, text: &str) -> LogEntry {
        let entry = LogEntry::of(EntryKind::Line, program).with_text(text.as_bytes());
        LogEntry { time: Some(Timestamp::from_unix_ms(at)), ..entry }
    }

    /// A response with these entries, each in its own chunk.
    fn log(entries: &[LogEntry]) -> String {
        let chunk = |entry| {
            let text = serde_json::to_string(entry).unwrap() + "\n";
            format!("{:x}\r\n{text}\r\n", text.len())
        };
        let chunks: String = entries.iter().map(chunk).collect();
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    }

    #[test]
    fn one_program_is_shown_as_it_wrote() {
        let daemon =
            Daemon::answering([answer(200, &[program("web")]), log(&[line("web", 1, "one"), line("web", 2, "two")])]);
        let ended = daemon.run("logs web -n 2 --stderr");
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), ("one\ntwo\n", "", 0));
        let asked = daemon.asked_lines();
        assert_eq!(asked[1], "GET /v1/programs/web/logs?stream=stderr&lines=2&format=json");
    }

    #[test]
    fn supervisorctls_habits_are_understood() {
        for (line, select, asked) in [
            ("tail -1000 web", "web", "lines=1000&format=json"),
            ("tail -f -5 web", "web", "lines=5&follow=true&format=json"),
            ("tail -f web stderr", "web", "stream=stderr&follow=true&format=json"),
            ("tail web stdout", "web", "stream=stdout&format=json"),
            ("tail -5 stderr", "stderr", "lines=5&format=json"),
            ("tail web stderr --stdout", "web,stderr", "stream=stdout&format=json"),
            ("logs", "all", "format=json"),
            ("logs -f", "all", "follow=true&format=json"),
        ] {
            let daemon = Daemon::answering([answer(200, &[program("web")]), log(&[line_of("web")])]);
            let ended = daemon.run(line);
            assert_eq!((ended.out.as_str(), ended.code), ("one\n", 0), "{line}: {}", ended.err);
            let expected = [format!("GET /v1/programs?select={select}"), format!("GET /v1/programs/web/logs?{asked}")];
            assert_eq!(daemon.asked_lines(), expected, "{line}");
        }
        assert_eq!(Setting::default().run("tail -1.5 web").code, 2);
    }

    fn line_of(program: &str) -> LogEntry {
        line(program, 1, "one")
    }

    #[test]
    fn several_programs_are_in_the_order_of_time_before_and_after() {
        let live = |program| LogEntry::of(EntryKind::Live, program);
        let db = log(&[line("db", 1, "first"), line("db", 3, "third"), live("db"), line("db", 5, "fifth")]);
        let web = log(&[line("web", 2, "second"), live("web"), line("web", 4, "fourth")]);
        let daemon = Daemon::answering([answer(200, &[program("db"), program("web")]), db, web]);
        let ended = daemon.run("tail -f db web --since 5m");
        let expected = "db | first\nweb | second\ndb | third\nweb | fourth\ndb | fifth\n";
        assert_eq!((ended.out.as_str(), ended.code), (expected, 0));
        assert_eq!(daemon.asked_lines()[2], "GET /v1/programs/web/logs?since=300000ms&follow=true&format=json");
    }

    #[test]
    fn json_is_the_entries() {
        let entry = line("web", 1, "one");
        let daemon = Daemon::answering([answer(200, &[program("web")]), log(std::slice::from_ref(&entry))]);
        let ended = daemon.run("logs web --json");
        assert_eq!(serde_json::from_str::<LogEntry>(&ended.out).unwrap(), entry);
    }

    #[test]
    fn errors_have_their_exit_codes() {
        let unknown = problem(&Problem::no_such_program(vec!["wbe".to_owned()]));
        assert_eq!(Daemon::answering([unknown]).run("logs wbe").code, 4);
        let broken = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n".to_owned();
        let ended = Daemon::answering([answer(200, &[program("web")]), broken]).run("logs web");
        assert_eq!(ended.code, 7, "{}", ended.err);
        assert_eq!(Setting::default().run("logs web --since noon").code, 2);
    }
}
