//! What the daemon's surroundings keep from it, in words: privileges that programs of other users take, and descriptors.
//!
//! Said by `musterd doctor`, and at start where the configuration asks for what is not there.

use std::fs;
use std::sync::Arc;

use muster_spec::ProgramSpec;
use muster_sys::limits::OriginalLimits;
use muster_sys::rights::{Capability, Rights};
use muster_sys::user::Accounts;

/// How many descriptors the daemon has for clients and itself.
const OWN_DESCRIPTORS: u64 = 300;
/// One for each stream of its output.
const DESCRIPTORS_OF_A_PROGRAM: u64 = 2;

/// How many programs there is room for within so many descriptors.
pub(crate) fn programs_within(descriptors: u64) -> u64 {
    descriptors.saturating_sub(OWN_DESCRIPTORS) / DESCRIPTORS_OF_A_PROGRAM
}

/// How many users the daemon's user namespace knows.
pub(crate) fn mapped_users() -> u64 {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    // Without /proc nothing is known, and all is assumed.
    if map.is_empty() { u64::MAX } else { counts.sum() }
}

/// Whether all is well with the users that programs may have, and what is to be known about it.
pub(crate) fn user(own: &Rights, mapped: u64) -> (bool, String) {
    let who = if own.uid == 0 { "root".to_owned() } else { format!("user id {}", own.uid) };
    let lacking = without(own, &[Capability::Setuid, Capability::Setgid]);
    if mapped <= 1 && lacking.is_empty() {
        let found = "of a user namespace that knows no other: programs run as this user, and `user` can only name it";
        (own.uid != 0, format!("{who} {found}"))
    } else if lacking.is_empty() && own.has(Capability::Kill) {
        (true, format!("{who}: programs may have users of their own"))
    } else if lacking.is_empty() {
        let found = "without CAP_KILL: programs may have users of their own, but could not be stopped then; add KILL \
                     (docker run --cap-add KILL)";
        (false, format!("{who} {found}"))
    } else if own.uid == 0 {
        let (lacking, options) = (lacking.join(" and "), options(own));
        let found = format!(
            "without {lacking}: programs run as this user, and `user` can only name it; where they need others: \
             docker run {options}"
        );
        (false, format!("{who} {found}"))
    } else {
        (true, format!("{who}: programs run as this user, and `user` can only name it"))
    }
}

/// The names of those that are not there.
fn without(own: &Rights, capabilities: &[Capability]) -> Vec<&'static str> {
    capabilities.iter().filter(|&&capability| !own.has(capability)).map(|capability| capability.name()).collect()
}

/// What to give to the engine, so that nothing is lacking.
fn options(own: &Rights) -> String {
    let lacking = without(own, &[Capability::Setuid, Capability::Setgid, Capability::Kill]);
    lacking.iter().map(|name| name.replace("CAP_", "--cap-add ")).collect::<Vec<_>>().join(" ")
}

/// What these programs ask for and the surroundings do not give, a line each.
pub(crate) fn lacks(programs: &[Arc<ProgramSpec>], limits: OriginalLimits, accounts: &mut Accounts) -> Vec<String> {
    let own = Rights::own();
    let mut is_another = |program: &ProgramSpec| {
        let mut users = program.instances.iter().filter_map(|instance| instance.process.user.as_ref());
        users.any(|user| accounts.uid(&user.user).is_ok_and(|uid| uid != own.uid))
    };
    let others: Vec<&str> =
        programs.iter().filter(|program| is_another(program)).map(|program| program.name.as_str()).collect();
    let instances = programs.iter().map(|program| program.instances.len() as u64).sum();
    lacks_rights(&own, &others).into_iter().chain(lacks_descriptors(instances, limits.nofile_hard)).collect()
}

fn lacks_rights(own: &Rights, others: &[&str]) -> Option<String> {
    let (first, options) = (others.first()?, options(own));
    let lacking = without(own, &[Capability::Setuid, Capability::Setgid]);
    if !lacking.is_empty() {
        let lacking = lacking.join(" and ");
        return Some(format!(
            "without {lacking} programs cannot have another user, as {first:?} is to have: docker run {options}, or leave out \
             their `user`"
        ));
    }
    (!own.has(Capability::Kill)).then(|| {
        format!(
            "without CAP_KILL programs of other users cannot be stopped, such as {first:?}: docker run {options}, or leave out \
             their `user`"
        )
    })
}

fn lacks_descriptors(instances: u64, hard: u64) -> Option<String> {
    let enough = programs_within(hard);
    (instances > enough).then(|| {
        let wanted = instances * DESCRIPTORS_OF_A_PROGRAM + OWN_DESCRIPTORS;
        format!(
            "the hard limit of {hard} descriptors is enough for {enough} programs, and there are {instances}: raise it to \
             {wanted} (docker run --ulimit nofile={wanted})"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_told_from_the_first_program_that_has_none() {
        assert_eq!(lacks_descriptors(362, 1024), None);
        let told = lacks_descriptors(1000, 1024).unwrap();
        assert!(told.starts_with("the hard limit of 1024 descriptors is enough for 362 programs, and there are 1000"));
        assert!(told.ends_with("raise it to 2300 (docker run --ulimit nofile=2300)"), "{told}");
        assert_eq!((lacks_descriptors(1000, 2300), lacks_descriptors(1000, u64::MAX)), (None, None));
    }
}
