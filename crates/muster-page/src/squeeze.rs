//! Leaves out what only readers of the source need, so that the page is small. Used by the build script and by the tests.

/// A script or a style sheet without its indentation, and without lines that are only a comment. No text of a program begins in one
/// line and ends in another: that would be an error.
pub(crate) fn squeezed(text: &str) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut is_comment = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let begins = line.starts_with("/*");
        if is_comment || begins {
            is_comment = !line.ends_with("*/");
            if line.contains("*/") && is_comment {
                return Err(format!("line {}: code behind a comment", number + 1));
            }
            continue;
        }
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        if line.matches('`').count() % 2 == 1 {
            return Err(format!("line {}: a template of several lines", number + 1));
        }
        result.push_str(line);
        result.push('\n');
    }
    Ok(result)
}
