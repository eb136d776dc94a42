//! What a message is found by without reading it: with whom it was exchanged, and the words in it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::base::limits;

/// The first 64 bits of SHA-256 over what it stands for: nobody can make a contact or a word that is taken for
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub [u8; 8]);

impl Term {
    /// Messages exchanged with this bare JID.
    pub fn contact(bare_jid: &str) -> Term {
        Term::new(b'c', bare_jid)
    }

    /// A full JID, to tell the resources of one contact apart.
    pub fn full_jid(full_jid: &str) -> Term {
        Term::new(b'f', full_jid)
    }

    /// A message that its sender calls by this `id`.
    pub fn message_id(sender: &str, id: &str) -> Term {
        let mut hash = Sha256::new_with_prefix(b"m");
        hash.update(sender);
        hash.update([0]);
        hash.update(id);
        Term::of(hash)
    }

    fn new(kind: u8, text: &str) -> Term {
        let mut hash = Sha256::new_with_prefix([kind]);
        hash.update(text);
        Term::of(hash)
    }

    fn of(hash: Sha256) -> Term {
        let digest = hash.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        Term(bytes)
    }

    /// The words of a text, each once, as many as [`limits::ARCHIVE_WORDS_MAX`].
    pub fn words(text: &str) -> BTreeSet<Term> {
        let mut words = BTreeSet::new();
        for run in text.split(|c: char| !c.is_alphanumeric()) {
            for word in words_of(run) {
                if words.len() >= limits::ARCHIVE_WORDS_MAX {
                    return words;
                }
                words.insert(Term::new(b'w', &word));
            }
        }
        words
    }
}

/// The words of a run of letters and digits. Scripts that are written without spaces have each pair of neighbouring
/// characters for a word, so that a part of a sentence is found.
fn words_of(run: &str) -> Vec<String> {
    if run.is_empty() {
        return Vec::new();
    }
    let lower = run.to_lowercase();
    let characters: Vec<char> = lower.chars().collect();
    if !characters.iter().copied().any(is_unspaced) {
        return vec![characters.iter().take(WORD_CHARS_MAX).collect()];
    }
    if let [single] = characters[..] {
        return vec![single.to_string()];
    }
    let pairs = characters.windows(2);
    pairs.map(|pair| pair.iter().collect()).collect()
}

/// Kana, Han, Thai and their neighbours.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c), 0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff
        | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// Longer words are found by their beginning.
const WORD_CHARS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Term::words(a) == Term::words(b)
    }

    #[test]
    fn words_are_what_stands_between_spaces_and_punctuation_in_any_case() {
        assert!(same(
            "Wherefore art thou, Romeo?",
            "romeo THOU art wherefore"
        ));
        assert!(same("Straße", "STRAßE"));
        assert_eq!(Term::words("a b a").len(), 2);
        assert_eq!(Term::words("  ...!? ").len(), 0);
        assert_ne!(Term::words("romeo"), Term::words("juliet"));
    }

    #[test]
    fn a_part_of_a_sentence_without_spaces_is_found() {
        let sentence = Term::words("我爱北京天安门");
        assert!(Term::words("北京").is_subset(&sentence));
        assert!(Term::words("天安门").is_subset(&sentence));
        assert!(!Term::words("上海").is_subset(&sentence));
    }

    #[test]
    fn a_text_has_no_more_words_than_its_bound() {
        let text: String = (0..10_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(Term::words(&text).len(), limits::ARCHIVE_WORDS_MAX);
        assert_eq!(
            Term::words(&"x".repeat(1 << 16)),
            Term::words(&"x".repeat(100))
        );
    }

    #[test]
    fn kinds_of_terms_do_not_meet() {
        assert_ne!(Term::contact("a"), Term::full_jid("a"));
        assert!(!Term::words("a").contains(&Term::contact("a")));
        assert_ne!(Term::message_id("ab", "c"), Term::message_id("a", "bc"));
    }
}
