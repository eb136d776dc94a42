//! Who has which affiliation to a permanent room: the entries that it names, people and groups, as people of the host.
//! Refuses to know those who have no entry, who are named by their addresses (`rooms::Other`).

use std::collections::{BTreeMap, BTreeSet};

use super::dn::Dn;
use super::groups::{DN, Named, Tree};
use super::rooms::{Affiliation, Room};

/// Affiliations by localparts of people.
pub type RoomPeople = BTreeMap<String, Affiliation>;

/// Whom a room names, as groups would name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomNames {
    /// Each as it is said, and by what: themselves or by a group.
    said: Vec<(Affiliation, How, Named)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Themselves,
    ByGroup,
}

impl RoomNames {
    /// Of a room, with the members of the groups among its entries, `depth` levels deep.
    pub fn of(room: &Room, tree: &Tree, depth: u32) -> RoomNames {
        let mut said = Vec::new();
        for (affiliation, entries) in &room.entries {
            for dn in entries.iter().filter_map(|name| Dn::parse(name)) {
                match tree.at(&dn) {
                    Some(group) => {
                        let people = tree.members(group, depth).people.into_iter();
                        said.extend(people.map(|named| (*affiliation, How::ByGroup, named)));
                    }
                    None => {
                        let named = format!("{DN}{}", dn.key());
                        said.push((*affiliation, How::Themselves, named));
                    }
                }
            }
        }
        RoomNames { said }
    }

    /// Everybody.
    pub fn all(&self) -> BTreeSet<&str> {
        self.said.iter().map(|(.., named)| named.as_str()).collect()
    }

    /// The same as people; `localpart` is none for who is nobody of this host. Who is named as an entry is that, whatever
    /// groups say; who is named twice in one way is kept out if one of both keeps out, or else is the more powerful.
    pub fn people<'a>(&'a self, localpart: impl Fn(&str) -> Option<&'a str>) -> RoomPeople {
        let mut found: BTreeMap<&str, (How, u8, Affiliation)> = BTreeMap::new();
        for (affiliation, how, named) in &self.said {
            let Some(localpart) = localpart(named) else {
                continue;
            };
            let said = (*how, rank(*affiliation), *affiliation);
            let known = found.entry(localpart).or_insert(said);
            *known = said.min(*known);
        }
        let found = found.into_iter();
        found
            .map(|(localpart, (.., affiliation))| (localpart.to_owned(), affiliation))
            .collect()
    }
}

/// What counts first.
fn rank(affiliation: Affiliation) -> u8 {
    match affiliation {
        Affiliation::Outcast => 0,
        Affiliation::Owner => 1,
        Affiliation::Admin => 2,
        Affiliation::Member => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ber::Entry;
    use super::super::groups::tests::config;
    use super::*;

    #[test]
    fn people_are_what_is_said_of_themselves_or_else_of_their_groups() {
        let dn = |name: &str| format!("uid={name},dc=a");
        let group = |name: &str, members: &[&str]| {
            let members: Vec<String> = members.iter().map(|name| dn(name)).collect();
            let members: Vec<&[u8]> = members.iter().map(|member| member.as_bytes()).collect();
            let dn = format!("cn={name},ou=groups,dc=a");
            Entry::of(&dn, &[("cn", &[name.as_bytes()]), ("member", &members)])
        };
        let entries = [
            group("capulets", &["juliet", "nurse", "tybalt", "ghost"]),
            group("banned", &["tybalt", "romeo", "nurse"]),
        ];
        let tree = Tree::new(&config(""), &entries, &BTreeSet::new());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let room = Room {
            entries: BTreeMap::from([
                (
                    Affiliation::Owner,
                    names(&["UID=Juliet, DC=a", "uid=nurse,dc=a"]),
                ),
                (Affiliation::Member, names(&["cn=capulets,ou=groups,dc=a"])),
                (Affiliation::Outcast, names(&["cn=banned,ou=groups,dc=a"])),
            ]),
            ..Room::default()
        };
        let said = RoomNames::of(&room, &tree, 10);
        assert_eq!(said.all().len(), 5);
        let known = ["juliet", "nurse", "romeo", "tybalt"];
        let localpart = |named: &str| {
            let mut known = known.into_iter();
            known.find(|name| named == format!("dn:uid={name},dc=a"))
        };
        let expected = [
            ("juliet", Affiliation::Owner),
            ("nurse", Affiliation::Owner),
            ("romeo", Affiliation::Outcast),
            ("tybalt", Affiliation::Outcast),
        ];
        let expected = expected.map(|(name, affiliation)| (name.to_owned(), affiliation));
        assert_eq!(said.people(localpart), RoomPeople::from(expected));
    }
}
