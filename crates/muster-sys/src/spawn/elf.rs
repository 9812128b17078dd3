//! Reads from an ELF header which dynamic loader a program requires: elf(5).
//!
//! The bytes come from a file that could not be executed, so they are not trusted.

const MAGIC: &[u8] = b"\x7fELF";
const PT_INTERP: u32 = 3;

/// Whether this is the beginning of an ELF file.
pub(super) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// The path of the dynamic loader of a 64-bit little-endian file, if the header and the path are within `head`.
pub(super) fn loader(head: &[u8]) -> Option<&[u8]> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    if !is_elf(head) || head.get(4..6)? != [CLASS_64, LITTLE_ENDIAN] {
        return None;
    }
    let headers = usize::try_from(number::<8>(head, 32)?).ok()?;
    let size = usize::try_from(number::<2>(head, 54)?).ok()?;
    let count = usize::try_from(number::<2>(head, 56)?).ok()?;
    let starts = (0..count).map_while(|index| headers.checked_add(index.checked_mul(size)?));
    let interp = starts.into_iter().find(|&start| number::<4>(head, start) == Some(u64::from(PT_INTERP)))?;
    let start = usize::try_from(number::<8>(head, interp.checked_add(8)?)?).ok()?;
    let len = usize::try_from(number::<8>(head, interp.checked_add(32)?)?).ok()?;
    let path = head.get(start..start.checked_add(len)?)?;
    path.strip_suffix(b"\0")
}

fn number<const BYTES: usize>(head: &[u8], start: usize) -> Option<u64> {
    let bytes = head.get(start..start.checked_add(BYTES)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(loader: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64 + 2 * 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = 56;
        file[56] = 2;
        file[64] = 6;
        file[64 + 56] = 3;
        let (start, len) = (file.len() as u8, loader.len() as u8 + 1);
        file[64 + 56 + 8] = start;
        file[64 + 56 + 32] = len;
        file.extend_from_slice(loader);
        file.push(0);
        file
    }

    #[test]
    fn the_loader_is_found_where_the_headers_say() {
        assert_eq!(loader(&executable(b"/lib64/ld.so")), Some(&b"/lib64/ld.so"[..]));
    }

    #[test]
    fn no_damage_makes_it_read_beyond_the_file() {
        let good = executable(b"/lib64/ld.so");
        for cut in 0..good.len() {
            assert_eq!(loader(&good[..cut]), None);
        }
        for at in 0..good.len() {
            for byte in [0, 1, 127, 255] {
                let mut damaged = good.clone();
                damaged[at] = byte;
                let _ = loader(&damaged);
            }
        }
    }
}
