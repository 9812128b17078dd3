//! `[source.NAME]`: a server with a part of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use muster_spec::{ApplyWhen, SourceAddress, SourceSpec, SourceTable};

use crate::diagnostic::{Place, Severity};
use crate::drafts::users::read_user_name;
use crate::field::{Field, Owner, Surroundings};

/// The state of a source while its keys are read.
pub(crate) struct SourceDraft {
    address: Option<(SourceAddress, Place)>,
    was_url_read: bool,
    cacert: Option<PathBuf>,
    cert: Option<(PathBuf, Place)>,
    key: Option<(PathBuf, Place)>,
    token_file: Option<(PathBuf, Place)>,
    username: Option<(String, Place)>,
    password_file: Option<(PathBuf, Place)>,
    insecure: bool,
    spec: Settings,
}

/// The keys that stand for themselves.
struct Settings {
    period: Duration,
    resync: Duration,
    required: bool,
    wait: Duration,
    cache: bool,
    apply: ApplyWhen,
    splay: Duration,
    may: Vec<SourceTable>,
    run_as: Vec<String>,
    allow_empty: bool,
}

impl Default for SourceDraft {
    fn default() -> SourceDraft {
        let spec = Settings {
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
        };
        SourceDraft {
            address: None,
            was_url_read: false,
            cacert: None,
            cert: None,
            key: None,
            token_file: None,
            username: None,
            password_file: None,
            insecure: false,
            spec,
        }
    }
}

fn path(field: &Field<'_>) -> Option<(PathBuf, Place)> {
    field.optional_path()?.map(|path| (path, field.place()))
}

fn bounded(field: &Field<'_>, least: Duration, most: Duration, words: &str) -> Option<Duration> {
    let span = field.duration()?;
    if (least..=most).contains(&span) {
        return Some(span);
    }
    field.expected(words);
    None
}

impl SourceDraft {
    pub(crate) fn url(&mut self, field: &Field<'_>) {
        self.was_url_read = true;
        let Some(text) = field.text() else { return };
        match SourceAddress::parse(&text.text) {
            Ok(address) => self.address = Some((address, field.place())),
            // It may contain a password.
            Err(error) if text.text.contains('@') => field.error_with_hint(error.message, error.hint),
            Err(error) => {
                field.error_with_hint(format_args!("{}: {}", error.message, field.shown_text(&text)), error.hint)
            }
        }
    }

    pub(crate) fn cacert(&mut self, field: &Field<'_>) {
        self.cacert = path(field).map(|(path, _)| path);
    }

    pub(crate) fn cert(&mut self, field: &Field<'_>) {
        self.cert = path(field);
    }

    pub(crate) fn key(&mut self, field: &Field<'_>) {
        self.key = path(field);
    }

    pub(crate) fn token_file(&mut self, field: &Field<'_>) {
        self.token_file = path(field);
    }

    pub(crate) fn username(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        if text.text.contains(':') || text.text.chars().any(char::is_control) {
            field.expected("a name without colons");
            return;
        }
        self.username = (!text.text.is_empty()).then(|| (text.text.into_owned(), field.place()));
    }

    pub(crate) fn password_file(&mut self, field: &Field<'_>) {
        self.password_file = path(field);
    }

    pub(crate) fn period(&mut self, field: &Field<'_>) {
        let day = Duration::from_secs(86_400);
        if let Some(span) = bounded(field, Duration::from_secs(1), day, "from 1s to 1d") {
            self.spec.period = span;
        }
    }

    pub(crate) fn resync(&mut self, field: &Field<'_>) {
        let hour = Duration::from_secs(3600);
        if let Some(span) = bounded(field, Duration::from_secs(5), hour, "from 5s to 1h") {
            self.spec.resync = span;
        }
    }

    pub(crate) fn required(&mut self, field: &Field<'_>) {
        self.spec.required = field.flag().unwrap_or(self.spec.required);
    }

    pub(crate) fn wait(&mut self, field: &Field<'_>) {
        let hour = Duration::from_secs(3600);
        if let Some(span) = bounded(field, Duration::ZERO, hour, "at most 1h") {
            self.spec.wait = span;
        }
    }

