//! Follows the sources of the active configuration, each in a task of its own.
//!
//! The tasks report what they find to the [`Book`]; the caller waits for [`Sources::next_change`], tries the candidate, and
//! says what became of it.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_api::Source;
use muster_probes::connect::Resolver;
use muster_spec::{SourceAddress, SourceSpec};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::book::{Book, Candidate, Counts, News};
use crate::cache;
use crate::edition::{Edition, Failure};
use crate::etcd::{self, Ended, Session};
use crate::http::{self, Polled, Validators};
use crate::pace::{self, Dice};
use crate::secrets::Secrets;

/// The sources of a daemon.
pub struct Sources {
    book: RefCell<Book>,
    tasks: RefCell<Vec<Task>>,
    dice: RefCell<Dice>,
    resolver: Resolver,
    host: String,
    state_dir: Option<PathBuf>,
    /// Notified when there may be a new candidate.
    changed: Notify,
    /// Notified when the state of a source may have changed.
    reported: Notify,
    /// Notified when any source has said anything.
    heard: Notify,
    /// Whether the first versions are still awaited.
    is_waiting: Cell<bool>,
    began: Instant,
    /// The sources whose kept version was tried.
    kept: RefCell<Vec<String>>,
}

struct Task {
    spec: SourceSpec,
    handle: JoinHandle<()>,
    refresh: Rc<Notify>,
    /// The number of times that the source has said anything.
    answers: Rc<Cell<u64>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Reads every source once, for commands that supervise nothing.
pub fn fetch_once(specs: &[SourceSpec], host: &str) -> Vec<Result<Edition, String>> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(tokio::runtime::LocalOptions::default());
    let Ok(runtime) = runtime else {
        return specs.iter().map(|_| Err("cannot wait for servers".to_owned())).collect();
    };
    let fetch = async |spec: &SourceSpec| {
        let (resolver, secrets) = (Resolver::default(), Secrets::read(spec, Secrets::default()).await?);
        let fetched = match &spec.address {
            SourceAddress::Http { .. } => {
                match http::poll((spec, host), (&resolver, &secrets), &Validators::default()).await {
                    Ok(Polled::Version(edition, _)) => Ok(edition),
                    Ok(Polled::Unchanged) => Err(Failure::new("304, although nothing was known")),
                    Err(failure) => Err(failure),
                }
            }
            SourceAddress::Etcd { .. } => etcd::once(spec, &resolver, &secrets).await,
        };
        fetched.map_err(|failure| failure.reason)
    };
    specs.iter().map(|spec| runtime.block_on(fetch(spec))).collect()
}

impl Sources {
    /// Without any source so far.
    pub fn new(host: String, state_dir: Option<PathBuf>) -> Sources {
        Sources {
            book: RefCell::default(),
            tasks: RefCell::default(),
            dice: RefCell::new(Dice::seeded()),
            resolver: Resolver::default(),
            host,
            state_dir,
            changed: Notify::new(),
            reported: Notify::new(),
            heard: Notify::new(),
            is_waiting: Cell::new(false),
            began: Instant::now(),
            kept: RefCell::default(),
        }
    }

    /// Follows the sources of a configuration, and no others.
    pub fn adopt(self: &Rc<Sources>, specs: &[SourceSpec]) {
        self.book.borrow_mut().adopt(specs);
        self.reported.notify_one();
        let mut tasks = self.tasks.borrow_mut();
        tasks.retain(|task| specs.contains(&task.spec));
        for spec in specs {
            if !tasks.iter().any(|task| task.spec == *spec) {
                tasks.push(self.follow(spec));
            }
        }
    }

    fn follow(self: &Rc<Sources>, spec: &SourceSpec) -> Task {
        let (refresh, answers) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
        let follower = Follower {
            sources: Rc::clone(self),
            spec: spec.clone(),
            refresh: Rc::clone(&refresh),
            answers: Rc::clone(&answers),
        };
        let handle = tokio::task::spawn_local(async move {
            match follower.spec.address {
                SourceAddress::Http { .. } => follower.poll().await,
                SourceAddress::Etcd { .. } => follower.watch().await,
            }
        });
        Task { spec: spec.clone(), handle, refresh, answers }
    }

