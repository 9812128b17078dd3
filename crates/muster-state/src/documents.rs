//! The documents: one file a subject, each `{"v": 1, …}`.
//!
//! Documents are not trusted when they are read: texts are cut, times must be plausible, and lists are as long as they can have become here. A
//! document of another version, or one that cannot be understood, is put aside, and its subject starts empty.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::directory::{Directory, peek};

/// The version of all documents.
const VERSION: u64 = 1;

/// Runs kept for each instance.
pub const RUNS: usize = 20;

/// Marks of things done once that are kept, the latest ones: they outlive the programs that made them.
pub const MARKS: usize = 4096;

/// The longest text that is kept, in bytes.
pub const TEXT: usize = 1024;

/// The latest time that is plausible: the end of the year 9999.
const LATEST: i64 = 253_402_300_799_999;

/// The names of the files, by subject.
pub(crate) const FILES: [&str; 5] = ["stopped.json", "scales.json", "schedules.json", "once.json", "runs.json"];

/// A subject, in the order of [`FILES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Stopped,
    Scales,
    Jobs,
    Once,
    Runs,
}

/// The number of instances of a program that was chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// The number.
    pub numprocs: u32,
    /// The configured number that it replaced.
    pub replaced: u32,
}

/// A program with a schedule. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Up to when all its times have been considered; `None` while it is stopped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<i64>,
    /// When its last run began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_run: Option<i64>,
    /// When its last successful run ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_success: Option<i64>,
    /// Whether its last run that ended by itself was a success.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub succeeded: Option<bool>,
}

/// A thing that was done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The hash of the command that did it.
    pub command: String,
    /// When it was done.
    pub at: i64,
}

/// A run of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, in its life of the daemon.
    pub run: u64,
    /// When it began.
    pub began: i64,
    /// When it ended; `None` while it has not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<i64>,
    /// How it ended, in words.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub end: String,
}

/// A life of the daemon, from its start to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// When it began.
    pub began: i64,
    /// How it ended; `None` if it did not say, or lasts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<LifeEnd>,
}

/// How a life of the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeEnd {
    /// When.
    pub at: i64,
    /// The exit code.
    pub code: u8,
    /// The reason, in words.
    pub why: String,
}

/// The runs of each instance, the latest last.
pub type Runs = BTreeMap<Arc<str>, Arc<VecDeque<Run>>>;

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The instances that were stopped by hand and stay down.
    pub stopped: Arc<BTreeSet<String>>,
    /// The programs with another number of instances than configured.
    pub scales: Arc<BTreeMap<String, Scale>>,
    /// The instances with a schedule.
    pub jobs: Arc<BTreeMap<String, Job>>,
    /// The instances that have done their work once.
    pub once: Arc<BTreeMap<String, Done>>,
    /// The life of the daemon that the runs belong to.
    pub life: Life,
    /// The runs of that life.
    pub runs: Runs,
}

#[derive(Serialize, Deserialize)]
struct StoppedDocument<T> {
    v: u64,
    stopped: T,
}

#[derive(Serialize, Deserialize)]
struct ScalesDocument<T> {
    v: u64,
    scales: T,
}

#[derive(Serialize, Deserialize)]
struct JobsDocument<T> {
    v: u64,
    schedules: T,
}

#[derive(Serialize, Deserialize)]
struct OnceDocument<T> {
    v: u64,
    once: T,
}

#[derive(Serialize, Deserialize)]
struct RunsDocument<L, T> {
    v: u64,
    life: L,
    runs: T,
}

#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

impl Memory {
    /// The content of the documents of a directory. Those that cannot be understood are put aside.
    pub fn read(directory: &Directory) -> Memory {
        let mut memory = Memory::default();
        if let Some(StoppedDocument { stopped, .. }) =
            document::<StoppedDocument<BTreeSet<String>>>(directory, Subject::Stopped)
        {
            memory.stopped = Arc::new(stopped);
        }
        if let Some(ScalesDocument { scales, .. }) = document(directory, Subject::Scales) {
            memory.scales = Arc::new(scales);
        }
        if let Some(JobsDocument { schedules, .. }) =
            document::<JobsDocument<BTreeMap<String, Job>>>(directory, Subject::Jobs)
        {
            memory.jobs = Arc::new(schedules.into_iter().map(|(name, job)| (name, job.plausible())).collect());
        }
        if let Some(OnceDocument { once, .. }) =
            document::<OnceDocument<BTreeMap<String, Done>>>(directory, Subject::Once)
        {
            memory.once = Arc::new(once.into_iter().filter(|(_, done)| plausible(done.at)).take(MARKS).collect());
        }
        type Read = RunsDocument<Life, BTreeMap<String, VecDeque<Run>>>;
        if let Some(RunsDocument { life, runs, .. }) = document::<Read>(directory, Subject::Runs) {
            memory.life = life.plausible();
            memory.runs = runs.into_iter().map(|(name, runs)| (Arc::from(name), Arc::new(trusted(runs)))).collect();
        }
        memory
    }

