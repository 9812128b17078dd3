//! Splits the stream of a watch into lines, of a bounded length.

/// The longest line. A transaction of etcd has at most 1.5 MiB, which base64 makes a third longer.
pub const LONGEST: usize = 4 << 20;

/// The lines of a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    /// The part of `rest` that has no line end.
    searched: usize,
}

impl Lines {
    /// Adds a piece. An error is a line that is too long.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), String> {
        self.rest.extend_from_slice(piece);
        let has_end = self.rest[self.searched..].contains(&b'\n');
        if !has_end && self.rest.len() > LONGEST {
            return Err("the watch sent a line that is too long".to_owned());
        }
        Ok(())
    }

    /// The next complete line, without its end; empty ones are skipped.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(end) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.rest.len();
                return None;
            };
            let rest = self.rest.split_off(self.searched + end + 1);
            let mut line = std::mem::replace(&mut self.rest, rest);
            self.searched = 0;
            line.pop();
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = b"{\"a\":1}\n\r\n{\"b\":2}\n{\"c\"";
        for size in 1..text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.chunks(size) {
                lines.push(piece).unwrap();
                found.extend(std::iter::from_fn(|| lines.next_line()));
            }
            assert_eq!(found, [b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec()], "{size}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 64 * 1024];
        let pushed = (0..1000).take_while(|_| lines.push(&piece).is_ok()).count();
        assert!(pushed <= LONGEST / piece.len() + 1);
    }
}
