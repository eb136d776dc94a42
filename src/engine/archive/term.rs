//! What a message is found by without reading it: with whom it was exchanged, and the words in it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::base::limits;
use crate::im::archive::Term;

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

    /// The list in which a name is (`list.rs`).
    pub fn names_with(name: Term) -> Term {
        // No digest begins so: names are spread evenly by theirs.
        let bucket = name.0[0] % limits::ARCHIVE_NAME_LISTS;
        Term([b'n', 0, 0, 0, 0, 0, 0, bucket])
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

    /// The words by which a text is found: as many as [`limits::ARCHIVE_WORDS_MAX`], among its first
    /// [`limits::ARCHIVE_TEXT_BYTES_MAX`] bytes.
    pub fn words(text: &str) -> BTreeSet<Term> {
        let text = &text[..text.floor_char_boundary(limits::ARCHIVE_TEXT_BYTES_MAX)];
        terms(words_of(text, Purpose::Index, limits::ARCHIVE_WORDS_MAX))
    }

    /// The words that a text must have to be found by this one, whose length is bounded: one more than
    /// [`limits::ARCHIVE_SEARCH_WORDS_MAX`] if there are too many.
    pub fn searched(text: &str) -> BTreeSet<Term> {
        let max = limits::ARCHIVE_SEARCH_WORDS_MAX + 1;
        terms(words_of(text, Purpose::Search, max))
    }
}

/// Hashed when each is there once: a text that says one word a thousand times is hashed once.
fn terms(words: BTreeSet<String>) -> BTreeSet<Term> {
    words.iter().map(|word| Term::new(b'w', word)).collect()
}

/// What words are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To be found by: a part of a sentence without spaces, however short.
    Index,
    /// To find: a part of a sentence without spaces is the pairs of characters in it, which say which characters.
    Search,
}

/// How a script is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Spaced,
    /// Each pair of neighbouring characters is a word, so that a part of a sentence is found.
    Unspaced,
}

/// Distinct words, as many as `max`.
fn words_of(text: &str, purpose: Purpose, max: usize) -> BTreeSet<String> {
    let text = folded(text);
    let mut words = BTreeSet::new();
    let mut add = |word: &[char]| {
        words.insert(word.iter().collect::<String>());
        words.len() < max
    };
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        let Some(script) = script_of(c) else {
            at += 1;
            continue;
        };
        // What stands above or below a letter belongs to it.
        let belongs = |c: &&char| script_of(**c) == Some(script) || is_combining_mark(**c);
        let run = &text[at..];
        let run = &run[..run.iter().take_while(belongs).count()];
        at += run.len();
        let goes_on = match script {
            Script::Spaced => add(&run[..run.len().min(WORD_CHARS_MAX)]),
            Script::Unspaced => parts_of(run, purpose).all(&mut add),
        };
        if !goes_on {
            break;
        }
    }
    words
}

/// The words of a run without spaces.
fn parts_of(run: &[char], purpose: Purpose) -> impl Iterator<Item = &[char]> {
    let has_singles = purpose == Purpose::Index || run.len() == 1;
    let pairs = (0..run.len()).flat_map(move |at| {
        let single = has_singles.then(|| &run[at..=at]);
        [single, run.get(at..at + 2)]
    });
    pairs.flatten()
}

/// The characters of a text without what people do not tell apart: NFKC of Unicode Standard Annex 15, and case, by
/// upper case and back, which is full case folding but for the dotless i.
fn folded(text: &str) -> Vec<char> {
    if text.is_ascii() {
        return text.chars().map(|c| c.to_ascii_lowercase()).collect();
    }
    let folded = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc();
    // Some characters stand for a dozen others.
    let visible = folded.filter(|c| !is_ignored(*c));
    visible.take(limits::ARCHIVE_TEXT_BYTES_MAX).collect()
}

