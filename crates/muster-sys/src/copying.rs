//! memcpy(3) and memmove(3) for musl on x86-64, in place of musl's.
//!
//! Nearly all copies of the daemon are of a few dozen bytes: names, pieces of JSON, entries of maps. musl's are one string
//! instruction, `rep movsq`, which takes longer to begin than such a copy takes, and runs an element at a time where it goes
//! backwards. These copy up to 128 bytes with a few overlapping moves of 16, and more in a loop. Other C libraries, and musl on
//! other processors, have good ones of their own.
//!
//! In assembly, because a compiler makes a call of memcpy from a loop that copies. Only the instructions that every x86-64
//! processor has, so nothing is asked at a start: CPUID takes microseconds in a virtual machine.

/// Defines a function that copies `rdx` bytes from `rsi` to `rdi`, which may overlap, and returns the destination.
macro_rules! copying {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(_to: *mut u8, _from: *const u8, _count: usize) -> *mut u8 {
            // Everything of at most 128 bytes is read before any of it is written, so an overlap does not matter.
            core::arch::naked_asm!(
                "mov rax, rdi",
                "cmp rdx, 16",
                "ja 22f",
                "cmp edx, 8",
                "jae 21f",
                "cmp edx, 4",
                "jae 20f",
                "test edx, edx",
                "je 19f",
                // Up to 3: the first, the middle one and the last.
                "mov r8, rdx",
                "shr r8",
                "movzx ecx, byte ptr [rsi]",
                "movzx r9d, byte ptr [rsi + r8]",
                "movzx r10d, byte ptr [rsi + rdx - 1]",
                "mov byte ptr [rdi], cl",
                "mov byte ptr [rdi + r8], r9b",
                "mov byte ptr [rdi + rdx - 1], r10b",
                "19:",
                "ret",
                // Up to 7.
                "20:",
                "mov ecx, dword ptr [rsi]",
                "mov r8d, dword ptr [rsi + rdx - 4]",
                "mov dword ptr [rdi], ecx",
                "mov dword ptr [rdi + rdx - 4], r8d",
                "ret",
                // Up to 16.
                "21:",
                "mov rcx, qword ptr [rsi]",
                "mov r8, qword ptr [rsi + rdx - 8]",
                "mov qword ptr [rdi], rcx",
                "mov qword ptr [rdi + rdx - 8], r8",
                "ret",
                // Up to 32.
                "22:",
                "movups xmm0, xmmword ptr [rsi]",
                "movups xmm1, xmmword ptr [rsi + rdx - 16]",
                "cmp rdx, 32",
                "ja 23f",
                "movups xmmword ptr [rdi], xmm0",
                "movups xmmword ptr [rdi + rdx - 16], xmm1",
                "ret",
                // Up to 64.
                "23:",
                "movups xmm2, xmmword ptr [rsi + 16]",
                "movups xmm3, xmmword ptr [rsi + rdx - 32]",
                "cmp rdx, 64",
                "ja 24f",
                "movups xmmword ptr [rdi], xmm0",
                "movups xmmword ptr [rdi + 16], xmm2",
                "movups xmmword ptr [rdi + rdx - 32], xmm3",
                "movups xmmword ptr [rdi + rdx - 16], xmm1",
                "ret",
                // Up to 128.
                "24:",
                "movups xmm4, xmmword ptr [rsi + 32]",
                "movups xmm5, xmmword ptr [rsi + 48]",
                "movups xmm6, xmmword ptr [rsi + rdx - 64]",
                "movups xmm7, xmmword ptr [rsi + rdx - 48]",
                "cmp rdx, 128",
                "ja 25f",
                "movups xmmword ptr [rdi], xmm0",
                "movups xmmword ptr [rdi + 16], xmm2",
                "movups xmmword ptr [rdi + 32], xmm4",
                "movups xmmword ptr [rdi + 48], xmm5",
                "movups xmmword ptr [rdi + rdx - 64], xmm6",
                "movups xmmword ptr [rdi + rdx - 48], xmm7",
                "movups xmmword ptr [rdi + rdx - 32], xmm3",
                "movups xmmword ptr [rdi + rdx - 16], xmm1",
                "ret",
                // More: from the end if the destination begins within the source.
                "25:",
                "mov rcx, rdi",
                "sub rcx, rsi",
                "cmp rcx, rdx",
                "jb 28f",
                // A string instruction copies much by the cache line, if the two do not overlap.
                "cmp rdx, 2048",
                "jb 26f",
                "neg rcx",
                "cmp rcx, rdx",
                "jae 29f",
                // 64 at a time; the last 64 were read above, and are written at last.
                "26:",
                "lea r8, [rdi + rdx]",
                "27:",
                "movups xmm0, xmmword ptr [rsi]",
                "movups xmm2, xmmword ptr [rsi + 16]",
                "movups xmm4, xmmword ptr [rsi + 32]",
                "movups xmm5, xmmword ptr [rsi + 48]",
                "movups xmmword ptr [rdi], xmm0",
                "movups xmmword ptr [rdi + 16], xmm2",
                "movups xmmword ptr [rdi + 32], xmm4",
                "movups xmmword ptr [rdi + 48], xmm5",
                "add rsi, 64",
                "add rdi, 64",
                "sub rdx, 64",
                "cmp rdx, 64",
                "ja 27b",
                "movups xmmword ptr [r8 - 64], xmm6",
                "movups xmmword ptr [r8 - 48], xmm7",
                "movups xmmword ptr [r8 - 32], xmm3",
                "movups xmmword ptr [r8 - 16], xmm1",
                "ret",
                // Backwards; the first 64 were read above, and are written at last.
                "28:",
                "movups xmm1, xmmword ptr [rsi + rdx - 16]",
                "movups xmm3, xmmword ptr [rsi + rdx - 32]",
                "movups xmm6, xmmword ptr [rsi + rdx - 48]",
                "movups xmm7, xmmword ptr [rsi + rdx - 64]",
                "movups xmmword ptr [rdi + rdx - 16], xmm1",
                "movups xmmword ptr [rdi + rdx - 32], xmm3",
                "movups xmmword ptr [rdi + rdx - 48], xmm6",
                "movups xmmword ptr [rdi + rdx - 64], xmm7",
                "sub rdx, 64",
                "cmp rdx, 64",
                "ja 28b",
                "movups xmmword ptr [rdi], xmm0",
                "movups xmmword ptr [rdi + 16], xmm2",
                "movups xmmword ptr [rdi + 32], xmm4",
                "movups xmmword ptr [rdi + 48], xmm5",
                "ret",
                // Words, and the last one, which may begin within the one before.
                "29:",
                "mov r8, qword ptr [rsi + rdx - 8]",
                "mov rcx, rdx",
                "shr rcx, 3",
                "rep movsq",
                "mov qword ptr [rax + rdx - 8], r8",
                "ret",
            )
        }
    };
}

