//! `numprocs = "cpus"`.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use common::{Here, program};

#[test]
fn as_many_instances_as_processors_within_the_bounds() {
    let here = Here::new(&[(
        "c.toml",
        "[defaults]\ncommand = \"x\"\nnumprocs = \"cpus\"\n[program.plain]\n[program.few]\nnumprocs_max = 4
         [program.many]\nnumprocs_min = 9\n[program.one]\nnumprocs = 1",
    )]);
    let paths = [here.path("c.toml")];
    let count = |processors: u32| {
        let source = muster_config::Source {
            processors: &move || processors,
            ..muster_config::Source::unguarded(&paths, &|_| None, "box")
        };
        let loaded = muster_config::load(&source);
        let spec = loaded.spec.as_ref().unwrap_or_else(|| panic!("{}", loaded.render(false)));
        ["plain", "few", "many", "one"].map(|name| program(spec, name).instances.len())
    };
    assert_eq!(count(6), [6, 4, 9, 1]);
    assert_eq!(count(1), [1, 1, 9, 1]);
    assert_eq!(count(2000), [1000, 4, 1000, 1]);
}
