//! `once = true`, and the other keys that need a `state_dir`.

use muster_spec::Kind;

use crate::diagnostic::{Report, Severity};
use crate::drafts::program::Rules;
use crate::field::{Field, Owner};

/// How the directory is configured.
const STATE_DIR: &str = "state_dir = \"/var/lib/muster\" in [musterd], on a volume that outlives the container";

impl Rules {
    pub(crate) fn read_once(&mut self, field: &Field<'_>) {
        if let Some(once) = field.flag() {
            self.once = once;
            self.once_at = Some(field.place());
        }
    }

    /// Checks what needs the daemon's memory, and what cannot be done once.
    pub(crate) fn check_memory(&self, has_state_dir: bool, owner: Owner<'_>, report: &Report) {
        let once_at = self.once_at.filter(|_| self.once);
        let mistake = |place, message: &str, hint: &str| {
            report.add(owner.finding(Severity::Error, place, message).hint(hint));
        };
        if let Some(place) = once_at {
            if self.schedule.is_some() {
                mistake(place, "once and schedule exclude each other", "leave out one of the two");
            } else if self.kind == Kind::Service {
                mistake(place, "once needs a oneshot: a service is never done", "type = \"oneshot\"");
            }
        }
        let catches_up_at = self.schedule.as_ref().and_then(|schedule| schedule.catches_up_at());
        if let Some(place) = once_at.filter(|_| !has_state_dir) {
            mistake(place, "once needs state_dir, which keeps what is done", STATE_DIR);
        }
        if let Some(place) = catches_up_at.filter(|_| !has_state_dir) {
            mistake(place, "missed = \"once\" needs state_dir, which keeps when the job was due last", STATE_DIR);
        }
    }
}
