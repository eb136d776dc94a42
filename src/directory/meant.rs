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
                match tree.find(name).as_slice() {
                    [] => unknown.push(format!("unknown={name:?}")),
                    [group] => people.extend(inside(*group)),
                    // Whoever may make a group anywhere would give its members the rights of the one that was meant.
                    several => {
                        let groups: Vec<&str> = tree.dns(several).collect();
                        unknown.push(format!("ambiguous={name:?} groups={groups:?}"));
                    }
                }
            }
            (right, people)
        });
        let rights = rights.collect();
        for name in &options.lists {
            if tree.find(name).is_empty() {
                unknown.push(format!("unknown={name:?}"));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::ber::Entry;
    use super::super::groups::tests::config;
    use super::*;

    #[test]
    fn of_several_groups_of_one_name_none_gives_a_right() {
        let group = |place: &str, member: &str| {
            let dn = format!("cn=Rulers,ou={place},dc=a");
            let member = format!("uid={member},dc=a");
            Entry::of(
                &dn,
                &[("cn", &[b"Rulers"]), ("member", &[member.as_bytes()])],
            )
        };
        let entries = [group("groups", "escalus"), group("montagues", "romeo")];
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
        let trouble = "ambiguous=\"rulers\" groups=[\"cn=Rulers,ou=groups,dc=a\", \"cn=Rulers,ou=montagues,dc=a\"]";
        assert_eq!(
            managers("rulers", &entries),
            (Vec::new(), vec![trouble.to_owned()])
        );
    }
}
