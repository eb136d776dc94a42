//! A roster item: its row in the store and its form on the wire (RFC 6121 section 2.1.2). Refuses to know when
//! either is written.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::base::{AccountId, limits};
use crate::jid::Jid;
use crate::xml::{escape_attribute, escape_text};

use super::standing::Standing;

/// A row for each contact, so that a change costs one row whatever the length of the roster; and one for what is
/// true of the whole ([`Head`]). Reading the roster is one range.
pub static ROSTER: Table = Table {
    name: "roster",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Roster items; key: account id, then 0 for the head, or 1 and the contact's bare JID",
};

/// An item with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// Bare.
    pub jid: Jid,
    pub standing: Standing,
    /// Version of the roster in which clients saw it change last; 0 if they never saw it.
    pub version: u64,
    /// "opaque to the server"; empty is none (section 2.4.1).
    pub name: String,
    pub groups: Vec<String>,
    pub numbers: Numbers,
}

/// By which numbers the two halves of a subscription know what was said last (`subscription/half.rs`); each is 0 where
/// there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of the user's last tell that asked for a subscription, or gave one up.
    pub asked: u64,
    /// Of the contact's last one that was heard.
    pub heard: u64,
    /// Of the user's last tell that answered the contact, while it stands.
    pub answered: u64,
}

/// What is true of a roster as a whole. No row is a roster that was never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Random: versions of a roster with another epoch mean nothing.
    pub epoch: u32,
    /// Removals up to this version are forgotten: nobody can be told what changed since an older one.
    pub floor: u64,
}

/// What a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Head(Head),
    Item(RosterItem),
}

/// An item as its row holds it, nothing copied and the address not prepared again.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Bare.
    pub jid: &'a str,
    pub standing: Standing,
    pub version: u64,
    numbers: Numbers,
    name: &'a str,
    groups: Texts<'a>,
}

/// Texts one behind the other, each of them looked at before.
#[derive(Clone, Copy, Debug)]
struct Texts<'a>(&'a [u8]);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (text, rest) = take_text(self.0)?;
        self.0 = rest;
        Some(text)
    }
}

impl<'a> Stored<'a> {
    /// The item that a row is; none if it is the head, or damaged.
    pub fn of(row: &'a Row) -> Option<Stored<'a>> {
        let (&kind, jid) = row.key.as_bytes().get(8..)?.split_first()?;
        (kind != HEAD).then_some(())?;
        Stored::read(std::str::from_utf8(jid).ok()?, &row.value)
    }

    fn read(jid: &'a str, value: &'a [u8]) -> Option<Stored<'a>> {
        let (&form, rest) = value.split_first()?;
        let (&bits, rest) = rest.split_first()?;
        let (version, rest) = take_number(rest)?;
        let (numbers, rest) = match form {
            ROW_VERSION => (Numbers::default(), rest),
            NUMBERED => take_numbers(rest)?,
            _ => return None,
        };
        let (name, rest) = take_text(rest)?;
        let groups = Texts(rest);
        let mut left = groups;
        // A group that cannot be read ends them early.
        left.by_ref().for_each(drop);
        left.0.is_empty().then_some(())?;
        Some(Stored {
            jid,
            standing: Standing::from_bits(bits)?,
            version,
            numbers,
            name,
            groups,
        })
    }

    /// See [`RosterItem::charge`].
    pub fn charge(&self) -> usize {
        // Each group has two bytes of length before it.
        self.jid.len() + 12 + self.name.len() + self.groups.0.len()
    }

    /// See [`RosterItem::write`].
    pub fn write(&self, xml: &mut Vec<u8>) {
        write(xml, self.jid, self.standing, self.name, self.groups);
    }

    fn to_item(self, jid: Jid) -> RosterItem {
        RosterItem {
            jid,
            standing: self.standing,
            version: self.version,
            name: self.name.to_owned(),
            groups: self.groups.map(str::to_owned).collect(),
            numbers: self.numbers,
        }
    }
}

impl RosterItem {
    /// Somebody about whom nothing is known.
    pub fn unknown(jid: Jid) -> RosterItem {
        RosterItem {
            jid,
            standing: Standing::default(),
            version: 0,
            name: String::new(),
            groups: Vec::new(),
            numbers: Numbers::default(),
        }
    }

    /// A row's value.
    pub fn encode(&self) -> Arc<[u8]> {
        let is_numbered = self.numbers != Numbers::default();
        let version = if is_numbered { NUMBERED } else { ROW_VERSION };
        let mut value = vec![version, self.standing.bits()];
        value.extend_from_slice(&self.version.to_be_bytes());
        if is_numbered {
            let Numbers {
                asked,
                heard,
                answered,
            } = self.numbers;
            for number in [asked, heard, answered] {
                value.extend_from_slice(&number.to_be_bytes());
            }
        }
        put_text(&mut value, &self.name);
        for group in &self.groups {
            put_text(&mut value, group);
        }
        value.into()
    }

