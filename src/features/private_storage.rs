//! XEP-0049: Private XML Storage, version 1.2: whatever its owner's clients put there, by namespace. Refuses to know
//! what any of it means. Scenarios: `tests/scenarios/private.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 2.3 get | [`get`]; what is not there is the empty element that was asked for |
//! | 2.3 set | [`set`]; it replaces all of a namespace, and an empty element leaves nothing behind |
//! | 2.3 another user's data | `forbidden`, whoever it is |
//! | 2.3 reserved namespaces | not refused: "such behavior is OPTIONAL", and some clients keep things there |
//! | 3 errors | `elements`; "bad format" is no condition of RFC 6120, so it is `not-acceptable`, too |

use std::collections::{BTreeMap, BTreeSet};

use super::NONE;
use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::im::account::owner;
use crate::im::{Account, iq};
use crate::stanza::{Condition, ErrorType, Iq, Payload, StanzaError, ns};
use crate::xml::Element;

/// Private XML of an account.
pub static PRIVATE: Table = Table {
    name: "private",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Private XML (XEP-0049) as it was normalised; key: account id, namespace",
};

pub const PRIVATE_STORAGE: Feature<Account> = Feature {
    name: "private-storage",
    specs: &[Spec::xep(49, "1.2")],
    host_disco: &[ns::PRIVATE],
    account_disco: &[ns::PRIVATE],
    account: &[
        // "the server MUST return a "Forbidden" or "Service Unavailable" error ... the former is preferable".
        IqRoute::get(ns::PRIVATE, "query", get).refusing(Condition::Forbidden),
        IqRoute::set(ns::PRIVATE, "query", set).refusing(Condition::Forbidden),
    ],
    portable: Some(portable),
    ..NONE
};

fn get(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let wished = elements(iq)?;
    let namespace = wished[0].ns();
    if wished.iter().any(|element| element.ns() != namespace) {
        // "A client MUST NOT query for more than one namespace in a single IQ get request."
        return Err(refused(
            Condition::BadRequest,
            "Ask for one namespace at a time",
        ));
    }
    let account = owner(turn)?;
    let stored = turn.load(&PRIVATE, &key(account, namespace))?;
    let found = match stored.and_then(decode) {
        Some(xml) => xml.to_owned(),
        None => wished.iter().map(emptied).collect(),
    };
    let xml = format!("<query xmlns='{}'>{found}</query>", ns::PRIVATE);
    iq::answer(turn, iq, Payload::from_normal(&xml));
    Ok(())
}

fn set(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    // "an IQ set or result MAY contain multiple elements qualified by the same namespace".
    let mut wished: BTreeMap<&str, String> = BTreeMap::new();
    let mut filled: BTreeSet<&str> = BTreeSet::new();
    for element in elements(iq)? {
        if element.ns().len() > limits::PRIVATE_NAMESPACE_BYTES_MAX {
            return Err(refused(Condition::NotAcceptable, "A namespace is too long"));
        }
        let xml = wished.entry(element.ns()).or_default();
        xml.push_str(element.raw());
        if element.raw() != emptied(&element) {
            filled.insert(element.ns());
        }
    }
    let emptied = wished.iter_mut().filter(|(ns, _)| !filled.contains(*ns));
    emptied.for_each(|(_, xml)| xml.clear());
    let account = owner(turn)?;
    let (rows, _) = turn.load_range(&PRIVATE, &range(account))?;
    check_quota(turn, rows, &wished)?;
    turn.out.write.extend(writes(account, rows, &wished));
    iq::answer(turn, iq, Payload::EMPTY);
    Ok(())
}

/// What becomes of the rows. What is not there needs no deleting: one stanza may name thousands of namespaces.
fn writes(account: AccountId, rows: &[Row], wished: &BTreeMap<&str, String>) -> Vec<Write> {
    let is_there = |key: &RowKey| rows.iter().any(|row| row.key == *key);
    let deleted = wished.iter().filter(|(_, xml)| xml.is_empty());
    let deleted = deleted.map(|(namespace, _)| key(account, namespace));
    let deleted = deleted.filter(is_there).map(|key| Write::Delete {
        table: &PRIVATE,
        key,
    });
    let put = wished.iter().filter(|(_, xml)| !xml.is_empty());
    let put = put.map(|(namespace, xml)| Write::Put {
        table: &PRIVATE,
        key: key(account, namespace),
        value: [&[ROW_VERSION], xml.as_bytes()].concat().into(),
    });
    deleted.chain(put).collect()
}

fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let account = owner(turn)?;
    let (rows, _) = turn.load_range(&PRIVATE, &range(account))?;
    let inside: String = rows.iter().filter_map(|row| decode(&row.value)).collect();
    Ok(match inside.is_empty() {
        true => String::new(),
        false => format!("<query xmlns='{}'>{inside}</query>", ns::PRIVATE),
    })
}