    /// Whether there is any source.
    pub fn is_empty(&self) -> bool {
        self.tasks.borrow().is_empty()
    }

    /// Whether any source has no version at all.
    pub fn lacks_any(&self) -> bool {
        !self.book.borrow().missing().is_empty()
    }

    /// Whether the first versions are still awaited.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.get()
    }

    /// Sets whether the first versions are still awaited.
    pub fn set_waiting(&self, is_waiting: bool) {
        self.is_waiting.set(is_waiting);
    }

    /// Waits for the first version of every source, up to its `wait`; then takes the kept one. An error is a required
    /// source that has neither.
    pub async fn first(&self) -> Result<(), String> {
        loop {
            let heard = self.heard.notified();
            let mut next: Option<Instant> = None;
            for (spec, reason) in self.book.borrow().missing() {
                let end = self.began + spec.wait;
                if end > Instant::now() {
                    next = Some(next.map_or(end, |next: Instant| next.min(end)));
                } else {
                    self.resolve(&spec, reason)?;
                }
            }
            self.offer_kept();
            let Some(next) = next else { return Ok(()) };
            tokio::select! {
                () = heard => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// A source has no version, and its time is over.
    fn resolve(&self, spec: &SourceSpec, reason: Option<String>) -> Result<(), String> {
        let was_tried = self.kept.borrow().contains(&spec.name);
        let kept =
            self.state_dir.as_deref().filter(|_| spec.cache && !was_tried).and_then(|state| cache::read(state, spec));
        let reason = reason.unwrap_or_else(|| format!("no answer within {:?}", spec.wait));
        match kept {
            Some((_, age)) => {
                warn!(source = %spec.name, age_s = age.as_secs(), reason, "starting with the version kept of a source");
                self.kept.borrow_mut().push(spec.name.clone());
                Ok(())
            }
            None if spec.required => {
                Err(format!("source {:?} is required and was not read: {}: {reason}", spec.name, spec.address))
            }
            None => Ok(()),
        }
    }

    /// Hands the kept versions to the book, which is borrowed while they are chosen.
    fn offer_kept(&self) {
        let missing = self.book.borrow().missing();
        for (spec, _) in missing.into_iter().filter(|(spec, _)| self.kept.borrow().contains(&spec.name)) {
            let kept = self.state_dir.as_deref().and_then(|state| cache::read(state, &spec));
            if let Some((edition, _)) = kept {
                self.book.borrow_mut().offer_kept(&spec.name, edition, std::time::Instant::now());
            }
        }
    }

    /// Waits until a new version is due.
    pub async fn next_change(&self) {
        loop {
            let changed = self.changed.notified();
            let now = std::time::Instant::now();
            let due = self.book.borrow().due();
            match due {
                Some(due) if due <= now => return,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due.into()) => {}
                },
                None => changed.await,
            }
        }
    }

    /// Asks all sources, or this one, and waits for their answers, but no longer than this.
    pub async fn refresh(&self, name: Option<&str>, within: Duration) {
        let asked: Vec<(Rc<Cell<u64>>, u64)> = {
            let tasks = self.tasks.borrow();
            let of_name = |task: &&Task| name.is_none_or(|name| task.spec.name == name);
            tasks
                .iter()
                .filter(of_name)
                .map(|task| {
                    task.refresh.notify_one();
                    (Rc::clone(&task.answers), task.answers.get())
                })
                .collect()
        };
        let _ = timeout(within, async {
            loop {
                let heard = self.heard.notified();
                if asked.iter().all(|(answers, before)| answers.get() > *before) {
                    return;
                }
                heard.await;
            }
        })
        .await;
    }

    /// The texts to try next: see [`Book::candidate`].
    pub fn candidate(&self, asked: bool) -> Candidate {
        self.book.borrow().candidate(std::time::Instant::now(), asked)
    }

    /// The active texts.
    pub fn active(&self) -> Candidate {
        self.book.borrow().active()
    }

    /// The candidate has become active; keeps its versions, on a thread.
    pub fn accept(&self, candidate: Candidate) {
        let accepted = self.book.borrow_mut().accept(candidate, SystemTime::now());
        self.reported.notify_one();
        for (spec, edition) in &accepted {
            let revision = edition.revision.words();
            info!(source = %spec.name, revision, texts = edition.texts.len(), "a new version of a source is active");
        }
        let to_keep: Vec<(Arc<SourceSpec>, Arc<Edition>)> =
            accepted.into_iter().filter(|(spec, _)| spec.cache).collect();
        let Some(state) = self.state_dir.clone().filter(|_| !to_keep.is_empty()) else { return };
        let keep = move || {
            for (spec, edition) in to_keep {
                if let Err(error) = cache::write(&state, &spec, &edition) {
                    warn!(source = %spec.name, directory = %state.display(), %error, "cannot keep the version of a source");
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("cache".to_owned()).spawn(keep) {
            warn!(%error, "cannot keep the version of a source");
        }
    }

    /// The candidate made the configuration invalid, with mistakes in these texts.
    pub fn refuse(&self, candidate: &Candidate, at_fault: &[String], reason: &str) {
        for name in self.book.borrow_mut().refuse(candidate, at_fault, reason, SystemTime::now()) {
            warn!(source = %name, reason, "the new version of a source was refused; the active one stays");
        }
        self.changed.notify_one();
        self.reported.notify_one();
    }

    /// The candidate waits for the local files.
    pub fn postpone(&self, candidate: &Candidate) {
        self.book.borrow_mut().postpone(candidate);
    }

    /// Holds a source, for this long. Returns whether there is such a source.
    pub fn hold(&self, name: &str, span: Option<Duration>) -> bool {
        let until = span.and_then(|span| std::time::Instant::now().checked_add(span));
        let is_known = self.book.borrow_mut().hold(name, until);
        self.changed.notify_one();
        self.reported.notify_one();
        is_known
    }

    /// Releases a source.
    pub fn release(&self, name: &str) -> bool {
        let is_known = self.book.borrow_mut().release(name);
        self.changed.notify_one();
        self.reported.notify_one();
        is_known
    }

    /// Has a refused version tried again.
    pub fn forgive(&self, name: &str) -> bool {
        let is_known = self.book.borrow_mut().forgive(name, std::time::Instant::now());
        self.changed.notify_one();
        self.reported.notify_one();
        is_known
    }

    /// Waits until the state of a source may have changed.
    pub async fn reported(&self) {
        self.reported.notified().await;
    }

    /// All sources, for people.
    pub fn reports(&self) -> Vec<Source> {
        self.book.borrow().reports((std::time::Instant::now(), SystemTime::now()))
    }

    /// The counts of each source.
    pub fn counts(&self) -> Vec<(String, Counts)> {
        self.book.borrow().counts()
    }

    fn note(&self, spec: &SourceSpec, answers: &Cell<u64>, news: News) {
        let reason = match &news {
            News::Failed(failure) => Some(failure.reason.clone()),
            News::Version(_) | News::Unchanged => None,
        };
        let now = (std::time::Instant::now(), SystemTime::now());
        let is_new = self.book.borrow_mut().note(&spec.name, news, now, &mut self.dice.borrow_mut());
        answers.set(answers.get() + 1);
        self.heard.notify_waiters();
        self.reported.notify_one();
        if is_new {
            if let Some(reason) = reason {
                warn!(source = %spec.name, url = %spec.address, reason, "a source cannot be read; the active version stays");
            }
            self.changed.notify_one();
            self.reported.notify_one();
        }
    }
}

/// The task of a source.
struct Follower {
    sources: Rc<Sources>,
    spec: SourceSpec,
    refresh: Rc<Notify>,
    answers: Rc<Cell<u64>>,
}

impl Follower {
    fn say(&self, news: News) {
        self.sources.note(&self.spec, &self.answers, news);
    }

    async fn pause(&self, span: Duration) {
        tokio::select! {
            () = sleep(span) => {}
            () = self.refresh.notified() => {}
        }
    }

    async fn poll(self) {
        let (mut failures, mut known, mut secrets) = (0_u32, Validators::default(), Secrets::default());
        loop {
            let polled = match Secrets::read(&self.spec, std::mem::take(&mut secrets)).await {
                Err(reason) => Err(Failure::new(reason)),
                Ok(read) => {
                    secrets = read;
                    http::poll((&self.spec, &self.sources.host), (&self.sources.resolver, &secrets), &known).await
                }
            };
            let retry_after = polled.as_ref().err().and_then(|failure| failure.retry_after);
            failures = if polled.is_ok() { 0 } else { failures.saturating_add(1) };
            self.say(match polled {
                Ok(Polled::Unchanged) => News::Unchanged,
                Ok(Polled::Version(edition, validators)) => {
                    known = validators;
                    News::Version(edition)
                }
                Err(failure) => News::Failed(failure),
            });
            let delay = pace::poll_delay(self.spec.period, failures, retry_after, &mut self.sources.dice.borrow_mut());
            self.pause(delay).await;
        }
    }

    async fn watch(self) {
        let SourceAddress::Etcd { members, .. } = &self.spec.address else { return };
        let mut member =
            self.sources.dice.borrow_mut().part_of(Duration::from_secs(members.len() as u64)).as_secs() as usize;
        let (mut failures, mut secrets, mut token) = (0_u32, Secrets::default(), None);
        loop {
            let began = Instant::now();
            let ended = match Secrets::read(&self.spec, std::mem::take(&mut secrets)).await {
                Err(reason) => Ended::Failed(Failure::new(reason)),
                Ok(read) => {
                    secrets = read;
                    self.converse(member, &secrets, &mut token).await
                }
            };
            // A conversation that lasted was no failure to find a member.
            if began.elapsed() > Duration::from_secs(10) {
                failures = 0;
            }
            match ended {
                Ended::Again => sleep(Duration::from_millis(100)).await,
                Ended::Failed(failure) => {
                    member = (member + 1) % members.len();
                    failures = failures.saturating_add(1);
                    // The other members may be well.
                    if failures as usize >= members.len() {
                        self.say(News::Failed(failure));
                    }
                    let delay = pace::retry_delay(failures, &mut self.sources.dice.borrow_mut());
                    self.pause(delay).await;
                }
            }
        }
    }

    async fn converse(&self, member: usize, secrets: &Secrets, token: &mut Option<String>) -> Ended {
        let mut session = Session { spec: &self.spec, resolver: &self.sources.resolver, secrets, member, token };
        let mut mirror = match session.range().await {
            Ok(mirror) => mirror,
            Err(failure) => return Ended::Failed(failure),
        };
        let others = mirror.others();
        if !others.is_empty() {
            let names: Vec<String> = others.into_iter().take(8).map(|name| format!("{name:?}")).collect();
            info!(source = %self.spec.name, keys = names.join(" "), "keys that do not end in .toml are not read");
        }
        let say = |mirror: Option<&etcd::mirror::Mirror>| {
            self.say(
                mirror
                    .map_or(Ok(News::Unchanged), |mirror| mirror.edition().map(News::Version))
                    .unwrap_or_else(News::Failed),
            );
        };
        say(Some(&mirror));
        tokio::select! {
            ended = session.watch(&mut mirror, say) => ended,
            () = self.refresh.notified() => Ended::Again,
        }
    }
}
