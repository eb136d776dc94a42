//! Groups as a directory has them: groups in groups, in circles if somebody made them so, of people by the names of their
//! entries or by their user names. Refuses to know who these people are, and what a group is for.

use std::collections::{BTreeSet, HashMap};

use super::ber::Entry;
use super::dn::Dn;
use super::mapping::readable;
use crate::base::limits;
use crate::config::{GroupNesting, GroupsConfig};

/// Somebody as a group names them: `dn:` and the one spelling of the name of an entry, or `uid:` and a user name.
pub type Named = String;

/// All groups of a host.
pub struct Tree {
    groups: Vec<Group>,
    /// By the one spelling of the names of their entries.
    by_dn: HashMap<String, usize>,
}

/// One group, with what it says itself.
pub struct Group {
    /// The one spelling of the name of its entry.
    pub key: String,
    /// As the directory spells it.
    pub dn: String,
    pub cn: String,
    /// What it is called as a contact list.
    pub list_name: String,
    /// Names of groups whose members see it as a list, in one spelling.
    display_to: Vec<String>,
    /// Groups among them are told apart later.
    members: Vec<Named>,
    pub is_list: bool,
}

/// Who belongs to a group, and what did not count.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub people: BTreeSet<Named>,
    /// Groups that were too deep.
    pub too_deep: usize,
}

/// What has to be read of a group.
pub fn attributes(config: &GroupsConfig) -> Vec<String> {
    let mut all: Vec<String> = match config.options.nested {
        GroupNesting::Rule => Vec::new(),
        GroupNesting::Walk => MEMBERS.iter().map(|name| (*name).to_owned()).collect(),
    };
    all.push("cn".to_owned());
    all.push("objectClass".to_owned());
    for own in [&config.options.list_name, &config.options.display_to] {
        if !own.is_empty() {
            all.push(own.clone());
        }
    }
    all
}

/// The part of an attribute that is behind the one of this name: Active Directory gives 1,500 values of `member` at once, as
/// `member;range=0-1499`, and the last of them as `member;range=1500-*` (MS-ADTS section 3.1.1.3.1.3.3). None for any other.
pub fn part_behind(name: &str) -> Option<String> {
    let (plain, range) = name.split_once(";range=")?;
    let (_, last) = range.split_once('-')?;
    let next = last.parse::<u32>().ok()?.checked_add(1)?;
    Some(format!("{plain};range={next}-*"))
}

impl Tree {
    /// Of these entries; `lists` are those that are marked as contact lists, by the one spelling of their names.
    pub fn new(config: &GroupsConfig, entries: &[Entry], lists: &BTreeSet<String>) -> Tree {
        let groups = entries.iter().filter_map(|entry| {
            let key = Dn::parse(&entry.dn)?.key();
            Some(Group::read(config, entry, key, lists))
        });
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let places = groups.iter().enumerate();
        let by_dn = places.map(|(at, group)| (format!("{DN}{}", group.key), at));
        let by_dn = by_dn.collect();
        let mut tree = Tree { groups, by_dn };
        for name in &config.options.lists {
            for at in tree.find(name) {
                tree.groups[at].is_list = true;
            }
        }
        for (list, group) in &config.displays {
            let seer = tree.only(group).map(|at| tree.groups[at].key.clone());
            for at in tree.find(list) {
                tree.groups[at].display_to.extend(seer.clone());
            }
        }
        tree
    }

    /// In an order that stays.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Groups of this `cn`, or the one whose entry has this name. What can only be the name of an entry is nothing else where there
    /// is no such entry: a `cn` may be spelt like it, and is chosen by whoever makes a group.
    pub fn find(&self, name: &str) -> Vec<usize> {
        let dn = Dn::parse(name).filter(|_| name.contains('='));
        match dn.as_ref().and_then(|dn| self.at(dn)) {
            Some(at) => return vec![at],
            None if dn.as_ref().is_some_and(|dn| dn.depth() > 1) => return Vec::new(),
            None => {}
        }
        let places = self.groups.iter().enumerate();
        let same = places.filter(|(_, group)| group.cn.eq_ignore_ascii_case(name));
        same.map(|(at, _)| at).collect()
    }

