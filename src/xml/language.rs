//! Language tags, as `xml:lang` carries them. Refuses to know which languages there are.

use crate::base::limits;

/// RFC 5646 section 2.1, roughly: letters, then letters and digits between hyphens, at most
/// [`limits::LANGUAGE_BYTES_MAX`].
pub fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    tag.len() <= limits::LANGUAGE_BYTES_MAX
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(is_subtag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_languages_pass_and_what_is_long_or_none_does_not() {
        for tag in [
            "en",
            "pt-BR",
            "zh-Hant-CN",
            "de-CH-1996",
            "sl-rozaj-biske-1994",
        ] {
            assert!(is_language(tag), "{tag}");
        }
        let long = format!("en{}", "-abcdefgh".repeat(400));
        for tag in [
            "", "e", "en-", "-en", "en_GB", "e1", "\u{e9}n", "en-<", &long,
        ] {
            assert!(!is_language(tag), "{tag}");
        }
    }
}
