//! How a message is archived: one row for itself, and one for the contact with whom it was exchanged. What its words are
//! found by is written when somebody searches (`words.rs`).

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::actor::rows::{Durability, Export, Pick, Row, RowKey, RowRange, Slices, Table, Write};
use crate::base::{AccountId, Seal, Sequence, limits};
use crate::im::archive::{ArchiveId, Term};
use crate::jid::Jid;
use crate::stanza::{Payload, Stanza, ns, read_stored, stamp};
use crate::xml::{Writer, escape_attribute};

pub use crate::im::archive::ARCHIVE;

/// What archived messages are found by. The value of a contact's posting tells the resource and the message's own
/// id; those of words, and of the name that its sender gave a message, are empty.
pub static INDEX: Table = Table {
    name: "archive-index",
    durability: Durability::Soon,
    export: Export::Derived,
    slices: Slices::Monthly { number_at: 16 },
    about: "Index of archived messages, kept apart by month; key: account id, digest of contact, own id or word, number by time",
};

/// An archived message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived<'a> {
    pub id: ArchiveId,
    /// The message in normal form, standing on its own.
    pub xml: &'a str,
}

/// One entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub number: u64,
    /// The contact's full JID, and the sender's name for the message; none of a word.
    pub details: Option<(Term, Term)>,
}

impl<'a> Archived<'a> {
    /// The message in a row; none if that is damaged.
    pub fn read(row: &'a Row) -> Option<Archived<'a>> {
        let number = number_at(&row.key, 8)?;
        let (&version, rest) = row.value.split_first()?;
        let (tag, xml) = rest.split_first_chunk::<8>()?;
        let tag = u64::from_be_bytes(*tag);
        (version == ROW_VERSION).then_some(Archived {
            id: ArchiveId { number, tag },
            xml: std::str::from_utf8(xml).ok()?,
        })
    }

    /// As a stanza; none if the row is damaged.
    pub fn stanza(&self) -> Option<Stanza> {
        read_stored(self.xml)
    }

    /// Whether it was retracted (XEP-0424).
    pub fn is_tombstone(&self) -> bool {
        let stanza = self.stanza();
        stanza.is_some_and(|stanza| stanza.payload.has(ns::RETRACT, "retracted"))
    }

    /// When it came, in milliseconds of the wall clock.
    pub fn wall_ms(&self) -> u64 {
        Sequence::wall_ms_of(self.id.number)
    }
}

impl Posting {
    /// The posting in a row of [`INDEX`]; none if that is damaged.
    pub fn read(row: &Row) -> Option<Posting> {
        let number = number_at(&row.key, 16)?;
        let details = match row.value.len() {
            0 => None,
            _ => {
                let (full, rest) = row.value.split_first_chunk::<8>()?;
                Some((Term(*full), Term(rest.try_into().ok()?)))
            }
        };
        Some(Posting { number, details })
    }
}

/// What archives a message.
pub struct Archiving {
    pub writes: SmallVec<[Write; 3]>,
    /// Of the message's row.
    pub bytes: u64,
}

impl IntoIterator for Archiving {
    type Item = Write;
    type IntoIter = smallvec::IntoIter<[Write; 3]>;

