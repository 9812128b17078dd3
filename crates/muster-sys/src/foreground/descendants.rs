//! The processes below this one, as /proc shows them.

use std::collections::HashMap;
use std::fs;

use super::process::Pid;

/// Every process below this one at this moment, children before their own children. Empty without /proc.
///
/// A process may fork while we look: whoever wants them all gone asks again until nothing is left.
pub fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<Pid>> = HashMap::new();
    for pid in fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| number(&entry)) {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![Pid::own()];
    while let Some(parent) = parents.pop() {
        let below = children.remove(&parent.number()).unwrap_or_default();
        found.extend_from_slice(&below);
        parents.extend(below);
    }
    found
}

fn number(entry: &fs::DirEntry) -> Option<Pid> {
    entry.file_name().to_str()?.parse().ok().and_then(Pid::from_number)
}

fn parent_of(pid: Pid) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parent_in(&String::from_utf8_lossy(&stat))
}

/// The fourth field of /proc/PID/stat. The second is the process' name in parentheses, which may hold anything, more
/// parentheses included, so fields are counted from the last closing one.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in("7 (a) S 9 (b) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in("7 (sh"), None);
    }

    #[test]
    fn a_child_is_a_descendant() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("sleep is everywhere");
        let pid = Pid::from_number(child.id() as i32).expect("a child has a positive number");
        assert!(descendants().contains(&pid));
        child.kill().and_then(|()| child.wait()).expect("it is ours to kill");
        assert!(!descendants().contains(&pid));
    }
}
