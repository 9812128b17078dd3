//! Where the daemon is and how to log in there, from options, variables and contexts.
//!
//! An option comes before a variable. The login of a variable is never sent to a daemon that a context names, since it was meant
//! for another one.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_api::DEFAULT_SOCKET;

use crate::client::{Login, Place, Target, Url, tls};
use crate::contexts::{self, Context, Contexts};
use crate::failure::{Exit, Failure};
use crate::prompt;
use crate::via::{Via, words};

// No doc comment: clap would make it the description of the whole program.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Reach {
    /// The daemon's socket, or its address as https://HOST:PORT [default: $MUSTER_SOCKET, or else /run/muster.sock].
    #[arg(short, long, global = true, value_name = "SOCKET", help_heading = "Connection")]
    pub(crate) socket: Option<OsString>,

    /// Reach the daemon through this command, such as `docker exec -i shop` [default: $MUSTER_VIA].
    #[arg(long, global = true, value_name = "COMMAND", help_heading = "Connection")]
    pub(crate) via: Option<String>,

    /// The daemons of these contexts: names or globs [default: $MUSTER_CONTEXT].
    #[arg(
        short = 'x',
        long,
        global = true,
        value_name = "CONTEXT",
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    pub(crate) context: Vec<String>,

    /// Log in with the token in this file [default: $MUSTER_TOKEN_FILE, or the token in $MUSTER_TOKEN].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) token_file: Option<PathBuf>,

    /// Log in as this user; on a terminal the password is asked for.
    #[arg(long, global = true, value_name = "USER", help_heading = "Connection")]
    pub(crate) user: Option<String>,

    /// The password is the first line of this file.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) password_file: Option<PathBuf>,

    /// Send the login over http:// to another machine, where it can be read on the way.
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) insecure_transport: bool,

    /// Trust the certificates in this PEM file instead of the system's [default: $MUSTER_CACERT].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) cacert: Option<PathBuf>,

    /// The client certificate, in PEM [default: $MUSTER_CERT].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the client certificate, in PEM [default: $MUSTER_KEY].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) key: Option<PathBuf>,

    /// Trust exactly the server certificate with this fingerprint, sha256:HEX.
    #[arg(long, global = true, value_name = "PIN", help_heading = "Connection")]
    pub(crate) pin: Option<String>,
}

/// The environment variables that say where the daemon is.
#[derive(Clone, Default)]
pub(crate) struct Variables {
    /// `$MUSTER_SOCKET`.
    pub(crate) socket: Option<OsString>,
    /// `$MUSTER_VIA`.
    pub(crate) via: Option<OsString>,
    /// `$MUSTER_CONTEXT`.
    pub(crate) context: Option<OsString>,
    /// `$MUSTER_TOKEN`.
    pub(crate) token: Option<OsString>,
    /// `$MUSTER_TOKEN_FILE`.
    pub(crate) token_file: Option<OsString>,
    /// `$MUSTER_CACERT`.
    pub(crate) cacert: Option<OsString>,
    /// `$MUSTER_CERT`.
    pub(crate) cert: Option<OsString>,
    /// `$MUSTER_KEY`.
    pub(crate) key: Option<OsString>,
    /// `$SSL_CERT_FILE`.
    pub(crate) ssl_cert_file: Option<OsString>,
    /// The path of `contexts.toml`, if there is a home directory.
    pub(crate) contexts: Option<PathBuf>,
}

impl Variables {
    /// Those of this process.
    pub(crate) fn of_process() -> Variables {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let config = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
        Variables {
            socket: variable("MUSTER_SOCKET"),
            via: variable("MUSTER_VIA"),
            context: variable("MUSTER_CONTEXT"),
            token: variable("MUSTER_TOKEN"),
            token_file: variable("MUSTER_TOKEN_FILE"),
            cacert: variable("MUSTER_CACERT"),
            cert: variable("MUSTER_CERT"),
            key: variable("MUSTER_KEY"),
            ssl_cert_file: variable("SSL_CERT_FILE"),
            contexts: config.map(|config| config.join("musterctl/contexts.toml")),
        }
    }