    /// The text of a document.
    pub(crate) fn text(&self, subject: Subject) -> Vec<u8> {
        let text = match subject {
            Subject::Stopped => serde_json::to_vec(&StoppedDocument { v: VERSION, stopped: &*self.stopped }),
            Subject::Scales => serde_json::to_vec(&ScalesDocument { v: VERSION, scales: &*self.scales }),
            Subject::Jobs => serde_json::to_vec(&JobsDocument { v: VERSION, schedules: &*self.jobs }),
            Subject::Once => serde_json::to_vec(&OnceDocument { v: VERSION, once: &*self.once }),
            Subject::Runs => serde_json::to_vec(&RunsDocument { v: VERSION, life: &self.life, runs: &self.runs }),
        };
        let mut text = text.expect("names, texts and numbers can be written as JSON");
        text.push(b'\n');
        text
    }
}

/// The scales that a directory has, before the daemon has become its user: as much as reading the configuration needs.
pub fn scales_in(path: &Path) -> BTreeMap<String, Scale> {
    let bytes = peek(path, FILES[Subject::Scales as usize]).ok().flatten();
    let read = bytes.and_then(|bytes| understood::<ScalesDocument<BTreeMap<String, Scale>>>(&bytes).ok());
    read.map(|document| document.scales).unwrap_or_default()
}

/// A document of this version; `None` if there is none, or it was put aside.
fn document<T: DeserializeOwned>(directory: &Directory, subject: Subject) -> Option<T> {
    let name = FILES[subject as usize];
    let why = match directory.read(name) {
        Ok(None) => return None,
        Ok(Some(bytes)) => match understood(&bytes) {
            Ok(document) => return Some(document),
            Err(why) => why,
        },
        Err(error) => error.to_string(),
    };
    let file = directory.path().join(name);
    match directory.put_aside(name) {
        Ok(()) => warn!(file = %file.display(), "put aside as {name}.bad, since it cannot be used: {why}"),
        Err(error) => warn!(file = %file.display(), %error, "ignored, since it cannot be used: {why}"),
    }
    None
}

fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let Versioned { v } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("it has version {v}, and this musterd knows version {VERSION}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn plausible(at: i64) -> bool {
    (0..=LATEST).contains(&at)
}

impl Job {
    fn plausible(self) -> Job {
        let known = |at: Option<i64>| at.filter(|&at| plausible(at));
        Job {
            seen: known(self.seen),
            last_run: known(self.last_run),
            last_success: known(self.last_success),
            succeeded: self.succeeded,
        }
    }
}

impl Life {
    fn plausible(self) -> Life {
        let ended = self.ended.filter(|end| plausible(end.at));
        Life { began: self.began.clamp(0, LATEST), ended: ended.map(|end| LifeEnd { why: cut(end.why), ..end }) }
    }
}

fn trusted(runs: VecDeque<Run>) -> VecDeque<Run> {
    let is_plausible = |run: &Run| plausible(run.began) && run.ended.is_none_or(plausible);
    let skipped = runs.len().saturating_sub(RUNS);
    let runs = runs.into_iter().skip(skipped).filter(is_plausible);
    runs.map(|run| Run { end: cut(run.end), ..run }).collect()
}

