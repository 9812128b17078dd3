//! How long the core takes for many instances at once: boot, crash, copy, restart, stop and shutdown of all of them.
//!
//! `cargo run -p muster-core --profile dist-dev --example speed`. Times must grow linearly with the number, not
//! quadratically; with a separate priority for each instance there are as many waves as instances. With dependencies,
//! each program depends on up to three others at random.

use std::sync::Arc;
// The core has no clock; the measurement needs one.
use std::time::Duration;
#[allow(clippy::disallowed_types)]
use std::time::Instant;

use muster_core::{
    Effect, Input, Principal, RequestId, Settings, ShutdownReason, Supervisor, Time, Verb, random::Random,
};
use muster_spec::{
    Dependency, DependencyCondition, Essential, Exit, InstanceSpec, Kind, Leftovers, Numprocs, OutputSpec, ProcessSpec,
    ProgramSpec, RestartPolicy, RunId, Signal, StopKill, StopScope, StopSpec, StopStep, Target,
};

fn main() {
    println!("{:>9} {:>9} {:>9}  what, and how long in ms", "instances", "waves", "edges");
    for instances in [1_000, 10_000, 100_000] {
        for waves in [1, 100, instances] {
            measure(instances, waves, 0);
        }
        measure(instances, 1, 3);
    }
}

fn measure(instances: u32, waves: u32, most_needs: u64) {
    let mut random = Random::seeded(1);
    let one = |number| {
        let program = program(number, number % waves);
        let count = if number == 0 || most_needs == 0 { 0 } else { random.next_bits() % (most_needs + 1) };
        let need = |_| Dependency {
            program: format!("p{}", random.next_bits() % u64::from(number)),
            condition: DependencyCondition::Started,
        };
        Arc::new(ProgramSpec { depends_on: (0..count).map(need).collect(), ..program })
    };
    let programs: Vec<Arc<ProgramSpec>> = (0..instances).map(one).collect();
    let edges: usize = programs.iter().map(|program| program.depends_on.len()).sum();
    let settings = Settings::DEFAULT;
    let mut shell = Shell { core: Supervisor::new(settings, &programs, 0), now: Time::ZERO, effects: 0 };
    let mut told = Vec::new();
    let mut time = |what: &str, act: &mut dyn FnMut()| {
        #[allow(clippy::disallowed_types)]
        let began = Instant::now();
        act();
        told.push(format!("{what} {:.1}", began.elapsed().as_secs_f64() * 1e3));
    };
    time("boot", &mut || shell.hand(Input::Booted));
    time("crash", &mut || shell.crash_all());
    time("retry", &mut || shell.pass_time());
    // A simulation of the living daemon begins with a copy.
    time("copy", &mut || std::mem::forget(shell.core.clone()));
    time("restart", &mut || shell.command(Verb::Restart));
    time("stop", &mut || shell.command(Verb::Stop));
    time("start", &mut || shell.command(Verb::Start));
    time("shutdown", &mut || {
        shell.hand(Input::ShutdownAsked { reason: ShutdownReason::Signal(Signal::TERM), timeout: None });
    });
    println!("{instances:>9} {waves:>9} {edges:>9}  {} ({} effects)", told.join(", "), shell.effects);
}

/// Carries effects out immediately: a spawned program runs, one that gets a stop signal stops.
struct Shell {
    core: Supervisor,
    now: Time,
    effects: u64,
}

impl Shell {
    fn hand(&mut self, input: Input) {
        self.core.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            self.effects += 1;
            match effect {
                Effect::Spawn { run, .. } => self.core.handle_input(self.now, Input::Spawned { run }),
                Effect::Signal { run, signal: Signal::TERM, .. } => self.end(run, Exit::Code(0)),
                _ => {}
            }
        }
    }

    fn end(&mut self, run: RunId, exit: Exit) {
        self.core.handle_input(self.now, Input::Exited { run, exit });
        self.core.handle_input(self.now, Input::TreeGone { run });
    }

    fn crash_all(&mut self) {
        let runs: Vec<RunId> = self.core.snapshot().iter().filter_map(|instance| instance.run()).collect();
        for run in runs {
            self.end(run, Exit::Code(1));
        }
        self.drain();
    }

    fn pass_time(&mut self) {
        self.now = self.core.poll_timeout().unwrap_or(self.now);
        self.core.handle_timeout(self.now);
        self.drain();
    }

    fn command(&mut self, verb: Verb) {
        let select = "all".parse().expect("\"all\" is a valid selector");
        self.hand(Input::Commanded { request: RequestId(1), select, verb, wait: true, by: Principal::Uid(0) });
    }
}

fn program(number: u32, priority: u32) -> ProgramSpec {
    let name = format!("p{number}");
    let process = ProcessSpec::of(vec!["sleep".to_owned(), "infinity".to_owned()]);
    let output = Arc::new(OutputSpec { stdout: Target::Discard, stderr: None, ..OutputSpec::default() });
    let instance = InstanceSpec { output, ..InstanceSpec::of(name.clone(), process) };
    let stop = StopStep { signal: Signal::TERM, patience: Duration::from_secs(10) };
    ProgramSpec {
        name,
        groups: Vec::new(),
        kind: Kind::Service,
        autostart: true,
        start_on: muster_spec::StartOn::Boot,
        start_delay: muster_spec::StartDelay::NONE,
        once: false,
        restart: RestartPolicy::DEFAULT,
        startsecs: Duration::ZERO,
        max_runtime: None,
        exit_codes: vec![0],
        on_exit: Default::default(),
        depends_on: Vec::new(),
        restart_with: Vec::new(),
        priority: i64::from(priority),
        stop_unit: None,
        order: None,
        essential: Essential::No,
        stop: StopSpec {
            steps: vec![stop],
            scope: StopScope::Main,
            kill: StopKill::Tree,
            leftovers: Leftovers::Stop,
            leftover_wait: StopSpec::LEFTOVER_WAIT,
        },
        reload_signal: None,
        schedule: None,
        unshown: None,
        numprocs: Numprocs::of(1),
        rolling: None,
        recycle_after: None,
        watch: None,
        instances: vec![Arc::new(instance)],
    }
}
