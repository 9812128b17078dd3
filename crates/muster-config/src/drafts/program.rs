//! The keys of a program that apply to all its instances: when it starts, restarts and stops.

mod stop;

use std::time::Duration;

use muster_spec::{
    Essential, Exceeded, ExitRules, Forget, Judged, Kind, Leftovers, Limit, Preset, ProgramSpec, Reset, RestartPolicy,
    RestartWhen, Signal, Span, StartDelay, StartFailures, StartOn, StopKill, StopScope, StopSpec,
};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::backoff::BackoffDraft;
use crate::drafts::depend::{self, Mention};
use crate::drafts::numprocs::NumprocsDraft;
use crate::drafts::rolling::RollingDraft;
use crate::drafts::schedule::ScheduleDraft;
use crate::drafts::watch::WatchDraft;
use crate::field::{Field, Owner, Text};
use crate::value::Content;
use crate::words::{nearest, nearest_in_case};

/// The value of `restart_limit`.
#[derive(Clone, Copy)]
struct RateDraft {
    starts: u32,
    within: Duration,
    then: Exceeded,
}

/// The state of a program's rules while its keys are read.
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    pub(super) has_kind: bool,
    pub(crate) schedule: Option<ScheduleDraft>,
    pub(crate) autostart: bool,
    pub(crate) start_on: StartOn,
    pub(crate) start_delay: StartDelay,
    pub(crate) once: bool,
    /// The policy where neither a preset nor a key says otherwise.
    base: RestartPolicy,
    pub(super) when: RestartWhen,
    /// From `restart = "always:5"`.
    docker_limit: Option<u32>,
    retries: Option<Limit>,
    rate: Option<RateDraft>,
    forget: Option<Forget>,
    forgives_on_start: bool,
    start_failures: Option<StartFailures>,
    backoff: BackoffDraft,
    pub(crate) startsecs: Duration,
    pub(crate) max_runtime: Option<Duration>,
    pub(crate) exit_codes: Vec<u8>,
    pub(crate) on_exit: ExitRules,
    pub(crate) priority: i64,
    pub(crate) numprocs: NumprocsDraft,
    pub(crate) turns: RollingDraft,
    pub(crate) watch: WatchDraft,
    pub(crate) essential: Essential,
    signals: Vec<Signal>,
    patience: Duration,
    scope: StopScope,
    kill: StopKill,
    leftovers: Leftovers,
    leftover_wait: Duration,
    pub(crate) reload_signal: Option<Signal>,
    pub(crate) depends_on: Vec<Mention>,
    pub(crate) restart_with: Vec<Mention>,
    /// The places of these keys, for later checks.
    pub(crate) essential_at: Option<Place>,
    pub(crate) patience_at: Option<Place>,
    pub(crate) max_runtime_at: Option<Place>,
    pub(crate) restart_at: Option<Place>,
    pub(crate) start_on_at: Option<Place>,
    pub(crate) once_at: Option<Place>,
    retries_at: Option<Place>,
    backoff_at: Option<Place>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            kind: Kind::Service,
            has_kind: false,
            schedule: None,
            autostart: true,
            start_on: StartOn::Boot,
            start_delay: StartDelay::NONE,
            once: false,
            base: RestartPolicy::DEFAULT,
            when: RestartPolicy::DEFAULT.when,
            docker_limit: None,
            retries: None,
            rate: None,
            forget: None,
            forgives_on_start: RestartPolicy::DEFAULT.forgive_on_start,
            start_failures: None,
            backoff: BackoffDraft::default(),
            startsecs: Duration::from_secs(1),
            max_runtime: None,
            exit_codes: vec![0],
            on_exit: ExitRules::default(),
            priority: 999,
            numprocs: NumprocsDraft::default(),
            turns: RollingDraft::default(),
            watch: WatchDraft::default(),
            essential: Essential::No,
            signals: vec![Signal::TERM],
            patience: Duration::from_secs(10),
            scope: StopScope::Main,
            kill: StopKill::Tree,
            leftovers: Leftovers::Stop,
            leftover_wait: StopSpec::LEFTOVER_WAIT,
            reload_signal: Some(Signal::HUP),
            depends_on: Vec::new(),
            restart_with: Vec::new(),
            essential_at: None,
            patience_at: None,
            max_runtime_at: None,
            restart_at: None,
            start_on_at: None,
            once_at: None,
            retries_at: None,
            backoff_at: None,
        }
    }
}

