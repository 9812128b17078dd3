//! The offset of local time from UTC: where `TZ` is set, or also without it, as the machine has it.
//!
//! The C library knows the zones, from /etc/localtime, /usr/share/zoneinfo
//! or from the rules in `TZ` itself. It looks once. Offsets only change at quarters of an hour, so the offset is cached
//! until the next one, and a log line needs no lookup.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// A quarter of an hour.
const SLOT: i64 = 900;
/// The number of bits for the cached offset, more than any zone needs, in seconds.
const BITS: u32 = 20;
const MIDDLE: i64 = 1 << (BITS - 1);

/// The offset of local time at this time, in seconds; `unix` is in seconds since 1970. 0 without `TZ`.
pub fn offset(unix: i64) -> i32 {
    static HAS_ZONE: OnceLock<bool> = OnceLock::new();
    let has_zone = HAS_ZONE.get_or_init(|| std::env::var_os("TZ").is_some_and(|zone| !zone.is_empty()));
    if *has_zone { machines_offset(unix) } else { 0 }
}

/// As [`offset`]; without `TZ` it is that of /etc/localtime.
pub fn machines_offset(unix: i64) -> i32 {
    static KEPT: AtomicI64 = AtomicI64::new(i64::MIN);
    let slot = unix.div_euclid(SLOT);
    let kept = KEPT.load(Ordering::Relaxed);
    if kept >> BITS == slot {
        return i32::try_from((kept & (2 * MIDDLE - 1)) - MIDDLE).unwrap_or(0);
    }
    let offset = ask(unix);
    KEPT.store(slot << BITS | (i64::from(offset) + MIDDLE), Ordering::Relaxed);
    offset
}

fn ask(unix: i64) -> i32 {
    // `time_t` is 64 bits wide wherever musterd is built.
    let time: libc::time_t = unix;
    // SAFETY: a `tm` of zeros is a valid one: numbers, and a pointer that localtime_r(3) sets.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what they are said to. The environment is not changed after the start, so reading TZ races
    // with nothing.
    let result = unsafe { libc::localtime_r(&raw const time, &raw mut local) };
    if result.is_null() {
        return 0;
    }
    i32::try_from(local.tm_gmtoff).ok().filter(|offset| i64::from(*offset).abs() < MIDDLE).unwrap_or(0)
}