/// The beginning of a text.
pub fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::place;

    fn memory() -> Memory {
        let job = Job { seen: Some(7), last_run: Some(5), last_success: None, succeeded: Some(false) };
        let ended = Some(LifeEnd { at: 9, code: 3, why: "stopped by SIGTERM".to_owned() });
        let runs = [
            Run { run: 1, began: 2, ended: Some(3), end: "exit status 1".to_owned() },
            Run { run: 2, began: 4, ended: None, end: String::new() },
        ];
        Memory {
            stopped: Arc::new(["web".to_owned()].into()),
            scales: Arc::new([("web".to_owned(), Scale { numprocs: 4, replaced: 2 })].into()),
            jobs: Arc::new([("backup".to_owned(), job)].into()),
            once: Arc::new([("migrate".to_owned(), Done { command: "abc".to_owned(), at: 8 })].into()),
            life: Life { began: 1, ended },
            runs: [(Arc::from("web"), Arc::new(VecDeque::from(runs)))].into(),
        }
    }

    const SUBJECTS: [Subject; 5] = [Subject::Stopped, Subject::Scales, Subject::Jobs, Subject::Once, Subject::Runs];

    #[test]
    fn everything_is_read_as_it_was_written() {
        let place = place();
        let directory = Directory::open(place.path()).unwrap();
        assert_eq!(Memory::read(&directory), Memory::default());
        for subject in SUBJECTS {
            directory.write(FILES[subject as usize], &memory().text(subject)).unwrap();
        }
        assert_eq!(Memory::read(&directory), memory());
        assert_eq!(scales_in(place.path()), *memory().scales);
        assert!(scales_in(&place.path().join("none")).is_empty());
    }

    #[test]
    fn the_documents_are_these() {
        let text = |subject| String::from_utf8(memory().text(subject)).unwrap();
        assert_eq!(text(Subject::Stopped), "{\"v\":1,\"stopped\":[\"web\"]}\n");
        assert_eq!(text(Subject::Scales), "{\"v\":1,\"scales\":{\"web\":{\"numprocs\":4,\"replaced\":2}}}\n");
        assert_eq!(
            text(Subject::Jobs),
            "{\"v\":1,\"schedules\":{\"backup\":{\"seen\":7,\"last_run\":5,\"succeeded\":false}}}\n"
        );
        assert_eq!(text(Subject::Once), "{\"v\":1,\"once\":{\"migrate\":{\"command\":\"abc\",\"at\":8}}}\n");
        assert_eq!(
            text(Subject::Runs),
            "{\"v\":1,\"life\":{\"began\":1,\"ended\":{\"at\":9,\"code\":3,\"why\":\"stopped by SIGTERM\"}},\
             \"runs\":{\"web\":[{\"run\":1,\"began\":2,\"ended\":3,\"end\":\"exit status 1\"},{\"run\":2,\"began\":4}]}}\n"
        );
    }

    #[test]
    fn what_cannot_be_understood_begins_anew_and_is_put_aside() {
        let deep = "[".repeat(100_000);
        for bad in
            ["", "null", "{}", "{\"v\":1}", "{\"v\":2,\"stopped\":[]}", "{\"v\":1,\"stopped\":7}", "\u{0}", &deep]
        {
            let place = place();
            let directory = Directory::open(place.path()).unwrap();
            directory.write("stopped.json", bad.as_bytes()).unwrap();
            directory.write("scales.json", &memory().text(Subject::Scales)).unwrap();
            let read = Memory::read(&directory);
            assert!(read.stopped.is_empty() && read.scales == memory().scales, "{bad:.20}");
            assert_eq!(std::fs::read(place.path().join("stopped.json.bad")).unwrap(), bad.as_bytes());
            assert_eq!(directory.read("stopped.json").unwrap(), None);
        }
    }

    #[test]
    fn documents_of_another_are_cut_to_what_is_kept_here() {
        let place = place();
        let directory = Directory::open(place.path()).unwrap();
        let run = |began: i64| format!("{{\"run\":1,\"began\":{began},\"end\":\"{}\"}}", "ä".repeat(10_000));
        let runs: Vec<String> = (0..1000).map(run).chain([run(-1), run(i64::MAX)]).collect();
        let text = format!(
            "{{\"v\":1,\"life\":{{\"began\":{},\"ended\":{{\"at\":-7,\"code\":0,\"why\":\"\"}}}},\"runs\":{{\"web\":[{}]}}}}",
            i64::MAX,
            runs.join(",")
        );
        directory.write("runs.json", text.as_bytes()).unwrap();
        directory.write("schedules.json", b"{\"v\":1,\"schedules\":{\"a\":{\"seen\":-1,\"last_run\":5}}}").unwrap();
        let memory = Memory::read(&directory);
        let kept = &memory.runs["web"];
        assert_eq!(kept.len(), RUNS - 2, "the last ones, of which two have no plausible time");
        assert!(kept.iter().all(|run| run.end.len() <= TEXT && run.end.starts_with('ä')));
        assert_eq!(memory.life, Life { began: LATEST, ended: None });
        assert_eq!(memory.jobs["a"], Job { last_run: Some(5), ..Job::default() });
    }
}