impl Rules {
    /// Begins with the rules of a program.
    pub(crate) fn of(program: &ProgramSpec) -> Rules {
        let StopSpec { steps, scope, kill, leftovers, leftover_wait } = &program.stop;
        Rules {
            kind: program.kind,
            has_kind: false,
            schedule: program.schedule.as_deref().map(ScheduleDraft::of),
            autostart: program.autostart,
            start_on: program.start_on,
            start_delay: program.start_delay,
            once: program.once,
            base: program.restart,
            when: program.restart.when,
            forgives_on_start: program.restart.forgive_on_start,
            backoff: BackoffDraft::of(program.restart.backoff),
            startsecs: program.startsecs,
            max_runtime: program.max_runtime,
            exit_codes: program.exit_codes.clone(),
            on_exit: program.on_exit.clone(),
            priority: program.priority,
            essential: program.essential,
            signals: steps.iter().map(|step| step.signal).collect(),
            patience: steps.first().map_or(Duration::ZERO, |step| step.patience),
            scope: *scope,
            kill: *kill,
            leftovers: *leftovers,
            leftover_wait: *leftover_wait,
            reload_signal: program.reload_signal,
            turns: RollingDraft::of(program.rolling, program.recycle_after),
            watch: WatchDraft::of(program.watch.as_deref()),
            ..Rules::default()
        }
    }

    /// The program with these rules; a schedule that names no time zone is in this one.
    pub(crate) fn program(&self, program: ProgramSpec, timezone: &str) -> ProgramSpec {
        ProgramSpec {
            kind: self.kind,
            autostart: self.autostart,
            start_on: self.start_on,
            start_delay: self.start_delay,
            once: self.once,
            restart: self.restart_policy(),
            schedule: self.schedule(timezone),
            startsecs: self.startsecs,
            max_runtime: self.max_runtime,
            exit_codes: self.exit_codes.clone(),
            on_exit: self.on_exit.clone(),
            priority: self.priority,
            essential: self.essential,
            stop: self.stop(),
            reload_signal: self.reload_signal,
            rolling: self.turns.rolling,
            recycle_after: self.turns.recycle,
            watch: self.watch.spec(),
            ..program
        }
    }

    /// The whole policy. Explicit keys override those of a preset.
    pub(crate) fn restart_policy(&self) -> RestartPolicy {
        let original = match self.backoff.preset {
            Some(preset) => preset.policy(self.when),
            None => RestartPolicy { when: self.when, ..self.base },
        };
        let rate = self.rate.map(|RateDraft { starts, within, then }| {
            let judged = match original.limit {
                Limit::Rate { judged, .. } => judged,
                Limit::Unlimited | Limit::Retries(_) => Judged::AtEnd,
            };
            Limit::Rate { starts, within, judged, then }
        });
        RestartPolicy {
            limit: rate.or(self.docker_limit()).or(self.retries).unwrap_or(original.limit),
            backoff: self.backoff.backoff,
            forget: self.forget.unwrap_or(original.forget),
            forgive_on_start: self.forgives_on_start,
            start_failures: self.start_failures.unwrap_or(original.start_failures),
            ..original
        }
    }

    /// The number in `restart = "on-failure:5"`. To Docker, 0 means unlimited.
    fn docker_limit(&self) -> Option<Limit> {
        let is_docker = self.backoff.preset == Some(Preset::Docker);
        self.docker_limit
            .map(|retries| if is_docker && retries == 0 { Limit::Unlimited } else { Limit::Retries(retries) })
    }