    /// The item as it stands in the store.
    pub fn row(&self, account: AccountId) -> Row {
        Row {
            key: key(account, &self.jid),
            value: self.encode().to_vec(),
        }
    }

    /// Bytes that it counts in the quota of its roster.
    pub fn charge(&self) -> usize {
        let groups: usize = self.groups.iter().map(|group| 2 + group.len()).sum();
        self.jid.as_str().len() + 12 + self.name.len() + groups
    }

    /// What clients see of it; none where they see nothing. A "roster modification" (section 2.6.3) is a change of
    /// this.
    pub fn shown(&self) -> Option<(Standing, &str, &[String])> {
        let standing = Standing {
            pending_in: false,
            ..self.standing
        };
        self.standing
            .listed
            .then_some((standing, self.name.as_str(), &self.groups[..]))
    }

    /// Appends its `<item/>`; one that is not listed was removed.
    pub fn write(&self, xml: &mut Vec<u8>) {
        let groups = self.groups.iter().map(String::as_str);
        write(xml, self.jid.as_str(), self.standing, &self.name, groups);
    }
}

fn write<'a>(
    xml: &mut Vec<u8>,
    jid: &str,
    standing: Standing,
    name: &str,
    groups: impl Iterator<Item = &'a str>,
) {
    xml.extend_from_slice(b"<item jid='");
    escape_attribute(jid, xml);
    if !standing.listed {
        xml.extend_from_slice(b"' subscription='remove'/>");
        return;
    }
    if !name.is_empty() {
        xml.extend_from_slice(b"' name='");
        escape_attribute(name, xml);
    }
    xml.extend_from_slice(b"' subscription='");
    xml.extend_from_slice(standing.subscription().as_bytes());
    // Section 2.1.2.2: "A server SHOULD include the 'ask' attribute".
    if standing.ask {
        xml.extend_from_slice(b"' ask='subscribe");
    }
    // Section 2.1.2.1: "A server SHOULD include the 'approved' attribute".
    if standing.approved {
        xml.extend_from_slice(b"' approved='true");
    }
    let mut groups = groups.peekable();
    if groups.peek().is_none() {
        xml.extend_from_slice(b"'/>");
        return;
    }
    xml.extend_from_slice(b"'>");
    for group in groups {
        xml.extend_from_slice(b"<group>");
        escape_text(group, xml);
        xml.extend_from_slice(b"</group>");
    }
    xml.extend_from_slice(b"</item>");
}

impl Head {
    /// A row's value.
    pub fn encode(self) -> Arc<[u8]> {
        let mut value = vec![ROW_VERSION];
        value.extend_from_slice(&self.epoch.to_be_bytes());
        value.extend_from_slice(&self.floor.to_be_bytes());
        value.into()
    }

