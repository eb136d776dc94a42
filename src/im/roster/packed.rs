//! The contacts of a resident account in one block of bytes: who they are and what stands between, 14 bytes for a
//! typical one, those of the own domain first, and sorted, so that a few looks find one among ten thousand. Names and groups
//! stay in the store until somebody asks for them.

use crate::actor::rows::Row;
use crate::jid::{Jid, JidList};

use super::item::{Head, Numbers, Record, RosterItem, Stored};
use super::standing::{COUNT, Standing};

/// A roster without names and groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Roster {
    packed: Box<[u8]>,
    /// Where every [`EVERY`]th contact begins in there; none of a roster that is read through as fast.
    places: Box<[u32]>,
    pub head: Head,
    /// The latest; never below `head.floor`.
    pub version: u64,
    pub counts: Counts,
}

/// What quotas are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items that the user sees.
    pub listed: u32,
    /// Requests that wait for the user's answer.
    pub pending_in: u32,
    /// Items that are remembered because they were removed.
    pub removed: u32,
    /// Bytes of everything in the store.
    pub bytes: usize,
}

/// A contact in a [`Roster`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    pub standing: Standing,
    /// See [`RosterItem::version`].
    pub version: u64,
    /// The address, or its localpart when it is one of the account's own domain.
    text: &'a str,
    is_neighbour: bool,
}

impl Roster {
    /// The roster that these rows are, of an account of `domain`. Damaged rows are logged and left out.
    pub fn read(rows: &[Row], domain: &str) -> Roster {
        let mut roster = Roster::default();
        let mut contacts = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(item) = Stored::of(row) {
                roster.version = roster.version.max(item.version);
                roster
                    .counts
                    .add(item.standing, item.version, item.charge());
                let (text, is_neighbour) = match item.jid.split_once('@') {
                    Some((localpart, at)) if at == domain => (localpart, true),
                    _ => (item.jid, false),
                };
                contacts.push(Contact {
                    standing: item.standing,
                    version: item.version,
                    text,
                    is_neighbour,
                });
            } else if let Some(Record::Head(head)) = Record::decode(row) {
                roster.head = head;
                roster.version = roster.version.max(head.floor);
            } else {
                log::error!("roster_row_damaged key={:?}", row.key);
            }
        }
        contacts.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        (roster.packed, roster.places) = pack(contacts.into_iter());
        roster
    }

    /// Everybody, in no order that means anything.
    pub fn contacts(&self) -> impl Iterator<Item = Contact<'_>> {
        self.contacts_from(0)
    }

    fn contacts_from(&self, at: usize) -> impl Iterator<Item = Contact<'_>> {
        let mut rest = self.packed.get(at..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (contact, behind) = unpack(rest)?;
            rest = behind;
            Some(contact)
        })
    }

    /// What is known of this address, if anything is.
    pub fn find(&self, jid: &Jid, domain: &str) -> Option<Contact<'_>> {
        self.look(jid, domain, &mut 0)
    }

    /// The same, and at how many it looked.
    fn look(&self, jid: &Jid, domain: &str, looks: &mut usize) -> Option<Contact<'_>> {
        let (text, is_neighbour) = short(jid, domain);
        let wanted = place_of(text, is_neighbour);
        let mut order = |contact: &Contact<'_>| {
            *looks += 1;
            contact.place().cmp(&wanted)
        };
        // The last of these places that is not behind it.
        let behind = self.places.partition_point(|at| {
            let contact = self.contacts_from(*at as usize).next();
            contact.is_some_and(|contact| order(&contact).is_le())
        });
        let at = behind.checked_sub(1).and_then(|at| self.places.get(at));
        let mut from = self.contacts_from(at.map_or(0, |at| *at as usize));
        let found = from.find(|contact| order(contact).is_ge())?;
        (found.place() == wanted).then_some(found)
    }

    /// The standing of this address.
    pub fn standing(&self, jid: &Jid, domain: &str) -> Standing {
        let contact = self.find(jid, domain);
        contact.map_or_else(Standing::default, |contact| contact.standing)
    }

    /// This roster with `new` in place of `old`, which is what the store knows of the same contact now.
    pub fn with(&self, domain: &str, old: Option<&RosterItem>, new: &RosterItem) -> Roster {
        let mut counts = self.counts;
        if let Some(old) = old {
            counts.remove(old);
        }
        let (text, is_neighbour) = short(&new.jid, domain);
        let wanted = place_of(text, is_neighbour);
        let before = self.contacts().take_while(|it| it.place() < wanted);
        let behind = self.contacts().skip_while(|it| it.place() <= wanted);
        let own = new.is_kept().then_some(Contact {
            standing: new.standing,
            version: new.version,
            text,
            is_neighbour,
        });
        if new.is_kept() {
            counts.add(new.standing, new.version, new.charge());
        }
        let (packed, places) = pack(before.chain(own).chain(behind));
        Roster {
            packed,
            places,
            head: self.head,
            version: self.version.max(new.version),
            counts,
        }
    }

    /// The item that is only remembered and was changed longest ago, other than that of `besides`.
    pub fn oldest_removed(&self, besides: &Jid, domain: &str) -> Option<Contact<'_>> {
        let (text, is_neighbour) = short(besides, domain);
        self.contacts()
            .filter(|contact| is_memory(contact.standing, contact.version))
            .filter(|contact| contact.text != text || contact.is_neighbour != is_neighbour)
            .min_by_key(|contact| contact.version)
    }

    /// The version that clients are told (section 2.1.1: "MUST be treated by the client as opaque").
    pub fn ver(&self, version: u64) -> String {
        format!("{:08x}-{version}", self.head.epoch)
    }

    /// The version that `ver` names, if what changed since can be told.
    pub fn known(&self, ver: &str) -> Option<u64> {
        let (epoch, version) = ver.split_once('-')?;
        let version: u64 = version.parse().ok()?;
        let is_known = u32::from_str_radix(epoch, 16).ok()? == self.head.epoch
            && (self.head.floor..=self.version).contains(&version);
        is_known.then_some(version)
    }

    /// Bytes of memory beside the struct itself.
    pub fn packed_bytes(&self) -> usize {
        self.packed.len() + self.places.len() * size_of::<u32>()
    }
}

