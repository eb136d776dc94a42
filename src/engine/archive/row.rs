//! How a message is archived: one row, which says what it is found by, too. The index is written later (`list.rs`).

use crate::actor::rows::{Row, RowKey, RowRange, Write};
use crate::base::{AccountId, Seal, Sequence, limits};
use crate::im::archive::{ArchiveId, ENTRY_AT, ENTRY_BYTES, Entry, Term};
use crate::jid::Jid;
use crate::stanza::{Payload, Stanza, ns, read_stored, stamp};
use crate::xml::{Writer, escape_attribute};

use super::list::{INDEX, index_key, single};
use super::term::Sought;

pub use crate::im::archive::ARCHIVE;

/// An archived message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived<'a> {
    pub id: ArchiveId,
    pub entry: Entry,
    /// The message in normal form, standing on its own.
    pub xml: &'a str,
}

impl<'a> Archived<'a> {
    /// The message in a row; none if that is damaged.
    pub fn read(row: &'a Row) -> Option<Archived<'a>> {
        let entry = Entry::read(row)?;
        let (&version, rest) = row.value.split_first()?;
        let tag = u64::from_be_bytes(*rest.first_chunk()?);
        let xml = row.value.get(ENTRY_AT + ENTRY_BYTES..)?;
        let id = ArchiveId {
            number: entry.number,
            tag,
        };
        (version == ROW_VERSION).then_some(Archived {
            id,
            entry,
            xml: std::str::from_utf8(xml).ok()?,
        })
    }

    /// As a stanza; none if the row is damaged.
    pub fn stanza(&self) -> Option<Stanza> {
        read_stored(self.xml)
    }

    /// Whether each of these phrases of a search is in its text, and it was not retracted (XEP-0424).
    pub fn says(&self, phrases: &[Box<str>]) -> bool {
        let says = |stanza: &Stanza| phrases.is_empty() || Sought::is_in(phrases, &text_of(stanza));
        match self.stanza() {
            Some(stanza) => !stanza.payload.has(ns::RETRACT, "retracted") && says(&stanza),
            None => phrases.is_empty(),
        }
    }

    /// When it came, in milliseconds of the wall clock.
    pub fn wall_ms(&self) -> u64 {
        Sequence::wall_ms_of(self.id.number)
    }
}

/// What archives a message.
pub struct Archiving {
    pub write: Write,
    /// By which it will be found, when it is indexed.
    pub entry: Entry,
    /// Of the message's row.
    pub bytes: u64,
}

/// What archives a message exchanged with a contact. Its row is written into `scratch` first.
pub fn put(
    account: AccountId,
    id: ArchiveId,
    (stanza, contact): (&Stanza, &Jid),
    scratch: &mut Vec<u8>,
) -> Archiving {
    let entry = Entry {
        number: id.number,
        contact: Term::contact(contact.bare_str()),
        full_jid: Term::full_jid(contact.as_str()),
        name: name_of(stanza).unwrap_or(Term::NONE),
    };
    scratch.clear();
    encode(id.tag, &entry, stanza, scratch);
    let bytes = scratch.len() as u64;
    let write = Write::Put {
        table: &ARCHIVE,
        key: key(account, id.number),
        value: scratch.as_slice().into(),
    };
    Archiving {
        write,
        entry,
        bytes,
    }
}

/// A row's value: a version byte, the tag, what the message is found by, the message as XML.
fn encode(tag: u64, entry: &Entry, stanza: &Stanza, value: &mut Vec<u8>) {
    begin(tag, entry, value);
    stanza.write_standalone(value);
}

/// What stands before the message.
pub(super) fn begin(tag: u64, entry: &Entry, value: &mut Vec<u8>) {
    value.push(ROW_VERSION);
    value.extend_from_slice(&tag.to_be_bytes());
    value.extend_from_slice(&entry.to_bytes());
}

/// By which a retraction finds a message: what its sender calls it. What has no name cannot be retracted.
pub(super) fn name_of(stanza: &Stanza) -> Option<Term> {
    let id = stanza.header.id.as_deref()?;
    Some(name(stanza, id))
}

/// What the sender of `stanza` calls a message by this `id`.
pub fn name(stanza: &Stanza, id: &str) -> Term {
    Term::message_id(sender_of(stanza), id)
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
    let terms = terms.into_iter().flatten();
    terms.map(move |term| single(account, term, number))
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
    let mut value = Vec::new();
    encode(of.id.tag, &of.entry, &stanza, &mut value);
    let bytes = value.len() as u64;
    // Whoever removes the message meanwhile has the last word.
    writes.push(Write::Replace {
        table: &ARCHIVE,
        key: key(account, of.id.number),
        value: value.into(),
        keeps: 0..0,
    });
    Some((writes, bytes))
}

/// The writes that remove a row and what it is found by; by words only if it is numbered before what was indexed
/// ([`super::indexed_before`]): a message has hundreds, and most archives are never searched. Lists go with the last message
/// in them: rows are removed the oldest first. Whoever removes several ends a save at [`limits::ARCHIVE_ERASE_WRITES`].
pub fn erase(account: AccountId, row: &Row, indexed_before: u64) -> Vec<Write> {
    let mut writes = vec![Write::Delete {
        table: &ARCHIVE,
        key: row.key.clone(),
    }];
    if let Some(archived) = Archived::read(row) {
        let entry = archived.entry;
        let is_indexed = entry.number < indexed_before;
        let stanza = is_indexed.then(|| archived.stanza()).flatten();
        let words = stanza.map(|stanza| terms_of(&stanza));
        let names = (entry.name != Term::NONE).then(|| Term::names_with(entry.name));
        let lists = [entry.contact].into_iter().chain(names);
        let all = words.into_iter().flatten().chain(lists);
        writes.extend(all.map(|term| Write::Delete {
            table: &INDEX,
            key: index_key(account, term, entry.number),
        }));
    }
    writes
}

/// The words of a message that anybody could read.
fn terms_of(stanza: &Stanza) -> impl Iterator<Item = Term> + use<> {
    Term::words(&text_of(stanza)).into_iter()
}

/// What anybody could read in a message.
fn text_of(stanza: &Stanza) -> String {
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
    text
}

/// The key of a message.
pub fn key(account: AccountId, number: u64) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(&number.to_be_bytes())
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

/// `<stanza-id/>` (XEP-0359) of a message in the archive of `by`, in normal form.
pub fn stanza_id(by: &Jid, id: ArchiveId, seal: &Seal) -> String {
    let (id, by) = (id.letters(seal), by.bare_str());
    let mut xml = Vec::with_capacity(64 + ns::STANZA_ID.len() + id.len() + by.len());
    xml.extend_from_slice(b"<stanza-id xmlns='");
    xml.extend_from_slice(ns::STANZA_ID.as_bytes());
    xml.extend_from_slice(b"' id='");
    xml.extend_from_slice(&id);
    xml.extend_from_slice(b"' by='");
    escape_attribute(by, &mut xml);
    xml.extend_from_slice(b"'/>");
    String::from_utf8(xml).expect("written from strings and ASCII only")
}

/// The number in a message's key; none if it is another table's.
pub fn number_of(key: &RowKey) -> Option<u64> {
    let bytes = key.as_bytes().get(8..)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Counts the forms of a message's row; the first had nothing of what it is found by.
const ROW_VERSION: u8 = 2;