    /// Without those that lead away from this machine.
    pub(crate) fn local(self) -> Variables {
        Variables { via: None, context: None, ..self }
    }
}

/// The daemons of a command line.
#[derive(Debug)]
pub(crate) enum Reached {
    /// One.
    One(Target),
    /// Those of several contexts, with the contexts' names.
    Several(Vec<(String, Target)>),
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

impl Reach {
    /// The daemons that these options and variables name. `can_ask` says whether a password can be asked for.
    pub(crate) fn targets(&self, variables: &Variables, can_ask: bool) -> Result<Reached, Failure> {
        let given = [("--socket", self.socket.is_some()), ("--via", self.via.is_some())];
        let given = one_of(given.into_iter().chain([("--context", !self.context.is_empty())]))?;
        let from_variable = [
            ("$MUSTER_SOCKET", variables.socket.is_some()),
            ("$MUSTER_VIA", variables.via.is_some()),
            ("$MUSTER_CONTEXT", variables.context.is_some()),
        ];
        let origin = match given {
            Some(origin) => Some(origin),
            None => one_of(from_variable)?,
        };
        let text = |option: &Option<OsString>, variable: &Option<OsString>| {
            option.clone().or_else(|| variable.clone()).unwrap_or_else(|| DEFAULT_SOCKET.into())
        };
        let place = match origin {
            Some(origin @ ("--via" | "$MUSTER_VIA")) => {
                let command = text(&self.via.as_ref().map(OsString::from), &variables.via);
                via(origin, &command)?
            }
            Some("--context" | "$MUSTER_CONTEXT") => return self.of_contexts(variables, can_ask),
            origin => socket(origin.unwrap_or("the default socket"), &text(&self.socket, &variables.socket))?,
        };
        let of_variables = of_variables(variables, &place);
        self.target(place, &of_variables, variables, can_ask).map(Reached::One)
    }

    fn of_contexts(&self, variables: &Variables, can_ask: bool) -> Result<Reached, Failure> {
        let variable = variables.context.as_ref().map(|names| names.to_string_lossy().into_owned());
        let wanted: Vec<String> = match &*self.context {
            [] => variable.iter().flat_map(|names| names.split(',')).map(|name| name.trim().to_owned()).collect(),
            names => names.to_vec(),
        };
        let contexts = Contexts::read(variables.contexts.as_deref())?;
        let mut found = Vec::new();
        for (name, context) in contexts.select(&wanted)? {
            let place = context.place().map_err(|reason| contexts::wrong(name, &reason))?;
            let target = self.target(place, &context.settings, variables, can_ask);
            let target = target
                .map_err(|failure| Failure { message: contexts::wrong(name, &failure.message).message, ..failure })?;
            found.push((name.to_owned(), target));
        }
        match found.len() {
            1 => Ok(Reached::One(found.remove(0).1)),
            _ => Ok(Reached::Several(found)),
        }
    }

    /// A daemon in this place, with the login and the trust of these options or, where there is none, of the settings.
    fn target(
        &self,
        place: Place,
        settings: &Settings,
        variables: &Variables,
        can_ask: bool,
    ) -> Result<Target, Failure> {
        let settings = self.settings().or(settings);
        let Place::Url(url) = place else {
            return match settings.first() {
                Some(name) => Err(usage(format!("{name} is only for https:// and http:// addresses"))),
                None => Ok(Target::new(place)),
            };
        };
        let mut target = Target::new(Place::Url(url.clone()));
        if url.is_secure {
            target = target.with_tls(settings.tls(variables)?);
        } else if let Some(name) = settings.first_of_tls() {
            return Err(usage(format!("{name} is only for https:// addresses: {url}")));
        }
        if settings.has_login() && !url.is_secure && !url.is_loopback() && !settings.insecure_transport {
            let hint = "use https:// or --via; --insecure-transport permits it in a network that you trust";
            return Err(usage(format!("the login would travel in clear text to {url}")).with_hint(hint));
        }
        let login = settings.login(&url, can_ask)?;
        Ok(target.with_login(login))
    }

