//! What a directory says of the people of a host as groups: whose contact lists they are on, and what they may do. One
//! value for all workers, never changed: what an account sees of it is looked up, not copied, so that a list of thousands
//! costs its members four bytes each. Refuses to know what they are made of, and what else a roster holds.

mod draft;
mod membership;

use std::collections::{BTreeMap, BTreeSet};

pub use draft::{Draft, DraftList};
pub use membership::Membership;

/// Everybody of a host who is in some group that means something here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Localpart and name of each, one behind the other.
    text: Box<str>,
    /// Where in it they end, in the order of the localparts.
    people: Box<[Ends]>,
    lists: Box<[List]>,
    /// Lists that each is a member of, and lists that each sees without being one.
    on: Spans,
    sees: Spans,
    /// To whom some group gives a right, in the order of [`Right::ALL`].
    rights: [Box<[u32]>; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    localpart: u32,
    name: u32,
}

/// A contact list.
#[derive(Debug, PartialEq, Eq)]
struct List {
    key: Box<str>,
    /// What it is called in rosters.
    name: Box<str>,
    members: Box<[u32]>,
    /// Who sees it and is no member.
    viewers: Box<[u32]>,
    /// Of all that rosters show of it.
    digest: u64,
}

/// Some numbers for each of many.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spans {
    starts: Box<[u32]>,
    items: Box<[u32]>,
}

/// Something that may be for members of some groups only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To create rooms.
    CreateRooms,
    /// To speak with people of other servers.
    Federate,
    /// To run the commands of managers.
    Manage,
    /// To use in-band registration (XEP-0077): of who is in a directory, the change of the own password.
    Register,
}

impl Right {
    /// All of them.
    pub const ALL: [Right; 4] = [
        Right::CreateRooms,
        Right::Federate,
        Right::Manage,
        Right::Register,
    ];

    /// What an operator calls it.
    pub fn name(self) -> &'static str {
        match self {
            Right::CreateRooms => "create rooms",
            Right::Federate => "speak with other servers",
            Right::Manage => "manage",
            Right::Register => "use in-band registration",
        }
    }

    fn at(self) -> usize {
        self as usize
    }
}

/// Who somebody is in [`Groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member(u32);

/// What lists say between two people, seen from one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// One sees the other's presence, who is in the roster then.
    pub to: bool,
    /// The other sees one's own.
    pub from: bool,
}

/// Somebody with whom lists have to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colleague<'a> {
    pub localpart: &'a str,
    /// Empty if there is none.
    pub name: &'a str,
    pub relation: Relation,
    /// What the lists are called that show them, in order.
    pub lists: Vec<&'a str>,
}

