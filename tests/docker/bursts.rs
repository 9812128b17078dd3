//! A program that writes a burst, read by `docker logs`: the engine's driver is a slow reader, but not a stalled one.

use crate::container::Recipe;
use crate::engine::{is_wanted, services, together};

/// 5 MB, a number a line.
const CONFIG: &str = "\
[program.web]
type = 'oneshot'
command = ['seq', '1000001', '1625000']
";

#[test]
fn five_megabytes_at_once_reach_docker_logs() {
    if !is_wanted() {
        return;
    }
    let _shared = together();
    // As many rounds as in the measurement where most runs lost lines. The engine must not rotate its own 60 MB.
    for round in 0..14 {
        let (code, log) = Recipe::of(services()).options("--log-opt max-size=400m").config(CONFIG).run();
        assert_eq!(code, 0, "round {round}");
        let numbers = log.lines().filter_map(|line| line.strip_prefix("web | ")?.parse::<u32>().ok());
        let lost = log.lines().filter(|line| line.contains("lost here")).collect::<Vec<_>>();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        assert!(numbers.eq(1_000_001..=1_625_000), "round {round}: lines are missing without a mark");
    }
}
