//! Benchmarks of the promised speed and size: `cargo bench`.
//!
//! Each figure is compared with a bare C loop that does only that job, in the same run. Nothing here fails on a slow
//! day; it prints the promise beside the measurement. `MUSTER_BIN_DIR=DIR` measures other executables, such as a static
//! release build; `cargo bench -- restart` runs one benchmark. Needs `cc`.

mod api;
mod footprint;
mod graph;
mod logs;
mod peers;
mod probes;
mod scene;
mod speed;
mod supervisord;

use scene::Scene;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let scene = Scene::new();
    println!("musterd: {}\n", scene.musterd.display());
    type Measure = fn(&Scene);
    let promises: [(&str, Measure); 11] = [
        ("restart", speed::restart),
        ("boot", speed::boot_and_stop),
        ("graph", graph::boot),
        ("cli", api::status),
        ("api", api::requests),
        ("via", api::via),
        ("supervisorctl", supervisord::list_of_a_thousand),
        ("memory", footprint::memory),
        ("idle", footprint::idle),
        ("probes", probes::two_hundred),
        ("logs", logs::logs),
    ];
    for (name, measure) in promises {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure(&scene);
        }
    }
}
