//! Versions become active, are refused, wait and are held, under simulated time.

use muster_spec::{SourceAddress, SourceTable};

use super::*;
use crate::edition::{Revision, Text};

const START: SystemTime = SystemTime::UNIX_EPOCH;

fn spec(name: &str) -> SourceSpec {
    SourceSpec {
        name: name.to_owned(),
        address: SourceAddress::parse("https://host/a.toml").unwrap(),
        cacert: None,
        identity: None,
        token_file: None,
        login: None,
        period: Duration::from_secs(20),
        resync: Duration::from_secs(30),
        required: true,
        wait: Duration::from_secs(30),
        cache: true,
        apply: ApplyWhen::Auto,
        splay: Duration::ZERO,
        may: SourceTable::DEFAULT.to_vec(),
        run_as: Vec::new(),
        allow_empty: false,
    }
}

fn edition(text: &str) -> Edition {
    let text = Text { name: "a.toml".to_owned(), text: text.to_owned() };
    Edition { texts: vec![text], revision: Revision::None }
}

fn program(command: &str) -> Edition {
    edition(&format!("[program.a]\ncommand = \"{command}\"\n"))
}

struct Story {
    book: Book,
    now: Instant,
}

impl Story {
    fn of(specs: &[SourceSpec]) -> Story {
        let mut book = Book::default();
        book.adopt(specs);
        Story { book, now: Instant::now() }
    }

    fn says(&mut self, name: &str, news: News) -> bool {
        self.book.note(name, news, (self.now, START), &mut Dice::new(3))
    }

    fn has(&mut self, name: &str, edition: Edition) -> bool {
        self.says(name, News::Version(edition))
    }

    fn apply(&mut self) {
        let candidate = self.book.candidate(self.now, false);
        self.book.accept(candidate, START);
    }

    fn texts(&self, asked: bool) -> Vec<String> {
        self.book.candidate(self.now, asked).texts.into_iter().map(|text| text.text).collect()
    }

    fn state(&self, name: &str) -> SourceState {
        let reports = self.book.reports((self.now, START));
        reports.into_iter().find(|report| report.name == name).unwrap().state
    }
}

#[test]
fn a_version_is_tried_once_and_the_same_texts_are_no_new_version() {
    let mut story = Story::of(&[spec("a")]);
    assert_eq!(story.state("a"), SourceState::Waiting);
    assert!(story.has("a", program("x")));
    assert!(story.book.candidate(story.now, false).is_new());
    story.apply();
    assert_eq!((story.state("a"), story.book.due()), (SourceState::Active, None));
    // Another revision, the same texts.
    assert!(!story.has("a", Edition { revision: Revision::Tag("2".to_owned()), ..program("x") }));
    assert!(!story.book.candidate(story.now, true).is_new());
    assert!(!story.says("a", News::Unchanged));
    assert_eq!(story.book.counts()[0].1, Counts { changed: 1, unchanged: 2, applied: 1, ..Counts::default() });
}

#[test]
fn a_refused_version_is_remembered_until_the_source_has_another() {
    let mut story = Story::of(&[spec("a"), spec("b")]);
    story.has("a", program("x"));
    story.has("b", program("y"));
    story.apply();
    story.has("a", edition("[program.a]\nbad"));
    story.has("b", program("z"));
    let candidate = story.book.candidate(story.now, false);
    let refused = story.book.refuse(&candidate, &["https://…/a/a.toml".to_owned()], "1 error", START);
    assert_eq!((refused, story.state("a")), (vec!["a".to_owned()], SourceState::Refused));
    // That of the other source is still to be tried, with the active one of this.
    let candidate = story.book.candidate(story.now, false);
    assert_eq!(candidate.new.len(), 1);
    assert!(candidate.texts[0].text.contains("\"x\"") && candidate.texts[1].text.contains("\"z\""));
    assert!(!story.has("a", edition("[program.a]\nbad")), "it is not tried again");
    assert!(story.has("a", program("x")), "back to the active one");
    assert_eq!(story.state("a"), SourceState::Active);
}

#[test]
fn without_a_mistake_in_its_texts_every_new_version_is_at_fault() {
    let mut story = Story::of(&[spec("a")]);
    story.has("a", program("x"));
    let candidate = story.book.candidate(story.now, false);
    assert_eq!(story.book.refuse(&candidate, &["/etc/local.toml".to_owned()], "1 error", START), ["a"]);
    // A person may have it tried again, once the server has said that it still has it.
    assert!(story.book.forgive("a", story.now) && !story.book.candidate(story.now, false).is_new());
    assert!(story.says("a", News::Unchanged) && story.book.candidate(story.now, false).is_new());
}

