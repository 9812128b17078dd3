//! `[http]`: the control socket, and who may use it.

use std::path::PathBuf;

use muster_core::spec::ControlSpec;

use crate::field::Field;
use crate::walk::users::{read_user, read_user_name};

/// What `[http]` has said so far.
pub(crate) struct ControlDraft {
    pub(crate) spec: ControlSpec,
}

/// `sockaddr_un` has room for 107 bytes and a zero: unix(7).
const LONGEST_SOCKET: usize = 107;

impl Default for ControlDraft {
    fn default() -> ControlDraft {
        let spec = ControlSpec {
            socket: Some(PathBuf::from("/run/muster.sock")),
            mode: 0o600,
            owner: None,
            allow_users: Vec::new(),
            readonly_users: Vec::new(),
        };
        ControlDraft { spec }
    }
}

impl ControlDraft {
    pub(crate) fn socket(&mut self, field: &Field<'_>) {
        let Some(path) = field.optional_path() else { return };
        if path.as_ref().is_some_and(|path| path.as_os_str().len() > LONGEST_SOCKET) {
            field.error(format_args!("must not be longer than {LONGEST_SOCKET} bytes: {}", field.shown()));
            return;
        }
        self.spec.socket = path;
    }

    pub(crate) fn mode(&mut self, field: &Field<'_>) {
        let Some(mode) = field.octal() else { return };
        if mode & 0o002 != 0 {
            let problem = format_args!("lets every user control the programs: {}", field.shown());
            field.warning(problem, "0660 with an owner, or allow_users, chooses who may");
        }
        self.spec.mode = mode & 0o777;
    }

    pub(crate) fn owner(&mut self, field: &Field<'_>) {
        if let Some(owner) = read_user(field) {
            self.spec.owner = owner;
        }
    }

    pub(crate) fn allow_users(&mut self, field: &Field<'_>) {
        self.spec.allow_users = field.items().iter().filter_map(read_user_name).collect();
    }

    pub(crate) fn readonly_users(&mut self, field: &Field<'_>) {
        self.spec.readonly_users = field.items().iter().filter_map(read_user_name).collect();
    }
}
