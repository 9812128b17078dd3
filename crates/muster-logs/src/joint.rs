//! Joins the chunks that are written to a console.
//!
//! The beginning of a line may come without its end, when its stream is silent. More of the same lane follows it directly;
//! before anything else a newline is inserted, so that lines never mix. The rest then appears on its own line, after its
//! continuation prefix, unless it is only the newline.

/// The end of the last write.
#[derive(Debug, Default)]
pub(super) struct Joint {
    /// The lane whose last line has no end, if any.
    open: Option<usize>,
}

impl Joint {
    /// Adds whole lines of no lane, if there are any.
    pub(super) fn put_line(&mut self, line: Option<Vec<u8>>, batch: &mut Vec<Vec<u8>>) {
        if let Some(line) = line {
            batch.extend(self.open.take().map(|_| b"\n".to_vec()));
            batch.push(line);
        }
    }

    /// Adds a chunk of a lane. With a continuation it begins with the rest of a line.
    pub(super) fn put(
        &mut self,
        lane: usize,
        mut bytes: Vec<u8>,
        continuation: Option<Vec<u8>>,
        batch: &mut Vec<Vec<u8>>,
    ) {
        let follows = self.open == Some(lane) && continuation.is_some();
        if !follows && let Some(front) = continuation {
            let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| bytes.starts_with(end));
            match end {
                Some(end) => drop(bytes.drain(..end.len())),
                None => drop(bytes.splice(..0, front)),
            }
        }
        if bytes.is_empty() {
            return;
        }
        if !follows {
            batch.extend(self.open.take().map(|_| b"\n".to_vec()));
        }
        self.open = (bytes.last() != Some(&b'\n')).then_some(lane);
        batch.push(bytes);
    }

    /// Adds bytes that are written as they come, in the middle of a line, too.
    pub(super) fn put_verbatim(&mut self, lane: usize, bytes: Vec<u8>, batch: &mut Vec<Vec<u8>>) {
        self.open = (bytes.last() != Some(&b'\n')).then_some(lane);
        batch.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::{Full, Gap, LaneId, LaneSpec, OWN, Queue};
    use std::time::Instant;

    use memchr::memchr_iter;

    fn lane(name: &str) -> LaneSpec {
        LaneSpec {
            gap: Gap::Text { name: name.to_owned() },
            bound: 4096,
            full: Full::Drop,
            counters: None,
            is_verbatim: false,
        }
    }

    fn taken(queue: &mut Queue) -> String {
        let mut batch = Vec::new();
        queue.take(usize::MAX, &mut batch);
        String::from_utf8(batch.concat()).unwrap()
    }

    /// The result of writing these chunks, some of which are the rest of a line.
    fn written(steps: &[(&str, &str)], is_taken_between: bool) -> String {
        let mut queue = Queue::new(lane("musterd"));
        let (web, db) = (queue.add_lane(lane("web")), queue.add_lane(lane("db")));
        let mut told = String::new();
        for (whose, text) in steps {
            let (lane, front): (LaneId, _) = match *whose {
                "web" => (web, None),
                "web +" => (web, Some(b"web + ".to_vec())),
                "db" => (db, None),
                _ => (OWN, None),
            };
            let count = memchr_iter(b'\n', text.as_bytes()).count() as u64;
            queue.push(lane, Instant::now(), &mut text.as_bytes().to_vec(), count, front);
            if is_taken_between {
                told += &taken(&mut queue);
            }
        }
        told += &taken(&mut queue);
        assert!(queue.is_empty() && queue.total() == 0);
        told
    }

    fn check(steps: &[(&str, &str)], expected: &str) {
        for is_taken_between in [false, true] {
            assert_eq!(written(steps, is_taken_between), expected, "taken between: {is_taken_between}");
        }
    }

    #[test]
    fn the_rest_of_a_line_follows_its_beginning() {
        let steps = [("web", "web | half"), ("web +", " a li"), ("web +", "ne\nweb | begun"), ("web +", "\n")];
        check(&steps, "web | half a line\nweb | begun\n");
    }

    #[test]
    fn a_line_that_something_came_between_goes_on_below_and_leaves_no_empty_line() {
        let steps = [("web", "web | half"), ("db", "db | one\n"), ("web +", " a line\nweb | two\n")];
        check(&steps, "web | half\ndb | one\nweb +  a line\nweb | two\n");
        let steps = [("web", "web | half"), ("musterd", "musterd\n"), ("web +", "\n"), ("db", "db | one\n")];
        check(&steps, "web | half\nmusterd\ndb | one\n");
        let steps = [("web", "web | half"), ("db", "db | one\n"), ("web +", "\r\nweb | two\n")];
        check(&steps, "web | half\ndb | one\nweb | two\n");
        let steps = [("web", "web | half"), ("db", "db | also"), ("web +", " more"), ("db", "db | new run\n")];
        check(&steps, "web | half\ndb | also\nweb +  more\ndb | new run\n");
    }

    #[test]
    fn another_run_does_not_go_on_with_the_line_of_the_last() {
        check(&[("web", "web | last"), ("web", "web | first\n")], "web | last\nweb | first\n");
    }

    #[test]
    fn bytes_of_a_verbatim_lane_get_no_newline_and_lines_that_follow_do() {
        let mut queue = Queue::new(lane("musterd"));
        let verbatim = |name| LaneSpec { is_verbatim: true, ..lane(name) };
        let (web, db) = (queue.add_lane(verbatim("web")), queue.add_lane(verbatim("db")));
        let mut put = |lane, text: &str| queue.push(lane, Instant::now(), &mut text.as_bytes().to_vec(), 0, None);
        put(web, "a");
        put(web, "b");
        put(db, "\n\nc");
        put(web, "\r\n");
        put(OWN, "own\n");
        put(db, "d");
        put(OWN, "own\n");
        assert_eq!(taken(&mut queue), "ab\n\nc\r\nown\nd\nown\n");
    }

    #[test]
    fn a_mark_for_lost_lines_stands_on_a_line_of_its_own() {
        let mut queue = Queue::new(lane("musterd"));
        let web = queue.add_lane(lane("web"));
        queue.push(web, Instant::now(), &mut b"web | half".to_vec(), 0, None);
        assert_eq!(taken(&mut queue), "web | half");
        let line = [&[b'x'; 4000], &b"\n"[..]].concat();
        queue.push(web, Instant::now(), &mut [b" a line\n", &line[..]].concat(), 2, Some(b"web + ".to_vec()));
        for _ in 0..8 {
            queue.push(web, Instant::now(), &mut line.repeat(4), 4, None);
        }
        let told = taken(&mut queue);
        assert!(told.starts_with("\nmusterd | web: "), "{}", &told[..60]);
    }
}
