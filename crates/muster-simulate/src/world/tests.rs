//! Small scenarios and their results.

use super::super::timeline::What;
use super::*;
use crate::expect::misses;

/// Simulates a scenario file; its expectations must hold.
fn check(text: &str) -> Timeline {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("scenario.toml");
    std::fs::write(&path, text).expect("the directory is ours");
    let read = crate::scenario::load_scenario(&path, &|_| None, "host", &muster_config::open_any);
    let spec = read.loaded.spec.as_ref().unwrap_or_else(|| panic!("{}", read.loaded.render(false)));
    let (scripts, stop_at) = (read.scenario.runs.clone(), read.scenario.stop_at);
    let until = read.scenario.until.unwrap_or(Duration::from_secs(3600));
    let (seed, ties) = (read.scenario.seed.unwrap_or(1), read.scenario.ties);
    let timeline = simulate(
        spec,
        &SimulationPlan {
            scripts,
            stop_at,
            pauses: read.scenario.acts.pauses.clone(),
            connects: read.scenario.acts.connects.clone(),
            until,
            from: read.scenario.from.unwrap_or(1_767_225_600),
            seed,
            ties,
            mask: str::to_owned,
        },
    );
    assert_eq!(misses(&read.scenario.expect, &timeline), [], "{:#?}", timeline.moments);
    timeline
}

#[test]
fn who_is_in_no_script_runs_for_ever_and_stops_at_once() {
    let timeline = check(
        "stop_at = \"1h\"\nuntil = \"2h\"\nexpect = [{ program = \"web\", restarts = 0 }, { exit_code = 0, at = \"1h\" }]\n\
         [program.web]\n",
    );
    assert_eq!(timeline.moments.len(), 6);
}

#[test]
fn nothing_is_waited_for_where_nothing_will_happen() {
    let timeline = check("expect = [{ running = true }]\n[program.web]\n");
    assert_eq!(timeline.ended, Time::from_origin(Duration::from_secs(1)));
}

#[test]
fn a_run_of_exactly_startsecs_was_running() {
    check(
        "expect = [{ program = \"web\", state = \"RUNNING\", within = \"1s\" }]\n[runs]\nweb = \"1@1s\"\n[program.web]\n",
    );
}

#[test]
fn whoever_exits_while_it_is_being_stopped_ends_once() {
    check(
        "stop_at = \"2s\"\nexpect = [{ program = \"web\", killed = false }, { exit_code = 0, at = \"2.5s\" }]\n\
         [runs]\nweb = \"3@2.5s stop@5s\"\n[program.web]\n",
    );
}

#[test]
fn what_goes_round_without_end_is_cut_short() {
    let timeline = |until: &str, runs: &str| {
        check(&format!(
            "{until}[runs]\nweb = {runs:?}\n\
             [program.web]\nstartretries = \"unlimited\"\nbackoff = {{ delay = 0 }}\n"
        ))
    };
    let at_once = timeline("", "1@0 ×*");
    let told = at_once.cut_short().expect("it goes round at one moment");
    assert_eq!(told, "cut short at 0s after 10000 changes at one moment: restarts without delay");
    assert_eq!(at_once.ended, Time::ZERO);
    // A failed start is not retried at once.
    assert_eq!(timeline("until = \"5s\"\n", "spawn-error ×*").cut_short(), None);
}

/// A run of exactly `startsecs`, where the end comes first, was not RUNNING.
#[test]
fn ties_are_told_and_can_be_the_other_way_round() {
    let text = |ties: &str| {
        format!("ties = {ties:?}\nuntil = \"10s\"\n[runs]\nweb = \"1@1s\"\n[program.web]\nrestart = \"no\"\n")
    };
    let states = |ties: &str| {
        let timeline = check(&text(ties));
        let told: Vec<String> = timeline.changes().map(|(_, change)| change.to.to_string()).collect();
        let tied: Vec<bool> = timeline.changes().map(|(_, change)| change.tie.is_some()).collect();
        (told.join(" "), tied)
    };
    assert_eq!(states("deadline"), ("STARTING RUNNING EXITED".to_owned(), vec![false, true, false]));
    assert_eq!(states("exit"), ("STARTING EXITED".to_owned(), vec![false, true]));
}

/// A program that restarts with its dependency is down before that one has executed its program.
#[test]
fn executing_takes_longer_than_ending() {
    let timeline = check(
        "until = \"5s\"\n[runs]\ndb = \"1@1s\"\n[program.db]\nstartsecs = 0\n\
         [program.web]\nstartsecs = 0\ndepends_on = [\"db\"]\nrestart_with = [\"db\"]\n",
    );
    let web: Vec<String> = timeline
        .changes()
        .filter(|(_, change)| timeline.lane(change.instance).name == "web")
        .map(|(_, change)| change.to.to_string())
        .collect();
    assert_eq!(web, ["WAITING", "STARTING", "RUNNING", "STOPPING", "STOPPED", "WAITING", "STARTING", "RUNNING"]);
}