/// Refuses what would be too much together with what stays; what shrinks is always welcome.
fn check_quota(turn: &Turn<'_, Account>, rows: &[Row], wished: &BTreeMap<&str, String>) -> Outcome {
    let namespace = |row: &Row| row.key.as_bytes().get(8..).map(<[u8]>::to_vec);
    let before: BTreeMap<Vec<u8>, usize> = rows
        .iter()
        .filter_map(|row| Some((namespace(row)?, row.value.len())))
        .collect();
    let mut after = before.clone();
    for (namespace, xml) in wished {
        match xml.is_empty() {
            true => after.remove(namespace.as_bytes()),
            false => after.insert(namespace.as_bytes().to_vec(), xml.len() + 1),
        };
    }
    let bytes = |rows: &BTreeMap<Vec<u8>, usize>| -> u64 {
        rows.iter()
            .map(|(name, len)| (name.len() + len) as u64)
            .sum()
    };
    let quota = &turn.config.profile;
    let too_many = after.len() > quota.private_namespaces as usize && after.len() > before.len();
    let too_large = bytes(&after) > quota.private_size.as_bytes() && bytes(&after) > bytes(&before);
    match too_many || too_large {
        true => Err(Stop::Reject(
            StanzaError::new(Condition::ResourceConstraint, "The private storage is full")
                .of_type(ErrorType::Cancel),
        )),
        false => Ok(()),
    }
}

/// What a request is about: one element at least.
fn elements(iq: Iq<'_>) -> Result<Vec<Element<'_>>, Stop> {
    let elements: Vec<Element<'_>> = iq.child().children().collect();
    // "At least one child element with a proper namespace MUST be included; otherwise the server MUST respond with
    // a "Not Acceptable" error". One that it inherits is not its own, and would be another elsewhere.
    let is_proper = |element: &Element<'_>| !matches!(element.ns(), "" | ns::PRIVATE | ns::CLIENT);
    match !elements.is_empty() && elements.iter().all(is_proper) {
        true => Ok(elements),
        false => Err(refused(
            Condition::NotAcceptable,
            "Name an element with a namespace of its own",
        )),
    }
}

/// The element without attributes and contents. Its namespace is as it stands in an attribute.
fn emptied(element: &Element<'_>) -> String {
    format!("<{} xmlns='{}'/>", element.name(), element.ns())
}

fn key(account: AccountId, namespace: &str) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(namespace.as_bytes())
}

/// Everything; the quota keeps it below what is read at once, and nothing grows that is above.
fn range(account: AccountId) -> RowRange {
    RowRange {
        from: RowKey::new(&account.0.to_be_bytes()),
        to: RowKey::new(&account.0.saturating_add(1).to_be_bytes()),
        count_max: usize::MAX,
        bytes_max: limits::PRIVATE_READ_BYTES_MAX,
    }
}

/// The elements in a row; none if it is damaged.
fn decode(value: &[u8]) -> Option<&str> {
    let (&version, xml) = value.split_first()?;
    let xml = std::str::from_utf8(xml).ok()?;
    (version == ROW_VERSION).then_some(xml)
}

fn refused(condition: Condition, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(condition, text))
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_there_is_not_deleted() {
        let account = AccountId(7);
        let there = Row {
            key: key(account, "urn:there"),
            value: vec![ROW_VERSION],
        };
        let wished = [
            ("urn:there", ""),
            ("urn:not", ""),
            ("urn:new", "<a xmlns='urn:new'>1</a>"),
        ];
        let wished: BTreeMap<&str, String> = wished.map(|(ns, xml)| (ns, xml.to_owned())).into();
        let writes = writes(account, std::slice::from_ref(&there), &wished);
        let kinds = writes.iter().map(|write| match write {
            Write::Delete { key, .. } => (key.clone(), "deleted"),
            Write::Put { key, .. } => (key.clone(), "put"),
            _ => panic!("nothing else is done: {write:?}"),
        });
        let kinds: Vec<(RowKey, &str)> = kinds.collect();
        assert_eq!(
            kinds,
            [(there.key, "deleted"), (key(account, "urn:new"), "put")]
        );
    }

    #[test]
    fn a_damaged_row_is_no_xml() {
        assert_eq!(
            decode(b"\x01<x xmlns='urn:x'/>"),
            Some("<x xmlns='urn:x'/>")
        );
        for damaged in [&b""[..], b"\x02<x/>", b"\x01\xff"] {
            assert_eq!(decode(damaged), None);
        }
    }

    #[test]
    fn rows_of_one_account_are_one_range() {
        let range = range(AccountId(7));
        for namespace in ["a", "\u{10ffff}"] {
            let key = key(AccountId(7), namespace);
            assert!(range.from <= key && key < range.to);
        }
        assert!(key(AccountId(8), "a") >= range.to);
    }
}
