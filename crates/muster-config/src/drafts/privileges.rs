//! `capabilities = ["net_bind_service"]`, `no_new_privileges` and `securebits`.

use muster_spec::{CapabilitySet, Privileges, Securebits};

use crate::diagnostic::{Place, Report, Severity};
use crate::field::{Field, Owner};
use crate::words::nearest;

/// Commands that change the user, most of them by a setuid bit.
const CHANGING_USER: [&str; 6] = ["sudo", "su", "doas", "pkexec", "gosu", "su-exec"];

/// The privileges of an instance while its keys are read.
#[derive(Default)]
pub(crate) struct PrivilegesDraft {
    pub(crate) spec: Privileges,
    no_new_privileges_at: Option<Place>,
}

impl PrivilegesDraft {
    pub(crate) fn of(spec: Privileges) -> PrivilegesDraft {
        PrivilegesDraft { spec, ..PrivilegesDraft::default() }
    }

    pub(crate) fn capabilities(&mut self, field: &Field<'_>) {
        let mut set = CapabilitySet::NONE;
        for item in field.items() {
            match read_capability(&item) {
                Some(capability) => set = set.with(capability),
                None => return,
            }
        }
        self.spec.capabilities = Some(set);
    }

    pub(crate) fn no_new_privileges(&mut self, field: &Field<'_>) {
        if let Some(value) = field.flag() {
            self.spec.no_new_privileges = value;
            self.no_new_privileges_at = value.then(|| field.place());
        }
    }

    pub(crate) fn securebits(&mut self, field: &Field<'_>) {
        let words = field.items();
        let flags = words.iter().map(|item| item.choice(&Securebits::ALL));
        if let Some(flags) = flags.collect::<Option<Vec<_>>>() {
            self.spec.securebits = flags.into_iter().fold(Securebits::default(), Securebits::with);
        }
    }

    /// Warns of a command that will not do what it is for.
    pub(crate) fn check(&self, command: &[String], owner: Owner<'_>, report: &Report) {
        let (Some(place), Some(word)) = (self.no_new_privileges_at, command.first()) else { return };
        let name = word.rsplit('/').next().unwrap_or(word);
        if CHANGING_USER.contains(&name) {
            let message = format!("no_new_privileges may keep {name} from changing the user");
            let hint = "user = \"…\" runs the command itself as that user";
            report.add(owner.finding(Severity::Warning, place, message).hint(hint));
        }
    }
}

/// A name with or without `CAP_`, in any case.
fn read_capability(field: &Field<'_>) -> Option<CapabilitySet> {
    let text = field.text()?.text;
    let name = text.to_ascii_lowercase();
    let name = name.strip_prefix("cap_").unwrap_or(&name);
    let found = CapabilitySet::of(name);
    if found.is_none() {
        let close = nearest(name, CapabilitySet::NAMES.into_iter());
        let hint = match close {
            Some(close) => format!("did you mean {close:?}?"),
            None if name == "all" => "leave the key out to keep all".to_owned(),
            None => "names are those of capabilities(7), such as \"net_bind_service\"; [] keeps none".to_owned(),
        };
        field.expected_with_hint("a capability", hint);
    }
    found
}