impl RosterItem {
    /// Whether there is anything to remember about it.
    pub fn is_kept(&self) -> bool {
        self.version > 0
            || self.standing != Standing::default()
            || self.numbers != Numbers::default()
    }

    fn is_removed(&self) -> bool {
        is_memory(self.standing, self.version)
    }
}

/// Whether an item is kept only for what it was: clients are told of its removal, or it is remembered what was said.
fn is_memory(standing: Standing, version: u64) -> bool {
    !standing.listed && (version > 0 || standing == Standing::default())
}

impl Counts {
    fn add(&mut self, standing: Standing, version: u64, charge: usize) {
        self.listed += u32::from(standing.listed);
        self.pending_in += u32::from(standing.pending_in);
        self.removed += u32::from(is_memory(standing, version));
        self.bytes += charge;
    }

    fn remove(&mut self, item: &RosterItem) {
        self.listed -= u32::from(item.standing.listed);
        self.pending_in -= u32::from(item.standing.pending_in);
        self.removed -= u32::from(item.is_removed());
        self.bytes -= item.charge();
    }
}

impl Contact<'_> {
    fn place(&self) -> (bool, &str) {
        place_of(self.text, self.is_neighbour)
    }

    /// The bare address.
    pub fn jid(&self, domain: &str) -> Option<Jid> {
        // Prepared when it was stored.
        match self.is_neighbour {
            true => Jid::from_prepared(&[self.text, "@", domain].concat()),
            false => Jid::from_prepared(self.text),
        }
    }

    /// Adds the bare address to a list.
    pub fn list(&self, domain: &str, list: &mut JidList) {
        match self.is_neighbour {
            true => list.push_parts(self.text, domain),
            false => list.push_prepared(self.text),
        }
    }
}

fn short<'a>(jid: &'a Jid, domain: &str) -> (&'a str, bool) {
    match jid.localpart() {
        Some(localpart) if jid.domainpart() == domain => (localpart, true),
        _ => (jid.bare_str(), false),
    }
}

/// Where a contact stands: neighbours first, then by what is written of the address.
fn place_of(text: &str, is_neighbour: bool) -> (bool, &str) {
    (!is_neighbour, text)
}

/// Contacts in their order, and where every [`EVERY`]th of many begins.
fn pack<'a>(contacts: impl Iterator<Item = Contact<'a>>) -> (Box<[u8]>, Box<[u32]>) {
    let (mut packed, mut places) = (Vec::new(), Vec::new());
    for (number, contact) in contacts.enumerate() {
        if number % EVERY == 0 {
            // A roster is bounded far below 4 GiB.
            places.push(packed.len() as u32);
        }
        pack_contact(&mut packed, &contact);
    }
    if places.len() * EVERY <= FEW {
        places = Vec::new();
    }
    (packed.into(), places.into())
}

/// One byte of flags, the version and the text's length as LEB128, the text.
fn pack_contact(packed: &mut Vec<u8>, contact: &Contact<'_>) {
    packed.push(contact.standing.bits() | u8::from(contact.is_neighbour) << COUNT);
    pack_number(packed, contact.version);
    pack_number(packed, contact.text.len() as u64);
    packed.extend_from_slice(contact.text.as_bytes());
}

