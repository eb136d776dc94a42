//! What a directory sends, read from its BER (RFC 4511) without trusting a byte of it. Refuses to know what an
//! attribute is for.

use lber::structure::StructureTag;
use zeroize::Zeroize;

use super::dn::Dn;
use super::error::DirectoryError;
use super::rooms::ROOM_PASSWORD;
use crate::base::limits;

// A build without the bounds of `src/vendor/lber` fails here: what a directory sends could end the whole process.
const _: () = assert!(limits::DIRECTORY_ENTRY_BYTES_MAX < lber::parse::LENGTH_MAX);
const _: () = assert!(lber::parse::DEPTH_MAX <= 16);

/// An entry: its name and the attributes that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    pub dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

/// Keys of SCRAM are as good as a password to who would be the server, and rooms have passwords: they are not left where
/// somebody else's memory was.
impl Drop for Entry {
    fn drop(&mut self) {
        for (name, values) in &mut self.attributes {
            let is_secret = name.eq_ignore_ascii_case(ROOM_PASSWORD);
            let secrets = values.iter_mut().filter(|it| is_secret || is_key(it));
            secrets.for_each(wipe);
        }
    }
}

fn wipe(value: &mut Vec<u8>) {
    value.zeroize();
    #[cfg(test)]
    tests::WIPED.with_borrow_mut(|wiped| wiped.push(value.is_empty()));
}

/// By what all of them begin with (RFC 5803 section 2), whatever the attribute is called.
fn is_key(value: &[u8]) -> bool {
    value.trim_ascii_start().starts_with(b"SCRAM-")
}

impl Entry {
    /// RFC 4511 section 4.5.2: `SearchResultEntry ::= [APPLICATION 4] SEQUENCE { objectName LDAPDN, attributes
    /// PartialAttributeList }`.
    ///
    /// # Errors
    /// `Garbled` for anything else, `TooMuch` for more than [`limits::DIRECTORY_ENTRY_BYTES_MAX`].
    pub fn read(tag: StructureTag) -> Result<Entry, DirectoryError> {
        let mut parts = children(tag)?.into_iter();
        let dn = text(parts.next())?;
        let listed = children(parts.next().ok_or(DirectoryError::Garbled)?)?;
        let mut bytes = dn.len();
        // What is read and not wanted goes as an entry does.
        let mut entry = Entry {
            dn,
            attributes: Vec::with_capacity(listed.len()),
        };
        for attribute in listed {
            let mut parts = children(attribute)?.into_iter();
            let name = text(parts.next())?;
            let values = children(parts.next().ok_or(DirectoryError::Garbled)?)?;
            let values: Option<Vec<Vec<u8>>> = values
                .into_iter()
                .map(StructureTag::expect_primitive)
                .collect();
            let mut values = values.ok_or(DirectoryError::Garbled)?;
            values.truncate(limits::DIRECTORY_VALUES_MAX);
            bytes += name.len() + values.iter().map(Vec::len).sum::<usize>();
            if bytes > limits::DIRECTORY_ENTRY_BYTES_MAX {
                return Err(DirectoryError::TooMuch);
            }
            entry.attributes.push((name, values));
        }
        Ok(entry)
    }

    /// One that says this.
    #[cfg(test)]
    pub fn of(dn: &str, attributes: &[(&str, &[&[u8]])]) -> Entry {
        let owned = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| value.to_vec());
            ((*name).to_owned(), values.collect())
        });
        Entry {
            dn: dn.to_owned(),
            attributes: owned.collect(),
        }
    }

    /// Whether it is this entry or one below it.
    pub fn is_within(&self, base: &Dn) -> bool {
        Dn::parse(&self.dn).is_some_and(|dn| dn.is_within(base))
    }

    /// The values of an attribute, whose name is compared without case and without options (RFC 4512 section 2.5).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let plain = |name: &'a str| name.split(';').next().unwrap_or_default();
        let found = self.attributes.iter();
        let found = found.filter(move |(known, _)| plain(known).eq_ignore_ascii_case(plain(name)));
        found.flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// Those of them that are text.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Takes over what was read besides of the same entry.
    pub fn absorb(&mut self, mut other: Entry) {
        self.attributes.append(&mut other.attributes);
    }

    /// Forgets an attribute.
    pub fn remove(&mut self, name: &str) {
        self.attributes
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// What it holds, with what keeping each value costs.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, values)| {
            let values = values
                .iter()
                .map(|value| value.len() + size_of::<Vec<u8>>());
            name.len() + values.sum::<usize>()
        });
        self.dn.len() + attributes.sum::<usize>()
    }

    /// Name and number of values of each attribute: what an operator is shown.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.attributes
            .iter()
            .map(|(name, values)| (name.as_str(), values.len()))
    }
}

/// The addresses in a `SearchResultReference` (RFC 4511 section 4.5.3).
///
/// # Errors
/// `Garbled`.
pub fn references(tag: StructureTag) -> Result<Vec<String>, DirectoryError> {
    children(tag)?
        .into_iter()
        .map(|tag| text(Some(tag)))
        .collect()
}

