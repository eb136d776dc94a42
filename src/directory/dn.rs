//! Names of entries (RFC 4514), so that two spellings of one are the same. Refuses to know schemas: every value is compared
//! as a directory compares names of people and organisations, without case and without spaces more than one.

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;

/// A name as its parts, an entry's own first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dn(Vec<Part>);

/// A relative name: its types and values in order, of which there is mostly one (RFC 4512 section 2.3.1).
type Part = Vec<(String, String)>;

impl Dn {
    /// Takes a name apart; none if it is no name.
    pub fn parse(text: &str) -> Option<Dn> {
        let mut parts = Vec::new();
        if text.trim().is_empty() {
            return Some(Dn(parts));
        }
        // RFC 4514 section 2; `;` as RFC 2253 section 4 had it.
        for part in split(text, &[',', ';']) {
            let pairs: Option<Part> = split(part, &['+']).into_iter().map(pair).collect();
            let mut pairs = pairs?;
            pairs.sort_unstable();
            parts.push(pairs);
        }
        Some(Dn(parts))
    }

    /// Whether it is this entry or one below it.
    pub fn is_within(&self, base: &Dn) -> bool {
        self.0.ends_with(&base.0)
    }

    /// How many relative names it is made of: one more than the entry that it is directly below.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// The one spelling that all spellings of this name have: for comparing, and never sent.
    pub fn key(&self) -> String {
        let mut key = String::new();
        for part in &self.0 {
            for (at, (kind, value)) in part.iter().enumerate() {
                let between = match (key.is_empty(), at) {
                    (true, _) => "",
                    (false, 0) => ",",
                    (false, _) => "+",
                };
                let _ = write!(key, "{between}{kind}={}", escaped(value));
            }
        }
        key
    }
}

/// Whether one text is the name of this entry or of one below it; what is no name is nowhere.
pub fn is_within(name: &str, base: &str) -> bool {
    match (Dn::parse(name), Dn::parse(base)) {
        (Some(name), Some(base)) => name.is_within(&base),
        _ => false,
    }
}

/// Whether both are names of one entry.
pub fn is_same(one: &str, other: &str) -> bool {
    let one = Dn::parse(one);
    one.is_some() && one == Dn::parse(other)
}

/// A value as it stands in a name. RFC 4514 section 2.4.
pub fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', c]),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// What is between these characters where no backslash is before them.
fn split<'a>(text: &'a str, at: &[char]) -> Vec<&'a str> {
    let (mut found, mut begin, mut is_escaped) = (Vec::new(), 0, false);
    for (index, c) in text.char_indices() {
        if !is_escaped && at.contains(&c) {
            found.push(&text[begin..index]);
            begin = index + c.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    found.push(&text[begin..]);
    found
}

fn pair(text: &str) -> Option<(String, String)> {
    let (kind, value) = text.split_once('=')?;
    let kind = kind.trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if kind.is_empty() || !kind.chars().all(allowed) {
        return None;
    }
    Some((short_name(kind), folded(&unescaped(value)?)))
}

/// The name that a type is known by here (RFC 4514 section 3, RFC 4519).
pub fn short_name(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    let known = match kind.as_str() {
        "2.5.4.3" | "commonname" => "cn",
        "2.5.4.4" | "surname" => "sn",
        "2.5.4.6" | "countryname" => "c",
        "2.5.4.7" | "localityname" => "l",
        "2.5.4.8" | "stateorprovincename" => "st",
        "2.5.4.9" | "streetaddress" => "street",
        "2.5.4.10" | "organizationname" => "o",
        "2.5.4.11" | "organizationalunitname" => "ou",
        "0.9.2342.19200300.100.1.1" | "userid" => "uid",
        "0.9.2342.19200300.100.1.25" | "domaincomponent" => "dc",
        _ => return kind,
    };
    known.to_owned()
}

/// Escapes undone; spaces around a value that are not escaped are none of it (RFC 2253 section 4).
fn unescaped(value: &str) -> Option<String> {
    let value = value.trim_start_matches(' ');
    let mut bytes = Vec::with_capacity(value.len());
    let (mut rest, mut kept) = (value.as_bytes(), 0);
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            if *first != b' ' {
                kept = bytes.len();
            }
            continue;
        }
        let (next, behind) = rest.split_first()?;
        let pair = rest
            .get(..2)
            .filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        match pair.and_then(|pair| std::str::from_utf8(pair).ok()) {
            Some(digits) => {
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            None => {
                bytes.push(*next);
                rest = behind;
            }
        }
        kept = bytes.len();
    }
    bytes.truncate(kept);
    String::from_utf8(bytes).ok()
}

/// RFC 4518 sections 2.2, 2.3 and 2.6.1, as far as names need them: neither case nor the form of characters counts, and a run of
/// spaces is one.
fn folded(value: &str) -> String {
    let value: String = value.nfkc().collect();
    let mut out = String::with_capacity(value.len());
    for word in value.split([' ', '\t']).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_name_has_many_spellings() {
        let key = |text: &str| Dn::parse(text).expect("a name").key();
        for (one, other) in [
            ("uid=juliet,dc=verona", "UID=Juliet, DC=Verona"),
            (
                "ou=people,dc=a",
                "2.5.4.11=people,0.9.2342.19200300.100.1.25=a",
            ),
            ("cn=Doe\\, John,dc=a", "cn=Doe\\2C  john,dc=a"),
            ("cn=a+uid=b,dc=a", "uid=b+cn=a,dc=a"),
            ("cn=Lu\\C4\\8Di\\C4\\87", "cn=Lučić"),
            ("cn=\\ a\\ ", "cn=a"),
            ("cn=ÄRGER", "cn=ärger"),
            // A directory and its clients may write an accent apart.
            ("cn=A\u{308}rger", "cn=ärger"),
            ("cn=a\u{a0}b\u{2003}c", "cn=A b C"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        for (one, other) in [
            ("uid=juliet,dc=a", "uid=juliet,dc=b"),
            ("cn=a,ou=b", "cn=a\\,ou=b"),
            ("cn=a+ou=b", "cn=a,ou=b"),
            ("cn=a", "sn=a"),
        ] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_within_is_below_by_whole_parts() {
        let base = "ou=people,dc=verona,dc=example";
        for inside in [
            base,
            "uid=juliet,OU=People, dc=verona,dc=example",
            "uid=x,ou=guests,ou=people,dc=Verona,dc=example",
        ] {
            assert!(is_within(inside, base), "{inside}");
        }
        for outside in [
            "",
            "dc=verona,dc=example",
            "uid=x,dc=mantua,dc=example",
            // It ends in the same letters.
            "uid=x\\,ou=people,dc=verona,dc=example",
            "uid=x,xou=people,dc=verona,dc=example",
            "uid=x,ou=people,dc=verona,dc=example,dc=evil",
            "no name",
            "cn=a\\",
        ] {
            assert!(!is_within(outside, base), "{outside}");
        }
        assert!(is_within("dc=a", ""), "everything is below the root");
    }

    #[test]
    fn values_are_written_so_that_they_are_read() {
        assert_eq!(escaped("#1, the \"best\" "), "\\#1\\, the \\\"best\\\"\\ ");
    }

    proptest! {
        #[test]
        fn any_value_survives_being_written(value in "[^\u{a0}]{0,20}", text in ".{0,40}") {
            let name = Dn::parse(&format!("cn={},dc=a", escaped(&value))).expect("a name");
            prop_assert_eq!(&name.0[0][0].1, &folded(&value));
            prop_assert_eq!(name.0.len(), 2);
            // What is no name is no reason to end.
            Dn::parse(&text);
        }
    }
}