#[cfg(not(test))]
copying! {
    #[unsafe(no_mangle)]
    memcpy
}

#[cfg(not(test))]
copying! {
    #[unsafe(no_mangle)]
    memmove
}

#[cfg(test)]
copying! { copy }

#[cfg(test)]
mod tests {
    use super::copy;

    /// Every length around the limits of the cases, at every distance that decides between them.
    #[test]
    fn every_length_is_copied_whichever_way_source_and_destination_overlap() {
        let lengths = (0..300).chain([2047, 2048, 2049, 2055, 2056, 4096, 5001]);
        let before: Vec<u8> = (0..20_000_u32).map(|at| (at * 31 % 251) as u8).collect();
        for length in lengths {
            let distances = [0, 1, 7, 8, 15, 16, 17, 63, 64, 65, 127, 128, 129, length / 2, length, length + 1, 7000];
            for (from, to) in
                distances.into_iter().flat_map(|distance| [(6000, 6000 + distance), (6000 + distance, 6000)])
            {
                let (mut expected, mut copied) = (before.clone(), before.clone());
                expected.copy_within(from..from + length, to);
                let base = copied.as_mut_ptr();
                // SAFETY: both ranges are within the vector, and may overlap.
                let returned = unsafe { copy(base.add(to), base.add(from), length) };
                assert!(returned == base.wrapping_add(to) && copied == expected, "{length} bytes from {from} to {to}");
            }
        }
    }
}