/// What a page of results ends with, to ask for the next (RFC 2696 section 2): `realSearchControlValue ::= SEQUENCE { size
/// INTEGER, cookie OCTET STRING }`; empty for the last.
///
/// # Errors
/// `Garbled`, `TooMuch`.
pub fn page_cookie(value: &[u8]) -> Result<Vec<u8>, DirectoryError> {
    let Ok(([], tag)) = lber::parse::parse_tag(value) else {
        return Err(DirectoryError::Garbled);
    };
    let cookie = children(tag)?.into_iter().nth(1);
    let cookie = cookie.and_then(StructureTag::expect_primitive);
    match cookie {
        Some(cookie) if cookie.len() > limits::DIRECTORY_COOKIE_BYTES_MAX => {
            Err(DirectoryError::TooMuch)
        }
        Some(cookie) => Ok(cookie),
        None => Err(DirectoryError::Garbled),
    }
}

/// What a password policy says beside the answer to a bind (draft-behera-ldap-password-policy-10 section 6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyWords {
    /// Seconds until the password expires.
    pub expires_in_s: Option<u64>,
    /// Logins that are left with a password that has expired.
    pub grace_logins: Option<u64>,
    /// The number of an error.
    pub error: Option<u64>,
}

impl PolicyWords {
    /// `PasswordPolicyResponseValue ::= SEQUENCE { warning [0] CHOICE { timeBeforeExpiration [0] INTEGER,
    /// graceAuthNsRemaining [1] INTEGER } OPTIONAL, error [1] ENUMERATED OPTIONAL }`. What is none says nothing.
    pub fn read(value: &[u8]) -> PolicyWords {
        let mut words = PolicyWords::default();
        let Ok((_, tag)) = lber::parse::parse_tag(value) else {
            return words;
        };
        for part in tag.expect_constructed().unwrap_or_default() {
            match part.id {
                0 => {
                    let warning = part.expect_constructed().unwrap_or_default();
                    for warning in warning {
                        match warning.id {
                            0 => words.expires_in_s = number(warning),
                            1 => words.grace_logins = number(warning),
                            _ => {}
                        }
                    }
                }
                1 => words.error = number(part),
                _ => {}
            }
        }
        words
    }
}

pub(super) fn children(tag: StructureTag) -> Result<Vec<StructureTag>, DirectoryError> {
    tag.expect_constructed().ok_or(DirectoryError::Garbled)
}

pub(super) fn text(tag: Option<StructureTag>) -> Result<String, DirectoryError> {
    let bytes = tag.and_then(StructureTag::expect_primitive);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or(DirectoryError::Garbled)
}

