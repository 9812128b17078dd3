//! Where the limit of addresses leaves no room for the range of temporary objects, they are in the other heap. A process of its own,
//! since the limit and the range are the whole process's.

use muster_sys::heap;

fn addresses() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("the kernel reports it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

#[test]
fn temporary_objects_need_no_range() {
    const MIB: u64 = 1 << 20;
    let limit = addresses() + 48 * MIB;
    let lowered = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: reads the limit, which outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &lowered) }, 0);
    let objects: Vec<_> = heap::temporary(|| (0..200_u8).map(|number| vec![number; 100 << 10]).collect());
    assert!(objects.iter().zip(0..).all(|(object, number)| object.iter().all(|byte| *byte == number)));
    assert!(addresses() > limit - 48 * MIB + 16 * MIB, "they are there");
}
