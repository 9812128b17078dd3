//! `[notify.NAME]`: which events are passed on, to a command or to a web server.

use std::path::PathBuf;
use std::time::Duration;

use muster_spec::{Delivery, NotifierSpec, NotifyCommand, NotifyOn, UserSpec, Webhook, WebhookAddress, WebhookUrl};

use crate::build::{Built, active, field};
use crate::check;
use crate::diagnostic::{Place, Severity};
use crate::drafts::checks::{header_value, is_header_name};
use crate::drafts::command::read_command;
use crate::drafts::daemon::DaemonDraft;
use crate::drafts::users::read_user;
use crate::field::{Field, Owner, Surroundings};
use crate::keys::Reader;
use crate::sections::{Named, Sections};
use crate::value::Content;

/// Headers that musterd sets itself.
const SENT: [&str; 8] = [
    "Connection",
    "Content-Length",
    "Content-Type",
    "Host",
    "Idempotency-Key",
    "Transfer-Encoding",
    "User-Agent",
    "X-Muster-Signature",
];

/// The shortest timeout of an attempt.
const SHORTEST: Duration = Duration::from_millis(1);

/// A longer time between two notifications is taken for a typo.
const LONGEST_EVERY: Duration = Duration::from_secs(86_400);

/// Reads `[notify.NAME]`; adds the keys that a secret went into to `hidden`.
pub(crate) fn read_notifiers(
    sections: &Sections<'_>,
    (daemon, programs): (&DaemonDraft, &[Built<'_>]),
    around: &Surroundings<'_>,
    hidden: &mut Vec<(String, &'static str)>,
) -> Vec<NotifierSpec> {
    let read = |(name, notifier): (&&str, &Named<'_>)| {
        let (owner, mut draft) = (Owner::Notifier(name), NotifierDraft::default());
        for entry in active(&notifier.entries) {
            if let Reader::Notifier(read) = entry.key.reader {
                around.report.noted.take_used();
                read(&mut draft, &field(entry, around, None));
                hidden.extend(around.report.noted.take_used().then(|| ((*name).to_owned(), entry.key.name)));
            }
        }
        check::notified_programs(owner, &draft, (programs, !sections.sources.is_empty()), around.report);
        draft.finish(name, notifier.at, daemon.spec.user.as_ref(), around)
    };
    sections.notifiers.iter().filter_map(read).collect()
}

/// The state of a notifier while its keys are read.
pub(crate) struct NotifierDraft {
    on: Vec<NotifyOn>,
    programs: Vec<(String, Place)>,
    exec: Option<(Vec<String>, Place)>,
    user: Option<(UserSpec, Place)>,
    webhook: Option<(WebhookAddress, Place)>,
    webhook_file: Option<(PathBuf, Place)>,
    /// The places of these keys, also of values that could not be read.
    ways_at: Vec<(&'static str, Place)>,
    headers: Vec<(String, String)>,
    secret_file: Option<PathBuf>,
    cacert: Option<PathBuf>,
    insecure: bool,
    /// The keys that only a webhook has.
    of_webhooks: Vec<(&'static str, Place)>,
    timeout: Duration,
    every: Duration,
    retries: u32,
}

impl Default for NotifierDraft {
    fn default() -> NotifierDraft {
        NotifierDraft {
            on: NotifyOn::ALL.map(|(_, kind)| kind).to_vec(),
            programs: Vec::new(),
            exec: None,
            user: None,
            webhook: None,
            webhook_file: None,
            ways_at: Vec::new(),
            headers: Vec::new(),
            secret_file: None,
            cacert: None,
            insecure: false,
            of_webhooks: Vec::new(),
            timeout: Duration::from_secs(10),
            every: Duration::from_secs(60),
            retries: 3,
        }
    }
}

impl NotifierDraft {
    pub(crate) fn on(&mut self, field: &Field<'_>) {
        let items = field.items();
        if items.is_empty() {
            return field.error_with_hint("is empty", "leave it out for every kind of event");
        }
        self.on = items.iter().filter_map(|item| item.choice(&NotifyOn::ALL)).collect();
    }

    pub(crate) fn programs(&mut self, field: &Field<'_>) {
        let items = field.items();
        if items.is_empty() {
            return field.error_with_hint("is empty", "leave it out for all programs");
        }
        let read = |item: &Field<'_>| Some((item.text()?.text.into_owned(), item.place()));
        self.programs = items.iter().filter_map(read).collect();
    }

    pub(crate) fn exec(&mut self, field: &Field<'_>) {
        self.ways_at.push(("exec", field.place()));
        let command = read_command(field, "exec = [\"/usr/local/bin/alert\"]");
        self.exec = command.map(|command| (command, field.place()));
    }

    pub(crate) fn user(&mut self, field: &Field<'_>) {
        if let Some(user) = read_user(field) {
            self.user = user.map(|user| (user, field.place()));
        }
    }

    pub(crate) fn webhook(&mut self, field: &Field<'_>) {
        self.ways_at.push(("webhook", field.place()));
        let Some(text) = field.text() else { return };
        match WebhookAddress::parse(&text.text) {
            Ok(address) => self.webhook = Some((address, field.place())),
            // A secret is often part of its path, or a password of it.
            Err(problem) => field.error_with_hint(problem.message, problem.hint),
        }
    }

    pub(crate) fn webhook_file(&mut self, field: &Field<'_>) {
        let Some(Some(path)) = field.optional_path() else { return };
        self.ways_at.push(("webhook_file", field.place()));
        self.webhook_file = Some((path, field.place()));
    }

    pub(crate) fn headers(&mut self, field: &Field<'_>) {
        self.of_webhooks.push(("headers", field.place()));
        let Content::Table(entries) = &field.value.content else {
            return field.expected_with_hint("a table of text", "headers = { Authorization = \"Bearer ${TOKEN}\" }");
        };
        for (name, value) in entries {
            let (name, header) = (name.as_str(), field.child(name.as_str(), value));
            if !is_header_name(name) {
                field.error(format_args!("has an invalid header name: {name:?}"));
            } else if SENT.iter().any(|sent| name.eq_ignore_ascii_case(sent)) {
                header.error("is set by musterd itself");
            } else if let Some(value) = header_value(&header) {
                self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                self.headers.push((name.to_owned(), value));
            }
        }
    }

    pub(crate) fn secret_file(&mut self, field: &Field<'_>) {
        self.of_webhooks.push(("secret_file", field.place()));
        self.secret_file = field.optional_path().flatten();
    }

    pub(crate) fn cacert(&mut self, field: &Field<'_>) {
        self.of_webhooks.push(("cacert", field.place()));
        self.cacert = field.optional_path().flatten();
    }

    pub(crate) fn insecure(&mut self, field: &Field<'_>) {
        self.insecure = field.flag().unwrap_or(self.insecure);
    }

    pub(crate) fn timeout(&mut self, field: &Field<'_>) {
        let Some(timeout) = field.duration_of_at_least(SHORTEST) else { return };
        if timeout > NotifierSpec::LONGEST_TIMEOUT {
            return field.error(format_args!("must be at most 5m: {}", field.shown()));
        }
        self.timeout = timeout;
    }

    pub(crate) fn every(&mut self, field: &Field<'_>) {
        let Some(every) = field.duration() else { return };
        if every > LONGEST_EVERY {
            return field.error(format_args!("must be at most 1d: {}", field.shown()));
        }
        self.every = every;
    }

    pub(crate) fn retries(&mut self, field: &Field<'_>) {
        let most = i64::from(NotifierSpec::MOST_RETRIES);
        let retries = field.integer(0..=most).and_then(|number| u32::try_from(number).ok());
        self.retries = retries.unwrap_or(self.retries);
    }

    /// Checks what its keys must agree on; `at` is the place of its name, and `own` the user that the daemon becomes.
    pub(crate) fn finish(
        self,
        name: &str,
        at: Place,
        own: Option<&UserSpec>,
        around: &Surroundings<'_>,
    ) -> Option<NotifierSpec> {
        let owner = Owner::Notifier(name);
        let error = |place, message: String, hint: &str| {
            around.report.add(owner.finding(Severity::Error, place, message).hint(hint));
        };
        const WAYS: &str = "exec = [\"…\"], webhook = \"https://…\" or webhook_file = \"/run/secrets/…\"";
        match &self.ways_at[..] {
            [_] => {}
            [] if ["exec", "webhook", "webhook_file"].iter().any(|key| around.report.was_misnamed(owner, "", key)) => {}
            [] => error(at, "says nowhere where events are to go".to_owned(), WAYS),
            [(first, _), .., (last, place)] => {
                error(*place, format!("{first} and {last} exclude each other"), "make a second [notify.NAME] of it");
            }
        }
        let is_exec = self.ways_at.iter().any(|(way, _)| *way == "exec");
        for (key, place) in self.of_webhooks.iter().filter(|_| is_exec) {
            error(*place, format!("{key} has no meaning for exec"), "only webhooks have it");
        }
        if let Some((_, place)) = self.user.as_ref().filter(|_| !is_exec) {
            error(*place, "user has no meaning for a webhook".to_owned(), "the daemon itself sends it");
        }
        if let (Some(own), Some((user, place))) = (own, &self.user)
            && user != own
        {
            let hint = "leave it out: then it runs as the daemon's user";
            error(*place, format!("user cannot be {}: the daemon becomes another one", user.user), hint);
        }
        if let Some((_, place)) = self.webhook.as_ref().filter(|(url, _)| url.is_exposed() && !self.insecure) {
            let message = "webhook is not encrypted, so anyone on the way can read and change it";
            error(*place, message.to_owned(), "use https://; insecure = true allows it");
        }
        let webhook = |url| {
            let (headers, secret_file, cacert) = (self.headers, self.secret_file, self.cacert);
            Delivery::Webhook(Box::new(Webhook { url, headers, secret_file, cacert, insecure: self.insecure }))
        };
        let delivery = match (self.exec, self.webhook, self.webhook_file) {
            (Some((command, _)), None, None) => {
                Delivery::Exec(NotifyCommand { command, user: self.user.map(|(user, _)| user).or(own.cloned()) })
            }
            (None, Some((url, _)), None) => webhook(WebhookUrl::Given(url)),
            (None, None, Some((path, _))) => webhook(WebhookUrl::File(path)),
            _ => return None,
        };
        let all = vec![("*".to_owned(), at)];
        let programs = if self.programs.is_empty() { all } else { self.programs };
        Some(NotifierSpec {
            name: name.to_owned(),
            on: self.on,
            programs: programs.into_iter().map(|(pattern, _)| pattern).collect(),
            delivery,
            timeout: self.timeout,
            every: self.every,
            retries: self.retries,
        })
    }

    /// The names of programs that are no globs, with their places.
    pub(crate) fn named_programs(&self) -> impl Iterator<Item = (&str, &Place)> {
        let is_name = |(pattern, _): &&(String, Place)| !pattern.contains(['*', '?']);
        self.programs.iter().filter(is_name).map(|(name, place)| (name.as_str(), place))
    }
}