#[test]
fn a_version_without_programs_never_empties_the_container() {
    let mut story = Story::of(&[spec("a"), SourceSpec { allow_empty: true, ..spec("b") }]);
    for name in ["a", "b"] {
        story.has(name, program("x"));
    }
    story.apply();
    for empty in ["", "[program]\n", "# nothing"] {
        story.has("a", edition(empty));
        assert_eq!(story.state("a"), SourceState::Refused, "{empty}");
        story.has("a", program("x"));
    }
    // Nor does a person who has it looked at again.
    story.has("a", edition(""));
    story.book.forgive("a", story.now);
    assert!(!story.book.candidate(story.now, true).new.iter().any(|(name, _)| name == "a"));
    for news in [News::Unchanged, News::Version(edition(""))] {
        story.says("a", news);
        assert_eq!(story.state("a"), SourceState::Refused);
        story.book.forgive("a", story.now);
    }
    story.has("a", program("x"));
    assert_eq!(story.state("a"), SourceState::Active);
    story.has("b", edition(""));
    assert!(story.book.candidate(story.now, false).is_new());
}

#[test]
fn a_failure_changes_nothing_but_what_is_shown() {
    let mut story = Story::of(&[spec("a")]);
    story.has("a", program("x"));
    story.apply();
    let failure = || News::Failed(Failure::new("404: Not Found"));
    assert!(story.says("a", failure()) && !story.says("a", failure()), "it is news once");
    assert_eq!((story.state("a"), story.texts(true).len()), (SourceState::Unreachable, 1));
    assert!(story.says("a", News::Unchanged), "it is back");
    assert_eq!(story.state("a"), SourceState::Active);
}

#[test]
fn held_manual_and_splayed_versions_wait() {
    let manual = SourceSpec { apply: ApplyWhen::Manual, ..spec("manual") };
    let splayed = SourceSpec { splay: Duration::from_secs(60), ..spec("splayed") };
    let mut story = Story::of(&[spec("held"), manual, splayed]);
    for name in ["held", "manual", "splayed"] {
        story.has(name, program("x"));
    }
    assert_eq!(story.book.candidate(story.now, false).new.len(), 3, "the first version never waits");
    story.apply();
    story.book.hold("held", Some(story.now + Duration::from_secs(3600)));
    for name in ["held", "manual", "splayed"] {
        story.has(name, program("y"));
    }
    assert!(!story.book.candidate(story.now, false).is_new());
    let asked: Vec<String> = story.book.candidate(story.now, true).new.into_iter().map(|(name, _)| name).collect();
    assert_eq!(asked, ["manual", "splayed"], "a reload applies what is not held");
    assert_eq!(story.state("held"), SourceState::Held);
    assert!(story.book.due().is_some_and(|due| due < story.now + Duration::from_secs(60)));
    story.now += Duration::from_secs(61);
    assert_eq!(story.book.candidate(story.now, false).new.len(), 1);
    story.now += Duration::from_secs(3600);
    assert_eq!(story.book.candidate(story.now, false).new.len(), 2, "the hold is over");
    story.book.hold("held", None);
    assert_eq!(story.book.candidate(story.now, false).new.len(), 1);
    story.book.release("held");
    assert_eq!(story.book.candidate(story.now, false).new.len(), 2);
    assert!(!story.book.hold("none", None));
}

#[test]
fn a_version_that_waits_for_the_local_files_is_not_tried_in_a_circle() {
    let mut story = Story::of(&[spec("a")]);
    story.has("a", program("x"));
    let candidate = story.book.candidate(story.now, false);
    story.book.postpone(&candidate);
    assert!(story.book.due().is_none() && !story.book.candidate(story.now, false).is_new());
    assert!(story.book.candidate(story.now, true).is_new());
}

#[test]
fn a_source_with_another_address_has_no_version_and_others_keep_their_versions() {
    let mut story = Story::of(&[spec("a"), spec("b")]);
    story.has("a", program("x"));
    story.has("b", program("y"));
    story.apply();
    let moved = SourceSpec { address: SourceAddress::parse("https://other/").unwrap(), ..spec("b") };
    story.book.adopt(&[spec("a"), moved]);
    assert_eq!((story.state("a"), story.state("b")), (SourceState::Active, SourceState::Waiting));
    assert_eq!(story.book.missing().len(), 1);
    story.book.offer_kept("b", program("kept"), story.now);
    assert_eq!(story.book.missing().len(), 0);
}
