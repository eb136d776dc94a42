//! What the options say of a directory's groups: who may do what, and which are contact lists. Refuses to know how they
//! were read, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::grouped::Known;
use super::groups::{Named, Tree};
use crate::actor::groups::{Draft, DraftList, Right};
use crate::config::GroupsConfig;

/// Groups that mean something, and who is in them.
pub struct Meant {
    rights: Vec<(Right, BTreeSet<Named>)>,
    lists: Vec<MeantList>,
    /// For an operator.
    pub troubles: Vec<String>,
}

struct MeantList {
    key: String,
    name: String,
    members: BTreeSet<Named>,
    viewers: BTreeSet<Named>,
}

impl Meant {
    /// Of the groups of this tree.
    pub fn of(config: &GroupsConfig, tree: &Tree) -> Meant {
        let options = &config.options;
        let mut troubles = Vec::new();
        let mut inside = |at: usize| {
            let members = tree.members(at, options.depth);
            if members.too_deep > 0 {
                let cn = &tree.groups()[at].cn;
                troubles.push(format!("group={cn:?} too_deep={}", members.too_deep));
            }
            members.people
        };
        let mut unknown = Vec::new();
        let rights = [
            (Right::Manage, &options.managers),
            (Right::CreateRooms, &options.create_rooms),
            (Right::Federate, &options.federate),
            (Right::Register, &options.register),
        ];
        let rights = rights.into_iter().filter(|(_, names)| !names.is_empty());
        let rights = rights.map(|(right, names)| {
            let mut people = BTreeSet::new();
            for name in names {
                unknown.extend(trouble_of_one(tree, name));
                people.extend(tree.only(name).into_iter().flat_map(&mut inside));
            }
            (right, people)
        });
        let rights = rights.collect();
        let displayed = config.displays.iter().map(|(list, _)| list);
        for name in options.lists.iter().chain(displayed) {
            if tree.find(name).is_empty() {
                unknown.push(format!("unknown={name:?}"));
            }
        }
        let seers = config.displays.iter().map(|(_, group)| group);
        unknown.extend(seers.filter_map(|name| trouble_of_one(tree, name)));
        let mut lists = Vec::new();
        let mut too_large = Vec::new();
        let places = tree.groups().iter().enumerate();
        for (at, group) in places.filter(|(_, group)| group.is_list) {
            let members = inside(at);
            if members.len() > options.members as usize {
                too_large.push(format!("list={:?} members={}", group.cn, members.len()));
                continue;
            }
            let viewers = tree.seers(at).into_iter().flat_map(&mut inside);
            lists.push(MeantList {
                key: group.key.clone(),
                name: group.list_name.clone(),
                members,
                viewers: viewers.collect(),
            });
        }
        troubles.append(&mut unknown);
        troubles.append(&mut too_large);
        Meant {
            rights,
            lists,
            troubles,
        }
    }

    /// Whoever is named by any of them.
    pub fn everybody(&self) -> BTreeSet<&str> {
        let lists = self
            .lists
            .iter()
            .flat_map(|list| list.members.iter().chain(&list.viewers));
        let rights = self.rights.iter().flat_map(|(_, who)| who);
        lists.chain(rights).map(String::as_str).collect()
    }

    /// The same with people in the place of how groups name them.
    pub fn draft(&self, people: &BTreeMap<&str, Known>) -> Draft {
        let who = |named: &BTreeSet<Named>| {
            let found = named.iter().filter_map(|named| people.get(named.as_str()));
            found.map(|known| known.localpart.clone()).collect()
        };
        let lists = self.lists.iter().map(|list| DraftList {
            key: list.key.clone(),
            name: list.name.clone(),
            members: who(&list.members),
            viewers: who(&list.viewers),
        });
        let named = people.values();
        Draft {
            people: named
                .map(|known| (known.localpart.clone(), known.name.clone()))
                .collect(),
            lists: lists.collect(),
            rights: self
                .rights
                .iter()
                .map(|(right, named)| (*right, who(named)))
                .collect(),
        }
    }
}