/// A watchdog of two seconds outlasts five seconds in which its messages could not be read.
#[test]
fn a_pause_moves_every_deadline_that_it_outlasts_and_no_other() {
    let text = |act: &str| {
        format!(
            "until = \"20s\"\nact = [{act}]\nexpect = [{{ program = \"web\", restarts = 0 }}]\n\
             [program.web]\nwatchdog = \"2s\"\nready = \"notify\"\nstart_timeout = \"3s\"\n[runs]\nweb = \"ready@2s hang\"\n"
        )
    };
    let pauses = |act: &str| {
        let timeline = check(&text(act));
        let told = timeline.moments.iter().filter_map(|moment| match moment.what {
            What::Paused { span, lost } => Some((moment.at.since_origin(), span, lost.is_some())),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let s = Duration::from_secs;
    let mid_start = pauses("{ at = \"1500ms\", do = \"pause\", for = \"5s\" }");
    assert_eq!(mid_start, [(Duration::from_millis(6500), s(5), true)]);
    assert_eq!(pauses("{ at = \"10s\", do = \"pause\", for = \"5s\" }"), [(s(15), s(5), true)]);
    // Too short for anything to be missed.
    let short = pauses("{ at = \"10s\", do = \"pause\", for = \"100ms\" }");
    assert_eq!(short, [(Duration::from_millis(10_100), Duration::from_millis(100), false)]);
}

#[test]
fn the_same_is_simulated_each_time() {
    let text = "[runs]\nweb = \"1@1s ×*\"\n[program.web]\nbackoff = { jitter = 1 }\n";
    assert_eq!(check(text).moments, check(text).moments);
}

/// A run without a limit has as much memory as it likes.
#[test]
fn too_much_memory_is_a_failure_where_there_is_a_limit() {
    let story = |limit: &str, restarts: u32| {
        check(&format!(
            "until = \"60s\"\nexpect = [{{ program = \"web\", restarts = {restarts} }}]\n\
             [program.web]\n{limit}\n[runs]\nweb = \"memory@30s, hang\"\n"
        ))
    };
    story("memory_max = \"512MB\"", 1);
    story("", 0);
}

/// An OOM kill has a rule of its own, and a SIGKILL from elsewhere is another end.
#[test]
fn an_oom_kill_is_told_from_another_sigkill() {
    let story = |run: &str, state: &str| {
        check(&format!(
            "until = \"9s\"\nexpect = [{{ program = \"web\", at = \"5s\", state = \"{state}\" }}]\n\
             [program.web]\non_exit = {{ oom = \"fatal\", signal = \"stop\" }}\n[runs]\nweb = \"{run}\"\n"
        ))
    };
    story("oom@4s", "FATAL");
    story("sig:KILL@4s", "EXITED");
}

/// Wherever a life is cut, the copy goes on as the original does, down to its random delays.
#[test]
fn a_copy_lives_on_as_the_original() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("scenario.toml");
    let text = "[program.web]\nrestart = \"always\"\nstartsecs = 1\nstartretries = 12\n\
                [program.timer]\nschedule = \"*/5 * * * *\"\n[program.db]\ndepends_on = [\"web\"]\n";
    std::fs::write(&path, text).expect("the directory is ours");
    let read = crate::scenario::load_scenario(&path, &|_| None, "host", &muster_config::open_any);
    let spec = read.loaded.spec.as_ref().unwrap_or_else(|| panic!("{}", read.loaded.render(false)));
    let plan = |until| SimulationPlan {
        scripts: BTreeMap::from([("web".to_owned(), Script::parse("1@0s ×*").expect("it is a script"))]),
        stop_at: None,
        pauses: Vec::new(),
        connects: Vec::new(),
        until,
        from: 1_767_225_600,
        seed: 7,
        ties: Ties::default(),
        mask: str::to_owned,
    };
    let changes = |timeline: &Timeline, from: Time| -> Vec<_> {
        let all = timeline.changes().map(|(at, change)| (at, change.instance, change.from, change.to));
        all.filter(|(at, ..)| *at > from).collect()
    };
    let hour = Duration::from_secs(3600);
    let whole = simulate(spec, &plan(hour));
    assert!(changes(&whole, Time::ZERO).len() > 20, "there is something to compare: {:?}", whole.moments);
    for second in [1, 2, 5, 17, 60, 250, 299, 600, 1801, 3599] {
        let cut = Duration::from_millis(second * 1000 + 500);
        let begin = plan(cut);
        let mut world = World::of(spec, &begin, None);
        world.run();
        let now = Time::from_origin(cut);
        let living = living::Living { supervisor: world.supervisor.clone(), now, agenda: world.agenda.clone() };
        let rest = living::go_on(living, &plan(hour), usize::MAX, &|| true);
        assert_eq!(changes(&rest, now), changes(&whole, now), "cut at {cut:?}");
    }
}
