//! Access control lists of directories: others whom the mode's group bits let in.
//!
//! With a list, the group bits of the mode are the mask of what all named users and groups may do: see acl(5).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::Trust;

const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
const MAY_WRITE: u16 = 2;

/// Whether a list lets a user or group write that is not trusted. A directory that cannot be read is taken for one.
pub(super) fn lets_others_write(directory: BorrowedFd<'_>, trust: &Trust) -> io::Result<bool> {
    Ok(read(directory)?.is_some_and(|list| names_others(&list, trust)))
}

fn names_others(list: &[u8], trust: &Trust) -> bool {
    let user = trust.user.as_ref();
    list.get(4..).unwrap_or_default().chunks_exact(8).any(|entry| {
        let tag = u16::from_ne_bytes([entry[0], entry[1]]);
        let permissions = u16::from_ne_bytes([entry[2], entry[3]]);
        let id = u32::from_ne_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let is_trusted = match tag {
            USER => trust.is_superior(id) || user.is_some_and(|user| user.uid == id),
            GROUP => id == 0 || id == trust.own_gid || user.is_some_and(|user| user.gid == id),
            _ => true,
        };
        permissions & MAY_WRITE != 0 && !is_trusted
    })
}

fn read(directory: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut list = vec![0; 64 * 1024];
    // The descriptor of a walk can only be walked from: it must be opened for reading.
    let opened = super::walk::open_at(directory, c".", libc::O_RDONLY | libc::O_DIRECTORY)?;
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
    fn a_named_user_or_group_with_the_right_to_write_is_another() {
        let trust = Trust::own();
        let list = |entries: &[(u16, u16, u32)]| {
            let mut list = 2_u32.to_ne_bytes().to_vec();
            for (tag, permissions, id) in entries {
                list.extend([tag.to_ne_bytes(), permissions.to_ne_bytes()].concat());
                list.extend(id.to_ne_bytes());
            }
            names_others(&list, &trust)
        };
        assert!(list(&[(0x01, 7, u32::MAX), (USER, 7, 4_242)]));
        assert!(list(&[(GROUP, 2, 4_242)]));
        assert!(!list(&[(USER, 5, 4_242), (GROUP, 7, 0), (USER, 7, 0), (0x04, 7, u32::MAX), (0x20, 5, u32::MAX)]));
        assert!(!list(&[]));
    }
}