    fn settings(&self) -> Settings {
        Settings {
            token: None,
            token_file: self.token_file.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            insecure_transport: self.insecure_transport,
            cacert: self.cacert.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            pin: self.pin.clone(),
        }
    }

    /// The options again, for a process that is to use the same daemon.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        let mut add = |name: &str, value: Option<&OsStr>| {
            if let Some(value) = value {
                let mut arg = OsString::from(format!("--{name}="));
                arg.push(value);
                args.push(arg);
            }
        };
        let path = |path: &Option<PathBuf>| path.as_deref().map(Path::as_os_str).map(OsStr::to_owned);
        add("socket", self.socket.as_deref());
        add("via", self.via.as_deref().map(OsStr::new));
        self.context.iter().for_each(|name| add("context", Some(OsStr::new(name))));
        add("token-file", path(&self.token_file).as_deref());
        add("user", self.user.as_deref().map(OsStr::new));
        add("password-file", path(&self.password_file).as_deref());
        add("cacert", path(&self.cacert).as_deref());
        add("cert", path(&self.cert).as_deref());
        add("key", path(&self.key).as_deref());
        add("pin", self.pin.as_deref().map(OsStr::new));
        if self.insecure_transport {
            args.push("--insecure-transport".into());
        }
        args
    }

    /// Sets the option of this name, if it is one that says which daemon is meant.
    pub(crate) fn set(&mut self, option: &str, value: &str) {
        let path = || Some(PathBuf::from(value));
        match option {
            "socket" => self.socket = Some(value.into()),
            "via" => self.via = Some(value.to_owned()),
            "context" => self.context.extend(value.split(',').map(str::to_owned)),
            "token-file" => self.token_file = path(),
            "cacert" => self.cacert = path(),
            "cert" => self.cert = path(),
            "key" => self.key = path(),
            "pin" => self.pin = Some(value.to_owned()),
            _ => {}
        }
    }

    /// Whether an option says which daemon is meant.
    pub(crate) fn names_a_daemon(&self) -> bool {
        self.socket.is_some() || self.via.is_some() || !self.context.is_empty()
    }
}

/// How to log in, and whom to trust.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) token: Option<OsString>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) insecure_transport: bool,
    pub(crate) cacert: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) pin: Option<String>,
}

impl Settings {
    /// These, and the others for what they do not say. A login is not put together from both.
    fn or(self, others: &Settings) -> Settings {
        let Settings { token, token_file, user, password_file, .. } =
            if self.has_login() { self.clone() } else { others.clone() };
        let (cert, key) = match (&self.cert, &self.key) {
            (None, None) => (others.cert.clone(), others.key.clone()),
            _ => (self.cert.clone(), self.key.clone()),
        };
        Settings {
            token,
            token_file,
            user,
            password_file: self.password_file.or(password_file),
            insecure_transport: self.insecure_transport || others.insecure_transport,
            cacert: self.cacert.or_else(|| others.cacert.clone()),
            cert,
            key,
            pin: self.pin.or_else(|| others.pin.clone()),
        }
    }

    fn has_login(&self) -> bool {
        self.token.is_some() || self.token_file.is_some() || self.user.is_some()
    }

