//! Marks of what was done: the hash of a command, which may hold secrets that are not to be kept.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The hash of a command's words, in hexadecimal.
pub fn hash(words: &[String]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_words_have_the_same_hash() {
        let of = |words: &[&str]| hash(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        for other in [&["ab"][..], &["a"], &["a", "b", ""], &["", "a", "b"], &["b", "a"], &[]] {
            assert_ne!(of(other), of(&["a", "b"]), "{other:?}");
        }
        assert_eq!(of(&[]).len(), 64);
    }
}
