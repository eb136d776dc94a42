//! What a server says of a content that it keeps us up to date of (RFC 4533), read from its BER. Refuses to know what the
//! content is of.

use lber::structure::StructureTag;

use super::ber::{Entry, children, text};
use super::error::DirectoryError;
use crate::base::limits;

/// Something that was said, and the state of the content after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncMessage {
    /// What we show the next time, so that we hear only of what is new.
    pub cookie: Option<Vec<u8>>,
    pub word: SyncWord,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncWord {
    /// An entry, by what no other ever has.
    Entry {
        state: EntryState,
        id: Vec<u8>,
        entry: Entry,
    },
    /// These entries are as they were.
    Present(Vec<Vec<u8>>),
    /// These are not there any more.
    Gone(Vec<Vec<u8>>),
    /// A phase of the refresh is over.
    PhaseEnds {
        /// Of what is there we have heard everything: what we have not heard of is not there.
        are_others_gone: bool,
        /// So is the refresh.
        is_refreshed: bool,
    },
    /// Nothing but the state.
    Nothing,
}

/// What is the matter with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    Present,
    /// It is new, or was changed.
    Is,
    Gone,
}

/// An entry with its `syncStateValue ::= SEQUENCE { state ENUMERATED { present (0), add (1), modify (2), delete (3) },
/// entryUUID syncUUID, cookie syncCookie OPTIONAL }` (section 2.3).
///
/// # Errors
/// `Garbled`.
pub fn entry(entry: Entry, state: &[u8]) -> Result<SyncMessage, DirectoryError> {
    let mut parts = children(whole(state)?)?.into_iter();
    let state = match octets(parts.next())?.as_slice() {
        [0] => EntryState::Present,
        [1 | 2] => EntryState::Is,
        [3] => EntryState::Gone,
        _ => return Err(DirectoryError::Garbled),
    };
    let id = id(parts.next())?;
    let cookie = parts.next().map(cookie).transpose()?;
    let word = SyncWord::Entry { state, id, entry };
    Ok(SyncMessage { cookie, word })
}

/// `syncDoneValue ::= SEQUENCE { cookie syncCookie OPTIONAL, refreshDeletes BOOLEAN DEFAULT FALSE }` (section 2.4).
///
/// # Errors
/// `Garbled`.
pub fn done(value: &[u8]) -> Result<SyncMessage, DirectoryError> {
    let parts = Parts::read(whole(value)?, false)?;
    Ok(SyncMessage {
        cookie: parts.cookie,
        word: SyncWord::PhaseEnds {
            are_others_gone: !parts.flag,
            is_refreshed: true,
        },
    })
}

/// An intermediate response (RFC 4511 section 4.13) that is a Sync Info Message (section 2.5); none for any other.
///
/// # Errors
/// `Garbled`.
pub fn info(tag: StructureTag) -> Result<Option<SyncMessage>, DirectoryError> {
    let (mut name, mut value) = (None, None);
    for part in children(tag)? {
        match part.id {
            0 => name = Some(text(Some(part))?),
            1 => value = part.expect_primitive(),
            _ => {}
        }
    }
    if name.as_deref() != Some(SYNC_INFO) {
        return Ok(None);
    }
    let value = whole(&value.ok_or(DirectoryError::Garbled)?)?;
    let message = match value.id {
        NEW_COOKIE => SyncMessage {
            cookie: Some(cookie(value)?),
            word: SyncWord::Nothing,
        },
        kind @ (REFRESH_DELETE | REFRESH_PRESENT) => {
            let parts = Parts::read(value, true)?;
            let word = SyncWord::PhaseEnds {
                are_others_gone: kind == REFRESH_PRESENT,
                is_refreshed: parts.flag,
            };
            SyncMessage {
                cookie: parts.cookie,
                word,
            }
        }
        ID_SET => {
            let parts = Parts::read(value, false)?;
            SyncMessage {
                cookie: parts.cookie,
                word: match parts.flag {
                    true => SyncWord::Gone(parts.ids),
                    false => SyncWord::Present(parts.ids),
                },
            }
        }
        _ => return Err(DirectoryError::Garbled),
    };
    Ok(Some(message))
}

/// `SEQUENCE { cookie syncCookie OPTIONAL, flag BOOLEAN DEFAULT .., syncUUIDs SET OF syncUUID }`: all of these values are
/// such, or the beginning of one.
struct Parts {
    cookie: Option<Vec<u8>>,
    flag: bool,
    ids: Vec<Vec<u8>>,
}

impl Parts {
    fn read(tag: StructureTag, default: bool) -> Result<Parts, DirectoryError> {
        let mut parts = Parts {
            cookie: None,
            flag: default,
            ids: Vec::new(),
        };
        for part in children(tag)? {
            match part.id {
                OCTET_STRING => parts.cookie = Some(cookie(part)?),
                BOOLEAN => parts.flag = octets(Some(part))?.iter().any(|byte| *byte != 0),
                SET => {
                    let ids = children(part)?.into_iter().map(|tag| id(Some(tag)));
                    parts.ids = ids.collect::<Result<_, _>>()?;
                }
                _ => return Err(DirectoryError::Garbled),
            }
        }
        Ok(parts)
    }
}