impl Groups {
    /// Who this is, if any group names them.
    pub fn find(&self, localpart: &str) -> Option<Member> {
        let (mut low, mut high) = (0, self.people.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.person(short(middle)).0.cmp(localpart) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(Member(short(middle))),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// What the lists say between the two.
    pub fn relation(&self, me: Member, other: &str) -> Relation {
        let mut relation = Relation::default();
        let Some(Member(other)) = self.find(other).filter(|other| *other != me) else {
            return relation;
        };
        for list in self.lists_of(me) {
            let together = list.members.binary_search(&other).is_ok();
            relation.to |= together;
            relation.from |= together || list.viewers.binary_search(&other).is_ok();
        }
        for list in self.lists_seen_by(me) {
            relation.to |= list.members.binary_search(&other).is_ok();
        }
        relation
    }

    /// Everybody with whom the lists have to do, in the order of the localparts; those that are in the roster have
    /// `relation.to`.
    pub fn colleagues(&self, me: Member) -> Vec<Colleague<'_>> {
        let mut found: BTreeMap<u32, (Relation, Vec<&str>)> = BTreeMap::new();
        for list in self.lists_of(me) {
            for &member in list.members.iter().filter(|id| **id != me.0) {
                let (relation, names) = found.entry(member).or_default();
                (relation.to, relation.from) = (true, true);
                names.push(&list.name);
            }
            for &viewer in &list.viewers {
                found.entry(viewer).or_default().0.from = true;
            }
        }
        for list in self.lists_seen_by(me) {
            for &member in &list.members {
                let (relation, names) = found.entry(member).or_default();
                relation.to = true;
                names.push(&list.name);
            }
        }
        let found = found.into_iter().map(|(id, (relation, mut lists))| {
            lists.sort_unstable();
            lists.dedup();
            let (localpart, name) = self.person(id);
            Colleague {
                localpart,
                name,
                relation,
                lists,
            }
        });
        found.collect()
    }

    /// One of them, by the localpart.
    pub fn colleague(&self, me: Member, localpart: &str) -> Option<Colleague<'_>> {
        let other = self.find(localpart).filter(|other| *other != me)?;
        let has = |list: &&List| list.members.binary_search(&other.0).is_ok();
        let shown = self.lists_of(me).chain(self.lists_seen_by(me)).filter(has);
        let mut lists: Vec<&str> = shown.map(|list| &*list.name).collect();
        lists.sort_unstable();
        lists.dedup();
        let (localpart, name) = self.person(other.0);
        let relation = self.relation(me, localpart);
        (relation != Relation::default()).then_some(Colleague {
            localpart,
            name,
            relation,
            lists,
        })
    }

    /// Adds those of them for whom this holds.
    pub fn audience(
        &self,
        me: Member,
        is_meant: impl Fn(Relation) -> bool,
        mut add: impl FnMut(&str),
    ) {
        let mut ids = BTreeSet::new();
        let both = Relation {
            to: true,
            from: true,
        };
        let one = |to| Relation { to, from: !to };
        for list in self.lists_of(me) {
            if is_meant(both) {
                ids.extend(list.members.iter().copied());
            }
            if is_meant(one(false)) {
                ids.extend(list.viewers.iter().copied());
            }
        }
        for list in self.lists_seen_by(me) {
            if is_meant(one(true)) {
                ids.extend(list.members.iter().copied());
            }
        }
        for id in ids.into_iter().filter(|id| *id != me.0) {
            add(self.person(id).0);
        }
    }

