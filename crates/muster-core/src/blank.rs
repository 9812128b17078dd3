//! Stand-ins for the configuration of an instance that is read from data, until it gets its own back.

use std::sync::Arc;
use std::time::Duration;

use muster_spec::{
    Essential, ExitRules, InstanceSpec, Kind, Leftovers, Numprocs, ProcessSpec, ProgramSpec, RestartPolicy,
};
use muster_spec::{StartDelay, StartOn, StopKill, StopScope, StopSpec};

/// Stands for the program of an instance that is being restored.
pub(crate) fn no_program() -> Arc<ProgramSpec> {
    let stop = StopSpec {
        steps: Vec::new(),
        scope: StopScope::Main,
        kill: StopKill::Tree,
        leftovers: Leftovers::Stop,
        leftover_wait: StopSpec::LEFTOVER_WAIT,
    };
    Arc::new(ProgramSpec {
        name: String::new(),
        groups: Vec::new(),
        kind: Kind::Service,
        autostart: false,
        start_on: StartOn::Boot,
        start_delay: StartDelay::NONE,
        once: false,
        restart: RestartPolicy::DEFAULT,
        startsecs: Duration::ZERO,
        max_runtime: None,
        exit_codes: Vec::new(),
        on_exit: ExitRules::default(),
        depends_on: Vec::new(),
        restart_with: Vec::new(),
        priority: 0,
        stop_unit: None,
        order: None,
        essential: Essential::No,
        stop,
        reload_signal: None,
        schedule: None,
        unshown: None,
        numprocs: Numprocs::of(1),
        rolling: None,
        recycle_after: None,
        watch: None,
        instances: Vec::new(),
    })
}

/// Stands for the configuration of an instance that is being restored.
pub(crate) fn no_instance() -> Arc<InstanceSpec> {
    Arc::new(InstanceSpec {
        start_timeout: Duration::ZERO,
        ..InstanceSpec::of(String::new(), ProcessSpec::of(Vec::new()))
    })
}
