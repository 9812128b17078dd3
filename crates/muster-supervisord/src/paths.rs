//! Paths as Python's `os.path` treats them: text, never looked up.

/// `os.path.dirname`.
pub fn directory(path: &str) -> &str {
    let cut = path.rfind('/').map_or(0, |at| at + 1);
    let directory = &path[..cut];
    let trimmed = directory.trim_end_matches('/');
    if trimmed.is_empty() { directory } else { trimmed }
}

/// `os.path.join` for two parts.
pub fn join(directory: &str, name: &str) -> String {
    match directory {
        _ if name.starts_with('/') => name.to_owned(),
        "" => name.to_owned(),
        _ if directory.ends_with('/') => format!("{directory}{name}"),
        _ => format!("{directory}/{name}"),
    }
}

/// `os.path.expanduser`: `~` and `~user` at the beginning. `home` is asked for the directory of a user, or of this one if the
/// name is empty; the path is unchanged if there is none.
pub fn expand_user(path: &str, home: impl FnOnce(&str) -> Option<String>) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (name, behind) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some(home) = home(name) else { return path.to_owned() };
    let expanded = format!("{}{behind}", home.trim_end_matches('/'));
    if expanded.is_empty() { "/".to_owned() } else { expanded }
}

/// `os.path.abspath`, with an absolute working directory.
pub fn absolute(path: &str, cwd: &str) -> String {
    normal(&if path.starts_with('/') { path.to_owned() } else { join(cwd, path) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_and_taken_apart_as_python_does() {
        assert_eq!(join("/a", "/b"), "/b");
        assert_eq!(join("/", "b"), "/b");
        assert_eq!(join("", "b"), "b");
        assert_eq!(directory("/a//b"), "/a");
        assert_eq!(directory("/b"), "/");
        assert_eq!(directory("b"), "");
    }

    #[test]
    fn homes_and_dots_are_replaced() {
        let home = |name: &str| (name != "nobody").then(|| format!("/home/{name}"));
        assert_eq!(expand_user("~/x", home), "/home/x");
        assert_eq!(expand_user("~me", home), "/home/me");
        assert_eq!(expand_user("~nobody/x", home), "~nobody/x");
        assert_eq!(expand_user("a~", home), "a~");
        assert_eq!(absolute("a/../b/./c", "/d"), "/d/b/c");
        assert_eq!(absolute("//a/", "/d"), "//a");
        assert_eq!(absolute("///a", "/d"), "/a");
    }
}