    /// Reads a row's value; none if it is damaged.
    pub fn decode(value: &[u8]) -> Option<Head> {
        let (&version, rest) = value.split_first()?;
        if version != ROW_VERSION {
            return None;
        }
        let (epoch, rest) = rest.split_first_chunk::<4>()?;
        Some(Head {
            epoch: u32::from_be_bytes(*epoch),
            floor: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// A roster's head with another epoch, which differs from the one that it has by the bits of `by`; none for any other row
/// of [`ROSTER`].
pub fn renewed(row: &Row, by: u32) -> Option<Write> {
    if row.key.as_bytes().get(8..) != Some(&[HEAD]) {
        return None;
    }
    let head = Head::decode(&row.value)?;
    let epoch = match head.epoch ^ by {
        // It says that there is none yet.
        0 => by,
        epoch => epoch,
    };
    Some(Write::Put {
        table: &ROSTER,
        key: row.key.clone(),
        value: Head { epoch, ..head }.encode(),
    })
}

impl Record {
    /// Reads a row; none if it is damaged.
    pub fn decode(row: &Row) -> Option<Record> {
        let (&kind, jid) = row.key.as_bytes().get(8..)?.split_first()?;
        if kind == HEAD {
            return Head::decode(&row.value).map(Record::Head);
        }
        let jid = Jid::parse(std::str::from_utf8(jid).ok()?).ok()?;
        decode_value(jid, &row.value).map(Record::Item)
    }
}

/// An item from its row's value; none if that is damaged.
pub fn decode_value(jid: Jid, value: &[u8]) -> Option<RosterItem> {
    let stored = Stored::read(jid.bare_str(), value)?;
    Some(stored.to_item(jid.to_bare()))
}

fn take_number(rest: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn take_numbers(rest: &[u8]) -> Option<(Numbers, &[u8])> {
    let (asked, rest) = take_number(rest)?;
    let (heard, rest) = take_number(rest)?;
    let (answered, rest) = take_number(rest)?;
    let numbers = Numbers {
        asked,
        heard,
        answered,
    };
    Some((numbers, rest))
}

/// The key of a contact's row.
pub fn key(account: AccountId, jid: &Jid) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
        .then(&[ITEM])
        .then(jid.bare_str().as_bytes())
}

/// The key of the head's row.
pub fn head_key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(&[HEAD])
}

/// The first row of the rosters from this account's on: its head, where it has one.
pub fn first_from(account: AccountId) -> RowRange {
    RowRange {
        from: head_key(account),
        to: RowKey::new(&[u8::MAX; 9]),
        count_max: 1,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// The account behind the one whose row has this key.
pub fn next_account(key: &RowKey) -> Option<AccountId> {
    let account = key.as_bytes().first_chunk()?;
    u64::from_be_bytes(*account).checked_add(1).map(AccountId)
}

/// All rows of a roster.
pub fn range(account: AccountId) -> RowRange {
    let end = RowKey::new(&account.0.to_be_bytes()).then(&[ITEM + 1]);
    RowRange {
        from: head_key(account),
        to: end,
        count_max: usize::MAX,
        // The quota keeps it below; what a lowered quota left above it is read, too.
        bytes_max: limits::ROSTER_READ_BYTES_MAX,
    }
}

/// Names and groups are bounded far below 64 KiB ([`limits::ROSTER_NAME_BYTES_MAX`]).
fn put_text(value: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("bounded where it entered");
    value.extend_from_slice(&len.to_be_bytes());
    value.extend_from_slice(text.as_bytes());
}

fn take_text(rest: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

const ROW_VERSION: u8 = 1;
/// The same with the numbers of what was said, which most contacts that were imported do not have.
const NUMBERED: u8 = 2;
const HEAD: u8 = 0;
const ITEM: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn nurse() -> RosterItem {
        RosterItem {
            jid: Jid::parse("nurse@example.com").expect("valid"),
            standing: Standing {
                to: true,
                listed: true,
                ..Standing::default()
            },
            version: 42,
            name: "Nurse & 'co'".into(),
            groups: vec!["Servants".into(), "<Capulet>".into()],
            numbers: Numbers::default(),
        }
    }

    fn xml(item: &RosterItem) -> String {
        let mut xml = Vec::new();
        item.write(&mut xml);
        String::from_utf8(xml).expect("written from strings")
    }

    #[test]
    fn an_item_is_read_as_it_was_written() {
        let numbers = Numbers {
            asked: 1,
            heard: u64::MAX,
            answered: 3,
        };
        for numbers in [Numbers::default(), numbers] {
            let item = RosterItem { numbers, ..nurse() };
            let row = item.row(AccountId(7));
            let stored = Stored::of(&row).expect("an item");
            assert_eq!(
                (stored.jid, stored.standing, stored.version),
                (item.jid.as_str(), item.standing, item.version)
            );
            assert_eq!(stored.charge(), item.charge());
            let mut written = Vec::new();
            stored.write(&mut written);
            assert_eq!(String::from_utf8(written).as_ref(), Ok(&xml(&item)));
            assert_eq!(Record::decode(&row), Some(Record::Item(item)));
        }
        let head = Head { epoch: 1, floor: 2 };
        let row = Row {
            key: head_key(AccountId(7)),
            value: head.encode().to_vec(),
        };
        assert_eq!(Record::decode(&row), Some(Record::Head(head)));
        assert!(Stored::of(&row).is_none());
    }

    #[test]
    fn a_row_that_was_cut_is_no_item() {
        let whole = nurse().row(AccountId(7));
        let lengths: Vec<usize> = (0..whole.value.len())
            .filter(|&len| {
                let value = whole.value[..len].to_vec();
                let key = whole.key.clone();
                Record::decode(&Row { key, value }).is_some()
            })
            .collect();
        // Behind the name, and behind its first group: as good as whole.
        assert_eq!(lengths.len(), 2);
    }

    #[test]
    fn an_item_is_escaped_and_says_what_the_server_knows() {
        assert_eq!(
            xml(&nurse()),
            "<item jid='nurse@example.com' name='Nurse &amp; &apos;co&apos;' subscription='to'>\
             <group>Servants</group><group>&lt;Capulet&gt;</group></item>"
        );
        let mut asked = RosterItem::unknown(Jid::parse("romeo@example.net").expect("valid"));
        asked.standing.listed = true;
        asked.standing.ask = true;
        asked.standing.approved = true;
        assert_eq!(
            xml(&asked),
            "<item jid='romeo@example.net' subscription='none' ask='subscribe' approved='true'/>"
        );
        asked.standing = Standing::default();
        assert_eq!(
            xml(&asked),
            "<item jid='romeo@example.net' subscription='remove'/>"
        );
    }
}
