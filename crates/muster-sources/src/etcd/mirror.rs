//! The copy of the keys of a source, kept in step with the store by the changes that a watch reports.

use std::collections::{BTreeMap, BTreeSet};

use crate::edition::{Edition, Failure, MOST_BYTES, Revision, Text};
use crate::etcd::message::{Change, Header, Range};

/// The most keys of a source.
pub const MOST_KEYS: usize = 256;

/// The keys with a prefix, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    prefix: String,
    /// The values by the part of their key behind the prefix.
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    header: Header,
}

impl Mirror {
    /// The answer to a range request.
    pub fn of(prefix: &str, range: Range) -> Result<Mirror, Failure> {
        if range.count > MOST_KEYS as u64 || range.pairs.len() > MOST_KEYS {
            return Err(Failure::new(format!("more than {MOST_KEYS} keys begin with {prefix:?}")));
        }
        let mut mirror = Mirror { prefix: prefix.to_owned(), values: BTreeMap::new(), header: range.header };
        for pair in range.pairs {
            mirror.put(pair.key, pair.value);
        }
        mirror.judge()?;
        Ok(mirror)
    }

    /// Applies the changes of one line. An error is a store that has become too large, or another store.
    pub fn apply(&mut self, header: Header, changes: Vec<Change>) -> Result<(), Failure> {
        if header.cluster != self.header.cluster {
            return Err(Failure::new("another cluster answers"));
        }
        for change in changes {
            match change {
                Change::Put(pair) => self.put(pair.key, pair.value),
                Change::Delete(key) => {
                    if let Some(name) = key.strip_prefix(self.prefix.as_bytes()) {
                        self.values.remove(name);
                    }
                }
            }
        }
        self.header.revision = self.header.revision.max(header.revision);
        self.judge()
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        // A server that sends others is not to be followed there.
        if let Some(name) = key.strip_prefix(self.prefix.as_bytes()) {
            self.values.insert(name.to_vec(), value);
        }
    }

    fn judge(&self) -> Result<(), Failure> {
        let bytes: usize = self.values.values().map(Vec::len).sum();
        match () {
            () if self.values.len() > MOST_KEYS => {
                Err(Failure::new(format!("more than {MOST_KEYS} keys begin with {:?}", self.prefix)))
            }
            () if bytes > MOST_BYTES => {
                Err(Failure::new(format!("the values of all keys are larger than {} KiB", MOST_BYTES / 1024)))
            }
            () => Ok(()),
        }
    }

    /// The revision that it has, and its cluster.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Its texts, in the order of their keys.
    pub fn edition(&self) -> Result<Edition, Failure> {
        let mut texts = Vec::new();
        for (name, value) in self.values.iter().filter(|(name, _)| is_text(name)) {
            let name = String::from_utf8_lossy(name).into_owned();
            let text = String::from_utf8(value.clone()).map_err(|_| {
                Failure::new(format!("the value of {:?} is not UTF-8", format!("{}{name}", self.prefix)))
            })?;
            texts.push(Text { name, text });
        }
        Ok(Edition { texts, revision: Revision::Etcd(self.header.revision) })
    }

    /// The keys that are not texts of a configuration.
    pub fn others(&self) -> BTreeSet<String> {
        let others = self.values.keys().filter(|name| !is_text(name));
        others.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

/// Whether a key is a text: named like a file, in characters that a message can show.
fn is_text(name: &[u8]) -> bool {
    let is_shown = std::str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control));
    is_shown && name.ends_with(b".toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::message::Pair;

    fn pair(key: &str, value: &str) -> Pair {
        Pair { key: key.into(), value: value.into(), changed: 1 }
    }

    fn range(pairs: Vec<Pair>) -> Range {
        Range { header: Header { cluster: 1, revision: 5 }, count: pairs.len() as u64, pairs }
    }

    fn shown(mirror: &Mirror) -> String {
        let edition = mirror.edition().unwrap();
        let texts: Vec<String> = edition.texts.iter().map(|text| format!("{}={}", text.name, text.text)).collect();
        format!("{} {}", edition.revision.words().unwrap(), texts.join(" "))
    }

    #[test]
    fn changes_are_applied_in_byte_order_of_the_keys() {
        let pairs = vec![pair("p/b.toml", "1"), pair("p/a.toml", "2"), pair("p/readme", "3"), pair("q/x.toml", "4")];
        let mut mirror = Mirror::of("p/", range(pairs)).unwrap();
        assert_eq!(shown(&mirror), "5 a.toml=2 b.toml=1");
        assert_eq!(mirror.others(), BTreeSet::from(["readme".to_owned()]));
        let changes = vec![
            Change::Delete(b"p/a.toml".to_vec()),
            Change::Put(pair("p/sub/c.toml", "5")),
            Change::Put(pair("evil/d.toml", "6")),
            Change::Delete(b"p/none".to_vec()),
        ];
        mirror.apply(Header { cluster: 1, revision: 8 }, changes).unwrap();
        assert_eq!(shown(&mirror), "8 b.toml=1 sub/c.toml=5");
        assert!(mirror.apply(Header { cluster: 2, revision: 9 }, vec![]).is_err());
    }

    #[test]
    fn a_source_has_at_most_256_keys_and_1_mib() {
        let many = (0..257).map(|number| pair(&format!("p/{number}.toml"), "")).collect();
        assert!(Mirror::of("p/", range(many)).unwrap_err().reason.contains("more than 256 keys"));
        let counted = Range { count: 257, ..range(vec![]) };
        assert!(Mirror::of("p/", counted).is_err());
        let half = "x".repeat(MOST_BYTES / 2 + 1);
        let mut mirror = Mirror::of("p/", range(vec![pair("p/a.toml", &half)])).unwrap();
        let change = vec![Change::Put(pair("p/b.toml", &half))];
        assert!(mirror.apply(Header { cluster: 1, revision: 6 }, change).unwrap_err().reason.contains("1024 KiB"));
    }

    #[test]
    fn a_value_that_is_no_text_is_an_error_of_the_source() {
        let broken = Pair { key: b"p/a.toml".to_vec(), value: vec![0xff], changed: 1 };
        let error = Mirror::of("p/", range(vec![broken])).unwrap().edition().unwrap_err();
        assert_eq!(error.reason, "the value of \"p/a.toml\" is not UTF-8");
    }
}
