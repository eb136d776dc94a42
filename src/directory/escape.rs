//! Values inside filters (RFC 4515). Refuses to build one without escaping.

use std::fmt::Write;

/// A value as it stands in a filter. RFC 4515 section 3: "the characters ... asterisk, left parenthesis, right
/// parenthesis, backslash, NUL ... MUST be escaped"; other control characters are, too, so that a log shows them.
pub fn filter_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '*' | '(' | ')' | '\\' | '\0'..='\u{1f}' | '\u{7f}' => {
                // All of them are one byte.
                let _ = write!(out, "\\{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// The operator's filter for one name.
pub fn filter_for(template: &str, user: &str) -> String {
    template.replace("{user}", &filter_value(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_filter_means_nothing_in_a_name() {
        for (name, expected) in [
            ("juliet", "juliet"),
            ("*)(uid=*", "\\2a\\29\\28uid=\\2a"),
            ("a\0b", "a\\00b"),
            ("a\\2a", "a\\5c2a"),
            ("jürgen", "jürgen"),
            ("\u{1f}", "\\1f"),
        ] {
            assert_eq!(filter_value(name), expected, "{name:?}");
        }
        assert_eq!(
            filter_for("(&(objectClass=person)(uid={user}))", "*"),
            "(&(objectClass=person)(uid=\\2a))"
        );
        // A name that looks like the place of a name is one all the same.
        assert_eq!(filter_for("(uid={user})", "{user}"), "(uid={user})");
    }
}