/// A number that is not negative and fits.
fn number(tag: StructureTag) -> Option<u64> {
    let bytes = tag.expect_primitive()?;
    let fits = !bytes.is_empty() && bytes.len() <= 8 && bytes[0] < 0x80;
    fits.then(|| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use lber::common::TagClass;
    use lber::structure::PL;
    use proptest::prelude::*;

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag {
            class: TagClass::Universal,
            id,
            payload,
        }
    }

    fn octets(value: &[u8]) -> StructureTag {
        tag(4, PL::P(value.to_vec()))
    }

    fn entry(attributes: &[(&str, &[&[u8]])]) -> StructureTag {
        let listed = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| octets(value)).collect();
            tag(
                16,
                PL::C(vec![octets(name.as_bytes()), tag(17, PL::C(values))]),
            )
        });
        let listed = tag(16, PL::C(listed.collect()));
        tag(4, PL::C(vec![octets(b"uid=juliet,dc=a"), listed]))
    }

    thread_local! {
        /// Of each value that was to be wiped, whether it was.
        pub(super) static WIPED: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn an_entry_that_goes_leaves_no_key_of_scram_and_no_password_of_a_room_behind() {
        let key: &[u8] = b"SCRAM-SHA-256$4096:c2FsdA==$a2V5:a2V5";
        let spaced: &[u8] = b" SCRAM-SHA-1$4096:c2FsdA==$a2V5:a2V5";
        let entry = Entry::of(
            "cn=a",
            &[("cn", &[&b"a"[..]]), ("authPassword", &[key, spaced])],
        );
        let wiped = || WIPED.take();
        drop(entry.clone());
        assert_eq!(wiped(), [true, true]);
        // What is taken over from another is wiped once, with what it belongs to then.
        let mut whole = Entry::of("cn=a", &[]);
        whole.absorb(entry);
        assert!(wiped().is_empty());
        drop(whole);
        assert_eq!(wiped(), [true, true]);
        drop(Entry::of(
            "cn=a",
            &[
                ("cn", &[&b"a"[..]]),
                ("STONECHATroomPassword", &[b"pax", b"pax et bonum"]),
            ],
        ));
        assert_eq!(wiped(), [true, true]);
    }

    #[test]
    fn attributes_are_found_whatever_the_case_and_the_options_of_their_names() {
        let read = Entry::read(entry(&[
            ("UID", &[b"juliet", b"\xff"]),
            ("userCertificate;binary", &[b"\x30"]),
        ]))
        .unwrap();
        assert_eq!(read.dn, "uid=juliet,dc=a");
        assert_eq!(read.texts("uid").collect::<Vec<_>>(), ["juliet"]);
        assert_eq!(read.values("uid").count(), 2);
        assert_eq!(read.values("usercertificate").count(), 1);
        assert_eq!(read.values("mail").count(), 0);
    }

    #[test]
    fn what_is_no_entry_and_what_is_too_large_is_an_error() {
        for wrong in [
            octets(b"x"),
            tag(4, PL::C(Vec::new())),
            tag(4, PL::C(vec![octets(b"dc=a")])),
            tag(4, PL::C(vec![octets(b"\xff"), tag(16, PL::C(Vec::new()))])),
            tag(4, PL::C(vec![octets(b"dc=a"), octets(b"x")])),
            tag(
                4,
                PL::C(vec![octets(b"dc=a"), tag(16, PL::C(vec![octets(b"x")]))]),
            ),
        ] {
            assert_eq!(Entry::read(wrong), Err(DirectoryError::Garbled));
        }
        let huge = vec![0; limits::DIRECTORY_ENTRY_BYTES_MAX];
        let huge = Entry::read(entry(&[("photo", &[&huge])]));
        assert_eq!(huge, Err(DirectoryError::TooMuch));
    }

    #[test]
    fn a_policy_speaks_of_expiry_grace_and_errors() {
        // Locked: SEQUENCE { [1] 01 }.
        let words = PolicyWords::read(&[0x30, 3, 0x81, 1, 1]);
        assert_eq!(words.error, Some(1));
        // A day is left: SEQUENCE { [0] { [0] 86400 } }.
        let words = PolicyWords::read(&[0x30, 7, 0xa0, 5, 0x80, 3, 1, 0x51, 0x80]);
        assert_eq!(words.expires_in_s, Some(86_400));
        let words = PolicyWords::read(&[0x30, 5, 0xa0, 3, 0x81, 1, 2]);
        assert_eq!(words.grace_logins, Some(2));
        assert_eq!(PolicyWords::read(&[0x30, 0]), PolicyWords::default());
    }

    /// Elements in one another, each with a length of four bytes.
    fn nested(depth: u32) -> Vec<u8> {
        let heads = (0..depth).flat_map(|level| {
            let [a, b, c, d] = ((depth - 1 - level) * 6).to_be_bytes();
            [0x30, 0x84, a, b, c, d]
        });
        heads.collect()
    }

    fn is_refused(bytes: &[u8]) -> bool {
        matches!(lber::parse::parse_tag(bytes), Err(lber::Err::Failure(_)))
    }

    #[test]
    fn what_is_too_deep_too_long_or_too_much_is_refused_by_its_head() {
        assert!(lber::parse::parse_tag(&nested(16)).is_ok());
        assert!(is_refused(&nested(17)));
        assert!(is_refused(&nested(1_000_000)));
        // Two gigabytes, of which nothing has come yet; a length of five bytes, and one that is indefinite.
        assert!(is_refused(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xf0]));
        assert!(is_refused(&[0x30, 0x85, 0, 0, 0, 0, 1]));
        assert!(is_refused(&[0x30, 0x80]));
        // What ends behind the end of what it is in will not be complete, whatever comes.
        assert!(is_refused(&[0x30, 3, 4, 2, 0]));
        assert!(is_refused(&[0x30, 1, 4]));
        assert!(is_refused(&[0x30, 2, 4, 0x84]));
        // Two bytes each, sixty in memory.
        let mut many = vec![0x30, 0x83, 8, 0, 0];
        many.resize(5 + 0x8_0000, 0);
        assert!(is_refused(&many));
        // What is not there yet is waited for.
        for part in [&[][..], &[0x30], &[0x30, 0x82, 1], &[0x30, 4, 4, 2, 0]] {
            let parsed = lber::parse::parse_tag(part);
            assert!(matches!(parsed, Err(lber::Err::Incomplete(_))), "{part:?}");
        }
    }

    #[test]
    fn a_page_says_what_the_next_is_asked_for_with() {
        assert_eq!(page_cookie(&[0x30, 6, 2, 1, 0, 4, 1, 7]), Ok(vec![7]));
        assert_eq!(page_cookie(&[0x30, 5, 2, 1, 0, 4, 0]), Ok(Vec::new()));
        for wrong in [&[][..], &[0x30, 3, 2, 1, 0], &[0x30, 0, 0], &[4, 0]] {
            assert_eq!(page_cookie(wrong), Err(DirectoryError::Garbled));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_an_error(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x30), Just(4), 0..8_u8], 0..200),
        ) {
            if let Ok((rest, tag)) = lber::parse::parse_tag(&bytes) {
                prop_assert!(rest.len() < bytes.len());
                // Any answer will do.
                let _ = Entry::read(tag.clone());
                let _ = references(tag);
            }
        }

        #[test]
        fn any_bytes_of_a_policy_are_words_or_silence(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            PolicyWords::read(&bytes);
        }
    }
}