    /// Checks constraints between keys.
    pub(crate) fn check(&self, owner: Owner<'_>, report: &Report) {
        self.numprocs.check(owner, report);
        self.check_max_runtime(owner, report);
        self.turns.check(self.kind, owner, report);
        if let Some(schedule) = &self.schedule {
            let essential_at = self.essential_at.filter(|_| self.essential != Essential::No);
            schedule.check((essential_at, self.retries_at.filter(|_| self.restart_at.is_none())), owner, report);
        }
        let backoff = &self.backoff.backoff;
        if let Some(place) = self.backoff_at.filter(|_| backoff.max < backoff.delay) {
            let (max, delay) = (Span(backoff.max), Span(backoff.delay));
            let message = format!("backoff has a max of {max}, which is shorter than its delay of {delay}");
            report.add(owner.finding(Severity::Error, place, message).hint("max caps a growing delay"));
        }
        let restarts = self.when != RestartWhen::Never;
        let is_endless = self.restart_policy().limit == Limit::Unlimited;
        if let Some(place) = self.backoff_at.filter(|_| restarts && is_endless && backoff.delay.is_zero()) {
            let message = "backoff has no delay and startretries no limit: a program that fails at once is restarted without a pause";
            report
                .add(owner.finding(Severity::Warning, place, message).hint("delay = \"100ms\", or startretries = 10"));
        }
        let is_reset_at_once = matches!(backoff.reset, Reset::AfterUp(span) if span.is_zero());
        if let Some(place) = self.backoff_at.filter(|_| restarts && !is_endless && is_reset_at_once) {
            let message = "reset_after = 0 forgets all failures once a run comes up, so startretries has no effect";
            report.add(owner.finding(Severity::Warning, place, message).hint("leave it out for the default"));
        }
        let disagree = self.docker_limit().zip(self.retries).is_some_and(|(one, other)| one != other);
        if let Some(place) = self.retries_at.filter(|_| disagree) {
            let message = "startretries and the number in restart disagree";
            report.add(owner.finding(Severity::Error, place, message).hint("keep one of them"));
        }
        if let Some(place) = self.retries_at.filter(|_| self.rate.is_some()) {
            let message = "startretries has no effect beside restart_limit";
            report.add(owner.finding(Severity::Warning, place, message).hint("leave out one of the two"));
        }
        let is_none = self.docker_limit() == Some(Limit::Retries(0));
        if let Some(place) = self.restart_at.filter(|_| is_none && self.retries.is_none()) {
            let message = "restart with :0 never restarts; to Docker, 0 means unlimited";
            let hint = "startretries = \"unlimited\", or backoff = \"docker\"; \"no\" for no restarts";
            report.add(owner.finding(Severity::Warning, place, message).hint(hint));
        }
        let is_essential = self.essential != Essential::No;
        if let Some(place) = self.essential_at.filter(|_| is_essential && !self.autostart) {
            let message = "essential, but autostart is false: until it is started, its exit cannot end the container";
            report.add(owner.finding(Severity::Warning, place, message).hint("leave out one of the two"));
        }
        let repeats = matches!(self.when, RestartWhen::Always | RestartWhen::UnlessStopped);
        if let Some(place) = self.restart_at.filter(|_| self.kind == Kind::Oneshot && repeats) {
            let message = "a oneshot that restarts after success runs forever";
            report.add(
                owner.finding(Severity::Warning, place, message).hint("restart = \"on-failure\" stops after a success"),
            );
        }
    }

    pub(crate) fn kind(&mut self, field: &Field<'_>) {
        if let Some(kind) = field.choice(&Kind::ALL) {
            (self.kind, self.has_kind) = (kind, true);
        }
    }

