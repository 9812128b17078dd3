//! The `rehearse` command: simulates each scenario, plays it and compares, several in parallel.

use muster_spec::arrange;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_spec::{ProgramSpec, ScheduleTimes, Signal, Span};
use muster_sys::signal::Pid;

use super::agree::{Agreement, compare, events};
use super::door::Part;
use super::observe::{Event, Line, Occurrence, read};
use super::puppet::Wardrobe;
use super::scale::{plan_scaled, scaled};
use super::stage::contact_path;
use crate::Host;
use crate::cli::RehearseArgs;
use crate::scenario::{self, PlannedRun};
use crate::scenarios;
use crate::timeline::Timeline;
use crate::world::{SimulationPlan, simulate};
use muster_sys::say::say;

/// How long to watch for events after the last one of the simulation.
const AFTERWARDS: Duration = Duration::from_millis(300);
/// How much longer than the simulation the rehearsal may take before it is ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// `musterd rehearse`: returns the exit code.
pub fn rehearse_command(host: Host, args: &RehearseArgs) -> u8 {
    muster_sys::boot::give_signals_back();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(path) = args.scenario.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = rehearse(host, path, args, 1);
            let is_last = outcome.code != 1 || args.retries == 0;
            say(if is_last { &outcome.report } else { &outcome.again });
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((path, outcome));
        }
    };
    std::thread::scope(|scope| {
        (0..args.jobs.clamp(1, args.scenario.len())).for_each(|_| drop(scope.spawn(work)));
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A scenario that was late in parallel may be in time alone.
    for (path, outcome) in outcomes.iter_mut().filter(|(_, outcome)| outcome.code == 1) {
        for attempt in 2..args.retries.saturating_add(2) {
            *outcome = rehearse(host, path, args, attempt);
            let is_last = outcome.code != 1 || attempt > args.retries;
            say(if is_last { &outcome.report } else { &outcome.again });
            if is_last {
                break;
            }
        }
    }
    let left_out = outcomes.iter().filter(|(_, outcome)| outcome.is_left_out).count();
    let agreed = outcomes.iter().filter(|(_, outcome)| outcome.code == 0).count() - left_out;
    let scenarios = if outcomes.len() == 1 { "scenario" } else { "scenarios" };
    let differed = outcomes.len() - agreed - left_out;
    let mut summary = format!("{} {scenarios}, {agreed} as simulated, {differed} not", outcomes.len());
    if left_out > 0 {
        summary.push_str(&format!(", {left_out} left out"));
    }
    say(&summary);
    outcomes.iter().map(|(_, outcome)| outcome.code).max().unwrap_or(2)
}

/// The result of an attempt.
struct Outcome {
    /// 0 as simulated, 1 otherwise, 2 could not be played.
    code: u8,
    /// The text to print if it was the last attempt.
    report: String,
    /// The text to print if another follows.
    again: String,
    /// Whether it cannot be played with real time.
    is_left_out: bool,
}

/// One scenario, played once.
fn rehearse(host: Host, path: &Path, args: &RehearseArgs, attempt: u32) -> Outcome {
    let shown = path.display();
    match play(host, path, args) {
        Ok(Some(agreement)) => described(path, &agreement, attempt, args.verbose),
        Ok(None) => {
            let report = format!("none  {shown}: not rehearsed, its schedule is by the wall clock");
            Outcome { code: 0, report, again: String::new(), is_left_out: true }
        }
        Err(error) => {
            let report = format!("FAIL  {shown}: {error}");
            Outcome { code: 2, report, again: String::new(), is_left_out: false }
        }
    }
}

/// Plays a scenario; `None` if it depends on the wall clock.
fn play(host: Host, path: &Path, args: &RehearseArgs) -> Result<Option<Agreement>, String> {
    let (spec, scenario) = scenarios::read(host, path).ok_or("see its mistakes above")?;
    if spec.programs.iter().any(|program| follows_wall_clock(program)) {
        return Ok(None);
    }
    let factor = args.scale.unwrap_or(1.0) * scenario.scale.unwrap_or(1.0);
    let plan = plan_scaled(&scenarios::plan_of(host, &scenario), factor);
    let timeline = simulate(&scaled(&spec, factor), &plan);
    if let Some(words) = timeline.cut_short() {
        return Err(format!("its simulation is {words}"));
    }
    Stage { path, factor, plan: &plan, timeline: &timeline }.play(args.tolerance).map(Some)
}

fn follows_wall_clock(program: &ProgramSpec) -> bool {
    let mut times = program.schedule.iter().flat_map(|schedule| &schedule.times);
    times.any(|times| matches!(times, ScheduleTimes::Cron { .. }))
}

fn described(path: &Path, agreement: &Agreement, attempt: u32, verbose: bool) -> Outcome {
    let path = path.display();
    let times = if attempt > 1 { format!(", at attempt {attempt}") } else { String::new() };
    let Some(first) = agreement.differences.first() else {
        let mut report = format!(
            "ok    {path}: {} events, each within {} after what it follows from, {} of drift{times}",
            agreement.events,
            Span(agreement.latest),
            Span(agreement.drift)
        );
        if verbose {
            report.push_str(&table(agreement));
        }
        return Outcome { code: 0, report, again: String::new(), is_left_out: false };
    };
    let again = format!("again {path}: {}{times}", first.trim_start());
    let differences = agreement.differences.iter().map(|difference| format!("\n  {difference}")).collect::<String>();
    let report = format!("FAIL  {path}: reality is not as simulated{times}{differences}{}", table(agreement));
    Outcome { code: 1, report, again, is_left_out: false }
}

/// Every event, with its expected and actual time.
fn table(agreement: &Agreement) -> String {
    let lines = agreement.described.iter().map(|line| format!("\n  {line}"));
    ["\n  expected     found     lateness  event".to_owned()].into_iter().chain(lines).collect()
}

/// A scenario about to be played.
struct Stage<'a> {
    path: &'a Path,
    factor: f64,
    plan: &'a SimulationPlan,
    timeline: &'a Timeline,
}

