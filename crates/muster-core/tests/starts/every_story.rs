//! Every story of a program with a start delay, alone and with another one that takes the only turn, beside a model of when a
//! first run may begin.

use muster_core::{Time, Verb};
use muster_spec::{Goal, Limit, ProgramSpec, RestartPolicy, RestartWhen, StartDelay, State};

use crate::common::programs::{quick, s};
use crate::play::Play;

const DELAY: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Start,
    Stop,
    Restart,
    Shutdown,
    IsSpawned,
    Fails,
    ExitsWell,
    IsGone,
    TimePasses,
    OtherIsSpawned,
    OtherStops,
    OtherRestarts,
}

const STEPS: [Step; 12] = [
    Step::Start,
    Step::Stop,
    Step::Restart,
    Step::Shutdown,
    Step::IsSpawned,
    Step::Fails,
    Step::ExitsWell,
    Step::IsGone,
    Step::TimePasses,
    Step::OtherIsSpawned,
    Step::OtherStops,
    Step::OtherRestarts,
];

/// The wait before the next run, as the documentation has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    None,
    /// When nothing else keeps it.
    Pending,
    Until(Time),
}

#[derive(Clone)]
struct Walk {
    play: Play,
    has_other: bool,
    is_executed: bool,
    wait: Wait,
    story: Vec<Step>,
}

impl Walk {
    fn begin(programs: Vec<ProgramSpec>, most: u32) -> Walk {
        let settings = muster_core::Settings { max_parallel_starts: most, ..crate::common::programs::SETTINGS };
        let has_other = programs.len() > 1;
        let play = Play::of_list(settings, programs);
        let mut walk = Walk { play, has_other, is_executed: false, wait: Wait::Pending, story: Vec::new() };
        walk.look(State::Stopped, false);
        walk
    }

    fn can_happen(&self, step: Step) -> bool {
        let has_main = |name| self.play.one(name).run_began().is_some();
        let has_leftovers = |name| self.play.one(name).run().is_some() && !has_main(name);
        let other_starts = || self.has_other && self.play.state("other") == State::Starting;
        match step {
            Step::Start | Step::Stop | Step::Restart | Step::Shutdown => true,
            Step::IsSpawned => has_main("web") && !self.is_executed,
            Step::Fails | Step::ExitsWell => has_main("web") && self.is_executed,
            Step::IsGone => has_leftovers("web"),
            Step::TimePasses => self.play.core.poll_timeout().is_some(),
            Step::OtherIsSpawned => other_starts(),
            Step::OtherStops | Step::OtherRestarts => {
                self.has_other && matches!(self.play.state("other"), State::Starting | State::Running)
            }
        }
    }

    fn take(&mut self, step: Step) {
        self.story.push(step);
        let web = self.play.one("web");
        let (before, was_wanted) = (web.state(), web.goal() == Goal::Up);
        let was_up = matches!(before, State::Starting | State::Running);
        let was_down = matches!(before, State::Stopped | State::Exited | State::Fatal);
        let is_closing = self.play.core.is_shutting_down();
        match step {
            Step::Start if is_closing => {}
            Step::Start if was_down || !was_wanted && !was_up => self.wait = Wait::Pending,
            Step::Start | Step::Restart | Step::Stop | Step::Shutdown => self.wait = Wait::None,
            _ => {}
        }
        let play = &mut self.play;
        match step {
            Step::Start => drop(play.ask("web", Verb::Start)),
            Step::Stop => drop(play.ask("web", Verb::Stop)),
            Step::Restart => drop(play.ask("web", Verb::Restart)),
            Step::Shutdown => play.shutdown(),
            Step::IsSpawned => {
                play.is_spawned("web");
                self.is_executed = true;
            }
            Step::Fails => play.main_ends("web", 1),
            Step::ExitsWell => play.main_ends("web", 0),
            Step::IsGone => play.is_gone("web"),
            Step::TimePasses => {
                let at = play.core.poll_timeout().expect("it can happen");
                let by = at.since(play.now);
                play.later(by);
            }
            Step::OtherIsSpawned => play.is_spawned("other"),
            Step::OtherStops => {
                play.ask("other", Verb::Stop);
                play.exits("other", 0);
            }
            Step::OtherRestarts => {
                play.ask("other", Verb::Restart);
                play.exits("other", 0);
            }
        }
        self.look(before, is_closing);
    }

    fn look(&mut self, before: State, was_closing: bool) {
        let (play, story) = (&self.play, &self.story);
        let web = play.one("web");
        // Before the wait begins, an earlier run must be gone.
        if self.wait == Wait::Pending && web.run().is_none() && web.goal() == Goal::Up {
            self.wait = Wait::Until(play.now + s(DELAY));
        }
        let was_spawned = play.spawned.iter().any(|name| name == "web");
        if was_spawned {
            assert!(!was_closing, "a start during the shutdown, after {story:?}");
            let may = match self.wait {
                Wait::None => true,
                Wait::Until(at) => at <= play.now,
                Wait::Pending => false,
            };
            assert!(may, "a start before {:?} in {before}, after {story:?}", self.wait);
            (self.wait, self.is_executed) = (Wait::None, false);
        }
        let waits = matches!(self.wait, Wait::Until(at) if at > play.now) && web.goal() == Goal::Up;
        if waits {
            assert_eq!(web.state(), State::Waiting, "after {story:?}");
            let Wait::Until(at) = self.wait else { unreachable!("it was matched") };
            assert_eq!(web.start_delay_until(), Some(at), "after {story:?}");
            assert_eq!(web.earliest_deadline(), Some(at), "after {story:?}");
        } else {
            assert_eq!(web.start_delay_until(), None, "after {story:?}");
        }
        let starting = play.core.snapshot().iter().filter(|one| one.state() == State::Starting).count();
        let has_room = !self.has_other || starting == 0;
        let is_held_up = waits || web.run().is_some() || !has_room;
        assert!(web.state() != State::Waiting || is_held_up, "stuck, after {story:?}");
        assert!(!self.has_other || starting <= 1, "{starting} at a time, after {story:?}");
        assert!(!web.awaits_turn() || web.state() == State::Waiting && !waits, "after {story:?}");
        let last = story.last();
        if matches!(last, Some(Step::Stop)) && before == State::Waiting && web.run().is_none() {
            assert_eq!(web.state(), State::Stopped, "a stop is immediate, after {story:?}");
            assert_eq!(web.earliest_deadline(), None, "after {story:?}");
        }
    }

    fn on(&self, depth: usize, count: &mut u64) {
        for step in STEPS.into_iter().filter(|&step| self.can_happen(step)) {
            let mut next = self.clone();
            next.take(step);
            *count += 1;
            if depth > 1 && next.play.exit.is_none() {
                next.on(depth - 1, count);
            }
        }
    }
}

fn web() -> ProgramSpec {
    let restart = RestartPolicy { limit: Limit::Retries(1), when: RestartWhen::OnFailure, ..RestartPolicy::DEFAULT };
    let start_delay = StartDelay { delay: s(DELAY), ..StartDelay::NONE };
    ProgramSpec { start_delay, restart, ..quick("web") }
}

#[test]
fn every_story_of_one_program_to_depth_seven() {
    let mut count = 0;
    Walk::begin(vec![web()], 0).on(7, &mut count);
    println!("{count} steps");
    assert!(count > 50_000, "{count} steps");
}

#[test]
fn every_story_beside_one_that_takes_the_only_turn_to_depth_six() {
    let mut count = 0;
    Walk::begin(vec![web(), quick("other")], 1).on(6, &mut count);
    println!("{count} steps");
    assert!(count > 100_000, "{count} steps");
}
