//! The new process's privileges, reduced by system calls alone: the rules of [`super::child`] hold here too.
//!
//! The bounding set and the flags go first, while the daemon's capabilities allow it; then the user changes, with the
//! permitted set kept; then the sets become final, and only those in the ambient set survive the execution by a user.

use muster_spec::{Privileges, SpawnError, SpawnStep};

use super::child::{Orders, Stage, at, fail, must};
use super::plan::Identity;
use super::raw;
use crate::rights::{self, Capability, Rights};

/// The privileges in the kernel's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrivilegeOrders {
    /// The only ones to keep, each a bit; `None` changes none.
    kept: Option<u64>,
    /// Whether the bounding set is reduced as well. It decides what an executed file may give, and is of no effect with
    /// `no_new_privileges`.
    limits_files: bool,
    /// Whether they would be lost with the change of user.
    outlives_user: bool,
    /// Whether execve(2) takes them from all but the ambient set: from everyone but root.
    is_ambient: bool,
    securebits: u32,
    no_new_privileges: bool,
}

impl PrivilegeOrders {
    /// Fails if capabilities are wanted that the daemon does not have.
    pub(super) fn new(wanted: Privileges, identity: &Identity) -> Result<PrivilegeOrders, SpawnError> {
        let Privileges { capabilities, no_new_privileges, securebits } = wanted;
        let mut orders = PrivilegeOrders {
            kept: capabilities.map(|set| set.bits()),
            limits_files: true,
            outlives_user: false,
            is_ambient: false,
            securebits: securebits.bits(),
            no_new_privileges,
        };
        let Some(kept) = capabilities else { return Ok(orders) };
        let (own, permitted) = (Rights::own(), rights::permitted());
        let missing = kept.without(permitted);
        if !missing.is_empty() {
            let message = format!("capabilities: the daemon does not have {missing}; it has {permitted}");
            return Err(SpawnError { step: SpawnStep::Capabilities, errno: libc::EPERM, message });
        }
        orders.limits_files = own.has(Capability::Setpcap) || !no_new_privileges;
        orders.outlives_user = identity.uid.is_some() && !kept.is_empty();
        orders.is_ambient = identity.uid.unwrap_or(own.uid) != 0 || securebits.has_noroot();
        Ok(orders)
    }
}

/// The part that needs the daemon's user.
///
/// # Safety
/// As for [`super::child::main`].
pub(super) unsafe fn limit(orders: &Orders) {
    let privileges = &orders.privileges;
    // SAFETY: these calls touch no memory but the report.
    unsafe {
        if let Some(kept) = privileges.kept {
            if privileges.limits_files {
                limit_files(orders, kept);
            }
            if privileges.outlives_user {
                at(orders, Stage::KeepCapabilities, 0);
                must(orders, libc::SYS_prctl, [libc::PR_SET_KEEPCAPS as usize, 1, 0, 0, 0]);
            }
        }
        if privileges.securebits != 0 {
            at(orders, Stage::Securebits, 0);
            let present = raw::syscall(libc::SYS_prctl, [libc::PR_GET_SECUREBITS as usize]).unwrap_or(0);
            let wanted = present | privileges.securebits as usize;
            if wanted != present {
                must(orders, libc::SYS_prctl, [libc::PR_SET_SECUREBITS as usize, wanted, 0, 0, 0]);
            }
        }
    }
}

unsafe fn limit_files(orders: &Orders, kept: u64) {
    let mut number = 0;
    // SAFETY: prctl(2) with these touches no memory.
    unsafe {
        while number < u64::BITS as usize {
            at(orders, Stage::Bounding, number as u32);
            match raw::syscall(libc::SYS_prctl, [libc::PR_CAPBSET_READ as usize, number]) {
                Ok(0) => {}
                Ok(_) if kept & (1 << number) != 0 => {}
                Ok(_) => must(orders, libc::SYS_prctl, [libc::PR_CAPBSET_DROP as usize, number, 0, 0, 0]),
                // The kernel knows no further ones.
                Err(libc::EINVAL) => return,
                Err(errno) => fail(orders, errno),
            }
            number += 1;
        }
    }
}

/// The part that the change of user would undo.
///
/// # Safety
/// As for [`super::child::main`].
pub(super) unsafe fn settle(orders: &Orders) {
    let privileges = &orders.privileges;
    // SAFETY: the kernel reads the header and the sets, which live through the call.
    unsafe {
        if let Some(kept) = privileges.kept {
            at(orders, Stage::Capabilities, 0);
            let (low, high) = (kept as u32, (kept >> 32) as u32);
            // The lower halves of effective, permitted and inheritable, then the upper ones.
            let sets = [low, low, low, high, high, high];
            let mut header = rights::CAPABILITY_HEADER;
            must(orders, libc::SYS_capset, [&raw mut header as usize, sets.as_ptr() as usize]);
            if privileges.is_ambient {
                raise(orders, kept);
            }
        }
        if privileges.no_new_privileges {
            at(orders, Stage::NoNewPrivileges, 0);
            must(orders, libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]);
        }
    }
}

unsafe fn raise(orders: &Orders, kept: u64) {
    let raise = libc::PR_CAP_AMBIENT_RAISE as usize;
    let mut left = kept;
    while left != 0 {
        let number = left.trailing_zeros();
        // SAFETY: prctl(2) with these touches no memory.
        unsafe {
            at(orders, Stage::Ambient, number);
            must(orders, libc::SYS_prctl, [libc::PR_CAP_AMBIENT as usize, raise, number as usize, 0, 0]);
        }
        left &= left - 1;
    }
}
