//! Names that look like other names (UTS #39, Unicode Security Mechanisms). Refuses to know which names there are, and to
//! judge what an operator gives to somebody.

use unicode_security::confusable_detection;
use unicode_security::mixed_script::AugmentedScriptSet;
use unicode_security::{GeneralSecurityProfile, MixedScript};

/// What a prepared name looks like (section 4): two names that look alike have the same. For comparison alone, never to be
/// shown. In lower case, for a skeleton may have capitals where the name had none: "0" looks like "O".
pub fn skeleton(name: &str) -> String {
    let looks: String = confusable_detection::skeleton(name).collect();
    looks.to_lowercase()
}

/// Whether a prepared name was likely made to be taken for another: it mixes scripts that no language mixes (section 5.2,
/// "Highly Restrictive": one script, or Latin letters among those of Chinese, Japanese or Korean), or it is of another
/// script and every letter of it looks like a Latin one, as "раре" does.
pub fn is_deceptive(name: &str) -> bool {
    if name.is_ascii() {
        return false;
    }
    let letters = || name.chars().filter(|c| !c.is_ascii_punctuation());
    let others: String = letters().filter(|c| !c.is_ascii()).collect();
    let mixes = !name.is_single_script() && !is_east_asian(&others);
    let passes = !is_latin(&others) && skeleton(name).is_ascii();
    let hides = passes || others.chars().any(is_no_letter);
    mixes || hides
}

/// Beside which Latin letters are usual.
fn is_east_asian(text: &str) -> bool {
    let AugmentedScriptSet {
        hanb, jpan, kore, ..
    } = text.resolve_script_set();
    hanb || jpan || kore
}

/// Among Latin letters "ı" is no look-alike but Turkish.
fn is_latin(text: &str) -> bool {
    let mut scripts = text.resolve_script_set();
    scripts.intersect_with('a'.into());
    !scripts.is_empty()
}

/// What section 3.1 keeps out of identifiers, as far as it is not for the script alone: that a language is spoken by few is
/// no reason to refuse its letters.
fn is_no_letter(c: char) -> bool {
    !c.is_alphanumeric() && !c.identifier_allowed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("admin", "аdmin"),
            ("admin", "аdmіn"),
            ("mercutio", "rnercutio"),
            ("root", "r00t"),
            ("paypal", "paypa1"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("admin", "admit"), ("romeo", "juliet"), ("anna", "änna")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn scripts_that_no_language_mixes_are_deceptive_and_so_is_what_passes_for_latin() {
        for name in ["аlice", "alicе", "ромеo", "аdmin", "раре", "ѕсоре", "αlpha"]
        {
            assert!(is_deceptive(name), "{name}");
        }
    }

    #[test]
    fn what_people_are_called_is_not() {
        for name in [
            "juliet",
            "r2-d2",
            "o'hara",
            "renée",
            "jürgen",
            "łukasz",
            "ırmak",
            "ромео",
            "ромео-42",
            "ольга.к",
            "ιουλιέτα",
            "山田",
            "山田taro",
            "たろう",
            "김철수",
            "김kim",
            "محمد",
            "שרה",
            "अनिता",
            "นภา",
            "ⴰⵎⴰⵣⵉⵖ",
            "ანა",
        ] {
            assert!(!is_deceptive(name), "{name}");
        }
    }
}