    pub(crate) fn cache(&mut self, field: &Field<'_>) {
        self.spec.cache = field.flag().unwrap_or(self.spec.cache);
    }

    pub(crate) fn apply(&mut self, field: &Field<'_>) {
        self.spec.apply = field.choice(&ApplyWhen::ALL).unwrap_or(self.spec.apply);
    }

    pub(crate) fn splay(&mut self, field: &Field<'_>) {
        let day = Duration::from_secs(86_400);
        if let Some(span) = bounded(field, Duration::ZERO, day, "at most 1d") {
            self.spec.splay = span;
        }
    }

    pub(crate) fn may(&mut self, field: &Field<'_>) {
        self.spec.may = field.items().iter().filter_map(|item| item.choice(&SourceTable::ALL)).collect();
    }

    pub(crate) fn run_as(&mut self, field: &Field<'_>) {
        self.spec.run_as = field.items().iter().filter_map(read_user_name).collect();
    }

    pub(crate) fn allow_empty(&mut self, field: &Field<'_>) {
        self.spec.allow_empty = field.flag().unwrap_or(self.spec.allow_empty);
    }

    pub(crate) fn insecure(&mut self, field: &Field<'_>) {
        self.insecure = field.flag().unwrap_or(self.insecure);
    }

    /// Checks what its keys must agree on; `at` is the place of its name.
    pub(crate) fn finish(self, name: &str, at: Place, around: &Surroundings<'_>) -> Option<SourceSpec> {
        let owner = Owner::Source(name);
        let find = |severity, place, message: &str, hint: &str| {
            around.report.add(owner.finding(severity, place, message).hint(hint));
        };
        let error = |place, message: &str, hint: &str| find(Severity::Error, place, message, hint);
        let Some((address, url_at)) = self.address else {
            let is_missing = !self.was_url_read && !around.report.was_misnamed(owner, "", "url");
            if is_missing {
                error(at, "url is missing", "url = \"https://host/muster.toml\"");
            }
            return None;
        };
        let is_etcd = matches!(address, SourceAddress::Etcd { .. });
        if !address.is_tls() && !address.is_loopback() && !self.insecure {
            let hint = "use https:// or etcds://; insecure = true allows it";
            error(url_at, "url is not encrypted, so anyone on the way can replace what runs here", hint);
        }
        if let Some((_, place)) = self.cert.as_ref().xor(self.key.as_ref()) {
            error(*place, "cert and key belong together, and one of them is missing", "set both, or none");
        }
        let login = match (self.username, self.password_file) {
            (Some((user, _)), Some((path, _))) => Some((user, path)),
            (Some((_, place)), None) => {
                error(place, "username needs a password_file", "a file with the password in its first line");
                None
            }
            (None, Some((_, place))) => {
                error(place, "password_file needs a username", "username = \"…\"");
                None
            }
            (None, None) => None,
        };
        if let Some((_, place)) = &self.token_file {
            if is_etcd {
                error(*place, "token_file is for HTTP servers only", "username and password_file log in to etcd");
            } else if login.is_some() {
                error(*place, "token_file and username exclude each other", "a request can carry only one of them");
            }
        }
        if let Some((_, place)) = self.cert.as_ref().filter(|_| is_etcd && login.is_none()) {
            let hint = "its HTTP gateway takes a user only from username and password_file";
            find(Severity::Warning, *place, "cert names no user to etcd", hint);
        }
        let settings = self.spec;
        Some(SourceSpec {
            name: name.to_owned(),
            address,
            cacert: self.cacert,
            identity: self.cert.map(|(path, _)| path).zip(self.key.map(|(path, _)| path)),
            token_file: self.token_file.map(|(path, _)| path),
            login,
            period: settings.period,
            resync: settings.resync,
            required: settings.required,
            wait: settings.wait,
            cache: settings.cache,
            apply: settings.apply,
            splay: settings.splay,
            may: settings.may,
            run_as: settings.run_as,
            allow_empty: settings.allow_empty,
        })
    }
}