    /// What tells apart what rosters show of the lists: 0 for who sees none.
    pub fn digest(&self, me: Member) -> u64 {
        let digests = self.lists_of(me).chain(self.lists_seen_by(me));
        digests.fold(0, |sum: u64, list| {
            sum.rotate_left(5) ^ list.digest.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }

    /// What tells the lists of somebody from each other, in order: first those that they are on.
    pub fn keys(&self, me: Member) -> (Vec<&str>, Vec<&str>) {
        let keys = |lists: &[u32]| {
            let keys = lists.iter().map(|list| &*self.lists[*list as usize].key);
            keys.collect()
        };
        (keys(self.on.of_one(me.0)), keys(self.sees.of_one(me.0)))
    }

    /// What the lists are called that somebody is on, or sees.
    pub fn list_names(&self, me: Member) -> Vec<&str> {
        let lists = self.lists_of(me).chain(self.lists_seen_by(me));
        lists.map(|list| &*list.name).collect()
    }

    /// Members and viewers of the largest of somebody's lists.
    pub fn largest(&self, me: Member) -> usize {
        let lists = self.lists_of(me).chain(self.lists_seen_by(me));
        let sizes = lists.map(|list| list.members.len() + list.viewers.len());
        sizes.max().unwrap_or(0)
    }

    /// Whether some group gives somebody this right. Others may have it because nobody needs a group for it: who wants to know
    /// what is allowed asks `im::access`.
    pub fn gives(&self, who: Member, right: Right) -> bool {
        self.rights[right.at()].binary_search(&who.0).is_ok()
    }

    /// How many people, and how many lists.
    pub fn counts(&self) -> (usize, usize) {
        (self.people.len(), self.lists.len())
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let lists = self.lists.iter().map(|list| {
            size_of::<List>()
                + list.key.len()
                + list.name.len()
                + 4 * (list.members.len() + list.viewers.len())
        });
        let rights = self.rights.iter().map(|those| 4 * those.len());
        self.text.len()
            + size_of_val(&*self.people)
            + self.on.bytes()
            + self.sees.bytes()
            + lists.sum::<usize>()
            + rights.sum::<usize>()
    }

    fn lists_of(&self, me: Member) -> impl Iterator<Item = &List> {
        let lists = self.on.of_one(me.0).iter();
        lists.map(|list| &self.lists[*list as usize])
    }

    fn lists_seen_by(&self, me: Member) -> impl Iterator<Item = &List> {
        let lists = self.sees.of_one(me.0).iter();
        lists.map(|list| &self.lists[*list as usize])
    }

    /// Localpart and name.
    fn person(&self, id: u32) -> (&str, &str) {
        let at = id as usize;
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.people[before].name);
        let Ends { localpart, name } = self.people[at];
        (
            &self.text[start as usize..localpart as usize],
            &self.text[localpart as usize..name as usize],
        )
    }
}

impl Spans {
    /// For each of `count`, in which of the sets they are.
    fn of<'a>(count: usize, sets: impl Iterator<Item = &'a [u32]> + Clone) -> Spans {
        let mut starts = vec![0_u32; count + 1];
        for id in sets.clone().flatten() {
            starts[*id as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut items = vec![0_u32; starts[count] as usize];
        let mut next = starts.clone();
        for (number, set) in sets.enumerate() {
            for id in set {
                let at = &mut next[*id as usize];
                items[*at as usize] = short(number);
                *at += 1;
            }
        }
        Spans {
            starts: starts.into(),
            items: items.into(),
        }
    }

    fn of_one(&self, id: u32) -> &[u32] {
        let at = id as usize;
        &self.items[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.items)
    }
}

/// Numbers of people and bytes of their names are bounded far below 4 GiB
/// ([`crate::base::limits::DIRECTORY_PEOPLE_MAX`]).
fn short(number: usize) -> u32 {
    u32::try_from(number).expect("bounded where it entered")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::JidList;
    use std::sync::Arc;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn verona() -> Draft {
        let people = ["escalus", "juliet", "nurse", "romeo", "tybalt"];
        let names = people.map(|name| (name.to_owned(), name.to_uppercase()));
        let list = |key: &str, members: &[&str], viewers: &[&str]| DraftList {
            key: key.to_owned(),
            name: format!("The {key}"),
            members: set(members),
            viewers: set(viewers),
        };
        Draft {
            people: names.into_iter().collect(),
            lists: vec![
                list(
                    "capulets",
                    &["juliet", "nurse", "stranger"],
                    &["escalus", "nurse"],
                ),
                list("lovers", &["juliet", "romeo"], &[]),
            ],
            rights: vec![
                (Right::Manage, set(&["escalus"])),
                (Right::CreateRooms, set(&[])),
            ],
        }
    }

    fn relation(groups: &Groups, me: &str, other: &str) -> (bool, bool) {
        let relation = groups.relation(groups.find(me).expect("is there"), other);
        (relation.to, relation.from)
    }

    #[test]
    fn members_see_each_other_and_viewers_see_members() {
        let groups = Groups::new(&verona());
        assert_eq!(groups.find("paris"), None);
        assert_eq!(relation(&groups, "juliet", "nurse"), (true, true));
        assert_eq!(relation(&groups, "juliet", "romeo"), (true, true));
        assert_eq!(relation(&groups, "nurse", "romeo"), (false, false));
        assert_eq!(relation(&groups, "escalus", "juliet"), (true, false));
        assert_eq!(relation(&groups, "juliet", "escalus"), (false, true));
        assert_eq!(relation(&groups, "juliet", "juliet"), (false, false));
        assert_eq!(relation(&groups, "tybalt", "juliet"), (false, false));
        let juliet = groups.find("juliet").expect("is there");
        let seen: Vec<_> = groups
            .colleagues(juliet)
            .into_iter()
            .map(|it| (it.localpart, it.name, it.relation.to, it.lists))
            .collect();
        assert_eq!(
            seen,
            [
                ("escalus", "ESCALUS", false, vec![]),
                ("nurse", "NURSE", true, vec!["The capulets"]),
                ("romeo", "ROMEO", true, vec!["The lovers"]),
            ]
        );
        for colleague in groups.colleagues(juliet) {
            assert_eq!(
                groups.colleague(juliet, colleague.localpart),
                Some(colleague)
            );
        }
        assert_eq!(groups.colleague(juliet, "tybalt"), None);
        let place = Membership::find(Some(&Arc::new(groups)), Some("juliet"));
        let mut list = JidList::default();
        place.list("a", |relation| relation.from, &mut list);
        let texts: Vec<&str> = list.iter().collect();
        assert_eq!(texts, ["escalus@a", "nurse@a", "romeo@a"]);
        let mut list = JidList::default();
        place.list("a", |relation| relation.to, &mut list);
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn rights_are_those_that_some_group_gives() {
        let groups = Groups::new(&verona());
        let gives = |name: &str, right| {
            let who = groups.find(name);
            who.is_some_and(|who| groups.gives(who, right))
        };
        assert!(gives("escalus", Right::Manage));
        assert!(!gives("juliet", Right::Manage) && !gives("paris", Right::Manage));
        assert!(!gives("escalus", Right::CreateRooms) && !gives("escalus", Right::Federate));
    }

    #[test]
    fn a_digest_is_of_what_rosters_show() {
        let digest = |change: &dyn Fn(&mut Draft), name: &str| {
            let mut draft = verona();
            change(&mut draft);
            let groups = Groups::new(&draft);
            groups.digest(groups.find(name).expect("is there"))
        };
        let before = digest(&|_| {}, "juliet");
        assert_eq!(digest(&|_| {}, "juliet"), before, "it is no accident");
        assert_eq!(digest(&|_| {}, "tybalt"), 0);
        let renamed = |draft: &mut Draft| {
            draft
                .people
                .insert("nurse".to_owned(), "Angelica".to_owned());
        };
        assert_ne!(digest(&renamed, "juliet"), before);
        let joined = |draft: &mut Draft| {
            draft.lists[0].members.insert("tybalt".to_owned());
        };
        assert_ne!(digest(&joined, "juliet"), before);
        assert_eq!(digest(&joined, "romeo"), digest(&|_| {}, "romeo"));
        // Who sees a list is nothing that rosters show.
        let seen = |draft: &mut Draft| draft.lists[0].viewers.clear();
        assert_eq!(digest(&seen, "juliet"), before);
    }

    #[test]
    fn three_hundred_thousand_people_on_lists_of_fifty_are_twenty_megabytes() {
        let mut draft = Draft::default();
        for number in 0..30_000 {
            let localpart = format!("user-{number:06}");
            if number % 50 == 0 {
                draft.lists.push(DraftList {
                    key: format!("cn=team-{number},ou=groups,dc=verona,dc=example"),
                    name: format!("Team {number}"),
                    ..DraftList::default()
                });
            }
            let list = draft.lists.last_mut().expect("just pushed");
            list.members.insert(localpart.clone());
            draft
                .people
                .insert(localpart, format!("Person number {number}"));
        }
        let groups = Groups::new(&draft);
        // Ten times as many are ten times as much: 14 bytes for each contact in each roster would be 200 MB.
        assert!(groups.bytes() * 10 < 20_000_000, "{}", groups.bytes());
    }
}
