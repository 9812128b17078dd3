//! System calls without the C library, and the one that creates a process on a separate stack.
//!
//! A child that shares its parent's memory shares thread-local storage too: a C wrapper that fails would write
//! *the parent's* `errno`. So the child makes its calls through [`syscall`], a bare instruction that returns the error.
//! On architectures without an implementation here (neither x86_64 nor aarch64) the child never shares memory.

use std::ffi::{c_int, c_long};

/// Runs in the new process and never returns.
pub(super) type Entry = unsafe extern "C" fn(*const ()) -> !;

/// Whether a child may share the daemon's memory on this architecture.
pub(super) const CAN_SHARE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// A system call with up to five arguments; the rest are 0.
///
/// # Safety
/// As the call itself: whatever it reads or writes must be there.
#[inline(always)]
pub(super) unsafe fn syscall<const N: usize>(number: c_long, arguments: [usize; N]) -> Result<usize, c_int> {
    let mut all = [0; 5];
    let mut at = 0;
    // A counted loop: nothing in it can panic, which would run the daemon's code in the child.
    while at < N && at < 5 {
        all[at] = arguments[at];
        at += 1;
    }
    // SAFETY: the caller's promise.
    let result = unsafe { instruction(number, all) };
    // The kernel returns errors as -4095 to -1, everything else is a success.
    if (-4095..0).contains(&result) { Err(-result as c_int) } else { Ok(result as usize) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn instruction(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel changes rax, rcx and r11 and leaves the stack alone; the rest is the caller's promise.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn instruction(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel changes x0 and leaves the stack alone; the rest is the caller's promise.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn instruction(number: c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    // SAFETY: the caller's promise. `errno` is the child's own copy, since it never shares memory here.
    unsafe {
        match libc::syscall(number, a, b, c, d, e) {
            -1 => -(*libc::__errno_location() as isize),
            result => result as isize,
        }
    }
}

/// Creates a process with clone(2) that calls `entry(argument)` on the stack that ends at `stack_top`.
///
/// # Safety
/// `stack_top` is the 16-aligned end of writable memory that is large enough for `entry`. If `flags` has CLONE_VM, the
/// stack and everything behind `argument` must stay until the process has executed a program or ended, and `entry`
/// must not touch thread-local storage nor panic.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone(flags: c_int, stack_top: *mut u8, entry: Entry, argument: *const ()) -> Result<i32, c_int> {
    let result: isize;
    // SAFETY: in the parent only rax, rcx and r11 change. The child has a stack of its own, so it cannot disturb this
    // frame, and it never comes back. `call` pushes 8 bytes, which gives `entry` the alignment that the ABI wants.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone as isize => result,
            in("rdi") flags as isize, in("rsi") stack_top, in("rdx") 0, in("r10") 0, in("r8") 0,
            in("r12") argument, in("r13") entry,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    if result < 0 { Err(-result as c_int) } else { Ok(result as i32) }
}

/// Creates a process with clone(2) that calls `entry(argument)` on the stack that ends at `stack_top`.
///
/// # Safety
/// As on x86_64.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn clone(flags: c_int, stack_top: *mut u8, entry: Entry, argument: *const ()) -> Result<i32, c_int> {
    let result: isize;
    // SAFETY: in the parent only x0 changes. The child has a stack of its own, so it cannot disturb this frame, and it
    // never comes back.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone,
            inlateout("x0") flags as isize => result,
            in("x1") stack_top, in("x2") 0, in("x3") 0, in("x4") 0,
            in("x20") argument, in("x21") entry,
            lateout("x30") _,
        );
    }
    if result < 0 { Err(-result as c_int) } else { Ok(result as i32) }
}

/// Creates a process with fork(2) that calls `entry(argument)`; the flags and the stack are for other architectures.
///
/// # Safety
/// `entry` must be fit to run in a forked child.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn clone(_flags: c_int, _stack: *mut u8, entry: Entry, argument: *const ()) -> Result<i32, c_int> {
    // SAFETY: the child calls `entry` alone, which is fit for it by the caller's promise.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN)),
        // SAFETY: as above.
        0 => unsafe { entry(argument) },
        pid => Ok(pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_returned_and_errno_is_left_alone() {
        // SAFETY: close of a number that is not open does nothing; errno is this thread's own.
        unsafe {
            *libc::__errno_location() = 77;
            assert_eq!(syscall(libc::SYS_close, [usize::MAX]), Err(libc::EBADF));
            assert_eq!(*libc::__errno_location(), 77);
        }
        // SAFETY: getpid touches no memory.
        assert_eq!(unsafe { syscall(libc::SYS_getpid, []) }, Ok(std::process::id() as usize));
    }
}