    /// The first setting, by the name of its option.
    pub(crate) fn first(&self) -> Option<&'static str> {
        let of_login = [
            ("--token-file", self.token_file.is_some()),
            ("--user", self.user.is_some()),
            ("--password-file", self.password_file.is_some()),
            ("--insecure-transport", self.insecure_transport),
        ];
        of_login.iter().find(|(_, given)| *given).map(|(name, _)| *name).or_else(|| self.first_of_tls())
    }

    fn first_of_tls(&self) -> Option<&'static str> {
        let all = [
            ("--cacert", self.cacert.is_some()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--pin", self.pin.is_some()),
        ];
        all.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }

    fn login(&self, url: &Url, can_ask: bool) -> Result<Option<Login>, Failure> {
        one_of([("--token-file", self.token_file.is_some()), ("--user", self.user.is_some())])?;
        let of_file = |path: &Path, login: Result<Login, String>| {
            login.map(Some).map_err(|reason| usage(format!("{}: {reason}", path.display())))
        };
        match (&self.token_file, &self.user, &self.password_file, &self.token) {
            (Some(path), _, _, _) => of_file(path, Login::token_in(path)),
            (None, Some(user), Some(path), _) => of_file(path, Login::password_in(user, path)),
            (None, Some(user), None, _) if can_ask => {
                let failed = |reason: String| Failure::new(Exit::Usage, format!("cannot ask for a password: {reason}"));
                let password = prompt::password(&format!("Password of {user} at {url}: "));
                let password = password.map_err(|error| failed(error.to_string()))?;
                Login::password(user, &password).map(Some).map_err(usage)
            }
            (None, Some(_), None, _) => Err(usage("--user needs --password-file where no terminal can ask for it")),
            (None, None, Some(_), _) => Err(usage("--password-file needs --user")),
            (None, None, None, Some(token)) => {
                Login::token_of(token).map(Some).map_err(|reason| usage(format!("$MUSTER_TOKEN: {reason}")))
            }
            (None, None, None, None) => Ok(None),
        }
    }

    fn tls(&self, variables: &Variables) -> Result<Arc<tls::Config>, Failure> {
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => return Err(usage("--cert and --key belong together")),
        };
        let variable = |name: &str| {
            let value = if name == "SSL_CERT_FILE" { variables.ssl_cert_file.as_ref() } else { None };
            value.map(|value| value.to_string_lossy().into_owned())
        };
        tls::config(self.cacert.clone(), identity, self.pin.as_deref(), &variable).map_err(usage)
    }
}

/// The settings of the variables, for an address of the network.
fn of_variables(variables: &Variables, place: &Place) -> Settings {
    let Place::Url(url) = place else { return Settings::default() };
    let path = |value: &Option<OsString>| value.as_ref().map(PathBuf::from);
    let of_tls = |value: &Option<OsString>| path(value).filter(|_| url.is_secure);
    Settings {
        token: variables.token.clone(),
        token_file: path(&variables.token_file),
        cacert: of_tls(&variables.cacert),
        cert: of_tls(&variables.cert),
        key: of_tls(&variables.key),
        ..Settings::default()
    }
}

/// The one that is given, if any; two are an error.
fn one_of<'a>(all: impl IntoIterator<Item = (&'a str, bool)>) -> Result<Option<&'a str>, Failure> {
    let mut given = all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => Err(usage(format!("{first} and {second} cannot be used together"))),
        (first, _) => Ok(first),
    }
}

fn socket(origin: &str, text: &OsStr) -> Result<Place, Failure> {
    Place::parse(text).map_err(|reason| {
        let shown = text.to_string_lossy();
        // It may hold a password.
        let shown = if shown.contains('@') { String::new() } else { format!(": {shown:?}") };
        usage(format!("{origin}: {reason}{shown}")).with_hint(format!("the default is {DEFAULT_SOCKET}"))
    })
}

fn via(origin: &str, command: &OsStr) -> Result<Place, Failure> {
    let wrong = |reason| usage(format!("{origin}: {reason}: {:?}", command.to_string_lossy()));
    let command = command.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
    Ok(Place::Via(Arc::new(Via::new(words(command).map_err(wrong)?))))
}

impl Context {
    /// The place that it names.
    pub(crate) fn place(&self) -> Result<Place, String> {
        match (&self.via, &self.url) {
            (Some(words), None) => Ok(Place::Via(Arc::new(Via::new(words.clone())))),
            (None, Some(url)) => Place::parse(OsStr::new(url)),
            _ => Err("it needs either `via` or `url`".to_owned()),
        }
    }
}
