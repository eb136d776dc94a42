//! XEP-0441: Message Archive Management Preferences, version 0.2.0: whose messages are archived. Refuses to know the
//! roster, which whoever asks knows.
//!
//! | section | item |
//! |---|---|
//! | 2.1 simple configuration | [`Preferences`], `features/mam/preferences.rs` |
//! | 2.2 advanced configuration | not done: there are no more options |
//! | 2.3 JID matching | [`Preferences::says`] |

use std::sync::Arc;

use crate::jid::Jid;

/// What the owner of an archive chose; an absent default is the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    pub default: Option<Policy>,
    pub always: Vec<Jid>,
    pub never: Vec<Jid>,
}

/// Whose messages are archived if nothing is said about them (section 2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    Never,
    /// Those of contacts in the roster.
    Roster,
}

impl Policy {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Always => "always",
            Policy::Never => "never",
            Policy::Roster => "roster",
        }
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Policy> {
        [Policy::Always, Policy::Never, Policy::Roster]
            .into_iter()
            .find(|policy| policy.name() == name)
    }
}

impl Preferences {
    /// What the lists say about messages exchanged with `contact`: none if it is in neither. A JID that is in both is
    /// not archived: what was not kept can be missed, what was kept cannot be unread.
    pub fn says(&self, contact: &Jid) -> Option<bool> {
        // Section 2.3.1: "If the listed JID contains a resource, compare against the target JID as-is. If the listed
        // JID has no resource ... then first strip any resource from the target JID".
        let fits = |listed: &Jid| match listed.resourcepart() {
            Some(_) => listed == contact,
            None => listed.as_str() == contact.bare_str(),
        };
        if self.never.iter().any(fits) {
            Some(false)
        } else if self.always.iter().any(fits) {
            Some(true)
        } else {
            None
        }
    }

    /// A row's value: a version byte and the default's name, then a line for each JID.
    pub fn encode(&self) -> Arc<[u8]> {
        let mut value = vec![ROW_VERSION];
        value.extend_from_slice(self.default.map_or("", Policy::name).as_bytes());
        let always = self.always.iter().map(|jid| ('+', jid));
        for (sign, jid) in always.chain(self.never.iter().map(|jid| ('-', jid))) {
            // No JID has a line break in it (RFC 7622).
            value.extend_from_slice(format!("\n{sign}{jid}").as_bytes());
        }
        value.into()
    }

    /// The preferences in a row; none if that is damaged.
    pub fn decode(value: &[u8]) -> Option<Preferences> {
        let (&version, text) = value.split_first()?;
        let mut lines = std::str::from_utf8(text).ok()?.split('\n');
        let default = lines.next()?;
        let mut read = Preferences {
            default: Policy::from_name(default),
            ..Preferences::default()
        };
        for line in lines {
            let list = match line.as_bytes().first()? {
                b'+' => &mut read.always,
                b'-' => &mut read.never,
                _ => return None,
            };
            list.push(Jid::parse(&line[1..]).ok()?);
        }
        (version == ROW_VERSION).then_some(read)
    }
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn preferences() -> Preferences {
        Preferences {
            default: Some(Policy::Roster),
            always: vec![jid("romeo@example.org"), jid("nurse@example.org")],
            never: vec![jid("romeo@example.org/work"), jid("nurse@example.org")],
        }
    }

    #[test]
    fn bare_jids_stand_for_all_resources_and_full_ones_for_themselves() {
        let preferences = preferences();
        assert_eq!(preferences.says(&jid("romeo@example.org/home")), Some(true));
        assert_eq!(preferences.says(&jid("romeo@example.org")), Some(true));
        assert_eq!(
            preferences.says(&jid("romeo@example.org/work")),
            Some(false)
        );
        assert_eq!(preferences.says(&jid("nurse@example.org/x")), Some(false));
        assert_eq!(preferences.says(&jid("tybalt@example.org")), None);
    }

    #[test]
    fn a_row_comes_back_as_it_went_and_a_damaged_one_does_not() {
        let all = preferences();
        assert_eq!(Preferences::decode(&all.encode()), Some(all.clone()));
        let none = Preferences::default();
        assert_eq!(Preferences::decode(&none.encode()), Some(none));
        for damaged in [
            &b""[..],
            b"\x02always",
            b"\x01always\nx",
            b"\x01always\n+@@",
            b"\x01\xff",
        ] {
            assert_eq!(Preferences::decode(damaged), None);
        }
    }
}