    fn into_iter(self) -> Self::IntoIter {
        self.writes.into_iter()
    }
}

/// The writes that archive a message exchanged with `contact`.
pub fn put(account: AccountId, id: ArchiveId, stanza: &Stanza, contact: &Jid) -> Archiving {
    let mut value = Vec::with_capacity(stanza.charge() + 64);
    value.push(ROW_VERSION);
    value.extend_from_slice(&id.tag.to_be_bytes());
    stanza.write_standalone(&mut value);
    let bytes = value.len() as u64;
    let message = Write::Put {
        table: &ARCHIVE,
        key: key(account, id.number),
        value: value.into(),
    };
    let own_id = name_of(stanza);
    let full = Term::full_jid(contact.as_str());
    let mut details = [0; 16];
    details[..8].copy_from_slice(&full.0);
    details[8..].copy_from_slice(&own_id.unwrap_or(Term([0; 8])).0);
    let posting = Write::Put {
        table: &INDEX,
        key: index_key(account, Term::contact(contact.bare_str()), id.number),
        value: details[..].into(),
    };
    let mut writes = smallvec![message, posting];
    writes.extend(own_id.map(|own_id| Write::Put {
        table: &INDEX,
        key: index_key(account, own_id, id.number),
        value: Arc::from([]),
    }));
    Archiving { writes, bytes }
}

/// By which a retraction finds a message: what its sender calls it. What has no name cannot be retracted.
fn name_of(stanza: &Stanza) -> Option<Term> {
    let id = stanza.header.id.as_deref()?;
    Some(Term::message_id(sender_of(stanza), id))
}

/// The newest message that the sender of `stanza` calls so, if it is here.
pub fn named(account: AccountId, stanza: &Stanza, id: &str) -> Pick {
    Pick::Last(RowRange {
        count_max: 1,
        ..postings(
            account,
            Term::message_id(sender_of(stanza), id),
            0,
            u64::MAX,
        )
    })
}

/// XEP-0424 section 5: "from the same bare-JID (in a one-on-one conversation) or full-JID (in a non-anonymous MUC ...)". A
/// private message between occupants of a room says that it is one (XEP-0045 section 7.5), and the bare JID is the
/// whole room's.
fn sender_of(stanza: &Stanza) -> &str {
    let sender = stanza.header.from.as_ref();
    let sender = match stanza.payload.has(ns::MUC_USER, "x") {
        true => sender.map(Jid::as_str),
        false => sender.map(Jid::bare_str),
    };
    sender.unwrap_or_default()
}

/// The writes by which a message is found by its words.
pub(super) fn put_words(
    account: AccountId,
    of: &Archived<'_>,
) -> impl Iterator<Item = Write> + use<> {
    let number = of.id.number;
    let terms = of.stanza().map(|stanza| terms_of(&stanza));
    let nothing: Arc<[u8]> = Arc::from([]);
    terms.into_iter().flatten().map(move |term| Write::Put {
        table: &INDEX,
        key: index_key(account, term, number),
        value: nothing.clone(),
    })
}

/// The writes that put in place of a message the notice that it was retracted (XEP-0424 section 4): its id and
/// addresses stay, its words are found no more. With them, how many bytes the message's row has then; none if it cannot
/// be read.
pub fn tombstone(
    account: AccountId,
    of: &Archived<'_>,
    retraction_id: &str,
    now_ms: u64,
) -> Option<(Vec<Write>, u64)> {
    let mut stanza = of.stanza()?;
    let words = terms_of(&stanza);
    let mut writes: Vec<Write> = words
        .map(|term| Write::Delete {
            table: &INDEX,
            key: index_key(account, term, of.id.number),
        })
        .collect();
    // "a <retracted/> element which MUST include an 'id' attribute that's set to the value of the retraction's
    // <message/> element's 'id' attribute", and "SHOULD also include a 'stamp'".
    let mut writer = Writer::new();
    writer
        .open("retracted", Some(ns::RETRACT))
        .attribute("id", retraction_id)
        .attribute("stamp", &stamp(now_ms));
    // Who said it to whom stays, and so does that it was said in a room.
    let room = stanza.payload.child(ns::MUC_USER, "x");
    let room = room.map_or_else(String::new, |x| x.raw().to_owned());
    stanza.payload = Payload::from_normal(&(writer.finish() + &room));
    let mut value = vec![ROW_VERSION];
    value.extend_from_slice(&of.id.tag.to_be_bytes());
    stanza.write_standalone(&mut value);
    let bytes = value.len() as u64;
    // Whoever removes the message meanwhile has the last word.
    writes.push(Write::Replace {
        table: &ARCHIVE,
        key: key(account, of.id.number),
        value: value.into(),
    });
    Some((writes, bytes))
}

/// The writes that remove a row and what it is found by.
pub fn erase(account: AccountId, row: &Row, own: &Jid) -> Vec<Write> {
    let mut writes = vec![Write::Delete {
        table: &ARCHIVE,
        key: row.key.clone(),
    }];
    let archived = Archived::read(row);
    if let Some((id, stanza)) = archived.and_then(|found| Some((found.id, found.stanza()?))) {
        let header = &stanza.header;
        let is_own = |jid: &&Jid| jid.bare_str() == own.bare_str();
        // Of a message to oneself both are one's own.
        let contact = [&header.from, &header.to].into_iter().flatten();
        let contact = contact.clone().find(|jid| !is_own(jid)).unwrap_or(own);
        let contact = Term::contact(contact.bare_str());
        writes.extend(
            terms_of(&stanza)
                .chain([contact])
                .chain(name_of(&stanza))
                .map(|term| Write::Delete {
                    table: &INDEX,
                    key: index_key(account, term, id.number),
                }),
        );
    }
    writes
}

/// The words of a message that anybody could read.
fn terms_of(stanza: &Stanza) -> impl Iterator<Item = Term> + use<> {
    let payload = &stanza.payload;
    // What stands in the body of an encrypted message is an excuse.
    let is_encrypted = payload.names().any(|(ns, _)| {
        matches!(
            ns,
            ns::EME | ns::OMEMO | ns::OMEMO_LEGACY | ns::OPENPGP | ns::PGP_ENCRYPTED
        )
    });
    let mut text = String::new();
    if !is_encrypted {
        // RFC 6121 section 5.2.3: "Multiple instances of the <body/> element MAY be included", one for each language.
        let bodies = payload
            .children()
            .filter(|child| child.is(ns::CLIENT, "body"));
        for body in bodies {
            if text.len() >= limits::ARCHIVE_TEXT_BYTES_MAX {
                break;
            }
            text.push_str(&body.text());
            text.push('\n');
        }
    }
    Term::words(&text).into_iter()
}

/// The key of a message.
pub fn key(account: AccountId, number: u64) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(&number.to_be_bytes())
}

pub(super) fn index_key(account: AccountId, term: Term, number: u64) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
        .then(&term.0)
        .then(&number.to_be_bytes())
}

/// Messages numbered from `from` to before `to`.
pub fn range(account: AccountId, from: u64, to: u64) -> RowRange {
    RowRange {
        from: key(account, from),
        to: key(account, to),
        count_max: usize::MAX,
        bytes_max: limits::ASIDE_STEP_BYTES_MAX,
    }
}

/// Entries of the index under one term.
pub fn postings(account: AccountId, term: Term, from: u64, to: u64) -> RowRange {
    RowRange {
        from: index_key(account, term, from),
        to: index_key(account, term, to),
        count_max: usize::MAX,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// `<stanza-id/>` (XEP-0359) of a message in the archive of `by`, in normal form.
pub fn stanza_id(by: &Jid, id: ArchiveId, seal: &Seal) -> String {
    let id = id.text(seal);
    let mut xml = format!("<stanza-id xmlns='{}' id='{id}' by='", ns::STANZA_ID).into_bytes();
    escape_attribute(by.bare_str(), &mut xml);
    xml.extend_from_slice(b"'/>");
    String::from_utf8(xml).expect("written from strings and ASCII only")
}

/// The number in a message's key; none if it is another table's.
pub fn number_of(key: &RowKey) -> Option<u64> {
    number_at(key, 8)
}

fn number_at(key: &RowKey, at: usize) -> Option<u64> {
    let bytes = key.as_bytes().get(at..)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

const ROW_VERSION: u8 = 1;
