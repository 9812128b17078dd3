//! With real directories and reports, and time that passes as the tests say.

use std::fs;
use std::path::Path;

use muster_spec::{WatchPath, WatchRate};
use tempfile::TempDir;

use super::*;
use crate::pattern::Patterns;

const MS: Duration = Duration::from_millis(1);

struct Stage {
    place: TempDir,
    followers: Followers,
    queue: Queue,
    now: Instant,
    said: Vec<String>,
    problems: Vec<String>,
    looks: usize,
    /// Waiting for reports with tokio needs its reactor.
    _runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn of(patterns: &[&str], change: impl Fn(&mut WatchSpec)) -> Stage {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let queue = runtime.block_on(async { Queue::new().unwrap().0 });
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a.py"), "1").unwrap();
        let mut all = Patterns::default();
        patterns.iter().for_each(|pattern| all.add(&format!("{}/{pattern}", place.path().display())));
        let mut spec = WatchSpec::of(vec![WatchPath::Pattern(String::new())]);
        change(&mut spec);
        let source = Source { patterns: all, user: None, trusts_links: true, is_configuration: false };
        let mut stage = Stage {
            place,
            followers: Followers::default(),
            queue,
            now: Instant::now(),
            said: Vec::new(),
            problems: Vec::new(),
            looks: 0,
            _runtime: runtime,
        };
        stage.followers.adopt(stage.now, vec![("web".to_owned(), spec, vec![source])], Some(&stage.queue));
        stage.turn();
        stage
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn write(&self, name: &str) {
        fs::write(self.path().join(name), format!("{:?}", Instant::now())).unwrap();
    }

    /// Takes in reports and does what is due, without any time passing.
    fn turn(&mut self) {
        while let Ok(reports) = self.queue.read() {
            reports.iter().for_each(|report| self.followers.take(self.now, report));
        }
        for (number, look) in self.followers.begin_looks(self.now, Some(&self.queue)) {
            self.looks += 1;
            let told = self.followers.end_look(self.now, number, Some(look.run()), Some(&self.queue));
            self.problems.extend(told.into_iter().flat_map(|told| told.problems));
        }
        for change in self.followers.take_changes(self.now) {
            self.said.push(match change {
                Ok(change) => change.files,
                Err((program, left)) => format!("{program} held for {left:?}"),
            });
        }
    }

    /// Time passes, and what is due is done when it is.
    fn after(&mut self, span: Duration) {
        let until = self.now + span;
        self.turn();
        while let Some(at) = self.followers.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = until;
    }

    fn said(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.said), expected);
    }
}

#[test]
fn a_burst_is_one_change_once_it_is_quiet_and_then_there_is_no_deadline() {
    let mut stage = Stage::of(&["**/*.py"], |_| {});
    assert_eq!(stage.followers.deadline(), None);
    for _ in 0..5 {
        stage.write("a.py");
        stage.write("b.py");
        stage.after(200 * MS);
    }
    stage.said(&[]);
    stage.after(99 * MS);
    stage.said(&[]);
    stage.after(MS);
    stage.said(&["a.py and 1 other"]);
    assert_eq!(stage.followers.deadline(), None);
    stage.write("notes.txt");
    stage.after(1000 * MS);
    stage.said(&[]);
}

#[test]
fn changes_without_end_have_their_effect_each_minute() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    for _ in 0..1300 {
        stage.write("a.py");
        stage.after(100 * MS);
    }
    stage.said(&["a.py", "a.py"]);
}

#[test]
fn beyond_the_rate_a_change_is_held_and_said_once() {
    let mut stage = Stage::of(&["*.py"], |spec| spec.at_most = WatchRate { times: 2, per: 60_000 * MS });
    for _ in 0..4 {
        stage.write("a.py");
        stage.after(1000 * MS);
    }
    let said = std::mem::take(&mut stage.said);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[2].starts_with("web held for 5"), "{said:?}");
    stage.after(60_000 * MS);
    stage.said(&["a.py"]);
    assert_eq!(stage.followers.deadline(), None);
}

#[test]
fn lost_reports_are_found_by_looking_and_are_no_change_themselves() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    let lost = Report { token: None, name: None, kind: Kind::Nothing };
    stage.followers.take(stage.now, &lost);
    stage.after(1000 * MS);
    stage.said(&[]);
    stage.write("a.py");
    while stage.queue.read().is_ok() {}
    stage.followers.take(stage.now, &lost);
    stage.after(1000 * MS);
    stage.said(&["a watched file"]);
}

#[test]
fn a_file_counts_when_it_is_closed() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    let file = fs::File::create(stage.path().join("new.py")).unwrap();
    stage.after(1000 * MS);
    stage.said(&[]);
    drop(file);
    stage.after(1000 * MS);
    stage.said(&["new.py"]);
    fs::remove_file(stage.path().join("new.py")).unwrap();
    stage.after(1000 * MS);
    stage.said(&["new.py"]);
}

