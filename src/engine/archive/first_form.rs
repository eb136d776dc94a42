//! A message's row as version 1 of the data had it: a version byte, the tag, the message as XML. With whom the message was
//! exchanged stood in the index alone, in a row of its own. Refuses to know how rows are found and written: the way to the
//! present form is the store's (`store/from_1.rs`).

use super::list::index_key;
use super::row::{ARCHIVE, assembled, key, name_of};
use crate::actor::rows::{Row, RowKey, Write};
use crate::base::AccountId;
use crate::im::archive::{Entry, Term};
use crate::jid::Jid;
use crate::stanza::{Stanza, read_stored};

/// A message in such a row.
pub struct FirstForm<'a> {
    account: AccountId,
    number: u64,
    tag: u64,
    xml: &'a [u8],
    /// None if it cannot be read; then it is kept as it is, and found by nothing.
    stanza: Option<Stanza>,
}

impl<'a> FirstForm<'a> {
    /// None if the row has another form, or none.
    pub fn read(row: &'a Row) -> Option<FirstForm<'a>> {
        let (account, number) = row.key.as_bytes().split_first_chunk()?;
        let (&version, rest) = row.value.split_first()?;
        let (tag, xml) = rest.split_first_chunk()?;
        let stanza = std::str::from_utf8(xml).ok().and_then(read_stored);
        (version == ROW_VERSION).then_some(FirstForm {
            account: AccountId(u64::from_be_bytes(*account)),
            number: u64::from_be_bytes(number.try_into().ok()?),
            tag: u64::from_be_bytes(*tag),
            xml,
            stanza,
        })
    }

    /// Who may be the contact, each with the key in the old index under which there is a row if he is.
    pub fn contacts(&self) -> impl Iterator<Item = (&Jid, RowKey)> {
        let header = self.stanza.iter().map(|stanza| &stanza.header);
        let all = header.flat_map(|header| [&header.from, &header.to]);
        all.flatten().map(|jid| {
            let term = Term::contact(jid.bare_str());
            (jid, index_key(self.account, term, self.number))
        })
    }

    /// The write that gives the row its present form. `contact` is with whom it was exchanged, if anybody knows.
    pub fn renewed(&self, contact: Option<&Jid>) -> Write {
        let entry = Entry {
            number: self.number,
            contact: contact.map_or(Term::NONE, |jid| Term::contact(jid.bare_str())),
            full_jid: contact.map_or(Term::NONE, |jid| Term::full_jid(jid.as_str())),
            name: self.stanza.as_ref().and_then(name_of).unwrap_or(Term::NONE),
        };
        let mut value = assembled(self.tag, &entry, self.xml.len());
        value.extend_from_slice(self.xml);
        Write::Put {
            table: &ARCHIVE,
            key: key(self.account, self.number),
            value: value.into(),
        }
    }
}

const ROW_VERSION: u8 = 1;