    pub(crate) fn autostart(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.autostart = flag;
        }
    }

    pub(crate) fn start_on(&mut self, field: &Field<'_>) {
        if let Some(start_on) = field.choice(&StartOn::ALL) {
            self.start_on = start_on;
            self.start_on_at = Some(field.place());
        }
    }

    pub(crate) fn restart(&mut self, field: &Field<'_>) {
        self.restart_at = Some(field.place());
        if let Some(flag) = field.value.as_bool() {
            let hint = if flag { "restart = \"always\"" } else { "restart = \"no\"" };
            field.expected_with_hint(POLICY_WORDS, hint);
            return;
        }
        let Some(text) = field.text() else { return };
        let (word, retries) = match text.text.split_once(':') {
            Some((word, retries)) => (word, Some(retries)),
            None => (text.text.as_ref(), None),
        };
        let policy = RestartWhen::ALL.iter().find(|(name, _)| *name == word).map(|&(_, when)| when);
        let counts = matches!(policy, Some(RestartWhen::OnFailure | RestartWhen::Always));
        let limit = retries.map(|retries| retries.parse::<u32>().ok().filter(|_| counts));
        match (policy, limit) {
            (Some(when), None) => self.when = when,
            (Some(when), Some(Some(retries))) => {
                self.when = when;
                self.docker_limit = Some(retries);
            }
            _ => no_policy(field, &text),
        }
    }

    pub(crate) fn startretries(&mut self, field: &Field<'_>) {
        self.retries_at = Some(field.place());
        let unlimited = field.value.literal() == Some("unlimited");
        self.retries = if unlimited {
            Some(Limit::Unlimited)
        } else if field.value.literal().is_some() {
            field.expected_with_hint("a number or \"unlimited\"", "startretries = 10");
            None
        } else {
            field.integer(0..=i64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok()).map(Limit::Retries)
        };
    }

    pub(crate) fn startsecs(&mut self, field: &Field<'_>) {
        if let Some(duration) = field.duration() {
            self.startsecs = duration;
        }
    }

    pub(crate) fn exitcodes(&mut self, field: &Field<'_>) {
        if let Some(text) = field.value.as_str()
            && text.contains(',')
        {
            field.expected_with_hint("a list of numbers", format!("exitcodes = [{}]", text.replace(',', ", ")));
            return;
        }
        let items = field.items();
        let codes: Vec<_> = items.iter().map(|item| item.integer(0..=255).and_then(|n| u8::try_from(n).ok())).collect();
        if let Some(codes) = codes.into_iter().collect::<Option<Vec<u8>>>() {
            self.exit_codes = codes;
        }
    }

    pub(crate) fn backoff(&mut self, field: &Field<'_>) {
        self.backoff_at = Some(field.place());
        self.backoff.read(field);
    }

    pub(crate) fn priority(&mut self, field: &Field<'_>) {
        if let Some(priority) = field.integer(i64::MIN..=i64::MAX) {
            self.priority = priority;
        }
    }

    pub(crate) fn essential(&mut self, field: &Field<'_>) {
        let is_word = field.value.literal() == Some("on-failure");
        let is_flag = |text: &str| {
            let flags = ["true", "yes", "on", "1", "false", "no", "off", "0"];
            flags.contains(&text.to_ascii_lowercase().as_str())
        };
        let essential = if is_word {
            Some(Essential::OnFailure)
        } else if field.value.literal().is_some_and(|text| !is_flag(text)) {
            field.expected_with_hint("true, false or \"on-failure\"", "essential = \"on-failure\"");
            None
        } else {
            field.flag().map(|flag| if flag { Essential::Yes } else { Essential::No })
        };
        if let Some(essential) = essential {
            self.essential = essential;
            self.essential_at = Some(field.place());
        }
    }

    pub(crate) fn restart_limit(&mut self, field: &Field<'_>) {
        const EXAMPLE: &str = "restart_limit = { starts = 5, within = \"10s\" }";
        let Content::Table(entries) = &field.value.content else {
            field.expected_with_hint("a table", EXAMPLE);
            return;
        };
        let (mut starts, mut within, mut then) = (None, None, Some(Exceeded::Fatal));
        for (name, value) in entries {
            let child = field.child(name.as_str(), value);
            match name.as_str() {
                "starts" => {
                    starts = child.integer(1..=i64::from(u32::MAX)).and_then(|starts| u32::try_from(starts).ok())
                }
                "within" => within = child.duration(),
                "then" => then = child.choice(&Exceeded::ALL),
                _ => child.error_with_hint("is not a key of restart_limit", "it has starts, within and then"),
            }
        }
        let missing = ["starts", "within"].into_iter().find(|key| !entries.contains_key(*key));
        if let Some(key) = missing {
            field.error_with_hint(format_args!("lacks {key}"), EXAMPLE);
        }
        if let Some((starts, (within, then))) = starts.zip(within.zip(then)) {
            self.rate = Some(RateDraft { starts, within, then });
        }
    }

    pub(crate) fn startretries_forget(&mut self, field: &Field<'_>) {
        self.forget = field.choice(&Forget::ALL).or(self.forget);
    }

    pub(crate) fn forgive_on_start(&mut self, field: &Field<'_>) {
        if let Some(flag) = field.flag() {
            self.forgives_on_start = flag;
        }
    }

    pub(crate) fn start_failures(&mut self, field: &Field<'_>) {
        self.start_failures = field.choice(&StartFailures::ALL).or(self.start_failures);
    }

    pub(crate) fn depends_on(&mut self, field: &Field<'_>) {
        depend::read_depends_on(field, &mut self.depends_on);
    }

    pub(crate) fn restart_with(&mut self, field: &Field<'_>) {
        self.restart_with = depend::read_names(field);
    }

    pub(crate) fn reloadsignal(&mut self, field: &Field<'_>) {
        if field.value.literal() == Some("") {
            self.reload_signal = None;
        } else if let Some(signal) = read_signal(field) {
            self.reload_signal = Some(signal);
        }
    }
}