/// What an operator is told of a name that shall mean one group, and does not.
fn trouble_of_one(tree: &Tree, name: &str) -> Option<String> {
    match tree.find(name).as_slice() {
        [] => Some(format!("unknown={name:?}")),
        [_] => None,
        several => {
            let groups: Vec<&str> = tree.dns(several).collect();
            Some(format!("ambiguous={name:?} groups={groups:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ber::Entry;
    use super::super::groups::tests::config;
    use super::*;

    fn group(cn: &str, place: &str, member: &str) -> Entry {
        let dn = format!("cn={cn},ou={place},dc=a");
        let member = format!("uid={member},dc=a");
        let cn = ("cn", &[cn.as_bytes()][..]);
        Entry::of(&dn, &[cn, ("member", &[member.as_bytes()])])
    }

    /// Two of one name.
    fn rulers() -> [Entry; 2] {
        [
            group("Rulers", "groups", "escalus"),
            group("Rulers", "montagues", "romeo"),
        ]
    }

    const SEVERAL: &str = "ambiguous=\"rulers\" groups=[\"cn=Rulers,ou=groups,dc=a\", \"cn=Rulers,ou=montagues,dc=a\"]";

    #[test]
    fn of_several_groups_of_one_name_none_gives_a_right() {
        let entries = rulers();
        let managers = |name: &str, entries: &[Entry]| {
            let options = format!("managers = [{name:?}]\nlists = [\"rulers\"]\n");
            let config = config(&options);
            let tree = Tree::new(&config, entries, &BTreeSet::new());
            let meant = Meant::of(&config, &tree);
            // Both are lists.
            assert_eq!(meant.lists.len(), entries.len());
            let (right, people) = meant.rights[0].clone();
            assert_eq!(right, Right::Manage);
            (people.into_iter().collect::<Vec<_>>(), meant.troubles)
        };
        let escalus = vec!["dn:uid=escalus,dc=a".to_owned()];
        let fine = (escalus, Vec::new());
        assert_eq!(managers("rulers", &entries[..1]), fine);
        assert_eq!(managers("cn=rulers,ou=groups,dc=a", &entries), fine);
        assert_eq!(
            managers("rulers", &entries),
            (Vec::new(), vec![SEVERAL.to_owned()])
        );
    }

    #[test]
    fn of_several_groups_of_one_name_none_sees_a_list_and_a_name_that_means_none_is_told() {
        let swords = group("swords", "groups", "tybalt");
        let entries = [&rulers()[..], &[swords]].concat();
        let viewers = |displayed: &str| {
            let options = format!("lists = [\"swords\"]\ndisplays = [{displayed:?}]\n");
            let config = config(&options);
            let tree = Tree::new(&config, &entries, &BTreeSet::new());
            let meant = Meant::of(&config, &tree);
            let viewers = meant.lists[0].viewers.iter().cloned();
            (viewers.collect::<Vec<_>>(), meant.troubles)
        };
        let escalus = vec!["dn:uid=escalus,dc=a".to_owned()];
        for named in [
            "swords=cn=rulers,ou=groups,dc=a",
            "swords => cn=rulers,ou=groups,dc=a",
            "cn=swords,ou=groups,dc=a=>cn=rulers,ou=groups,dc=a",
        ] {
            assert_eq!(viewers(named), (escalus.clone(), Vec::new()), "{named}");
        }
        for (named, troubles) in [
            ("swords=rulers", vec![SEVERAL]),
            ("gods=swords", vec!["unknown=\"gods\""]),
            ("swords=gods", vec!["unknown=\"gods\""]),
            // Without the arrow.
            (
                "cn=swords,ou=groups,dc=a=swords",
                vec!["unknown=\"cn\"", "unknown=\"swords,ou=groups,dc=a=swords\""],
            ),
        ] {
            let troubles: Vec<String> = troubles.into_iter().map(str::to_owned).collect();
            assert_eq!(viewers(named), (Vec::new(), troubles), "{named}");
        }
    }
}
