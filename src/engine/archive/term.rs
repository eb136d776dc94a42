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

    /// The words by which a text is found: as many as [`limits::ARCHIVE_WORDS_MAX`], and beside them as many parts of
    /// sentences without spaces as [`limits::ARCHIVE_PARTS_MAX`], among its first [`limits::ARCHIVE_TEXT_BYTES_MAX`] bytes.
    pub fn words(text: &str) -> BTreeSet<Term> {
        let text = &text[..text.floor_char_boundary(limits::ARCHIVE_TEXT_BYTES_MAX)];
        let text = folded(text);
        let (mut words, mut parts) = (BTreeSet::new(), BTreeSet::new());
        for (script, run) in runs(&text) {
            match script {
                Script::Spaced if words.len() < limits::ARCHIVE_WORDS_MAX => {
                    words.insert(word_of(run));
                }
                Script::Spaced => {}
                Script::Unspaced => {
                    for part in parts_of(run) {
                        if parts.len() >= limits::ARCHIVE_PARTS_MAX {
                            break;
                        }
                        parts.insert(part);
                    }
                }
            }
        }
        terms(words.iter().chain(&parts).copied())
    }
}

/// What a text must have to be found by another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// All of these, which an index knows: as many as [`limits::ARCHIVE_SEARCH_WORDS_MAX`], or one more if there are too
    /// many words.
    pub words: BTreeSet<Term>,
    /// And in it these: parts of sentences without spaces, for which the index alone cannot speak. Folded as
    /// [`Sought::is_in`] folds the text. As many as words, and one more if there are too many.
    pub phrases: Vec<Box<str>>,
}

impl Sought {
    /// What is searched for with this text, whose length is bounded.
    pub fn read(text: &str) -> Sought {
        let text = folded(text);
        let (mut words, mut unspaced) = (BTreeSet::new(), BTreeSet::new());
        for (script, run) in runs(&text) {
            match script {
                Script::Spaced => words.insert(word_of(run)),
                Script::Unspaced => unspaced.insert(run),
            };
        }
        let max = limits::ARCHIVE_SEARCH_WORDS_MAX;
        let words: BTreeSet<&[char]> = words.into_iter().take(max + 1).collect();
        // Every pair says most; every second one still names each character, and then some say enough.
        let pairs = |step: usize| -> BTreeSet<&[char]> {
            unspaced
                .iter()
                .flat_map(|run| pairs_of(run, step))
                .collect()
        };
        let mut parts = pairs(1);
        if words.len() + parts.len() > max {
            parts = pairs(2);
        }
        let room = max.saturating_sub(words.len());
        let parts: BTreeSet<&[char]> = parts.into_iter().take(room).collect();
        let is_said = |run: &&&[char]| run.len() > 2 || !parts.contains(**run);
        // Each is looked for in each message that has the words.
        let phrases = unspaced.iter().filter(is_said).take(max + 1);
        Sought {
            phrases: phrases.map(|run| run.iter().collect()).collect(),
            words: terms(words.iter().chain(&parts).copied()),
        }
    }

    /// Whether these phrases are in a text.
    pub fn is_in(phrases: &[Box<str>], text: &str) -> bool {
        let text: String = folded(text).into_iter().collect();
        phrases.iter().all(|phrase| text.contains(&**phrase))
    }
}

/// Hashed when each is there once: a text that says one word a thousand times is hashed once.
fn terms<'a>(words: impl Iterator<Item = &'a [char]>) -> BTreeSet<Term> {
    let words = words.map(|word| word.iter().collect::<String>());
    words.map(|word| Term::new(b'w', &word)).collect()
}

/// How a script is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Spaced,
    /// Each pair of neighbouring characters is a word, so that a part of a sentence is found.
    Unspaced,
}

/// What stands between spaces, punctuation and letters of the other kind.
fn runs(text: &[char]) -> impl Iterator<Item = (Script, &[char])> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = rest.iter().position(|c| script_of(*c).is_some())?;
        rest = &rest[begin..];
        let script = script_of(*rest.first()?)?;
        // What stands above or below a letter belongs to it.
        let belongs = |c: &&char| script_of(**c) == Some(script) || is_combining_mark(**c);
        let (run, behind) = rest.split_at(rest.iter().take_while(belongs).count());
        rest = behind;
        Some((script, run))
    })
}

/// A word as it is indexed.
fn word_of(run: &[char]) -> &[char] {
    &run[..run.len().min(WORD_CHARS_MAX)]
}

/// By what a run without spaces is found: a part of it, however short.
fn parts_of(run: &[char]) -> impl Iterator<Item = &[char]> {
    let parts = (0..run.len()).flat_map(|at| [run.get(at..=at), run.get(at..at + 2)]);
    parts.flatten()
}

/// By what it finds: every pair of characters in it, or every second one and the last, or the one character that it is.
fn pairs_of(run: &[char], step: usize) -> impl Iterator<Item = &[char]> {
    let last = run.len().saturating_sub(2);
    let starts = (0..last).step_by(step).chain([last]);
    starts.map(|at| &run[at..run.len().min(at + 2)])
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
        let sought = Sought::read(search);
        assert!(!sought.words.is_empty(), "{search}");
        sought.words.is_subset(&Term::words(text)) && Sought::is_in(&sought.phrases, text)
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
            Sought::read(&text).words.len(),
            limits::ARCHIVE_SEARCH_WORDS_MAX + 1
        );
        // Characters, each of which is a phrase.
        let text: String = (0x4e00..0x4f00).filter_map(char::from_u32).collect();
        let text: String = text.chars().flat_map(|c| [c, ' ']).collect();
        assert_eq!(
            Sought::read(&text).phrases.len(),
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
