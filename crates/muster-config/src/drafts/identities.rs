//! `[http.user.NAME]`, and the shorthands `token_file` and `username` with `password_file`: users of the API.

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_spec::{IdentitySpec, LONGEST_IDENTITY, Password, Role, is_valid_name};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::users::read_user_name;
use crate::field::{Field, Owner};
use crate::keys::{Reader, Table};
use crate::secret_files::{Private, password, tokens};

/// The name of the user that `token_file` in `[http]` stands for.
const TOKEN_USER: &str = "token";

/// The longest name in a certificate, in bytes.
const LONGEST_NAME: usize = 1024;

/// The most users.
const MOST_USERS: usize = 64;

/// A user while its keys are read.
#[derive(Default)]
pub(crate) struct IdentityDraft {
    at: Option<Place>,
    role: Option<Role>,
    tokens: Option<Secrets>,
    password: Option<(PathBuf, Password)>,
    uid: Option<String>,
    cert: Option<String>,
    cert_sha256: Option<String>,
}

/// Secrets of a file.
struct Secrets {
    path: PathBuf,
    texts: Vec<String>,
}

/// All users, and the shorthands.
#[derive(Default)]
pub(crate) struct Identities {
    named: BTreeMap<String, IdentityDraft>,
    token: IdentityDraft,
    username: Option<(String, Place)>,
    password: IdentityDraft,
}

impl Identities {
    /// Reads `user`: tables by name.
    pub(crate) fn users(&mut self, field: &Field<'_>) {
        let Some(entries) = field.entries() else {
            return field.expected_with_hint("tables by name", "[http.user.deploy]");
        };
        for (at, child) in entries {
            let name = child.name();
            if !is_valid_name(name) || name.len() > LONGEST_IDENTITY {
                let message = format!("user {name:?}: invalid name");
                let finding = Owner::Table("http").finding(Severity::Error, at, message);
                let hint = format!("names consist of letters, digits, `_`, `-` and `.`, at most {LONGEST_IDENTITY}");
                field.report(finding.hint(hint));
                continue;
            }
            let draft = self.named.entry(name.to_owned()).or_default();
            draft.at = draft.at.or(Some(at));
            child.each_key(Table::User, |key, child| {
                if let Reader::Identity(read) = key.reader {
                    read(draft, child);
                }
            });
        }
    }

    /// Reads `token_file` of `[http]`.
    pub(crate) fn token_file(&mut self, field: &Field<'_>) {
        self.token.token_file(field);
    }

    /// Reads `username` of `[http]`.
    pub(crate) fn username(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        if text.text.contains(':') || text.text.len() > LONGEST_IDENTITY {
            let expected = format!("a name without a colon, at most {LONGEST_IDENTITY} bytes long");
            return field.text_expected(&expected, &text, None);
        }
        self.username = (!text.text.is_empty()).then(|| (text.text.into_owned(), field.place()));
    }

    /// Reads `password_file` of `[http]`.
    pub(crate) fn password_file(&mut self, field: &Field<'_>) {
        self.password.password_file(field);
    }

    /// The users, after a check of all of them.
    pub(crate) fn finish(self, report: &Report) -> Vec<IdentitySpec> {
        let mistake = |place: Place, message: String, hint: &str| {
            report.add(Owner::Table("http").finding(Severity::Error, place, message).hint(hint));
        };
        let Identities { mut named, token, username, mut password } = self;
        match (username, password.at.is_some()) {
            (Some((name, at)), true) => {
                password.at = Some(at);
                if named.contains_key(&name) {
                    mistake(at, format!("username: there is [http.user.{name}] as well"), "leave one of them out");
                }
                named.insert(name, password);
            }
            (Some((_, at)), false) => {
                mistake(at, "username needs password_file".to_owned(), "password_file = \"/run/secrets/password\"");
            }
            (None, true) => {
                let at = password.at.unwrap_or(Place::start_of(0));
                mistake(at, "password_file needs username".to_owned(), "username = \"admin\"");
            }
            (None, false) => {}
        }
        if let Some(at) = token.at {
            if named.contains_key(TOKEN_USER) {
                mistake(at, format!("token_file: there is [http.user.{TOKEN_USER}] as well"), "leave one of them out");
            }
            named.insert(TOKEN_USER.to_owned(), token);
        }
        if let Some(at) = named.values().nth(MOST_USERS).and_then(|draft| draft.at) {
            mistake(at, format!("more than {MOST_USERS} users"), "let several clients share one");
        }
        named.into_iter().map(|(name, draft)| draft.spec(name)).collect()
    }
}

impl IdentityDraft {
    pub(crate) fn role(&mut self, field: &Field<'_>) {
        self.role = field.choice(&Role::ALL);
    }

    pub(crate) fn token_file(&mut self, field: &Field<'_>) {
        let Some(Some(path)) = field.optional_path() else { return };
        self.at = self.at.or(Some(field.place()));
        let Some(text) = field.around.env_files.read_secret(field, &path, Private::No) else { return };
        match tokens(&text) {
            Ok(texts) => self.tokens = Some(Secrets { path, texts }),
            Err(problem) => {
                field.error_with_hint(format!("{problem}: {}", path.display()), "openssl rand -hex 32 makes one");
            }
        }
    }

    pub(crate) fn password_file(&mut self, field: &Field<'_>) {
        let Some(Some(path)) = field.optional_path() else { return };
        self.at = self.at.or(Some(field.place()));
        let Some(text) = field.around.env_files.read_secret(field, &path, Private::No) else { return };
        match password(&text) {
            Ok(password) => self.password = Some((path, password)),
            Err(problem) => field
                .error_with_hint(format!("{problem}: {}", path.display()), "one line with the password, or its hash"),
        }
    }

    pub(crate) fn cert(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        if text.text.chars().any(char::is_control) || text.text.len() > LONGEST_NAME {
            field.text_expected("a name in a certificate", &text, Some("\"spiffe://example.org/deploy\"".to_owned()));
            return;
        }
        self.cert = Some(text.text.into_owned()).filter(|name| !name.is_empty());
    }

    pub(crate) fn cert_sha256(&mut self, field: &Field<'_>) {
        let Some(text) = field.text() else { return };
        let bare = text.text.strip_prefix("sha256:").unwrap_or(&text.text).replace(':', "").to_ascii_lowercase();
        if !bare.is_empty() && (bare.len() != 64 || !bare.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            let hint = "openssl x509 -noout -fingerprint -sha256 -in FILE shows it";
            field.text_expected("64 hexadecimal digits", &text, Some(hint.to_owned()));
            return;
        }
        self.cert_sha256 = Some(bare).filter(|digits| !digits.is_empty());
    }

    pub(crate) fn uid(&mut self, field: &Field<'_>) {
        self.uid = read_user_name(field);
    }

    fn spec(self, name: String) -> IdentitySpec {
        let (token_file, tokens) = self.tokens.map(|secrets| (secrets.path, secrets.texts)).unzip();
        let (password_file, password) = self.password.unzip();
        IdentitySpec {
            name,
            role: self.role.unwrap_or(Role::Admin),
            token_file,
            password_file,
            uid: self.uid,
            cert: self.cert,
            cert_sha256: self.cert_sha256,
            tokens: tokens.unwrap_or_default(),
            password,
        }
    }
}
