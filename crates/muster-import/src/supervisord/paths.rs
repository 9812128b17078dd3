//! Paths as Python's `os.path` treats them: text, never looked up.

use super::glob::join;
use super::world::{Account, World};

/// `os.path.dirname`.
pub(super) fn directory(path: &str) -> &str {
    let cut = path.rfind('/').map_or(0, |at| at + 1);
    let directory = &path[..cut];
    let trimmed = directory.trim_end_matches('/');
    if trimmed.is_empty() { directory } else { trimmed }
}

/// `os.path.expanduser`: `~` and `~user` at the beginning; unchanged if there is no such user.
pub(super) fn expand_user(path: &str, world: &dyn World) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    let home = if name.is_empty() {
        world.variable("HOME").or_else(|| Some(world.user(Account::Id(world.uid()))?.home))
    } else {
        world.user(Account::Name(name)).map(|user| user.home)
    };
    let Some(home) = home else { return path.to_owned() };
    let expanded = format!("{}{behind}", home.trim_end_matches('/'));
    if expanded.is_empty() { "/".to_owned() } else { expanded }
}

/// `os.path.abspath`.
pub(super) fn absolute(path: &str, world: &dyn World) -> String {
    normal(&if path.starts_with('/') { path.to_owned() } else { join(&world.cwd(), path) })
}

/// The original's `normalize_path`.
pub(super) fn normalized(path: &str, world: &dyn World) -> String {
    absolute(&expand_user(path, world), world)
}

/// `os.path.normpath` of an absolute path: exactly two slashes at the beginning stay.
fn normal(path: &str) -> String {
    let slashes = path.len() - path.trim_start_matches('/').len();
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if slashes == 2 { "//" } else { "/" };
    root.to_owned() + &parts.join("/")
}
