//! `musterd simulate --scenario`: simulates each scenario and checks its expectations.

use muster_spec::arrange;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use muster_core::Time;
use muster_spec::Spec;
use serde_json::json;

use crate::Host;
use crate::cli::SimulateArgs;
use crate::command::{BEGINNING, HORIZON, SEED, write};
use crate::expect::{Miss, misses};
use crate::junit::{self, Case};
use crate::scenario::{LoadedScenario, Scenario, load_scenario};
use crate::text::{account, table, table_with_marks};
use crate::timeline::Timeline;
use crate::world::{SimulationPlan, simulate};
use crate::{json as data, svg};
use muster_sys::say::{complain, say};

/// The plan of a scenario; the command line overrides it.
pub(crate) fn plan_of(host: Host, scenario: &Scenario) -> SimulationPlan {
    SimulationPlan {
        scripts: scenario.runs.clone(),
        stop_at: scenario.stop_at,
        pauses: scenario.acts.pauses.clone(),
        connects: scenario.acts.connects.clone(),
        until: scenario.until.unwrap_or(HORIZON),
        from: scenario.from.unwrap_or(BEGINNING),
        seed: scenario.seed.unwrap_or(SEED),
        ties: scenario.ties,
        mask: host.mask,
    }
}

/// Reads a scenario, or reports its errors.
pub(crate) fn read(host: Host, path: &Path) -> Option<(Spec, Scenario)> {
    let variables = |name: &str| std::env::var(name).ok();
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    let LoadedScenario { mut loaded, scenario } =
        load_scenario(path, &variables, &hostname.to_string_lossy(), &host.open);
    let spec = loaded.spec.take();
    if spec.is_none() {
        (host.report)(&loaded);
    }
    Some((spec?, scenario))
}

/// Checks all of them; returns 1 if an expectation does not hold and 2 if a scenario cannot be read.
pub(super) fn check_scenarios(host: Host, args: &SimulateArgs) -> u8 {
    if args.svg.is_some() && args.scenario.len() > 1 {
        complain("musterd: one picture for several scenarios\nhint: name one scenario with --svg");
        return 2;
    }
    let mut cases = Vec::new();
    let mut verdicts = Vec::new();
    let mut objects = Vec::new();
    let mut is_unread = false;
    for path in &args.scenario {
        let began = Instant::now();
        let Some((spec, scenario)) = read(host, path) else {
            is_unread = true;
            continue;
        };
        let plan = SimulationPlan {
            stop_at: args.stop_at.or(scenario.stop_at),
            until: args.until.or(scenario.until).unwrap_or(HORIZON),
            from: args.from.or(scenario.from).unwrap_or(BEGINNING),
            seed: args.seed.or(scenario.seed).unwrap_or(SEED),
            ties: args.ties.unwrap_or(scenario.ties),
            ..plan_of(host, &scenario)
        };
        let timeline = simulate(&spec, &plan);
        let misses = misses(&scenario.expect, &timeline);
        let verdict = Verdict::of(&scenario, &misses, &timeline, args.strict);
        let failure = match verdict {
            Verdict::Holds | Verdict::Nothing { strict: false } => String::new(),
            Verdict::Nothing { strict: true } => "it expects nothing\n".to_owned(),
            Verdict::Incomplete => format!("{}\n", timeline.cut_short().unwrap_or_default()),
            Verdict::Broken => failure(path, &timeline, &spec, &misses),
        };
        if args.json {
            objects.push(object(path, &scenario, verdict, &misses, data::timeline(&timeline, &spec.programs)));
        } else {
            tell(path, &scenario, &timeline, &spec, (verdict, &failure), args.verbose);
        }
        if let Some(svg) = &args.svg
            && let Err(message) = write(svg, &svg::drawing(&timeline))
        {
            complain(&message);
            return 2;
        }
        let (file, title) = (path.display().to_string(), scenario.title);
        verdicts.push(verdict);
        cases.push(Case { file, title, seconds: began.elapsed().as_secs_f64(), failure });
    }
    if args.json {
        say(&json!({ "scenarios": objects }).to_string());
    }
    if let Some(junit) = &args.junit
        && let Err(message) = write(junit, &junit::report("musterd simulate", &cases))
    {
        complain(&message);
        return 2;
    }
    let failed = cases.iter().filter(|case| !case.failure.is_empty()).count();
    if !args.json {
        say(&summary(&verdicts));
    }
    match (is_unread, failed) {
        (true, _) => 2,
        (false, 0) => 0,
        (false, _) => 1,
    }
}

