//! The user and the limits of the daemon, before anything else is opened.

use muster_import::supervisord::{self, Settings, World};
use muster_spec::{Resource, UserSpec};
use muster_supervisord::python::repr;
use muster_sys::user::{Account, Accounts, Refused};
use nix::errno::Errno;
use nix::unistd::{getgid, getuid};

use muster_logging::main_log::{Level, Line};

const AS_ROOT: &str = "Supervisor is running as root.  Privileges were not dropped because no user is specified in the \
                       config file.  If you intend to run as root, you can set user=root in the config file to avoid \
                       this message.";

/// Becomes the configured user. An error is the original's text; nothing may be started then.
pub(super) fn drop_to_user(settings: &Settings, world: &dyn World) -> Result<Option<Line>, String> {
    let Some(user) = &settings.user else {
        return Ok(getuid().is_root().then(|| Line::new(Level::Critical, AS_ROOT)));
    };
    let number = user.trim().parse().ok();
    let found = world.user(number.map_or(supervisord::Account::Name(user), supervisord::Account::Id));
    let found = found.ok_or_else(|| format!("Can't find username {}", repr(user)))?;
    if getuid().as_raw() != found.id {
        become_user(&found.name, found.id)?;
    }
    Ok(Some(Line::new(Level::Info, format!("Set uid to user {} succeeded", found.id))))
}

fn become_user(name: &str, uid: u32) -> Result<(), String> {
    if !getuid().is_root() {
        return Err("Can't drop privilege as nonroot user".to_owned());
    }
    let spec = UserSpec { user: name.to_owned(), group: None };
    let account = Accounts::default().account(&spec, getgid().as_raw()).map_err(|error| error.to_string())?;
    Account { uid, ..account }.take_over().map_err(|refused| match refused {
        Refused::Groups(_) => "Could not set groups of effective user".to_owned(),
        Refused::Group(_) => "Could not set group id of effective user".to_owned(),
        Refused::User(error) => format!("Could not set user id: {}", Errno::from_raw(error)),
    })
}

/// Raises the limits of descriptors and processes where they are lower than configured. An error is the original's
/// text.
pub(super) fn raise_limits(settings: &Settings) -> Result<Vec<Line>, String> {
    let limits = [
        Limit {
            resource: Resource::Nofile,
            name: "RLIMIT_NOFILE",
            least: settings.minfds,
            key: "minfds",
            things: "file descriptors",
            required: "file descriptors required to run this process",
            start: "process",
        },
        Limit {
            resource: Resource::Nproc,
            name: "RLIMIT_NPROC",
            least: settings.minprocs,
            key: "minprocs",
            things: "processes",
            required: "available processes required to run this program",
            start: "program",
        },
    ];
    let mut lines = Vec::new();
    for limit in limits {
        if limit.raise()? {
            lines.push(Line::new(Level::Info, format!("Increased {} limit to {}", limit.name, limit.least)));
        }
    }
    Ok(lines)
}

struct Limit {
    resource: Resource,
    name: &'static str,
    least: i64,
    key: &'static str,
    things: &'static str,
    required: &'static str,
    start: &'static str,
}

impl Limit {
    /// Returns whether it had to be raised.
    fn raise(&self) -> Result<bool, String> {
        // A negative number is less than every limit.
        let Ok(least) = u64::try_from(self.least) else { return Ok(false) };
        muster_sys::limits::ensure(self.resource, least).map_err(|_| self.refused())
    }

    /// The original names the hard limit that it tried to set, which is the least one.
    fn refused(&self) -> String {
        let Limit { key, things, required, start, least, .. } = self;
        format!(
            "The minimum number of {required} is {least} as per the \"{key}\" command-line argument or config file \
             setting. The current environment will only allow you to open {least} {things}.  Either raise the number \
             of usable {things} in your environment (see README.rst) or lower the {key} setting in the config file to \
             allow the {start} to start."
        )
    }
}
