//! `[http]`: the control socket, and who may use it.

use muster_spec::{ControlSpec, ExecAt};

use crate::diagnostic::{Place, Report, Severity};
use crate::drafts::identities::Identities;
use crate::drafts::listen::{self, ListenDraft};
use crate::drafts::tls::{CertificateCheck, TlsDraft};
use crate::drafts::users::{read_user, read_user_name};
use crate::field::{Field, Owner};

/// The state of `[http]` while its keys are read.
#[derive(Default)]
pub(crate) struct ControlDraft {
    pub(crate) spec: ControlSpec,
    /// The place of the lists of users.
    pub(crate) users_at: Option<Place>,
    mode_at: Option<Place>,
    tls: TlsDraft,
    listeners: Vec<ListenDraft>,
    identities: Identities,
}

/// `sockaddr_un` has room for 107 bytes and a zero: unix(7).
const LONGEST_SOCKET: usize = 107;

impl ControlDraft {
    /// Begins with these settings.
    pub(crate) fn of(spec: ControlSpec) -> ControlDraft {
        ControlDraft { spec, ..ControlDraft::default() }
    }

    /// Checks the listeners and users, and derives the socket's mode.
    pub(crate) fn finish(&mut self, check: &CertificateCheck, report: &Report) {
        self.spec.identities = std::mem::take(&mut self.identities).finish(report);
        // Those of another language are there already.
        let taken = (self.spec.socket.as_ref(), &self.spec.identities[..]);
        let listeners = listen::finish(&self.listeners, taken, (&self.tls, check), report);
        self.spec.listeners.extend(listeners);
        self.finish_mode(report);
    }

    /// Derives the socket's mode from the lists of users, unless it is given: users on a list must be able to connect.
    fn finish_mode(&mut self, report: &Report) {
        if self.spec.allow_users.is_empty() && self.spec.readonly_users.is_empty() {
            if let Some(place) = self.mode_at.filter(|_| self.spec.mode & 0o002 != 0) {
                let message =
                    format!("mode lets every user connect, but only root may do anything: {:04o}", self.spec.mode);
                let finding = Owner::Table("http").finding(Severity::Warning, place, message);
                report.add(finding.hint("allow_users and readonly_users say who may; the mode follows from them"));
            }
            return;
        }
        match self.mode_at {
            None => self.spec.mode = 0o666,
            Some(place) if self.spec.mode & 0o066 == 0 => {
                let mode = self.spec.mode;
                let message =
                    format!("mode = \"{mode:04o}\" lets only the owner connect, so the lists of users have no effect");
                let finding = Owner::Table("http").finding(Severity::Warning, place, message);
                report.add(finding.hint("leave mode out: it follows from the lists"));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn socket(&mut self, field: &Field<'_>) {
        let Some(path) = field.optional_path() else { return };
        if path.as_ref().is_some_and(|path| path.as_os_str().len() > LONGEST_SOCKET) {
            let whole = path.map(|path| path.display().to_string()).unwrap_or_default();
            let is_relative = field.value.as_str().is_some_and(|text| !text.starts_with(['/', '$', '{']));
            let made = if is_relative { ", made absolute with the directory of this file" } else { "" };
            let length = whole.len();
            let problem =
                format_args!("is {length} bytes long{made}, and a socket path can have {LONGEST_SOCKET}: {whole:?}");
            field.error_with_hint(problem, "socket = \"/run/muster.sock\" is short enough everywhere");
            return;
        }
        self.spec.socket = path;
    }

    pub(crate) fn mode(&mut self, field: &Field<'_>) {
        let Some(mode) = field.octal() else { return };
        self.mode_at = Some(field.place());
        self.spec.mode = mode & 0o777;
    }

    pub(crate) fn owner(&mut self, field: &Field<'_>) {
        if let Some(owner) = read_user(field) {
            self.spec.owner = owner;
        }
    }

    pub(crate) fn allow_users(&mut self, field: &Field<'_>) {
        self.users_at = Some(field.place());
        self.spec.allow_users = field.items().iter().filter_map(read_user_name).collect();
    }

    pub(crate) fn readonly_users(&mut self, field: &Field<'_>) {
        self.users_at = self.users_at.or(Some(field.place()));
        self.spec.readonly_users = field.items().iter().filter_map(read_user_name).collect();
    }

    pub(crate) fn listen(&mut self, field: &Field<'_>) {
        if let Some(listeners) = listen::read_listeners(field) {
            self.listeners = listeners;
        }
    }

    pub(crate) fn users(&mut self, field: &Field<'_>) {
        self.identities.users(field);
    }

    pub(crate) fn token_file(&mut self, field: &Field<'_>) {
        self.identities.token_file(field);
    }

    pub(crate) fn username(&mut self, field: &Field<'_>) {
        self.identities.username(field);
    }

    pub(crate) fn password_file(&mut self, field: &Field<'_>) {
        self.identities.password_file(field);
    }

    pub(crate) fn tls(&mut self, read: fn(&mut TlsDraft, &Field<'_>), field: &Field<'_>) {
        read(&mut self.tls, field);
    }

    pub(crate) fn allow_hosts(&mut self, field: &Field<'_>) {
        self.spec.allow_hosts = listen::hosts(field);
    }

    pub(crate) fn allow_origins(&mut self, field: &Field<'_>) {
        self.spec.allow_origins = listen::origins(field);
    }

    pub(crate) fn exec(&mut self, field: &Field<'_>) {
        if let Some(exec) = field.choice(&ExecAt::ALL) {
            self.spec.exec = exec;
        }
    }

    pub(crate) fn debug(&mut self, field: &Field<'_>) {
        self.spec.debug = field.flag().unwrap_or_default();
    }
}