const POLICY_WORDS: &str = "\"no\", \"on-failure\", \"always\" or \"unless-stopped\"";

fn no_policy(field: &Field<'_>, text: &Text<'_>) {
    let hint = match text.text.to_ascii_lowercase().as_str() {
        "never" | "false" => "restart = \"no\"",
        "true" | "yes" => "restart = \"always\"",
        "unexpected" | "on_failure" | "onfailure" | "failure" | "on-abnormal" => "restart = \"on-failure\"",
        "unless_stopped" => "restart = \"unless-stopped\"",
        word if word.contains(':') => "\"on-failure:5\" and \"always:5\" take a number of retries",
        word => match nearest(word, RestartWhen::ALL.iter().map(|&(name, _)| name)) {
            Some("no") => "restart = \"no\"",
            Some("always") => "restart = \"always\"",
            Some("unless-stopped") => "restart = \"unless-stopped\"",
            _ => "\"on-failure\" is the default; \"on-failure:5\" also sets startretries",
        },
    };
    field.error_with_hint(format_args!("must be {POLICY_WORDS}: {}", field.shown_text(text)), hint);
}

pub(crate) fn read_signal(field: &Field<'_>) -> Option<Signal> {
    let signal = match &field.value.content {
        Content::Integer(_) => {
            let number = field.integer(1..=64)?;
            i32::try_from(number).ok().and_then(Signal::from_number)
        }
        _ => field.text()?.text.parse().ok(),
    };
    if signal.is_none() {
        const USUAL: [&str; 8] = ["TERM", "INT", "QUIT", "HUP", "KILL", "USR1", "USR2", "WINCH"];
        let word = field.value.as_str().unwrap_or_default().to_ascii_uppercase();
        let close = nearest_in_case(word.strip_prefix("SIG").unwrap_or(&word), &USUAL);
        let spellings = "\"TERM\", \"SIGQUIT\", \"RTMIN+3\", or a number from 1 to 64";
        field.expected_with_hint(
            "a signal",
            close.map_or(spellings.to_owned(), |name| format!("did you mean {name:?}?")),
        );
    }
    signal
}