fn pack_number(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn unpack(rest: &[u8]) -> Option<(Contact<'_>, &[u8])> {
    let (&flags, rest) = rest.split_first()?;
    let (version, rest) = unpack_number(rest)?;
    let (len, rest) = unpack_number(rest)?;
    let (text, rest) = rest.split_at_checked(len as usize)?;
    let contact = Contact {
        standing: Standing::from_bits(flags & !(1 << COUNT))?,
        version,
        text: std::str::from_utf8(text).ok()?,
        is_neighbour: flags & 1 << COUNT != 0,
    };
    Some((contact, rest))
}

/// So many contacts are read one behind the other.
const EVERY: usize = 16;
/// So many are not worth an index: most rosters.
const FEW: usize = 128;

fn unpack_number(mut rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AccountId;

    fn item(jid: &str, version: u64) -> RosterItem {
        let mut item = RosterItem::unknown(Jid::parse(jid).expect("valid"));
        item.standing.listed = true;
        item.version = version;
        item
    }

    #[test]
    fn a_roster_changes_item_by_item() {
        let mut roster = Roster::default();
        let (nurse, romeo) = (item("nurse@example.com", 1), item("romeo@example.net", 300));
        for item in [&nurse, &romeo] {
            roster = roster.with("example.com", None, item);
        }
        assert_eq!((roster.version, roster.counts.listed), (300, 2));
        let jids: Vec<_> = roster.contacts().map(|c| c.jid("example.com")).collect();
        assert_eq!(jids, [Some(nurse.jid.clone()), Some(romeo.jid.clone())]);

        let mut lover = romeo.clone();
        lover.standing.to = true;
        lover.version = 301;
        roster = roster.with("example.com", Some(&romeo), &lover);
        assert!(roster.standing(&romeo.jid, "example.com").to);
        assert_eq!(
            roster.find(&romeo.jid, "example.com").map(|c| c.version),
            Some(301)
        );

        let mut gone = nurse.clone();
        gone.standing.listed = false;
        gone.version = 302;
        roster = roster.with("example.com", Some(&nurse), &gone);
        assert_eq!((roster.counts.listed, roster.counts.removed), (1, 1));
        let oldest = roster.oldest_removed(&romeo.jid, "example.com");
        let oldest = oldest.and_then(|c| c.jid("example.com"));
        assert_eq!(oldest, Some(nurse.jid.clone()));
        assert_eq!(roster.oldest_removed(&nurse.jid, "example.com"), None);
        let mut forgotten = gone.clone();
        forgotten.version = 0;
        roster = roster.with("example.com", Some(&gone), &forgotten);
        assert_eq!(roster.find(&nurse.jid, "example.com"), None);
        assert_eq!(roster.counts.removed, 0);
        assert_eq!(roster.counts.bytes, lover.charge());
    }

    #[test]
    fn a_contact_among_ten_thousand_is_found_with_a_few_looks() {
        // As the store has them: by address, which is not the order of names within the own domain.
        let domain = |n: u32| ["example.com", "example.net", "a.example"][n as usize % 3];
        let mut names: Vec<String> = (0..10_000)
            .map(|n| {
                format!(
                    "{}{n}@{}",
                    ["", "user-", "u.", "ü"][n as usize % 4],
                    domain(n)
                )
            })
            .chain(["example.net".into(), "u@example.com".into()])
            .collect();
        names.sort();
        let rows: Vec<Row> = names
            .iter()
            .map(|name| item(name, 1).row(AccountId(7)))
            .collect();
        let mut roster = Roster::read(&rows, "example.com");
        let mut changed = item("zoe@example.com", 2);
        roster = roster.with("example.com", None, &changed);
        names.push("zoe@example.com".into());
        changed.version = 3;
        let gone = RosterItem::unknown(Jid::parse(&names[77]).expect("valid"));
        roster = roster.with("example.com", Some(&item(&names[77], 1)), &gone);
        names.remove(77);
        let mut looks = 0;
        for name in &names {
            let jid = Jid::parse(name).expect("valid");
            let found = roster.look(&jid, "example.com", &mut looks);
            assert_eq!(
                found.and_then(|c| c.jid("example.com")).as_ref(),
                Some(&jid)
            );
        }
        assert!(looks < 40 * names.len(), "{looks}");
        looks = 0;
        for name in [
            "romeo@example.com",
            "0@example.org",
            gone.jid.as_str(),
            "zz@zz.example",
            "zz.example",
        ] {
            let jid = Jid::parse(name).expect("valid");
            assert_eq!(roster.look(&jid, "example.com", &mut looks), None);
        }
        assert!(looks < 200, "{looks}");
    }

    #[test]
    fn versions_of_another_roster_or_of_forgotten_times_are_not_known() {
        let mut roster = Roster::default().with("example.com", None, &item("a@example.com", 9));
        roster.head = Head {
            epoch: 0xfeed,
            floor: 4,
        };
        for version in [4, 7, 9] {
            assert_eq!(roster.known(&roster.ver(version)), Some(version));
        }
        for unknown in [
            "",
            "9",
            "-",
            "0000feed-3",
            "0000feed-10",
            "0000beef-9",
            "x-9",
            "0000feed-",
        ] {
            assert_eq!(roster.known(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn fifty_neighbours_take_less_than_a_kilobyte() {
        let mut roster = Roster::default();
        for number in 0..50 {
            let jid = format!("user-{number:04}@example.com");
            roster = roster.with("example.com", None, &item(&jid, 1 + number));
        }
        assert!(roster.packed_bytes() < 700, "{}", roster.packed_bytes());
    }
}
