//! Values inside filters (RFC 4515) and addresses of other servers (RFC 4516). Refuses to build either without
//! escaping.

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

/// Server and base of a referral, as RFC 4516 writes it: `ldap://host:port/base?..`; the base is none where it says
/// nothing. None for what is no such address.
pub fn referral(url: &str) -> Option<(String, Option<String>)> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "ldap" | "ldaps") {
        return None;
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || host.contains(['@', '?', ' ']) {
        return None;
    }
    let base = path.split('?').next().unwrap_or_default();
    let base = match base {
        "" => None,
        base => Some(unescaped(base)?),
    };
    Some((format!("{scheme}://{host}"), base))
}

/// Percent-escapes undone (RFC 3986 section 2.1).
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
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

    #[test]
    fn referrals_name_a_server_and_perhaps_a_base() {
        let found = referral("ldap://other.example:1389/ou=people,dc=a%2Cb?cn?sub?(x=y)");
        let base = Some("ou=people,dc=a,b".to_owned());
        assert_eq!(found, Some(("ldap://other.example:1389".to_owned(), base)));
        let found = referral("ldaps://other.example");
        assert_eq!(found, Some(("ldaps://other.example".to_owned(), None)));
        for wrong in [
            "",
            "other.example",
            "http://a/",
            "ldap:///dc=a",
            "ldap://u@a/",
            "ldap://a/%zz",
            "ldap://a/%f",
            "ldap://a/%ff",
        ] {
            assert_eq!(referral(wrong), None, "{wrong}");
        }
    }
}
