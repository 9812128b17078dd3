//! Limitations of the daemon's environment, in words: privileges needed for programs of other users, and descriptors.
//!
//! Shown by `musterd doctor`, and logged at the start if the configuration needs more.

use std::fs;
use std::sync::Arc;

use muster_spec::{CpuSet, ProgramSpec};
use muster_sys::limits::OriginalLimits;
use muster_sys::processors;
use muster_sys::rights::{Capability, Rights};
use muster_sys::user::Accounts;

/// The number of descriptors for clients and the daemon itself.
const OWN_DESCRIPTORS: u64 = 300;
/// One per output stream.
const DESCRIPTORS_OF_A_PROGRAM: u64 = 2;

/// The number of programs that this many descriptors are enough for.
pub fn programs_within(descriptors: u64) -> u64 {
    descriptors.saturating_sub(OWN_DESCRIPTORS) / DESCRIPTORS_OF_A_PROGRAM
}

/// The number of users in the daemon's user namespace.
pub fn mapped_users() -> u64 {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    // Without /proc, assume that all users exist.
    if map.is_empty() { u64::MAX } else { counts.sum() }
}

/// Whether programs may run as other users without problems, and a description.
pub fn user(own: &Rights, mapped: u64) -> (bool, String) {
    let who = if own.uid == 0 { "root".to_owned() } else { format!("user id {}", own.uid) };
    let lacking = without(own, &[Capability::Setuid, Capability::Setgid]);
    if mapped <= 1 && lacking.is_empty() {
        let found = "in a user namespace without other users: programs run as this user, and `user` can only name it";
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
            "without {lacking}: programs run as this user, and `user` can only name it; if they need others: \
             docker run {options}"
        );
        (false, format!("{who} {found}"))
    } else {
        (true, format!("{who}: programs run as this user, and `user` can only name it"))
    }
}

/// The names of the missing capabilities.
fn without(own: &Rights, capabilities: &[Capability]) -> Vec<&'static str> {
    capabilities.iter().filter(|&&capability| !own.has(capability)).map(|capability| capability.name()).collect()
}

/// The options of the container engine that add the missing capabilities.
fn options(own: &Rights) -> String {
    let lacking = without(own, &[Capability::Setuid, Capability::Setgid, Capability::Kill]);
    lacking.iter().map(|name| name.replace("CAP_", "--cap-add ")).collect::<Vec<_>>().join(" ")
}

/// The privileges and descriptors that these programs need and do not have, one line each.
pub fn lacks(programs: &[Arc<ProgramSpec>], limits: OriginalLimits, accounts: &mut Accounts) -> Vec<String> {
    let own = Rights::own();
    let mut is_another = |program: &ProgramSpec| {
        let mut users = program.instances.iter().filter_map(|instance| instance.process.user.as_ref());
        users.any(|user| accounts.uid(&user.user).is_ok_and(|uid| uid != own.uid))
    };
    let others: Vec<&str> =
        programs.iter().filter(|program| is_another(program)).map(|program| program.name.as_str()).collect();
    let instances = programs.iter().map(|program| program.instances.len() as u64).sum();
    let lacks = lacks_rights(&own, &others).into_iter().chain(lacks_descriptors(instances, limits.nofile_hard));
    let lacks = lacks.chain(lacks_memory(programs, muster_sys::oom::limit));
    lacks.chain(lacks_processors(programs, processors::usable)).collect()
}

/// A program that may have more memory than the container: the kernel's limit comes first. The limit is asked for only if a
/// program has one.
fn lacks_memory(programs: &[Arc<ProgramSpec>], limit: fn() -> Option<u64>) -> Option<String> {
    let of = |program: &Arc<ProgramSpec>| program.instances.iter().filter_map(|it| Some(it.memory_max?.max)).max();
    let (max, name) = programs.iter().filter_map(|program| Some((of(program)?, &program.name))).max()?;
    let limit = limit()?;
    (max > limit).then(|| {
        let (max, limit) = (max >> 20, limit >> 20);
        format!(
            "memory_max of {name:?} is {max} MB, and memory.max of the container {limit} MB: the kernel comes first; lower one or \
             raise the other"
        )
    })
}

/// A program whose processors are not all ours. Its start may succeed, since a limit of ours alone can be lifted.
fn lacks_processors(programs: &[Arc<ProgramSpec>], usable: fn() -> Option<CpuSet>) -> Option<String> {
    let mut chosen = programs
        .iter()
        .flat_map(|program| program.instances.iter().map(move |it| (&program.name, &it.process.scheduling.cpus)))
        .filter_map(|(name, cpus)| Some((name, cpus.as_ref()?)))
        .peekable();
    chosen.peek()?;
    let usable = usable()?;
    let (name, cpus, missing) = chosen.find_map(|(name, cpus)| Some((name, cpus, cpus.first_beyond(&usable)?)))?;
    Some(format!(
        "cpus of {name:?} is {cpus}, and the daemon itself may use {usable}: processor {missing} may not be there"
    ))
}

fn lacks_rights(own: &Rights, others: &[&str]) -> Option<String> {
    let (first, options) = (others.first()?, options(own));
    let lacking = without(own, &[Capability::Setuid, Capability::Setgid]);
    if !lacking.is_empty() {
        let lacking = lacking.join(" and ");
        return Some(format!(
            "without {lacking} programs cannot run as another user, as {first:?} should: docker run {options}, or leave out \
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
            "the hard limit of {hard} descriptors is enough for {enough} programs, but {instances} are configured: raise it to \
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
        assert!(
            told.starts_with("the hard limit of 1024 descriptors is enough for 362 programs, but 1000 are configured")
        );
        assert!(told.ends_with("raise it to 2300 (docker run --ulimit nofile=2300)"), "{told}");
        assert_eq!((lacks_descriptors(1000, 2300), lacks_descriptors(1000, u64::MAX)), (None, None));
    }
}
