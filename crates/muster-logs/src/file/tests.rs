//! Tests of the module above.

use super::*;
use std::fs;

use muster_spec::Rotation;
use tempfile::TempDir;

const NEVER: Rotation = Rotation { max_size: 0, max_files: 0, compress: false };

/// A file and the time, which passes only as told.
struct Scene {
    directory: TempDir,
    log: LogFile,
    counters: Counters,
    now: Instant,
}

impl Scene {
    fn of(name: &str, max_size: u64, max_files: u32) -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let rotation = Rotation { max_size, max_files, compress: false };
        let log = LogFile::at(&path, rotation, &Arc::default());
        Scene { directory, log, counters: Counters::default(), now: Instant::now() }
    }

    fn append(&mut self, text: &str) {
        let rest = self.log.append(Piece { bytes: text.as_bytes(), counters: &self.counters, now: self.now });
        assert_eq!(rest, Left::Nothing, "there is room");
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_else(|error| error.kind().to_string())
    }

    fn lost(&self) -> (u64, u64) {
        let counts = self.counters.counts();
        (counts.dropped_lines, counts.dropped_bytes)
    }
}

#[test]
fn bytes_are_appended_and_the_directory_is_made() {
    let mut scene = Scene::of("log/web.log", 0, 0);
    scene.append("one\n");
    scene.log.reopen(scene.now);
    scene.append("two\n");
    assert_eq!(scene.read("log/web.log"), "one\ntwo\n");
}

#[test]
fn a_full_file_is_rotated_at_the_end_of_a_line() {
    let mut scene = Scene::of("web.log", 10, 2);
    scene.append("1234\n");
    scene.append("5678\nabc\nde");
    scene.append("f\n");
    assert_eq!((scene.read("web.log"), scene.read("web.log.1")), ("abc\ndef\n".into(), "1234\n5678\n".into()));
    scene.append("reaches ten\n");
    assert_eq!((scene.read("web.log"), scene.read("web.log.1")), ("".into(), "abc\ndef\nreaches ten\n".into()));
    scene.append("more than ten\nla");
    scene.append("st\n");
    assert_eq!(scene.read("web.log"), "last\n");
    assert_eq!(scene.read("web.log.1"), "more than ten\n");
    assert_eq!(scene.read("web.log.2"), "abc\ndef\nreaches ten\n");
    assert_eq!(scene.read("web.log.3"), "entity not found");
}

#[test]
fn a_file_of_which_nothing_is_kept_is_emptied_in_place() {
    let mut scene = Scene::of("web.log", 10, 0);
    scene.append("1\n");
    let mut before = fs::File::open(scene.directory.path().join("web.log")).unwrap();
    scene.append("more than ten\n");
    assert_eq!((scene.read("web.log"), before.metadata().unwrap().len()), ("".into(), 0));
    scene.append("more\n");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut before, &mut text).unwrap();
    assert_eq!((text.as_str(), scene.read("web.log.1").as_str()), ("more\n", "entity not found"));
}

#[test]
fn joined_in_order_rotated_files_are_what_was_written() {
    for max_size in [1, 7, 64, 1000] {
        let mut scene = Scene::of("web.log", max_size, 1000);
        let mut written = String::new();
        for number in 0..300_usize {
            let text = format!("{}{}", "x".repeat(number * 7 % 40), if number % 3 == 0 { "" } else { "\n" });
            scene.append(&text);
            written.push_str(&text);
        }
        let earlier: String = (1..=1000)
            .rev()
            .map(|k| scene.read(&format!("web.log.{k}")))
            .filter(|text| !text.contains("not found"))
            .collect();
        assert!(earlier + &scene.read("web.log").replace("entity not found", "") == written, "{max_size}");
    }
}

#[test]
fn a_line_without_end_does_not_fill_the_disk() {
    let mut scene = Scene::of("web.log", 1000, 1);
    (0..100).for_each(|_| scene.append(&"x".repeat(10_000)));
    assert!(scene.read("web.log").len() + scene.read("web.log.1").len() <= 2 * (1000 + LONGEST + 10_000));
}

#[test]
fn a_file_that_was_moved_or_removed_is_made_anew_within_a_second_of_writing() {
    let mut scene = Scene::of("web.log", 0, 0);
    let path = scene.directory.path().join("web.log");
    scene.append("one\n");
    fs::rename(&path, scene.directory.path().join("moved")).unwrap();
    scene.pass(1);
    scene.append("two\n");
    assert_eq!((scene.read("moved"), scene.read("web.log")), ("one\n".into(), "two\n".into()));
    fs::remove_file(&path).unwrap();
    scene.pass(1);
    scene.append("three\n");
    assert_eq!(scene.read("web.log"), "three\n");
}