/// The script of a letter or digit.
fn script_of(c: char) -> Option<Script> {
    if !c.is_alphanumeric() {
        return None;
    }
    Some(match is_unspaced(c) {
        true => Script::Unspaced,
        false => Script::Spaced,
    })
}

/// Kana, Han, Thai and their neighbours.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c), 0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3005..=0x3007 | 0x3040..=0x30ff
        | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// What stands within words and is not seen: the soft hyphen, joiners.
fn is_ignored(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}'
    )
}

/// Longer words are found by their beginning.
const WORD_CHARS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Term::words(a) == Term::words(b)
    }

    fn finds(search: &str, text: &str) -> bool {
        let searched = Term::searched(search);
        assert!(!searched.is_empty(), "{search}");
        searched.is_subset(&Term::words(text))
    }

    #[test]
    fn words_are_what_stands_between_spaces_and_punctuation_in_any_case() {
        assert!(same(
            "Wherefore art thou, Romeo?",
            "romeo THOU art wherefore"
        ));
        assert_eq!(Term::words("a b a").len(), 2);
        assert_eq!(Term::words("  ...!? ").len(), 0);
        assert_ne!(Term::words("romeo"), Term::words("juliet"));
    }

    #[test]
    fn what_people_do_not_tell_apart_is_one_word() {
        for (search, text) in [
            ("strasse", "Straße"),
            ("STRAẞE", "straße"),
            // One character, or a letter and its accent.
            ("caf\u{e9}", "CAFE\u{301}"),
            ("ﬁne", "Fine"),
            ("ＡＢＣ１２", "abc12"),
            ("ΟΔΟΣ", "οδος"),
            ("οδος", "οδοσ"),
            ("co\u{ad}operate", "cooperate"),
            ("カタカナ", "ｶﾀｶﾅ"),
            ("हिन्दी", "यह हिन्दी है"),
        ] {
            assert!(finds(search, text), "{search} in {text}");
            assert!(finds(text.split(' ').nth(1).unwrap_or(text), search));
        }
        assert!(!finds("cafe", "café"), "an accent makes another word");
    }

    #[test]
    fn a_part_of_a_sentence_without_spaces_is_found() {
        let sentence = "我爱北京天安门";
        for part in ["北京", "天安门", sentence, "门", "我"] {
            assert!(finds(part, sentence), "{part}");
        }
        assert!(!finds("上海", sentence));
        assert!(!finds("京北", sentence), "the order counts");
        assert!(finds("ก", "ฉันรักกรุงเทพ"));
        assert!(finds("กรุงเทพ", "ฉันรักกรุงเทพ"));
        assert!(finds("iphone", "我的iPhone在哪里"));
        assert!(finds("シャツ", "Tシャツ"));
    }

    #[test]
    fn a_text_has_no_more_words_than_its_bound() {
        let text: String = (0..10_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(Term::words(&text).len(), limits::ARCHIVE_WORDS_MAX);
        assert_eq!(
            Term::searched(&text).len(),
            limits::ARCHIVE_SEARCH_WORDS_MAX + 1
        );
        assert_eq!(
            Term::words(&"x".repeat(1 << 16)),
            Term::words(&"x".repeat(100))
        );
    }

    #[test]
    fn what_stands_behind_the_bound_of_a_text_is_not_looked_at() {
        let mut text = "é ".repeat(limits::ARCHIVE_TEXT_BYTES_MAX);
        text.push_str("last");
        assert_eq!(Term::words(&text), Term::words("é"));
        // One that stands for eighteen.
        let long = "\u{fdfa}".repeat(limits::ARCHIVE_TEXT_BYTES_MAX);
        assert!(folded(&long).len() <= limits::ARCHIVE_TEXT_BYTES_MAX);
    }

    #[test]
    fn kinds_of_terms_do_not_meet() {
        assert_ne!(Term::contact("a"), Term::full_jid("a"));
        assert!(!Term::words("a").contains(&Term::contact("a")));
        assert_ne!(Term::message_id("ab", "c"), Term::message_id("a", "bc"));
    }
}
