//! Addresses of other servers and what is to be asked there (RFC 4516), as a directory sends somebody on with them. Refuses
//! to go there.

use super::pool::{Depth, is_filter};
use crate::base::limits;

/// What an address says; what it does not say stays as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    /// `ldap://host:port`.
    pub server: String,
    pub base: Option<String>,
    pub depth: Option<Depth>,
    pub filter: Option<String>,
}

impl Referral {
    /// Reads `ldap://host:port/base?attributes?scope?filter?extensions`; none for what is no such address. RFC 4511 section
    /// 4.1.10: "Clients may ignore URIs that they do not support"; so they are where a part of them is none, or longer than
    /// [`limits::DIRECTORY_REFERRAL_BYTES_MAX`] altogether.
    pub fn parse(url: &str) -> Option<Referral> {
        if url.len() > limits::DIRECTORY_REFERRAL_BYTES_MAX {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        // RFC 3986 section 3.1: "schemes are case-insensitive".
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "ldap" | "ldaps") {
            return None;
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // RFC 3986 section 2: what is no such character is escaped.
        let is_written = host.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !is_written || host.contains(['@', '?']) {
            return None;
        }
        let mut parts = path.split('?').map(|part| match part {
            "" => Some(None),
            part => unescaped(part).map(Some),
        });
        let mut part = || parts.next().unwrap_or(Some(None));
        let base = part()?;
        // Which attributes are wanted we know ourselves.
        part()?;
        let depth = match part()? {
            None => None,
            Some(scope) => Some(depth(&scope)?),
        };
        let filter = part()?;
        if filter.as_deref().is_some_and(|filter| !is_filter(filter)) {
            return None;
        }
        // RFC 4516 section 2: "If an extension is not implemented and is marked critical, the implementation MUST NOT process
        // the URL." We know none.
        if path.split('?').nth(4).is_some_and(has_critical) {
            return None;
        }
        Some(Referral {
            server: format!("{scheme}://{host}"),
            base,
            depth,
            filter,
        })
    }
}

fn depth(scope: &str) -> Option<Depth> {
    match scope.to_ascii_lowercase().as_str() {
        "base" => Some(Depth::Base),
        "one" => Some(Depth::Children),
        "sub" => Some(Depth::Subtree),
        _ => None,
    }
}

/// Section 2: `extension = [ EXCLAMATION ] extype [ EQUALS exvalue ]`, with commas between them.
fn has_critical(extensions: &str) -> bool {
    extensions.split(',').any(|it| it.starts_with('!'))
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

    fn referral(base: Option<&str>, depth: Option<Depth>, filter: Option<&str>) -> Referral {
        Referral {
            server: "ldap://other.example:1389".to_owned(),
            base: base.map(str::to_owned),
            depth,
            filter: filter.map(str::to_owned),
        }
    }

    #[test]
    fn referrals_name_a_server_and_perhaps_what_to_ask_there() {
        let base = Some("ou=people,dc=a,b");
        for (path, expected) in [
            ("", referral(None, None, None)),
            ("/", referral(None, None, None)),
            ("/ou=people,dc=a%2Cb", referral(base, None, None)),
            (
                "/ou=people,dc=a%2Cb?cn?sub?(x=y%2fz)",
                referral(base, Some(Depth::Subtree), Some("(x=y/z)")),
            ),
            ("/??Base", referral(None, Some(Depth::Base), None)),
            (
                "/??one??x-other=1,y",
                referral(None, Some(Depth::Children), None),
            ),
            ("/???(cn=a%3fb)", referral(None, None, Some("(cn=a?b)"))),
        ] {
            let url = format!("ldap://other.example:1389{path}");
            assert_eq!(Referral::parse(&url), Some(expected), "{url}");
        }
        let found = Referral::parse("ldaps://other.example").expect("one");
        assert_eq!(found.server, "ldaps://other.example");
        for scheme in ["LDAPS", "Ldaps"] {
            let url = format!("{scheme}://other.example");
            assert_eq!(Referral::parse(&url), Some(found.clone()), "{url}");
        }
    }

    #[test]
    fn what_is_none_or_cannot_be_asked_is_ignored() {
        for wrong in [
            "",
            "other.example",
            "http://a/",
            "ldap:///dc=a",
            "ldap://u@a/",
            "ldap://a b/",
            "ldap://a\n[WARN] forged/",
            "ldap://ä/",
            "ldap://a/%zz",
            "ldap://a/%f",
            "ldap://a/%ff",
            "ldap://a/dc=a??all",
            "ldap://a/dc=a??sub?(cn=",
            "ldap://a/dc=a??sub?%zz",
            "ldap://a/dc=a????x=1,!bindname=cn=b",
        ] {
            assert_eq!(Referral::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_has_so_many_bytes_and_its_filter_is_so_deep() {
        let long = |bytes: usize| {
            let url = "ldap://a/".to_owned();
            let rest = bytes - url.len();
            url + &"x".repeat(rest)
        };
        assert!(Referral::parse(&long(limits::DIRECTORY_REFERRAL_BYTES_MAX)).is_some());
        assert_eq!(
            Referral::parse(&long(limits::DIRECTORY_REFERRAL_BYTES_MAX + 1)),
            None
        );
        let deep = |depth: usize, open: &str| {
            let url = format!(
                "ldap://a/???{}(a=b){}",
                open.repeat(depth - 1),
                ")".repeat(depth - 1)
            );
            Referral::parse(&url)
        };
        let most = limits::DIRECTORY_FILTER_DEPTH_MAX;
        for open in ["(!", "(%26", "%28|", "(&"] {
            assert!(deep(most, open).is_some(), "{open}");
            assert_eq!(deep(most + 1, open), None, "{open}");
        }
        // Where nothing is closed, too.
        let open = format!("ldap://a/???{}", "(!".repeat(most + 1));
        assert_eq!(Referral::parse(&open), None);
    }
}