    /// The one group that this names. Of several of one `cn` that is none: whoever may make a group anywhere would give its members
    /// what those of the one that was meant have.
    pub fn only(&self, name: &str) -> Option<usize> {
        match self.find(name).as_slice() {
            [group] => Some(*group),
            _ => None,
        }
    }

    /// The names of these groups' entries, as the directory spells them.
    pub fn dns(&self, groups: &[usize]) -> impl Iterator<Item = &str> {
        groups.iter().map(|at| self.groups[*at].dn.as_str())
    }

    /// The group whose entry has this name.
    pub fn at(&self, dn: &Dn) -> Option<usize> {
        self.by_dn.get(&format!("{DN}{}", dn.key())).copied()
    }

    /// Everybody in a group, and in the groups in it, each of which counts once: circles end where they began.
    pub fn members(&self, group: usize, depth_max: u32) -> Members {
        let mut found = Members::default();
        let mut seen = BTreeSet::from([group]);
        let mut open = vec![(group, 0)];
        while let Some((at, depth)) = open.pop() {
            for member in &self.groups[at].members {
                match self.by_dn.get(member) {
                    None => {
                        found.people.insert(member.clone());
                    }
                    Some(_) if depth >= depth_max => found.too_deep += 1,
                    Some(&inner) => {
                        if seen.insert(inner) {
                            open.push((inner, depth + 1));
                        }
                    }
                }
            }
        }
        found
    }

    /// Groups that mean something by themselves: those that rules name, contact lists, and who sees these.
    pub fn meaningful(&self, config: &GroupsConfig) -> BTreeSet<usize> {
        let options = &config.options;
        let rules = [
            &options.managers,
            &options.create_rooms,
            &options.federate,
            &options.register,
        ];
        let named = rules.into_iter().flatten();
        let named = named.flat_map(|name| self.find(name));
        let lists = (0..self.groups.len()).filter(|at| self.groups[*at].is_list);
        let seers = lists.clone().flat_map(|at| self.seers(at));
        named.chain(lists).chain(seers).collect()
    }

    /// These are all who are in a group and in groups in it: the directory has said so.
    pub fn fill(&mut self, group: usize, members: Vec<Named>) {
        self.groups[group].members = members;
    }

    /// Groups whose members see this one as a contact list.
    pub fn seers(&self, group: usize) -> Vec<usize> {
        let names = self.groups[group].display_to.iter();
        let found = names.filter_map(|key| self.by_dn.get(&format!("{DN}{key}")));
        found.copied().collect()
    }
}

impl Group {
    fn read(config: &GroupsConfig, entry: &Entry, key: String, lists: &BTreeSet<String>) -> Group {
        let options = &config.options;
        let cn = entry.texts("cn").find_map(readable).unwrap_or_default();
        let own = match options.list_name.is_empty() {
            true => None,
            false => entry.texts(&options.list_name).find_map(readable),
        };
        let dn = |value: &str| Dn::parse(value).map(|dn| dn.key());
        let display_to = match options.display_to.is_empty() {
            true => Vec::new(),
            false => entry.texts(&options.display_to).filter_map(dn).collect(),
        };
        // The others are names and nothing else: there a sharp begins no bits.
        let unique = entry.texts("uniqueMember").map(without_uid).filter_map(dn);
        let members = entry.texts("member").filter_map(dn);
        let members = members.chain(unique.filter(|name| !name.is_empty()));
        let members = members.map(|name| format!("{DN}{name}"));
        let users = entry.texts("memberUid").filter_map(readable);
        let users = users.map(|user| format!("{UID}{}", user.to_lowercase()));
        Group {
            is_list: lists.contains(&key),
            key,
            dn: entry.dn.clone(),
            list_name: bounded(own.unwrap_or_else(|| cn.clone())),
            cn,
            display_to,
            members: members.chain(users).collect(),
        }
    }
}

