//! Which process has a port, for a message about a port in use.
//!
//! The kernel's tables in /proc/net name the inode of each socket, and /proc/PID/fd who has it. Processes of other users
//! cannot be seen without root's rights, and a machine may have many, so the search may find none and ends at a deadline.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Maximum time spent on the search: the daemon's loop waits for it.
const SEARCH: Duration = Duration::from_millis(5);

/// The state of a TCP socket that listens: <net/tcp_states.h>.
const LISTEN: &str = "0A";

/// Describes a process that has this port: `held by nginx, pid 17`.
pub(crate) fn of_port(port: u16, is_udp: bool) -> Option<String> {
    let end = Instant::now() + SEARCH;
    let tables = if is_udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
    let inodes = tables.iter().filter_map(|table| fs::read_to_string(format!("/proc/net/{table}")).ok());
    let inodes: Vec<String> = inodes.flat_map(|table| inodes_of(&table, port, is_udp)).collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    for process in processes.take_while(|_| Instant::now() < end) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        if pid != std::process::id() && has_one(&process, &links, end) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            // A process chooses its name: the message is one line.
            let name: String = name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            return Some(format!("held by {name}, pid {pid}"));
        }
    }
    None
}

fn has_one(process: &Path, links: &[String], end: Instant) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let targets = descriptors.flatten().take_while(|_| Instant::now() < end);
    targets
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| links.iter().any(|link| link == target)))
}

/// The inodes of the sockets that have this port: proc_net_tcp(5).
fn inodes_of(table: &str, port: u16, is_udp: bool) -> Vec<String> {
    let inode = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let local = words.nth(1)?;
        let has_port = local.rsplit_once(':').is_some_and(|(_, own)| u16::from_str_radix(own, 16) == Ok(port));
        let state = words.nth(1)?;
        let inode = words.nth(5)?;
        (has_port && (is_udp || state == LISTEN)).then(|| inode.to_owned())
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read_by_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
            1: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n\
            2: 0100007F:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        assert_eq!(inodes_of(table, 80, false), ["4711"]);
        assert_eq!(inodes_of(table, 80, true), ["4711", "4712"]);
        assert_eq!(inodes_of(table, 82, false), [""; 0]);
    }
}