#[test]
fn new_directories_are_watched_before_it_is_quiet() {
    let mut stage = Stage::of(&["**/*.py"], |_| {});
    fs::create_dir_all(stage.path().join("x/y")).unwrap();
    stage.after(10 * MS);
    stage.write("x/y/z.py");
    stage.after(290 * MS);
    stage.said(&[]);
    stage.after(10 * MS);
    stage.said(&["x/y/z.py"]);
}

#[test]
fn a_removed_program_is_forgotten_while_it_is_looked_at() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    stage.write("a.py");
    stage.turn();
    stage.now += 300 * MS;
    let looks = stage.followers.begin_looks(stage.now, Some(&stage.queue));
    stage.followers.adopt(stage.now, Vec::new(), Some(&stage.queue));
    for (number, look) in looks {
        let told = stage.followers.end_look(stage.now, number, Some(look.run()), Some(&stage.queue));
        assert!(told.is_none());
    }
    stage.turn();
    stage.said(&[]);
    while stage.queue.read().is_ok() {}
    stage.write("a.py");
    assert!(stage.queue.read().is_err(), "no report is wanted");
}

#[test]
fn a_look_that_could_not_be_made_is_not_repeated_by_a_timer() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    fs::create_dir(stage.path().join("d.py")).unwrap();
    stage.write("a.py");
    while let Ok(reports) = stage.queue.read() {
        reports.iter().for_each(|report| stage.followers.take(stage.now, report));
    }
    stage.now += 300 * MS;
    for (number, _) in stage.followers.begin_looks(stage.now, Some(&stage.queue)) {
        stage.followers.end_look(stage.now, number, None, Some(&stage.queue));
    }
    stage.turn();
    // The report still counts.
    stage.said(&["a.py"]);
    assert_eq!(stage.followers.deadline(), None);
}

#[test]
fn a_look_that_hangs_keeps_no_change_from_its_effect() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    stage.write("a.py");
    stage.turn();
    stage.now += 300 * MS;
    let looks = stage.followers.begin_looks(stage.now, Some(&stage.queue));
    assert_eq!(looks.len(), 1);
    stage.after(9_999 * MS);
    stage.said(&[]);
    stage.after(MS);
    stage.said(&["a.py"]);
    assert_eq!(stage.followers.deadline(), None);
}

#[test]
fn a_reload_during_a_look_begins_anew_and_is_no_change() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    stage.write("a.py");
    stage.turn();
    stage.now += 300 * MS;
    let looks = stage.followers.begin_looks(stage.now, Some(&stage.queue));
    let mut patterns = Patterns::default();
    patterns.add(&format!("{}/*.rs", stage.path().display()));
    let source = Source { patterns, user: None, trusts_links: true, is_configuration: false };
    let spec = WatchSpec::of(Vec::new());
    stage.followers.adopt(stage.now, vec![("web".to_owned(), spec, vec![source])], Some(&stage.queue));
    for (number, look) in looks {
        let told = stage.followers.end_look(stage.now, number, Some(look.run()), Some(&stage.queue));
        assert!(told.is_none());
    }
    stage.after(1000 * MS);
    // The change before it still counts.
    stage.said(&["a.py"]);
    stage.write("a.py");
    stage.after(1000 * MS);
    stage.said(&[]);
    stage.write("a.rs");
    stage.after(1000 * MS);
    stage.said(&["a.rs"]);
}

#[test]
fn further_looks_wait_for_their_turn_without_a_timer() {
    let mut stage = Stage::of(&["*.py"], |_| {});
    let source = stage.followers.followers.values().next().map(|follower| follower.sources[0].clone()).unwrap();
    let program = |number: usize| (format!("p{number}"), WatchSpec::of(Vec::new()), vec![source.clone()]);
    stage.followers.adopt(stage.now, (0..100).map(program).collect(), Some(&stage.queue));
    let mut made = 0;
    loop {
        let looks = stage.followers.begin_looks(stage.now, Some(&stage.queue));
        if looks.is_empty() {
            break;
        }
        assert_eq!(looks.len(), MOST_LOOKS.min(100 - made));
        assert!(looks.len() < MOST_LOOKS || stage.followers.deadline().is_none());
        for (number, look) in looks {
            assert!(stage.followers.end_look(stage.now, number, Some(look.run()), Some(&stage.queue)).is_some());
            made += 1;
        }
    }
    assert_eq!((made, stage.followers.deadline()), (100, None));
    stage.write("a.py");
    stage.after(1000 * MS);
    assert_eq!(stage.said.len(), 100);
}
