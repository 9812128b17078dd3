//! Formats spans of time for messages and descriptions.

use std::time::Duration;

/// A short span in its natural unit: `500ms`, `2.5s`, `3m20s`.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_millis();
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 if ms % 1_000 < 50 => format!("{}s", ms / 1_000),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_in_their_natural_unit() {
        for (ms, text) in
            [(0, "0ms"), (999, "999ms"), (1_000, "1s"), (2_500, "2.5s"), (59_999, "59.9s"), (200_000, "3m20s")]
        {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