/// Something that is done from outside.
enum Deed {
    /// The daemon gets a signal.
    Signal(Signal),
    /// A client comes to a program.
    Connect(String),
}

/// The daemon's report.
#[derive(Default)]
struct Report {
    up: Option<Duration>,
    events: Vec<Event>,
    last_words: Option<String>,
}

impl Stage<'_> {
    fn play(&self, tolerance: Duration) -> Result<Agreement, String> {
        let directory = Directory::make().map_err(|error| format!("cannot make a directory: {error}"))?;
        self.lay_out(&directory.0).map_err(|error| format!("cannot lay out the puppets: {error}"))?;
        let mut daemon = self.start(&directory.0).map_err(|error| format!("cannot start the daemon: {error}"))?;
        let report = self.watch(&mut daemon, &directory.0);
        end(&mut daemon);
        let code = daemon.wait().map_err(|error| format!("cannot wait for the daemon: {error}"))?.code();
        let cut_off = self.timeline.exit.is_none().then_some(self.timeline.ended.since_origin());
        let mut agreement = compare(&events(self.timeline), &report.events, tolerance, cut_off);
        agreement.differences.extend(self.other_end(&report, code));
        Ok(agreement)
    }

    /// Prepares the runs of each instance, as many as in the simulation and some more.
    fn lay_out(&self, directory: &Path) -> std::io::Result<()> {
        for lane in &self.timeline.instances {
            let script = self.plan.scripts.get(&lane.name).or_else(|| self.plan.scripts.get(&lane.program));
            let run = |number| script.map_or_else(PlannedRun::default, |script| script.run(number));
            let runs: Vec<PlannedRun> = (0..lane.runs + 20).map(run).collect();
            Wardrobe::of(directory, &lane.name).fill(&runs)?;
        }
        Ok(())
    }

    fn start(&self, directory: &Path) -> std::io::Result<Child> {
        let this = std::env::current_exe()?;
        let mut command = Command::new(&this);
        command.args(Part::Stage.words(&this)).arg(self.path).arg(self.factor.to_string()).arg(directory);
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn()
    }

    /// Reads the daemon's log until it exits, or until no more is expected.
    fn watch(&self, daemon: &mut Child, directory: &Path) -> Report {
        let mut report = Report::default();
        let Some(stderr) = daemon.stderr.take() else { return report };
        let (sender, lines) = mpsc::channel();
        // It ends with the daemon, which holds the other end.
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let mut deeds: VecDeque<(Instant, Deed)> = VecDeque::new();
        let began = Instant::now();
        let length = self.timeline.ended.since_origin();
        // Without an exit it is over when nothing more happens; then we end the daemon.
        let last = self.timeline.moments.last().map_or(Duration::ZERO, |moment| moment.at.since_origin());
        let over = if self.timeline.exit.is_some() { length + PATIENCE } else { last + AFTERWARDS };
        let mut until = began + length + PATIENCE;
        loop {
            let next = deeds.front().map_or(until, |&(at, _)| at.min(until));
            match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(line) => match read(&line) {
                    Some(Line::Up(at)) => {
                        report.up = Some(at);
                        let up = instant_of(at);
                        until = up + over;
                        deeds = self.deeds().into_iter().map(|(at, deed)| (up + at, deed)).collect();
                    }
                    Some(Line::Event(mut event)) => {
                        let up = report.up.unwrap_or(event.at);
                        event.at = event.at.saturating_sub(up);
                        self.dress_next(&report.events, &event, directory);
                        report.events.push(event);
                    }
                    Some(Line::LastWords(words)) => report.last_words = Some(words),
                    Some(Line::Other) | None => {}
                },
                Err(mpsc::RecvTimeoutError::Timeout) => match deeds.pop_front_if(|(at, _)| *at <= Instant::now()) {
                    Some((_, Deed::Signal(signal))) => send(daemon, signal),
                    Some((_, Deed::Connect(program))) => connect(directory, &program),
                    None => return report,
                },
                Err(mpsc::RecvTimeoutError::Disconnected) => return report,
            }
        }
    }

    /// Everything that is done to the daemon and its programs, and when after it is up.
    fn deeds(&self) -> Vec<(Duration, Deed)> {
        let pauses = self.plan.pauses.iter();
        let signals = pauses
            .flat_map(|pause| [(pause.at, Signal::STOP), (pause.at + pause.span, Signal::CONT)])
            .chain(self.plan.stop_at.map(|at| (at, Signal::TERM)))
            .map(|(at, signal)| (at, Deed::Signal(signal)));
        let connects = self.plan.connects.iter();
        let connects = connects.map(|connect| {
            let lane = self.timeline.instances.iter().find(|lane| lane.name == connect.to);
            (connect.at, Deed::Connect(lane.map_or_else(|| connect.to.clone(), |lane| lane.program.clone())))
        });
        let mut deeds: Vec<(Duration, Deed)> = signals.chain(connects).collect();
        arrange::sort_by_key(&mut deeds, |&(at, _)| at);
        deeds
    }

    /// After a run that was not spawned, the next one may need its program again. Without any delay before it the
    /// daemon may be faster, and the rehearsal then reports a difference.
    fn dress_next(&self, before: &[Event], event: &Event, directory: &Path) {
        if event.what != Occurrence::State("BACKOFF".to_owned()) {
            return;
        }
        let is_start =
            |earlier: &&Event| earlier.name == event.name && earlier.what == Occurrence::State("STARTING".to_owned());
        let runs = before.iter().filter(is_start).count();
        let wardrobe = Wardrobe::of(directory, &event.name);
        if runs > 0 && matches!(wardrobe.run(runs - 1).outcome, scenario::Outcome::SpawnError(_)) {
            // A failure here shows up as a difference.
            let _ = wardrobe.dress(Some(&wardrobe.run(runs)));
        }
    }

    /// The difference in the container's exit, if any.
    fn other_end(&self, report: &Report, code: Option<i32>) -> Vec<String> {
        let Some(exit) = &self.timeline.exit else { return Vec::new() };
        let mut differences = Vec::new();
        if code != Some(i32::from(exit.code)) {
            differences.push(format!("exit code: expected {}, found {code:?}", exit.code));
        }
        // A path in the reason is the puppet's.
        let is_same = |words: &String| *words == exit.words || exit.words.contains("spawn error");
        if !report.last_words.as_ref().is_some_and(is_same) {
            differences.push(format!("reason: expected {:?}, found {:?}", exit.words, report.last_words));
        }
        differences
    }
}

/// The monotonic time of a recent wall-clock time.
fn instant_of(since_epoch: Duration) -> Instant {
    let ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(since_epoch);
    Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
}

/// Ends a daemon that is still running: a second signal ends it at once.
fn end(daemon: &mut Child) {
    for _ in 0..2 {
        if matches!(daemon.try_wait(), Ok(None)) {
            send(daemon, Signal::TERM);
            // It may be paused.
            send(daemon, Signal::CONT);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn send(daemon: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(daemon.id()) {
        // It may have exited just now.
        let _ = muster_sys::signal::send(Pid(pid), signal);
    }
}

/// Sends a datagram to a program. Without a socket it gets none, as with any other client.
fn connect(directory: &Path, program: &str) {
    let socket = UnixDatagram::unbound();
    let _ = socket.and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(b"client", contact_path(directory, program))
    });
}

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn make() -> std::io::Result<Directory> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("musterd-rehearse.{}.{number}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