/// The result of a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Broken,
    /// The simulation was cut short, so nothing is known about later events.
    Incomplete,
    /// There were no expectations.
    Nothing {
        strict: bool,
    },
}

impl Verdict {
    fn of(scenario: &Scenario, misses: &[Miss], timeline: &Timeline, strict: bool) -> Verdict {
        match () {
            () if timeline.cut_short().is_some() => Verdict::Incomplete,
            () if !misses.is_empty() => Verdict::Broken,
            () if scenario.expect.is_empty() => Verdict::Nothing { strict },
            () => Verdict::Holds,
        }
    }

    /// Its label, before the name of the file.
    const fn word(self) -> &'static str {
        match self {
            Verdict::Holds => "ok",
            Verdict::Broken => "FAIL",
            Verdict::Incomplete => "incomplete",
            Verdict::Nothing { .. } => "none",
        }
    }
}

/// The number of scenarios with each result.
fn summary(verdicts: &[Verdict]) -> String {
    let count = |word: &str| verdicts.iter().filter(|verdict| verdict.word() == word).count();
    let scenarios = if verdicts.len() == 1 { "scenario" } else { "scenarios" };
    let mut text = format!("{} {scenarios}, {} as expected, {} not", verdicts.len(), count("ok"), count("FAIL"));
    for (word, words) in [("incomplete", "cut short"), ("none", "without anything expected")] {
        if count(word) > 0 {
            let _ = write!(text, ", {} {words}", count(word));
        }
    }
    text
}

fn tell(
    path: &Path,
    scenario: &Scenario,
    timeline: &Timeline,
    spec: &Spec,
    (verdict, failure): (Verdict, &str),
    verbose: bool,
) {
    let title = if scenario.title.is_empty() { String::new() } else { format!(": {}", scenario.title) };
    let word = verdict.word();
    if failure.is_empty() {
        say(&format!("{word:<4}  {}{title}", path.display()));
        if verbose {
            say(&format!("\n{}\n{}", table(timeline, &spec.programs, &[]), account(timeline)));
        }
    } else {
        say(&format!("{word:<4}  {}{title}\n{failure}", path.display()));
    }
}

/// The expected and the actual result, and its place on the timeline.
fn failure(path: &Path, timeline: &Timeline, spec: &Spec, misses: &[Miss]) -> String {
    let mut text = String::new();
    for miss in misses {
        let _ = writeln!(text, "{}:{}: expected {}", path.display(), miss.line, miss.expected);
        let _ = writeln!(text, "    but {}", miss.actual);
    }
    let _ = writeln!(text, "\n{}", marked(timeline, spec, misses));
    let _ = writeln!(text, "{}", account(timeline).trim_end());
    text
}

/// The table, with an additional line where an expectation failed.
fn marked(timeline: &Timeline, spec: &Spec, misses: &[Miss]) -> String {
    let mark = |miss: &Miss| (miss.at, format!(">>> expected {}, but {}", miss.expected, miss.actual));
    let mut marks: Vec<(Time, String)> = misses.iter().map(mark).collect();
    arrange::sort_by_key(&mut marks, |(at, _)| *at);
    table_with_marks(timeline, &spec.programs, &[], &marks)
}

fn object(
    path: &Path,
    scenario: &Scenario,
    verdict: Verdict,
    misses: &[Miss],
    simulation: serde_json::Value,
) -> serde_json::Value {
    json!({
        "file": path,
        "title": scenario.title,
        "ok": matches!(verdict, Verdict::Holds | Verdict::Nothing { strict: false }),
        "verdict": verdict.word().to_lowercase(),
        "misses": misses.iter().map(|miss| json!({
            "line": miss.line,
            "expected": miss.expected,
            "actual": miss.actual,
        })).collect::<Vec<_>>(),
        "simulation": simulation,
    })
}
