//! The output of a simulation is written as it happens, so hours need no more memory than one.

mod harness;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

#[test]
fn hours_as_data_take_little_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (config, output) = (directory.path().join("muster.toml"), directory.path().join("day.json"));
    let programs = "[program.web]\ncommand = \"web\"\nstartretries = \"unlimited\"\nbackoff = { max = \"1s\" }\n";
    fs::write(&config, programs).expect("it is ours");
    // The peak in kB. The pages of the executable count, so it is compared with that of a shorter simulation.
    let peak = |until: &str| {
        let mut simulation = Command::new(harness::musterd())
            .args(["simulate", "--runs", "1@1s ×*", "--until", until, "--json", "-c"])
            .arg(&config)
            .stdout(fs::File::create(&output).expect("the test directory is writable"))
            .spawn()
            .expect("it can be executed");
        let mut most = 0;
        let status = loop {
            let status = fs::read_to_string(format!("/proc/{}/status", simulation.id())).unwrap_or_default();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            most = most.max(peak.unwrap_or(0));
            if let Some(status) = simulation.try_wait().expect("it is a child of this process") {
                break status;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        assert!(status.success());
        most
    };
    let hour = peak("1h");
    let most = peak("6h");
    let text = fs::read_to_string(&output).expect("it was written");
    let value: Value = serde_json::from_str(&text).expect("--json writes JSON");
    assert!(text.starts_with("{\"timeline\":["), "{}", &text[..100]);
    let count = value["timeline"].as_array().map_or(0, Vec::len);
    assert!(count > 20_000 && value["programs"][0]["runs"].as_u64().is_some_and(|runs| runs > 10_000), "{count}");
    assert!((1..hour + 4_000).contains(&most), "{most} kB for {count} changes, {hour} for a sixth of them");
}