/// The name of an entry, of which `uniqueMember` may say more (RFC 4517 section 3.3.21): `NameAndOptionalUID =
/// distinguishedName [ SHARP BitString ]`.
fn without_uid(value: &str) -> &str {
    let Some((name, uid)) = value.rsplit_once('#') else {
        return value;
    };
    let bits = uid
        .strip_prefix('\'')
        .and_then(|uid| uid.strip_suffix("'B"));
    let is_uid = bits.is_some_and(|bits| bits.chars().all(|bit| matches!(bit, '0' | '1')));
    match is_uid && !name.ends_with('\\') {
        true => name,
        false => value,
    }
}

/// A name that a roster can show.
pub fn bounded(mut name: String) -> String {
    let mut end = name.len().min(limits::DIRECTORY_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// Before the name of an entry.
pub const DN: &str = "dn:";
/// Before a user name (RFC 2307's memberUid).
pub const UID: &str = "uid:";
/// Where groups of any kind say who is in them.
const MEMBERS: [&str; 3] = ["member", "uniqueMember", "memberUid"];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Outside, load};
    use crate::directory::dn::escaped;

    pub fn config(options: &str) -> GroupsConfig {
        let text = format!(
            "[[host]]\nname = \"a\"\n[host.directory]\nservers = [\"ldap://a\"]\nbase = \"dc=a\"\n\
             [host.directory_groups]\nbase = \"ou=groups,dc=a\"\n{options}"
        );
        let outside = Outside {
            features: &[],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = load("s.toml", &text, &outside).expect("valid");
        let directory = config.hosts[0].directory.as_ref().expect("is there");
        directory.groups.clone().expect("is there")
    }

    fn group(name: &str, attribute: &str, members: &[&str]) -> Entry {
        let members: Vec<&[u8]> = members.iter().map(|member| member.as_bytes()).collect();
        let dn = format!("cn={name},ou=groups,dc=a");
        Entry::of(&dn, &[("cn", &[name.as_bytes()]), (attribute, &members)])
    }

    fn tree(options: &str, entries: &[Entry]) -> Tree {
        Tree::new(&config(options), entries, &BTreeSet::new())
    }

    fn members(tree: &Tree, name: &str, depth: u32) -> Vec<String> {
        let found = tree.find(name);
        assert_eq!(found.len(), 1, "{name}");
        tree.members(found[0], depth).people.into_iter().collect()
    }

    #[test]
    fn members_of_every_kind_count_and_so_do_members_of_members() {
        let tree = tree(
            "",
            &[
                group(
                    "all",
                    "member",
                    &["CN=Inner, ou=groups,dc=a", "uid=juliet,dc=a"],
                ),
                group(
                    "inner",
                    "uniqueMember",
                    &["UID = Romeo,dc=a#'0101'B", "cn=swords,ou=groups,dc=a"],
                ),
                group("swords", "memberUid", &["Tybalt"]),
            ],
        );
        assert_eq!(
            members(&tree, "all", 10),
            ["dn:uid=juliet,dc=a", "dn:uid=romeo,dc=a", "uid:tybalt"]
        );
        assert_eq!(
            members(&tree, "cn=INNER,ou=groups,dc=a", 0),
            ["dn:uid=romeo,dc=a"]
        );
        let shallow = tree.members(tree.find("all")[0], 1);
        assert_eq!((shallow.people.len(), shallow.too_deep), (2, 1));
    }

    #[test]
    fn a_part_of_the_members_has_another_behind_it() {
        let next = part_behind("member;range=0-1499");
        assert_eq!(next.as_deref(), Some("member;range=1500-*"));
        for whole in [
            "member",
            "member;range=1500-*",
            "member;lang-en",
            "member;range=x",
        ] {
            assert_eq!(part_behind(whole), None, "{whole}");
        }
    }

    #[test]
    fn a_name_may_have_bits_behind_it_and_a_sharp_in_it() {
        for (value, expected) in [
            ("uid=a,dc=b", "uid=a,dc=b"),
            ("uid=a,dc=b#'0110'B", "uid=a,dc=b"),
            ("uid=a,dc=b#''B", "uid=a,dc=b"),
            ("uid=a#1,dc=b", "uid=a#1,dc=b"),
            ("uid=a,dc=b#'2'B", "uid=a,dc=b#'2'B"),
            ("uid=a,dc=b\\#'0'B", "uid=a,dc=b\\#'0'B"),
        ] {
            assert_eq!(without_uid(value), expected);
        }
    }

    #[test]
    fn only_a_unique_member_has_bits_behind_its_name() {
        let name = "uid=a,dc=b#'0'B";
        for (attribute, expected) in [
            ("uniqueMember", "dn:uid=a,dc=b"),
            ("member", "dn:uid=a,dc=b#'0'b"),
        ] {
            let tree = tree("", &[group("all", attribute, &[name])]);
            assert_eq!(members(&tree, "all", 10), [expected]);
        }
    }

    #[test]
    fn the_cn_of_a_group_is_not_the_name_of_another_ones_entry() {
        let spelt = |cn: &str| {
            let dn = format!("cn={},ou=montagues,dc=a", escaped(cn));
            Entry::of(&dn, &[("cn", &[cn.as_bytes()])])
        };
        let (rulers, odd) = ("cn=rulers,ou=groups,dc=a", "a=b");
        let entries = [spelt(rulers), spelt(odd)];
        assert!(tree("", &entries).find(rulers).is_empty());
        assert_eq!(tree("", &entries).find(odd).len(), 1);
        let entries = [&entries[..], &[group("rulers", "member", &[])]].concat();
        let tree = tree("", &entries);
        let found = tree.find(rulers);
        assert_eq!(tree.dns(&found).collect::<Vec<_>>(), [rulers]);
    }

    #[test]
    fn circles_of_groups_end() {
        let dn = |name: &str| format!("cn={name},ou=groups,dc=a");
        let tree = tree(
            "",
            &[
                group("one", "member", &[&dn("two"), "uid=a,dc=a"]),
                group("two", "member", &[&dn("three"), "uid=b,dc=a"]),
                group("three", "member", &[&dn("one"), &dn("three"), "uid=c,dc=a"]),
            ],
        );
        for name in ["one", "two", "three"] {
            assert_eq!(members(&tree, name, 10).len(), 3, "{name}");
        }
    }

    #[test]
    fn lists_are_named_by_the_configuration_or_by_their_entries() {
        let marked = Entry::of(
            "cn=capulets,ou=groups,dc=a",
            &[
                ("cn", &[b"capulets"]),
                ("stonechatDisplayName", &[b"The Capulets"]),
                ("stonechatDisplayTo", &[b"cn=rulers,ou=groups,dc=a"]),
            ],
        );
        let entries = [
            marked,
            group("rulers", "member", &[]),
            group("montagues", "member", &[]),
        ];
        let lists = BTreeSet::from(["cn=capulets,ou=groups,dc=a".to_owned()]);
        let options = config("lists = [\"Montagues\"]\ndisplays = [\"montagues = rulers\"]\n");
        let tree = Tree::new(&options, &entries, &lists);
        let said = |group: &Group| (group.cn.clone(), group.list_name.clone(), group.is_list);
        let said: Vec<_> = tree.groups().iter().map(said).collect();
        let expect = |cn: &str, name: &str, is_list| (cn.to_owned(), name.to_owned(), is_list);
        assert_eq!(
            said,
            [
                expect("capulets", "The Capulets", true),
                expect("montagues", "montagues", true),
                expect("rulers", "rulers", false),
            ]
        );
        assert_eq!(
            (tree.seers(0), tree.seers(1), tree.seers(2)),
            (vec![2], vec![2], vec![])
        );
        assert_eq!(bounded("ä".repeat(200)).len(), 256);
    }
}
