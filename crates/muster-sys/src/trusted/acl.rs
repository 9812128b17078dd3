//! Access control lists of directories: further users with write access.
//!
//! With a list, the group bits of the mode are the mask for all named users and groups: see acl(5).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::{Identity, Trust};

const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
const MAY_WRITE: u16 = 2;

/// The users who may write to a directory by its list, besides root and the daemon's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    Nobody,
    /// Only the program's user.
    User(u32),
    /// A user who is not trusted.
    Others,
}

/// The users that the list of a directory lets write. An unreadable one is an error.
pub(super) fn writers(directory: BorrowedFd<'_>, trust: &Trust) -> io::Result<Writers> {
    // The descriptor of a walk is a path descriptor: it must be reopened for reading.
    let opened = super::walk::open_at(directory, c".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    writers_of_open(opened.as_fd(), trust)
}

/// Like [`writers`], for a file open for reading.
pub(super) fn writers_of_open(opened: BorrowedFd<'_>, trust: &Trust) -> io::Result<Writers> {
    Ok(read(opened)?.map_or(Writers::Nobody, |list| named(&list, trust)))
}

fn named(list: &[u8], trust: &Trust) -> Writers {
    let user = trust.user.as_ref();
    let mut writers = Writers::Nobody;
    for entry in list.get(4..).unwrap_or_default().chunks_exact(8) {
        let tag = u16::from_ne_bytes([entry[0], entry[1]]);
        let permissions = u16::from_ne_bytes([entry[2], entry[3]]);
        let id = u32::from_ne_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (is_superior, is_users) = match tag {
            USER => (trust.is_superior(id), user.is_some_and(|user| user.uid == id)),
            GROUP => {
                let is_superior = id == 0 || id == trust.own_gid;
                let is_in = |user: &Identity| user.gid == id || is_superior && user.groups.contains(&id);
                (is_superior, user.is_some_and(is_in))
            }
            _ => continue,
        };
        match user {
            _ if permissions & MAY_WRITE == 0 => {}
            Some(user) if is_users => writers = Writers::User(user.uid),
            _ if is_superior => {}
            _ => return Writers::Others,
        }
    }
    writers
}

fn read(opened: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut list = vec![0; 64 * 1024];
    let name = c"system.posix_acl_access".as_ptr();
    // SAFETY: `name` is a C string, and the kernel writes at most `list.len()` bytes into `list`.
    let count = unsafe { libc::fgetxattr(opened.as_raw_fd(), name, list.as_mut_ptr().cast(), list.len()) };
    match usize::try_from(count) {
        Ok(count) => {
            list.truncate(count);
            Ok(Some(list))
        }
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_user_or_group_with_the_right_to_write_is_another_or_the_programs() {
        let check = |trust: &Trust, entries: &[(u16, u16, u32)], expected| {
            let mut list = 2_u32.to_ne_bytes().to_vec();
            for (tag, permissions, id) in entries {
                list.extend([tag.to_ne_bytes(), permissions.to_ne_bytes()].concat());
                list.extend(id.to_ne_bytes());
            }
            assert_eq!(named(&list, trust), expected, "{entries:?}");
        };
        let own = Trust { own_uid: 0, own_gid: 0, ..Trust::own() };
        check(&own, &[(0x01, 7, u32::MAX), (USER, 7, 4_242)], Writers::Others);
        check(&own, &[(GROUP, 2, 4_242)], Writers::Others);
        let superiors = [(USER, 5, 4_242), (GROUP, 7, 0), (USER, 7, 0), (0x04, 7, u32::MAX), (0x20, 5, u32::MAX)];
        check(&own, &superiors, Writers::Nobody);
        check(&own, &[], Writers::Nobody);
        let user = Identity { uid: 4_242, gid: 4_343, groups: vec![4_343, 0] };
        let users = Trust { user: Some(user), ..own };
        for entry in [(USER, 7, 4_242), (GROUP, 2, 4_343), (GROUP, 7, 0)] {
            check(&users, &[entry, (USER, 7, 0)], Writers::User(4_242));
            check(&users, &[entry, (USER, 7, 4_444)], Writers::Others);
        }
        check(&users, &[(USER, 5, 4_242)], Writers::Nobody);
    }
}