#[test]
fn a_file_that_was_emptied_is_as_large_as_it_is() {
    let mut scene = Scene::of("web.log", 10, 1);
    scene.append("12345678\n");
    fs::write(scene.directory.path().join("web.log"), "").unwrap();
    scene.pass(1);
    scene.append("12345678\n");
    assert_eq!((scene.read("web.log"), scene.read("web.log.1")), ("12345678\n".into(), "entity not found".into()));
}

#[test]
fn what_cannot_be_written_is_counted_and_the_file_recovers_at_the_beginning_of_a_line() {
    let mut scene = Scene::of("log/web.log", 0, 0);
    let path = scene.directory.path().join("log");
    fs::write(&path, "").unwrap();
    scene.append("lost\n");
    scene.append("lost, too\nlost be");
    assert_eq!(scene.lost(), (2, 22));
    fs::remove_file(&path).unwrap();
    scene.append("cause it is not yet time,");
    scene.pass(1);
    scene.append(" and its end\nkept\n");
    assert_eq!(scene.lost(), (3, 60));
    assert_eq!(scene.read("log/web.log"), "kept\n");
    assert!(scene.log.loss.is_none());
}

#[test]
fn what_is_refused_is_given_back_and_counts_as_nothing_lost() {
    let mut scene = Scene::of("web.log", 0, 0);
    let path = scene.directory.path().join("web.log");
    fs::create_dir(&path).unwrap();
    scene.log.prepare(scene.now);
    let counters = Counters::default();
    let piece = |now| Piece { bytes: b"line\n", counters: &counters, now };
    assert_eq!(scene.log.append(piece(scene.now)), Left::Refused(b"line\n"));
    fs::remove_dir(&path).unwrap();
    assert_eq!(scene.log.append(piece(scene.now)), Left::Refused(b"line\n"), "it is not tried again at once");
    scene.pass(1);
    assert_eq!(scene.log.append(piece(scene.now)), Left::Nothing);
    assert_eq!((scene.read("web.log"), scene.lost()), ("line\n".into(), (0, 0)));
}

#[test]
fn a_file_that_is_refused_again_and_again_is_told_once_a_minute() {
    let mut scene = Scene::of("web.log", 0, 0);
    let path = scene.directory.path().join("web.log");
    let mut told = Vec::new();
    for second in 0..=120 {
        fs::create_dir(&path).unwrap();
        scene.log.reopen(scene.now);
        scene.log.prepare(scene.now);
        if scene.log.refusals.is_told {
            told.push(second);
        }
        fs::remove_dir(&path).unwrap();
        scene.pass(1);
        scene.append("line\n");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!((told, scene.log.refusals.untold), (vec![0, 60, 120], 0));
}

#[test]
fn a_fifo_without_reader_is_an_error_and_not_a_hang() {
    let mut scene = Scene::of("fifo", 0, 0);
    nix::unistd::mkfifo(&scene.directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    scene.append("lost\n");
    assert_eq!(scene.lost(), (1, 5));
}

#[test]
fn a_full_device_loses_what_does_not_fit_and_is_never_rotated() {
    let mut scene = Scene::of("unused", 0, 0);
    let rotation = Rotation { max_size: 1, ..NEVER };
    scene.log = LogFile::at(Path::new("/dev/full"), rotation, &Arc::default());
    scene.append("lost\n");
    assert_eq!(scene.lost(), (1, 5));
}

#[test]
fn a_rotation_that_fails_costs_nothing_but_space() {
    let mut scene = Scene::of("web.log", 5, 1);
    fs::create_dir_all(scene.directory.path().join("web.log.1/taken")).unwrap();
    (0..3).for_each(|_| scene.append("1234\n"));
    assert_eq!((scene.read("web.log"), scene.lost()), ("1234\n1234\n1234\n".into(), (0, 0)));
}

#[test]
fn a_line_that_has_begun_ends_in_the_file_where_it_began_if_it_ends_soon() {
    let mut scene = Scene::of("web.log", 0, 0);
    let path = |name: &str| scene.directory.path().join(name);
    let (current, moved) = (path("web.log"), path("web.log.1"));
    scene.append("one\nha");
    fs::rename(&current, &moved).unwrap();
    scene.log.reopen(scene.now);
    scene.append("lf\ntwo\nno");
    assert_eq!((scene.read("web.log.1"), scene.read("web.log")), ("one\nhalf\n".into(), "two\nno".into()));

    fs::rename(&current, &moved).unwrap();
    scene.pass(1);
    scene.append(" ");
    scene.append("end");
    assert_eq!(scene.read("web.log"), "entity not found", "it was seen from outside, and the line may end soon");
    scene.pass(1);
    scene.append(" yet\n");
    assert_eq!((scene.read("web.log.1"), scene.read("web.log")), ("two\nno end".into(), " yet\n".into()));
}