/// One element, and nothing behind it.
fn whole(bytes: &[u8]) -> Result<StructureTag, DirectoryError> {
    match lber::parse::parse_tag(bytes) {
        Ok(([], tag)) => Ok(tag),
        _ => Err(DirectoryError::Garbled),
    }
}

fn octets(tag: Option<StructureTag>) -> Result<Vec<u8>, DirectoryError> {
    let bytes = tag.and_then(StructureTag::expect_primitive);
    bytes.ok_or(DirectoryError::Garbled)
}

/// Section 2.1.1: `syncUUID ::= OCTET STRING (SIZE(16))`.
fn id(tag: Option<StructureTag>) -> Result<Vec<u8>, DirectoryError> {
    let id = octets(tag)?;
    match id.len() {
        16 => Ok(id),
        _ => Err(DirectoryError::Garbled),
    }
}

fn cookie(tag: StructureTag) -> Result<Vec<u8>, DirectoryError> {
    let cookie = octets(Some(tag))?;
    match cookie.len() <= limits::DIRECTORY_COOKIE_BYTES_MAX {
        true => Ok(cookie),
        false => Err(DirectoryError::TooMuch),
    }
}

const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";
const NEW_COOKIE: u64 = 0;
const REFRESH_DELETE: u64 = 1;
const REFRESH_PRESENT: u64 = 2;
const ID_SET: u64 = 3;
const BOOLEAN: u64 = 1;
const OCTET_STRING: u64 = 4;
const SET: u64 = 17;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(value: &[u8]) -> Vec<u8> {
        let name = SYNC_INFO.as_bytes();
        let mut bytes = vec![0x80, name.len() as u8];
        bytes.extend(name);
        bytes.extend([0x81, value.len() as u8]);
        bytes.extend(value);
        let mut whole = vec![0x79, bytes.len() as u8];
        whole.extend(bytes);
        whole
    }

    fn heard(value: &[u8]) -> Result<Option<SyncMessage>, DirectoryError> {
        info(whole(&message(value)).unwrap())
    }

    #[test]
    fn sync_info_messages_of_all_kinds_are_read() {
        let ends = |are_others_gone, is_refreshed| SyncWord::PhaseEnds {
            are_others_gone,
            is_refreshed,
        };
        let mut set = vec![0xa3, 23, 1, 1, 0xff, 0x31, 18, 4, 16];
        set.extend([7; 16]);
        for (value, cookie, word) in [
            (&[0x80, 1, b'c'][..], Some(b"c".to_vec()), SyncWord::Nothing),
            (
                &[0xa1, 3, 4, 1, b'c'],
                Some(b"c".to_vec()),
                ends(false, true),
            ),
            (&[0xa2, 3, 1, 1, 0], None, ends(true, false)),
            (&[0xa2, 0], None, ends(true, true)),
            (&set, None, SyncWord::Gone(vec![vec![7; 16]])),
            (&[0xa3, 2, 0x31, 0], None, SyncWord::Present(Vec::new())),
        ] {
            assert_eq!(heard(value), Ok(Some(SyncMessage { cookie, word })));
        }
        for wrong in [
            &[0x84, 0][..],
            &[0x30],
            &[0xa3, 5, 0x31, 3, 4, 1, 7],
            &[0xa2, 2, 2, 0],
        ] {
            assert_eq!(heard(wrong), Err(DirectoryError::Garbled), "{wrong:x?}");
        }
        // Of something else we know nothing.
        assert_eq!(info(whole(&[0x79, 3, 0x80, 1, b'1']).unwrap()), Ok(None));
    }

    #[test]
    fn states_of_entries_and_the_end_are_read() {
        let mut value = vec![0x30, 21, 10, 1, 2, 4, 16];
        value.extend([7; 16]);
        let found = entry(Entry::default(), &value).unwrap();
        assert!(matches!(
            found.word,
            SyncWord::Entry {
                state: EntryState::Is,
                ..
            }
        ));
        assert_eq!(
            entry(Entry::default(), &value[..6]),
            Err(DirectoryError::Garbled)
        );
        value[4] = 4;
        assert_eq!(
            entry(Entry::default(), &value),
            Err(DirectoryError::Garbled)
        );
        let end = done(&[0x30, 3, 1, 1, 0xff]).unwrap();
        let expected = SyncWord::PhaseEnds {
            are_others_gone: false,
            is_refreshed: true,
        };
        assert_eq!(end.word, expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..6_u8, Just(0xa3), Just(0x31)], 0..60),
        ) {
            // Any answer will do.
            let _ = heard(&bytes);
            let _ = done(&bytes);
            let _ = entry(Entry::default(), &bytes);
        }
    }
}
