//! The cost of dependencies at boot: the same programs with and without them.

use std::collections::BTreeSet;

use super::scene::{Scene, median, now_ns, report, signal};

const MANY: usize = 1000;
const ROUNDS: usize = 5;

/// Each program depends on up to three earlier ones, chosen by a fixed pseudorandom sequence.
fn dependencies(number: usize, state: &mut u64) -> String {
    let mut next = |bound: usize| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as usize % bound
    };
    let needs = if number == 0 { 0 } else { next(4) };
    let needs: BTreeSet<usize> = (0..needs).map(|_| next(number)).collect();
    let needs: Vec<String> = needs.into_iter().map(|need| format!("p{need:04}")).collect();
    format!("depends_on = {needs:?}\n")
}

pub(crate) fn boot(scene: &Scene) {
    let sleeper = scene.sleeper.display().to_string();
    let mut booted = [Vec::new(), Vec::new()];
    for round in 0..2 * ROUNDS {
        let with_dependencies = round % 2;
        let mut fifo = scene.fifo();
        let command = [sleeper.as_str(), fifo.path.to_str().expect("we made it of text")];
        let mut text = format!("[http]\nsocket = {:?}\n[defaults]\nstartsecs = 0\n", scene.socket());
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for number in 0..MANY {
            text.push_str(&format!("[program.p{number:04}]\ncommand = {command:?}\n"));
            if with_dependencies == 1 {
                text.push_str(&dependencies(number, &mut state));
            }
        }
        let path = scene.directory.path().join("graph.toml");
        std::fs::write(&path, text).expect("the test directory is writable");
        let began = now_ns();
        let mut running = scene.start_musterd(&path);
        let last = (0..MANY).map(|_| fifo.next().1).max().expect("there are some");
        booted[with_dependencies].push((last - began) as f64 / 1e6);
        signal(i64::from(running.0.id()), libc::SIGTERM);
        running.0.wait().expect("it is a child of this process");
    }
    let [without, with] = booted.map(median);
    let measured = format!("{with:.0} ms, without {without:.0} ms: {:.2} ×", with / without);
    report("boot of 1 000 programs in a random graph", measured, "1.2 ×", with <= 1.2 * without);
}
