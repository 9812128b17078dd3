//! `rate_limit = "1000/s"`: lines of a stream beyond the limit are dropped and counted.
//!
//! A token bucket that holds as many lines as the limit says and fills evenly, so that a burst after a silence passes and
//! the mean is kept. Whether a line passes is decided at its first byte. Programs never wait.

use std::time::Instant;

use memchr::memchr;
use muster_spec::RateLimit;

/// The limit of one stream.
#[derive(Debug)]
pub(super) struct Rate {
    limit: RateLimit,
    tokens: f64,
    filled_at: Instant,
    /// Whether the line that has begun passes; `None` between lines.
    current: Option<bool>,
    lost_lines: u64,
    lost_bytes: u64,
}

impl Rate {
    pub(super) fn new(limit: RateLimit, now: Instant) -> Rate {
        Rate { limit, tokens: limit.lines as f64, filled_at: now, current: None, lost_lines: 0, lost_bytes: 0 }
    }

    /// Appends the lines that pass to `out`.
    pub(super) fn pass(&mut self, mut bytes: &[u8], now: Instant, out: &mut Vec<u8>) {
        self.fill(now);
        while !bytes.is_empty() {
            let passes = self.current.unwrap_or_else(|| self.take_token());
            let end = memchr(b'\n', bytes).map(|end| end + 1);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if passes {
                out.extend_from_slice(piece);
            } else {
                self.lost_bytes += piece.len() as u64;
                self.lost_lines += u64::from(end.is_some());
            }
            self.current = end.is_none().then_some(passes);
            bytes = rest;
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64() / self.limit.per.as_secs_f64();
        let most = self.limit.lines as f64;
        self.tokens = (self.tokens + passed * most).min(most);
        self.filled_at = now;
    }

    fn take_token(&mut self) -> bool {
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }

    /// Lines and bytes dropped since the last call.
    pub(super) fn take_lost(&mut self) -> Option<(u64, u64)> {
        let lost = (std::mem::take(&mut self.lost_lines), std::mem::take(&mut self.lost_bytes));
        (lost.1 > 0).then_some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const THREE: RateLimit = RateLimit { lines: 3, per: Duration::from_secs(1) };

    fn passed(rate: &mut Rate, bytes: &str, now: Instant) -> String {
        let mut out = Vec::new();
        rate.pass(bytes.as_bytes(), now, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn so_many_lines_pass_and_the_others_are_counted() {
        let start = Instant::now();
        let mut rate = Rate::new(THREE, start);
        assert_eq!(passed(&mut rate, "1\n2\n3\n4\n5\n", start), "1\n2\n3\n");
        assert_eq!(rate.take_lost(), Some((2, 4)));
        assert_eq!(rate.take_lost(), None);
        assert_eq!(passed(&mut rate, "6\n7\n", start + Duration::from_millis(334)), "6\n");
        assert_eq!(passed(&mut rate, "8\n9\n10\n11\n", start + Duration::from_secs(60)), "8\n9\n10\n");
    }

    #[test]
    fn a_line_that_is_read_in_pieces_passes_whole_or_not_at_all() {
        let start = Instant::now();
        let mut rate = Rate::new(THREE, start);
        assert_eq!(passed(&mut rate, "1\n2\n3 be", start), "1\n2\n3 be");
        assert_eq!(passed(&mut rate, "gins\n4 begins", start), "gins\n");
        assert_eq!(passed(&mut rate, " and ends\n5", start + Duration::from_secs(9)), "5");
        assert_eq!(rate.take_lost(), Some((1, 18)));
    }
}
