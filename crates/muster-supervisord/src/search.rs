//! The places where the original looks for a configuration.

use crate::paths::directory;

/// The paths, in order; `executable` is the path by which the daemon was started.
pub fn paths(executable: &str) -> Vec<String> {
    let here = directory(directory(executable));
    let beside =
        |name: &str| if here.is_empty() { name.to_owned() } else { format!("{}/{name}", here.trim_end_matches('/')) };
    vec![
        beside("etc/supervisord.conf"),
        beside("supervisord.conf"),
        "supervisord.conf".to_owned(),
        "etc/supervisord.conf".to_owned(),
        "/etc/supervisord.conf".to_owned(),
        "/etc/supervisor/supervisord.conf".to_owned(),
    ]
}

/// The first that `exists`. An error is the original's text.
pub fn find(executable: &str, exists: impl Fn(&str) -> bool) -> Result<String, String> {
    let paths = paths(executable);
    paths.iter().find(|path| exists(path)).cloned().ok_or_else(|| {
        format!(
            "No config file found at default paths ({}); use the -c option to specify a config file at a different path",
            paths.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_the_installation_comes_first() {
        assert_eq!(
            paths("/opt/venv/bin/supervisord")[..2],
            ["/opt/venv/etc/supervisord.conf", "/opt/venv/supervisord.conf"]
        );
        assert_eq!(paths("/bin/supervisord")[0], "/etc/supervisord.conf");
        assert_eq!(paths("supervisord")[0], "etc/supervisord.conf");
        assert_eq!(paths("bin/supervisord")[1], "supervisord.conf");
    }
}
